//! Pure: keeping a long call small. A queue that offers a caller to fifty members every few seconds
//! makes thousands of channels in one call; what one of them adds to the story is that an extension
//! rang, and once is enough.

use std::collections::BTreeSet;

use crate::call::facts::{Channel, ChannelIndex, DialStatus, Extras};
use crate::call::name;
use crate::call::record::Side;
use crate::call::side::EndpointIndex;
use crate::call::tracker::Tracker;
use crate::call::tracker::groups::GroupIndex;

/// Channels that a call may have before it is looked through for the first time.
pub(super) const FOLD_AT: usize = 128;

impl Tracker {
    /// Forgets channels of the call that are over, never heard anybody, and tell nothing that another
    /// does not tell.
    pub(super) fn fold(&mut self, group: GroupIndex) {
        let members = self.groups[group].members.clone();
        let mut told: BTreeSet<(EndpointIndex, Option<DialStatus>)> = BTreeSet::new();
        let mut needed: BTreeSet<ChannelIndex> = BTreeSet::new();
        let mut ahead: Vec<ChannelIndex> = Vec::new();
        for &member in &members {
            if !self.is_spent(member) || self.is_first(member, &mut told) {
                ahead.push(member);
            }
        }
        while let Some(member) = ahead.pop() {
            if needed.insert(member) {
                let facts = &self.channels[member as usize].facts;
                ahead.extend(facts.peer);
                ahead.extend(facts.dials.iter().filter_map(|dial| dial.by));
                ahead.extend(facts.extras.transfers.iter().map(|transfer| transfer.by));
            }
        }
        for &member in members.iter().filter(|member| !needed.contains(member)) {
            self.forget(member);
        }
        let group = &mut self.groups[group];
        group.members.retain(|member| needed.contains(member));
        group.fold_at = (group.members.len() * 2).max(FOLD_AT);
    }

    /// A device that only rang, or a half of a Local pair that led nowhere.
    fn is_spent(&self, member: ChannelIndex) -> bool {
        let facts = &self.channels[member as usize].facts;
        let was_quiet = facts.gone.is_some() && facts.stays.is_empty() && is_plain(&facts.extras);
        was_quiet
            && match facts.kind {
                name::Kind::Local | name::Kind::Helper => true,
                name::Kind::Device => facts.was_called() && self.side(member) == Side::Inside,
            }
    }

    /// Whether this is the first spent channel of its device that ended so.
    fn is_first(
        &self,
        member: ChannelIndex,
        told: &mut BTreeSet<(EndpointIndex, Option<DialStatus>)>,
    ) -> bool {
        let tracked = &self.channels[member as usize];
        tracked.facts.kind == name::Kind::Device
            && told.insert((tracked.endpoint, last_status(&tracked.facts)))
    }
}

fn last_status(channel: &Channel) -> Option<DialStatus> {
    channel.dials.iter().rev().find_map(|dial| dial.end.as_ref()).map(|end| end.status)
}

/// Nothing that the record is made from, but for what the dial plan's macros leave on every leg.
fn is_plain(extras: &Extras) -> bool {
    let plain = Extras {
        meant: extras.meant.clone(),
        dial_status: extras.dial_status.clone(),
        answered_since: extras.answered_since,
        ..Extras::default()
    };
    *extras == plain
}
