//! Every field of every call, compared with what the people in the captures really did.
//!
//! The rules are those of `tests/captures/README.md`. Besides the bundled captures, those below
//! the folder that `AMI2AMO_CAPTURES` names are compared, by default `../shared/captures` if it is
//! there: its sub-folders whose names begin with `ast`.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/truth.rs"]
mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ami2amo::replay::End;
use serde_json::Value;

use truth::Fault;

#[test]
fn every_field_of_every_bundled_call_is_true() {
    compare(&captures::below(&captures::bundled()));
}

#[test]
fn every_field_of_every_further_call_is_true() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("AMI2AMO_CAPTURES").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| here.join("../shared/captures"));
    if !folder.is_dir() {
        println!("no further captures in {}", folder.display());
        return;
    }
    let of_asterisk = |capture: &PathBuf| {
        let below = capture.strip_prefix(&folder).expect("it was found below the folder");
        below.to_string_lossy().starts_with("ast")
    };
    compare(&captures::below(&folder).into_iter().filter(of_asterisk).collect::<Vec<_>>());
}

/// Replays and compares; panics with a table of wrong fields when one is wrong.
fn compare(captures: &[PathBuf]) {
    let (mut compared, mut wrong, mut report) = (0, 0, String::new());
    let mut blame: BTreeMap<String, u32> = BTreeMap::new();
    for capture in captures {
        let Some(faults) = faults_of(capture) else { continue };
        compared += 1;
        if faults.is_empty() {
            continue;
        }
        wrong += 1;
        report += &format!("{}\n", captures::title(capture));
        for fault in &faults {
            report += &format!("      {fault}\n");
            *blame.entry(fault.field.clone()).or_default() += 1;
        }
    }
    assert!(compared > 0, "no capture has its truth beside it");
    assert!(wrong == 0, "{wrong} of {compared} captures are wrong\n{report}faults by field: {blame:?}");
}

/// What is wrong with the calls of one capture; `None` when its truth is not known.
fn faults_of(capture: &Path) -> Option<Vec<Fault>> {
    let truth = capture.with_file_name(format!("{}.truth.json", captures::scenario(capture)));
    let truth = std::fs::read_to_string(truth).ok()?;
    let truth: Value = serde_json::from_str(&truth).expect("the truth is JSON");
    let printed = captures::jsonl(&captures::parts(capture), captures::policy_beside(capture));
    let calls = printed.output.lines().map(|line| serde_json::from_str(line).expect("a JSON line"));
    let calls = calls.filter(|call: &Value| call["direction"] != "internal").collect();
    let mut faults = truth::compare(&truth, calls);
    if printed.end != End::AllRead {
        faults.push(Fault::new("end", "all read", &printed.messages));
    }
    Some(faults)
}
