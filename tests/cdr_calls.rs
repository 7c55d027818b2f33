//! Calls made of the CDR beside the captures, compared with what people did. What rows do not say stays
//! unknown, so this holds numbers of right ones, and every wrong one is a scenario that `docs/cdr.md` names.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/truth.rs"]
mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ami2amo::call::id::PbxName;
use ami2amo::cdr::calls::{self, Known};
use ami2amo::cdr::csv;
use ami2amo::cdr::row::Rows;
use serde_json::{Value, json};

/// What an entry in a CRM has of a call.
const CRM_FIELDS: [&str; 6] = ["direction", "phone", "answered", "responsible", "status", "talk_seconds"];

/// Captures wholly right, and in what a CRM has; calls right in that.
const LEAST: [usize; 3] = [498, 556, 988];

/// Most of them have no rows at all: Asterisk writes none of a call that reached no phone.
const MISSING_MOST: usize = 19;
const EXTRA_MOST: usize = 2;

#[test]
fn calls_of_the_bundled_rows_are_as_true_as_rows_can_be() {
    let (mut captures, mut right, mut right_for_crm) = (0, 0, 0);
    let (mut calls, mut right_calls, mut missing, mut extra) = (0, 0, 0, 0);
    let mut blame: BTreeMap<String, u32> = BTreeMap::new();
    let mut report = String::new();
    for capture in captures::below(&captures::bundled()) {
        let [truth, rows] = beside(&capture);
        if !rows.exists() {
            continue;
        }
        let judgement = truth::judge(&truth_of(&truth), made_of(&rows, &capture));
        let all: Vec<_> = judgement.calls.iter().flatten().chain(&judgement.extra).collect();
        captures += 1;
        calls += judgement.calls.len();
        extra += judgement.extra.len();
        right += usize::from(all.is_empty());
        let is_seen =
            |field: &str| [truth::MISSING, truth::EXTRA].contains(&field) || CRM_FIELDS.contains(&field);
        right_for_crm += usize::from(!all.iter().any(|fault| is_seen(&fault.field)));
        right_calls +=
            judgement.calls.iter().filter(|faults| !faults.iter().any(|fault| is_seen(&fault.field))).count();
        missing += all.iter().filter(|fault| fault.field == truth::MISSING).count();
        for fault in &all {
            *blame.entry(fault.field.clone()).or_default() += 1;
        }
        if !all.is_empty() {
            report += &format!("{}\n", captures::title(&capture));
            for fault in &all {
                report += &format!("      {fault}\n");
            }
        }
    }
    println!(
        "{report}{right} of {captures} captures wholly right, {right_for_crm} in what a CRM has; {right_calls} of {calls} \
         calls right in that; {missing} missing, {extra} too many; by field: {blame:?}"
    );
    let counted = [right, right_for_crm, right_calls];
    assert!(counted.iter().zip(LEAST).all(|(have, least)| *have >= least), "{counted:?}: it was {LEAST:?}");
    assert!(missing <= MISSING_MOST && extra <= EXTRA_MOST, "{missing} missing, {extra} too many");
}

fn beside(capture: &Path) -> [PathBuf; 2] {
    let scenario = captures::scenario(capture);
    ["truth.json", "cdr.csv"].map(|suffix| capture.with_file_name(format!("{scenario}.{suffix}")))
}

/// The truth without what rows cannot have, and without allowances for a client that came late.
fn truth_of(path: &Path) -> Value {
    let mut truth: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    truth["scenario"] = "cdr".into();
    for call in truth["calls"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        call.remove("recording");
        call.remove("seen_talk_seconds");
    }
    truth
}

fn made_of(rows: &Path, capture: &Path) -> Vec<Value> {
    let text = std::fs::read(rows).unwrap();
    let raws: Vec<_> = text.split(|byte| *byte == b'\n').filter_map(csv::record).collect();
    let rows = Rows::read(&raws, None).rows;
    let policy = Arc::new(captures::policy_beside(capture));
    let known = Known { pbx: &PbxName::default(), policy: &policy, endpoints: &[] };
    let made = calls::calls(&rows, known);
    let made = made.iter().map(|call| json!(call.call.record));
    made.filter(|call| call["direction"] != "internal").collect()
}
