//! What holds of every finished call, whatever the stream was: for itself, in the store, towards amoCRM
//! and on a page of `explain`.

use std::sync::LazyLock;

use crate::amo::calls as amo;
use crate::amo::settings::Settings;
use crate::call::record::{CallRecord, Direction, FinishedCall, Timeline};
use crate::ops::explain::{self, Around};
use crate::ops::screen::{WIDTH, is_harmful};
use crate::ops::words::Language;
use crate::outbox::queue::Seq;
use crate::outbox::schedule::Slip;
use crate::outbox::search::{Found, Whereabouts};
use crate::outbox::store::fit;
use crate::outbox::store::value::Stored;
use crate::time::{HostTime, PbxTime};

static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

/// Of a call whose events came from a PBX.
pub(super) fn check(call: &FinishedCall) {
    times(&call.record);
    meaning(&call.record);
    form(call);
}

/// Of any call, even one of which a damaged store says what cannot be.
pub(super) fn form(call: &FinishedCall) {
    timeline(&call.timeline);
    stored(call);
    posted(&call.record);
    explained(call);
}

/// Lengths of time lie within the call. The record has milliseconds, so each may be rounded up. A talk ends
/// when Asterisk says so, which may be after the outside party's leg asked to hang up; who talked is told
/// only where he has a name.
fn times(record: &CallRecord) {
    let CallRecord { started_at, answered_at, ended_at, .. } = *record;
    let within = |at: PbxTime| started_at <= at && at <= ended_at;
    assert!(started_at <= ended_at, "{record:?}");
    assert!(answered_at.is_none_or(within), "{record:?}");
    let last = record.segments.iter().map(|segment| segment.to).fold(ended_at, PbxTime::max);
    let whole = last.since(started_at).as_millis() + 1;
    let is_told = !record.segments.is_empty();
    assert!(!is_told || u128::from(record.talk_seconds.millis()) <= whole, "{record:?}");
    assert!(record.bridged_seconds.millis() <= record.talk_seconds.millis() + 1, "{record:?}");
    assert!(u128::from(record.wait_seconds.millis()) <= whole, "{record:?}");
    for segment in &record.segments {
        assert!(started_at <= segment.from && segment.from <= segment.to, "{record:?}");
    }
}

fn meaning(record: &CallRecord) {
    let id = format!("{}-", record.pbx);
    let opener = record.call_id.as_str().strip_prefix(&id).expect("an id begins with the PBX's name");
    let opener = opener.split(['~', '+']).next().unwrap_or_default();
    assert!(record.uniqueids.iter().any(|uniqueid| uniqueid.starts_with(opener)), "{record:?}");
    assert_eq!(record.answered, record.answered_at.is_some(), "{record:?}");
    assert!(record.answered || record.talk_seconds.millis() == 0, "{record:?}");
    assert!(record.phone.is_some() || record.skip.is_some(), "{record:?}");
    assert!(record.status.is_some() || record.direction == Direction::Internal, "{record:?}");
    assert!(!record.why.is_empty(), "{record:?}");
}

fn timeline(timeline: &Timeline) {
    let legs = timeline.legs.len();
    let is_leg = |leg: u16| usize::from(leg) < legs;
    for moment in &timeline.moments {
        assert!(is_leg(moment.leg) && moment.with.is_none_or(is_leg), "{moment:?} of {legs} legs");
    }
    for talk in &timeline.talks {
        assert!(is_leg(talk.leg) && is_leg(talk.with) && talk.from <= talk.to, "{talk:?} of {legs} legs");
    }
}

/// A value of the store is bounded, and gives the call back as it went in.
fn stored(call: &FinishedCall) {
    let fitted = fit::fit(call).expect("a call has a JSON form");
    assert!(fitted.json.len() <= fit::CALL_MAX, "{} bytes", fitted.json.len());
    let back: FinishedCall = serde_json::from_str(&fitted.json).expect("what was written is read");
    assert_eq!(serde_json::to_string(&back).expect("a call has a JSON form"), fitted.json);
    let stored = Stored::new(Slip::new(Seq(1), &call.record, HostTime::from_micros(1)), fitted);
    let bytes = stored.encode().expect("a call has a JSON form");
    assert!(bytes.len() <= fit::VALUE_MAX, "{} bytes", bytes.len());
    assert!(Stored::decode(&bytes).is_ok_and(|back| back.raw_call() == stored.raw_call()));
}

/// amoCRM refuses a batch for a `null` or a blank text in it.
fn posted(record: &CallRecord) {
    if record.skip.is_some() {
        return;
    }
    let Ok(entry) = amo::entry(record, record.call_id.as_str(), &SETTINGS, &amo::Manner::default()) else {
        return;
    };
    let body: serde_json::Value = serde_json::from_slice(&amo::batch_json(&[entry])).expect("it is JSON");
    for (key, value) in body[0].as_object().expect("a call is an object") {
        let blank = value.as_str().is_some_and(|text| text.trim().is_empty());
        assert!(!value.is_null() && !blank, "{key}: {body}");
    }
}

/// Nothing that a name holds can play with the terminal.
fn explained(call: &FinishedCall) {
    let found = Found { call: call.clone(), whereabouts: Whereabouts::Capture };
    let around = Around { settings: Some(&SETTINGS), ..Around::default() };
    for language in [Language::En, Language::Ru] {
        for line in explain::page(&found, around, language) {
            let plain = line.plain();
            assert!(!plain.contains(is_harmful), "{plain:?}");
            assert!(line.columns() <= WIDTH, "{plain:?}");
        }
    }
    let json = explain::json(&found, around, Language::En).expect("a call has a JSON form");
    assert!(!json.contains(is_harmful), "{json:?}");
}
