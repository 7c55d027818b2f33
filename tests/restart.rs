//! A restart at any moment changes no call: what was written down is enough to go on.

mod support {
    pub mod captures;
    pub mod frames;
}

use std::collections::BTreeMap;
use std::sync::Arc;

use ami2amo::ami::wire::{Frame, Kind};
use ami2amo::call::checkpoint::{Change, Value};
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::Source;
use ami2amo::intake::reader::Reader;
use ami2amo::time::PbxTime;
use support::captures;
use support::frames::events;

/// What the store holds of calls in progress.
type Kept = BTreeMap<String, Vec<u8>>;

#[test]
fn restore_then_continue_equals_no_restart() {
    let (mut count, mut compared) = (0, 0);
    for path in captures::below(&captures::bundled()) {
        let (title, events) = (captures::title(&path), events(&captures::text(&path)));
        let restarted = calls(&events, Break::Restart);
        assert_eq!(restarted, calls(&events, Break::Connection), "{title}: as if the connection broke");
        // Of channels from before a connection it is known when that began, and not more.
        if !captures::scenario(&path).starts_with("attach") {
            assert_eq!(restarted, calls(&events, Break::None), "{title}: as if nothing was");
            compared += 1;
        }
        count += events.len();
    }
    assert!(count > 30_000 && compared > 500, "{count} events, {compared} captures");
}

#[test]
fn a_call_that_was_written_without_its_channels_is_forgotten() {
    let mut kept = half_a_call();
    kept.retain(|key, _| !key.starts_with('c'));
    assert!(kept.keys().any(|key| key.starts_with('g')));
    let mut reader = start(&kept);
    keep(&mut reader, &mut kept);
    assert!(kept.keys().all(|key| !key.starts_with('g')), "{:?}", kept.keys());
}

#[test]
fn a_call_whose_end_was_written_without_its_channels_ends_goes_on() {
    let mut kept = half_a_call();
    let call = kept.get_mut("g/1795000000.1").expect("the call is written by its first channel");
    let mut value: serde_json::Value = serde_json::from_slice(call).expect("JSON");
    value["deadline"] = 1_795_000_009_500_000_i64.into();
    *call = value.to_string().into_bytes();
    assert_eq!(start(&kept).poll_timeout(), None, "its channels are there");
}

/// What is written of a call in which two talk.
fn half_a_call() -> Kept {
    let channel = |number: u32, name: &str, rest: &str| {
        format!(
            "Channel: PJSIP/{name}-0000000{number}\r\nContext: x\r\n{rest}Uniqueid: 1795000000.{number}\r\n\
             Linkedid: 1795000000.1\r\n"
        )
    };
    let caller = channel(1, "trunk", "CallerIDNum: 79161234567\r\nExten: 74957000101\r\n");
    let phone = channel(2, "101", "CallerIDNum: 101\r\nExten: s\r\n");
    let dest = phone.lines().fold(String::new(), |dest, line| dest + "Dest" + line + "\r\n");
    let bridge = "BridgeUniqueid: b\r\nBridgeType: basic\r\n";
    let events = [
        ("Newchannel", caller.clone()),
        ("Newchannel", phone.clone()),
        ("DialBegin", format!("{caller}{dest}")),
        ("BridgeEnter", format!("{bridge}{phone}")),
        ("BridgeEnter", format!("{bridge}{caller}")),
    ];
    let (mut reader, mut kept) = (start(&Kept::new()), Kept::new());
    for (name, rest) in events {
        let block = format!("Event: {name}\r\nTimestamp: 1795000001.000000\r\n{rest}\r\n");
        reader.handle_frame(&Frame { kind: Kind::Event, block: block.as_bytes() }, None);
    }
    keep(&mut reader, &mut kept);
    kept
}

/// Values are written at their own times: a conference that was left and entered anew may have an old label in one
/// of them and a new one in another.
#[test]
fn a_conference_with_two_labels_is_one() {
    let channel = |n: u32, label: u32| {
        let json = serde_json::json!({
            "v": 1, "uniqueid": format!("1.{n}"), "call": format!("1.{n}"), "name": format!("PJSIP/{n}-1"),
            "linkedid": format!("1.{n}"), "announced": true, "origin": "incoming", "born": n,
            "stays": [{"label": label, "id": "room", "kind": "conference", "from": 10 + n}], "in_bridge": true,
        });
        (format!("c/1.{n}"), json.to_string().into_bytes())
    };
    let kept = Kept::from([channel(101, 1), channel(102, 2), channel(103, 1)]);
    let (mut reader, mut calls) = (start(&kept), Vec::new());
    for n in [102, 101, 103] {
        let block = format!("Event: Hangup\r\nTimestamp: {n}.0\r\nUniqueid: 1.{n}\r\nCause: 16\r\n");
        reader.handle_frame(&Frame { kind: Kind::Event, block: block.as_bytes() }, None);
        reader.handle_timeout(PbxTime::from_micros((n + 2) * 1_000_000));
        collect(&mut reader, &mut calls);
    }
    reader.finish();
    collect(&mut reader, &mut calls);
    assert_eq!((calls.len(), reader.stats().open), (3, 0));
}

/// What happens before every event.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Break {
    None,
    Connection,
    Restart,
}

fn calls(events: &[Vec<u8>], with: Break) -> Vec<serde_json::Value> {
    let (mut reader, mut kept, mut calls) = (start(&Kept::new()), Kept::new(), Vec::new());
    for block in events {
        match with {
            Break::None => {}
            Break::Connection => reader.handle_connected(),
            Break::Restart => reader = start(&kept),
        }
        reader.handle_frame(&Frame { kind: Kind::Event, block }, None);
        collect(&mut reader, &mut calls);
        keep(&mut reader, &mut kept);
    }
    reader.finish();
    collect(&mut reader, &mut calls);
    keep(&mut reader, &mut kept);
    let left: Vec<_> = kept.keys().filter(|key| key.starts_with(['c', 'g'])).collect();
    assert!(left.is_empty(), "a call that ended is forgotten: {left:?}");
    calls
}

fn start(kept: &Kept) -> Reader {
    let mut reader = Reader::new(PbxName::default(), Source::Replay, Arc::new(Policy::default()));
    reader.keep_changes();
    let read = |(key, json): (&String, &Vec<u8>)| Value::read(key, json).expect("what was written is read");
    reader.restore(kept.iter().map(read).collect());
    reader
}

fn collect(reader: &mut Reader, calls: &mut Vec<serde_json::Value>) {
    let finished = std::iter::from_fn(|| reader.poll_finished());
    calls.extend(finished.map(|call| serde_json::to_value(call.record).expect("a record has a JSON form")));
}

fn keep(reader: &mut Reader, kept: &mut Kept) {
    for change in reader.take_changes(usize::MAX) {
        match change.value {
            Some(value) => kept.insert(change.key, value),
            None => kept.remove(&change.key),
        };
    }
    assert!(!reader.has_changes());
}

#[test]
fn what_changed_of_a_call_is_handed_out_in_one_piece() {
    let names = ["1.1", "1.2", "1.3", "2.1", "2.2"];
    let mut reader = start(&Kept::new());
    for name in names {
        let (linkedid, _) = name.split_once('.').unwrap();
        let block = format!(
            "Event: Newchannel\r\nTimestamp: 9.0\r\nChannel: PJSIP/{linkedid}-0000000{}\r\nChannelState: 0\r\n\
             Uniqueid: {name}\r\nLinkedid: {linkedid}.1\r\n",
            &name[2..]
        );
        reader.handle_frame(&Frame { kind: Kind::Event, block: block.as_bytes() }, None);
    }
    let mut parcels = Vec::new();
    while reader.has_changes() {
        let keys = reader.take_changes(1).into_iter().map(|change| change.key);
        parcels.push(keys.filter(|key| key.starts_with("c/")).collect::<Vec<_>>());
    }
    parcels.retain(|channels| !channels.is_empty());
    assert_eq!(parcels, [vec!["c/1.1", "c/1.2", "c/1.3"], vec!["c/2.1", "c/2.2"]]);
}

#[test]
fn a_call_with_too_many_linkedids_is_kept_in_a_value_that_fits() {
    let mut reader = start(&Kept::new());
    for link in 0..250 {
        let block = format!(
            "Event: Newstate\r\nTimestamp: 9.0\r\nChannel: PJSIP/1-1\r\nChannelState: 6\r\nUniqueid: 1.1\r\n\
             Linkedid: {link:0>60}\r\n"
        );
        reader.handle_frame(&Frame { kind: Kind::Event, block: block.as_bytes() }, None);
    }
    let mut kept = Kept::new();
    keep(&mut reader, &mut kept);
    assert!(kept.values().all(|value| value.len() <= 8 << 10), "{kept:?}");
    let call = String::from_utf8_lossy(&kept["g/1.1"]);
    assert!(call.contains(&format!("{:0>60}", 249)), "the last one is the call's: {call}");
    assert_eq!(start(&kept).stats().open, 1);
}

/// A kill between two parcels must not leave a store that claims to know of what the second one had.
#[test]
fn how_far_the_stream_is_kept_is_said_when_it_is() {
    let mut reader = start(&Kept::new());
    let event = |reader: &mut Reader, seconds: u32, name: &str| {
        let block = format!(
            "Event: Newchannel\r\nTimestamp: {seconds}.0\r\nChannel: PJSIP/{seconds}-1\r\nChannelState: 0\r\n\
             Uniqueid: {name}\r\nLinkedid: {name}\r\n"
        );
        reader.handle_frame(&Frame { kind: Kind::Event, block: block.as_bytes() }, None);
    };
    let kept_until = |changes: Vec<Change>| {
        let stream = changes.into_iter().find(|change| change.key == "s")?;
        match Value::read(&stream.key, &stream.value?).unwrap() {
            Value::Stream(stream) => Some(stream.now.micros() / 1_000_000),
            Value::Channel(_) | Value::Call(_) | Value::Endpoint(_) => None,
        }
    };
    for (seconds, name) in [(1, "1.1"), (2, "1.2"), (3, "1.3")] {
        event(&mut reader, seconds, name);
    }
    assert_eq!(kept_until(reader.take_changes(1)), None);
    event(&mut reader, 4, "1.4");
    assert_eq!(kept_until(reader.take_changes(1)), None);
    assert_eq!(kept_until(reader.take_changes(1)), Some(3), "of the fourth nothing is kept");
    assert!(reader.has_changes());
    assert_eq!(kept_until(reader.take_changes(1)), Some(4));
    // What was handed out is lost: until it is written again, no more is said.
    event(&mut reader, 5, "1.5");
    event(&mut reader, 6, "1.6");
    assert_eq!(kept_until(reader.take_changes(1)), None);
    reader.keep_all();
    for _ in 1..6 {
        assert_eq!(kept_until(reader.take_changes(1)), None);
    }
    assert_eq!(kept_until(reader.take_changes(1)), Some(6));
    while reader.has_changes() {
        reader.take_changes(1);
    }
}

/// What a merge leaves when a kill comes between two of its values.
#[test]
fn a_call_that_was_half_united_is_one() {
    let channel = |n: u32| {
        let json = serde_json::json!({
            "v": 1, "uniqueid": format!("1.{n}"), "call": format!("1.{n}"), "name": format!("PJSIP/{n}-1"),
            "linkedid": format!("1.{n}"), "announced": true, "origin": "incoming", "born": n,
        });
        (format!("c/1.{n}"), json.to_string().into_bytes())
    };
    let call = |n: u32, order: u32, linkedids: &[&str]| {
        let json =
            serde_json::json!({"v": 1, "first": format!("1.{n}"), "order": order, "linkedids": linkedids});
        (format!("g/1.{n}"), json.to_string().into_bytes())
    };
    let all = ["1.1", "1.2", "1.3"];
    let channels = || Kept::from([channel(1), channel(2), channel(3)]);
    for calls in [
        vec![call(1, 1, &all)],
        vec![call(1, 1, &all), call(2, 2, &["1.2"])],
        vec![call(1, 3, &all), call(2, 2, &["1.2", "1.3"])],
    ] {
        let mut kept = channels();
        kept.extend(calls);
        assert_eq!(start(&kept).stats().open, 1, "{:?}", kept.keys());
    }
}

#[test]
fn a_clock_that_was_set_back_is_right_again_after_a_restart_without_calls() {
    let stream = |now: i64, shift: i64| {
        let json = serde_json::json!({"v": 1, "now": now, "shift": shift, "time": "event"});
        ("s".to_owned(), json.to_string().into_bytes())
    };
    let open = serde_json::json!({"v": 1, "uniqueid": "9.1", "call": "9.1", "born": 3_600_000_000_i64});
    let open = ("c/9.1".to_owned(), open.to_string().into_bytes());
    let hour = 3_600_000_000;
    let begins_at = |kept: Kept| {
        let mut reader = start(&kept);
        let block = "Event: Newchannel\r\nTimestamp: 105.0\r\nChannel: PJSIP/x-1\r\nUniqueid: 1.1\r\n\r\n";
        reader.handle_frame(&Frame { kind: Kind::Event, block: block.as_bytes() }, None);
        reader.stats().last.map(PbxTime::micros)
    };
    let was = stream(hour + 100_000_000, hour);
    assert_eq!(begins_at(Kept::from([was.clone()])), Some(105_000_000));
    assert_eq!(
        begins_at(Kept::from([was, open])),
        Some(hour + 105_000_000),
        "a call goes on in its own time"
    );
}
