//! Pure: channels as events tell of them.

use std::time::Duration;

use crate::ami::event::{self, presented, text};
use crate::call::facts::{Channel, ChannelIndex, Extras, Gone, Origin, Recording, Saying, Span, Word};
use crate::call::name;
use crate::call::record::Side;
use crate::call::side::EndpointIndex;
use crate::call::side::evidence::Evidence;
use crate::call::tracker::{Tracked, Tracker};
use crate::time::PbxTime;

/// Holds, recordings and the like that one channel can have; a real one has a few, and more must
/// not cost memory.
pub(super) const LIST_MAX: usize = 64;
/// `ChannelState` of a channel whose device calls the PBX.
const RING: Option<u8> = Some(4);
/// Longest text that is kept of a header, in bytes.
const TEXT_MAX: usize = 256;

impl Tracker {
    pub(super) fn new_channel(&mut self, snapshot: &event::Channel<'_>, at: PbxTime) {
        let index = match self.find(snapshot) {
            Some(known) => {
                self.relink(known, snapshot);
                known
            }
            None => self.make(snapshot, at),
        };
        let Tracked { facts, guessed, .. } = &mut self.channels[index as usize];
        if facts.announced {
            return;
        }
        // However late it comes: this is what the channel was like at first.
        facts.announced = true;
        facts.born = facts.first_sign().map_or(at, |first| first.min(at));
        if std::mem::take(guessed) {
            facts.origin = Origin::Unknown;
        }
        facts.number = presented(snapshot.number).map(|number| cut(&number).into());
        facts.exten = cut(&text::decode(snapshot.exten)).into();
        facts.context = cut(&text::decode(snapshot.context)).into();
        if facts.origin == Origin::Unknown {
            facts.origin = match snapshot.state {
                Some(0 | 1 | 3) => Origin::Created,
                Some(_) => Origin::Incoming,
                None => Origin::Unknown,
            };
        }
        match facts.origin {
            Origin::Created => self.learn_from_called(index),
            Origin::Incoming | Origin::Unknown => self.learn_from_call_in(index),
        }
    }

    /// A device that the PBX makes a channel to shows its own number and context.
    fn learn_from_called(&mut self, index: ChannelIndex) {
        let Tracked { facts, endpoint, .. } = &self.channels[index as usize];
        if facts.kind == name::Kind::Device {
            self.sides.called(*endpoint, facts.number.as_deref(), &facts.context);
        }
    }

    /// A device that calls the PBX shows its side.
    fn learn_from_call_in(&mut self, index: ChannelIndex) {
        let Tracked { facts, endpoint, .. } = &self.channels[index as usize];
        if facts.announced && facts.origin == Origin::Incoming && facts.kind == name::Kind::Device {
            self.sides.called_in(*endpoint, facts.number.as_deref(), &facts.exten, &facts.context);
        }
    }

    /// `chan_sip` makes its channels `Down` whoever calls; `Ring` then says that the device does.
    fn notice_ring(&mut self, index: ChannelIndex, snapshot: &event::Channel<'_>) {
        let facts = &mut self.channels[index as usize].facts;
        if snapshot.state == RING && facts.origin == Origin::Created && facts.dials.is_empty() {
            facts.origin = Origin::Incoming;
            self.learn_from_call_in(index);
        }
    }

    /// Takes what the snapshot says of a channel; makes a stub of an unknown one.
    pub(super) fn touch(&mut self, snapshot: &event::Channel<'_>, at: PbxTime) {
        self.see(snapshot, at);
    }

    pub(super) fn hangup(&mut self, snapshot: &event::Channel<'_>, cause: Option<u16>, at: PbxTime) {
        // Of a channel that was there before we looked this may be the only event.
        let index = self.see(snapshot, at);
        let tracked = &mut self.channels[index as usize];
        if tracked.facts.gone.is_some() {
            return;
        }
        tracked.facts.gone = Some(Gone { at, cause });
        let group = tracked.group;
        self.leave_bridge(index, at);
        let facts = &mut self.channels[index as usize].facts;
        if let Some(Span { to: to @ None, .. }) = facts.holds.last_mut() {
            *to = Some(at);
        }
        self.groups[group].live -= 1;
        self.reconsider(group);
        if self.groups[group].members.len() >= self.groups[group].fold_at {
            self.fold(group);
        }
    }

    pub(super) fn hangup_requested(&mut self, snapshot: &event::Channel<'_>, at: PbxTime) {
        let index = self.see(snapshot, at);
        self.channels[index as usize].facts.hangup_requested.get_or_insert(at);
    }

    pub(super) fn hold(&mut self, snapshot: &event::Channel<'_>, at: PbxTime) {
        let index = self.see(snapshot, at);
        let facts = &mut self.channels[index as usize].facts;
        let held = matches!(facts.holds.last(), Some(Span { to: None, .. }));
        if !held && facts.gone.is_none() && facts.holds.len() < LIST_MAX {
            facts.holds.push(Span { from: at, to: None });
        }
    }

    pub(super) fn unhold(&mut self, snapshot: &event::Channel<'_>, at: PbxTime) {
        let index = self.see(snapshot, at);
        if let Some(Span { to: to @ None, .. }) = self.channels[index as usize].facts.holds.last_mut() {
            *to = Some(at);
        }
    }

    pub(super) fn recording_stopped(&mut self, snapshot: &event::Channel<'_>, at: PbxTime) {
        self.mark(snapshot, at, |extras| {
            if let Some(open) = extras.recordings.iter_mut().rfind(|recording| recording.to.is_none()) {
                open.to = Some(at);
            }
        });
    }

    pub(super) fn queue_join(&mut self, snapshot: &event::Channel<'_>, queue: &[u8], at: PbxTime) {
        let index = self.see(snapshot, at);
        let extras = &mut self.channels[index as usize].facts.extras;
        extras.queue = kept(queue);
        extras.queue_joined = Some(at);
    }

    /// A mailbox got a message; `new` counts those not heard yet.
    pub(super) fn message(&mut self, snapshot: Option<&event::Channel<'_>>, new: Option<u32>, at: PbxTime) {
        if let Some(snapshot) = snapshot.filter(|_| new != Some(0)) {
            self.mark(snapshot, at, |extras| {
                extras.message_left.get_or_insert(at);
            });
        }
    }

    pub(super) fn mark(&mut self, snapshot: &event::Channel<'_>, at: PbxTime, set: impl FnOnce(&mut Extras)) {
        let index = self.see(snapshot, at);
        set(&mut self.channels[index as usize].facts.extras);
    }

    pub(super) fn variable(&mut self, snapshot: &event::Channel<'_>, name: &[u8], value: &[u8], at: PbxTime) {
        let Some(value) = kept(&text::unescape(value)) else { return };
        let index = self.see(snapshot, at);
        let extras = &mut self.channels[index as usize].facts.extras;
        let name = name.trim_ascii_start();
        // Variables that are handed down to further channels begin with one or two of these.
        match name.strip_prefix(b"__").or_else(|| name.strip_prefix(b"_")).unwrap_or(name) {
            b"MIXMONITOR_FILENAME" | b"MONITOR_FILENAME" => {
                extras.add_recording(Recording { at, path: value, to: None });
            }
            b"CALLFILENAME" | b"CDR(recordingfile)" | b"recordingfile" => extras.hint(value),
            b"VM_MESSAGEFILE" => extras.message = Some(value),
            b"ANSWEREDTIME_MS" => extras.answered_since = span_before(at, &value, Duration::from_millis),
            b"ANSWEREDTIME" if extras.answered_since.is_none() => {
                extras.answered_since = span_before(at, &value, Duration::from_secs);
            }
            b"FROM_DID" => extras.did = Some(value),
            b"FORWARDEDBY" => extras.forwarded_by = Some(value),
            b"DIALSTATUS" => extras.dial_status = Some(value),
            b"VMSTATUS" if &*value == "SUCCESS" => extras.message_left = extras.message_left.or(Some(at)),
            name if let Some(word) = self.policy.dial_plan.word(name) => {
                let extras = &mut self.channels[index as usize].facts.extras;
                extras.say(Saying { at, word, value });
            }
            b"EXTTOCALL" if extras.meant.len() < LIST_MAX && !extras.meant.contains(&value) => {
                extras.meant.push(value);
            }
            _ => {}
        }
    }

    /// The dial plan speaks of a call.
    pub(super) fn user_event(
        &mut self,
        snapshot: &event::Channel<'_>,
        name: &[u8],
        said: &event::Said<'_>,
        at: PbxTime,
    ) {
        let index = self.see(snapshot, at);
        if name != self.policy.dial_plan.event.as_bytes() {
            return;
        }
        let event::Said { status, result, responsible, send, tenant } = *said;
        let words = [
            (Word::Status, status),
            (Word::Result, result),
            (Word::Responsible, responsible),
            (Word::Send, send),
            (Word::Tenant, tenant),
        ];
        let extras = &mut self.channels[index as usize].facts.extras;
        for (word, value) in words {
            if let Some(value) = kept(value) {
                extras.say(Saying { at, word, value });
            }
        }
    }

    /// A queue's `interface` is a member: its device is inside.
    pub(super) fn agent(
        &mut self,
        caller: Option<&event::Channel<'_>>,
        dest: Option<&event::Channel<'_>>,
        interface: &[u8],
        at: PbxTime,
    ) {
        let caller = caller.map(|caller| self.see(caller, at));
        let Some(dest) = dest.map(|dest| self.see(dest, at)) else { return };
        if let Some(caller) = caller {
            self.unite(caller, dest);
        }
        let tracked = &self.channels[dest as usize];
        let is_member = name::endpoint(&tracked.facts.name).as_bytes() == interface;
        if is_member && tracked.facts.kind == name::Kind::Device {
            let endpoint = tracked.endpoint;
            self.sides.add(endpoint, Evidence::QueueMember);
        }
    }

    pub(super) fn local_bridge(&mut self, one: &event::Channel<'_>, two: &event::Channel<'_>, at: PbxTime) {
        let (one, two) = (self.see(one, at), self.see(two, at));
        self.channels[one as usize].facts.peer = Some(two);
        self.channels[two as usize].facts.peer = Some(one);
        self.unite(one, two);
    }

    pub(super) fn find(&self, snapshot: &event::Channel<'_>) -> Option<ChannelIndex> {
        self.find_uniqueid(snapshot.uniqueid)
    }

    pub(super) fn find_uniqueid(&self, uniqueid: &[u8]) -> Option<ChannelIndex> {
        let found =
            self.by_uniqueid.find(uniqueid, |i| self.channels[i].facts.uniqueid.as_bytes() == uniqueid)?;
        Some(ChannelIndex::try_from(found).expect("indexes fit, see Index::insert"))
    }

    /// The channel of a snapshot, with its group brought up to date; a stub when it is unknown.
    pub(super) fn see(&mut self, snapshot: &event::Channel<'_>, at: PbxTime) -> ChannelIndex {
        if let Some(index) = self.find(snapshot) {
            self.relink(index, snapshot);
            self.notice_ring(index, snapshot);
            return index;
        }
        let index = self.make(snapshot, at);
        self.met_under_way(index, snapshot, at);
        index
    }

    /// A channel that is not known yet.
    fn make(&mut self, snapshot: &event::Channel<'_>, at: PbxTime) -> ChannelIndex {
        let name: Box<str> = cut(&text::decode(snapshot.name)).into();
        let endpoint = self.sides.intern(&name);
        let facts = Channel {
            uniqueid: text::decode(snapshot.uniqueid).into(),
            kind: name::kind(&name),
            announced: false,
            origin: if snapshot.state == RING { Origin::Incoming } else { Origin::Unknown },
            born: at,
            gone: None,
            hangup_requested: None,
            number: presented(snapshot.number).map(|number| cut(&number).into()),
            exten: cut(&text::decode(snapshot.exten)).into(),
            context: cut(&text::decode(snapshot.context)).into(),
            account: cut(&text::decode(snapshot.account)).into(),
            peer: None,
            dials: Vec::new(),
            stays: Vec::new(),
            holds: Vec::new(),
            extras: Extras::default(),
            side: Side::Unknown,
            evidence: Evidence::None,
            weak: false,
            extension: None,
            guest: false,
            reported: false,
            name,
        };
        self.add(facts, endpoint, snapshot)
    }

    fn add(
        &mut self,
        facts: Channel,
        endpoint: EndpointIndex,
        snapshot: &event::Channel<'_>,
    ) -> ChannelIndex {
        let entry = self.channels.insert(Tracked {
            facts,
            linkedid: snapshot.linkedid.into(),
            endpoint,
            group: usize::MAX,
            bridge: None,
            late: None,
            heard: self.begun.map_or(self.now, |begun| begun.max(self.now)),
            listed: 0,
            missed: None,
            guessed: false,
            dirty: false,
            saved: false,
            unknown: None,
        });
        self.by_uniqueid.insert(snapshot.uniqueid, entry);
        let index = ChannelIndex::try_from(entry).expect("indexes fit, see Index::insert");
        let group = self.new_group(index);
        self.channels[entry].group = group;
        self.link(group, snapshot.linkedid);
        self.pair(index);
        self.changed(index);
        index
    }

    /// Finds the other half of a Local channel by its name: `LocalBridge` may be missing.
    fn pair(&mut self, index: ChannelIndex) {
        let facts = &self.channels[index as usize].facts;
        let Some(peer) = (facts.kind == name::Kind::Local).then(|| name::local_peer(&facts.name)).flatten()
        else {
            return;
        };
        let group = &self.groups[self.channels[index as usize].group];
        let found = group.members.iter().copied().find(|m| *self.channels[*m as usize].facts.name == *peer);
        if let Some(peer) = found {
            self.channels[index as usize].facts.peer = Some(peer);
            self.channels[peer as usize].facts.peer = Some(index);
            self.changed(peer);
        }
    }

    /// An event is about this channel.
    fn heard_of(&mut self, index: ChannelIndex) {
        let now = self.begun.map_or(self.now, |begun| begun.max(self.now));
        let tracked = &mut self.channels[index as usize];
        (tracked.heard, tracked.missed) = (now, None);
        let group = tracked.group;
        if self.groups[group].silent_since.take().is_some() {
            self.call_changed(group);
        }
        self.changed(index);
    }

    /// The Linkedid of a live channel changes without an event of its own; each event shows it.
    fn relink(&mut self, index: ChannelIndex, snapshot: &event::Channel<'_>) {
        self.heard_of(index);
        let tracked = &mut self.channels[index as usize];
        if *tracked.linkedid == *snapshot.linkedid
            || snapshot.linkedid.is_empty()
            || tracked.facts.gone.is_some()
        {
            return;
        }
        tracked.linkedid = snapshot.linkedid.into();
        let group = tracked.group;
        self.link(group, snapshot.linkedid);
    }
}

/// Names for recordings that one channel keeps.
const HINTS_MAX: usize = 4;

impl Extras {
    pub(super) fn say(&mut self, saying: Saying) {
        // What was said last counts: of a flood, the first words go.
        if self.said.len() >= LIST_MAX {
            self.said.remove(0);
        }
        self.said.push(saying);
    }

    fn hint(&mut self, name: Box<str>) {
        if !self.hints.contains(&name) {
            // The dial plan names it anew for each party that it tries: the last one is meant.
            if self.hints.len() >= HINTS_MAX {
                self.hints.remove(0);
            }
            self.hints.push(name);
        }
    }

    fn add_recording(&mut self, recording: Recording) {
        let known = self.recordings.iter().any(|known| known.path == recording.path);
        if !known && self.recordings.len() < LIST_MAX {
            self.recordings.push(recording);
        }
    }
}

/// The moment that lies so many units before `at`.
fn span_before(at: PbxTime, text: &str, unit: fn(u64) -> Duration) -> Option<PbxTime> {
    let span = i64::try_from(unit(text.parse().ok()?).as_micros()).ok()?;
    Some(PbxTime::from_micros(at.micros().saturating_sub(span)))
}

/// The text of a header that is to be kept; `None` when it is empty.
pub(super) fn kept(value: &[u8]) -> Option<Box<str>> {
    let text = text::decode(value);
    (!text.is_empty()).then(|| cut(&text).into())
}

/// The beginning of a text that may be hostile.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or(text)
}
