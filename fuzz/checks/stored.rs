//! What lies in the store: frames, calls with their slips, checkpoints. Whatever was written there, it is
//! read or refused, and a rewrite loses nothing.
//!
//! ```text
//! 0 | bytes                            a value of the database as it is
//! 1 | key ⏎ slip ⏎ call                a value whose frame is sound
//! 2 | block u16 | count | key TAB value ⏎ …    a checkpoint, and the events after it
//! ```

use serde_json::Value as Json;

use crate::call::checkpoint::{Change, Value};
use crate::outbox::store::frame::{self, OVERHEAD};
use crate::outbox::store::value::{Head, Stored};

use super::calls;
use super::replay::Run;
use super::script::BLOCKS;

/// What a checkpoint leaves out of a value, for it is what a reader takes for granted.
const GRANTED: [&str; 5] = ["null", "[]", "false", "\"\"", "{}"];

pub(super) fn check(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 3 {
        0 => value(rest),
        1 => {
            let (key, payload) = cut(rest, b'\n');
            value(&frame::encode(key, payload));
        }
        _ => checkpoint(rest),
    }
}

fn value(bytes: &[u8]) {
    if let Ok(frame) = frame::decode(bytes) {
        let again = frame::encode(frame.key, frame.payload);
        assert_eq!(again, &bytes[..OVERHEAD + frame.key.len() + frame.payload.len()]);
    }
    let head = Head::decode(bytes);
    let Ok(stored) = Stored::decode(bytes) else { return };
    let (id, head) = head.expect("a call that is read has a slip that is");
    assert_eq!(String::from_utf8_lossy(id), stored.id);
    assert_eq!(&head.slip, stored.slip());
    let (before, raw) = lines(bytes);
    let again = stored.encode().expect("what was read can be written");
    let (after, call) = lines(&again);
    assert_eq!(call, raw);
    keeps(&after, &before);
    rewritten(stored, &again);
}

/// A new slip changes the slip alone.
fn rewritten(mut stored: Stored, bytes: &[u8]) {
    let (mut before, raw) = lines(bytes);
    let mut slip = stored.slip().clone();
    slip.attempts = slip.attempts.wrapping_add(1);
    before["attempts"] = slip.attempts.into();
    slip.last_error = Some("x".repeat(1000));
    before["last_error"] = "x".repeat(256).into();
    stored.set_slip(slip);
    let (after, call) = lines(&stored.encode().expect("what was read can be written"));
    assert_eq!(call, raw);
    keeps(&after, &before);
    if let Ok(item) = stored.into_item() {
        let json = serde_json::to_string(&item.call).expect("a call has a JSON form");
        let back = serde_json::from_str(&json).expect("what was written is read");
        assert_eq!(item.call, back);
    }
}

/// Everything is there that was, but for the inside of a state: what a later version knows of it is of use to
/// nobody once the state is another.
fn keeps(after: &Json, before: &Json) {
    for (key, value) in before.as_object().expect("a slip is an object") {
        let same = after.get(key) == Some(value) || (key == "state" && after[key]["state"] == value["state"]);
        let is_granted = value.is_null() && after.get(key).is_none();
        assert!(same || is_granted, "{key} of {before} is lost in {after}");
    }
}

/// The slip's JSON and the call's text.
fn lines(bytes: &[u8]) -> (Json, Vec<u8>) {
    let (slip, call) = cut(frame::decode(bytes).expect("a sound frame").payload, b'\n');
    (serde_json::from_slice(slip).expect("a slip is JSON"), call.to_vec())
}

fn cut(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(at, bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Any values are taken up, and what comes then is followed.
fn checkpoint(data: &[u8]) {
    let [a, b, count, text @ ..] = data else { return };
    let mut values = Vec::new();
    for line in text.split(|b| *b == b'\n') {
        let (key, json) = cut(line, b'\t');
        let Ok(key) = std::str::from_utf8(key) else { continue };
        if let Ok(value) = Value::read(key, json) {
            kept(&value, json);
            values.push(value);
        }
    }
    let from = usize::from(u16::from_le_bytes([*a, *b])) % BLOCKS.len();
    let mut run = Run::new(values);
    BLOCKS.iter().skip(from).take(usize::from(*count)).for_each(|block| run.event(block));
    run.finish().iter().for_each(calls::form);
}

/// A value that is written again has all that it had.
fn kept(value: &Value, json: &[u8]) {
    let Change { key, value: again } = value.change();
    let again = again.expect("a value is no removal");
    assert_eq!(Value::read(&key, &again).expect("what was written is read"), *value);
    // What is stepped over within a value need not be sound.
    let Ok(before) = serde_json::from_slice::<Json>(json) else { return };
    let after: Json = serde_json::from_slice(&again).expect("it was written");
    for (key, told) in before.as_object().expect("a value is an object") {
        let same = after.get(key).is_some_and(|now| now.is_object() || now.is_array() || now == told);
        let is_granted = GRANTED.contains(&told.to_string().as_str());
        assert!(same || is_granted || has_default(told), "{key} of {before} is lost in {after}");
    }
}

/// An object of nothing but defaults is left out.
fn has_default(told: &Json) -> bool {
    told.as_object().is_some_and(|fields| !fields.is_empty())
}
