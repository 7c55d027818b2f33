//! Pure: calls of the PBX's records beside those that are stored.

use std::collections::BTreeSet;

use crate::call::record::{CallRecord, Seconds};
use crate::call::side::same_number;
use crate::cdr::calls::CdrCall;
use crate::cdr::range::Range;

/// What is and is not in both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// In the records, and not stored under any of their ids.
    pub missing: Vec<CdrCall>,
    /// Stored, and in no record.
    pub extra: Vec<CallRecord>,
    pub different: Vec<Difference>,
    /// In both, and alike.
    pub same: usize,
    /// Stored, and in no record, as it should be: of a call that reached no phone Asterisk writes none
    /// unless `unanswered = yes`.
    pub unrecorded: usize,
    /// In the records, and in progress as far as the store knows: the daemon hears or finds out what became
    /// of them.
    pub open: usize,
    /// Records that could not be read, so many at least: they may be of any call.
    pub unread: u64,
}

/// A call that is told in two ways.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub stored: CallRecord,
    pub cdr: CallRecord,
    pub fields: Vec<Field>,
}

/// What may differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    Direction,
    Phone,
    Answered,
    Responsible,
    Status,
    TalkSeconds,
}

/// Records count whole seconds, at both ends of a talk.
const TALK_TOLERANCE_MS: u64 = 2000;

impl Comparison {
    /// Whether everything was read, is over and is the same.
    pub fn is_clean(&self) -> bool {
        !self.has_differences() && self.open == 0 && self.unread == 0
    }

    pub fn has_differences(&self) -> bool {
        !(self.missing.is_empty() && self.extra.is_empty() && self.different.is_empty())
    }

    /// Of the missing calls those that can be told from calls which are stored.
    pub fn storable(&self) -> impl Iterator<Item = &CdrCall> {
        self.missing.iter().filter(|call| !call.ids.is_empty())
    }
}

/// Compares what ended within `range`; both lists may reach beyond it, so that nothing is missed at its
/// edges. `open` are uniqueids of calls in progress.
pub fn compare(
    cdr: Vec<CdrCall>,
    stored: &[CallRecord],
    open: &BTreeSet<String>,
    range: Range,
) -> Comparison {
    let mut comparison = Comparison::default();
    let recorded: BTreeSet<&str> = cdr.iter().flat_map(|call| &call.ids).map(String::as_str).collect();
    for record in stored {
        let ids = record
            .uniqueids
            .iter()
            .chain(std::iter::once(&opener(record)).filter(|id| !id.is_empty()))
            .any(|id| recorded.contains(id.as_str()));
        let is_meant = (range.from..=range.to).contains(&record.ended_at);
        match () {
            () if ids || !is_meant => {}
            () if !record.answered && record.rang.is_empty() => comparison.unrecorded += 1,
            () => comparison.extra.push(record.clone()),
        }
    }
    let known: BTreeSet<&str> =
        stored.iter().flat_map(|record| &record.uniqueids).map(String::as_str).collect();
    for call in cdr {
        if !(range.from..=range.to).contains(&call.to) {
            continue;
        }
        let record = &call.call.record;
        let same = stored.iter().find(|stored| stored.call_id == record.call_id);
        match same.map(|stored| (stored, differing(stored, record))) {
            Some((_, fields)) if fields.is_empty() => comparison.same += 1,
            Some((stored, fields)) => {
                comparison.different.push(Difference {
                    stored: stored.clone(),
                    cdr: call.call.record,
                    fields,
                });
            }
            // Another one's id: the live stream knows better where one call ends and the next begins.
            None if call.ids.iter().any(|id| known.contains(id.as_str())) => comparison.same += 1,
            None if call.ids.iter().any(|id| open.contains(id)) => comparison.open += 1,
            None => comparison.missing.push(call),
        }
    }
    comparison
}

/// The uniqueid in a call's id.
fn opener(record: &CallRecord) -> String {
    let id = record.call_id.as_str().strip_prefix(record.pbx.as_str()).and_then(|id| id.strip_prefix('-'));
    id.and_then(|id| id.split(['~', '+']).next()).unwrap_or_default().to_owned()
}

fn differing(stored: &CallRecord, cdr: &CallRecord) -> Vec<Field> {
    let phones = match (&stored.phone, &cdr.phone) {
        (Some(a), Some(b)) => a == b || same_number(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    let talk = |record: &CallRecord| Seconds::millis(record.talk_seconds);
    let fields = [
        (Field::Direction, stored.direction == cdr.direction),
        (Field::Phone, phones),
        (Field::Answered, stored.answered == cdr.answered),
        (Field::Responsible, stored.responsible == cdr.responsible),
        (Field::Status, stored.status == cdr.status),
        (Field::TalkSeconds, talk(stored).abs_diff(talk(cdr)) <= TALK_TOLERANCE_MS),
    ];
    fields.into_iter().filter(|(_, same)| !same).map(|(field, _)| field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;
    use crate::time::PbxTime;

    const ALL: Range =
        Range { from: PbxTime::from_micros(0), to: PbxTime::from_micros(4_000_000_000_000_000) };

    fn none() -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn record(uniqueid: &str) -> CallRecord {
        sample::call(uniqueid).record
    }

    fn cdr(uniqueid: &str) -> CdrCall {
        let call = sample::call(uniqueid);
        let (from, to) = (call.record.started_at, call.record.ended_at);
        CdrCall { ids: vec![uniqueid.to_owned()], call, from, to }
    }

    #[test]
    fn what_is_in_both_is_compared() {
        let mut other = record("1.2");
        other.responsible = Some("105".to_owned());
        let found = compare(vec![cdr("1.1"), cdr("1.2"), cdr("1.3")], &[record("1.1"), other], &none(), ALL);
        assert_eq!((found.same, found.missing.len(), found.different.len()), (1, 1, 1));
        assert_eq!(found.missing[0].ids, ["1.3"]);
        assert_eq!(found.different[0].fields, [Field::Responsible]);
        assert!(!found.is_clean());
    }

    #[test]
    fn what_is_only_stored_is_extra_unless_no_phone_was_reached() {
        let mut menu = record("1.2");
        (menu.answered, menu.rang) = (false, vec![]);
        let found = compare(vec![], &[record("1.1"), menu], &none(), ALL);
        assert_eq!((found.extra.len(), found.unrecorded), (1, 1));
    }

    #[test]
    fn a_call_is_known_by_any_of_its_channels() {
        let mut call = cdr("1.9");
        call.ids.push("1.1".to_owned());
        let found = compare(vec![call], &[record("1.1")], &none(), ALL);
        assert!(found.is_clean() && found.same == 1);
    }

    #[test]
    fn a_call_in_progress_is_not_missing() {
        let open = BTreeSet::from(["1.1".to_owned()]);
        let found = compare(vec![cdr("1.1"), cdr("1.2")], &[], &open, ALL);
        assert_eq!((found.open, found.missing.len()), (1, 1));
        let found = compare(vec![cdr("1.1")], &[], &open, ALL);
        assert!(!found.has_differences() && !found.is_clean(), "what becomes of it is not known yet");
    }

    #[test]
    fn edges_are_nobody_s() {
        let before = Range { from: PbxTime::from_micros(0), to: PbxTime::from_micros(1) };
        assert_eq!(compare(vec![cdr("1.1")], &[record("1.2")], &none(), before), Comparison::default());
    }
}
