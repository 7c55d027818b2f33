//! Streams made of the blocks of captures: a script of four bytes a step says which blocks come, in which
//! order, how often, cut and changed how, and what happens to the reader between them. Steps of one size
//! keep what stands behind a changed one as it is.
//!
//! ```text
//! | mode | op a b c | op a b c | …       mode & 1: what follows is the stream itself
//! ```

use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use crate::ami::wire::{Frame, Kind, Splitter, Step};

/// What calls depend on in the streams of real PBXs, in their order; see `seeds`.
pub(super) static BLOCKS: LazyLock<Vec<&[u8]>> = LazyLock::new(|| blocks(include_bytes!("../blocks.ami")));

/// Longest stream of a script, in bytes: a capture of one call has 50 KiB.
const STREAM_MAX: usize = 96 << 10;

const BANNER: &[u8] = b"Asterisk Call Manager/11.0.0\r\n";

/// What happens to a reader.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Act {
    Bytes(Vec<u8>),
    /// The process ends, and another goes on with what was written down.
    Restart,
    /// So much time passes without an event.
    Wait(Duration),
}

/// An input, read.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) acts: Vec<Act>,
    /// Events are told when they arrived, as a live connection does.
    pub(super) live: bool,
}

/// The words of scripts. Seeds are written with them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Op {
    /// The blocks from number `ab`, `c` and one more of them.
    Copy,
    /// The last block once more.
    Double,
    /// Block `ab` and the one before it, in the wrong order.
    Swap,
    /// Block `ab` with header number `c` as the last block has it.
    Mix,
    /// The first `c` of 256 parts of block `ab`, and no end.
    Cut,
    /// The bytes `a`, `b` and `c`.
    Bytes,
    /// Timestamps from here on are moved by `ab` seconds (signed), or hours where `c` is odd.
    Clock,
    /// Another connection begins.
    Connect,
    Restart,
    /// `ab` seconds pass.
    Wait,
    /// Blocks from here on lose the header number `c` of block `ab`.
    Lose,
    /// The blocks from number `ab`, `c` of them, each second one left out.
    Thin,
}

const OPS: [Op; 12] = [
    Op::Copy,
    Op::Double,
    Op::Swap,
    Op::Mix,
    Op::Cut,
    Op::Bytes,
    Op::Clock,
    Op::Connect,
    Op::Restart,
    Op::Wait,
    Op::Lose,
    Op::Thin,
];

/// The mode of a stream as it is, and of a script; 2 more is a live one.
pub(super) const RAW: u8 = 1;
#[cfg(test)]
pub(super) const SCRIPT: u8 = 0;

impl Script {
    pub(super) fn read(data: &[u8]) -> Self {
        let (mode, rest) = data.split_first().map_or((RAW, data), |(mode, rest)| (*mode, rest));
        let live = mode & 2 != 0;
        if mode & RAW != 0 {
            return Self { acts: vec![Act::Bytes(rest.to_vec())], live };
        }
        let mut writer = Writer::default();
        for step in rest.chunks_exact(4) {
            if writer.len > STREAM_MAX {
                break;
            }
            writer.step(OPS[usize::from(step[0]) % OPS.len()], [step[1], step[2]], step[3]);
        }
        Self { acts: writer.acts, live }
    }
}

/// A step of a script.
#[cfg(test)]
pub(super) fn step(op: Op, at: usize, c: usize) -> [u8; 4] {
    let [a, b] = u16::try_from(at).expect("there are fewer blocks").to_le_bytes();
    [op as u8, a, b, u8::try_from(c).expect("a step has a byte for it")]
}

#[derive(Default)]
struct Writer {
    acts: Vec<Act>,
    /// Bytes so far.
    len: usize,
    last: Vec<u8>,
    /// Added to timestamps, in seconds.
    shift: i64,
    lost: Option<Vec<u8>>,
}

impl Writer {
    fn step(&mut self, op: Op, ab: [u8; 2], c: u8) {
        let at = usize::from(u16::from_le_bytes(ab)) % BLOCKS.len();
        match op {
            Op::Copy => self.blocks(at..=at + usize::from(c)),
            Op::Thin => self.blocks((at..at + usize::from(c)).step_by(2)),
            Op::Double => self.put(&self.last.clone()),
            Op::Swap => self.blocks([at, at.saturating_sub(1)].into_iter()),
            Op::Mix => self.block(&mixed(BLOCKS[at], &self.last, usize::from(c))),
            Op::Cut => self.put(&BLOCKS[at][..BLOCKS[at].len() * usize::from(c) / 256]),
            Op::Bytes => self.put(&[ab[0], ab[1], c]),
            Op::Clock => {
                let unit = if c.is_multiple_of(2) { 1 } else { 3600 };
                self.shift = i64::from(i16::from_le_bytes(ab)) * unit;
            }
            Op::Connect => self.put(BANNER),
            Op::Restart => self.acts.push(Act::Restart),
            Op::Wait => self.acts.push(Act::Wait(Duration::from_secs(u16::from_le_bytes(ab).into()))),
            Op::Lose => self.lost = headers(BLOCKS[at]).nth(usize::from(c)).map(|(key, _)| key.to_vec()),
        }
    }

    fn blocks(&mut self, places: impl Iterator<Item = usize>) {
        for place in places {
            self.block(BLOCKS[place % BLOCKS.len()]);
        }
    }

    /// Writes a block with all that was said of blocks.
    fn block(&mut self, block: &[u8]) {
        if self.len > STREAM_MAX {
            return;
        }
        let mut text = Vec::with_capacity(block.len() + 16);
        for (key, value) in headers(block) {
            if self.lost.as_deref() == Some(key) {
                continue;
            }
            text.extend_from_slice(key);
            text.extend_from_slice(b": ");
            if key == b"Timestamp" && self.shift != 0 {
                text.extend_from_slice(&moved(value, self.shift));
            } else {
                text.extend_from_slice(value);
            }
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        self.put(&text);
        self.last = text;
    }

    fn put(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        match self.acts.last_mut() {
            Some(Act::Bytes(stream)) => stream.extend_from_slice(bytes),
            Some(Act::Restart | Act::Wait(_)) | None => self.acts.push(Act::Bytes(bytes.to_vec())),
        }
    }
}

/// `block` with the value that `other` has for the same key, or with none.
fn mixed(block: &[u8], other: &[u8], header: usize) -> Vec<u8> {
    let count = headers(block).count().max(1);
    let mut text = Vec::new();
    for (place, (key, value)) in headers(block).enumerate() {
        let same = || headers(other).find(|(theirs, _)| *theirs == key).map_or(&b""[..], |(_, value)| value);
        let value = if place == header % count { same() } else { value };
        text.extend([key, b": ", value, b"\r\n"].concat());
    }
    text
}

/// A timestamp so many seconds later.
fn moved(value: &[u8], seconds: i64) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    let whole: i64 = whole.parse().unwrap_or(0);
    format!("{}.{fraction}", whole + seconds).into_bytes()
}

fn headers(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    Frame { kind: Kind::Event, block }.headers()
}

/// The events of a stream that are handed on.
pub(super) fn blocks(stream: &[u8]) -> Vec<&[u8]> {
    places(stream).into_iter().map(|place| &stream[place]).collect()
}

fn places(stream: &[u8]) -> Vec<Range<usize>> {
    let (mut splitter, mut places, mut at) = (Splitter::new(), Vec::new(), 0);
    loop {
        match splitter.next(&stream[at..]) {
            Step::Frame { frame, used } => {
                let begin = frame.block.as_ptr().addr() - stream.as_ptr().addr();
                if frame.kind == Kind::Event {
                    places.push(begin..begin + frame.block.len());
                }
                at += used;
            }
            Step::Skip { used } => at += used,
            Step::More => return places,
        }
    }
}
