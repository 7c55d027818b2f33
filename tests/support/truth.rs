//! Compares the calls of a capture with its truth, by the rules of `tests/captures/README.md`.

#![allow(clippy::allow_attributes, dead_code, reason = "each binary uses its own part of this")]

use std::fmt;

use serde_json::Value;

/// What is wrong with the calls of a capture.
#[derive(Debug)]
pub struct Judgement {
    /// One entry for each true call; a call that is missing has that fault alone.
    pub calls: Vec<Vec<Fault>>,
    /// Reported calls that nobody made.
    pub extra: Vec<Fault>,
}

/// One field that is wrong, or a call that is missing or too many.
#[derive(Debug)]
pub struct Fault {
    pub field: String,
    want: String,
    have: String,
}

pub const MISSING: &str = "missing call";
pub const EXTRA: &str = "extra call";

pub const FIELDS: [&str; 11] = [
    "direction",
    "phone",
    "answered",
    "responsible",
    "status",
    "talk_seconds",
    "bridged_seconds",
    "wait_seconds",
    "answered_by",
    "rang",
    "recording",
];

/// Not knowable where the client came in the middle of a call.
const UNSEEN: [&str; 3] = ["wait_seconds", "rang", "recording"];

/// The truth was taken on the phones' side; a second covers signalling and rounding.
const TOLERANCE_S: f64 = 1.0;

/// Digits of a number that count: formats differ in front of them.
const PHONE_DIGITS: usize = 10;

/// All faults of `calls`, given the contents of a `*.truth.json`.
pub fn compare(truth: &Value, calls: Vec<Value>) -> Vec<Fault> {
    let judgement = judge(truth, calls);
    judgement.calls.into_iter().flatten().chain(judgement.extra).collect()
}

/// The faults of each call.
pub fn judge(truth: &Value, calls: Vec<Value>) -> Judgement {
    let attached_late = truth["scenario"].as_str().is_some_and(|name| name.starts_with("attach"));
    let wanted = truth["calls"].as_array().expect("the truth has calls");
    let mut left: Vec<Option<Value>> = calls.into_iter().map(Some).collect();
    let mut calls = Vec::new();
    for (call, got) in pair(wanted, &mut left, attached_late) {
        calls.push(match got {
            Some(got) => wrong_fields(call, &got, attached_late),
            None => vec![Fault::new(MISSING, call["phone"].to_string(), "none")],
        });
    }
    let extra =
        left.iter().flatten().map(|call| Fault::new(EXTRA, "none", call["phone"].to_string())).collect();
    Judgement { calls, extra }
}

/// Pairs each true call with the reported call of its number, else any, that has the fewest wrong
/// fields; those of the right number choose first.
fn pair<'t>(
    wanted: &'t [Value],
    left: &mut [Option<Value>],
    attached_late: bool,
) -> Vec<(&'t Value, Option<Value>)> {
    let mut pairs = Vec::new();
    let mut waiting = Vec::new();
    for call in wanted {
        let phone = digits(&call["phone"]);
        match take(call, left, attached_late, |got| digits(&got["phone"]) == phone) {
            Some(got) => pairs.push((call, Some(got))),
            None => waiting.push(call),
        }
    }
    for call in waiting {
        pairs.push((call, take(call, left, attached_late, |_| true)));
    }
    pairs
}

/// Takes the best of the calls that are left and `fit`.
fn take(
    wanted: &Value,
    left: &mut [Option<Value>],
    attached_late: bool,
    fit: impl Fn(&Value) -> bool,
) -> Option<Value> {
    let badness = |got: &Value| wrong_fields(wanted, got, attached_late).len();
    left.iter_mut()
        .filter(|got| got.as_ref().is_some_and(&fit))
        .min_by_key(|got| got.as_ref().map(badness))
        .and_then(Option::take)
}

fn wrong_fields(truth: &Value, got: &Value, attached_late: bool) -> Vec<Fault> {
    let known = |field: &&str| truth.get(field).is_some() && !(attached_late && UNSEEN.contains(field));
    let wrong = |field: &&str| !right(field, truth, &got[field]);
    FIELDS
        .into_iter()
        .filter(known)
        .filter(wrong)
        .map(|field| Fault::new(field, truth[field].to_string(), got[field].to_string()))
        .collect()
}

fn right(field: &str, truth: &Value, have: &Value) -> bool {
    let mut wanted = vec![truth[field].clone()];
    match truth.get("also_ok").and_then(|also| also.get(field)) {
        Some(Value::String(any)) if any == "any" => return true,
        Some(Value::Array(values)) => wanted.extend(values.iter().cloned()),
        Some(value) => wanted.push(value.clone()),
        None => {}
    }
    if matches!(field, "talk_seconds" | "bridged_seconds") {
        // The part after the client came, in a call that it came into.
        wanted.extend(truth.get("seen_talk_seconds").cloned());
    }
    wanted.iter().any(|want| same(field, want, have))
}

fn same(field: &str, want: &Value, have: &Value) -> bool {
    match field {
        "phone" => digits(want) == digits(have),
        "talk_seconds" | "bridged_seconds" | "wait_seconds" => match (want.as_f64(), have.as_f64()) {
            (Some(want), Some(have)) => (want - have).abs() <= TOLERANCE_S,
            _ => false,
        },
        "rang" => sorted(want) == sorted(have),
        "recording" => {
            let want = want.as_str().unwrap_or_default();
            want.is_empty() || have.as_str().unwrap_or_default().ends_with(want)
        }
        _ => want == have,
    }
}

fn digits(number: &Value) -> String {
    let text = number.as_str().unwrap_or_default();
    let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(PHONE_DIGITS)..].iter().collect()
}

fn sorted(list: &Value) -> Vec<String> {
    let mut values: Vec<_> = list.as_array().into_iter().flatten().map(Value::to_string).collect();
    values.sort();
    values.dedup();
    values
}

impl Fault {
    pub fn new(field: &str, want: impl Into<String>, have: impl Into<String>) -> Self {
        Self { field: field.to_owned(), want: want.into(), have: have.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: want {}, have {}", self.field, self.want, self.have)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::compare;

    #[test]
    fn values_that_are_as_right_are_right() {
        let truth = json!({"scenario": "x", "calls": [{"phone": "79161234567", "talk_seconds": 4.0, "rang": ["1", "2"],
            "responsible": "101", "status": 6, "also_ok": {"responsible": [null, "102"], "status": "any"}}]});
        let got =
            json!({"phone": "+79161234567", "talk_seconds": 4.9, "rang": ["2", "1"], "responsible": null});
        assert!(compare(&truth, vec![got]).is_empty());
        let got = json!({"phone": "89161234567", "talk_seconds": 5.1, "rang": ["2"], "responsible": "103"});
        let fields: Vec<_> = compare(&truth, vec![got]).into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["responsible", "talk_seconds", "rang"]);
    }

    #[test]
    fn calls_are_paired_by_number_and_fewest_faults() {
        let truth =
            json!({"scenario": "x", "calls": [{"phone": "1", "status": 4}, {"phone": "1", "status": 6}]});
        let calls = vec![json!({"phone": "1", "status": 6}), json!({"phone": "1", "status": 4})];
        assert!(compare(&truth, calls).is_empty());
        let fields = |calls| compare(&truth, calls).into_iter().map(|fault| fault.field).collect::<Vec<_>>();
        assert_eq!(fields(vec![json!({"phone": "1", "status": 4})]), ["missing call"]);
        let three = vec![
            json!({"phone": "2"}),
            json!({"phone": "1", "status": 4}),
            json!({"phone": "1", "status": 6}),
        ];
        assert_eq!(fields(three), ["extra call"]);
    }

    #[test]
    fn a_client_that_came_in_mid_call_is_right_about_what_it_saw() {
        let truth = json!({"scenario": "attach-x", "calls": [{"phone": "1", "talk_seconds": 60.0, "wait_seconds": 9.0,
            "seen_talk_seconds": 20.0, "rang": ["101"]}]});
        assert!(
            compare(&truth, vec![json!({"phone": "1", "talk_seconds": 20.3, "wait_seconds": 0.0})])
                .is_empty()
        );
    }
}
