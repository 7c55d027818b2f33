//! Pure: what leaves an intake together.

use crate::call::checkpoint::Change;
use crate::call::record::FinishedCall;

/// Calls that ended and what changed of those in progress: stored in one piece, so that a call is in
/// progress until it waits in the outbox, whatever happens in between.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parcel {
    pub calls: Vec<FinishedCall>,
    /// In their order; keys are those of one PBX.
    pub changes: Vec<Change>,
}

impl Parcel {
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.changes.is_empty()
    }
}

impl From<Vec<FinishedCall>> for Parcel {
    fn from(calls: Vec<FinishedCall>) -> Self {
        Self { calls, changes: Vec::new() }
    }
}
