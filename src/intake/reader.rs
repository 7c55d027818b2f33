//! Pure: frames to finished calls; the daemon and `replay` run the same one.

use std::sync::Arc;

use crate::ami::wire::Frame;
use crate::call::id::PbxName;
use crate::call::policy::Policy;
use crate::call::record::{FinishedCall, Source};
use crate::time::PbxTime;

/// Follows the calls of one PBX.
#[derive(Debug)]
pub struct Reader {}

/// What went by; for logs and metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Events that were understood.
    pub events: u64,
    /// The last event's time.
    pub last: Option<PbxTime>,
    /// Calls in progress.
    pub open: usize,
    /// Calls handed out by [`Reader::poll_finished`].
    pub finished: u64,
}

impl Reader {
    pub fn new(_pbx: PbxName, _source: Source, _policy: Arc<Policy>) -> Self {
        Self {}
    }

    /// From now on calls are judged by `policy`.
    pub fn set_policy(&mut self, _policy: Arc<Policy>) {}

    /// Takes one frame of the stream; replies to actions are not for here. `arrived` is the PBX time of arrival as the
    /// shell estimates it (live), used where events carry no `Timestamp`; `None` in a replay.
    pub fn handle_frame(&mut self, _frame: &Frame<'_>, _arrived: Option<PbxTime>) {}

    /// Lets deadlines fire up to `now`.
    pub fn handle_timeout(&mut self, _now: PbxTime) {}

    /// When [`Reader::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<PbxTime> {
        None
    }

    /// The next call that ended, in order of end.
    pub fn poll_finished(&mut self) -> Option<FinishedCall> {
        None
    }

    /// The input is at its end: what is open is closed and marked partial.
    pub fn finish(&mut self) {}

    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
