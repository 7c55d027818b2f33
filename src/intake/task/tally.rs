//! Pure: which calls ended since the start, counted for whoever watches.

use std::collections::BTreeMap;

use crate::call::id::AccountId;
use crate::call::record::{CallRecord, Direction, Outcome};

/// How many calls there were of what kind, and of whom.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    pub calls: BTreeMap<(Direction, Outcome), u64>,
    /// Calls that are for amoCRM, by their account and the extension that they are booked on.
    pub extensions: BTreeMap<(AccountId, String), u64>,
}

/// Extensions that are counted: more than a large office has. Others are not.
const EXTENSIONS_MAX: usize = 2000;

impl Tally {
    pub fn add(&mut self, record: &CallRecord) {
        *self.calls.entry((record.direction, record.outcome)).or_default() += 1;
        let extension = record.responsible.as_deref().map(str::trim).filter(|text| !text.is_empty());
        if let Some(extension) = extension.filter(|_| record.skip.is_none()) {
            self.add_extension((record.account.clone(), extension.to_owned()), 1);
        }
    }

    pub fn merge(&mut self, other: Self) {
        for (kind, count) in other.calls {
            *self.calls.entry(kind).or_default() += count;
        }
        for (whose, count) in other.extensions {
            self.add_extension(whose, count);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn add_extension(&mut self, whose: (AccountId, String), count: u64) {
        if self.extensions.len() < EXTENSIONS_MAX || self.extensions.contains_key(&whose) {
            *self.extensions.entry(whose).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_extensions_are_counted_and_known_ones_go_on() {
        let whose = |n: usize| (AccountId::default(), n.to_string());
        let mut tally = Tally::default();
        (0..EXTENSIONS_MAX + 9).for_each(|n| tally.add_extension(whose(n), 1));
        let mut other = Tally::default();
        other.add_extension(whose(3), 4);
        tally.merge(other);
        assert_eq!(tally.extensions.len(), EXTENSIONS_MAX);
        assert_eq!(tally.extensions[&whose(3)], 5);
    }
}
