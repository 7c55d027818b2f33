//! Pure: who is together with whom.

use std::collections::BTreeMap;

use slab::Slab;

use crate::ami::event;
use crate::call::checkpoint::StayV1;
use crate::call::facts::{BridgeKind, Channel, ChannelIndex, Stay};
use crate::call::tracker::index::Index;
use crate::call::tracker::{GRACE, Tracker};
use crate::time::PbxTime;

/// Stays that one channel can have; optimisation and transfers make some ten. Past it the
/// channel's last stay goes on.
const STAYS_MAX: usize = 256;
/// Visitors of a conference who are remembered after their own calls ended.
const PAST_MAX: usize = 256;

/// Every bridge that somebody is in, and conferences that running calls were in.
#[derive(Debug, Default)]
pub(super) struct Bridges {
    slab: Slab<Bridge>,
    by_id: Index,
    conferences: BTreeMap<u32, usize>,
    count: u32,
}

#[derive(Debug)]
struct Bridge {
    id: Box<[u8]>,
    number: u32,
    kind: BridgeKind,
    members: Vec<ChannelIndex>,
    /// Channels that left without having been seen to enter, before anybody else did.
    late: Vec<ChannelIndex>,
    /// Conferences only: tracked channels that were in it.
    visitors: Vec<ChannelIndex>,
    /// Conferences only: visitors whose own calls are forgotten.
    past: Vec<Channel>,
}

impl Tracker {
    pub(super) fn bridge_enter(
        &mut self,
        bridge: &event::Bridge<'_>,
        channel: &event::Channel<'_>,
        swap: &[u8],
        at: PbxTime,
    ) {
        let index = self.see(channel, at);
        let tracked = &self.channels[index as usize];
        let here = self.bridges.find(bridge.uniqueid);
        if tracked.facts.gone.is_some() || (here.is_some() && tracked.bridge == here) {
            return;
        }
        self.leave_bridge(index, at);
        let entry = self.bridges.find_or_add(bridge.uniqueid, kind_of(bridge));
        self.enter(index, entry, at);
        // Whoever is swapped out has left, even where his own event was lost.
        if let Some(swapped) = self.find_uniqueid(swap).filter(|swapped| *swapped != index) {
            if self.bridges.slab[entry].kind == BridgeKind::Mixing {
                self.unite(index, swapped);
            }
            if self.channels[swapped as usize].bridge == Some(entry) {
                self.leave_bridge(swapped, at);
            }
        }
        self.reconsider(self.channels[index as usize].group);
    }

    pub(super) fn enter(&mut self, index: ChannelIndex, entry: usize, at: PbxTime) {
        let bridge = &mut self.bridges.slab[entry];
        let companion = bridge.members.first().copied();
        bridge.members.push(index);
        let stay = Stay { bridge: bridge.number, kind: bridge.kind, from: at, to: None };
        let tracked = &mut self.channels[index as usize];
        tracked.bridge = Some(entry);
        if tracked.facts.stays.len() < STAYS_MAX {
            tracked.facts.stays.push(stay);
            if bridge.kind == BridgeKind::Conference && !bridge.visitors.contains(&index) {
                bridge.visitors.push(index);
            }
        }
        if let Some(companion) = companion.filter(|_| stay.kind == BridgeKind::Mixing) {
            self.unite(index, companion);
        }
    }

    pub(super) fn bridge_leave(
        &mut self,
        bridge: &event::Bridge<'_>,
        channel: &event::Channel<'_>,
        at: PbxTime,
    ) {
        let index = self.see(channel, at);
        let here = self.bridges.find(bridge.uniqueid);
        let tracked = &self.channels[index as usize];
        if here.is_some() && tracked.bridge == here {
            self.leave_bridge(index, at);
        } else if tracked.bridge.is_none() && tracked.facts.gone.is_none_or(|gone| at.since(gone.at) < GRACE)
        {
            let entry = here.unwrap_or_else(|| self.bridges.find_or_add(bridge.uniqueid, kind_of(bridge)));
            self.was_there(index, entry, at);
        }
    }

    /// The channel leaves a bridge that it was not seen to enter: it was there before we looked.
    fn was_there(&mut self, index: ChannelIndex, entry: usize, at: PbxTime) {
        let bridge = &mut self.bridges.slab[entry];
        let companion = bridge.members.first().or(bridge.late.first()).copied();
        let (number, kind) = (bridge.number, bridge.kind);
        let facts = &mut self.channels[index as usize].facts;
        let known = facts.stays.iter().any(|stay| stay.bridge == number);
        if facts.announced || known || facts.stays.len() >= STAYS_MAX {
            self.bridges.forget_empty(entry);
            return;
        }
        let from = self.begun.unwrap_or(facts.born).max(facts.born).min(at);
        facts.stays.push(Stay { bridge: number, kind, from, to: Some(at) });
        let bridge = &mut self.bridges.slab[entry];
        if bridge.members.is_empty() {
            bridge.late.push(index);
            if let Some(before) = self.channels[index as usize].late.replace(entry) {
                self.bridges.slab[before].late.retain(|late| *late != index);
                self.bridges.forget_empty(before);
            }
        }
        if let Some(companion) = companion.filter(|_| kind == BridgeKind::Mixing) {
            self.unite(index, companion);
        }
    }

    pub(super) fn bridge_destroy(&mut self, bridge: &event::Bridge<'_>, at: PbxTime) {
        let Some(entry) = self.bridges.find(bridge.uniqueid) else { return };
        for member in self.bridges.slab[entry].members.clone() {
            self.leave_bridge(member, at);
        }
    }

    /// Ends the channel's stay in the bridge it is in, if any.
    pub(super) fn leave_bridge(&mut self, index: ChannelIndex, at: PbxTime) {
        let tracked = &mut self.channels[index as usize];
        let Some(entry) = tracked.bridge.take() else { return };
        self.changed(index);
        let tracked = &mut self.channels[index as usize];
        if let Some(Stay { to: to @ None, .. }) = tracked.facts.stays.last_mut() {
            *to = Some(at);
        }
        self.bridges.slab[entry].members.retain(|member| *member != index);
        self.bridges.forget_empty(entry);
    }

    /// Everybody who was in the conference `number`, but for the members of the asking call.
    pub(super) fn visitors(&self, number: u32, is_own: impl Fn(ChannelIndex) -> bool) -> Vec<Channel> {
        let Some(bridge) = self.bridges.conferences.get(&number).map(|entry| &self.bridges.slab[*entry])
        else {
            return Vec::new();
        };
        let tracked = bridge.visitors.iter().filter(|v| !is_own(**v)).map(|v| self.guest(*v));
        tracked.chain(bridge.past.iter().cloned()).collect()
    }

    pub(super) fn was_in_conference(&self, index: ChannelIndex) -> bool {
        self.channels[index as usize].facts.stays.iter().any(|stay| stay.kind == BridgeKind::Conference)
    }

    /// Leaves a copy of a channel that is about to be forgotten in its conferences: calls that end
    /// later were with it.
    pub(super) fn leave_past(&mut self, index: ChannelIndex, guest: &Channel) {
        let conferences = guest.stays.iter().filter(|stay| stay.kind == BridgeKind::Conference);
        for number in conferences.map(|stay| stay.bridge) {
            let Some(&entry) = self.bridges.conferences.get(&number) else { continue };
            let bridge = &mut self.bridges.slab[entry];
            let known = bridge.visitors.len();
            bridge.visitors.retain(|visitor| *visitor != index);
            if bridge.visitors.len() < known && bridge.past.len() < PAST_MAX {
                bridge.past.push(guest.clone());
            }
            self.bridges.forget_empty(entry);
        }
    }

    /// A channel is forgotten; it is in no bridge any more.
    pub(super) fn forget_member(&mut self, index: ChannelIndex, bridge: Option<usize>, late: Option<usize>) {
        for entry in [bridge, late.filter(|late| Some(*late) != bridge)].into_iter().flatten() {
            let bridge = &mut self.bridges.slab[entry];
            bridge.members.retain(|member| *member != index);
            bridge.late.retain(|member| *member != index);
            self.bridges.forget_empty(entry);
        }
    }
}

pub(super) fn kind_of(bridge: &event::Bridge<'_>) -> BridgeKind {
    BridgeKind::of(bridge.kind, bridge.technology, bridge.creator)
}

impl Bridges {
    /// Asterisk's name of a bridge.
    pub(super) fn id(&self, entry: usize) -> String {
        String::from_utf8_lossy(&self.slab[entry].id).into_owned()
    }

    /// What stays in the bridge are told apart by.
    pub(super) fn label(&self, entry: usize) -> u32 {
        self.slab[entry].number
    }

    pub(super) fn kind(&self, entry: usize) -> BridgeKind {
        self.slab[entry].kind
    }

    /// No new bridge gets a label up to `last`.
    pub(super) fn count_from(&mut self, last: Option<u32>) {
        self.count = self.count.max(last.unwrap_or_default());
    }

    /// Asterisk's name of a conference that somebody's call was in.
    pub(super) fn id_of(&self, number: u32, kind: BridgeKind) -> Option<String> {
        let entry = self.conferences.get(&number).filter(|_| kind == BridgeKind::Conference)?;
        Some(self.id(*entry))
    }

    /// Channels of calls that are over, in this conference.
    pub(super) fn past(&self, number: u32) -> &[Channel] {
        self.conferences.get(&number).map_or(&[], |entry| &self.slab[*entry].past)
    }

    /// Takes up a stay of the time before a restart, `there` when it goes on; returns the bridge where
    /// it matters still.
    pub(super) fn restore(
        &mut self,
        stay: &StayV1,
        there: Option<ChannelIndex>,
        visitor: ChannelIndex,
    ) -> Option<usize> {
        let id = stay.id.as_deref()?;
        let entry = self.restored_entry(id, stay);
        let bridge = &mut self.slab[entry];
        bridge.members.extend(there);
        if bridge.kind == BridgeKind::Conference && !bridge.visitors.contains(&visitor) {
            bridge.visitors.push(visitor);
        }
        Some(entry)
    }

    pub(super) fn restore_late(&mut self, entry: Option<usize>, index: ChannelIndex) {
        if let Some(entry) = entry {
            self.slab[entry].late.push(index);
        }
    }

    /// A guest of a call that is over by now. A conference that nobody is in any more is none.
    pub(super) fn restore_past(&mut self, stay: &StayV1, guest: &Channel) {
        let Some(&entry) = self.conferences.get(&stay.label) else { return };
        let bridge = &mut self.slab[entry];
        if bridge.past.iter().all(|known| known.uniqueid != guest.uniqueid) {
            bridge.past.push(guest.clone());
        }
    }

    fn restored_entry(&mut self, id: &str, stay: &StayV1) -> usize {
        if let Some(entry) = self.find(id.as_bytes()) {
            return entry;
        }
        let mut number = stay.label;
        if self.conferences.contains_key(&number) {
            self.count = self.count.wrapping_add(1);
            number = self.count;
        }
        let entry = self.slab.insert(Bridge {
            id: id.as_bytes().into(),
            number,
            kind: stay.kind,
            members: Vec::new(),
            late: Vec::new(),
            visitors: Vec::new(),
            past: Vec::new(),
        });
        self.by_id.insert(id.as_bytes(), entry);
        if stay.kind == BridgeKind::Conference {
            self.conferences.insert(number, entry);
        }
        entry
    }

    pub(super) fn find(&self, id: &[u8]) -> Option<usize> {
        self.by_id.find(id, |entry| *self.slab[entry].id == *id)
    }

    pub(super) fn find_or_add(&mut self, id: &[u8], kind: BridgeKind) -> usize {
        if let Some(entry) = self.find(id) {
            return entry;
        }
        self.count = self.count.wrapping_add(1);
        let entry = self.slab.insert(Bridge {
            id: id.into(),
            number: self.count,
            kind,
            members: Vec::new(),
            late: Vec::new(),
            visitors: Vec::new(),
            past: Vec::new(),
        });
        self.by_id.insert(id, entry);
        if kind == BridgeKind::Conference {
            self.conferences.insert(self.count, entry);
        }
        entry
    }

    /// Forgets a bridge that nobody is in and no running call was in.
    fn forget_empty(&mut self, entry: usize) {
        let bridge = &self.slab[entry];
        if bridge.members.is_empty() && bridge.visitors.is_empty() && bridge.late.is_empty() {
            let bridge = self.slab.remove(entry);
            self.by_id.remove(&bridge.id, entry);
            self.conferences.remove(&bridge.number);
        }
    }
}
