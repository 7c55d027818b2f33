use super::*;
use crate::amo::calls::Responsible;
use crate::amo::who::Who;
use crate::call::facts::Word;
use crate::call::record::{Exchange, Leg, Moment, Role, Side, Skip, What, sample};
use crate::call::side::evidence::Evidence;
use crate::ops::screen::{Paint, page as printed};
use crate::outbox::queue::Seq;
use crate::outbox::schedule::Slip;
use crate::outbox::search::Noted;
use crate::time::HostTime;

fn found(call: FinishedCall) -> Found {
    Found { call, whereabouts: Whereabouts::Capture }
}

fn with(settings: &Settings) -> Around<'_> {
    Around { settings: Some(settings), ..Around::default() }
}

fn text(found: &Found, language: Language) -> String {
    let lines = page(found, Around::default(), language);
    for line in &lines {
        assert!(line.columns() <= WIDTH, "{} columns: {}", line.columns(), line.plain());
    }
    printed(&lines, Paint::None)
}

/// A call in which every name is written by an enemy.
fn hostile(people: usize) -> FinishedCall {
    let name = |number: usize| format!("{number}\u{1b}[2J\u{7}\r\n\u{202e}\u{9b}{}", "営業部長ё".repeat(40));
    let mut call = sample::call(&name(0));
    let record = &mut call.record;
    record.recording = Some(name(1) + ".wav");
    record.phone_raw = Some(name(2));
    (record.did, record.responsible) = (Some(name(3)), Some(name(4)));
    record.why = vec![
        Why::Side { endpoint: name(5), side: Side::Unknown, evidence: Evidence::None, weak: true },
        Why::Phone { source: crate::call::why::PhoneSource::CallerId },
        Why::DialPlan { word: Word::Result, value: name(6) },
    ];
    let sides = [Side::Outside, Side::Inside, Side::Unknown];
    let leg = |number: usize| Leg {
        uniqueid: number.to_string(),
        channel: format!("PJSIP/{}-0000001a", name(number)),
        side: sides[number % 3],
        party: Some(name(number)),
        role: (number == 0).then_some(Role::Party),
        configured: false,
    };
    call.timeline.legs = (0..people).map(leg).collect();
    call.timeline.moments = hostile_moments(call.record.started_at, people, &name(7));
    let talk = |number: u16| Exchange {
        leg: number,
        with: 0,
        from: call.record.started_at,
        to: call.record.ended_at,
    };
    call.timeline.talks = (1..u16::try_from(people).unwrap()).map(talk).collect();
    call
}

fn hostile_moments(at: crate::time::PbxTime, people: usize, name: &str) -> Vec<Moment> {
    let name = || name.to_owned();
    let whats = [
        What::Started,
        What::Rang,
        What::Queued { queue: name() },
        What::Transferred { to: Some(name()) },
        What::DialEnded { status: "CANCEL".to_owned(), forward: Some(name()) },
        What::DialEnded { status: name(), forward: None },
        What::HungUp { cause: 65_535 },
    ];
    let legs = 0..=u16::try_from(people).unwrap(); // one leg too many: it is not in the list
    let moments = legs.flat_map(|leg| {
        whats.clone().into_iter().map(move |what| Moment { at, leg, with: Some(leg.wrapping_sub(1)), what })
    });
    moments.collect()
}

#[test]
fn a_page_is_eighty_columns_wide_whatever_the_names_are() {
    for people in [0, 1, 2, 5, 7, 8, 9, 30] {
        for language in [Language::En, Language::Ru] {
            let text = text(&found(hostile(people)), language);
            let harmful = text.chars().find(|c| crate::ops::screen::is_harmful(*c) && *c != '\n');
            assert_eq!(harmful, None, "{text}");
        }
    }
}

#[test]
fn json_for_tools_cannot_play_with_a_terminal_either() {
    let call = hostile(3);
    let json = json(&found(call.clone()), Around::default(), Language::En).unwrap();
    assert!(!json.contains(crate::ops::screen::is_harmful), "{json}");
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["record"]["did"], call.record.did.unwrap());
}

#[test]
fn colours_change_nothing_but_colours() {
    let lines = page(&found(sample::call("1.1")), Around::default(), Language::En);
    let coloured = printed(&lines, Paint::Colours);
    let mut plain = String::new();
    for (number, piece) in coloured.split('\u{1b}').enumerate() {
        plain.push_str(if number == 0 { piece } else { piece.split_once('m').unwrap().1 });
    }
    let trimmed: Vec<&str> = plain.lines().map(str::trim_end).collect();
    assert_eq!(trimmed, printed(&lines, Paint::None).lines().collect::<Vec<_>>());
    assert!(coloured.contains("\u{1b}[1m"));
}

#[test]
fn what_would_be_posted_is_the_object_of_the_request() {
    let record = sample::call("1795337591.4").record;
    let settings: Settings = toml::from_str("[users]\n101 = 504141\n").unwrap();
    let entry = calls::entry(&record, "0", &settings, &calls::Manner::default()).unwrap();
    let found = found(sample::call("1795337591.4"));
    let lines = page(&found, with(&settings), Language::En);
    let text = printed(&lines, Paint::None);
    let object = text.split_once("  {\n").and_then(|(_, rest)| rest.rsplit_once("  }\n")).unwrap().0;
    let shown: serde_json::Value = serde_json::from_str(&format!("{{{object}}}")).unwrap();
    assert_eq!(shown, serde_json::to_value(&entry).unwrap());
    let json = json(&found, with(&settings), Language::En).unwrap();
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["amocrm"]["entry"], shown);
    assert_eq!(object["amocrm"]["entry"]["responsible_user_id"], 504_141);
}

#[test]
fn whom_a_call_was_booked_on_is_shown_where_the_configuration_does_not_say_it() {
    let call = sample::call("1.1");
    let mut slip = Slip::new(Seq(1), &call.record, HostTime::default());
    let shown = Some(Responsible::User(9));
    slip.errand.booked = Some(Who { user: Some(9), shown, told: Some("ext. 101".to_owned()) });
    let found = Found { call, whereabouts: Whereabouts::Store(Box::new(slip)) };
    let settings: Settings = toml::from_str("[users]\n101 = 504141\n").unwrap();
    let json = json(&found, with(&settings), Language::En).unwrap();
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    let entry = &object["amocrm"]["entry"];
    assert_eq!((&entry["call_responsible"], &entry["created_by"]), (&9.into(), &9.into()));
    assert!(entry["call_result"].as_str().unwrap().contains("ext. 101"));
}

#[test]
fn a_link_is_shown_with_the_local_day() {
    let mut call = sample::call("1.1");
    call.record.recording = Some("a.wav".to_owned());
    let found = found(call);
    let settings: Settings = toml::from_str("recording-url = \"https://p/{day}/{file}\"").unwrap();
    let link = |utc_offset| {
        let json = json(&found, Around { utc_offset, ..with(&settings) }, Language::En).unwrap();
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["amocrm"]["entry"]["link"].clone()
    };
    assert_eq!((link(0), link(3600 * 15)), ("https://p/22/a.wav".into(), "https://p/23/a.wav".into()));
}

#[test]
fn a_call_that_is_not_sent_shows_no_request() {
    let mut call = sample::call("1.1");
    call.record.skip = Some(Skip::Internal);
    let found = found(call);
    assert!(!text(&found, Language::En).contains("request_id"));
    let object: serde_json::Value =
        serde_json::from_str(&json(&found, Around::default(), Language::En).unwrap()).unwrap();
    assert_eq!(object["amocrm"]["entry"], serde_json::Value::Null);
    assert_eq!(object["amocrm"]["source"], "capture");
}

#[test]
fn the_state_of_a_stored_call_is_told() {
    let call = sample::call("1.1");
    let waiting = Found { call: call.clone(), whereabouts: Whereabouts::Journal(Noted::Waiting) };
    assert!(text(&waiting, Language::En).contains("as of the journal"));
    let mut trimmed = call;
    trimmed.timeline = Timeline::default();
    assert!(text(&found(trimmed.clone()), Language::En).contains("too long to be kept"));
    crate::outbox::forget::anonymize(&mut trimmed, "79161234568");
    assert!(text(&found(trimmed), Language::En).contains("Its number was forgotten"));
}
