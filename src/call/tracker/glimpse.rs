//! Pure: a look at calls in progress, which stay as they are.

use crate::call::facts::{CallFacts, Channel, ChannelIndex, Dial, Origin};
use crate::call::name;
use crate::call::record::Side;
use crate::call::tracker::groups::GroupIndex;
use crate::call::tracker::{Tracker, extract};
use crate::time::PbxTime;

/// Channels that one look copies, at most, once it has a call: a call has some four.
const CHANNELS_MAX: usize = 512;

/// Some of the calls in progress.
#[derive(Debug)]
pub struct Glimpse {
    /// The newest first.
    pub calls: Vec<CallFacts>,
    /// Where the next look goes on; `None` when there are no more.
    pub next: Option<u64>,
}

impl Tracker {
    /// The facts of at most `limit` calls, as if they ended at `now`, the newest first; from the
    /// [`Glimpse::next`] of the look before on. Calls that were told already are left out.
    pub fn glimpse(&self, before: Option<u64>, limit: usize, now: PbxTime) -> Glimpse {
        let older = |seq: u64| before.is_none_or(|before| seq < before);
        let groups = self.groups.iter().filter(|(_, group)| older(group.seq));
        let mut open: Vec<(u64, GroupIndex)> = groups.map(|(index, group)| (group.seq, index)).collect();
        if open.len() > limit {
            // Of a hundred thousand only some are put in order.
            open.select_nth_unstable_by(limit, |one, other| other.cmp(one));
        }
        let more = open.len() > limit;
        open.truncate(limit);
        open.sort_unstable_by(|one, other| other.cmp(one));
        let mut glimpse = Glimpse { calls: Vec::new(), next: None };
        let mut channels = 0;
        let mut last = None;
        for (seq, group) in open {
            let members = self.groups[group].members.len();
            if channels > 0 && channels + members > CHANNELS_MAX {
                glimpse.next = last;
                return glimpse;
            }
            (channels, last) = (channels + members, Some(seq));
            glimpse.calls.extend(self.facts_now(group, now));
        }
        glimpse.next = last.filter(|_| more);
        glimpse
    }

    /// What would be handed out if the call ended now; `None` when all of it has been reported.
    fn facts_now(&self, index: GroupIndex, now: PbxTime) -> Option<CallFacts> {
        let members = self.in_order(index);
        let mut channels: Vec<Channel> = members.iter().map(|member| self.judged(*member)).collect();
        for (channel, member) in channels.iter_mut().zip(&members) {
            self.complete(channel, *member, &members);
        }
        if self.groups[index].reported && channels.iter().all(|c| c.reported || c.side != Side::Outside) {
            return None;
        }
        extract::renumber_all(&mut channels, &members);
        channels.extend(self.guests(&members));
        Some(CallFacts { channels, ended: now.max(self.now), time: self.time, cut: false })
    }

    /// A channel that was called before we looked gets its most likely caller: as at the end of a call, but
    /// in the copy alone.
    fn complete(&self, channel: &mut Channel, member: ChannelIndex, members: &[ChannelIndex]) {
        let is_stub = !channel.announced && channel.origin == Origin::Created && channel.dials.is_empty();
        if is_stub && channel.kind == name::Kind::Device {
            let named = self.find_uniqueid(&self.channels[member as usize].linkedid);
            let by = named.filter(|by| *by != member && members.contains(by));
            channel.dials.push(Dial { by, at: channel.born, number: None, end: None });
        }
    }
}
