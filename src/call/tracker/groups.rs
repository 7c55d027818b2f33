//! Pure: unions of channels, and when they are over.

use crate::call::checkpoint::{CallV1, Unknown};
use crate::call::facts::ChannelIndex;
use crate::call::record::Side;
use crate::call::tracker::fold::FOLD_AT;
use crate::call::tracker::restore::kept;
use crate::call::tracker::{GRACE, LINGER, Tracked, Tracker};
use crate::time::PbxTime;

pub(super) type GroupIndex = usize;

/// Channels in one group, after folding. A real call has some tens; what would grow past this is a
/// flood or a forged Linkedid, and goes on as calls of their own.
const MEMBERS_MAX: usize = 1024;

/// Linkedids of one group. Each transfer adds one; more is a forgery.
const LINKED_MAX: usize = 256;

/// Channels that belong to one call.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Group {
    pub(super) seq: u64,
    pub(super) members: Vec<ChannelIndex>,
    /// Members that have not hung up.
    pub(super) live: usize,
    /// Linkedids by which further channels join.
    pub(super) linked: Vec<usize>,
    deadline: Option<PbxTime>,
    /// A record was made while channels were left over.
    pub(super) reported: bool,
    /// Nothing was heard of it since the connection to the PBX was lost, or the PBX stopped, then.
    pub(super) silent_since: Option<PbxTime>,
    /// The end of one of its channels was not seen.
    pub(super) cut: bool,
    /// The uniqueid of its first channel: its name where it is written down.
    pub(super) first: Box<str>,
    /// It changed since it was written down.
    pub(super) dirty: bool,
    /// Something of it is written down.
    pub(super) saved: bool,
    /// What a later program wrote of it.
    pub(super) unknown: Option<Box<Unknown>>,
    /// With so many members it is looked through for what can be forgotten.
    pub(super) fold_at: usize,
}

impl Group {
    /// A call of the time before a restart, without its channels.
    pub(super) fn restored(first: &str, seq: u64, call: Option<&CallV1>) -> Self {
        Self {
            seq,
            members: Vec::new(),
            live: 0,
            linked: Vec::new(),
            deadline: None,
            reported: call.is_some_and(|call| call.reported),
            silent_since: call.and_then(|call| call.silent_since),
            cut: call.is_some_and(|call| call.cut),
            first: first.into(),
            dirty: false,
            saved: true,
            unknown: call.and_then(|call| kept(&call.unknown)),
            fold_at: FOLD_AT,
        }
    }

    pub(super) fn deadline(&self) -> Option<PbxTime> {
        self.deadline
    }
}

/// How a group came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum GroupEnd {
    /// All channels are gone.
    Over,
    /// Every outside leg is gone, channels are left.
    Lingers,
    /// The input ended before the call did.
    Cut,
}

/// A Linkedid and the group that has it.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) id: Box<[u8]>,
    group: GroupIndex,
}

impl Tracker {
    pub(super) fn new_group(&mut self, first: ChannelIndex) -> GroupIndex {
        self.count += 1;
        let name = self.channels[first as usize].facts.uniqueid.clone();
        let group = self.groups.insert(Group {
            seq: self.count,
            members: vec![first],
            live: 1,
            linked: Vec::new(),
            deadline: None,
            reported: false,
            silent_since: None,
            cut: false,
            first: name,
            dirty: false,
            saved: false,
            unknown: None,
            fold_at: FOLD_AT,
        });
        self.call_changed(group);
        group
    }

    /// Joins `group` with the one that holds `linkedid`, or gives it `linkedid` if nobody has it.
    pub(super) fn link(&mut self, group: GroupIndex, linkedid: &[u8]) {
        if linkedid.is_empty() || self.groups[group].linked.len() >= LINKED_MAX {
            return;
        }
        if let Some(found) = self.by_linkedid.find(linkedid, |i| &*self.linked[i].id == linkedid) {
            self.unite_groups(group, self.linked[found].group);
            return;
        }
        let entry = self.linked.insert(Linked { id: linkedid.into(), group });
        self.by_linkedid.insert(linkedid, entry);
        self.groups[group].linked.push(entry);
        self.call_changed(group);
    }

    /// Joins the calls of two channels.
    pub(super) fn unite(&mut self, a: ChannelIndex, b: ChannelIndex) {
        let (a, b) = (self.channels[a as usize].group, self.channels[b as usize].group);
        self.unite_groups(a, b);
    }

    /// The older group takes the younger one in.
    fn unite_groups(&mut self, a: GroupIndex, b: GroupIndex) {
        if a == b || self.groups[a].members.len() + self.groups[b].members.len() > MEMBERS_MAX {
            return;
        }
        let (keep, drop) = if self.groups[a].seq < self.groups[b].seq { (a, b) } else { (b, a) };
        self.set_deadline(drop, None);
        let dropped = self.groups.remove(drop);
        self.forgot_call(&dropped.first, dropped.saved);
        for &member in &dropped.members {
            self.channels[member as usize].group = keep;
            self.changed(member);
        }
        for &entry in &dropped.linked {
            self.linked[entry].group = keep;
        }
        let group = &mut self.groups[keep];
        group.members.extend(dropped.members);
        group.linked.extend(dropped.linked);
        group.live += dropped.live;
        group.reported |= dropped.reported;
        group.cut |= dropped.cut;
        group.silent_since = None;
        self.call_changed(keep);
        self.reconsider(keep);
    }

    /// Sets or clears a group's deadline after a change.
    pub(super) fn reconsider(&mut self, index: GroupIndex) {
        let group = &self.groups[index];
        let deadline = if group.live == 0 {
            group.deadline.or_else(|| Some(self.now.after(GRACE)))
        } else if self.outside_is_gone(index) || self.is_deserted(index) {
            group.deadline.or_else(|| Some(self.now.after(LINGER)))
        } else {
            None
        };
        // The last channel shortens a wait that began with the last outside leg.
        let deadline = if self.groups[index].live == 0 {
            deadline.map(|due| due.min(self.now.after(GRACE)))
        } else {
            deadline
        };
        self.set_deadline(index, deadline);
    }

    /// Every outside leg is gone, and one of them that is not reported yet was in a bridge.
    fn outside_is_gone(&self, index: GroupIndex) -> bool {
        let mut talked = false;
        for &member in &self.groups[index].members {
            let facts = &self.channels[member as usize].facts;
            if facts.gone.is_none() && (facts.stays.is_empty() || self.side(member) == Side::Outside) {
                return false; // still here, or still being dialled
            }
            talked |= !facts.reported
                && facts.gone.is_some()
                && !facts.stays.is_empty()
                && self.side(member) == Side::Outside;
        }
        talked
    }

    /// All that is left rings for somebody who is gone. Asterisk hangs such legs up at once, so that was in a time
    /// in which nobody watched. One of which it tells, or which it lists, rings for another one, to whom it was
    /// handed over.
    fn is_deserted(&self, index: GroupIndex) -> bool {
        let group = &self.groups[index];
        let is_gone = |member: ChannelIndex| {
            self.channels.get(member as usize).is_none_or(|tracked| tracked.facts.gone.is_some())
        };
        let is_over = |member: &ChannelIndex| {
            let Tracked { facts, listed, .. } = &self.channels[*member as usize];
            let rings_for_nobody =
                !facts.dials.is_empty() && facts.dials.iter().all(|d| d.by.is_some_and(is_gone));
            let may_be_gone = *listed == 0 && self.is_unheard(*member);
            facts.gone.is_some() || (facts.stays.is_empty() && rings_for_nobody && may_be_gone)
        };
        group.live > 0 && !group.reported && group.members.iter().all(is_over)
    }

    pub(super) fn set_deadline(&mut self, index: GroupIndex, deadline: Option<PbxTime>) {
        let group = &mut self.groups[index];
        if group.deadline == deadline {
            return;
        }
        let (seq, old) = (group.seq, group.deadline);
        group.deadline = deadline;
        self.call_changed(index);
        if let Some(due) = old {
            self.deadlines.remove(&(due, seq, index));
        }
        if let Some(due) = deadline {
            self.deadlines.insert((due, seq, index));
        }
    }

    /// The group's time is over: hands out its facts and forgets what is not needed any more.
    pub(super) fn end_group(&mut self, index: GroupIndex, at: PbxTime, end: GroupEnd) {
        let group = &mut self.groups[index];
        if let Some(due) = group.deadline.take() {
            // It may end for another reason, and its place is another's then.
            self.deadlines.remove(&(due, group.seq, index));
        }
        self.ending = Some(self.groups[index].first.clone());
        let facts = self.extract(index, at, end);
        if end == GroupEnd::Lingers {
            self.mark_reported(index);
        }
        self.finished.extend(facts);
        self.ending = None;
    }

    /// How a group whose deadline fired ends.
    pub(super) fn group_end(&self, index: GroupIndex) -> GroupEnd {
        if self.groups[index].live == 0 {
            GroupEnd::Over
        } else if self.is_deserted(index) {
            GroupEnd::Cut
        } else {
            GroupEnd::Lingers
        }
    }

    /// The channels that are left belong to a call that is told already.
    fn mark_reported(&mut self, index: GroupIndex) {
        self.groups[index].reported = true;
        self.call_changed(index);
        for at in 0..self.groups[index].members.len() {
            let member = self.groups[index].members[at];
            if self.side(member) == Side::Outside {
                self.channels[member as usize].facts.reported = true;
            }
            // What was written of the call goes with its record; this is what is left.
            self.changed(member);
        }
    }

    /// Forgets the group itself; its channels are the caller's to take.
    pub(super) fn forget_group(&mut self, index: GroupIndex) {
        self.set_deadline(index, None);
        let group = self.groups.remove(index);
        self.forgot_call(&group.first, group.saved);
        for entry in group.linked {
            let linked = self.linked.remove(entry);
            self.by_linkedid.remove(&linked.id, entry);
        }
    }
}
