//! Pure: channels that were there before we looked. Their snapshots still tell a good deal.

use crate::ami::event;
use crate::call::facts::{ChannelIndex, Dial, Origin};
use crate::call::name;
use crate::call::side::evidence::Evidence;
use crate::call::side::{OUTSIDE_DIGITS_MIN, digits, is_short, same_number};
use crate::call::tracker::Tracker;
use crate::time::PbxTime;

/// `ChannelState` 5 and 6.
const RINGING: u8 = 5;
const UP: u8 = 6;

impl Tracker {
    /// Notes what the first snapshot of a channel shows that was never announced: when it was made,
    /// whether it runs the dial plan (then its device called) or was called, and its side.
    pub(super) fn met_under_way(
        &mut self,
        index: ChannelIndex,
        snapshot: &event::Channel<'_>,
        at: PbxTime,
    ) {
        let facts = &mut self.channels[index as usize].facts;
        if let Some(made) = event::made_at(snapshot.uniqueid).filter(|made| *made < at) {
            facts.born = made;
        }
        if facts.kind != name::Kind::Device {
            return;
        }
        let runs_dial_plan = event::priority(snapshot).is_some_and(|priority| priority > 1);
        if facts.origin == Origin::Unknown {
            facts.origin = match snapshot.state {
                _ if runs_dial_plan => Origin::Incoming,
                Some(RINGING) => Origin::Created,
                Some(UP) if facts.exten.is_empty() => Origin::Created,
                Some(_) | None => Origin::Unknown,
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
            if facts.announced || facts.origin != Origin::Created || !facts.dials.is_empty() {
                continue;
            }
            let (at, named) = (facts.born, self.find_uniqueid(&tracked.linkedid));
            let by = named.filter(|by| *by != member && members.contains(by));
            if let Some(by) = by {
                self.learn_from_pair(by, member);
            }
            let facts = &mut self.channels[member as usize].facts;
            facts.dials.push(Dial { by, at, number: None, end: None });
        }
    }

    /// `by` called `dest` before we looked. The number of a channel that was called is its own, or
    /// that which was dialled.
    fn learn_from_pair(&mut self, by: ChannelIndex, dest: ChannelIndex) {
        let (by, dest) = (&self.channels[by as usize], &self.channels[dest as usize]);
        let is_long = digits(&by.facts.exten) >= OUTSIDE_DIGITS_MIN;
        let Some(number) = dest.facts.number.as_deref().filter(|_| is_long) else { return };
        let (caller, called) = (by.endpoint, dest.endpoint);
        if is_short(number) {
            self.sides.add(caller, Evidence::DirectNumber);
        } else if same_number(number, &by.facts.exten) {
            self.sides.add(called, Evidence::NumberReached);
            self.sides.add(caller, Evidence::DialledOut);
        }
    }
}
