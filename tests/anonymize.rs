//! A capture without its people gives the same calls: what is anonymized and then tracked is what is tracked and
//! then anonymized.

use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::FinishedCall;
use ami2amo::capture::anonymize::Anonymizer;
use ami2amo::packing;
use ami2amo::replay::Captures;
use serde_json::Value;

const KEY: &[u8] = b"the key of a test";
/// Bytes of a capture whose every number is looked for.
const TEXT_MAX: usize = 4 << 20;

fn anonymizer() -> Anonymizer {
    Anonymizer::new(KEY, "AMI2AMO_")
}

fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut folders = vec![root.join("captures"), root.join("lists")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().contains(".ami") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn text(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    let unpacked = packing::unpack(std::fs::File::open(path).unwrap()).unwrap().unwrap();
    unpacked.text.take(1 << 30).read_to_end(&mut text).unwrap();
    text
}

/// The calls of a capture as JSON.
fn tracked(text: &[u8]) -> Vec<Value> {
    let mut calls = Vec::new();
    let mut take = |call: FinishedCall| {
        calls.push(serde_json::to_value(call).unwrap());
        Ok(())
    };
    let captures = Captures {
        files: &[PathBuf::from("-")],
        pbx: &PbxName::default(),
        policy: Arc::new(Policy::default()),
        input: &mut Cursor::new(text),
        messages: &mut std::io::sink(),
    };
    captures.follow(&mut take).unwrap();
    calls
}

/// The value with every number and address in it exchanged, and what the dial plan says of a result struck out.
fn mapped(value: &Value, strikes: bool, anonymizer: &mut Anonymizer) -> Value {
    match value {
        Value::String(text) => {
            let told = if strikes {
                Anonymizer::strike(text.as_bytes())
            } else {
                anonymizer.tokens(text.as_bytes())
            };
            Value::String(String::from_utf8(told).unwrap())
        }
        Value::Array(values) => values.iter().map(|value| mapped(value, strikes, anonymizer)).collect(),
        Value::Object(entries) => {
            let is_result = entries.get("word").is_some_and(|word| word == "result");
            let entries = entries.iter().map(|(key, value)| {
                let strikes = key == "call_result" || (is_result && key == "value");
                (key.clone(), mapped(value, strikes, anonymizer))
            });
            Value::Object(entries.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The places where two values differ.
fn differences(place: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(left), Value::Object(right)) => {
            for key in left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))) {
                differences(&format!("{place}.{key}"), &one[key], &other[key], found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{place}[{at}]"), left, right, found);
            }
        }
        (one, other) if one == other => {}
        (one, other) => found.push(format!("{place}: {one} is {other}")),
    }
}

#[test]
fn anonymize_commutes_with_track() {
    let captures = captures();
    assert!(captures.len() > 150, "the captures are there: {}", captures.len());
    let mut calls = 0;
    let mut found = Vec::new();
    for path in captures {
        let text = text(&path);
        let expected = tracked(&text);
        let mut anonymizer = anonymizer();
        anonymizer.learn(&text);
        let got = tracked(&anonymizer.take(&text));
        calls += expected.len();
        let expected: Vec<Value> = expected.iter().map(|call| mapped(call, false, &mut anonymizer)).collect();
        differences(&path.display().to_string(), &Value::Array(expected), &Value::Array(got), &mut found);
    }
    println!("{calls} calls");
    assert!(calls > 1000, "{calls} calls");
    let shown: Vec<_> = found.iter().take(40).collect();
    assert!(found.is_empty(), "{} differences: {shown:#?}", found.len());
}

#[test]
fn nothing_of_a_caller_is_left() {
    let names = ["Ivan Petrov", "Иван", "Мария Сидорова", "Director"];
    for path in captures() {
        let before = text(&path);
        if before.len() > TEXT_MAX {
            continue; // It has the callers of the others, many times over.
        }
        let after = String::from_utf8_lossy(&anonymizer().take(&before)).into_owned();
        for name in names {
            assert!(!after.contains(name), "{name} is left in {}", path.display());
        }
        // Numbers of mobile phones, which callers have in the captures.
        let is_number = |run: &&str| run.len() == 11 && run.starts_with("79");
        let before = String::from_utf8_lossy(&before).into_owned();
        let numbers: std::collections::BTreeSet<&str> =
            before.split(|c: char| !c.is_ascii_digit()).filter(is_number).collect();
        let left: std::collections::BTreeSet<&str> =
            after.split(|c: char| !c.is_ascii_digit()).filter(is_number).collect();
        // One stand-in may by chance be another caller's number.
        let same = numbers.intersection(&left).count();
        assert!(
            same * 20 <= numbers.len().max(20),
            "{same} of {} numbers in {}",
            numbers.len(),
            path.display()
        );
    }
}
