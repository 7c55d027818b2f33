//! Pure: what the PBX lists on request, against what its events told.
//!
//! A list is asked for after every login and once a minute. It is the truth of one moment: channels that are
//! not known are met here, those that ended while nobody watched are missed here. Asterisk answers before it
//! sends the events that wait, so what is listed may be announced afterwards, and what is missing may have its
//! last event under way; only a channel that was not heard of since the connection began is over at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ami::event::{self, List, ListPart, Listed};
use crate::call::facts::{BridgeKind, ChannelIndex, Gone, Origin, Span};
use crate::call::name;
use crate::call::tracker::bridges::kind_of;
use crate::call::tracker::{Tracked, Tracker};
use crate::time::PbxTime;

/// A channel that two lists so far apart lack, and no event tells of between them, is over.
const MISSED_LEAST: Duration = Duration::from_secs(30);
/// A channel that was made so long after the connection began should have been announced.
const ANNOUNCED_AFTER: Duration = Duration::from_secs(5);
/// A stay of which the end was not seen is at least so long.
const MOMENT: Duration = Duration::from_millis(1);
/// Bridges that are remembered for one list of channels.
const BRIDGES_MAX: usize = 1 << 14;

/// The lists of one connection.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// Numbers the lists of channels.
    number: u32,
    /// Items of the list that comes.
    items: u32,
    /// What kinds of bridges there are.
    bridges: BTreeMap<Box<[u8]>, BridgeKind>,
    /// This connection's PBX lists the channels themselves: its memory of them is not needed.
    has_channels: bool,
    findings: Findings,
}

/// What lists told that no event did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    /// Channels that were there before the connection.
    pub met: u64,
    /// Channels that were made later and that no event announced: the AMI user lacks a class.
    pub unannounced: u64,
    /// Channels that ended while the connection was away.
    pub ended: u64,
    /// Channels whose end was never told although the connection was there.
    pub overdue: u64,
    /// Channels that Asterisk remembers although they are gone.
    pub ghosts: u64,
    /// Lists that were not whole.
    pub torn: u64,
}

impl Roll {
    /// Another connection begins.
    pub(super) fn begin(&mut self) {
        self.items = 0;
        self.has_channels = false;
        self.bridges.clear();
    }

    pub(super) fn findings(&self) -> Findings {
        self.findings
    }
}

impl Tracker {
    /// Takes one item of a list, or its end; it is `at` on the PBX. Unlike an event it moves no time: events
    /// of earlier may wait behind it.
    pub fn handle_list(&mut self, part: &ListPart<'_>, at: PbxTime) {
        match part {
            ListPart::Bridge(bridge) => {
                self.roll.items += 1;
                if self.roll.bridges.len() < BRIDGES_MAX {
                    self.roll.bridges.insert(bridge.uniqueid.into(), kind_of(bridge));
                }
            }
            ListPart::Channel(listed) => {
                self.roll.items += 1;
                if listed.list == List::Channels || !self.roll.has_channels {
                    self.listed(listed, at);
                } else if self.find(&listed.channel).is_none() && !self.tombs.holds(listed.channel.uniqueid) {
                    self.roll.findings.ghosts += 1;
                }
            }
            ListPart::End { list, items, complete } => {
                let counted = std::mem::take(&mut self.roll.items);
                if *complete && items.is_none_or(|items| items == counted) {
                    self.list_ended(*list, at);
                } else {
                    self.roll.findings.torn += 1;
                }
            }
        }
    }

    fn list_ended(&mut self, list: List, at: PbxTime) {
        match list {
            List::Bridges => return,
            List::Channels => self.roll.has_channels = true,
            List::Remembered if self.roll.has_channels => return,
            List::Remembered => {}
        }
        self.call_the_roll(at);
        self.roll.number = self.roll.number.wrapping_add(1);
        self.roll.bridges.clear();
    }

    /// A channel that is there.
    fn listed(&mut self, listed: &Listed<'_>, at: PbxTime) {
        let Some(index) = self.find(&listed.channel) else { return self.meet(listed, at) };
        let (unheard, mark) = (self.is_unheard(index), self.roll_number());
        let tracked = &mut self.channels[index as usize];
        (tracked.listed, tracked.missed) = (mark, None);
        if tracked.facts.gone.is_some() {
            return;
        }
        if unheard {
            let group = tracked.group;
            self.link(group, listed.channel.linkedid);
            self.place(index, listed, at, at);
        } else if !tracked.facts.announced && tracked.facts.stays.is_empty() {
            let from = self.known_from(index, at);
            self.place(index, listed, from, at);
        }
    }

    /// A channel that no event told of.
    fn meet(&mut self, listed: &Listed<'_>, at: PbxTime) {
        if self.tombs.holds(listed.channel.uniqueid) {
            return;
        }
        self.make_room();
        let (index, mark) = (self.see(&listed.channel, at), self.roll_number());
        let tracked = &mut self.channels[index as usize];
        (tracked.listed, tracked.heard) = (mark, at);
        if tracked.facts.kind == name::Kind::Device && is_dialled(listed.application) {
            tracked.facts.origin = Origin::Created;
        }
        let made = event::made_at(listed.channel.uniqueid);
        let is_late = |begun: PbxTime| made.is_some_and(|made| made > begun.after(ANNOUNCED_AFTER));
        if self.begun.is_some_and(is_late) {
            self.roll.findings.unannounced += 1;
        } else {
            self.roll.findings.met += 1;
        }
        let from = self.known_from(index, at);
        self.place(index, listed, from, at);
    }

    /// Since when the channel is known to be where it is: before the connection nobody looked.
    fn known_from(&self, index: ChannelIndex, at: PbxTime) -> PbxTime {
        let born = self.channels[index as usize].facts.born;
        self.begun.unwrap_or(at).max(born).min(at)
    }

    /// Puts a channel into the bridge in which it is listed, `from` then on.
    fn place(&mut self, index: ChannelIndex, listed: &Listed<'_>, from: PbxTime, at: PbxTime) {
        let Some(id) = listed.bridge else { return };
        let here = self.channels[index as usize].bridge;
        if here.is_some() && self.bridges.find(id) == here {
            return;
        }
        // Whoever was answered in the moment before nobody looked was answered.
        self.leave_bridge(index, self.end_unseen(index, at).after(MOMENT));
        if id.is_empty() {
            return;
        }
        let kind = self.roll.bridges.get(id).copied();
        let entry = self.bridges.find_or_add(id, kind.unwrap_or_else(|| kind_by(listed.application)));
        self.enter(index, entry, from);
        self.changed(index);
        self.reconsider(self.channels[index as usize].group);
    }

    /// Ends what the list lacks.
    fn call_the_roll(&mut self, at: PbxTime) {
        let mark = self.roll_number();
        let live = self.channels.iter().filter(|(_, tracked)| tracked.facts.gone.is_none());
        let (listed, missing): (Vec<_>, Vec<_>) = live
            .filter_map(|(entry, tracked)| Some((ChannelIndex::try_from(entry).ok()?, tracked.listed)))
            .partition(|(_, listed)| *listed == mark);
        for (index, _) in missing {
            self.missing(index, at);
        }
        for (index, _) in listed {
            let group = self.channels[index as usize].group;
            if self.groups[group].silent_since.take().is_some() {
                self.call_changed(group);
            }
        }
    }

    fn missing(&mut self, index: ChannelIndex, at: PbxTime) {
        if self.is_unheard(index) {
            self.roll.findings.ended += 1;
            return self.hang_up_unseen(index, self.end_unseen(index, at));
        }
        match self.channels[index as usize].missed {
            None => self.channels[index as usize].missed = Some(at),
            Some(missed) if at.since(missed) >= MISSED_LEAST => {
                self.roll.findings.overdue += 1;
                self.hang_up_unseen(index, missed);
            }
            Some(_) => {}
        }
    }

    /// When something ended of which no event tells: as long as the connection was whole it was as known.
    fn end_unseen(&self, index: ChannelIndex, at: PbxTime) -> PbxTime {
        let tracked = &self.channels[index as usize];
        // Values that a crash left may know less of the time than of the channel.
        self.groups[tracked.group].silent_since.or(self.gap).unwrap_or(at).max(tracked.facts.last_sign())
    }

    fn hang_up_unseen(&mut self, index: ChannelIndex, at: PbxTime) {
        // Its stay is left open: whoever was answered in that moment was answered.
        let bridge = self.channels[index as usize].bridge.take();
        self.forget_member(index, bridge, None);
        let Tracked { facts, group, .. } = &mut self.channels[index as usize];
        facts.gone = Some(Gone { at, cause: None });
        if let Some(Span { to: to @ None, .. }) = facts.holds.last_mut() {
            *to = Some(at);
        }
        let group = *group;
        self.changed(index);
        let call = &mut self.groups[group];
        call.live -= 1;
        call.cut = true;
        self.call_changed(group);
        self.reconsider(group);
    }

    /// Whether no event told of the channel since the connection began.
    pub(super) fn is_unheard(&self, index: ChannelIndex) -> bool {
        self.begun.is_some_and(|begun| self.channels[index as usize].heard < begun)
    }

    /// What marks a channel of the list that comes.
    fn roll_number(&self) -> u32 {
        self.roll.number.wrapping_add(1)
    }
}

/// What a channel runs that another one dialled.
fn is_dialled(application: &[u8]) -> bool {
    matches!(application, b"AppDial" | b"AppDial2" | b"AppQueue")
}

/// What kind of bridge somebody is in who runs this, where bridges are not listed.
fn kind_by(application: &[u8]) -> BridgeKind {
    match application {
        b"ConfBridge" | b"MeetMe" => BridgeKind::Conference,
        b"Park" | b"BridgeWait" => BridgeKind::Holding,
        _ => BridgeKind::Mixing,
    }
}
