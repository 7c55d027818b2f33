use super::*;
use crate::call::record::{Skip, sample};
use crate::call::why::{Filter, Why};
use crate::outbox::errand::{Errand, Make, Sound};
use crate::outbox::queue::{BatchId, EntityRef, Phase, Seq, State};
use crate::outbox::schedule::Slip;
use crate::outbox::search::Noted;
use crate::time::HostTime;

const AT: HostTime = HostTime::from_micros(1_795_338_791_000_000);

fn record() -> CallRecord {
    sample::call("1795337591.4").record
}

fn slip(state: State) -> Whereabouts {
    Whereabouts::Store(Box::new(Slip { state, ..Slip::new(Seq(1), &record(), AT) }))
}

fn states() -> Vec<State> {
    let (batch, since, at) = (BatchId(1), AT, AT);
    vec![
        State::Pending,
        State::Sending { batch, since },
        State::Sent { note_id: Some(7), entity: Some(EntityRef { kind: "contact".into(), id: 9 }), at },
        State::Unknown { batch, since, looked: 2 },
        State::Parked { since },
        State::Unsorted { uid: None, at },
        State::Skipped { reason: Skip::Anonymous, at },
        State::Expired { reason: "too old".into(), at },
        State::Dead { reason: "no such user".into(), at },
    ]
}

fn say(record: &CallRecord, whereabouts: &Whereabouts, settings: &str, language: Language) -> Sending {
    let settings: Settings = toml::from_str(settings).unwrap();
    sending(record, whereabouts, Some(&settings), language)
}

#[test]
fn every_state_has_words_in_both_languages_and_its_name_in_them() {
    for state in states() {
        let phase = state.phase();
        let whereabouts = slip(state);
        let [en, ru] = [Language::En, Language::Ru]
            .map(|language| say(&record(), &whereabouts, "default-user = 1", language));
        assert!(en.text.is_ascii() && !ru.text.is_ascii(), "{en:?} {ru:?}");
        assert_eq!((en.standing, en.advice.len()), (ru.standing, ru.advice.len()));
        let name = serde_json::to_string(&phase).unwrap();
        let name = name.trim_matches('"');
        assert!(phase == Phase::Skipped || (en.text.contains(name) && ru.text.contains(name)), "{en:?}");
    }
}

#[test]
fn a_call_for_which_something_is_made_says_what() {
    let errand = |make, against: Option<&str>| Errand {
        make,
        against: against.map(str::to_owned),
        ..Errand::default()
    };
    for (errand, en, ru) in [
        (errand(Some(Make::Unsorted), None), "an item in Incoming leads is made", "создаётся неразобранное"),
        (errand(Some(Make::Contact), None), "a contact is made", "создаётся контакт"),
        (errand(Some(Make::Lead), None), "a lead is made", "создаётся сделка"),
        (errand(None, Some("u")), "is in Incoming leads already", "уже есть в «Неразобранном»"),
    ] {
        let parked = Slip::new(Seq(1), &record(), AT);
        let parked = Slip { state: State::Parked { since: AT }, errand, ..parked };
        let parked = Whereabouts::Store(Box::new(parked));
        let text = |language| say(&record(), &parked, "default-user = 1", language).text;
        assert!(text(Language::En).contains(en), "{}", text(Language::En));
        assert!(text(Language::Ru).contains(ru), "{}", text(Language::Ru));
    }
}

#[test]
fn a_call_that_was_delivered_names_its_note() {
    let sending = say(&record(), &slip(states().remove(2)), "users.101 = 5", Language::En);
    assert_eq!(sending.standing, Standing::Delivered);
    assert_eq!(sending.text, "It is in amoCRM since 2026-11-22T09:13:11.000Z (sent), note 7 of contact 9:");
    assert!(sending.advice.is_empty(), "{sending:?}");
}

#[test]
fn whatever_keeps_a_call_from_amocrm_has_advice() {
    for skip in [
        Skip::Internal,
        Skip::Anonymous,
        Skip::ShortNumber,
        Skip::NoConversation,
        Skip::UnknownSides,
        Skip::Policy,
    ] {
        let mut record = record();
        record.skip = Some(skip);
        record.why = vec![Why::Side {
            endpoint: "PJSIP/gw".into(),
            side: crate::call::record::Side::Unknown,
            evidence: crate::call::side::evidence::Evidence::None,
            weak: true,
        }];
        for whereabouts in [Whereabouts::Capture, Whereabouts::Journal(Noted::Done)] {
            let sending = say(&record, &whereabouts, "", Language::En);
            assert_eq!((sending.standing, sending.advice.len()), (Standing::NotSent, 1), "{sending:?}");
        }
    }
}

#[test]
fn what_the_policy_leaves_out_names_the_key() {
    let mut record = record();
    record.skip = Some(Skip::Policy);
    let advice = |record: &CallRecord| say(record, &Whereabouts::Capture, "", Language::En).advice.remove(0);
    assert!(advice(&record).contains("AMI2AMO_SEND"), "the dial plan, where no list did");
    record.why.push(Why::Filtered { by: Filter::Dids });
    assert!(advice(&record).contains("'dids' in [calls.send]"));
}

#[test]
fn a_call_that_is_nobodys_says_so() {
    let advice = |settings| say(&record(), &Whereabouts::Capture, settings, Language::En).advice;
    assert!(advice("")[0].contains("Extension 101 is not in [amocrm.users]: the call is nobody's"));
    assert!(advice("default-user = 5")[0].contains("the default user's (5)"));
    assert_eq!(advice("users.101 = 5"), Vec::<String>::new());
    let none = sending(&record(), &Whereabouts::Capture, None, Language::En);
    assert_eq!(none.advice, Vec::<String>::new(), "without a configuration nothing is known of users");
}

#[test]
fn what_is_known_of_a_recording_is_told() {
    let check = |sound: Sound, state: State, expected: Option<&str>| {
        let errand = Errand { sound: Some(sound), ..Errand::default() };
        let slip = Slip { state, errand, ..Slip::new(Seq(1), &record(), AT) };
        let whereabouts = Whereabouts::Store(Box::new(slip));
        let [en, ru] = [Language::En, Language::Ru]
            .map(|language| say(&record(), &whereabouts, "users.101 = 1\ndefault-user = 1", language).advice);
        assert_eq!(en.len(), ru.len());
        assert_eq!(
            en.first().is_some_and(|text| text.contains(expected.unwrap_or("recording"))),
            expected.is_some()
        );
    };
    let sent = || State::Sent { note_id: Some(7), entity: None, at: AT };
    check(Sound::Missing { since: AT, tries: 0 }, State::Pending, Some("is not there yet"));
    check(Sound::Missing { since: AT, tries: 0 }, sent(), Some("posted without the link"));
    check(Sound::Added { file: "a.mp3".to_owned() }, sent(), Some("added later: a.mp3"));
    check(
        Sound::GivenUp { reason: "no file".to_owned() },
        sent(),
        Some("without a link to its recording: no file"),
    );
    check(Sound::Found { file: "a.mp3".to_owned() }, sent(), None);
}
