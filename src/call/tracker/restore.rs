//! Pure: from the values of a checkpoint back to calls in progress.

use std::collections::BTreeMap;

use crate::call::checkpoint::{CallV1, ChannelV1, DialV1, ExtrasV1, StreamV1, Unknown, Value};
use crate::call::facts::{BridgeKind, Channel, ChannelIndex, Dial, Extras, Stay, Transfer};
use crate::call::name;
use crate::call::record::Side;
use crate::call::side::evidence::Evidence;
use crate::call::tracker::groups::{Group, GroupIndex};
use crate::call::tracker::{Tracked, Tracker};
use crate::time::PbxTime;

impl Tracker {
    /// Takes up the calls that were in progress. Values may be missing: a channel without its call makes
    /// one, a call without channels is none. Returns how many calls go on.
    pub fn restore(&mut self, values: Vec<Value>) -> usize {
        let (mut calls, mut channels) = (BTreeMap::new(), Vec::new());
        for value in values {
            match value {
                Value::Stream(stream) => self.restore_stream(&stream),
                Value::Endpoint(endpoint) => self.sides.restore(endpoint),
                Value::Call(call) => {
                    calls.insert(call.first.clone(), call);
                }
                Value::Channel(channel) => channels.push(*channel),
            }
        }
        channels.sort_by(|a, b| a.born.cmp(&b.born).then_with(|| a.uniqueid.cmp(&b.uniqueid)));
        // Each call by its first channel: as links come back, one call may take another in.
        let mut firsts: BTreeMap<String, ChannelIndex> = BTreeMap::new();
        let mut restored = Vec::new();
        for channel in channels {
            if self.find_uniqueid(channel.uniqueid.as_bytes()).is_none() {
                let group = match firsts.get(&channel.call) {
                    Some(first) => self.channels[*first as usize].group,
                    None => self.restore_call(&channel.call, calls.get(&channel.call).map(|call| &**call)),
                };
                let index = self.restore_channel(&channel, group);
                firsts.entry(channel.call.clone()).or_insert(index);
                restored.push((index, channel));
            }
        }
        for (index, value) in &restored {
            self.restore_references(*index, value);
        }
        self.restore_bridges(&restored);
        for (first, call) in &calls {
            match firsts.get(first) {
                Some(index) => self.restore_links(*index, call),
                // Its channels were to be written next, or are gone: nobody else would remove it.
                None => self.forgot_call(first, true),
            }
        }
        for (index, value) in &restored {
            // Of a call that was taken in, the channels may have been written before that.
            self.link(self.channels[*index as usize].group, value.linkedid.as_bytes());
        }
        for index in firsts.into_values() {
            // A call may have been written when its channels were not yet.
            self.reconsider(self.channels[index as usize].group);
        }
        self.groups.len()
    }

    fn restore_stream(&mut self, stream: &StreamV1) {
        self.now = self.now.max(stream.now);
        self.begun = stream.begun;
        self.alive = stream.alive;
        self.time = stream.time;
        self.kept.unknown.clone_from(&stream.unknown);
        for uniqueid in &stream.ended {
            self.tombs.add(uniqueid.as_bytes(), stream.now);
        }
    }

    fn restore_call(&mut self, first: &str, call: Option<&CallV1>) -> GroupIndex {
        self.count += 1;
        let seq = call.map_or(self.count, |call| call.order);
        self.count = self.count.max(seq);
        let group = self.groups.insert(Group::restored(first, seq, call));
        if let Some(deadline) = call.and_then(|call| call.deadline) {
            self.set_deadline(group, Some(deadline));
        }
        group
    }

    fn restore_channel(&mut self, value: &ChannelV1, group: GroupIndex) -> ChannelIndex {
        let endpoint = self.sides.intern(&value.name);
        let entry = self.channels.insert(Tracked {
            facts: facts(value),
            linkedid: value.linkedid.as_bytes().into(),
            endpoint,
            group,
            bridge: None,
            late: None,
            heard: PbxTime::from_micros(0),
            listed: 0,
            missed: None,
            guessed: value.guessed,
            dirty: false,
            saved: true,
            unknown: kept(&value.unknown),
        });
        self.by_uniqueid.insert(value.uniqueid.as_bytes(), entry);
        let index = ChannelIndex::try_from(entry).expect("indexes fit, see Index::insert");
        let call = &mut self.groups[group];
        call.members.push(index);
        call.live += usize::from(value.gone.is_none());
        index
    }

    /// What a channel says of others, now that all are there.
    fn restore_references(&mut self, index: ChannelIndex, value: &ChannelV1) {
        let find = |uniqueid: &Option<String>| {
            uniqueid.as_ref().and_then(|uniqueid| self.find_uniqueid(uniqueid.as_bytes()))
        };
        let peer = find(&value.peer);
        let dial = |dial: &DialV1| Dial {
            by: find(&dial.by),
            at: dial.at,
            number: dial.number.as_deref().map(Into::into),
            end: dial.end.clone(),
        };
        let dials = value.dials.iter().map(dial).collect();
        let transfers = value.extras.transfers.iter().filter_map(|transfer| {
            let by = find(&Some(transfer.by.clone()))?;
            Some(Transfer { at: transfer.at, by, to: transfer.to.as_deref().map(Into::into) })
        });
        let transfers = transfers.collect();
        let facts = &mut self.channels[index as usize].facts;
        (facts.peer, facts.dials, facts.extras.transfers) = (peer, dials, transfers);
    }

    fn restore_bridges(&mut self, restored: &[(ChannelIndex, ChannelV1)]) {
        // Who came first stands first, as when it happened.
        let mut stays: Vec<_> = restored
            .iter()
            .flat_map(|(index, value)| {
                let last = value.stays.len();
                let place = move |at: usize| value.in_bridge && at + 1 == last;
                value.stays.iter().enumerate().map(move |(at, stay)| (*index, at, stay, place(at), value))
            })
            .collect();
        stays.sort_by_key(|(_, _, stay, ..)| stay.from);
        self.bridges.count_from(stays.iter().map(|(_, _, stay, ..)| stay.label).max());
        for (index, at, stay, is_there, value) in stays {
            let entry = self.bridges.restore(stay, is_there.then_some(index), index);
            if let Some(entry) = entry {
                // Values that were not written at one time may call one bridge by two labels.
                let stay = &mut self.channels[index as usize].facts.stays[at];
                (stay.bridge, stay.kind) = (self.bridges.label(entry), self.bridges.kind(entry));
            }
            if is_there {
                self.channels[index as usize].bridge = entry;
            } else if stay.id.is_some() && stay.id == value.late {
                self.channels[index as usize].late = entry;
                self.bridges.restore_late(entry, index);
            }
        }
    }

    fn restore_links(&mut self, member: ChannelIndex, call: &CallV1) {
        for linkedid in &call.linkedids {
            self.link(self.channels[member as usize].group, linkedid.as_bytes());
        }
        for guest in &call.guests {
            let facts = self.restored_guest(guest);
            for stay in guest.stays.iter().filter(|stay| stay.kind == BridgeKind::Conference) {
                self.bridges.restore_past(stay, &facts);
            }
        }
    }

    /// Who was in a conference of a running call, judged as when his own call ended.
    fn restored_guest(&mut self, guest: &ChannelV1) -> Channel {
        let endpoint = self.sides.intern(&guest.name);
        let mut facts = facts(guest);
        facts.guest = true;
        let verdict = self.sides.verdict(endpoint);
        (facts.side, facts.evidence, facts.weak) = (verdict.side, verdict.evidence, verdict.weak);
        facts.extension = (verdict.side == Side::Inside)
            .then(|| self.sides.extension(endpoint, facts.number.as_deref()).into());
        facts
    }
}

/// The facts of a value, but for what it says of other channels.
fn facts(value: &ChannelV1) -> Channel {
    Channel {
        uniqueid: value.uniqueid.as_str().into(),
        kind: name::kind(&value.name),
        name: value.name.as_str().into(),
        announced: value.announced,
        origin: value.origin,
        born: value.born,
        gone: value.gone,
        hangup_requested: value.hangup_requested,
        number: value.number.as_deref().map(Into::into),
        exten: value.exten.as_str().into(),
        context: value.context.as_str().into(),
        account: value.account.as_str().into(),
        peer: None,
        dials: Vec::new(),
        stays: value.stays.iter().map(stay).collect(),
        holds: value.holds.clone(),
        extras: extras(&value.extras),
        side: Side::Unknown,
        evidence: Evidence::None,
        weak: false,
        extension: None,
        guest: false,
        reported: value.reported,
    }
}

fn stay(value: &crate::call::checkpoint::StayV1) -> Stay {
    Stay { bridge: value.label, kind: value.kind, from: value.from, to: value.to }
}

fn extras(value: &ExtrasV1) -> Extras {
    let text = |text: &Option<String>| text.as_deref().map(Into::into);
    Extras {
        queue: text(&value.queue),
        queue_joined: value.queue_joined,
        queue_abandoned: value.queue_abandoned,
        did: text(&value.did),
        recordings: value.recordings.clone(),
        hints: value.hints.iter().map(|hint| hint.as_str().into()).collect(),
        message: text(&value.message),
        meant: value.meant.iter().map(|meant| meant.as_str().into()).collect(),
        forwarded_by: text(&value.forwarded_by),
        dial_status: text(&value.dial_status),
        message_left: value.message_left,
        parked: value.parked,
        transfers: Vec::new(),
        picked_up: value.picked_up,
        answered_since: value.answered_since,
        fax: value.fax,
        spy: value.spy,
        said: value.said.clone(),
    }
}

/// What a later program wrote is kept aside, to be written again.
pub(super) fn kept(unknown: &Unknown) -> Option<Box<Unknown>> {
    (!unknown.is_empty()).then(|| Box::new(unknown.clone()))
}
