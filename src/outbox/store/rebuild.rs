//! A new database from the ruins of another: calls, shelves and ledger that were found in its bytes,
//! judged by the journal, then what the journal alone knows.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use tracing::error;

use crate::call::id::CallId;
use crate::outbox::queue::{self, BatchId, Phase, Seq, State};
use crate::outbox::schedule::{Slip, waits};
use crate::outbox::store::draft::Draft;
use crate::outbox::store::journal::read::{Intent, Open};
use crate::outbox::store::recover::{ended, in_doubt};
use crate::outbox::store::salvage::Salvage;
use crate::outbox::store::shelf::Shelved;
use crate::outbox::store::trees::Tree;
use crate::outbox::store::value::Stored;
use crate::outbox::store::{Shelf, Store, census, history, inflight};
use crate::time::HostTime;

/// Calls brought in by one transaction.
const CHUNK: usize = 128;

/// What the journal says of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heard {
    Open(Option<Intent>),
    Done,
    Nothing,
}

impl Store {
    /// Fills this new store with what was found of another, and makes it durable.
    pub(super) fn fill_from(&mut self, salvage: &Salvage) -> Result<(), queue::Error> {
        let journal = self.journal.dir().to_owned();
        let unread = |store: &Self, error| store.fail("what the store had cannot be read", error);
        let mut open = Open::read(&journal).map_err(|error| unread(self, error))?;
        let done = open.done_ids().map_err(|error| unread(self, error))?;
        if let Some(saved) = salvage.ledger() {
            self.ledger = saved.ledger.clone();
            self.counted_to = Seq(self.ledger.next_seq);
        }
        self.pin(&salvage.pinned().names())?;
        let calls = salvage.calls().map_err(|error| unread(self, error))?;
        let mut found: BTreeMap<Phase, u64> = BTreeMap::new();
        for calls in calls.chunks(CHUNK) {
            let mut draft = self.draft();
            for stored in calls {
                // It was told anew and is to be sent: the journal has what was told, and it enters from there.
                if stored.slip().state.phase() == Phase::Skipped && open.has(&stored.id) {
                    continue;
                }
                let heard = hear(&mut open, &done, &stored.id);
                if is_forgotten(stored.slip(), heard, &open, self.now) {
                    continue;
                }
                let phase = self.bring_in(&mut draft, stored, heard)?;
                *found.entry(phase).or_default() += u64::from(!waits(phase));
            }
            self.commit(draft)?;
        }
        self.opened.damaged_lines = open.damaged;
        for (_, phase) in self.remember_all(&open)? {
            *found.entry(phase).or_default() += 1;
        }
        // The ledger counts for ever what the history forgets in time, and may be a little older. The dead
        // are all there, and those that are not found wait again.
        self.ledger.finals.remove(&Phase::Dead);
        for (phase, count) in found {
            let known = self.ledger.finals.entry(phase).or_default();
            *known = count.max(*known);
        }
        self.refill(&open)?;
        self.shelve(salvage.shelved().map_err(|error| unread(self, error))?)?;
        self.balance();
        self.commit(self.draft())?;
        self.persist()
    }

    /// Looks for lost calls, which the journal does not have, either, in the bytes of the database that
    /// lies, or lay, in `ruins`.
    pub(super) fn dig(&mut self, ruins: &Path) -> Result<(), queue::Error> {
        let unread = |store: &Self, error| store.fail("what the store had cannot be read", error);
        let mut open = Open::read(self.journal.dir()).map_err(|error| unread(self, error))?;
        let done = open.done_ids().map_err(|error| unread(self, error))?;
        let salvage = Salvage::read(ruins).map_err(|error| unread(self, error))?;
        for stored in salvage.calls().map_err(|error| unread(self, error))? {
            let heard = hear(&mut open, &done, &stored.id);
            let is_known = self.is_stored(&CallId::from_text(stored.id.as_str()))?;
            if is_known || is_forgotten(stored.slip(), heard, &open, self.now) {
                continue;
            }
            let mut draft = self.draft();
            let phase = self.bring_in(&mut draft, &stored, heard)?;
            let is_newer = stored.slip().seq >= self.counted_to;
            if !waits(phase) && (is_newer || self.unaccounted() > 0) {
                *draft.ledger.finals.entry(phase).or_default() += 1;
            }
            self.commit(draft)?;
        }
        let calls = self.opened.salvaged;
        if calls > 0 {
            error!(calls, "calls that neither database nor journal knew were found in the database's bytes");
        }
        Ok(())
    }

    fn bring_in(&mut self, draft: &mut Draft, found: &Stored, heard: Heard) -> Result<Phase, queue::Error> {
        let mut slip = judged(found.slip().clone(), heard);
        slip.seq = self.place_of(draft, slip.seq)?;
        let phase = slip.state.phase();
        if let State::Unknown { batch, .. } = slip.state {
            draft.ledger.next_batch = draft.ledger.next_batch.max(batch.0 + 1);
        }
        let mut stored = found.clone();
        let seq = slip.seq;
        stored.set_slip(slip);
        census::name(draft, seq, &stored);
        if heard == Heard::Nothing && (waits(phase) || phase == Phase::Dead) {
            self.note_enter(&stored)?;
            self.note_intent(&stored)?;
        }
        draft.kept += u64::from(Tree::of(phase) == Tree::History);
        self.opened.salvaged += 1;
        self.lay(draft, &stored)?;
        Ok(phase)
    }

    /// Puts values back on their shelves, but for checkpoints of calls that have ended: of those that
    /// were taken away the bytes are still there.
    fn shelve(&mut self, values: Vec<Shelved>) -> Result<(), queue::Error> {
        for Shelved { shelf, key, value } in values {
            let is_over = match shelf {
                Shelf::Inflight => self.is_of_a_call(&key)?,
                // A pause that was ended long ago is told by `status`, and ended again; calls that went out
                // in spite of one do not come back.
                Shelf::Tokens | Shelf::Manners | Shelf::Tasks | Shelf::Pauses | Shelf::Strangers => false,
            };
            if !is_over {
                self.place(shelf, &key, Some(&value))?;
            }
        }
        Ok(())
    }

    /// Whether `key` is the id of a stored call, or names one of its channels as ids do.
    fn is_of_a_call(&self, key: &str) -> Result<bool, queue::Error> {
        if self.seq_of_call(&CallId::from_text(key))?.is_some() {
            return Ok(true);
        }
        let channel = inflight::channel_of(key).unwrap_or_else(|| key.to_owned());
        let channel = [b"u", channel.as_bytes(), b"\0"].concat();
        match self.trees.keys_from(Tree::Ids, &channel).next() {
            Some(Err(error)) => Err(self.fail("the database cannot be read", error)),
            Some(Ok(_)) => Ok(true),
            None => Ok(false),
        }
    }
}

fn hear(open: &mut Open, done: &HashSet<CallId>, id: &str) -> Heard {
    match open.take(id) {
        Some(intent) => Heard::Open(intent),
        None if done.contains(&CallId::from_text(id)) => Heard::Done,
        None => Heard::Nothing,
    }
}

/// Whether the history has forgotten the call by its age: its bytes stay for a while, and may tell of a
/// time when it waited. An open call is in the journal however old, where there is a journal.
fn is_forgotten(slip: &Slip, heard: Heard, journal: &Open, now: HostTime) -> bool {
    let is_old = now.since(slip.enqueued_at) >= history::KEPT_FOR;
    is_old && heard == Heard::Nothing && !(journal.is_empty() && waits(slip.state.phase()))
}

/// What becomes of a call that was found as `slip`, in the light of the journal, which is never behind.
/// What may have been sent is looked up, what is done stays done.
fn judged(slip: Slip, heard: Heard) -> Slip {
    let known = match slip.state {
        State::Sending { batch, since } | State::Unknown { batch, since, .. } => {
            Some(Intent { batch, since })
        }
        State::Pending
        | State::Parked { .. }
        | State::Sent { .. }
        | State::Unsorted { .. }
        | State::Skipped { .. }
        | State::Expired { .. }
        | State::Dead { .. } => None,
    };
    let phase = slip.state.phase();
    match (phase, heard) {
        (Phase::Sent | Phase::Unsorted | Phase::Skipped, _) => slip,
        (Phase::Expired, Heard::Done | Heard::Nothing) => slip,
        (Phase::Dead, Heard::Open(_) | Heard::Nothing) => slip,
        (_, Heard::Done) => ended(slip),
        (_, Heard::Open(Some(intent))) => in_doubt(slip, intent),
        // A person revived it.
        (Phase::Expired, Heard::Open(None)) => Slip { state: State::Pending, parked_since: None, ..slip },
        (_, Heard::Open(None)) => match known {
            Some(intent) => in_doubt(slip, intent),
            None => slip,
        },
        // Nothing says that it was not sent.
        (_, Heard::Nothing) => {
            let since = slip.enqueued_at;
            in_doubt(slip, known.unwrap_or(Intent { batch: BatchId(0), since }))
        }
    }
}

#[cfg(test)]
mod tests;
