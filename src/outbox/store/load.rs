//! Finding calls in the trees, wherever they lie.

use std::collections::BTreeMap;

use crate::call::id::CallId;
use crate::outbox::queue::{Error, Phase, Seq, State};
use crate::outbox::schedule::Slip;
use crate::outbox::store::Store;
use crate::outbox::store::trees::{Tree, call_key, seq_key, seq_of};
use crate::outbox::store::value::{self, Stored};

/// Trees of calls, in the order in which one is looked for.
pub(super) const PLACES: [Tree; 3] = [Tree::Outbox, Tree::Dead, Tree::History];

impl Store {
    /// Where a call with this sequence number lies, if there is one.
    pub(super) fn tree_of(&self, seq: Seq) -> Result<Option<Tree>, Error> {
        for tree in PLACES {
            if self.read(tree, &seq_key(seq))?.is_some() {
                return Ok(Some(tree));
            }
        }
        Ok(None)
    }

    pub(super) fn seq_of_call(&self, id: &CallId) -> Result<Option<Seq>, Error> {
        Ok(self.read(Tree::Ids, &call_key(id))?.and_then(|value| seq_of(&value)))
    }

    pub(super) fn load_into(
        &self,
        stored: &mut BTreeMap<Seq, (Tree, Stored)>,
        seq: Seq,
    ) -> Result<Slip, Error> {
        let (tree, value) = self.load(seq)?.ok_or(Error::Absent(seq))?;
        let slip = value.slip().clone();
        stored.insert(seq, (tree, value));
        Ok(slip)
    }

    pub(super) fn load(&self, seq: Seq) -> Result<Option<(Tree, Stored)>, Error> {
        for tree in PLACES {
            let Some(bytes) = self.read(tree, &seq_key(seq))? else { continue };
            let mut stored = Stored::decode(&bytes).map_err(|error| unreadable(seq, &error))?;
            // What could not be read once lies among the dead in the state that it had.
            if tree == Tree::Dead && stored.slip().state.phase() != Phase::Dead {
                let state = State::Dead { reason: "it could not be read".to_owned(), at: self.now };
                let slip = Slip { state, ..stored.slip().clone() };
                stored.set_slip(slip);
            }
            return Ok(Some((tree, stored)));
        }
        Ok(None)
    }
}

/// The error of one call, which is no error of the store.
pub(super) fn unreadable(seq: Seq, error: &value::Error) -> Error {
    Error::Store(format!("call {} cannot be read: {error}", seq.0))
}
