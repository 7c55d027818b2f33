//! Calls in progress as they are shown: a look changes nothing, and what it shows is what the record says
//! when the call is over.

mod support {
    pub mod captures;
    pub mod frames;
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ami2amo::ami::wire::{Frame, Kind};
use ami2amo::call::classify::live::{LiveCall, LiveState};
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::{CallRecord, Direction, Source};
use ami2amo::intake::reader::Reader;
use ami2amo::time::PbxTime;
use support::captures;
use support::frames::events;

fn reader() -> Reader {
    Reader::new(PbxName::default(), Source::Ami, Arc::new(Policy::default()))
}

fn take(reader: &mut Reader, block: &[u8]) {
    reader.handle_frame(&Frame { kind: Kind::Event, block }, None);
    if let Some(now) = reader.stats().last {
        reader.handle_timeout(now);
    }
}

/// All of them, by looks of `limit` calls.
fn look(reader: &Reader, limit: usize) -> Vec<LiveCall> {
    let now = reader.stats().last.unwrap_or(PbxTime::from_micros(0));
    let (mut calls, mut before) = (Vec::new(), None);
    loop {
        let (more, next) = reader.glimpse(before, limit, now);
        calls.extend(more);
        before = next;
        if before.is_none() {
            return calls;
        }
    }
}

fn records(reader: &mut Reader, into: &mut Vec<CallRecord>) {
    while let Some(call) = reader.poll_finished() {
        into.push(call.record);
    }
}

/// What looks showed of one call.
#[derive(Debug, Default)]
struct Shown {
    talked: BTreeSet<String>,
    rang: BTreeSet<String>,
    directions: BTreeSet<Direction>,
    phones: BTreeSet<String>,
}

#[test]
fn a_look_changes_no_call_and_shows_what_the_record_says_later() {
    let (mut looks, mut shown_talking) = (0, 0);
    // A look at each event of all of them takes minutes.
    for path in captures::below(&captures::bundled()).into_iter().step_by(5) {
        let (title, events) = (captures::title(&path), events(&captures::text(&path)));
        let (mut watched, mut alone) = (reader(), reader());
        let (mut seen, mut unseen) = (Vec::new(), Vec::new());
        let mut shown: BTreeMap<String, Shown> = BTreeMap::new();
        for event in &events {
            take(&mut watched, event);
            take(&mut alone, event);
            for call in look(&watched, 100) {
                let shown = shown.entry(call.call_id.to_string()).or_default();
                shown.talked.extend(call.talking);
                shown.rang.extend(call.ringing);
                shown.directions.insert(call.direction);
                shown.phones.extend(call.phone);
                looks += 1;
            }
            records(&mut watched, &mut seen);
            records(&mut alone, &mut unseen);
        }
        watched.finish();
        alone.finish();
        records(&mut watched, &mut seen);
        records(&mut alone, &mut unseen);
        assert_eq!(seen, unseen, "{title}: a look changed a call");
        for record in seen.iter().filter(|record| !record.partial) {
            let Some(shown) = shown.get(record.call_id.as_str()) else {
                panic!("{title}: {} was never shown", record.call_id);
            };
            assert!(shown.directions.contains(&record.direction), "{title}: {shown:?}");
            for extension in &record.answered_by {
                assert!(shown.talked.contains(extension), "{title}: {extension} talked: {shown:?}");
                shown_talking += 1;
            }
        }
    }
    assert!(looks > 2000 && shown_talking > 50, "{looks} calls looked at, {shown_talking} talked");
}

const CALLER: &str =
    "ChannelState: 4\r\nContext: from-trunk\r\nCallerIDNum: 79161234567\r\nExten: 74957000101\r\n";
const PHONE: &str = "ChannelState: 0\r\nContext: from-internal\r\nCallerIDNum: 101\r\nExten: s\r\n";

fn channel(number: u32, name: &str, rest: &str) -> String {
    format!(
        "Channel: PJSIP/{name}-0000000{number}\r\n{rest}Uniqueid: 1795000000.{number}\r\n\
         Linkedid: 1795000000.1\r\n"
    )
}

fn event(reader: &mut Reader, second: u32, name: &str, rest: &str) {
    take(reader, format!("Event: {name}\r\nTimestamp: 17950000{second}.0\r\n{rest}\r\n").as_bytes());
}

/// What the only call does, since when, who talks and who rings.
#[track_caller]
fn check(reader: &Reader, state: LiveState, since: u32, talking: &[&str], ringing: &[&str]) {
    let calls = look(reader, 9);
    let [call] = calls.as_slice() else { panic!("one call is in progress: {calls:?}") };
    let since = PbxTime::from_micros((1_795_000_000 + i64::from(since)) * 1_000_000);
    assert_eq!((call.state, call.since), (state, since), "{call:?}");
    assert_eq!((call.talking.as_slice(), call.ringing.as_slice()), (&own(talking)[..], &own(ringing)[..]));
    assert_eq!((call.direction, call.phone.as_deref()), (Direction::Inbound, Some("+79161234567")));
    assert_eq!(call.line.as_deref(), Some("74957000101"));
}

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn each_state_is_told_with_its_beginning() {
    let caller = channel(1, "trunk", CALLER);
    let phone = channel(2, "101", PHONE);
    let dest = phone.lines().fold(String::new(), |dest, line| dest + "Dest" + line + "\r\n");
    let bridge = |who: &str| format!("BridgeUniqueid: b\r\nBridgeType: basic\r\n{who}");
    let mut reader = reader();
    event(&mut reader, 10, "Newchannel", &caller);
    check(&reader, LiveState::DialPlan, 10, &[], &[]);
    event(
        &mut reader,
        12,
        "QueueCallerJoin",
        &format!("{caller}Queue: sales\r\nPosition: 1\r\nCount: 1\r\n"),
    );
    check(&reader, LiveState::Queued, 12, &[], &[]);
    event(&mut reader, 13, "Newchannel", &phone);
    event(&mut reader, 14, "DialBegin", &format!("{caller}{dest}"));
    check(&reader, LiveState::Ringing, 14, &[], &["101"]);
    event(&mut reader, 16, "DialEnd", &format!("{caller}{dest}DialStatus: ANSWER\r\n"));
    event(&mut reader, 16, "BridgeEnter", &bridge(&phone));
    event(&mut reader, 17, "BridgeEnter", &bridge(&caller));
    check(&reader, LiveState::Talking, 17, &["101"], &[]);
    event(&mut reader, 20, "Hold", &phone);
    check(&reader, LiveState::Held, 20, &["101"], &[]);
    event(&mut reader, 21, "Unhold", &phone);
    check(&reader, LiveState::Talking, 17, &["101"], &[]);
    event(&mut reader, 25, "BridgeLeave", &bridge(&caller));
    event(&mut reader, 25, "Hangup", &format!("{caller}Cause: 16\r\n"));
    check(&reader, LiveState::Ending, 25, &[], &[]);
}

#[test]
fn a_call_that_waits_at_a_parking_place_is_parked() {
    let caller = channel(1, "trunk", CALLER);
    let parkee = caller.lines().fold(String::new(), |all, line| all + "Parkee" + line + "\r\n");
    let lot =
        format!("BridgeUniqueid: p\r\nBridgeType: parking\r\nBridgeTechnology: holding_bridge\r\n{caller}");
    let mut reader = reader();
    event(&mut reader, 10, "Newchannel", &caller);
    event(&mut reader, 12, "BridgeEnter", &lot);
    event(&mut reader, 12, "ParkedCall", &parkee);
    check(&reader, LiveState::Parked, 12, &[], &[]);
}
