//! The end of `history`: calls leave it by age and by number, a few at a time, on the store's
//! thread between groups.

use std::time::Duration;

use crate::call::id::CallId;
use crate::outbox::queue::{Error, Seq, State};
use crate::outbox::store::Store;
use crate::outbox::store::draft::id_entries;
use crate::outbox::store::trees::{Change, Tree, call_key, owing_key, seq_of};
use crate::outbox::store::value::Stored;
use crate::time::HostTime;

/// How long a call is kept after its end. So long its id is known, and a back-fill adds nothing.
pub const KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// Calls kept at most: some 300 MB, a month of a call every 13 seconds.
pub const KEPT_MAX: u64 = 200_000;

/// Calls looked at in one sweep: a few milliseconds, which whoever commits next must wait.
const SWEEP_MAX: usize = 256;

/// How much is kept; a test keeps less.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub age: Duration,
    pub count: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { age: KEPT_FOR, count: KEPT_MAX }
    }
}

impl Store {
    /// Forgets some of the oldest calls, by sequence number, that are over the limits; returns
    /// whether there may be more of them.
    ///
    /// # Errors
    /// When the store failed.
    pub(super) fn sweep(&mut self, limits: Limits, now: HostTime) -> Result<bool, Error> {
        self.alive()?;
        let mut surplus = self.kept.saturating_sub(limits.count);
        let mut draft = self.draft();
        let mut forgotten = 0;
        for entry in self.trees.iter(Tree::History).take(SWEEP_MAX) {
            let (key, bytes) = entry.map_err(|error| self.fail("the database cannot be read", error))?;
            let stored = Stored::decode(&bytes).ok();
            let aged = stored.as_ref().and_then(ended_at).is_some_and(|at| now.since(at) > limits.age);
            if surplus > 0 || aged {
                surplus = surplus.saturating_sub(1);
                forgotten += 1;
                self.forget(&mut draft.change, &key, stored)?;
            }
        }
        if forgotten > 0 {
            draft.kept = draft.kept.saturating_sub(forgotten);
            self.commit(draft)?;
        }
        Ok(forgotten > 0)
    }

    /// Since when every call that ended is known: older ones may be forgotten.
    ///
    /// # Errors
    /// When the store failed.
    pub fn remembers_since(&self, now: HostTime) -> Result<HostTime, Error> {
        self.remembers_within(Limits::default(), now)
    }

    pub(super) fn remembers_within(&self, limits: Limits, now: HostTime) -> Result<HostTime, Error> {
        self.alive()?;
        let by_age = now.before(limits.age);
        if self.kept < limits.count {
            return Ok(by_age);
        }
        // What was forgotten came before the oldest that is kept, and ended before it came.
        let Some(oldest) = self.trees.iter(Tree::History).next() else { return Ok(by_age) };
        let (_, bytes) = oldest.map_err(|error| self.fail("the database cannot be read", error))?;
        let item = Stored::decode(&bytes).ok().and_then(|stored| stored.into_item().ok());
        Ok(item.map_or(by_age, |item| item.enqueued_at.max(by_age)))
    }

    fn forget(&self, change: &mut Change, key: &[u8], stored: Option<Stored>) -> Result<(), Error> {
        change.remove(Tree::History, key);
        let (Some(seq), Some(stored)) = (seq_of(key), stored) else { return Ok(()) };
        change.remove(Tree::Ids, owing_key(seq).as_slice());
        self.forget_ids(change, seq, &stored)
    }

    fn forget_ids(&self, change: &mut Change, seq: Seq, stored: &Stored) -> Result<(), Error> {
        let id = CallId::from_text(stored.id.as_str());
        let own = call_key(&id);
        let is_own = self.seq_of_call(&id)? == Some(seq);
        let entries = stored.call().map(|call| id_entries(&call.record, seq)).unwrap_or_default();
        let keys = entries.into_iter().map(|(key, _)| key).chain([own.clone()]);
        // The id may have come to stand for a later entry, when this one was lost for a while.
        for key in keys.filter(|key| is_own || *key != own) {
            change.remove(Tree::Ids, key);
        }
        Ok(())
    }
}

/// When a call came to its end; `None` while it has not.
fn ended_at(stored: &Stored) -> Option<HostTime> {
    match stored.slip().state {
        State::Sent { at, .. }
        | State::Unsorted { at, .. }
        | State::Skipped { at, .. }
        | State::Expired { at, .. }
        | State::Dead { at, .. } => Some(at),
        State::Pending | State::Sending { .. } | State::Unknown { .. } | State::Parked { .. } => None,
    }
}
