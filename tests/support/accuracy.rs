//! How right calls are that are made of captures, and of the CDR of the same minutes.
//!
//! `tests/accuracy.rs` holds `docs/accuracy.md` to this, `examples/accuracy.rs` is the command.

#![allow(clippy::allow_attributes, dead_code, reason = "the test and the example use a part each")]

#[path = "accuracy/families.rs"]
mod families;
#[path = "accuracy/lessons.rs"]
mod lessons;
#[path = "accuracy/page.rs"]
pub mod page;

use std::fs;
use std::path::{Path, PathBuf};

use ami2amo::replay::End;
use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use crate::captures;
use crate::cdr::{self, Call, Row};
use crate::truth::{self, EXTRA, Fault, Judgement, MISSING};

/// Who makes calls of what Asterisk tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reader {
    Ami2amo,
    CdrUsual,
    CdrCareful,
}

/// A capture, and what each reader makes of it.
#[derive(Debug)]
pub struct Measured {
    /// `lab22-vanilla/xfer-blind-chain`
    pub title: String,
    pub scenario: String,
    pub truth: Value,
    pub rows: Vec<Row>,
    results: [Reading; 3],
}

#[derive(Debug)]
pub struct Reading {
    pub calls: Vec<Value>,
    pub judgement: Judgement,
}

/// The command that prints the page.
pub const COMMAND: &str = "cargo run --release --example accuracy";

/// What an entry in a CRM has of a call; the other fields are for those who look closer.
const CRM_FIELDS: [&str; 6] = ["direction", "phone", "answered", "responsible", "status", "talk_seconds"];

/// What `cdr_csv` has no column for.
const NOT_IN_CDR: &str = "recording";

impl Reader {
    pub const ALL: [Self; 3] = [Self::Ami2amo, Self::CdrUsual, Self::CdrCareful];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ami2amo => "ami2amo",
            Self::CdrUsual => "CDR, the usual way",
            Self::CdrCareful => "CDR, carefully",
        }
    }
}

/// Measures every capture below the folders that has its truth and its CDR beside it.
pub fn measure(folders: &[PathBuf]) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for capture in folders.iter().flat_map(|folder| captures::below(folder)) {
        let [truth, rows] = beside(&capture);
        if truth.exists() && rows.exists() {
            let one = Measured::of(&capture, &truth, &rows);
            measured.push(one.with_context(|| format!("cannot measure {}", capture.display()))?);
        }
    }
    Ok(measured)
}

/// Where the truth and the CDR of a capture are.
pub fn beside(capture: &Path) -> [PathBuf; 2] {
    let scenario = captures::scenario(capture);
    ["truth.json", "cdr.csv"].map(|suffix| capture.with_file_name(format!("{scenario}.{suffix}")))
}

impl Measured {
    fn of(capture: &Path, truth: &Path, rows: &Path) -> anyhow::Result<Self> {
        let truth: Value = serde_json::from_str(&fs::read_to_string(truth)?)?;
        let rows = Row::read(&fs::read_to_string(rows)?, &cdr::LAB).map_err(|fault| anyhow!(fault))?;
        let results = [
            Reading::of(&truth, replayed(capture)?),
            Reading::of(&as_cdr_saw(&truth), values(&cdr::usual::calls(&rows))?),
            Reading::of(&as_cdr_saw(&truth), values(&cdr::careful::calls(&rows, &cdr::LAB))?),
        ];
        let scenario = captures::scenario(capture).to_owned();
        Ok(Self { title: captures::title(capture), scenario, truth, rows, results })
    }

    pub fn reading(&self, reader: Reader) -> &Reading {
        &self.results[reader as usize]
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.truth["calls"].as_array().map_or(0, Vec::len)
    }
}

impl Reading {
    fn of(truth: &Value, calls: Vec<Value>) -> Self {
        Self { judgement: truth::judge(truth, calls.clone()), calls }
    }

    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.judgement.calls.iter().flatten().chain(&self.judgement.extra)
    }

    /// Nothing is wrong, nothing is missing, nothing is too many.
    pub fn is_right(&self) -> bool {
        self.faults().next().is_none()
    }

    /// The same for what an entry in a CRM has.
    pub fn is_right_for_crm(&self) -> bool {
        !self.faults().any(is_seen_in_crm)
    }

    pub fn right_calls(&self) -> usize {
        self.judgement.calls.iter().filter(|faults| faults.is_empty()).count()
    }

    pub fn right_calls_for_crm(&self) -> usize {
        self.judgement.calls.iter().filter(|faults| !faults.iter().any(is_seen_in_crm)).count()
    }
}

fn is_seen_in_crm(fault: &Fault) -> bool {
    [MISSING, EXTRA].contains(&fault.field.as_str()) || CRM_FIELDS.contains(&fault.field.as_str())
}

/// What ami2amo makes of the capture; calls among extensions are not compared.
fn replayed(capture: &Path) -> anyhow::Result<Vec<Value>> {
    let printed = captures::jsonl(&captures::parts(capture), captures::policy_beside(capture));
    if printed.end != End::AllRead {
        bail!("not everything could be read: {}", printed.messages);
    }
    let calls: Result<Vec<Value>, _> = printed.output.lines().map(serde_json::from_str).collect();
    Ok(calls?.into_iter().filter(|call| call["direction"] != "internal").collect())
}

fn values(calls: &[Call]) -> serde_json::Result<Vec<Value>> {
    calls.iter().map(serde_json::to_value).collect()
}

/// The truth without what rows cannot have, and without the allowances for a client that came late:
/// the CDR was there all the time.
fn as_cdr_saw(truth: &Value) -> Value {
    let mut truth = truth.clone();
    truth["scenario"] = "cdr".into();
    for call in truth["calls"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        call.remove(NOT_IN_CDR);
        call.remove("seen_talk_seconds");
    }
    truth
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Reading, as_cdr_saw};

    fn reading(reported: serde_json::Value) -> Reading {
        let truth = json!({"scenario": "x", "calls": [{"phone": "1", "status": 4, "rang": ["101"]}]});
        Reading::of(&truth, serde_json::from_value(reported).unwrap())
    }

    #[test]
    fn a_fault_that_no_crm_shows_leaves_the_entry_right() {
        let reading = reading(json!([{"phone": "1", "status": 4, "rang": []}]));
        assert!(reading.is_right_for_crm() && !reading.is_right());
        assert_eq!((reading.right_calls_for_crm(), reading.right_calls()), (1, 0));
    }

    #[test]
    fn a_call_too_many_is_wrong_though_every_call_is_right() {
        let reading = reading(json!([{"phone": "1", "status": 4, "rang": ["101"]}, {"phone": "2"}]));
        assert_eq!(reading.right_calls(), 1);
        assert!(!reading.is_right() && !reading.is_right_for_crm());
    }

    #[test]
    fn a_missing_call_is_no_right_one() {
        assert_eq!(reading(json!([])).right_calls_for_crm(), 0);
    }

    #[test]
    fn the_cdr_was_there_before_the_client_came() {
        let truth = json!({"scenario": "attach-x", "calls": [{"seen_talk_seconds": 1, "recording": "x.wav", "status": 4}]});
        assert_eq!(as_cdr_saw(&truth), json!({"scenario": "cdr", "calls": [{"status": 4}]}));
    }
}
