//! Calls made of channel events and rows of a real Asterisk, compared with what people did; and of the rows
//! alone, to show what the events are worth.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/truth.rs"]
mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ami2amo::call::id::PbxName;
use ami2amo::cdr::calls::{self, Known};
use ami2amo::cdr::cel;
use ami2amo::cdr::cel::entry::{self, Column, Entry};
use ami2amo::cdr::column::Raw;
use ami2amo::cdr::csv;
use ami2amo::cdr::row::{Row, Rows};
use ami2amo::time::local;
use serde_json::{Value, json};

/// What an entry in a CRM has of a call.
const CRM_FIELDS: [&str; 6] = ["direction", "phone", "answered", "responsible", "status", "talk_seconds"];

/// Scenarios that are right in every field, and in what a CRM has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Score {
    right: usize,
    right_for_crm: usize,
}

#[test]
fn events_make_calls_right_that_rows_alone_cannot() {
    let recordings = recordings();
    assert_eq!(recordings.len(), SCENARIOS);
    for (given, expected) in SCORES {
        let mut score = Score::default();
        for events in &recordings {
            let faults = faults(events, given);
            for fault in &faults {
                println!("{given:?}, {}: {fault}", title(events));
            }
            score.count(&faults);
        }
        println!("{given:?}: {score:?} of {SCENARIOS}");
        assert!(
            score.right >= expected.right && score.right_for_crm >= expected.right_for_crm,
            "{given:?}: {score:?}"
        );
    }
}

const SCENARIOS: usize = 114;

/// What calls are made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Given {
    Rows,
    Both,
    /// As `cel.conf` writes them without `apps`.
    WithoutApps,
    /// As a table has them whose times are whole seconds of a local clock.
    WholeSeconds,
    /// Of calls of which the PBX wrote no record.
    Events,
}

const SCORES: [(Given, Score); 5] = [
    (Given::Rows, Score { right: 91, right_for_crm: 104 }),
    (Given::Both, Score { right: 114, right_for_crm: 114 }),
    (Given::WithoutApps, Score { right: 114, right_for_crm: 114 }),
    (Given::WholeSeconds, Score { right: 114, right_for_crm: 114 }),
    (Given::Events, Score { right: 114, right_for_crm: 114 }),
];

impl Score {
    fn count(&mut self, faults: &[truth::Fault]) {
        let is_seen =
            |field: &str| [truth::MISSING, truth::EXTRA].contains(&field) || CRM_FIELDS.contains(&field);
        self.right += usize::from(faults.is_empty());
        self.right_for_crm += usize::from(!faults.iter().any(|fault| is_seen(&fault.field)));
    }
}

/// A line that was not written, or not read, may cost exactness; what remains is told from rows.
#[test]
fn a_lost_event_costs_no_call_and_doubles_none() {
    let mut tried = 0;
    let busy = |events: &PathBuf| title(events).ends_with("/busy");
    for events in recordings().into_iter().filter(|events| !busy(events)) {
        let (rows, entries) = (rows_beside(&events), entries_of(&events, Given::Both));
        let whole = kept(&made_of_both(&rows, &entries));
        for lost in 0..entries.len() {
            let rest: Vec<_> = entries.iter().take(lost).chain(&entries[lost + 1..]).cloned().collect();
            let calls = kept(&made_of_both(&rows, &rest));
            assert_eq!(calls, whole, "{} without {:?}", title(&events), entries[lost]);
            tried += 1;
        }
    }
    assert!(tried > 2000, "{tried}");
}

/// What even rows tell of each call.
fn kept(calls: &[Value]) -> Vec<[String; 3]> {
    let texts = |call: &Value| ["phone", "direction", "answered"].map(|field| call[field].to_string());
    calls.iter().map(texts).collect()
}

/// What several scenarios of one PBX wrote does not mix.
#[test]
fn calls_of_a_day_are_told_as_each_by_itself() {
    for given in [Given::Both, Given::Events] {
        let mut days: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for events in recordings() {
            days.entry(events.parent().unwrap().to_owned()).or_default().push(events);
        }
        assert!(days.len() > 1);
        for (folder, day) in days {
            let mut alone: Vec<_> = day.iter().flat_map(|events| made_of(events, given)).collect();
            let rows = day.iter().filter(|_| given != Given::Events).flat_map(|events| rows_beside(events));
            let entries: Vec<_> = day.iter().flat_map(|events| entries_of(events, given)).collect();
            let mut together = made_of_both(&rows.collect::<Vec<_>>(), &entries);
            for calls in [&mut alone, &mut together] {
                calls.sort_by_key(|call| call["call_id"].to_string());
                // What is known of an endpoint's side is known of it in each call.
                for call in calls {
                    call.as_object_mut().unwrap().remove("why");
                }
            }
            for (alone, together) in alone.iter().zip(&together) {
                assert_eq!(alone, together, "{}", folder.display());
            }
            assert_eq!(alone.len(), together.len());
        }
    }
}

impl Given {
    fn of(self, mut event: Raw<Column>) -> Option<Raw<Column>> {
        let is_app = event.get(Column::Kind).is_some_and(|kind| kind.starts_with("APP_"));
        if self == Self::WholeSeconds {
            let epoch: i64 = event.get(Column::Time)?.split('.').next()?.parse().ok()?;
            event.set(Column::Time, local::text((epoch + 3 * 3600) * 1_000_000));
        }
        (self != Self::Rows && !(self == Self::WithoutApps && is_app)).then_some(event)
    }
}

/// The files with channel events, in order.
fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cel");
    let files = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let folders = files(&folder).into_iter().filter(|path| path.is_dir());
    let mut found: Vec<_> = folders.flat_map(|folder| files(&folder)).collect();
    found.retain(|path| path.to_string_lossy().ends_with(".cel.csv"));
    found.sort();
    found
}

fn title(events: &Path) -> String {
    let parts: Vec<_> = events.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    format!("{}/{}", parts[1], parts[0].trim_end_matches(".cel.csv"))
}

fn beside(events: &Path, ending: &str) -> PathBuf {
    PathBuf::from(events.to_string_lossy().replace(".cel.csv", ending))
}

fn faults(events: &Path, given: Given) -> Vec<truth::Fault> {
    let mut truth: Value =
        serde_json::from_str(&std::fs::read_to_string(beside(events, ".truth.json")).unwrap()).unwrap();
    // Neither rows nor events tell what was recorded.
    for call in truth["calls"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        call.remove("recording");
    }
    let judgement = truth::judge(&truth, made_of(events, given));
    judgement.calls.into_iter().flatten().chain(judgement.extra).collect()
}

fn made_of(events: &Path, given: Given) -> Vec<Value> {
    let rows = if given == Given::Events { Vec::new() } else { rows_beside(events) };
    made_of_both(&rows, &entries_of(events, given))
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    std::fs::read(path).unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn rows_beside(events: &Path) -> Vec<Row> {
    let raws: Vec<_> =
        lines(&beside(events, ".cdr.csv")).iter().filter_map(|line| csv::record(line)).collect();
    Rows::read(&raws, None).rows
}

fn entries_of(events: &Path, given: Given) -> Vec<Entry> {
    let raws = lines(events);
    let raws = raws.iter().filter_map(|line| cel::csv::record(line)).filter(entry::is_of_use);
    Entry::read(&raws.filter_map(|raw| given.of(raw)).collect::<Vec<_>>(), None)
}

fn made_of_both(rows: &[Row], entries: &[Entry]) -> Vec<Value> {
    let (pbx, policy) = (PbxName::default(), Arc::default());
    let known = Known { pbx: &pbx, policy: &policy, endpoints: &[] };
    let made = calls::calls_with(rows, entries, known);
    let made = made.iter().map(|call| json!(call.call.record));
    made.filter(|call| call["direction"] != "internal").collect()
}
