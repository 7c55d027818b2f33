//! Waiting calls are found by their names: a tree of its own, which sled may give back older than theirs.

use tracing::warn;

use crate::call::id::CallId;
use crate::call::record::{CallRecord, FinishedCall};
use crate::outbox::queue::{self, Seq};
use crate::outbox::store::draft::id_entries;
use crate::outbox::store::recover::{Doubt, NEWEST, REFILL_CHUNK, SAMPLE};
use crate::outbox::store::trees::Tree;
use crate::outbox::store::{Opened, Store};

impl Store {
    /// Waiting calls that are not found under their names: the tree of names fell back further than theirs.
    /// A sample is looked at, and all of them where anything was lost.
    pub(super) fn reindex(&mut self, doubt: Doubt) -> Result<(), queue::Error> {
        let waiting: Vec<Seq> = self.schedule.enqueued().map(|(seq, _)| seq).collect();
        let newest = &waiting[waiting.len().saturating_sub(NEWEST)..];
        let sample = waiting.iter().step_by(waiting.len().div_ceil(SAMPLE).max(1));
        let mut is_sure = doubt != Doubt::Damaged && self.opened == Opened::default();
        for seq in newest.iter().chain(sample) {
            is_sure = is_sure && self.nameless(*seq)?.is_none();
        }
        if is_sure {
            return Ok(());
        }
        let mut calls = 0;
        for seqs in waiting.chunks(REFILL_CHUNK) {
            let mut draft = self.draft();
            for seq in seqs {
                let Some(record) = self.nameless(*seq)? else { continue };
                calls += 1;
                for (key, value) in id_entries(&record, *seq) {
                    draft.change.put(Tree::Ids, key, value);
                }
            }
            self.commit(draft)?;
        }
        if calls > 0 {
            warn!(calls, "the database had forgotten the names of waiting calls: they are found again");
        }
        Ok(())
    }

    /// The call at this place, where its name does not lead to one.
    fn nameless(&self, seq: Seq) -> Result<Option<CallRecord>, queue::Error> {
        // What cannot be read has been told, and has no name.
        let Ok(Some((_, stored))) = self.load(seq) else { return Ok(None) };
        let id = CallId::from_text(&stored.id);
        if self.seq_of_call(&id)? == Some(seq) || self.is_stored(&id)? {
            return Ok(None);
        }
        Ok(serde_json::from_str::<FinishedCall>(stored.raw_call()).ok().map(|call| call.record))
    }
}
