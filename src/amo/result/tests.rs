use super::*;
use crate::call::record::{Segment, sample};

const ALL: [Outcome; 11] = [
    Outcome::Answered,
    Outcome::Voicemail,
    Outcome::Unavailable,
    Outcome::WrongNumber,
    Outcome::NoAnswer,
    Outcome::Cancelled,
    Outcome::Abandoned,
    Outcome::Declined,
    Outcome::Congestion,
    Outcome::Busy,
    Outcome::Fax,
];

fn record() -> CallRecord {
    let record = sample::call("1.1").record;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    CallRecord {
        segments: Vec::new(),
        answered_by: names(&["101", "102"]),
        rang: names(&["101"]),
        wait_seconds: seconds(8),
        ..record
    }
}

fn seconds(seconds: u64) -> Seconds {
    Seconds::from_duration(Duration::from_secs(seconds))
}

fn results(toml: &str) -> Results {
    toml::from_str(toml).unwrap()
}

#[track_caller]
fn check(record: &CallRecord, own: &str, language: Language, expected: &str) {
    let results = results(own);
    let telling = Telling { results: &results, language, max: TEXT_MAX, who: None };
    assert_eq!(telling.of(record).unwrap_or_default(), expected, "{own}");
}

#[test]
fn who_answered_when_and_to_whom_it_was_passed_is_told() {
    check(&record(), "", Language::Ru, "Ответил 101 через 8 с, перевод на 102");
    check(&record(), "", Language::En, "Answered by 101 after 8 s, passed to 102");
    let alone = CallRecord { answered_by: vec!["101".to_owned()], wait_seconds: seconds(0), ..record() };
    check(&alone, "", Language::Ru, "Ответил 101");
    let out = CallRecord { direction: Direction::Outbound, ..alone };
    check(&out, "", Language::Ru, "Разговор состоялся, звонил 101");
    check(&out, "", Language::En, "Talked, called by 101");
}

#[test]
fn whoever_talked_together_with_the_first_got_no_transfer() {
    let start = record().started_at;
    let segment = |extension: &str, from: u64, to: u64| Segment {
        extension: extension.to_owned(),
        from: start.after(Duration::from_secs(from)),
        to: start.after(Duration::from_secs(to)),
    };
    let segments = vec![segment("101", 8, 60), segment("102", 20, 60), segment("103", 59, 90)];
    let answered_by = ["101", "102", "103"].map(str::to_owned).to_vec();
    let conference = CallRecord { answered_by, segments, ..record() };
    check(&conference, "", Language::Ru, "Ответил 101 через 8 с, вместе с 102, перевод на 103");
}

#[test]
fn every_outcome_has_words_in_both_languages_and_directions() {
    for outcome in ALL {
        for direction in [Direction::Inbound, Direction::Outbound, Direction::Internal] {
            for language in [Language::Ru, Language::En] {
                let short = words(outcome, direction, language);
                let record = CallRecord { direction, outcome, ..record() };
                let results = Results::new();
                let told = Telling { results: &results, language, max: TEXT_MAX, who: None }.of(&record);
                let begins = told.is_some_and(|told| told.starts_with(short));
                assert!(begins || outcome == Outcome::Answered, "{outcome:?} {direction:?}");
                assert!(!short.contains(['{', '[', ']']) && !short.trim().is_empty(), "{short}");
                let cyrillic = short.chars().any(|sign| ('а'..='я').contains(&sign));
                assert_eq!(cyrillic, language == Language::Ru, "{short}");
            }
        }
    }
}

#[test]
fn the_line_may_have_a_language_of_its_own() {
    let mut record = record();
    record.line.language = Some(Language::En);
    check(&record, "", Language::Ru, "Answered by 101 after 8 s, passed to 102");
}

#[test]
fn the_dial_plan_goes_before_the_configuration_and_that_before_us() {
    let own = "answered = \"{phone} говорил с {who}[ и {then}]: {talk}\"";
    check(&record(), own, Language::Ru, "79161234568 говорил с 101 и 102: 4 с");
    let said = CallRecord { call_result: Some("Заказ 7".to_owned()), ..record() };
    check(&said, own, Language::Ru, "Заказ 7");
    check(&record(), "answered = \" \"", Language::Ru, "");
}

#[test]
fn one_direction_may_have_words_of_its_own() {
    let own = "answered = { inbound = \"Взял {who}\" }";
    check(&record(), own, Language::Ru, "Взял 101");
    let out = CallRecord { direction: Direction::Outbound, ..record() };
    check(&out, own, Language::Ru, "Разговор состоялся, звонил 101, ответ через 8 с, перевод на 102");
    for text in [own, "busy = \"Занят\""] {
        let read = results(text);
        let json = serde_json::to_value(&read).unwrap();
        assert_eq!(serde_json::from_value::<Results>(json).unwrap(), read);
    }
}

#[test]
fn a_text_is_one_line_of_bounded_length() {
    let said = CallRecord { call_result: Some(format!("а\r\nб{}", "x".repeat(300))), ..record() };
    let results = Results::new();
    let telling = Telling { results: &results, language: Language::Ru, max: TEXT_MAX, who: None };
    let told = telling.of(&said).unwrap();
    assert_eq!(told.chars().count(), TEXT_MAX);
    assert!(told.starts_with("а  бx") && told.ends_with("x…"), "{told}");
    let shorter = Telling { max: 12, ..telling };
    assert_eq!(shorter.of(&record()).as_deref(), Some("Ответил 101…"));
    assert_eq!(Telling { max: 0, ..telling }.of(&record()), None);
}

#[test]
fn times_are_told_as_people_say_them() {
    let check = |value, russian: Option<&str>| {
        assert_eq!(span(seconds(value), Language::Ru).as_deref(), russian, "{value}");
    };
    check(0, None);
    check(1, Some("1 с"));
    check(60, Some("1 мин"));
    check(125, Some("2 мин 5 с"));
    check(3600, Some("1 ч"));
    check(3785, Some("1 ч 3 мин"));
    assert_eq!(span(seconds(125), Language::En).as_deref(), Some("2 min 5 s"));
    let many: Vec<String> = (101..=107).map(|number| number.to_string()).collect();
    let busy = CallRecord { outcome: Outcome::Busy, rang: many, ..record() };
    self::check(&busy, "", Language::Ru, "Сотрудник был занят: 101, 102, 103, 104, 105, …");
}

#[test]
fn who_is_told_may_be_more_than_an_extension() {
    let results = Results::new();
    let telling =
        Telling {
            results: &results, language: Language::Ru, max: TEXT_MAX, who: Some("доб. 101 Иванов")
        };
    let alone = CallRecord { answered_by: vec!["101".to_owned()], ..record() };
    assert_eq!(telling.of(&alone).as_deref(), Some("Ответил доб. 101 Иванов через 8 с"));
    let missed = CallRecord { outcome: Outcome::NoAnswer, rang: vec!["101".to_owned()], ..alone };
    let said = telling.of(&missed).unwrap();
    assert_eq!(said, "Никто не ответил за 8 с, вызывали доб. 101 Иванов");
    let whole = crate::amo::who::telling(Some(said.clone()), telling.who, TEXT_MAX);
    assert_eq!(whole, Some(said), "it is not told twice");
}

#[test]
fn an_unknown_place_is_refused() {
    let error = toml::from_str::<Results>("answered = \"Взял {whom}\"").unwrap_err();
    assert!(error.message().contains("there is no place {whom}; there are {who}, {then}"), "{error}");
    let error = toml::from_str::<Results>("busy = { inbound = \"{x}\" }").unwrap_err();
    assert_eq!(error.span().map(|span| span.start), Some(19), "{error}");
    assert!(toml::from_str::<Results>("busy = { internal = \"x\" }").is_err());
}
