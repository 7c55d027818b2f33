//! `ami2amo check` at a PBX and an account that behave, and at some that do not.

use daemon::{Host, LIMIT, missed_call};
use fake_ami::{Clock, FakeAmi, Script, Step};
use fake_amo::{FakeAmo, Known, On, Options, Staff, What};
use serde_json::Value;

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;

/// Runs `ami2amo check` with these words; its exit code and what it printed.
async fn check(host: &Host, words: &[&str]) -> (Option<i32>, String) {
    let mut command = host.command();
    command.env_remove("AMI2AMO_LOG").arg("check").args(words);
    let output = tokio::time::timeout(LIMIT * 2, command.output()).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    let secrets = daemon::discretion::secrets(&host.config());
    assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "{text}");
    (output.status.code(), text)
}

fn host(ami: &FakeAmi, amo: &FakeAmo) -> Host {
    Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token)
}

/// A PBX whose user has all rights, and on which a call comes.
fn good() -> Script {
    let hints = Some(vec![
        ("101", "PJSIP/101&Custom:DND101"),
        ("102", "PJSIP/102"),
        ("*98", "Custom:x"),
        ("700", "park:700"),
    ]);
    let steps = vec![Step::Send(missed_call("1795339565.1"))];
    Script { hints, steps, clock: Clock::Host, ..Script::default() }
}

fn staffed(users: Vec<u64>, staff: Staff) -> Options {
    Options { users: Some(users), staff, ..Options::default() }
}

#[tokio::test]
async fn where_all_is_right_each_line_is_ok_and_the_map_is_ready() {
    let staff = Staff {
        names: vec![(504_141, "Анна 101", "a@example.org"), (7, "Boris", "102@example.org")],
        ..Staff::default()
    };
    let amo = fake_amo::start(staffed(vec![504_141, 7], staff)).await;
    let ami = FakeAmi::start(good()).await;
    let host = host(&ami, &amo);
    host.edit("default-user = 1", "default-user = 504141");
    let (code, page) = check(&host, &["--listen", "1"]).await;
    assert_eq!(code, Some(0), "{page}");
    for line in [
        "ok    [[pbx]] \"default\": Asterisk 22.10.1 (AMI 11.0.0) let the user \"ami2amo\" in\n",
        "ok    [[pbx]] \"default\": it may ask for all that is needed (write = reporting)\n",
        "ok    [[pbx]] \"default\": events of system, call come",
        "ok    [[pbx]] \"default\": events carry their time (timestampevents)\n",
        "ok    [[pbx]] \"default\": its clock is 0.",
        "ok    [amocrm]: the token does not say until when it works\n",
        "answers and takes the token, which is that of user 504141\n",
        "ok    [amocrm]: contacts may be read\n",
        "ok    [amocrm]: stored calls may be read\n",
        "warn  [amocrm]: the PBX has extensions without a user: 101, 102; their calls are booked on 504141 (Анна 101)\n",
        "      → [amocrm.users]\n        101 = 504141  # Анна 101\n        102 = 7  # Boris\n",
    ] {
        assert!(page.contains(line), "{line}\n---\n{page}");
    }
    assert!(!page.contains("fail"), "{page}");
    assert_eq!(ami.seen().log_offs, 1);
    assert!(amo.requests().iter().all(|request| request.method == "GET"), "{:?}", amo.requests());
    assert_eq!(amo.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn missing_rights_and_times_name_the_line_that_mends_them() {
    let amo = fake_amo::start(Options::default()).await;
    let untimed = String::from_utf8(missed_call("1795339565.1"))
        .unwrap()
        .replace("Timestamp: 1795339565.000001\r\n", "");
    let untimed = untimed.replace("Timestamp: 1795339575.000001\r\n", "");
    let steps = vec![Step::Send(untimed.into_bytes())];
    let ami =
        FakeAmi::start(Script { steps, clock: Clock::Sent(1_795_339_565.0), ..Script::default() }).await;
    let (code, page) = check(&host(&ami, &amo), &["--listen", "1"]).await;
    assert_eq!(code, Some(0), "{page}");
    for words in [
        "it may not ask for ",
        "CoreShowChannels (Permission denied)",
        "→ in manager.conf, section [ami2amo]: `write = reporting`, then asterisk -rx 'manager reload'",
        "warn  [[pbx]] \"default\": events carry no time",
        "→ in manager.conf, section [general]: `timestampevents = yes`",
        "set both clocks by NTP",
        "warn  [amocrm]: users cannot be listed (HTTP 403",
    ] {
        assert!(page.contains(words), "{words}\n---\n{page}");
    }
}

#[tokio::test]
async fn a_token_whose_user_sees_a_part_of_the_contacts_is_told() {
    let warning = "warn  [amocrm]: the token's user sees a part of the contacts: numbers of the others look unknown to him\n      \
                   → in amoCRM, give him the right to see all contacts and companies\n";
    for (sees, is_told) in [("A", false), ("G", true), ("M", true), ("D", true)] {
        let staff = Staff { sees, ..Staff::default() };
        let amo = fake_amo::start(staffed(vec![504_141, 7], staff)).await;
        let ami = FakeAmi::start(good()).await;
        let host = host(&ami, &amo);
        host.edit("default-user = 1", "default-user = 504141");
        let (code, page) = check(&host, &["--listen", "1"]).await;
        assert_eq!((code, page.contains(warning)), (Some(0), is_told), "{sees}\n---\n{page}");
    }
}

#[tokio::test]
async fn a_wrong_secret_and_a_revoked_token_fail_with_their_remedies() {
    let amo = fake_amo::start(Options::default()).await;
    amo.set_token("another");
    let ami = FakeAmi::start(Script { secret: b"other".to_vec(), ..Script::default() }).await;
    let host = host(&ami, &amo);
    let (code, page) = check(&host, &[]).await;
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("fail  [[pbx]] \"default\": Asterisk refused the user \"ami2amo\""), "{page}");
    assert!(page.contains("section [ami2amo]: `secret = …`"), "{page}");
    assert!(page.contains("fail  [amocrm]: HTTP 401") && page.contains("make a new one"), "{page}");
    let (code, page) = check(&host, &["--language", "ru", "--json"]).await;
    let told: Vec<Value> = page.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<_> = told
        .iter()
        .filter(|told| told["grade"] == "fail")
        .map(|told| told["place"].as_str().unwrap())
        .collect();
    assert_eq!((code, failed), (Some(1), vec!["[[pbx]] \"default\"", "[amocrm]"]));
    assert!(page.contains("токен не принят"), "{page}");
}

#[tokio::test]
async fn who_never_answers_holds_nothing_up_for_long() {
    let amo = fake_amo::start(Options::default()).await;
    amo.fault(On::Any, 1000, What::HangBefore);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host =
        Host::with_amo(silent.local_addr().unwrap().port(), "", &amo.base_url(), &Options::default().token);
    host.edit("default-user = 1", "default-user = 1\nrequest-timeout = \"2s\"");
    let (code, page) = check(&host, &["--listen", "1"]).await;
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("no Asterisk greeting within 10 s"), "{page}");
    assert!(page.contains("fail  [amocrm]: "), "{page}");
}

#[tokio::test]
async fn the_pbxs_own_file_tells_what_no_event_shows() {
    let amo = fake_amo::start(Options::default()).await;
    let ami =
        FakeAmi::start(Script { hints: Some(Vec::new()), clock: Clock::Host, ..Script::default() }).await;
    let host = host(&ami, &amo);
    let (_, page) = check(&host, &["--listen", "1"]).await;
    assert!(
        page.contains("no event came in 1 s: the classes of events and timestampevents are not proved"),
        "{page}"
    );
    let file = host.path("manager.conf");
    std::fs::write(&file, "[general]\nenabled = yes\n[ami2amo]\nread = system,call\nwrite = reporting\n")
        .unwrap();
    let (_, page) = check(&host, &["--listen", "1", "--manager-conf", file.to_str().unwrap()]).await;
    assert!(page.contains("does not grant the classes agent, user, cdr, dialplan\n"), "{page}");
    assert!(page.contains("writetimeout is 100 ms") && page.contains("`writetimeout = 5000`"), "{page}");
    assert!(page.contains("does not say timestampevents = yes"), "{page}");
}

#[tokio::test]
async fn folders_of_recordings_are_looked_into() {
    let amo = fake_amo::start(Options::default()).await;
    let ami = FakeAmi::start(good()).await;
    let host = host(&ami, &amo);
    let root = host.path("monitor");
    let keys = format!(
        "default-user = 1\nrecording-root = {:?}\nrecording-url = \"https://pbx.example.org/{{file}}\"",
        root.to_str().unwrap()
    );
    host.edit("default-user = 1", &keys);
    let (_, page) = check(&host, &["--listen", "1"]).await;
    assert!(page.contains("cannot be read: No such file"), "{page}");
    std::fs::create_dir(&root).unwrap();
    let (_, page) = check(&host, &["--listen", "1"]).await;
    assert!(page.contains("ok    [amocrm]: recording-root ") && page.contains("can be read\n"), "{page}");
}

#[tokio::test]
async fn a_check_posts_one_call_to_the_contact_that_is_named() {
    let known = Known::Only(vec![("9161234567".to_owned(), "contact")]);
    let amo = fake_amo::start(Options { known, ..Options::default() }).await;
    let host = Host::with_amo(9, "", &amo.base_url(), &Options::default().token);
    let (code, page) = check(&host, &["--post", "+7 916 123-45-67"]).await;
    assert_eq!(code, Some(0), "{page}");
    assert!(
        page.contains("posted one inbound call of 0 seconds") && page.contains("it is stored as note"),
        "{page}"
    );
    let calls = amo.calls();
    assert!(calls.len() == 1 && calls[0].uniq().starts_with("ami2amo-check-"), "{calls:?}");
    assert_eq!((calls[0].phone(), &calls[0].call["duration"]), ("+79161234567", &Value::from(0)));
    assert_eq!(amo.violations(), Vec::<String>::new());
    let (code, page) = check(&host, &["--post", "+79160000000"]).await;
    assert!(code == Some(1) && page.contains("no contact has the number +79160000000"), "{page}");
    let (code, page) = check(&host, &["--post", "101"]).await;
    assert!(code == Some(2) && page.contains("a whole international number"), "{page}");
    assert_eq!(amo.posts().len(), 1);
}

#[tokio::test]
async fn a_number_of_two_contacts_is_not_posted_to() {
    let twice = ["9161234567", "79161234567"].map(|number| (number.to_owned(), "contact"));
    let amo = fake_amo::start(Options { known: Known::Only(twice.to_vec()), ..Options::default() }).await;
    let host = Host::with_amo(9, "", &amo.base_url(), &Options::default().token);
    let (code, page) = check(&host, &["--post", "+79161234567"]).await;
    assert!(code == Some(1) && page.contains("2 contacts have the number"), "{page}");
    assert!(amo.posts().is_empty());
}
