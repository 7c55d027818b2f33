//! Pure: from the tracker's channels to the facts of one ended call.

use crate::call::facts::{BridgeKind, CallFacts, Channel, ChannelIndex, Extras};
use crate::call::name;
use crate::call::record::Side;
use crate::call::side::Verdict;
use crate::call::side::evidence::Evidence;
use crate::call::side::rules::{Candidate, Ruling};
use crate::call::tracker::groups::{GroupEnd, GroupIndex};
use crate::call::tracker::{Tracked, Tracker};
use crate::time::PbxTime;

/// The side of a channel, by the configuration or by everything seen so far.
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    extension: Option<Box<str>>,
}

impl Tracker {
    /// The facts of a group, with guests of its conferences behind its own channels; `None` when
    /// all of it has been reported. A group that is `over` is forgotten.
    pub(super) fn extract(&mut self, index: GroupIndex, at: PbxTime, end: GroupEnd) -> Option<CallFacts> {
        let members = self.in_order(index);
        self.complete_stubs(&members);
        let guests = self.guests(&members);
        let (reported, cut) = (self.groups[index].reported, self.groups[index].cut || end == GroupEnd::Cut);
        let mut channels: Vec<Channel> = match end {
            GroupEnd::Over | GroupEnd::Cut => self.take_group(index, &members),
            GroupEnd::Lingers => members.iter().map(|member| self.judged(*member)).collect(),
        };
        if reported && channels.iter().all(|c| c.reported || c.side != Side::Outside) {
            return None;
        }
        renumber_all(&mut channels, &members);
        channels.extend(guests);
        Some(CallFacts { channels, ended: at, time: self.time, cut })
    }

    /// The members of a group in the order in which they came to be.
    pub(super) fn in_order(&self, index: GroupIndex) -> Vec<ChannelIndex> {
        let mut members = self.groups[index].members.clone();
        members.sort_unstable_by(|a, b| {
            let (a, b) = (&self.channels[*a as usize].facts, &self.channels[*b as usize].facts);
            a.born.cmp(&b.born).then_with(|| counted(&a.uniqueid).cmp(&counted(&b.uniqueid)))
        });
        members
    }

    /// Forgets a group; returns the facts of its channels.
    fn take_group(&mut self, index: GroupIndex, members: &[ChannelIndex]) -> Vec<Channel> {
        self.forget_group(index);
        let mut taken = Vec::with_capacity(members.len());
        for &member in members {
            if self.was_in_conference(member) {
                let guest = self.guest(member);
                self.leave_past(member, &guest);
            }
            let tracked = self.forget(member);
            let judgement = self.judgement(&tracked);
            taken.push(judged(tracked.facts, judgement));
        }
        taken
    }

    /// Forgets a channel; late events about it are stepped over.
    pub(super) fn forget(&mut self, member: ChannelIndex) -> Tracked {
        let tracked = self.channels.remove(member as usize);
        self.by_uniqueid.remove(tracked.facts.uniqueid.as_bytes(), member as usize);
        self.forget_member(member, tracked.bridge, tracked.late);
        self.forgot_channel(&tracked.facts.uniqueid, tracked.saved);
        self.tombs.add(tracked.facts.uniqueid.as_bytes(), self.now);
        tracked
    }

    /// Who else was in the conferences of these channels.
    pub(super) fn guests(&self, members: &[ChannelIndex]) -> Vec<Channel> {
        let mut numbers: Vec<u32> = members
            .iter()
            .flat_map(|member| &self.channels[*member as usize].facts.stays)
            .filter(|stay| stay.kind == BridgeKind::Conference)
            .map(|stay| stay.bridge)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut guests: Vec<Channel> = Vec::new();
        for number in numbers {
            for guest in self.visitors(number, |visitor| members.contains(&visitor)) {
                if guests.iter().all(|known| known.uniqueid != guest.uniqueid) {
                    guests.push(guest);
                }
            }
        }
        guests
    }

    /// A copy of a channel for other calls.
    pub(super) fn guest(&self, index: ChannelIndex) -> Channel {
        let mut guest = self.judged(index);
        guest.guest = true;
        guest.peer = None;
        guest.dials.clear();
        guest.extras = Extras::default();
        guest
    }

    pub(super) fn judged(&self, index: ChannelIndex) -> Channel {
        let tracked = &self.channels[index as usize];
        judged(tracked.facts.clone(), self.judgement(tracked))
    }

    pub(super) fn judgement(&self, tracked: &Tracked) -> Judgement {
        let Tracked { facts, endpoint, .. } = tracked;
        match facts.kind {
            name::Kind::Device => {}
            name::Kind::Local | name::Kind::Helper => {
                return Judgement {
                    verdict: Verdict::certain(Side::Helper, Evidence::Helper),
                    extension: None,
                };
            }
        }
        let rules = &self.policy.sides;
        let ruling = if rules.is_empty() { None } else { rules.ruling(&candidate(facts)) };
        let (verdict, named) = match ruling {
            Some(Ruling { side, extension, mobile }) => {
                let evidence = if mobile { Evidence::Mobile } else { Evidence::Configured };
                (Verdict::certain(side, evidence), extension)
            }
            None => (self.sides.verdict(*endpoint), None),
        };
        let found = || self.sides.extension(*endpoint, facts.number.as_deref()).to_owned();
        let extension = (verdict.side == Side::Inside).then(|| named.unwrap_or_else(found).into());
        Judgement { verdict, extension }
    }
}

fn judged(mut channel: Channel, judgement: Judgement) -> Channel {
    let Judgement { verdict, extension } = judgement;
    channel.side = verdict.side;
    channel.evidence = verdict.evidence;
    channel.weak = verdict.weak;
    channel.extension = extension;
    channel
}

fn candidate(facts: &Channel) -> Candidate<'_> {
    let called = facts.was_called();
    Candidate {
        channel: &facts.name,
        context: &facts.context,
        number: facts.number.as_deref(),
        dialled: facts.dials.iter().find_map(|dial| dial.number.as_deref()),
        exten: Some(&*facts.exten).filter(|exten| !called && !exten.is_empty()),
    }
}

/// A uniqueid in the order in which Asterisk counts: `1.9` before `1.10`.
fn counted(uniqueid: &str) -> (&str, Option<u64>, &str) {
    match uniqueid.rsplit_once('.') {
        Some((epoch, counter)) => (epoch, counter.parse().ok(), uniqueid),
        None => (uniqueid, None, uniqueid),
    }
}

/// Turns the tracker's indexes into positions among `members`.
pub(super) fn renumber_all(channels: &mut [Channel], members: &[ChannelIndex]) {
    let mut places: Vec<_> = members.iter().copied().zip(0..).collect();
    places.sort_unstable();
    for channel in channels {
        renumber(channel, &places);
    }
}

/// `places` is sorted.
fn renumber(channel: &mut Channel, places: &[(ChannelIndex, ChannelIndex)]) {
    let place = |index: ChannelIndex| {
        let found = places.binary_search_by_key(&index, |(member, _)| *member).ok()?;
        Some(places[found].1)
    };
    channel.peer = channel.peer.and_then(place);
    for dial in &mut channel.dials {
        dial.by = dial.by.and_then(place);
    }
    channel.extras.transfers.retain_mut(|transfer| match place(transfer.by) {
        Some(by) => {
            transfer.by = by;
            true
        }
        None => false,
    });
}
