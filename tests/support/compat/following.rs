//! Calls in progress that were written down in the middle of a capture, and the rest of it.
//!
//! ```text
//! {"capture":"ast22-vanilla/in-hold.ami.gz","events":41,"calls":[…]}   where, and what comes of it
//! {"key":"c/1795339565.0","value":{…}}                                 what was written down then
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ami2amo::ami::wire::{Frame, Kind};
use ami2amo::call::checkpoint::Value as Kept;
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::{FinishedCall, Source};
use ami2amo::intake::reader::Reader;
use serde_json::{Value, json};

use crate::{captures, frames};

/// What every version tells of a call in the same words.
const TOLD: [&str; 16] = [
    "call_id",
    "direction",
    "phone",
    "did",
    "trunk",
    "queue",
    "answered",
    "outcome",
    "responsible",
    "answered_by",
    "rang",
    "talk_seconds",
    "started_at",
    "answered_at",
    "ended_at",
    "uniqueids",
];

pub struct Followed {
    pub calls: Vec<Value>,
    pub expected: Vec<Value>,
    /// What was written while the calls went on.
    pub written: BTreeMap<String, Value>,
}

/// The checkpoints of a version.
pub fn files(version: &Path) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(version.join("checkpoints")).expect("a version has checkpoints");
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Takes the values up, each changed by `change`, and follows the capture to its end.
pub fn go_on(lines: &[Value], change: fn(&mut Value)) -> Followed {
    let (head, values) = lines.split_first().expect("a checkpoint has a head");
    let read = |line: &Value| {
        let mut value = line["value"].clone();
        change(&mut value);
        let key = line["key"].as_str().expect("a key");
        Kept::read(key, value.to_string().as_bytes()).expect("what an earlier version wrote is read")
    };
    let mut reader = reader();
    reader.restore(values.iter().map(read).collect());
    let first = head["events"].as_u64().and_then(|first| usize::try_from(first).ok()).expect("a number");
    let events = events(head["capture"].as_str().expect("a capture"));
    let mut written = BTreeMap::new();
    let mut calls = Vec::new();
    for block in &events[first..] {
        event(&mut reader, block, &mut calls);
        take(&mut reader, |key, value| drop(value.map(|value| written.insert(key, value))));
    }
    finish(&mut reader, &mut calls);
    let restored = |key: &str| values.iter().any(|line| line["key"] == key);
    written.retain(|key, _| restored(key));
    let expected = head["calls"].as_array().expect("a list").clone();
    Followed { calls, expected, written }
}

/// The checkpoint of a capture when `part` of 8 parts of its events are over.
pub fn checkpoint(capture: &str, part: usize) -> Vec<Value> {
    let events = events(capture);
    let first = events.len() * part / 8;
    let (mut reader, mut kept, mut calls) = (reader(), BTreeMap::new(), Vec::new());
    for block in &events[..first] {
        event(&mut reader, block, &mut calls);
        take(&mut reader, |key, value| match value {
            Some(value) => drop(kept.insert(key, value)),
            None => drop(kept.remove(&key)),
        });
    }
    calls.clear();
    events[first..].iter().for_each(|block| event(&mut reader, block, &mut calls));
    finish(&mut reader, &mut calls);
    let head = json!({"capture": capture, "events": first, "calls": calls});
    let values = kept.into_iter().map(|(key, value)| json!({"key": key, "value": value}));
    std::iter::once(head).chain(values).collect()
}

fn reader() -> Reader {
    let mut reader = Reader::new(PbxName::default(), Source::Replay, Arc::new(Policy::default()));
    reader.keep_changes();
    reader
}

fn event(reader: &mut Reader, block: &[u8], calls: &mut Vec<Value>) {
    reader.handle_frame(&Frame { kind: Kind::Event, block }, None);
    collect(reader, calls);
}

fn finish(reader: &mut Reader, calls: &mut Vec<Value>) {
    reader.finish();
    collect(reader, calls);
}

fn collect(reader: &mut Reader, calls: &mut Vec<Value>) {
    while let Some(call) = reader.poll_finished() {
        let record = serde_json::to_value(call.record).expect("a record has a JSON form");
        calls.push(TOLD.iter().map(|key| ((*key).to_owned(), record[key].clone())).collect());
    }
}

fn take(reader: &mut Reader, mut each: impl FnMut(String, Option<Value>)) {
    for change in reader.take_changes(usize::MAX) {
        each(change.key, change.value.map(|json| serde_json::from_slice(&json).expect("a value is JSON")));
    }
}

fn events(capture: &str) -> Vec<Vec<u8>> {
    frames::events(&captures::text(&captures::bundled().join(capture)))
}

/// The calls of a capture, whole.
pub fn finished(capture: &str) -> Vec<FinishedCall> {
    let mut reader = reader();
    for block in events(capture) {
        reader.handle_frame(&Frame { kind: Kind::Event, block: &block }, None);
    }
    reader.finish();
    std::iter::from_fn(|| reader.poll_finished()).collect()
}
