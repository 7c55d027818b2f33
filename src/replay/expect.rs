//! Pure: the calls of a replay beside those that are expected: JSON lines as `--format jsonl` prints them. A key
//! that the expectation does not have is not compared: keys are added from version to version.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ops::screen::clean;

/// What is expected and what was found so far.
#[derive(Debug, Default)]
pub struct Comparison {
    /// By id, in the order in which they are expected.
    expected: BTreeMap<String, (usize, Value)>,
    as_expected: usize,
    differing: usize,
    extra: usize,
    lines: Vec<String>,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("line {0} is no JSON object: take what 'ami2amo replay --format jsonl' printed")]
    NoJson(usize),
    #[error("line {0} has no call_id: take what 'ami2amo replay --format jsonl' printed")]
    NoId(usize),
    #[error("line {0} has a call_id that an earlier line has")]
    Twice(usize),
}

/// Differences that are shown; where there are more, the first ones tell enough.
const LINES_MAX: usize = 200;

impl Comparison {
    /// Reads what is expected; empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// When a line is no call.
    pub fn read(text: &str) -> Result<Self, Error> {
        let mut expected = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let call: Value = serde_json::from_str(line).map_err(|_| Error::NoJson(at + 1))?;
            let id = call.get("call_id").and_then(Value::as_str).ok_or(Error::NoId(at + 1))?.to_owned();
            if expected.insert(id, (at, call)).is_some() {
                return Err(Error::Twice(at + 1));
            }
        }
        Ok(Self { expected, ..Self::default() })
    }

    /// Compares a call that was found.
    pub fn take(&mut self, call: &Value) {
        let id = call.get("call_id").and_then(Value::as_str).unwrap_or_default();
        let Some((_, expected)) = self.expected.remove(id) else {
            self.extra += 1;
            self.lines.push(format!("extra    {}", told(call)));
            return;
        };
        let mut differences = Vec::new();
        compare("", &expected, call, &mut differences);
        if differences.is_empty() {
            self.as_expected += 1;
        } else {
            self.differing += 1;
            self.lines.push(format!("differs  {}", told(call)));
            self.lines.extend(differences.into_iter().map(|line| format!("         {line}")));
        }
    }

    /// What is to be printed, and whether all is as expected.
    pub fn finish(self) -> (String, bool) {
        let Self { expected, as_expected, differing, extra, mut lines } = self;
        let mut missing: Vec<_> = expected.into_values().collect();
        missing.sort_by_key(|(at, _)| *at);
        lines.extend(missing.iter().map(|(_, call)| format!("missing  {}", told(call))));
        let more = lines.len().saturating_sub(LINES_MAX);
        lines.truncate(LINES_MAX);
        if more > 0 {
            lines.push(format!("… and {more} lines more"));
        }
        let missing = missing.len();
        lines.push(format!(
            "{as_expected} calls as expected, {differing} differ, {missing} missing, {extra} extra"
        ));
        let is_same = differing + missing + extra == 0;
        (lines.iter().map(|line| clean(line) + "\n").collect(), is_same)
    }
}

/// Which call is meant.
fn told(call: &Value) -> String {
    let word = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or("-");
    format!("{} ({} {} {})", word("call_id"), word("direction"), word("phone"), word("outcome"))
}

fn compare(place: &str, expected: &Value, found: &Value, differences: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(wanted), Value::Object(_)) => {
            for (key, wanted) in wanted {
                let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                compare(&place, wanted, found.get(key).unwrap_or(&Value::Null), differences);
            }
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            for (at, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                compare(&format!("{place}[{at}]"), wanted, got, differences);
            }
        }
        (wanted, got) if wanted == got => {}
        (wanted, got) => differences.push(format!("{place}: expected {wanted}, got {got}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compared(expected: &str, calls: &[Value]) -> (String, bool) {
        let mut comparison = Comparison::read(expected).unwrap();
        for call in calls {
            comparison.take(call);
        }
        comparison.finish()
    }

    #[test]
    fn what_is_as_expected_is_counted_whatever_was_added() {
        let call =
            json!({"call_id": "a-1.1", "talk_seconds": 4.2, "why": [{"code": "x", "new": 1}], "later": true});
        let expected =
            "# a case\n\n{\"call_id\":\"a-1.1\",\"talk_seconds\":4.2,\"why\":[{\"code\":\"x\"}]}\n";
        assert_eq!(
            compared(expected, &[call]),
            ("1 calls as expected, 0 differ, 0 missing, 0 extra\n".to_owned(), true)
        );
    }

    #[test]
    fn each_difference_is_shown_with_its_place() {
        let found = [
            json!({"call_id": "a-1.1", "direction": "inbound", "phone": "7", "outcome": "busy", "segments": [{"extension": "102"}]}),
            json!({"call_id": "a-3.1"}),
        ];
        let expected = "{\"call_id\":\"a-2.1\"}\n{\"call_id\":\"a-1.1\",\"outcome\":\"answered\",\"segments\":[{\"extension\":\"101\"}]}";
        let (text, is_same) = compared(expected, &found);
        let lines = "differs  a-1.1 (inbound 7 busy)\n         outcome: expected \"answered\", got \"busy\"\n         \
            segments[0].extension: expected \"101\", got \"102\"\nextra    a-3.1 (- - -)\nmissing  a-2.1 (- - -)\n\
            0 calls as expected, 1 differ, 1 missing, 1 extra\n";
        assert_eq!((text.as_str(), is_same), (lines, false));
    }

    #[test]
    fn an_expectation_that_is_none_says_which_line() {
        assert_eq!(Comparison::read("{\"call_id\":\"a\"}\nx").unwrap_err(), Error::NoJson(2));
        assert_eq!(Comparison::read("{\"v\":1}").unwrap_err(), Error::NoId(1));
        assert_eq!(
            Comparison::read("{\"call_id\":\"a\"}\n{\"call_id\":\"a\"}").unwrap_err(),
            Error::Twice(2)
        );
    }
}
