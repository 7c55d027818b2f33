//! What the PBX lists on request, against what its events told: calls that ended unseen come to their end, those
//! that go on are taken up where they are.

mod support {
    pub mod captures;
    pub mod frames;
}

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ami2amo::ami::wire::{Frame, Kind};
use ami2amo::call::checkpoint::Value;
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::{CallRecord, Direction, Outcome, Source};
use ami2amo::call::tracker::Findings;
use ami2amo::intake::reader::Reader;
use ami2amo::time::PbxTime;
use support::{captures, frames};

/// The PBX's clock at the beginning, in seconds.
const DAWN: i64 = 1_795_000_000;

/// A PBX and who listens to it; times are seconds since [`DAWN`].
struct Desk {
    reader: Reader,
    kept: BTreeMap<String, Vec<u8>>,
}

/// A channel as every event and list shows it.
#[derive(Clone, Copy)]
struct Leg {
    number: u32,
    name: &'static str,
    caller: &'static str,
    exten: &'static str,
    context: &'static str,
    linked: u32,
}

const TRUNK: Leg = Leg {
    number: 1,
    name: "PJSIP/trunk-msk-00000001",
    caller: "79161234567",
    exten: "74957000101",
    context: "from-trunk",
    linked: 1,
};
const PHONE: Leg = Leg {
    number: 2,
    name: "PJSIP/101-00000002",
    caller: "101",
    exten: "",
    context: "from-internal",
    linked: 1,
};

/// The second channel of 101's, and whom it calls.
const ASKS: Leg = Leg { number: 3, name: "PJSIP/101-00000003", exten: "103", linked: 3, ..PHONE };
const ASKED: Leg = Leg { number: 4, name: "PJSIP/103-00000004", caller: "103", linked: 3, ..PHONE };

impl Leg {
    fn headers(&self, prefix: &str, state: u8) -> String {
        let Self { number, name, caller, exten, context, linked } = self;
        format!(
            "{prefix}Channel: {name}\r\n{prefix}ChannelState: {state}\r\n{prefix}CallerIDNum: {caller}\r\n\
             {prefix}Context: {context}\r\n{prefix}Exten: {exten}\r\n{prefix}Priority: 1\r\n\
             {prefix}Uniqueid: {DAWN}.{number}\r\n{prefix}Linkedid: {DAWN}.{linked}\r\n"
        )
    }
}

impl Desk {
    fn new() -> Self {
        let mut reader = Reader::new(PbxName::default(), Source::Ami, Arc::new(Policy::default()));
        reader.keep_changes();
        Self { reader, kept: BTreeMap::new() }
    }

    fn frame(&mut self, block: &str, arrived: i64) {
        let frame = Frame { kind: Kind::Event, block: block.as_bytes() };
        self.reader.handle_frame(&frame, Some(at(arrived)));
    }

    fn event(&mut self, seconds: i64, name: &str, rest: &str) {
        self.frame(&format!("Event: {name}\r\nTimestamp: {}.000000\r\n{rest}\r\n", DAWN + seconds), seconds);
    }

    /// A call that rings from second 0 on and is answered in second 5.
    fn talk(&mut self) {
        self.event(0, "Newchannel", &TRUNK.headers("", 4));
        self.event(0, "Newchannel", &PHONE.headers("", 0));
        let dial = TRUNK.headers("", 4) + &PHONE.headers("Dest", 0);
        self.event(0, "DialBegin", &(dial.clone() + "DialString: 101\r\n"));
        self.event(5, "DialEnd", &(dial + "DialStatus: ANSWER\r\n"));
        for leg in [PHONE, TRUNK] {
            self.event(5, "BridgeEnter", &format!("{}{}", bridge("b-1", "basic"), leg.headers("", 6)));
        }
    }

    fn hang_up(&mut self, seconds: i64, leg: Leg) {
        self.event(seconds, "Hangup", &(leg.headers("", 6) + "Cause: 16\r\n"));
    }

    /// What the PBX lists at `seconds`: channels with their bridges, by `Status` or, without it, from memory.
    fn list(&mut self, seconds: i64, legs: &[(Leg, &str)], how: How) {
        let (item, end, header) = match how {
            How::Status | How::Torn => ("Status", "StatusComplete", "BridgeID"),
            How::Remembered => ("CoreShowChannel", "CoreShowChannelsComplete", "BridgeId"),
        };
        for (leg, bridge) in legs {
            let application = if leg.number == 1 { "Dial" } else { "AppDial" };
            let headers = leg.headers("", 6);
            self.frame(
                &format!(
                    "Event: {item}\r\nActionID: 5\r\n{headers}{header}: {bridge}\r\nApplication: {application}\r\n\r\n"
                ),
                seconds,
            );
        }
        let count = legs.len() + usize::from(matches!(how, How::Torn));
        self.frame(
            &format!("Event: {end}\r\nActionID: 5\r\nEventList: Complete\r\nListItems: {count}\r\n\r\n"),
            seconds,
        );
    }

    fn pass(&mut self, seconds: i64) {
        self.reader.handle_timeout(at(seconds));
    }

    fn calls(&mut self) -> Vec<CallRecord> {
        std::iter::from_fn(|| self.reader.poll_finished()).map(|call| call.record).collect()
    }

    fn call(&mut self) -> CallRecord {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }

    fn findings(&self) -> Findings {
        self.reader.stats().findings
    }

    /// The process ends and another one goes on.
    fn restart(self) -> Self {
        let Self { mut reader, mut kept } = self;
        for change in reader.take_changes(usize::MAX) {
            match change.value {
                Some(value) => kept.insert(change.key, value),
                None => kept.remove(&change.key),
            };
        }
        let mut desk = Self::new();
        let values = kept.iter().map(|(key, value)| Value::read(key, value).expect("it was written so"));
        desk.reader.restore(values.collect());
        desk.kept = kept;
        desk.reader.handle_connected();
        desk
    }
}

#[derive(Clone, Copy)]
enum How {
    Status,
    Remembered,
    /// A list that says that it has one item more.
    Torn,
}

fn at(seconds: i64) -> PbxTime {
    PbxTime::from_micros((DAWN + seconds) * 1_000_000)
}

fn bridge(id: &str, kind: &str) -> String {
    format!("BridgeUniqueid: {id}\r\nBridgeType: {kind}\r\nBridgeTechnology: simple_bridge\r\n")
}

fn both(bridge: &str) -> [(Leg, &str); 2] {
    [(TRUNK, bridge), (PHONE, bridge)]
}

/// Where the AMI user may not list channels, and the process was away when the ringing leg was hung up.
#[test]
fn a_leg_that_rings_for_somebody_who_is_gone_does_not_hold_its_call() {
    let mut desk = Desk::new();
    desk.event(0, "Newchannel", &TRUNK.headers("", 4));
    desk.event(0, "Newchannel", &PHONE.headers("", 0));
    let dial = TRUNK.headers("", 4) + &PHONE.headers("Dest", 0);
    desk.event(0, "DialBegin", &(dial + "DialString: 101\r\n"));
    let mut desk = desk.restart();
    desk.pass(60);
    assert_eq!(desk.calls(), [], "the caller waits");
    desk.hang_up(70, TRUNK);
    desk.pass(74);
    assert_eq!(desk.calls(), [], "the leg may be hung up late");
    desk.pass(76);
    let call = desk.call();
    assert_eq!((call.direction, call.outcome, call.partial), (Direction::Inbound, Outcome::NoAnswer, true));
    assert_eq!(desk.reader.stats().open, 0);
}

/// 101 asks 103, and hands the caller over while that phone rings: 103's caller is another channel then. Where that
/// was not seen, the list shows a phone that rings for somebody who is gone, and it does ring.
#[test]
fn a_phone_to_which_a_caller_was_handed_over_unseen_while_it_rang_is_his() {
    let mut desk = Desk::new();
    desk.talk();
    desk.event(8, "Newchannel", &ASKS.headers("", 4));
    desk.event(8, "Newchannel", &ASKED.headers("", 0));
    let dial = ASKS.headers("", 4) + &ASKED.headers("Dest", 0);
    desk.event(8, "DialBegin", &(dial + "DialString: 103\r\n"));
    desk.reader.handle_alive(at(9));
    desk.reader.handle_connected();
    desk.list(12, &[(TRUNK, ""), (ASKED, "")], How::Status);
    desk.pass(24);
    assert_eq!(desk.calls(), []);
    let dial = TRUNK.headers("", 6) + &ASKED.headers("Dest", 0);
    desk.event(25, "DialEnd", &(dial + "DialStatus: ANSWER\r\n"));
    for leg in [ASKED, TRUNK] {
        desk.event(25, "BridgeEnter", &format!("{}{}", bridge("b-2", "basic"), leg.headers("", 6)));
    }
    desk.hang_up(45, TRUNK);
    desk.hang_up(45, ASKED);
    desk.pass(50);
    let call = desk.call();
    assert_eq!(
        (call.answered_by, call.responsible.as_deref()),
        (["101", "103"].map(str::to_owned).into(), Some("103"))
    );
    assert_eq!((call.talk_seconds.rounded(), desk.reader.stats().open), (40, 0));
}

#[test]
fn a_call_that_ended_between_stop_and_start_ends_as_long_as_it_was_known_to_go_on() {
    for how in [How::Status, How::Remembered] {
        let mut desk = Desk::new();
        desk.talk();
        // The ping of second 65 was answered; then nobody looked until second 100.
        desk.reader.handle_alive(at(65));
        let mut desk = desk.restart();
        desk.list(100, &[], how);
        desk.pass(102);
        let call = desk.call();
        assert_eq!((call.direction, call.responsible.as_deref()), (Direction::Inbound, Some("101")));
        assert_eq!((talk(&call), call.partial), (60, true));
        assert_eq!(desk.findings().ended, 2);
        assert_eq!(desk.reader.stats().open, 0);
    }
}

#[test]
fn an_answered_ping_of_the_next_connection_says_nothing_of_the_gap_before() {
    let mut desk = Desk::new();
    desk.talk();
    desk.reader.handle_alive(at(65));
    desk.reader.handle_connected();
    desk.reader.handle_alive(at(100));
    desk.list(100, &[], How::Status);
    desk.pass(102);
    let call = desk.call();
    assert_eq!((talk(&call), call.partial), (60, true));
}

#[test]
fn a_call_that_goes_on_over_a_restart_is_whole() {
    let mut desk = Desk::new();
    desk.talk();
    let mut desk = desk.restart();
    desk.list(100, &both("b-1"), How::Status);
    desk.hang_up(125, TRUNK);
    desk.hang_up(125, PHONE);
    desk.pass(130);
    let call = desk.call();
    assert_eq!((talk(&call), call.partial, call.responsible.as_deref()), (120, false, Some("101")));
}

#[test]
fn of_a_call_that_goes_on_the_leg_that_ended_meanwhile_is_gone() {
    let mut desk = Desk::new();
    desk.talk();
    desk.reader.handle_alive(at(35));
    desk.reader.handle_connected();
    desk.list(60, &[(TRUNK, "")], How::Status);
    desk.hang_up(62, TRUNK);
    desk.pass(70);
    let call = desk.call();
    assert_eq!((talk(&call), call.partial), (30, true));
}

#[test]
fn a_call_that_was_answered_while_nobody_looked_is_answered() {
    let mut desk = Desk::new();
    desk.event(0, "Newchannel", &TRUNK.headers("", 4));
    desk.event(0, "Newchannel", &PHONE.headers("", 0));
    let dial = TRUNK.headers("", 4) + &PHONE.headers("Dest", 0);
    desk.event(0, "DialBegin", &(dial + "DialString: 101\r\n"));
    desk.reader.handle_connected();
    desk.list(60, &both("b-1"), How::Status);
    desk.hang_up(90, TRUNK);
    desk.hang_up(90, PHONE);
    desk.pass(95);
    let call = desk.call();
    assert_eq!((call.answered, call.responsible.as_deref(), talk(&call)), (true, Some("101"), 30));
}

#[test]
fn a_call_that_is_met_under_way_is_told_as_far_as_it_was_seen() {
    let mut desk = Desk::new();
    desk.list(60, &both("b-1"), How::Status);
    // Nothing of it came before its end.
    desk.hang_up(90, TRUNK);
    desk.hang_up(90, PHONE);
    desk.pass(95);
    let call = desk.call();
    assert_eq!((call.direction, call.phone.as_deref()), (Direction::Inbound, Some("79161234567")));
    assert_eq!((call.answered, call.responsible.as_deref()), (true, Some("101")));
    assert_eq!((talk(&call), call.partial), (30, true));
    assert_eq!((desk.findings().met, desk.findings().unannounced), (2, 0));
}

#[test]
fn a_list_that_is_not_whole_ends_nothing() {
    let mut desk = Desk::new();
    desk.talk();
    desk.reader.handle_connected();
    desk.list(60, &[], How::Torn);
    desk.pass(70);
    assert_eq!((desk.calls().len(), desk.reader.stats().open, desk.findings().torn), (0, 1, 1));
}

#[test]
fn what_waits_behind_a_list_is_heard_first() {
    let mut desk = Desk::new();
    desk.talk();
    // The call ends before the list is made, and its last events come behind that.
    desk.list(60, &[], How::Status);
    desk.hang_up(59, TRUNK);
    desk.hang_up(59, PHONE);
    desk.pass(65);
    let call = desk.call();
    assert_eq!((talk(&call), call.partial), (54, false));
}

#[test]
fn a_channel_whose_end_is_never_told_ends_with_the_second_list_that_lacks_it() {
    let mut desk = Desk::new();
    desk.talk();
    desk.list(60, &both("b-1"), How::Status);
    desk.list(120, &[], How::Status);
    desk.pass(125);
    assert_eq!(desk.calls().len(), 0, "one list may be older than an event");
    desk.list(180, &[], How::Status);
    desk.pass(185);
    let call = desk.call();
    assert_eq!((talk(&call), call.partial), (115, true));
    assert_eq!(desk.findings().overdue, 2);
}

#[test]
fn a_ghost_of_asterisks_memory_is_no_call() {
    let mut desk = Desk::new();
    desk.list(60, &[], How::Status);
    desk.list(60, &both("b-1"), How::Remembered);
    assert_eq!((desk.reader.stats().open, desk.findings().ghosts), (0, 2));
}

#[test]
fn a_conference_that_is_listed_joins_nobody() {
    let mut desk = Desk::new();
    let other = Leg { number: 7, linked: 7, caller: "79167654321", ..TRUNK };
    desk.frame(
        "Event: BridgeListItem\r\nBridgeUniqueid: room\r\nBridgeType: base\r\nBridgeCreator: ConfBridge\r\n\r\n",
        60,
    );
    desk.frame("Event: BridgeListComplete\r\nEventList: Complete\r\nListItems: 1\r\n\r\n", 60);
    desk.list(60, &[(TRUNK, "room"), (other, "room")], How::Status);
    assert_eq!(desk.reader.stats().open, 2);
}

#[test]
fn channels_that_no_event_announced_are_counted() {
    let mut desk = Desk::new();
    desk.list(-60, &[], How::Status);
    desk.list(1, &both("b-1"), How::Status);
    assert_eq!(desk.findings().unannounced, 2, "they were made a minute after the connection");
}

#[test]
fn a_list_shows_what_it_shows_once() {
    let mut desk = Desk::new();
    desk.talk();
    for minute in 1..5 {
        desk.list(minute * 60, &both("b-1"), How::Status);
    }
    desk.hang_up(305, TRUNK);
    desk.hang_up(305, PHONE);
    desk.pass(310);
    let call = desk.call();
    assert_eq!((talk(&call), call.partial), (300, false));
}

/// What Asterisk 22.10 answered while two customers talked, one of them through a ring group.
#[test]
fn a_real_asterisk_lists_calls_as_they_are_read_here() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lists/two-talks.ami.gz");
    let mut reader = Reader::new(PbxName::default(), Source::Replay, Arc::new(Policy::default()));
    for frame in frames::frames([&captures::text(&file)[..]]).0 {
        reader.handle_frame(&frame.frame(), None);
    }
    assert_eq!(reader.stats().findings, Findings { met: 4, ..Findings::default() });
    reader.finish();
    let calls: Vec<CallRecord> =
        std::iter::from_fn(|| reader.poll_finished()).map(|call| call.record).collect();
    let told = |call: &CallRecord| {
        let told = [&call.phone, &call.responsible, &call.did].map(|text| text.clone().unwrap_or_default());
        (call.direction, call.answered, talk(call), told)
    };
    assert_eq!(
        calls.iter().map(told).collect::<Vec<_>>(),
        [
            (Direction::Inbound, true, 4, ["79160000001", "101", "74957000101"].map(str::to_owned)),
            (Direction::Inbound, true, 4, ["79160000002", "104", "74957000302"].map(str::to_owned)),
        ]
    );
    assert!(calls.iter().all(|call| call.partial && call.trunk.as_deref() == Some("trunk-msk")));
}

/// In whole seconds.
fn talk(call: &CallRecord) -> u64 {
    call.talk_seconds.rounded()
}
