//! Pure: the `[amocrm.unknown]` table: what is done for numbers that amoCRM does not know.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::amo::settings::Text;
use crate::call::line;
use crate::call::record::{CallRecord, Direction};
use crate::call::side::same_number;
use crate::time::span::Span;

/// The `[amocrm.unknown]` table. What the line of a call says goes before it.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Unknown {
    pub inbound: line::Unknown,
    pub outbound: line::Unknown,
    /// What is done in place of `unsorted` where the account has Incoming leads off, or refuses
    /// an item there.
    pub without_unsorted: line::Unknown,
    /// Where leads and items of Incoming leads are made; unset, in the main pipeline.
    pub pipeline: Option<u64>,
    /// The stage of leads; unset, the pipeline's first one.
    pub stage: Option<u64>,
    /// The tag of what is made.
    pub tag: Option<Text>,
    /// The names of what is made; `{phone}`, `{line}`, `{did}`, `{extension}` stand for what they
    /// say.
    pub contact_name: Text,
    pub lead_name: Text,
    /// Nothing is made for a call that nobody answered and that rang for less.
    pub least_ring: Span,
    /// Nothing is made for a call that ended longer ago.
    pub max_age: Span,
    /// Calls with these numbers, in any form, are dropped while amoCRM does not know them.
    pub blacklist: BTreeSet<String>,
    /// How long whoever talked has for making the contact by hand.
    pub talk_grace: Span,
}

impl Unknown {
    /// What is done for this call: what its line says, or else this account. Only a call to us can
    /// be in Incoming leads.
    pub fn of(&self, record: &CallRecord) -> line::Unknown {
        let own = match record.direction {
            Direction::Inbound => self.inbound,
            Direction::Outbound | Direction::Internal => self.outbound,
        };
        match (record.line.unknown.unwrap_or(own), record.direction) {
            (line::Unknown::Unsorted, Direction::Outbound | Direction::Internal) => line::Unknown::Park,
            (unknown, _) => unknown,
        }
    }

    pub fn is_blacklisted(&self, record: &CallRecord) -> bool {
        let known = [record.phone_raw.as_deref(), record.phone.as_deref()];
        let is_listed = |number: &str| self.blacklist.iter().any(|listed| same_number(listed, number));
        known.into_iter().flatten().any(is_listed)
    }

    pub fn pipeline(&self, record: &CallRecord) -> Option<u64> {
        record.line.pipeline.or(self.pipeline)
    }

    /// A stage is one of its pipeline: where the line names a pipeline, the account's stage is none.
    pub fn stage(&self, record: &CallRecord) -> Option<u64> {
        match record.line.pipeline {
            Some(_) => record.line.stage,
            None => record.line.stage.or(self.stage),
        }
    }
}

impl Default for Unknown {
    fn default() -> Self {
        let text = |text: &str| Text::try_from(text.to_owned()).expect("it is short and not blank");
        Self {
            inbound: line::Unknown::usual(Direction::Inbound),
            outbound: line::Unknown::usual(Direction::Outbound),
            without_unsorted: line::Unknown::Park,
            pipeline: None,
            stage: None,
            tag: None,
            contact_name: text("{phone}"),
            lead_name: text("Звонок {phone}"),
            least_ring: Span::from_secs(2),
            max_age: Span::from_hours(24),
            blacklist: BTreeSet::new(),
            talk_grace: Span::from_secs(90),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::line::Terms;
    use crate::call::record::sample;

    fn record(direction: Direction, terms: Terms) -> CallRecord {
        CallRecord { direction, line: terms, ..sample::call("1.1").record }
    }

    #[test]
    fn the_line_goes_before_the_account_and_only_calls_to_us_are_unsorted() {
        let settings: Unknown = toml::from_str("outbound = \"unsorted\"\ninbound = \"contact\"").unwrap();
        let check = |direction, own, expected| {
            let terms = Terms { unknown: own, ..Terms::default() };
            assert_eq!(settings.of(&record(direction, terms)), expected, "{direction:?} {own:?}");
        };
        check(Direction::Inbound, None, line::Unknown::Contact);
        check(Direction::Inbound, Some(line::Unknown::Unsorted), line::Unknown::Unsorted);
        check(Direction::Outbound, None, line::Unknown::Park);
        check(Direction::Outbound, Some(line::Unknown::Lead), line::Unknown::Lead);
        check(Direction::Internal, Some(line::Unknown::Unsorted), line::Unknown::Park);
    }

    #[test]
    fn a_stage_goes_with_its_pipeline() {
        let settings = Unknown { pipeline: Some(1), stage: Some(10), ..Unknown::default() };
        let check = |pipeline, stage, expected: (Option<u64>, Option<u64>)| {
            let record = record(Direction::Inbound, Terms { pipeline, stage, ..Terms::default() });
            assert_eq!((settings.pipeline(&record), settings.stage(&record)), expected);
        };
        check(None, None, (Some(1), Some(10)));
        check(Some(2), None, (Some(2), None));
        check(Some(2), Some(20), (Some(2), Some(20)));
        check(None, Some(20), (Some(1), Some(20)));
    }

    #[test]
    fn a_number_is_blacklisted_in_any_form() {
        let settings = Unknown { blacklist: ["8 (916) 123-45-68".to_owned()].into(), ..Unknown::default() };
        assert!(settings.is_blacklisted(&record(Direction::Inbound, Terms::default())));
        assert!(!Unknown::default().is_blacklisted(&record(Direction::Inbound, Terms::default())));
    }
}
