//! Users and tasks, as they are shown, and what is wrong with them.

use super::*;

/// What is found of the account, by grade.
fn of_account(keys: &str, grade: Grade) -> Vec<String> {
    let text = format!("{}{keys}", pbx("username = \"u\"\nsecret = \"s\""));
    let (findings, _) = examine_text(&text, &desk());
    let own = findings.into_iter().filter(|finding| finding.place == "[amocrm]" && finding.grade == grade);
    own.map(|finding| finding.text).collect()
}

#[test]
fn it_is_shown_on_whom_calls_are_booked() {
    let shown = |keys: &str| {
        let found = of_account(keys, Grade::Ok);
        found.into_iter().find(|text| text.starts_with("calls are booked on")).unwrap()
    };
    assert_eq!(
        shown("[amocrm.users]\n101 = 8\n102 = 9\n"),
        "calls are booked on: 101 = 8, 102 = 9, any other extension = 7, \"доб. NNN\" in the call's result"
    );
    assert_eq!(shown("unmapped = \"omit\"\n"), "calls are booked on: any other extension = 7");
    let many: Vec<String> = (100..130).map(|extension| format!("{extension} = 8")).collect();
    assert!(shown(&format!("[amocrm.users]\n{}", many.join("\n"))).contains(", 10 more, any other"));
}

#[test]
fn the_task_to_call_back_is_shown_and_its_faults_are_found() {
    let task = |keys: &str, grade| of_account(&format!("[amocrm.callback-task]\n{keys}"), grade);
    let told = "a missed call makes a task of its contact's owner, due in 1h".to_owned();
    assert!(task("make = true\n", Grade::Ok).contains(&told));
    assert!(!task("", Grade::Ok).contains(&told));
    fails(
        &task("text = \"{phnoe}\"\n", Grade::Fail),
        "text of callback-task has {phnoe}, which stands for nothing",
    );
    fails(
        &task("result = \"{extension}\"\n", Grade::Fail),
        "result of callback-task has {extension}, which stands for nothing",
    );
    fails(&task("kind = 0\n", Grade::Fail), "kind or responsible of callback-task is 0");
    fails(&task("responsible = { user = 0 }\n", Grade::Fail), "kind or responsible of callback-task is 0");
    fails(&task("deadline = \"0s\"\n", Grade::Fail), "deadline of callback-task is 0s");
    let own = of_account("extension-text = \"{ext}\"\n", Grade::Fail);
    fails(&own, "extension-text has {ext}, which stands for nothing");
}

#[track_caller]
fn fails(found: &[String], expected: &str) {
    assert_eq!(found, [expected]);
}
