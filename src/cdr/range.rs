//! Pure: the time whose records are wanted.

use std::time::Duration;

use crate::cdr::row::Row;
use crate::time::PbxTime;

/// From one moment of the PBX's clock to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    pub from: PbxTime,
    pub to: PbxTime,
}

impl Range {
    /// A call's first record may begin so long before the last.
    pub const LEAD: Duration = Duration::from_hours(2);

    /// Whether a record may be of a call that ended within the range.
    pub fn overlaps(&self, row: &Row) -> bool {
        row.end.after(Self::LEAD) >= self.from && row.start <= self.to
    }

    /// Longer at both ends.
    #[must_use]
    pub fn widened(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self { from: PbxTime::from_micros(self.from.micros().saturating_sub(micros)), to: self.to.after(by) }
    }
}
