//! Pure: channels that were there before we looked. Their snapshots still tell a good deal.

use crate::ami::event::{self, text};
use crate::call::facts::{ChannelIndex, Dial, Origin};
use crate::call::name;
use crate::call::record::Side;
use crate::call::side::evidence::Evidence;
use crate::call::side::{OUTSIDE_DIGITS_MIN, digits, is_short, same_dialled};
use crate::call::tracker::{Tracked, Tracker};
use crate::time::PbxTime;

/// `ChannelState` 5 and 6.
const RINGING: u8 = 5;
const UP: u8 = 6;

impl Tracker {
    /// Notes what the first snapshot of a channel shows that was never announced: when it was made,
    /// whether it runs the dial plan (then its device called) or was called, and its side.
    pub(super) fn met_under_way(&mut self, index: ChannelIndex, snapshot: &event::Channel<'_>, at: PbxTime) {
        let Tracked { facts, guessed, .. } = &mut self.channels[index as usize];
        if let Some(made) = event::made_at(snapshot.uniqueid).filter(|made| *made < at) {
            facts.born = made;
        }
        if facts.kind != name::Kind::Device {
            return;
        }
        let runs_dial_plan = event::priority(snapshot).is_some_and(|priority| priority > 1);
        if facts.origin == Origin::Unknown {
            *guessed = true;
            facts.origin = match snapshot.state {
                _ if runs_dial_plan => Origin::Incoming,
                Some(RINGING) => Origin::Created,
                Some(UP) if facts.exten.is_empty() => Origin::Created,
                // A call is named after the channel that began it.
                Some(_) if snapshot.linkedid != snapshot.uniqueid => Origin::Created,
                Some(_) => Origin::Incoming,
                None => Origin::Unknown,
            };
        }
        let tracked = &self.channels[index as usize];
        let (number, context) = (tracked.facts.number.as_deref(), &*tracked.facts.context);
        match tracked.facts.origin {
            Origin::Incoming => self.sides.met_running(tracked.endpoint, number, context),
            Origin::Created => self.sides.called(tracked.endpoint, number, context),
            Origin::Unknown => {}
        }
    }

    /// Gives channels of one call that were called before we looked their most likely caller, the
    /// channel after which the call is named, and lets each pair speak for the other's side.
    pub(super) fn complete_stubs(&mut self, members: &[ChannelIndex]) {
        for &member in members {
            let tracked = &self.channels[member as usize];
            let facts = &tracked.facts;
            if facts.announced || facts.origin == Origin::Incoming || facts.kind != name::Kind::Device {
                continue;
            }
            let dialled_by = facts.dials.iter().find_map(|dial| dial.by);
            let (at, named) = (facts.born, self.find_uniqueid(&tracked.linkedid));
            let by = dialled_by.or(named).filter(|by| *by != member && members.contains(by));
            if let Some(by) = by {
                self.learn_from_pair(by, member);
            }
            let facts = &mut self.channels[member as usize].facts;
            if facts.origin == Origin::Created && facts.dials.is_empty() {
                facts.dials.push(Dial { by, at, number: None, end: None });
            }
        }
        self.lengthen_stays(members);
    }

    /// A stay that began before we looked began when the dial that led to it was answered.
    fn lengthen_stays(&mut self, members: &[ChannelIndex]) {
        for &member in members {
            let facts = &self.channels[member as usize].facts;
            let (Some(since), false) = (facts.extras.answered_since, facts.announced) else { continue };
            let Some(bridge) = facts.stays.first().map(|stay| stay.bridge) else { continue };
            for &other in members {
                let facts = &mut self.channels[other as usize].facts;
                let born = facts.born;
                let first = facts.stays.first_mut().filter(|_| !facts.announced);
                if let Some(stay) = first.filter(|stay| stay.bridge == bridge && stay.from > since) {
                    stay.from = since.max(born);
                }
            }
        }
    }

    /// Asterisk's own record of a channel that was there before we looked: what it dialled.
    pub(super) fn cdr(&mut self, cdr: &event::Cdr<'_>) {
        let Some(by) = self.find_uniqueid(cdr.uniqueid) else { return };
        let Tracked { facts, group, .. } = &self.channels[by as usize];
        if facts.announced || cdr.application != b"Dial" {
            return;
        }
        let name = text::decode(cdr.destination_channel);
        let members = &self.groups[*group].members;
        let dest =
            members.iter().copied().find(|member| *self.channels[*member as usize].facts.name == *name);
        let Some(dest) = dest.filter(|dest| self.channels[*dest as usize].facts.dials.is_empty()) else {
            return;
        };
        let data = text::decode(cdr.data);
        let dialled = data.split(',').next().unwrap_or_default();
        let number = dialled.split('&').find_map(|dialled| self.learn_from_dial(Some(by), dest, dialled, ""));
        let facts = &mut self.channels[dest as usize].facts;
        facts.dials.push(Dial { by: Some(by), at: facts.born, number, end: None });
        self.changed(dest);
    }

    /// `by` called `dest` before we looked. The number of a channel that was called is its own, or
    /// that which was dialled.
    fn learn_from_pair(&mut self, by: ChannelIndex, dest: ChannelIndex) {
        let (by, dest) = (&self.channels[by as usize], &self.channels[dest as usize]);
        let is_long = digits(&by.facts.exten) >= OUTSIDE_DIGITS_MIN;
        let caller_number = by.facts.number.as_deref().unwrap_or_default();
        let Some(number) = dest.facts.number.as_deref() else { return };
        let (caller, called) = (by.endpoint, dest.endpoint);
        if is_short(number) {
            // An employee's phone shows who calls, and nobody rewrites that.
            if digits(caller_number) >= OUTSIDE_DIGITS_MIN {
                self.sides.add(caller, Evidence::ForeignCaller);
            }
            if is_long {
                self.sides.add(caller, Evidence::DirectNumber);
            }
        } else if is_long && same_dialled(number, &by.facts.exten) {
            // The number that was dialled: of a trunk, or of a phone that has no number of its own.
            let inside = |endpoint| self.sides.verdict(endpoint).side == Side::Inside;
            if inside(called) && !inside(caller) {
                self.sides.add(caller, Evidence::DirectNumber);
            } else {
                self.sides.add(called, Evidence::NumberReached);
                self.sides.add(caller, Evidence::DialledOut);
            }
        }
    }
}
