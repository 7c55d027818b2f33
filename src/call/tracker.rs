//! Pure: events to calls.
//!
//! A call is a union of channels: same Linkedid at any time, dialled, a Local pair, together in a
//! mixing bridge, transferred, picked up, unparked. The union holds however events are ordered or
//! repeated; a conference or a parking lot joins nobody.
//!
//! ```text
//! handle_event ─► channels, bridges (facts) ─► groups (unions) ─┬─ all channels gone + GRACE
//! handle_timeout ──────────────────────────────────────────────┤
//! finish ──────────────────────────────────────────────────────┴─► poll_finished: CallFacts
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use crate::ami::event::{self, Event, What};
use crate::call::checkpoint::Unknown;
use crate::call::facts::{CallFacts, Channel, ChannelIndex};
use crate::call::policy::Policy;
use crate::call::record::{Side, TimeSource};
use crate::call::side::{EndpointIndex, Portrait, Sides};
use crate::time::PbxTime;

mod bridges;
mod channels;
mod connection;
mod dials;
mod extract;
mod fold;
pub mod glimpse;
mod groups;
mod index;
mod keep;
mod restore;
mod roll;
mod stubs;
mod tombs;

use bridges::Bridges;
use groups::{Group, GroupEnd, GroupIndex};
use index::Index;
use keep::Kept;
pub use roll::Findings;
use roll::Roll;
use tombs::Tombs;

/// How long a call waits for late events after its last channel is gone. Asterisk sends them
/// within milliseconds; the rest is for a PBX under load.
const GRACE: Duration = Duration::from_millis(1500);
/// How long a call waits for its remaining channels once every outside leg that talked is gone: a
/// leg whose hang-up never comes must not hold the record back.
const LINGER: Duration = Duration::from_secs(5);

/// Channels followed at once. A thousand bytes each: 256 MiB, and ten times what a large PBX has.
const CHANNELS_MAX: usize = 1 << 18;
/// Of too many calls, the oldest of so many are ended.
const EVICTED_SHARE: usize = 16;

/// Follows every call of one PBX.
#[derive(Debug)]
pub struct Tracker {
    channels: Slab<Tracked>,
    by_uniqueid: Index,
    bridges: Bridges,
    groups: Slab<Group>,
    linked: Slab<groups::Linked>,
    by_linkedid: Index,
    sides: Sides,
    policy: Arc<Policy>,
    /// Groups by the time at which they are over.
    deadlines: BTreeSet<(PbxTime, u64, GroupIndex)>,
    finished: VecDeque<CallFacts>,
    /// The first channel of the call that is being taken apart.
    ending: Option<Box<str>>,
    /// Groups that end with the input, one at a time: their facts together may not fit in memory.
    closing: VecDeque<(GroupIndex, GroupEnd)>,
    tombs: Tombs,
    kept: Kept,
    /// Calls that were ended because there were too many channels.
    evicted: u64,
    /// The time of the latest event.
    now: PbxTime,
    /// When the connection of now began.
    begun: Option<PbxTime>,
    /// The last event before it: since then the PBX was not watched.
    lost: Option<PbxTime>,
    /// The last time at which the connection before this one was whole.
    gap: Option<PbxTime>,
    /// Until then the connection was whole.
    alive: Option<PbxTime>,
    roll: Roll,
    /// How long Asterisk has been running, told before the connection's first event with a time.
    uptime: Option<u64>,
    /// Numbers channels and groups in the order in which they were first seen.
    count: u64,
    time: TimeSource,
}

/// A channel with its place in the tracker.
#[derive(Debug)]
struct Tracked {
    facts: Channel,
    linkedid: Box<[u8]>,
    endpoint: EndpointIndex,
    group: GroupIndex,
    /// The bridge it is in.
    bridge: Option<usize>,
    /// A bridge that it left without having been seen to enter.
    late: Option<usize>,
    /// The time of the last event about it.
    heard: PbxTime,
    /// The last list in which it stood.
    listed: u32,
    /// A list lacked it then, and nothing was heard of it since.
    missed: Option<PbxTime>,
    /// Its origin is a guess from its first snapshot.
    guessed: bool,
    /// It changed since it was written down.
    dirty: bool,
    /// Something of it is written down.
    saved: bool,
    /// What a later program wrote of it.
    unknown: Option<Box<Unknown>>,
}

impl Tracker {
    pub fn new(time: TimeSource, policy: Arc<Policy>) -> Self {
        let mut sides = Sides::default();
        sides.set_local_digits(policy.numbers.local_digits());
        Self {
            channels: Slab::new(),
            by_uniqueid: Index::default(),
            bridges: Bridges::default(),
            groups: Slab::new(),
            linked: Slab::new(),
            by_linkedid: Index::default(),
            sides,
            policy,
            deadlines: BTreeSet::new(),
            finished: VecDeque::new(),
            ending: None,
            closing: VecDeque::new(),
            tombs: Tombs::default(),
            kept: Kept::default(),
            evicted: 0,
            now: PbxTime::from_micros(0),
            begun: None,
            lost: None,
            gap: None,
            alive: None,
            roll: Roll::default(),
            uptime: None,
            count: 0,
            time,
        }
    }

    /// From here on sides are judged by `policy`.
    pub fn set_policy(&mut self, policy: Arc<Policy>) {
        self.sides.set_local_digits(policy.numbers.local_digits());
        self.policy = policy;
    }

    /// Every endpoint that was seen, and its side by evidence alone.
    pub fn portraits(&self) -> impl Iterator<Item = Portrait> {
        self.sides.portraits()
    }

    /// Where the times of further calls come from.
    pub fn set_time_source(&mut self, time: TimeSource) {
        self.time = time;
    }

    /// Takes one event that happened at `at`. Unknown channels make stubs, repeated events change
    /// nothing; an event from before the latest one counts as of then.
    pub fn handle_event(&mut self, event: &Event<'_>, at: PbxTime) {
        let at = self.advance(at);
        self.handle_timeout(at);
        if self.is_over(event) {
            return;
        }
        self.make_room();
        match event.what {
            What::NewChannel(channel) => self.new_channel(&channel, at),
            What::ChannelChanged(channel) => self.touch(&channel, at),
            What::Hangup { channel, cause } => self.hangup(&channel, cause, at),
            What::HangupRequest { channel, .. } => self.hangup_requested(&channel, at),
            What::DialBegin { caller, dest, dial_string } => {
                self.dial_begin(caller.as_ref(), &dest, dial_string, at);
            }
            What::DialEnd { caller, dest, status, forward } => {
                self.dial_end(caller.as_ref(), &dest, status, forward, at);
            }
            What::BridgeEnter { bridge, channel, swap } => self.bridge_enter(&bridge, &channel, swap, at),
            What::BridgeLeave { bridge, channel } => self.bridge_leave(&bridge, &channel, at),
            What::BridgeDestroy { bridge } => self.bridge_destroy(&bridge, at),
            What::LocalBridge { one, two } => self.local_bridge(&one, &two, at),
            What::BlindTransfer { transferer, transferee, extension, done } => {
                if done {
                    self.blind_transfer(&transferer, transferee.as_ref(), extension, at);
                }
            }
            What::AttendedTransfer(transfer) => {
                if transfer.done {
                    self.attended_transfer(&transfer, at);
                }
            }
            What::Pickup { picker, target } => self.pickup(&picker, &target, at),
            What::Parked { parkee } => self.parked(&parkee, at),
            What::ParkingEnded { parkee } => self.touch(&parkee, at),
            What::Unparked { parkee, retriever } => self.unparked(&parkee, retriever.as_ref(), at),
            What::Hold(channel) => self.hold(&channel, at),
            What::Unhold(channel) => self.unhold(&channel, at),
            What::QueueJoin { channel, queue } => self.queue_join(&channel, queue, at),
            What::QueueAbandon { channel, .. } => {
                self.mark(&channel, at, |extras| extras.queue_abandoned = true);
            }
            What::Agent { caller, dest, interface } => {
                self.agent(caller.as_ref(), dest.as_ref(), interface, at);
            }
            What::Variable { channel, name, value } => self.variable(&channel, name, value, at),
            What::Message { channel, new, .. } => self.message(channel.as_ref(), new, at),
            What::RecordingStopped(channel) => self.recording_stopped(&channel, at),
            What::Fax(channel) => self.mark(&channel, at, |extras| extras.fax = true),
            What::Spy { spyer } => self.mark(&spyer, at, |extras| extras.spy = true),
            What::Cdr(cdr) => self.cdr(&cdr),
            What::Hint { exten, device } => {
                self.sides.hint(&event::text::decode(exten), &event::text::decode(device));
            }
            What::User { channel: Some(channel), name, said } => self.user_event(&channel, name, &said, at),
            What::User { channel: None, .. } => {}
            What::FullyBooted { uptime } => self.booted(uptime),
            What::Shutdown => self.shut_down(at),
            // See `handle_list`.
            What::List(_) => {}
        }
    }

    /// It is `at` on the PBX, or later; returns which.
    pub fn advance(&mut self, at: PbxTime) -> PbxTime {
        self.now = self.now.max(at);
        self.now
    }

    /// What came from after `at` was a mistake: time goes on from there.
    pub fn rewind(&mut self, at: PbxTime) {
        self.now = at;
        let late = at.after(LINGER);
        let lost: Vec<_> = self.deadlines.iter().copied().filter(|(due, ..)| *due > late).collect();
        for (_, _, group) in lost {
            self.set_deadline(group, Some(at.after(GRACE)));
        }
        let early = self.channels.iter().filter(|(_, tracked)| tracked.facts.born > at);
        let early: Vec<_> = early.filter_map(|(entry, _)| ChannelIndex::try_from(entry).ok()).collect();
        for index in early {
            self.channels[index as usize].facts.born = at;
            self.changed(index);
        }
    }

    /// Another stretch of time begins; nothing is open.
    pub fn restart(&mut self) {
        self.now = PbxTime::from_micros(0);
        (self.begun, self.lost, self.gap, self.alive) = (None, None, None, None);
        self.tombs = Tombs::default();
    }

    /// Ends the calls whose grace is over at `now`. Events may still come from before: what the PBX
    /// holds up is told by their own times.
    pub fn handle_timeout(&mut self, now: PbxTime) {
        while let Some(&(due, seq, group)) = self.deadlines.first() {
            if due > now {
                return;
            }
            self.deadlines.remove(&(due, seq, group));
            self.end_group(group, due, self.group_end(group));
        }
    }

    /// When [`Tracker::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<PbxTime> {
        self.deadlines.first().map(|(due, ..)| *due)
    }

    /// The next call that ended, in order of end.
    pub fn poll_finished(&mut self) -> Option<CallFacts> {
        while self.finished.is_empty() {
            let (group, end) = self.closing.pop_front()?;
            let at = self.groups[group].silent_since.unwrap_or(self.now);
            self.end_group(group, at, end);
        }
        self.finished.pop_front()
    }

    /// The call that is being taken apart, by its first channel: to be named when that panics.
    pub fn working_on(&self) -> Option<&str> {
        self.ending.as_deref()
    }

    /// Nothing that is still heard of these channels counts.
    pub fn bury<'s>(&mut self, uniqueids: impl IntoIterator<Item = &'s str>) {
        for uniqueid in uniqueids {
            self.tombs.add(uniqueid.as_bytes(), self.now);
        }
    }

    /// The input is at its end: every open call ends as it is, those of which nothing is heard any
    /// more when that began. No event may follow before all of them are polled.
    pub fn finish(&mut self) {
        // Calls that only wait for late events end in their order, then the open ones in theirs.
        let waiting: BTreeSet<_> = self.deadlines.iter().map(|(.., group)| *group).collect();
        let due = self.deadlines.iter().map(|(.., group)| *group);
        let due: Vec<_> = due.map(|group| (group, self.group_end(group))).collect();
        let mut open: Vec<_> = self.groups.iter().map(|(index, group)| (group.seq, index)).collect();
        open.sort_unstable();
        let open = open.into_iter().filter(|(_, group)| !waiting.contains(group));
        // What is left of a call that was told already ends without another word.
        let left = due.iter().filter(|(_, end)| *end == GroupEnd::Lingers).map(|(group, _)| *group);
        let left: Vec<_> = left.map(|group| (group, GroupEnd::Cut)).collect();
        self.closing =
            due.into_iter().chain(open.map(|(_, group)| (group, GroupEnd::Cut))).chain(left).collect();
    }

    /// After [`Tracker::finish`]: takes the facts of all calls at once, so that events may follow.
    pub fn extract_all(&mut self) {
        while let Some((group, end)) = self.closing.pop_front() {
            let at = self.groups[group].silent_since.unwrap_or(self.now);
            self.end_group(group, at, end);
        }
    }

    /// Whether the event is about a channel that is over and forgotten.
    fn is_over(&self, event: &Event<'_>) -> bool {
        let Some(channel) = event.what.subject() else { return false };
        self.tombs.holds(channel.uniqueid) && self.find(channel).is_none()
    }

    /// Ends the oldest calls when there are too many channels: a PBX has some thousands, what has more
    /// has lost its hang-ups or means ill.
    fn make_room(&mut self) {
        if self.channels.len() < CHANNELS_MAX {
            return;
        }
        let mut oldest: Vec<_> = self.groups.iter().map(|(index, group)| (group.seq, index)).collect();
        oldest.sort_unstable();
        oldest.truncate(oldest.len().div_ceil(EVICTED_SHARE));
        for (_, group) in oldest {
            self.evicted += 1;
            self.end_group(group, self.now, GroupEnd::Cut);
        }
    }

    /// Calls that were ended because there were too many channels.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Calls in progress, those waiting for late events included.
    pub fn open(&self) -> usize {
        self.groups.len()
    }

    /// What the PBX's lists told that no event did.
    pub fn findings(&self) -> Findings {
        self.roll.findings()
    }

    /// Channels of these calls that are remembered.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    fn side(&self, channel: ChannelIndex) -> Side {
        self.judgement(&self.channels[channel as usize]).verdict.side
    }
}
