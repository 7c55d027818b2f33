use super::*;
use crate::call::record::sample;

fn settings(toml: &str) -> Settings {
    toml::from_str(toml).unwrap()
}

fn talk(recording: &str) -> CallRecord {
    CallRecord { recording: Some(recording.to_owned()), ..sample::call("1795337591.4").record }
}

fn message(message: &str) -> CallRecord {
    let record = sample::call("1795337591.4").record;
    CallRecord {
        answered: false,
        outcome: Outcome::Voicemail,
        recording: None,
        message: Some(message.to_owned()),
        ..record
    }
}

#[track_caller]
fn check(record: &CallRecord, toml: &str, sound: Option<&str>, expected: Option<&str>) {
    // The sample begins at 09:13 UTC: three hours further it is the same day, fifteen make it the next.
    let clocks = Clocks { utc_offset: 3 * 3600, ..Clocks::default() };
    let manner = Manner { clocks, sound, ..Manner::default() };
    assert_eq!(link(record, &settings(toml), &manner).as_deref(), expected, "{toml} {sound:?}");
}

#[test]
fn an_address_is_made_of_the_name_that_the_pbx_told() {
    let url = "recording-url = \"https://p/{file}\"";
    check(&talk("a.wav"), url, None, Some("https://p/a.wav"));
    check(&talk("/2026/11/22/a.wav"), url, None, Some("https://p/2026/11/22/a.wav"));
    check(&talk("a?b#c%&+.wav"), url, None, Some("https://p/a%3Fb%23c%25%26%2B.wav"));
    check(&talk("звонок 1.wav"), url, None, Some("https://p/%D0%B7%D0%B2%D0%BE%D0%BD%D0%BE%D0%BA%201.wav"));
    for outside in ["../etc/passwd", "a/../../b", "a//b", "", "./a", "a/."] {
        check(&talk(outside), url, None, None);
    }
    check(&talk(&"x".repeat(LINK_MAX)), url, None, None);
    check(&talk("a.wav"), "", None, None);
}

#[test]
fn the_day_is_the_files_or_the_calls() {
    let url = "recording-url = \"https://p/{year}/{month}/{day}/{file}\"";
    check(&talk("in.wav"), url, None, Some("https://p/2026/11/22/in.wav"));
    check(&talk("2026/11/23/in.wav"), url, None, Some("https://p/2026/11/23/in.wav"));
    check(&talk("sub/in.wav"), url, None, Some("https://p/2026/11/22/sub/in.wav"));
    check(&talk("2026/x1/23/in.wav"), url, None, Some("https://p/2026/11/22/2026/x1/23/in.wav"));
    let name = "recording-url = \"https://p/?d={day}&f={name}&p={pbx}&u={uniqueid}\"";
    check(&talk("sub/in 1.wav"), name, None, Some("https://p/?d=22&f=in%201.wav&p=default&u=1795337591.4"));
}

#[test]
fn a_file_that_becomes_another_one_is_named_without_its_ending() {
    let url = "recording-url = \"https://p/{day}/{stem}.mp3\"";
    check(&talk("2026/11/23/in-1795337591.4.wav"), url, None, Some("https://p/23/in-1795337591.4.mp3"));
    check(&talk("a.b/in"), url, None, Some("https://p/22/a.b/in.mp3"));
    check(&talk("../in.wav"), url, None, None);
}

#[test]
fn an_address_by_channel_needs_no_file() {
    let url = "recording-url = \"https://p/rec?id={uniqueid}\"";
    let record = CallRecord { recording: None, ..talk("") };
    check(&record, url, None, Some("https://p/rec?id=1795337591.4"));
    check(&CallRecord { answered: false, outcome: Outcome::Busy, ..record }, url, None, None);
}

#[test]
fn with_a_folder_only_a_file_that_is_there_has_an_address() {
    let keys = "recording-url = \"https://p/{file}\"\nrecording-root = \"/rec\"";
    check(&talk("a.wav"), keys, None, None);
    check(&talk("a.wav"), keys, Some("2026/11/22/a.mp3"), Some("https://p/2026/11/22/a.mp3"));
}

#[test]
fn a_message_is_heard_elsewhere() {
    let keys = "recording-url = \"https://p/{file}\"\nvoicemail-url = \"https://v/{file}.wav\"";
    let record = message("default/101/INBOX/msg0000");
    check(&record, keys, None, Some("https://v/default/101/INBOX/msg0000.wav"));
    check(&record, "recording-url = \"https://p/{file}\"", None, None);
    check(&CallRecord { message: None, ..record }, keys, None, None);
}

fn searched(record: &CallRecord, toml: &str) -> Option<Search> {
    search(record, &settings(toml), &Clocks { utc_offset: 3 * 3600, ..Clocks::default() })
}

const KEYS: &str = "recording-url = \"https://p/{file}\"\nrecording-root = \"/rec/{pbx}\"";

#[test]
fn a_file_is_looked_for_in_the_days_folders_and_where_it_was_told() {
    let found = searched(&talk("in.wav"), KEYS).unwrap();
    assert_eq!(found.root, PathBuf::from("/rec/default"));
    let days = ["2026/11/22/in.wav", "2026/11/21/in.wav", "2026/11/23/in.wav", "in.wav"];
    assert_eq!(found.names, days);
    assert_eq!(searched(&talk("2026/11/22/in.wav"), KEYS).unwrap().names, ["2026/11/22/in.wav"]);
    let hinted =
        CallRecord { recording: None, recording_hints: vec!["x".to_owned(), "../y".to_owned()], ..talk("") };
    assert_eq!(searched(&hinted, KEYS).unwrap().names.last().map(String::as_str), Some("x"));
}

#[test]
fn nothing_is_looked_for_without_a_folder_an_address_or_a_name() {
    assert_eq!(searched(&talk("in.wav"), "recording-url = \"https://p/{file}\""), None);
    assert_eq!(searched(&talk("in.wav"), "recording-root = \"/rec\""), None);
    assert_eq!(searched(&CallRecord { recording: None, ..talk("") }, KEYS), None);
    assert_eq!(searched(&talk("../in.wav"), KEYS), None);
    let missed = CallRecord { answered: false, outcome: Outcome::NoAnswer, ..talk("in.wav") };
    assert_eq!(searched(&missed, KEYS), None);
    let keys = "voicemail-url = \"https://v/{file}\"\nvoicemail-root = \"/vm\"";
    assert_eq!(searched(&message("d/101/INBOX/msg0000"), keys).unwrap().root, PathBuf::from("/vm"));
}

#[test]
fn a_pattern_has_the_calls_own_marks_and_nothing_of_a_callers() {
    let keys = format!("{KEYS}\nrecording-search = \"{{year}}/{{month}}/{{day}}/*{{uniqueid}}*\"");
    let record = CallRecord { recording: None, ..talk("") };
    let found = searched(&record, &keys).unwrap();
    assert_eq!(found.patterns[0], "2026/11/22/*1795337591.4*");
    assert_eq!((found.names.len(), found.patterns.len()), (0, 3));
    let hostile = CallRecord { uniqueids: vec!["../*".to_owned(), "*".to_owned()], ..record };
    assert_eq!(searched(&hostile, &keys), None);
}

#[test]
fn a_template_that_leads_nowhere_is_refused() {
    for url in [
        "pbx/{file}",
        "ftp://p/{file}",
        "https://{file}",
        "https:///{file}",
        "https://p/rec",
        "https://p/{file",
        "https://p/ {file}",
        "https://p/{day}",
        "https://p/{files}",
    ] {
        assert!(LinkTemplate::try_from(url.to_owned()).is_err(), "{url}");
    }
    for url in ["https://[::1]:8/{file}", "http://p/?f={file}", "https://p/a[?d={day}]/{name}"] {
        assert_eq!(String::from(LinkTemplate::try_from(url.to_owned()).unwrap()), url);
    }
    for pattern in ["*", "/{uniqueid}", "../{uniqueid}", "{uniqueid}/", "{phone}*", "{x}"] {
        assert!(SearchTemplate::try_from(pattern.to_owned()).is_err(), "{pattern}");
    }
    let login = LinkTemplate::try_from("https://me:hidden@p/rec".to_owned()).unwrap_err().to_string();
    assert!(!login.contains("hidden"), "{login}");
}
