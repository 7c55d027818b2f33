//! A whole stream to calls: the same ones each time and in any pieces, each of them sound, nothing left
//! behind, with restarts in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ami::wire::{Frame, Kind, Splitter, Step};
use crate::call::checkpoint::Value;
use crate::call::id::PbxName;
use crate::call::policy::Policy;
use crate::call::record::{FinishedCall, Source};
use crate::intake::reader::Reader;
use crate::time::PbxTime;

use super::calls;
use super::script::{Act, Script};

/// Longest value of a checkpoint, in bytes: what the store takes.
const VALUE_MAX: usize = 8 << 10;

pub(super) fn check(data: &[u8]) {
    let script = Script::read(data);
    let whole = Run::of(&script, usize::MAX);
    let piece = data.iter().rev().take(2).fold(1, |sum, byte| sum * 7 + usize::from(*byte));
    let pieces = Run::of(&script, piece);
    assert_eq!(pieces, whole, "in pieces of {piece} bytes");
    whole.iter().for_each(calls::check);
}

/// The reader of one stream, and what it wrote down.
pub(super) struct Run {
    reader: Reader,
    kept: BTreeMap<String, Vec<u8>>,
    calls: Vec<FinishedCall>,
    /// When the next event arrives, where that is told.
    arrived: Option<PbxTime>,
}

impl Run {
    /// The calls of a script whose bytes come in pieces of so many bytes.
    fn of(script: &Script, piece: usize) -> Vec<FinishedCall> {
        let mut run = Self::new(Vec::new());
        run.arrived = script.live.then_some(PbxTime::from_micros(1_795_000_000_000_000));
        let (mut splitter, mut buffer) = (Splitter::new(), Vec::new());
        for act in &script.acts {
            match act {
                Act::Bytes(bytes) => {
                    for bytes in bytes.chunks(piece) {
                        buffer.extend_from_slice(bytes);
                        let used = run.feed(&mut splitter, &buffer);
                        buffer.drain(..used);
                    }
                }
                Act::Restart => run.restart(),
                Act::Wait(time) => {
                    let now = run.reader.stats().last.map(|last| last.after(*time));
                    if let Some(now) = now {
                        run.reader.handle_timeout(now);
                    }
                    run.collect();
                }
            }
        }
        run.finish()
    }

    pub(super) fn new(values: Vec<Value>) -> Self {
        let policy = Arc::new(Policy::default());
        let mut reader = Reader::new(PbxName::default(), Source::Replay, policy);
        reader.keep_changes();
        reader.restore(values);
        Self { reader, kept: BTreeMap::new(), calls: Vec::new(), arrived: None }
    }

    /// Takes what is whole, and returns how many bytes that was.
    fn feed(&mut self, splitter: &mut Splitter, bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            match splitter.next(&bytes[at..]) {
                Step::Frame { frame, used } => {
                    self.frame(&frame);
                    at += used;
                }
                Step::Skip { used } => at += used,
                Step::More => return at,
            }
        }
    }

    pub(super) fn event(&mut self, block: &[u8]) {
        self.frame(&Frame { kind: Kind::Event, block });
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self.reader.handle_frame(frame, self.arrived);
        self.arrived = self.arrived.map(|at| PbxTime::from_micros(at.micros() + 10_000));
        self.collect();
    }

    fn collect(&mut self) {
        self.calls.extend(std::iter::from_fn(|| self.reader.poll_finished()));
    }

    fn keep(&mut self) {
        for change in self.reader.take_changes(usize::MAX) {
            match change.value {
                Some(json) => {
                    assert!(json.len() <= VALUE_MAX, "{} has {} bytes", change.key, json.len());
                    self.kept.insert(change.key, json)
                }
                None => self.kept.remove(&change.key),
            };
        }
        assert!(!self.reader.has_changes());
    }

    /// What is written down now.
    #[cfg(test)]
    pub(super) fn values(&mut self) -> &BTreeMap<String, Vec<u8>> {
        self.keep();
        &self.kept
    }

    fn restart(&mut self) {
        self.keep();
        let read =
            |(key, json): (&String, &Vec<u8>)| Value::read(key, json).expect("what was written is read");
        let next = Self::new(self.kept.iter().map(read).collect());
        assert_eq!(next.reader.stats().open, self.reader.stats().open, "calls that go on");
        self.reader = next.reader;
    }

    pub(super) fn finish(mut self) -> Vec<FinishedCall> {
        self.reader.finish();
        self.collect();
        self.keep();
        let stats = self.reader.stats();
        assert_eq!((stats.open, stats.channels), (0, 0), "nothing is left behind");
        assert_eq!(self.reader.poll_timeout(), None, "nothing is waited for");
        let left: Vec<_> = self.kept.keys().filter(|key| key.starts_with(['c', 'g'])).collect();
        assert!(left.is_empty(), "a call that ended is forgotten: {left:?}");
        self.calls
    }
}
