//! Pure: which facts changed since they were last written down, and how they are written.

use std::collections::VecDeque;

use crate::call::checkpoint::{
    CallV1, Change, ChannelV1, DialV1, ExtrasV1, StayV1, StreamV1, TransferV1, Unknown, VERSION, Value,
    call_key, channel_key,
};
use crate::call::facts::{BridgeKind, Channel, ChannelIndex, Dial, Extras, Stay};
use crate::call::tracker::Tracker;
use crate::call::tracker::groups::GroupIndex;
use crate::time::PbxTime;

/// Longest value, in bytes: what the store takes.
const VALUE_MAX: usize = 8 << 10;
/// Linkedids of a call that has too many: those are forged.
const LINKED_KEPT: usize = 16;
/// Guests of other calls that are written with a call.
const GUESTS_MAX: usize = 8;

/// What is to be written; each channel and call stands in one queue once.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Nobody writes anything down: a replay.
    on: bool,
    /// What the sweep under way is to write.
    due: Queues,
    /// What changed since it began.
    later: Queues,
    /// Of which moment all is written once nothing is `due` any more.
    whole: Moment,
    removed: Vec<String>,
    /// Something happened since the stream's own value was written.
    stream: bool,
    /// What a later program wrote in that value.
    pub(super) unknown: Unknown,
}

#[derive(Debug, Default)]
struct Queues {
    channels: VecDeque<ChannelIndex>,
    calls: VecDeque<GroupIndex>,
}

/// Times of the stream.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now: PbxTime,
    alive: Option<PbxTime>,
}

impl Tracker {
    /// Notes from here on what changes, for [`Tracker::take_changes`].
    pub fn keep_changes(&mut self) {
        self.kept.on = true;
    }

    /// The values that changed, at most about `limit` of them and those of a call together; the rest comes
    /// with the next calls. The stream's own value says until when all is written, so it is the last of
    /// them. `shift` is the clock's.
    pub fn take_changes(&mut self, limit: usize, shift: i64) -> Vec<Change> {
        let mut changes: Vec<Change> =
            self.kept.removed.drain(..).map(|key| Change { key, value: None }).collect();
        if self.kept.due.is_empty() {
            self.kept.whole = self.moment();
            self.kept.due = std::mem::take(&mut self.kept.later);
        }
        while changes.len() < limit
            && let Some(index) = self.kept.due.calls.pop_front()
        {
            self.take_call(index, &mut changes);
        }
        while let Some(&index) = self.kept.due.channels.front() {
            let dirty = self.channels.get(index as usize).filter(|tracked| tracked.dirty);
            match dirty.map(|tracked| tracked.group) {
                Some(_) if changes.len() >= limit => break,
                Some(group) => self.take_call(group, &mut changes),
                None => {} // written with its call
            }
            self.kept.due.channels.pop_front();
        }
        let endpoints = self.sides.take_changed(limit.saturating_sub(changes.len()));
        changes.extend(endpoints.into_iter().map(|endpoint| Value::Endpoint(endpoint).change()));
        if self.kept.stream && self.kept.due.is_empty() {
            self.kept.stream = !self.kept.later.is_empty();
            let until = if self.kept.stream { self.kept.whole } else { self.moment() };
            changes.push(self.stream_value(until, shift).change());
        }
        changes
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, alive: self.alive }
    }

    /// All that changed of one call, in one piece: of a part a restart would make a call of its own.
    fn take_call(&mut self, index: GroupIndex, changes: &mut Vec<Change>) {
        changes.extend(self.call_change(index));
        let members = self.groups.get(index).map(|group| group.members.clone());
        for member in members.into_iter().flatten() {
            changes.extend(self.channel_change(member));
        }
    }

    /// What belongs with the calls that ended: their values are removed, and what is left of a call that
    /// was told already says so.
    pub fn take_ended(&mut self) -> Vec<Change> {
        let mut changes: Vec<Change> =
            self.kept.removed.drain(..).map(|key| Change { key, value: None }).collect();
        let Kept { due, later, .. } = &self.kept;
        let told: Vec<GroupIndex> =
            due.calls.iter().chain(&later.calls).copied().filter(|call| self.is_told(*call)).collect();
        let Kept { due, later, .. } = &mut self.kept;
        for calls in [&mut due.calls, &mut later.calls] {
            calls.retain(|call| !told.contains(call));
        }
        for call in told {
            changes.extend(self.call_change(call));
            for member in self.groups[call].members.clone() {
                changes.extend(self.channel_change(member));
            }
        }
        changes
    }

    fn is_told(&self, call: GroupIndex) -> bool {
        self.groups.get(call).is_some_and(|group| group.reported)
    }

    /// Everything is to be written anew: what was handed out is lost.
    pub fn keep_all(&mut self) {
        let channels: Vec<ChannelIndex> =
            self.groups.iter().flat_map(|(_, group)| group.members.clone()).collect();
        for channel in channels {
            self.changed(channel);
        }
        let calls: Vec<GroupIndex> = self.groups.iter().map(|(call, _)| call).collect();
        for call in calls {
            self.call_changed(call);
        }
        self.sides.keep_all();
        // What this sweep has handed out so far may be what was lost.
        let Kept { due, later, .. } = &mut self.kept;
        later.channels.append(&mut due.channels);
        later.calls.append(&mut due.calls);
        self.stream_changed();
    }

    /// Whether [`Tracker::take_changes`] has something to give.
    pub fn has_changes(&self) -> bool {
        let Kept { due, later, removed, stream, on: _, whole: _, unknown: _ } = &self.kept;
        *stream || !due.is_empty() || !later.is_empty() || !removed.is_empty() || self.sides.has_changed()
    }

    pub(super) fn changed(&mut self, index: ChannelIndex) {
        if !self.kept.on {
            return;
        }
        self.kept.stream = true;
        let dirty = &mut self.channels[index as usize].dirty;
        if !std::mem::replace(dirty, true) {
            self.kept.later.channels.push_back(index);
        }
    }

    pub(super) fn stream_changed(&mut self) {
        self.kept.stream |= self.kept.on;
    }

    pub(super) fn call_changed(&mut self, index: GroupIndex) {
        if self.kept.on && !std::mem::replace(&mut self.groups[index].dirty, true) {
            self.kept.later.calls.push_back(index);
        }
    }

    /// The channel is forgotten, and so is what was written of it.
    pub(super) fn forgot_channel(&mut self, uniqueid: &str, saved: bool) {
        if self.kept.on && saved {
            self.kept.removed.push(channel_key(uniqueid));
        }
    }

    pub(super) fn forgot_call(&mut self, first: &str, saved: bool) {
        if self.kept.on && saved {
            self.kept.removed.push(call_key(first));
        }
    }

    /// The index may be of a channel that is gone, or of one that took its place.
    fn channel_change(&mut self, index: ChannelIndex) -> Option<Change> {
        let tracked = self.channels.get_mut(index as usize)?;
        if !std::mem::take(&mut tracked.dirty) {
            return None;
        }
        tracked.saved = true;
        let mut value = self.channel_value(index);
        let change = Value::Channel(Box::new(value.clone())).change();
        if fits(&change) {
            return Some(change);
        }
        shorten(&mut value);
        Some(Value::Channel(Box::new(value)).change())
    }

    fn call_change(&mut self, index: GroupIndex) -> Option<Change> {
        let group = self.groups.get_mut(index)?;
        if !std::mem::take(&mut group.dirty) {
            return None;
        }
        group.saved = true;
        let mut value = self.call_value(index);
        let change = Value::Call(Box::new(value.clone())).change();
        if fits(&change) {
            return Some(change);
        }
        value.guests.clear();
        value.unknown.clear();
        keep_last(&mut value.linkedids, LINKED_KEPT);
        Some(Value::Call(Box::new(value)).change())
    }

    fn stream_value(&self, until: Moment, shift: i64) -> Value {
        let Moment { now, alive } = until;
        Value::Stream(StreamV1 {
            v: VERSION,
            now: now.min(self.now), // the clock may have been set back
            begun: self.begun,
            alive: alive.filter(|_| self.alive.is_some()),
            shift,
            time: self.time,
            ended: self.tombs.recent(),
            unknown: self.kept.unknown.clone(),
        })
    }

    fn call_value(&self, index: GroupIndex) -> CallV1 {
        let group = &self.groups[index];
        let linkedids = group.linked.iter().map(|entry| String::from_utf8_lossy(&self.linked[*entry].id));
        CallV1 {
            v: VERSION,
            first: group.first.to_string(),
            order: group.seq,
            linkedids: linkedids.map(std::borrow::Cow::into_owned).collect(),
            deadline: group.deadline(),
            reported: group.reported,
            silent_since: group.silent_since,
            cut: group.cut,
            guests: self.past_guests(index),
            unknown: group.unknown.clone().map(|unknown| *unknown).unwrap_or_default(),
        }
    }

    fn channel_value(&self, index: ChannelIndex) -> ChannelV1 {
        let tracked = &self.channels[index as usize];
        let name_of = |other: ChannelIndex| {
            let other = self.channels.get(other as usize).filter(|other| other.group == tracked.group)?;
            Some(other.facts.uniqueid.to_string())
        };
        let mut value = facts_value(&tracked.facts, name_of);
        value.call = self.groups[tracked.group].first.to_string();
        value.linkedid = String::from_utf8_lossy(&tracked.linkedid).into_owned();
        value.guessed = tracked.guessed;
        value.in_bridge = tracked.bridge.is_some();
        for stay in &mut value.stays {
            stay.id = self.bridges.id_of(stay.label, stay.kind);
        }
        if let (Some(entry), Some(last)) = (tracked.bridge, value.stays.last_mut()) {
            last.id = Some(self.bridges.id(entry));
        }
        if let Some(entry) = tracked.late {
            let (id, label) = (self.bridges.id(entry), self.bridges.label(entry));
            if let Some(stay) = value.stays.iter_mut().find(|stay| stay.label == label) {
                stay.id = Some(id.clone());
            }
            value.late = Some(id);
        }
        value.unknown = tracked.unknown.clone().map(|unknown| *unknown).unwrap_or_default();
        value
    }

    /// Channels of calls that are over, in conferences of this one.
    fn past_guests(&self, index: GroupIndex) -> Vec<ChannelV1> {
        let members = &self.groups[index].members;
        let stays = members.iter().flat_map(|member| &self.channels[*member as usize].facts.stays);
        let conferences = stays.filter(|stay| stay.kind == BridgeKind::Conference);
        let mut guests: Vec<ChannelV1> = Vec::new();
        for guest in conferences.flat_map(|stay| self.bridges.past(stay.bridge)) {
            if guests.len() < GUESTS_MAX && guests.iter().all(|known| known.uniqueid != *guest.uniqueid) {
                let mut value = facts_value(guest, |_| None);
                value.stays.iter_mut().for_each(|stay| stay.id = self.bridges.id_of(stay.label, stay.kind));
                guests.push(value);
            }
        }
        guests
    }
}

impl Queues {
    fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.calls.is_empty()
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self { now: PbxTime::from_micros(0), alive: None }
    }
}

/// The facts of a channel; what its tracker knows beyond them is the caller's to fill in.
fn facts_value(facts: &Channel, name_of: impl Fn(ChannelIndex) -> Option<String>) -> ChannelV1 {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    ChannelV1 {
        v: VERSION,
        uniqueid: facts.uniqueid.to_string(),
        call: String::new(),
        name: facts.name.to_string(),
        linkedid: String::new(),
        announced: facts.announced,
        guessed: false,
        origin: facts.origin,
        born: facts.born,
        gone: facts.gone,
        hangup_requested: facts.hangup_requested,
        number: text(&facts.number),
        exten: facts.exten.to_string(),
        context: facts.context.to_string(),
        account: facts.account.to_string(),
        peer: facts.peer.and_then(&name_of),
        dials: facts.dials.iter().map(|dial| dial_value(dial, &name_of)).collect(),
        stays: facts.stays.iter().map(stay_value).collect(),
        in_bridge: false,
        late: None,
        holds: facts.holds.clone(),
        extras: extras_value(&facts.extras, name_of),
        reported: facts.reported,
        unknown: Unknown::default(),
    }
}

fn dial_value(dial: &Dial, name_of: impl Fn(ChannelIndex) -> Option<String>) -> DialV1 {
    let Dial { by, at, number, end } = dial;
    DialV1 {
        by: by.and_then(name_of),
        at: *at,
        number: number.as_deref().map(str::to_owned),
        end: end.clone(),
    }
}

fn stay_value(stay: &Stay) -> StayV1 {
    let Stay { bridge, kind, from, to } = *stay;
    StayV1 { label: bridge, id: None, kind, from, to }
}

fn extras_value(extras: &Extras, name_of: impl Fn(ChannelIndex) -> Option<String>) -> ExtrasV1 {
    let Extras {
        queue,
        queue_joined,
        queue_abandoned,
        did,
        recordings,
        hints,
        message,
        meant,
        forwarded_by,
        dial_status,
        message_left,
        parked,
        transfers,
        picked_up,
        answered_since,
        fax,
        spy,
        said,
    } = extras;
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let transfers = transfers.iter().filter_map(|transfer| {
        Some(TransferV1 { at: transfer.at, by: name_of(transfer.by)?, to: text(&transfer.to) })
    });
    ExtrasV1 {
        queue: text(queue),
        queue_joined: *queue_joined,
        queue_abandoned: *queue_abandoned,
        did: text(did),
        recordings: recordings.clone(),
        hints: hints.iter().map(ToString::to_string).collect(),
        message: text(message),
        meant: meant.iter().map(ToString::to_string).collect(),
        forwarded_by: text(forwarded_by),
        dial_status: text(dial_status),
        message_left: *message_left,
        parked: *parked,
        transfers: transfers.collect(),
        picked_up: *picked_up,
        answered_since: *answered_since,
        fax: *fax,
        spy: *spy,
        said: said.clone(),
    }
}

fn fits(change: &Change) -> bool {
    change.value.as_ref().is_none_or(|json| json.len() <= VALUE_MAX)
}

fn keep_last<T>(list: &mut Vec<T>, most: usize) {
    list.drain(..list.len().saturating_sub(most));
}

/// Keeps the latest of every list, so that the value fits: a channel with more has been through what no
/// call goes through.
fn shorten(value: &mut ChannelV1) {
    keep_last(&mut value.stays, 24);
    keep_last(&mut value.dials, 8);
    keep_last(&mut value.holds, 16);
    keep_last(&mut value.extras.recordings, 3);
    keep_last(&mut value.extras.hints, 1);
    keep_last(&mut value.extras.meant, 4);
    keep_last(&mut value.extras.said, 5);
    keep_last(&mut value.extras.transfers, 6);
    value.unknown.clear();
}
