//! Calls are the same however the stream reaches us: in pieces of any size, beside another PBX's calls,
//! without timestamps.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/rename.rs"]
mod rename;

use std::collections::BTreeSet;
use std::io::{self, Read};

use ami2amo::call::policy::Policy;
use rename::Names;
use serde_json::Value;

/// Captures up to this size are read byte by byte, too.
const SMALL: usize = 256 << 10;

#[test]
fn any_pieces_give_the_same_calls() {
    for (title, text) in texts() {
        let whole = calls(&text, usize::MAX);
        let pieces: &[usize] = if text.len() < SMALL { &[1, 7, 4096] } else { &[4096] };
        for &piece in pieces {
            assert_eq!(calls(&text, piece), whole, "{title} in pieces of {piece}");
        }
    }
}

#[test]
fn calls_at_the_same_time_stay_apart() {
    let texts: Vec<_> = texts().into_iter().filter(|(_, text)| text.len() < SMALL).collect();
    for (first, second) in texts.iter().zip(texts.iter().skip(1)) {
        let other = Names::of(6).later(start(&first.1) - start(&second.1)).capture(&second.1);
        let mut apart = essence(&calls(&first.1, usize::MAX));
        apart.extend(essence(&calls(&other, usize::MAX)));
        let together = essence(&calls(&woven(&first.1, &other), usize::MAX));
        assert_eq!(together, apart, "{} and {}", first.0, second.0);
    }
}

#[test]
fn without_timestamps_calls_are_told_apart_and_say_so() {
    for (title, text) in texts() {
        let with = calls(&text, usize::MAX);
        let without = calls(&without_timestamps(&text), usize::MAX);
        assert!(without.iter().all(|call| call["time"] == "estimated"), "{title}");
        assert_eq!(essence(&without), essence(&with), "{title}");
    }
}

/// Every bundled capture that begins before its calls do.
fn texts() -> Vec<(String, Vec<u8>)> {
    let paths = captures::below(&captures::bundled());
    let whole = paths.iter().filter(|path| !captures::scenario(path).starts_with("attach"));
    let texts: Vec<_> = whole.map(|path| (captures::title(path), captures::text(path))).collect();
    assert!(texts.len() > 100, "there are captures");
    texts
}

fn calls(text: &[u8], piece: usize) -> Vec<Value> {
    let args = captures::args(["--format", "jsonl", "-"]);
    let printed = captures::replay_with(&args, Policy::default(), &mut InPieces { left: text, piece });
    assert_eq!(printed.end, ami2amo::replay::End::AllRead, "{}", printed.messages);
    printed.output.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

struct InPieces<'t> {
    left: &'t [u8],
    piece: usize,
}

impl Read for InPieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.piece);
        self.left.read(&mut into[..most])
    }
}

/// The events of both in order of time; one without a time stays behind the one before it.
fn woven(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut blocks: Vec<(u64, String)> = Vec::new();
    for text in [first, second] {
        let mut last = 0;
        for block in String::from_utf8_lossy(text).split_inclusive("\r\n\r\n") {
            last = timestamp(block).unwrap_or(last);
            blocks.push((last, block.to_owned()));
        }
    }
    blocks.sort_by_key(|(at, _)| *at);
    blocks.into_iter().flat_map(|(_, block)| block.into_bytes()).collect()
}

/// Microseconds since the epoch.
fn timestamp(block: &str) -> Option<u64> {
    let line = block.lines().find_map(|line| line.strip_prefix("Timestamp: "))?;
    line.replace('.', "").parse().ok()
}

/// The second in which a capture begins.
fn start(text: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(text);
    let first = timestamp(&text).expect("captures have timestamps");
    i64::try_from(first / 1_000_000).expect("a time of today")
}

fn without_timestamps(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b"Timestamp: ")).flatten().copied().collect()
}

/// What does not depend on times or on when the call was handed out.
fn essence(calls: &[Value]) -> BTreeSet<String> {
    calls.iter().map(essence_of).collect()
}

fn essence_of(call: &Value) -> String {
    let keys = ["call_id", "direction", "phone", "responsible", "rang", "answered_by", "outcome", "trunk"];
    keys.map(|key| call[key].to_string()).join(" ")
}
