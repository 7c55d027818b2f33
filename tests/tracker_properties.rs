//! What holds of every call, whatever happens to the stream: each bundled capture with events
//! left out, doubled and swapped, one at a time, at every place.

mod support {
    pub mod captures;
    pub mod frames;
}

use std::sync::Arc;

use ami2amo::ami::wire::{Frame, Kind};
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::{CallRecord, Direction, Seconds, Source};
use ami2amo::intake::reader::Reader;

use support::captures;
use support::frames::events;

/// Longer captures are busy hours: every place of them would take minutes.
const EVENTS_MAX: usize = 80;

/// Asterisk's threads overtake one another by less than this, in seconds.
const DISORDER: f64 = 2.0;

#[test]
fn a_duplicate_event_changes_nothing() {
    for (title, events) in short_captures() {
        let whole = follow(events.iter());
        for at in 0..events.len() {
            let doubled = follow(events[..=at].iter().chain(&events[at..]));
            assert_eq!(doubled, whole, "{title}: event {at} doubled: {}", name(&events[at]));
        }
    }
}

#[test]
fn union_is_order_free() {
    for (title, events) in short_captures() {
        let whole = follow(events.iter());
        for at in 1..events.len() {
            if apart(&events[at - 1], &events[at]) > DISORDER {
                continue;
            }
            let mut swapped: Vec<&Vec<u8>> = events.iter().collect();
            swapped.swap(at - 1, at);
            let calls = follow(swapped.into_iter());
            check_sound(&calls, &title, at);
            let what = format!("{title}: {} {} before {}", at - 1, name(&events[at]), name(&events[at - 1]));
            assert_eq!(members(&calls), members(&whole), "{what}");
            assert_eq!(essence(&calls), essence(&whole), "{what}");
        }
    }
}

#[test]
fn talk_never_exceeds_line_time_whatever_is_lost() {
    for (title, events) in short_captures() {
        for at in 0..events.len() {
            let without = events.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, event)| event);
            check_sound(&follow(without), &title, at);
            check_sound(&follow(events[at..].iter()), &title, at);
            check_sound(&follow(events[..at].iter()), &title, at);
        }
    }
}

/// No call twice, no talk longer than the line was open, no time with people longer than that.
#[track_caller]
fn check_sound(calls: &[CallRecord], title: &str, at: usize) {
    let mut ids: Vec<_> = calls.iter().map(|call| call.call_id.as_str()).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{title}, event {at}: a call twice in {ids:?}");
    for call in calls {
        let line = Seconds::from_duration(call.ended_at.since(call.started_at));
        let id = call.call_id.as_str();
        // Both are rounded to milliseconds.
        assert!(
            call.talk_seconds.millis() <= line.millis() + 1,
            "{title}, event {at}: {id} talks after its end"
        );
        assert!(
            call.bridged_seconds.millis() <= call.talk_seconds.millis() + 1,
            "{title}, event {at}: {id} bridged"
        );
    }
}

/// Which channels belong together.
fn members(calls: &[CallRecord]) -> Vec<Vec<String>> {
    let mut members: Vec<Vec<String>> = calls.iter().map(|call| call.uniqueids.clone()).collect();
    for uniqueids in &mut members {
        uniqueids.sort();
    }
    members.sort();
    members
}

type Essence = Vec<(Direction, Option<String>, Option<String>, Option<u8>, Vec<String>)>;

fn essence(calls: &[CallRecord]) -> Essence {
    let of = |call: &CallRecord| {
        let CallRecord { direction, phone, responsible, status, answered_by, .. } = call.clone();
        (direction, phone, responsible, status, answered_by)
    };
    calls.iter().map(of).collect()
}

/// Feeds events and ends; nothing may be left over.
fn follow<'e>(events: impl Iterator<Item = &'e Vec<u8>>) -> Vec<CallRecord> {
    let mut reader = Reader::new(PbxName::default(), Source::Replay, Arc::new(Policy::default()));
    let mut calls = Vec::new();
    for block in events {
        reader.handle_frame(&Frame { kind: Kind::Event, block }, None);
        calls.extend(std::iter::from_fn(|| reader.poll_finished()).map(|call| call.record));
    }
    reader.finish();
    calls.extend(std::iter::from_fn(|| reader.poll_finished()).map(|call| call.record));
    assert_eq!(reader.stats().open, 0, "every call ends with its stream");
    calls
}

/// Seconds between two events; none where one has no time.
fn apart(first: &[u8], second: &[u8]) -> f64 {
    let seconds = |event: &[u8]| -> Option<f64> {
        let text = String::from_utf8_lossy(event);
        text.lines().find_map(|line| line.strip_prefix("Timestamp: "))?.trim().parse().ok()
    };
    seconds(first).zip(seconds(second)).map_or(0.0, |(first, second)| (second - first).abs())
}

fn short_captures() -> impl Iterator<Item = (String, Vec<Vec<u8>>)> {
    let all = captures::below(&captures::bundled());
    assert!(all.len() > 20, "the captures are there");
    all.into_iter()
        .map(|path| (captures::title(&path), events(&captures::text(&path))))
        .filter(|(_, events)| (1..=EVENTS_MAX).contains(&events.len()))
}

fn name(event: &[u8]) -> String {
    let frame = Frame { kind: Kind::Event, block: event };
    String::from_utf8_lossy(frame.header("Event").unwrap_or_default()).into_owned()
}
