//! Pure: which stored call a person means, and what is known of where it is.

use serde::{Deserialize, Serialize};

use crate::call::id::PbxName;
use crate::call::record::{CallRecord, FinishedCall};
use crate::call::side::{is_short, same_number};
use crate::outbox::queue::Item;
use crate::outbox::schedule::Slip;
use crate::time::{HostTime, PbxTime};

/// What a person asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// A call's id, or the uniqueid of one of its channels.
    Named(String),
    /// A telephone number: all calls with it. A short one is an extension's too.
    Number(String),
    /// All calls of a PBX that ended within this time.
    Ended { pbx: PbxName, from: PbxTime, to: PbxTime },
}

/// A call that was found.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Found {
    pub call: FinishedCall,
    pub whereabouts: Whereabouts,
}

/// Where a call is on its way to amoCRM, as far as that is known.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whereabouts {
    /// It comes from a capture and was never stored.
    Capture,
    /// As the store has it.
    Store(Box<Slip>),
    /// As the journal has it, which does not say how a call came to its end.
    Journal(Noted),
}

/// What the journal tells of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noted {
    /// It waits, or cannot be delivered and waits for a person.
    Waiting,
    /// A POST with it was begun then; what became of it is not noted yet.
    Sending { since: HostTime },
    /// It has come to its end.
    Done,
}

impl Wanted {
    /// A text of digits, and of what is written between them, is a number; all else is a name.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let is_number = text.chars().all(|c| c.is_ascii_digit() || "+-() ".contains(c));
        if is_number && text.bytes().any(|b| b.is_ascii_digit()) {
            return Self::number(text);
        }
        Self::Named(text.to_owned())
    }

    /// The number in `text`, whatever else is written there.
    pub(super) fn number(text: &str) -> Self {
        Self::Number(digits(text))
    }

    /// Whether `text` can be meant for a call: a number, or a name that ends as uniqueids do.
    pub fn is_likely(text: &str) -> bool {
        match Self::parse(text) {
            Self::Number(_) | Self::Ended { .. } => true,
            Self::Named(name) => {
                let name = name.split(['~', '+']).next().unwrap_or(&name);
                let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
                let uniqueid = name.rsplit('-').next().and_then(|last| last.split_once('.'));
                uniqueid.is_some_and(|(epoch, count)| is_number(epoch) && is_number(count))
            }
        }
    }

    pub fn fits(&self, record: &CallRecord) -> bool {
        match self {
            Self::Named(name) => record.call_id.as_str() == name || record.uniqueids.contains(name),
            Self::Number(number) => {
                let outside = [&record.phone, &record.phone_e164, &record.phone_raw];
                let is_outside = outside.into_iter().flatten().any(|known| same_number(known, number));
                is_outside || (is_short(number) && has_extension(record, number))
            }
            Self::Ended { pbx, from, to } => record.pbx == *pbx && (from..=to).contains(&&record.ended_at),
        }
    }

    /// A piece of text that the JSON of every call that is meant has in it: whatever has not need not
    /// be read.
    pub fn mark(&self) -> &str {
        const TAIL: usize = 10;
        match self {
            Self::Named(name) => name,
            Self::Ended { pbx, .. } => pbx.as_str(),
            Self::Number(number) => number.get(number.len().saturating_sub(TAIL)..).unwrap_or(number),
        }
    }
}

pub(super) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

pub(super) fn has_extension(record: &CallRecord, extension: &str) -> bool {
    let responsible = record.responsible.iter();
    responsible.chain(&record.answered_by).chain(&record.rang).any(|known| known == extension)
}

impl From<Item> for Found {
    fn from(item: Item) -> Self {
        let Item {
            seq,
            account,
            enqueued_at,
            state,
            attempts,
            next_at,
            last_error,
            parked_since,
            errand,
            hooked,
            call,
        } = item;
        let pbx = call.record.pbx.clone();
        let slip = Slip {
            seq,
            account,
            pbx,
            enqueued_at,
            state,
            attempts,
            next_at,
            last_error,
            parked_since,
            errand,
            hooked,
        };
        Self { call, whereabouts: Whereabouts::Store(Box::new(slip)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        let mut record = sample::call("1795337591.4").record;
        record.uniqueids.push("1795337591.5".to_owned());
        let wanted = Wanted::parse(text);
        assert_eq!(wanted.fits(&record), expected, "{wanted:?}");
        let json = serde_json::to_string(&record).unwrap();
        assert!(!expected || json.contains(wanted.mark()), "{wanted:?} is not in {json}");
    }

    #[test]
    fn a_call_is_found_by_its_id_its_channels_and_its_number() {
        for text in ["default-1795337591.4", "1795337591.4", "1795337591.5", " 1795337591.5 "] {
            check(text, true);
        }
        for text in ["79161234568", "+7 (916) 123-45-68", "89161234568", "9161234568", "101", "102"] {
            check(text, true);
        }
        for text in ["1795337591.6", "default-1795337591", "79161234567", "103", "default", ""] {
            check(text, false);
        }
    }

    #[test]
    fn a_file_name_is_not_taken_for_a_call() {
        for call in
            ["default-1795337591.4", "pbx1-1795337591.4", "1795337591.4", "msk-1.1~2", "msk-1.1+2", "101"]
        {
            assert!(Wanted::is_likely(call), "{call}");
        }
        for file in ["in-answered.ami", "calls.1.gz", "/var/log/1", "capture-2026.ami.gz", "-", ""] {
            assert!(!Wanted::is_likely(file), "{file}");
        }
    }
}
