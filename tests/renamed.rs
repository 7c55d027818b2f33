//! Every call of every capture is as true under other names: see `support/rename.rs`.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/rename.rs"]
mod rename;
#[path = "support/truth.rs"]
mod truth;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use ami2amo::call::policy::Policy;
use rename::Names;
use serde_json::Value;

/// Sets of names that every capture is tried with.
const SEEDS: std::ops::Range<u64> = 1..3;

/// PBXs whose phones call with no number, or with an outside number that only their name tells from a
/// customer's, second devices (`99101`), and numbers at an address that nobody dialled: where a capture of
/// one call shows nothing else, the names decide, so they must stay.
const NAMES_DECIDE: [&str; 5] = [
    "lab22-full-numbers/",
    "lab22-no-caller-ids/",
    "lab22-uncommon/second-device",
    "lab22-uncommon/after-hours-mobile-address",
    "lab22-uncommon/out-speed-dial-address",
];

#[test]
fn calls_are_as_true_under_other_names() {
    let mut report = String::new();
    let (mut compared, mut wrong) = (0, 0);
    for capture in captures::below(&folder()) {
        if NAMES_DECIDE.iter().any(|folder| captures::title(&capture).starts_with(folder)) {
            continue;
        }
        let Some(truth) = truth_beside(&capture) else { continue };
        let text = captures::whole(&capture);
        for seed in SEEDS {
            compared += 1;
            let faults = faults(&Names::of(seed), &text, &truth);
            if !faults.is_empty() {
                wrong += 1;
                report += &format!("{} with seed {seed}: {}\n", captures::title(&capture), faults.join("; "));
            }
        }
    }
    assert!(compared > 0, "no capture has its truth beside it");
    assert!(wrong == 0, "{wrong} of {compared} are wrong\n{report}");
}

/// `AMI2AMO_CAPTURES`, else the bundled captures.
fn folder() -> PathBuf {
    std::env::var_os("AMI2AMO_CAPTURES").map_or_else(captures::bundled, PathBuf::from)
}

fn truth_beside(capture: &Path) -> Option<Value> {
    let truth = capture.with_file_name(format!("{}.truth.json", captures::scenario(capture)));
    let truth = std::fs::read_to_string(truth).ok()?;
    Some(serde_json::from_str(&truth).expect("the truth is JSON"))
}

fn faults(names: &Names, text: &[u8], truth: &Value) -> Vec<String> {
    let args = captures::args(["--format", "jsonl", "-"]);
    let printed = captures::replay_with(&args, Policy::default(), &mut Cursor::new(names.capture(text)));
    let calls = printed.output.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let calls = calls.filter(|call| call["direction"] != "internal").collect();
    truth::compare(&names.truth(truth), calls).iter().map(ToString::to_string).collect()
}
