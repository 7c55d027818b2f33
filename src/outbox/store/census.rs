//! A look at every call, after anything was lost. The trees that sled gives back need not be of the same
//! moment: a name may lead nowhere, a call may lie where its name does not lead, and the ledger may have
//! counted what is gone, or not counted what is there.

use std::collections::BTreeMap;

use tracing::warn;

use crate::call::id::CallId;
use crate::outbox::queue::{self, Phase, Seq};
use crate::outbox::store::Store;
use crate::outbox::store::draft::{Draft, id_entries};
use crate::outbox::store::load::PLACES;
use crate::outbox::store::recover::{NEWEST, REFILL_CHUNK, SAMPLE};
use crate::outbox::store::trees::{Tree, call_key, seq_of};
use crate::outbox::store::value::{Head, Stored};

/// Entries of the trees of calls by phase.
type Census = BTreeMap<Phase, u64>;

impl Store {
    /// Whether the newest of the waiting calls, and a sample of the others, are found by their names.
    pub(super) fn names_lead_to_calls(&self) -> Result<bool, queue::Error> {
        let waiting: Vec<Seq> = self.schedule.enqueued().map(|(seq, _)| seq).collect();
        let newest = &waiting[waiting.len().saturating_sub(NEWEST)..];
        let sample = waiting.iter().step_by(waiting.len().div_ceil(SAMPLE).max(1));
        for seq in newest.iter().chain(sample) {
            // What cannot be read has been told, and has no name.
            if let Ok(Some((_, stored))) = self.load(*seq)
                && self.is_nameless(*seq, &stored)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives calls their names back that lie where no name leads.
    pub(super) fn name_again(&mut self) -> Result<(), queue::Error> {
        let mut calls = 0;
        for tree in PLACES {
            let mut seqs = Vec::new();
            for entry in self.trees.iter(tree) {
                let (key, _) = entry.map_err(|error| self.fail("the database cannot be read", error))?;
                seqs.extend(seq_of(&key));
            }
            for seqs in seqs.chunks(REFILL_CHUNK) {
                let mut draft = self.draft();
                let mut named = 0;
                for seq in seqs {
                    let Ok(Some((_, stored))) = self.load(*seq) else { continue };
                    if self.is_nameless(*seq, &stored)? {
                        name(&mut draft, *seq, &stored);
                        named += 1;
                    }
                }
                if named > 0 {
                    self.commit(draft)?;
                }
                calls += named;
            }
        }
        if calls > 0 {
            warn!(calls, "the database had forgotten the names of calls: they are found again");
        }
        Ok(())
    }

    fn is_nameless(&self, seq: Seq, stored: &Stored) -> Result<bool, queue::Error> {
        let id = CallId::from_text(&stored.id);
        Ok(self.seq_of_call(&id)? != Some(seq) && !self.is_known(&id)?)
    }

    /// Brings the ledger's counts of calls at their end to what is there. What the history has forgotten
    /// by age or number is in the ledger alone: then it is raised and never lowered. `is_whole` says
    /// that nothing was forgotten yet when the ledger was written.
    pub(super) fn recount(&mut self, is_whole: bool) -> Result<(), queue::Error> {
        let mut census = Census::new();
        let mut kept = 0;
        for tree in [Tree::Dead, Tree::History] {
            for entry in self.trees.iter(tree) {
                let (_, bytes) = entry.map_err(|error| self.fail("the database cannot be read", error))?;
                kept += u64::from(tree == Tree::History);
                let phase = Head::decode(&bytes).map_or(Phase::Dead, |(_, head)| head.slip.state.phase());
                let phase = if tree == Tree::Dead { Phase::Dead } else { phase };
                *census.entry(phase).or_default() += 1;
            }
        }
        self.kept = kept;
        for phase in [Phase::Dead, Phase::Sent, Phase::Unsorted, Phase::Skipped, Phase::Expired] {
            let found = census.get(&phase).copied().unwrap_or_default();
            let counted = self.ledger.finals.entry(phase).or_default();
            *counted = if is_whole || phase == Phase::Dead { found } else { found.max(*counted) };
        }
        Ok(())
    }
}

/// Lays down the names of the call that lies at `seq`. A later version's words for a call leave its own id
/// at least.
pub(super) fn name(draft: &mut Draft, seq: Seq, stored: &Stored) {
    let own = || vec![(call_key(&CallId::from_text(&stored.id)), seq.0.to_be_bytes().to_vec())];
    let names = stored.call().map(|call| id_entries(&call.record, seq));
    for (key, value) in names.unwrap_or_else(|_| own()) {
        draft.change.put(Tree::Ids, key, value);
    }
}
