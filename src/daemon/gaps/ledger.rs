//! What is told of gaps: how many there were, and what is known of their calls.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::call::id::PbxName;
use crate::cdr::range::Range;
use crate::daemon::gaps::waiting::Waiting;
use crate::intake::gap::Gap;
use crate::ops::status::{GapsStatus, Span};

/// The gaps of every PBX since the start.
pub type GapsByPbx = BTreeMap<PbxName, GapsStatus>;

/// Keeps count of gaps for whoever watches.
#[derive(Debug)]
pub(super) struct Ledger(watch::Sender<GapsByPbx>);

impl Ledger {
    pub fn new() -> Self {
        Self(watch::channel(GapsByPbx::new()).0)
    }

    pub fn watch(&self) -> watch::Receiver<GapsByPbx> {
        self.0.subscribe()
    }

    /// A gap ended; how many of this PBX there were.
    pub fn came(&self, gap: &Gap) -> u64 {
        self.change(&gap.pbx, |gaps| {
            gaps.count += 1;
            gaps.seconds += gap.length().as_secs();
            gaps.last = Some(Span { from: gap.from, to: gap.to });
        });
        self.0.borrow().get(&gap.pbx).map_or(0, |gaps| gaps.count)
    }

    /// Calls were found in records.
    pub fn found(&self, pbx: &PbxName, calls: usize) {
        if calls > 0 {
            self.change(pbx, |gaps| gaps.found += calls as u64);
        }
    }

    /// Nothing says which calls were in this time.
    pub fn unseen(&self, pbx: &PbxName, span: Range) {
        let Range { from, to } = span;
        self.change(pbx, |gaps| {
            gaps.unseen += 1;
            gaps.last_unseen = Some(Span { from, to });
        });
    }

    /// These are looked at again.
    pub fn wait(&self, waiting: &[Waiting]) {
        self.0.send_modify(|of_all| {
            for gaps in of_all.values_mut() {
                gaps.waiting = 0;
            }
            for waiting in waiting {
                of_all.entry(waiting.gap.pbx.clone()).or_default().waiting += 1;
            }
        });
    }

    fn change(&self, pbx: &PbxName, change: impl FnOnce(&mut GapsStatus)) {
        self.0.send_modify(|of_all| change(of_all.entry(pbx.clone()).or_default()));
    }
}
