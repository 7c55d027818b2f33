//! Corner cases, one short script each, numbered as in the list of `tests/cases/README.md`.

#![expect(clippy::panic, reason = "a case fails by a panic that says what was expected")]

#[path = "support/captures.rs"]
mod captures;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/script.rs"]
mod script;
#[path = "support/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ami2amo::ami::wire::{Damage, Kind};
use ami2amo::time::PbxTime;
use serde_json::Value;

use captures::Printed;
use frames::Owned;
use script::{Expected, Script, unescape};

#[test]
fn every_case_comes_out_as_its_script_says() {
    let mut failed = Vec::new();
    let paths = paths();
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("the case can be read");
        println!("{}: {}", name(path), text.lines().next().unwrap_or_default());
        let run = std::panic::catch_unwind(|| run(&text));
        failed.extend(run.is_err().then(|| path.file_name().map(ToOwned::to_owned)));
    }
    assert!(failed.is_empty(), "{} of {} cases fail: {failed:#?}", failed.len(), paths.len());
}

/// Each number of the reader's cases, of the calls' and of the late findings has a script, or a
/// reason why it is tested elsewhere.
#[test]
fn every_number_has_a_script_or_a_reason() {
    let readme = std::fs::read_to_string(folder().join("README.md")).expect("the list of cases");
    let elsewhere = readme.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(first_number);
    let scripts = paths();
    let numbered =
        scripts.iter().map(|path| first_number(&name(path)).expect("a case begins with its number"));
    let covered: BTreeSet<u32> = elsewhere.chain(numbered).collect();
    let missing = |numbers: &mut dyn Iterator<Item = u32>| -> Vec<u32> {
        numbers.filter(|number| !covered.contains(number)).collect()
    };
    println!("numbers without a case: {:?}", missing(&mut (1..=108)));
    let missing = missing(&mut (1..=90).chain(105..=108));
    assert!(missing.is_empty(), "no script and no reason: {missing:?}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn paths() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the folder of cases");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "txt")).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn first_number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..digits)?.parse().ok()
}

fn run(text: &str) {
    let script = Script::parse(text);
    let (frames, damage) = frames::frames([&script.bytes[..]]);
    let printed = replay(&script, usize::MAX);
    for &piece in pieces(script.bytes.len()) {
        assert_eq!(
            frames::frames(script.bytes.chunks(piece)),
            (frames.clone(), damage),
            "{piece} bytes at once"
        );
        let in_pieces = replay(&script, piece);
        assert_eq!(in_pieces.output, printed.output, "{piece} bytes at once");
        assert_eq!(in_pieces.messages, printed.messages, "{piece} bytes at once");
    }
    Checks { frames, damage, printed }.check_all(&script.expected);
}

/// Every script is read in pieces of these sizes too, and nothing may change.
fn pieces(length: usize) -> &'static [usize] {
    if length < 64 << 10 { &[1, 7, 100] } else { &[4093] }
}

fn replay(script: &Script, piece: usize) -> Printed {
    let args = captures::args(["--format", "jsonl", "-"]);
    captures::replay_with(&args, script.policy.clone(), &mut InPieces { left: &script.bytes, piece })
}

/// Gives at most `piece` bytes a read, as a socket may.
struct InPieces<'b> {
    left: &'b [u8],
    piece: usize,
}

impl Read for InPieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.piece);
        self.left.read(&mut into[..most])
    }
}

/// What came out of a script.
struct Checks {
    frames: Vec<Owned>,
    damage: Damage,
    printed: Printed,
}

impl Checks {
    fn check_all(&self, expected: &[Expected]) {
        let calls: Vec<Value> = self
            .printed
            .output
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect();
        let mut left = calls.iter();
        let (mut calls_told, mut damage_told) = (false, false);
        let mut next_frame = 0;
        for expected in expected {
            match expected {
                Expected::Call(pairs) => {
                    let call = left.next().unwrap_or_else(|| panic!("no further call: {pairs:?}"));
                    check_call(call, pairs);
                    calls_told = true;
                }
                Expected::NoCalls => calls_told = true,
                Expected::Frame(name, pairs) => next_frame = self.check_frame(next_frame, name, pairs),
                Expected::NoFrame(name) => {
                    assert!(!self.frames.iter().any(|frame| named(frame, name)), "there is an event {name}");
                }
                Expected::Frames(count) => assert_eq!(self.frames.len(), *count, "{:#?}", self.shown()),
                Expected::Damage(pairs) => {
                    self.check_damage(pairs);
                    damage_told = true;
                }
                Expected::Says(text) => {
                    assert!(self.printed.messages.contains(text), "it says {:?}", self.printed.messages);
                }
            }
        }
        let further: Vec<_> = left.map(Value::to_string).collect();
        assert!(!calls_told || further.is_empty(), "calls that nobody expected: {further:#?}");
        assert!(damage_told || self.damage == Damage::default(), "unexpected: {:?}", self.damage);
    }

    /// Finds the next frame called `name`, compares it, and returns where to look on.
    fn check_frame(&self, from: usize, name: &str, pairs: &[(String, String)]) -> usize {
        let found = self.frames[from..].iter().position(|frame| named(frame, name));
        let at = from + found.unwrap_or_else(|| panic!("no further {name} among {:#?}", self.shown()));
        let frame = self.frames[at].frame();
        for (index, (key, value)) in pairs.iter().enumerate() {
            // The second `Key=` of a line is about the second header of that name.
            let earlier = pairs[..index].iter().filter(|(other, _)| other.eq_ignore_ascii_case(key)).count();
            let mut same = frame.headers().filter(|(other, _)| other.eq_ignore_ascii_case(key.as_bytes()));
            let have = same.nth(earlier).map(|(_, value)| value.escape_ascii().to_string());
            let want = unescape(value).escape_ascii().to_string();
            assert_eq!(have, Some(want), "{key} of {name}");
        }
        at + 1
    }

    fn check_damage(&self, pairs: &[(String, String)]) {
        let have = |key: &str| match key {
            "glued" => self.damage.glued,
            "oversize" => self.damage.oversize,
            "headless" => self.damage.headless,
            other => panic!("there is no damage '{other}'"),
        };
        for (key, value) in pairs {
            assert_eq!(have(key).to_string(), *value, "damage: {key}");
        }
    }

    fn shown(&self) -> Vec<String> {
        self.frames.iter().map(|frame| frame.block.escape_ascii().to_string()).collect()
    }
}

fn named(frame: &Owned, name: &str) -> bool {
    match frame.kind {
        Kind::Banner => name == "Banner",
        Kind::Response => name == "Response",
        Kind::Event => frame.frame().header("Event") == Some(name.as_bytes()),
    }
}

fn check_call(call: &Value, pairs: &[(String, String)]) {
    for (key, want) in pairs {
        let have = call.get(key).unwrap_or_else(|| panic!("a call has no '{key}'"));
        let have = shown(key, have);
        let want = if want.contains('@') { times_of(want) } else { want.clone() };
        let right = match key.as_str() {
            // Reasons are many; those that a case is about must be among them.
            "why" => want.split(',').all(|code| have.split(',').any(|other| other == code)),
            _ => have == want,
        };
        assert!(right, "{key}: want {want}, have {have} in {call:#}");
    }
}

/// A value of a call as scripts write it.
fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(|item| shown(key, item)).collect::<Vec<_>>().join(","),
        Value::Object(reason) if key == "why" => shown(key, &reason["code"]),
        Value::Object(segment) if key == "segments" => {
            let [extension, from, to] = ["extension", "from", "to"].map(|part| shown(part, &segment[part]));
            format!("{extension}:{from}-{to}")
        }
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(String::new, |number| number.to_string()),
        Value::Null | Value::Bool(_) | Value::Object(_) => value.to_string(),
    }
}

/// Replaces each `@seconds` by the time that the JSON lines print for it.
fn times_of(text: &str) -> String {
    let mut parts = text.split('@');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(part.len());
        let (second, rest) = part.split_at(end);
        let at = PbxTime::from_micros(stage::EPOCH * 1_000_000 + script::micros(second));
        all += &format!("{at}{rest}");
    }
    all
}
