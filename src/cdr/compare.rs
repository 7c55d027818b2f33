//! Pure: calls of the PBX's records beside those that are stored.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::id::CallId;
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
        storable(&self.missing)
    }
}

/// Those that can be told from calls which are stored.
pub fn storable(missing: &[CdrCall]) -> impl Iterator<Item = &CdrCall> {
    missing.iter().filter(|call| !call.ids.is_empty())
}

/// Compares what ended within `range`; both lists may reach beyond it, so that nothing is missed at its
/// edges. `open` are uniqueids of calls in progress.
pub fn compare(
    cdr: Vec<CdrCall>,
    stored: &[CallRecord],
    open: &BTreeSet<String>,
    range: Range,
) -> Comparison {
    let mut sum = Sum::default();
    sum.add(cdr, stored, open, range);
    sum.finish()
}

/// The comparisons of parts of a time, put together.
#[derive(Debug, Default)]
pub struct Sum {
    found: Comparison,
    unrecorded: Vec<CallId>,
    /// Calls that the records of one part have, and that ended in another for the store.
    elsewhere: BTreeSet<CallId>,
}

impl Sum {
    /// Adds what ended within `range`, as [`compare`]; returns what is missing of it.
    pub fn add(
        &mut self,
        cdr: Vec<CdrCall>,
        stored: &[CallRecord],
        open: &BTreeSet<String>,
        range: Range,
    ) -> &mut [CdrCall] {
        let before = self.found.missing.len();
        self.add_stored(&cdr, stored, range);
        let known: BTreeSet<&str> =
            stored.iter().flat_map(|record| &record.uniqueids).map(String::as_str).collect();
        let by_id: BTreeMap<&CallId, &CallRecord> =
            stored.iter().rev().map(|record| (&record.call_id, record)).collect();
        let is_meant = |call: &CdrCall| (range.from..=range.to).contains(&call.to);
        for call in cdr.into_iter().filter(is_meant) {
            let record = &call.call.record;
            let same = by_id.get(&record.call_id).copied();
            match same.map(|stored| (stored, differing(stored, record))) {
                Some((_, fields)) if fields.is_empty() => self.found.same += 1,
                Some((stored, fields)) => {
                    let (stored, cdr) = (stored.clone(), call.call.record);
                    self.found.different.push(Difference { stored, cdr, fields });
                }
                // Another one's id: the live stream knows better where one call ends and the next begins.
                None if call.ids.iter().any(|id| known.contains(id.as_str())) => self.found.same += 1,
                None if call.ids.iter().any(|id| open.contains(id)) => self.found.open += 1,
                None => {
                    // Stored before the next part is looked at, it may lie in that one by its end.
                    self.elsewhere.insert(record.call_id.clone());
                    self.found.missing.push(call);
                }
            }
        }
        &mut self.found.missing[before..]
    }

    fn add_stored(&mut self, cdr: &[CdrCall], stored: &[CallRecord], range: Range) {
        let recorded: BTreeSet<&str> = cdr.iter().flat_map(|call| &call.ids).map(String::as_str).collect();
        for record in stored {
            let opener = Some(record.opener()).filter(|id| !id.is_empty());
            let ids =
                record.uniqueids.iter().map(String::as_str).chain(opener).any(|id| recorded.contains(id));
            let is_meant = (range.from..=range.to).contains(&record.ended_at);
            match (ids, is_meant) {
                (true, true) | (false, false) => {}
                (true, false) => {
                    self.elsewhere.insert(record.call_id.clone());
                }
                (false, true) if !record.answered && record.rang.is_empty() => {
                    self.unrecorded.push(record.call_id.clone());
                }
                (false, true) => self.found.extra.push(record.clone()),
            }
        }
    }

    pub fn finish(self) -> Comparison {
        let Self { mut found, unrecorded, elsewhere } = self;
        found.extra.retain(|record| !elsewhere.contains(&record.call_id));
        found.unrecorded = unrecorded.iter().filter(|id| !elsewhere.contains(id)).count();
        found
    }
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
    fn parts_tell_what_the_whole_tells() {
        let at = |second: i64| PbxTime::from_micros(second * 1_000_000);
        let cdr = |uniqueid: &str, second: i64| CdrCall { to: at(second), ..cdr(uniqueid) };
        let record = |uniqueid: &str, second: i64| CallRecord { ended_at: at(second), ..record(uniqueid) };
        let menu = |uniqueid: &str, second: i64| CallRecord {
            answered: false,
            rang: vec![],
            ..record(uniqueid, second)
        };
        // In both parts, across their edge one way and the other, and in one list only.
        let calls = || {
            vec![cdr("1.1", 5), cdr("1.2", 8), cdr("1.3", 14), cdr("1.4", 15), cdr("1.5", 16), cdr("1.9", 4)]
        };
        let stored = [
            record("1.1", 5),
            record("1.2", 12),
            record("1.3", 7),
            record("1.4", 15),
            record("1.6", 3),
            record("1.7", 13),
            menu("1.8", 6),
            menu("1.5", 2),
        ];
        let range = |from, to| Range { from: at(from), to: at(to) };
        let whole = compare(calls(), &stored, &none(), range(0, 20));
        let counts = (whole.same, whole.missing.len(), whole.extra.len(), whole.unrecorded);
        assert_eq!((counts, whole.different.len()), ((4, 1, 2, 1), 1));
        let mut sum = Sum::default();
        for part in [range(0, 10), Range { from: PbxTime::from_micros(10_000_001), to: at(20) }] {
            let of_part = calls().into_iter().filter(|call| (part.from..=part.to).contains(&call.to));
            sum.add(of_part.collect(), &stored, &none(), part);
        }
        assert_eq!(sum.finish(), whole);
    }

    #[test]
    fn a_call_that_was_stored_as_missing_is_not_extra_in_the_next_part() {
        let at = |micros: i64| PbxTime::from_micros(micros);
        let (edge, end) = (at(10_000_000), at(20_000_000));
        let stored = CallRecord { ended_at: at(10_000_250), ..record("1.1") };
        let mut sum = Sum::default();
        let call = CdrCall { to: edge, ..cdr("1.1") };
        assert_eq!(sum.add(vec![call], &[], &none(), Range { from: at(0), to: edge }).len(), 1);
        sum.add(vec![], &[stored], &none(), Range { from: at(10_000_001), to: end });
        let found = sum.finish();
        assert_eq!((found.missing.len(), found.extra.len()), (1, 0));
    }

    #[test]
    fn edges_are_nobody_s() {
        let before = Range { from: PbxTime::from_micros(0), to: PbxTime::from_micros(1) };
        assert_eq!(compare(vec![cdr("1.1")], &[record("1.2")], &none(), before), Comparison::default());
    }
}
