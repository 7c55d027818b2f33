//! Recordings of another project, `VoIPGRID/cacofonisk`, with what its tests expect: an independent
//! opinion. They are not part of this repository; the test runs where the folder is, next to the further
//! captures of `tests/truth.rs`, or where `AMI2AMO_CACOFONISK` names it.
//!
//! Its README tells how its notions map to ours. Where we differ, `DIFFERENT` says why.

#[path = "support/captures.rs"]
mod captures;

use std::path::{Path, PathBuf};

use ami2amo::call::policy::Policy;
use serde_json::Value;

/// Their PBX: trunks by name, phones by a nine-digit account.
const SIDES: &str = r#"
[[sides.rule]]
channel = "^SIP/voipgrid-siproute-[a-z]+-[0-9a-f]{8}$"
side = "outside"
[[sides.rule]]
channel = "^SIP/([0-9]{9})-[0-9a-f]{8}$"
side = "inside"
extension = "$1"
"#;

/// What we see otherwise, and the events that say so.
const DIFFERENT: [(&str, &str); 1] = [(
    "originate__cmn-world-world-unaccepted",
    "theirs expects no call at all. The PBX dialled an outside number by itself (DialBegin without a caller, then \
     DialBegin to SIP/voipgrid-siproute-…), it rang and was answered, and nobody of ours was joined: an outbound \
     call that reached nobody, which a customer may ask about",
)];

#[test]
fn calls_are_what_its_tests_expect() {
    let Some(folder) = folder() else {
        println!("the recordings are not here");
        return;
    };
    let policies = [Policy::default(), toml::from_str(SIDES).expect("a policy")];
    let (mut wrong, mut compared) = (String::new(), 0);
    for capture in captures::below(&folder) {
        let name = captures::scenario(&capture);
        if DIFFERENT.iter().any(|(different, _)| *different == name) {
            continue;
        }
        let expected = std::fs::read_to_string(capture.with_file_name(format!("{name}.expect.json")));
        let expected: Value = serde_json::from_str(&expected.expect("an expectation")).expect("JSON");
        for policy in &policies {
            compared += 1;
            let faults = faults(&expected, &capture, policy.clone());
            if !faults.is_empty() {
                wrong += &format!("{name}: {}\n", faults.join("; "));
            }
        }
    }
    assert!(compared > 90, "{compared} comparisons");
    assert!(wrong.is_empty(), "of {compared}\n{wrong}");
}

fn folder() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/cacofonisk");
    let folder = std::env::var_os("AMI2AMO_CACOFONISK").map_or(here, PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn faults(expected: &Value, capture: &Path, policy: Policy) -> Vec<String> {
    let printed = captures::jsonl(&[capture.to_owned()], policy).output;
    let calls = printed.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let mut sent: Vec<Value> =
        calls.filter(|call| call["direction"] != "internal" && call["skip"].is_null()).collect();
    let mut faults = Vec::new();
    if let Some((min, max)) =
        expected["crm_records"]["min"].as_u64().zip(expected["crm_records"]["max"].as_u64())
        && !(min..=max).contains(&(sent.len() as u64))
    {
        faults.push(format!("{} records, not {min} to {max}", sent.len()));
    }
    for wanted in expected["calls"].as_array().into_iter().flatten().filter(|call| is_for_crm(call)) {
        let best = (0..sent.len()).min_by_key(|at| differences(wanted, &sent[*at]).len());
        match best {
            Some(best) => faults.extend(differences(wanted, &sent.remove(best))),
            None => faults.push(format!("no call with {}", wanted["phone"])),
        }
    }
    faults
}

/// Theirs is a call that is sent, and no part of another.
fn is_for_crm(call: &Value) -> bool {
    call["send_to_crm"] == true && call["consultation_for"].is_null() && call["merged_into"].is_null()
}

fn differences(wanted: &Value, have: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    let mut check = |field: &str, right: bool| {
        if !right {
            differences.push(format!("{field}: want {}, have {}", wanted[field], have[field]));
        }
    };
    check("direction", wanted["direction"].is_null() || wanted["direction"] == have["direction"]);
    check("phone", wanted["phone"].is_null() || digits(&wanted["phone"]) == digits(&have["phone"]));
    check("answered", wanted["answered"] == have["answered"]);
    let statuses = wanted["amo_call_status"].as_array();
    check("status", statuses.is_some_and(|statuses| statuses.contains(&have["status"])));
    let known = [&wanted["responsible"], &wanted["responsible_first"], &have["responsible"]];
    let missed_ok = wanted["responsible"].is_null()
        && (have["responsible"].is_null()
            || wanted["rung_accounts"].as_array().is_some_and(|rung| rung.contains(&have["responsible"])));
    check("responsible", known[2] == known[0] || known[2] == known[1] || missed_ok);
    differences
}

/// The last nine digits: Dutch numbers without the country or the leading zero.
fn digits(number: &Value) -> String {
    let text = number.as_str().unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.get(digits.len().saturating_sub(9)..).unwrap_or_default().to_owned()
}
