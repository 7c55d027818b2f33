use super::*;
use crate::call::id::CallId;
use crate::call::record::{Outcome, Seconds, sample};
use crate::time::PbxTime;

const STARTED: i64 = 1_795_338_791;

fn record() -> CallRecord {
    CallRecord { bridged_seconds: seconds(3200), ..sample::call("1795337591.4").record }
}

fn seconds(millis: u64) -> Seconds {
    Seconds::from_duration(std::time::Duration::from_millis(millis))
}

fn settings(json: &str) -> Settings {
    serde_json::from_str(json).unwrap()
}

fn written(record: &CallRecord, settings: &Settings) -> Entry {
    entry(record, "0", settings, &Manner::default()).unwrap()
}

#[test]
fn a_call_is_written_with_every_known_field() {
    let settings = settings(r#"{"users":{"101":504141},"recording-url":"https://pbx/rec/{file}"}"#);
    let mut record = record();
    record.recording = Some("2026/11/22/in 101.wav".to_owned());
    let body = batch_json(&[written(&record, &settings)]);
    assert_eq!(
        String::from_utf8(body).unwrap(),
        concat!(
            r#"[{"direction":"inbound","uniq":"default-1795337591.4","duration":4,"source":"ami2amo","#,
            r#""link":"https://pbx/rec/2026/11/22/in%20101.wav","phone":"79161234568","#,
            r#""call_responsible":504141,"call_result":"Ответил 101 через 3 с","call_status":4,"#,
            r#""responsible_user_id":504141,"created_by":504141,"created_at":1795338791,"request_id":"0"}]"#
        )
    );
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut record = record();
    record.status = None;
    record.responsible = None;
    let json = serde_json::to_value(written(&record, &Settings::default())).unwrap();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(!json.to_string().contains("null"));
    for absent in
        ["link", "call_responsible", "call_status", "responsible_user_id", "created_by", "updated_at"]
    {
        assert!(!keys.contains(&absent), "{absent}");
    }
}

#[test]
fn an_answered_call_lasts_a_second_at_least_and_a_missed_one_none() {
    #[track_caller]
    fn check(answered: bool, millis: u64, expected: u64) {
        let record = CallRecord { answered, talk_seconds: seconds(millis), ..record() };
        assert_eq!(written(&record, &Settings::default()).duration, expected);
    }
    check(true, 4200, 4);
    check(true, 4500, 5);
    check(true, 80, 1);
    check(true, 0, 1);
    check(false, 0, 0);
    check(false, 9000, 0);
}

#[test]
fn the_duration_may_leave_out_what_nobody_heard() {
    assert_eq!(written(&record(), &settings(r#"{"duration":"bridged"}"#)).duration, 3);
}

#[test]
fn the_start_is_told_by_amocrms_clock_and_is_never_later_than_now() {
    #[track_caller]
    fn check(host_ahead: i64, amo_ahead: i64, now: Option<i64>, expected: i64) {
        let now = now.map(|seconds| HostTime::from_micros(seconds * 1_000_000));
        let clocks = Clocks {
            host_ahead: host_ahead * 1_000_000,
            amo_ahead: amo_ahead * 1_000_000,
            now,
            utc_offset: 0,
        };
        let manner = Manner { clocks, ..Manner::default() };
        let entry = entry(&record(), "0", &Settings::default(), &manner).unwrap();
        assert_eq!(entry.created_at, Some(STARTED + expected), "{clocks:?}");
    }
    check(-2, 0, None, -2);
    check(60, 0, Some(STARTED + 100), 60);
    // amoCRM's clock is told by its headers, in whole seconds.
    check(0, 1, None, 0);
    check(0, -7, Some(STARTED + 100), -7);
    check(60, 120, Some(STARTED + 100), 180);
    // No call begins after now, whatever the PBX's clock says.
    check(3600, 0, Some(STARTED + 30), 30);
    check(3600, 120, Some(STARTED + 30), 150);
    let never = CallRecord { started_at: PbxTime::from_micros(-5), ..record() };
    assert_eq!(written(&never, &Settings::default()).created_at, None);
}

#[test]
fn a_call_that_amocrm_would_refuse_is_not_written() {
    #[track_caller]
    fn check(record: &CallRecord, expected: Unfit) {
        assert_eq!(entry(record, "0", &Settings::default(), &Manner::default()), Err(expected));
    }
    check(&CallRecord { phone: None, ..record() }, Unfit::NoPhone);
    check(&CallRecord { phone: Some(" ".to_owned()), ..record() }, Unfit::NoPhone);
    check(&CallRecord { phone: Some("7".repeat(256)), ..record() }, Unfit::LongPhone);
}

#[test]
fn an_undocumented_status_is_left_out() {
    for status in [0, 8, 255] {
        let record = CallRecord { status: Some(status), ..record() };
        assert_eq!(written(&record, &Settings::default()).call_status, None);
    }
}

#[test]
fn own_words_replace_ours_and_empty_words_say_nothing() {
    let own = written(&record(), &settings(r#"{"users":{"101":7},"results":{"answered":"Поговорили"}}"#));
    assert_eq!(own.call_result.as_deref(), Some("Поговорили"));
    let none = written(&record(), &settings(r#"{"users":{"101":7},"results":{"answered":" "}}"#));
    assert_eq!(none.call_result, None);
}

#[test]
fn the_result_tells_whose_side_it_was() {
    #[track_caller]
    fn check(direction: Direction, language: &str, expected: &str) {
        let record = CallRecord { direction, answered: false, outcome: Outcome::Busy, ..record() };
        let entry = written(
            &record,
            &settings(&format!(r#"{{"default-user":7,"unmapped":"omit","language":"{language}"}}"#)),
        );
        assert_eq!(entry.call_result.as_deref(), Some(expected));
    }
    check(Direction::Inbound, "ru", "Сотрудник был занят: 101, 102");
    check(Direction::Outbound, "ru", "Абонент занят, звонил 101");
    check(Direction::Inbound, "en", "The employee was busy: 101, 102");
    check(Direction::Outbound, "en", "The customer was busy, called by 101");
}

#[test]
fn an_id_longer_than_amocrm_takes_is_cut_the_same_way_every_time() {
    let record = CallRecord { call_id: CallId::from_text("x".repeat(300)), ..record() };
    assert_eq!(written(&record, &Settings::default()).uniq, "x".repeat(255));
    assert_eq!(uniq(&record), "x".repeat(255));
}

#[test]
fn whoever_answered_first_is_told_by_his_own_number_after_a_blind_transfer() {
    #[track_caller]
    fn check(record: &CallRecord, users: &str, expected: &str) {
        let settings: Settings = toml::from_str(&format!("users = {{ {users} }}")).unwrap();
        assert_eq!(written(record, &settings).call_result.as_deref(), Some(expected), "{users}");
    }
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let record = CallRecord {
        responsible: Some("102".to_owned()),
        answered_by: names(&["101", "102"]),
        rang: names(&["101", "102"]),
        segments: Vec::new(),
        ..sample::call("1.1").record
    };
    check(&record, "101 = 1", "Ответил 101 через 3 с, перевод на доб. 102");
    check(&record, "102 = 2", "Ответил 101 через 3 с, перевод на 102");
    check(&record, "", "Ответил 101 через 3 с, перевод на доб. 102");
    let alone = CallRecord { answered_by: names(&["102"]), ..record };
    check(&alone, "101 = 1", "Ответил доб. 102 через 3 с");
}
