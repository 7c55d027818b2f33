//! Pure: the time whose records are wanted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cdr::row::Row;
use crate::time::{PbxTime, micros};

/// From one moment of the PBX's clock to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Range {
    #[serde(with = "micros")]
    pub from: PbxTime,
    #[serde(with = "micros")]
    pub to: PbxTime,
}

impl Range {
    /// A call's first record may begin so long before the last.
    pub const LEAD: Duration = Duration::from_hours(2);

    /// Whether a record may be of a call that ended within the range.
    pub fn overlaps(&self, row: &Row) -> bool {
        row.end.after(Self::LEAD) >= self.from && row.start <= self.to
    }

    /// Stretches of at most `length`, one after the other.
    pub fn parts(self, length: Duration) -> impl Iterator<Item = Self> {
        let part = move |from: PbxTime| Self { from, to: from.after(length).min(self.to) };
        let next = move |last: &Self| Some(part(last.to.after(Duration::from_micros(1))));
        std::iter::successors(Some(part(self.from)), next).take_while(move |part| part.from <= self.to)
    }

    /// What is in both.
    pub fn meet(self, other: Self) -> Option<Self> {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        (from <= to).then_some(Self { from, to })
    }

    /// Longer at both ends.
    #[must_use]
    pub fn widened(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self { from: PbxTime::from_micros(self.from.micros().saturating_sub(micros)), to: self.to.after(by) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole_and_no_moment_is_in_two() {
        let range = |from, to| Range { from: PbxTime::from_micros(from), to: PbxTime::from_micros(to) };
        let parts = |from, to| range(from, to).parts(Duration::from_micros(10)).collect::<Vec<_>>();
        assert_eq!(parts(0, 25), [range(0, 10), range(11, 21), range(22, 25)]);
        assert_eq!(parts(0, 10), [range(0, 10)]);
        assert_eq!(parts(0, 11), [range(0, 10), range(11, 11)]);
        assert_eq!(parts(5, 5), [range(5, 5)]);
        assert_eq!(parts(5, 4), []);
    }
}
