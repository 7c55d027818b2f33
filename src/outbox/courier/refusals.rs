//! Pure: calls that amoCRM refuses alone and without a reason, and how often in a row.

use std::collections::BTreeMap;

use crate::outbox::courier::effect::Ruling;
use crate::outbox::courier::flight::Unexplained;
use crate::outbox::queue::Seq;

/// Refusals by call. A restart counts anew.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    rows: BTreeMap<Seq, Row>,
    /// POSTs in which amoCRM decided on a call.
    successes: u64,
}

/// Refusals of one call in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    count: u32,
    /// [`Refusals::successes`] at the last one.
    successes: u64,
}

impl Refusals {
    /// A refusal that says nothing counts against the call that was alone in it; any other outcome
    /// ends the row. A server's failure counts when amoCRM served another call since the last one:
    /// where it serves nobody, the fault is not the call's.
    pub fn count(&mut self, rulings: &[Ruling], unexplained: Option<Unexplained>, success: bool) {
        self.successes += u64::from(success);
        if let Some(Unexplained { seq, by_server }) = unexplained {
            let successes = self.successes;
            let row = self.rows.entry(seq).or_default();
            if !by_server || row.count == 0 || successes > row.successes {
                *row = Row { count: row.count + 1, successes };
            }
            return;
        }
        for ruling in rulings {
            self.forget(ruling.settlement.seq);
        }
    }

    pub fn in_a_row(&self, seq: Seq) -> u32 {
        self.rows.get(&seq).map_or(0, |row| row.count)
    }

    pub fn forget(&mut self, seq: Seq) {
        self.rows.remove(&seq);
    }
}
