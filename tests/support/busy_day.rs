//! A PBX on a busy day: any number of calls of several kinds, woven together, whose truth is known.
//!
//! Events are planned for a time and get their real one when they are sent: no two have the same.

#![allow(clippy::allow_attributes, dead_code, reason = "each binary uses its own part of this")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use tokio::sync::mpsc;

/// What the people of one call did, and which of its events were sent when.
#[derive(Clone, Debug)]
pub struct Call {
    /// Of the channel that its id is made of.
    pub uniqueid: String,
    /// The outside number, of no other call; ten digits.
    pub phone: String,
    pub is_outbound: bool,
    /// Extensions in the order in which they talk.
    pub talk: Vec<u32>,
    /// On whom it is booked.
    pub responsible: Option<u32>,
    /// What was sent of it, in order: PBX time in microseconds.
    pub told: Vec<(Part, i64)>,
}

/// What an event says of its call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Part {
    /// Who calls whom.
    Begin,
    /// Who talks from here on.
    Answer,
    /// Nobody talks from here on.
    End,
    /// Nothing that matters.
    Aside,
}

/// What is still to be sent.
#[derive(Debug)]
pub struct Day {
    pub calls: Vec<Call>,
    events: VecDeque<Planned>,
    /// The last time that was given to an event.
    pub last: i64,
}

/// The PBX's clock: it never stands still, and runs fast while somebody listens.
pub struct PbxClock {
    pub now: i64,
    read: Instant,
    /// When each event of this life was sent.
    pub sent: BTreeMap<i64, Instant>,
}

#[derive(Debug)]
struct Planned {
    at: i64,
    call: usize,
    part: Part,
    name: &'static str,
    headers: String,
}

/// Writes down one call.
struct Author<'d> {
    events: &'d mut Vec<Planned>,
    call: usize,
    at: i64,
}

/// PBX time at which the day begins, in microseconds.
pub const DAWN: i64 = 1_795_000_000_000_000;

const SECOND: i64 = 1_000_000;
/// Uniqueids of one call.
const IDS: u64 = 8;
const DESKS: u32 = 40;

impl Day {
    /// `count` calls, one every `every` microseconds at random.
    pub fn new(count: usize, every: i64, random: &mut fastrand::Rng) -> Self {
        let (mut calls, mut events, mut at) = (Vec::new(), Vec::new(), DAWN);
        for call in 0..count {
            at += random.i64(0..2 * every);
            calls.push(write(Author { events: &mut events, call, at }, random));
        }
        events.sort_by_key(|event| event.at);
        Self { calls, events: events.into(), last: 0 }
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<i64> {
        self.events.front().map(|event| event.at)
    }

    /// The next event that is due, as AMI text with the time at which it is sent.
    pub fn next(&mut self, now: i64) -> Option<Vec<u8>> {
        let event = self.events.pop_front_if(|event| event.at <= now)?;
        self.last = now.max(self.last + 1);
        self.calls[event.call].told.push((event.part, self.last));
        let Planned { name, headers, .. } = event;
        let (seconds, micros) = (self.last / SECOND, self.last % SECOND);
        let text = format!(
            "Event: {name}\r\nPrivilege: call,all\r\nTimestamp: {seconds}.{micros:06}\r\n{headers}\r\n"
        );
        Some(text.into_bytes())
    }

    /// From here on nobody calls: calls under way come to their end.
    pub fn close(&mut self) {
        let Self { calls, events, .. } = self;
        events.retain(|event| !calls[event.call].told.is_empty());
    }
}

impl Default for PbxClock {
    fn default() -> Self {
        Self { now: DAWN, read: Instant::now(), sent: BTreeMap::new() }
    }
}

impl PbxClock {
    /// By `haste` PBX seconds for each of ours.
    pub fn advance(&mut self, haste: u32) {
        let read = Instant::now();
        self.now += i64::try_from(((read - self.read) * haste).as_micros()).expect("days are short");
        self.read = read;
    }

    /// Sends what is due, while there is room; somebody listens.
    pub fn play(&mut self, day: &mut Day, events: &mpsc::Sender<Vec<u8>>, haste: u32) {
        self.advance(haste);
        while events.capacity() > 0
            && let Some(event) = day.next(self.now)
        {
            self.sent.insert(day.last, Instant::now());
            events.try_send(event).expect("there is room");
        }
    }
}

impl Call {
    /// When the first of them talked with the outside party, in microseconds.
    pub fn answered_at(&self) -> Option<i64> {
        // The first answer is four events long; with the last of them both are in the bridge.
        self.times(Part::Answer).nth(3)
    }

    /// How long somebody talked with him, in microseconds.
    pub fn talked(&self) -> i64 {
        // The second event of the end is the first who leaves.
        let left = self.times(Part::End).nth(1);
        left.zip(self.answered_at()).map_or(0, |(left, answered)| left - answered)
    }

    fn times(&self, wanted: Part) -> impl Iterator<Item = i64> {
        self.told.iter().filter(move |(part, _)| *part == wanted).map(|(_, at)| *at)
    }
}

fn write(mut author: Author<'_>, random: &mut fastrand::Rng) -> Call {
    let n = author.call as u64;
    let desks: Vec<u32> = random.choose_multiple(100..100 + DESKS, 3);
    let phone = format!("916{n:07}");
    let root = n * IDS;
    let (ring, talk) = (random.i64(2..12) * SECOND, random.i64(3..60) * SECOND);
    let (kind, trunk) = (random.u32(0..10), trunk(root, &phone));
    let call = |talk: &[u32], responsible| Call {
        uniqueid: uniqueid(root),
        phone: phone.clone(),
        is_outbound: kind >= 7,
        talk: talk.to_vec(),
        responsible,
        told: Vec::new(),
    };
    if kind >= 7 {
        author.outbound(root, &phone, desks[0], ring, talk);
        return call(&desks[..1], Some(desks[0]));
    }
    let rung = if kind < 4 { &desks[..1] } else { &desks[..2] };
    author.ring(&trunk, root, rung);
    author.wait(ring);
    if kind < 2 {
        author.give_up(&trunk, root, desks[0]);
        return call(&[], Some(desks[0]));
    }
    author.pick_up(&trunk, root, rung);
    author.wait(talk);
    if kind < 6 {
        author.hang_up(&trunk, &desk(root, 1, desks[0]), root, 1);
        return call(&desks[..1], Some(desks[0]));
    }
    author.transfer(&trunk, root, desks[0], desks[2]);
    author.wait(talk / 2);
    author.hang_up(&trunk, &desk(root, 4, desks[2]), root, 2);
    call(&[desks[0], desks[2]], Some(desks[2]))
}

impl Author<'_> {
    fn event(&mut self, part: Part, name: &'static str, headers: String) {
        self.events.push(Planned { at: self.at, call: self.call, part, name, headers });
    }

    fn wait(&mut self, micros: i64) {
        self.at += micros;
    }

    fn ring(&mut self, trunk: &str, root: u64, desks: &[u32]) {
        self.event(Part::Begin, "Newchannel", format!("{trunk}ChannelState: 4\r\nExten: 74957000101\r\n"));
        self.event(Part::Aside, "VarSet", format!("{trunk}Variable: CDR_PROP\r\nValue: x\r\n"));
        self.event(Part::Aside, "Newexten", format!("{trunk}Application: Dial\r\nAppData: x\r\n"));
        self.wait(SECOND / 5);
        for (place, extension) in (1..).zip(desks) {
            self.call_desk(Part::Begin, trunk, &desk(root, place, *extension), *extension);
        }
    }

    fn call_desk(&mut self, part: Part, trunk: &str, desk: &str, extension: u32) {
        self.event(part, "Newchannel", format!("{desk}ChannelState: 0\r\nExten: s\r\n"));
        self.event(part, "DialBegin", format!("{trunk}{}DialString: {extension}\r\n", prefixed(desk)));
        self.event(part, "Newstate", format!("{desk}ChannelState: 5\r\n"));
    }

    fn give_up(&mut self, trunk: &str, root: u64, extension: u32) {
        let desk = desk(root, 1, extension);
        self.event(Part::End, "DialEnd", format!("{trunk}{}DialStatus: NOANSWER\r\n", prefixed(&desk)));
        self.event(Part::End, "Hangup", format!("{desk}Cause: 26\r\n"));
        self.event(Part::End, "Hangup", format!("{trunk}Cause: 16\r\n"));
    }

    /// The first of those who ring answers.
    fn pick_up(&mut self, trunk: &str, root: u64, desks: &[u32]) {
        self.join(trunk, &desk(root, 1, desks[0]), root, 1);
        for (place, extension) in (1..).zip(desks).skip(1) {
            let desk = desk(root, place, *extension);
            let dial = format!("{trunk}{}DialStatus: CANCEL\r\n", prefixed(&desk));
            self.event(Part::Begin, "DialEnd", dial);
            self.event(Part::Begin, "Hangup", format!("{desk}Cause: 26\r\n"));
        }
    }

    /// Four events, with the last of which both talk.
    fn join(&mut self, caller: &str, called: &str, root: u64, nth: u64) {
        self.event(Part::Answer, "Newstate", format!("{called}ChannelState: 6\r\n"));
        self.event(Part::Answer, "DialEnd", format!("{caller}{}DialStatus: ANSWER\r\n", prefixed(called)));
        let bridge = bridge(root, nth);
        self.event(Part::Answer, "BridgeEnter", format!("{bridge}{called}"));
        self.event(Part::Answer, "BridgeEnter", format!("{bridge}{caller}"));
    }

    /// The employee sends the caller on to another, who answers.
    fn transfer(&mut self, trunk: &str, root: u64, from: u32, to: u32) {
        let (from, desk) = (desk(root, 1, from), desk(root, 4, to));
        let bridge = bridge(root, 1);
        self.event(Part::Answer, "BridgeLeave", format!("{bridge}{from}"));
        self.event(Part::Answer, "BridgeLeave", format!("{bridge}{trunk}"));
        self.event(Part::Answer, "BridgeDestroy", bridge);
        self.event(Part::Answer, "Hangup", format!("{from}Cause: 16\r\n"));
        self.call_desk(Part::Answer, trunk, &desk, to);
        self.wait(3 * SECOND);
        self.join(trunk, &desk, root, 2);
    }

    fn hang_up(&mut self, caller: &str, called: &str, root: u64, nth: u64) {
        let bridge = bridge(root, nth);
        self.event(Part::End, "HangupRequest", format!("{caller}Cause: 16\r\n"));
        self.event(Part::End, "BridgeLeave", format!("{bridge}{caller}"));
        self.event(Part::End, "BridgeLeave", format!("{bridge}{called}"));
        self.event(Part::End, "BridgeDestroy", bridge);
        self.event(Part::End, "Hangup", format!("{called}Cause: 16\r\n"));
        self.event(Part::End, "Hangup", format!("{caller}Cause: 16\r\n"));
    }

    fn outbound(&mut self, root: u64, phone: &str, extension: u32, ring: i64, talk: i64) {
        let desk =
            channel(&format!("PJSIP/{extension}"), root, root, &extension.to_string(), "from-internal");
        let trunk = channel("PJSIP/trunk-msk", root + 1, root, phone, "from-trunk");
        self.event(Part::Begin, "Newchannel", format!("{desk}ChannelState: 4\r\nExten: 8{phone}\r\n"));
        self.wait(SECOND / 5);
        self.event(Part::Begin, "Newchannel", format!("{trunk}ChannelState: 0\r\nExten: s\r\n"));
        let dialled = format!("{desk}{}DialString: 8{phone}@trunk-msk\r\n", prefixed(&trunk));
        self.event(Part::Begin, "DialBegin", dialled);
        self.wait(ring);
        self.join(&desk, &trunk, root, 1);
        self.wait(talk);
        self.hang_up(&desk, &trunk, root, 1);
    }
}

fn trunk(root: u64, phone: &str) -> String {
    channel("PJSIP/trunk-msk", root, root, &format!("7{phone}"), "from-trunk")
}

fn desk(root: u64, place: u64, extension: u32) -> String {
    channel(&format!("PJSIP/{extension}"), root + place, root, &extension.to_string(), "from-internal")
}

fn channel(endpoint: &str, id: u64, linked: u64, number: &str, context: &str) -> String {
    format!(
        "Channel: {endpoint}-{id:08x}\r\nCallerIDNum: {number}\r\nContext: {context}\r\n\
         Uniqueid: {}\r\nLinkedid: {}\r\n",
        uniqueid(id),
        uniqueid(linked)
    )
}

fn uniqueid(id: u64) -> String {
    format!("{}.{id}", DAWN / SECOND)
}

fn prefixed(channel: &str) -> String {
    channel.lines().fold(String::new(), |all, line| all + "Dest" + line + "\r\n")
}

fn bridge(root: u64, nth: u64) -> String {
    format!("BridgeUniqueid: 91b8eda1-2216-4f59-9e70-{root:09}{nth:03}\r\nBridgeType: basic\r\n")
}
