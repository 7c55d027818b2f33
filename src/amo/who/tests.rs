use serde_json::json;

use super::*;
use crate::call::record::sample;

fn record(extension: Option<&str>) -> CallRecord {
    CallRecord { responsible: extension.map(str::to_owned), ..sample::call("1.1").record }
}

/// A missed call of its entity's owner.
fn missed() -> CallRecord {
    let rule = ResponsibleRule::EntityOwner;
    CallRecord { why: vec![Why::Responsible { extension: None, rule }], ..record(None) }
}

fn settings(toml: &str) -> Settings {
    toml::from_str(toml).unwrap()
}

fn user(user: u64) -> Who {
    Who { user: Some(user), shown: Some(Responsible::User(user)), told: None }
}

fn roster(users: &[(u64, bool)]) -> Roster {
    let users = users.iter().map(|(id, active)| json!({"id": id, "rights": {"is_active": active}}));
    let body = json!({"_embedded": {"users": users.collect::<Vec<_>>()}}).to_string().into_bytes();
    let mut roster = Roster::default();
    roster.take(&crate::amo::answer::Reply { status: 200, body, ..Default::default() });
    roster
}

const BOTH: &str = "default-user = 7\nusers.101 = 8\nnames.102 = \"Иванов\"";

#[test]
fn a_user_is_always_a_number() {
    #[track_caller]
    fn check(toml: &str, extension: Option<&str>, expected: &Who) {
        assert_eq!(configured(&record(extension), &settings(toml)), *expected);
    }
    check(BOTH, Some("101"), &user(8));
    check(BOTH, None, &user(7));
    check("", None, &Who::default());
    check(BOTH, Some("102"), &Who { told: Some("доб. 102 Иванов".to_owned()), ..user(7) });
    assert_eq!(
        serde_json::to_value(Responsible::User(8)).unwrap(),
        json!(8),
        "a text would be taken for a name"
    );
}

#[test]
fn an_extension_without_a_user_is_a_text() {
    #[track_caller]
    fn check(toml: &str, extension: &str, expected: Option<&str>) {
        let who = configured(&record(Some(extension)), &settings(toml));
        let shown = expected.map(|text| Responsible::Name(text.to_owned()));
        assert_eq!(who, Who { user: None, shown, told: expected.map(str::to_owned) });
    }
    check("", "101", Some("доб. 101"));
    check("names.101 = \"Иванов\"", "101", Some("доб. 101 Иванов"));
    check("names.101 = \"Иванов\"\nextension-text = \"{name} ({extension})\"", "101", Some("Иванов (101)"));
    check("language = \"en\"", "101", Some("ext. 101"));
    check("unmapped = \"extension\"", "101", Some("101"));
    check("unmapped = \"omit\"", "101", None);
    check("", " ", None);
}

#[test]
fn an_extension_is_told_in_the_language_of_its_line() {
    let mut record = record(Some("101"));
    record.line.language = Some(Language::En);
    assert_eq!(configured(&record, &settings("")).told.as_deref(), Some("ext. 101"));
}

#[test]
fn whoever_does_not_work_there_is_not_named() {
    #[track_caller]
    fn check(grounds: Grounds<'_>, expected: Option<u64>, told: Option<&str>) {
        let who = choose(&record(Some("101")), &settings(BOTH), &grounds);
        assert_eq!((who.user, who.told.as_deref()), (expected, told));
    }
    let away = roster(&[(7, true), (8, false)]);
    let gone = roster(&[(7, true)]);
    let refused = Refused { users: [8].into(), text: false };
    check(Grounds { roster: Some(&away), ..Grounds::default() }, Some(7), Some("доб. 101"));
    check(Grounds { roster: Some(&gone), ..Grounds::default() }, Some(7), Some("доб. 101"));
    check(Grounds { refused: Some(&refused), ..Grounds::default() }, Some(7), Some("доб. 101"));
    check(Grounds { refused_here: &[8], ..Grounds::default() }, Some(7), Some("доб. 101"));
    check(Grounds { refused_here: &[8, 7], ..Grounds::default() }, None, Some("доб. 101"));
    check(Grounds { roster: Some(&roster(&[])), ..Grounds::default() }, Some(8), None);
}

#[test]
fn a_refused_text_is_left_out_and_still_told() {
    let told = Some("доб. 101".to_owned());
    let nobody = Who { user: None, shown: None, told };
    let refused = Refused { text: true, ..Refused::default() };
    let choose = |grounds| choose(&record(Some("101")), &Settings::default(), &grounds);
    assert_eq!(choose(Grounds { refused: Some(&refused), ..Grounds::default() }), nobody);
    assert_eq!(choose(Grounds { text_refused_here: true, ..Grounds::default() }), nobody);
}

#[test]
fn the_owner_is_for_calls_that_want_him() {
    let settings = settings(BOTH);
    let grounds = Grounds { owner: Some(9), ..Grounds::default() };
    assert_eq!(choose(&missed(), &settings, &grounds), user(9));
    assert_eq!(choose(&missed(), &settings, &Grounds::default()), user(7));
    assert_eq!(choose(&record(None), &settings, &grounds), user(7));
    assert_eq!(choose(&record(Some("101")), &settings, &grounds), user(8));
    let away = roster(&[(9, false), (7, true)]);
    assert_eq!(choose(&missed(), &settings, &Grounds { roster: Some(&away), ..grounds }), user(7));
}

#[test]
fn the_result_tells_the_extension() {
    let check = |result: Option<&str>, told: Option<&str>, expected: Option<&str>| {
        assert_eq!(telling(result.map(str::to_owned), told, TEXT_MAX).as_deref(), expected);
    };
    check(Some("Разговор состоялся"), Some("доб. 101"), Some("Разговор состоялся, доб. 101"));
    check(Some("Ответил доб. 101 через 8 с"), Some("доб. 101"), Some("Ответил доб. 101 через 8 с"));
    check(None, Some("доб. 101"), Some("доб. 101"));
    check(Some("Заказ 21012"), Some("101"), Some("Заказ 21012, 101"));
    check(Some("доб. 1010 и 101."), Some("101"), Some("доб. 1010 и 101."));
    check(Some("доб. 1010"), Some("доб. 101"), Some("доб. 1010, доб. 101"));
    check(Some("Занято"), None, Some("Занято"));
    check(None, None, None);
    let long = telling(Some("x".repeat(300)), Some("доб. 101"), TEXT_MAX).unwrap();
    assert!(long.chars().count() == TEXT_MAX && long.ends_with("x, доб. 101"));
}

#[test]
fn a_refusal_blames_what_it_names() {
    let named = user(8);
    let text = Who { user: None, shown: Some(Responsible::Name("доб. 101".to_owned())), told: None };
    let check = |who: &Who, path: &str, detail: &str, expected| {
        assert_eq!(blamed(who, path, detail), expected, "{path} {detail}");
    };
    check(&named, "responsible_user_id", "", Some(Blame::User(8)));
    check(&named, "0.created_by", "", Some(Blame::User(8)));
    check(&named, "call_responsible", "", Some(Blame::User(8)));
    check(&text, "metadata.call_responsible", "", Some(Blame::Text));
    check(&text, "responsible_user_id", "", None);
    check(&named, "", "User not found", Some(Blame::User(8)));
    check(&text, "", "Пользователь не найден", Some(Blame::Text));
    check(&named, "", "Bad Request", None);
    check(&named, "phone", "the user's phone", None);
    check(&Who::default(), "call_responsible", "", None);
    let words = "HTTP 400: Bad Request (responsible_user_id: NotSupportedChoice)";
    assert_eq!(blamed_in_words(&named, words), Some(Blame::User(8)));
    assert_eq!(blamed_in_words(&named, "HTTP 400: Bad Request (name: NotBlank)"), None);
}

#[test]
fn who_was_named_is_read_as_it_was_kept() {
    let all = Who { told: Some("доб. 101".to_owned()), ..user(7) };
    let text = Who { user: None, shown: Some(Responsible::Name("доб. 101".to_owned())), told: None };
    for who in [all, text, Who::default()] {
        let json = serde_json::to_string(&who).unwrap();
        assert_eq!(serde_json::from_str::<Who>(&json).unwrap(), who, "{json}");
    }
}
