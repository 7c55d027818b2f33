//! Cuts bytes into frames as a socket would deliver them: in pieces of any size.

#![cfg(test)]
#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses its own part of this")]

use ami2amo::ami::wire::{Damage, Frame, Kind, Splitter, Step};

/// A frame that owns its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owned {
    pub kind: Kind,
    pub block: Vec<u8>,
}

impl Owned {
    pub fn frame(&self) -> Frame<'_> {
        Frame { kind: self.kind, block: &self.block }
    }
}

/// Everything that the splitter hands on, and what it counted as damage.
pub fn frames<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<Owned>, Damage) {
    let (mut splitter, mut frames) = (Splitter::new(), Vec::new());
    let mut buffer: Vec<u8> = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut start = 0;
        loop {
            match splitter.next(&buffer[start..]) {
                Step::Frame { frame, used } => {
                    frames.push(Owned { kind: frame.kind, block: frame.block.to_vec() });
                    start += used;
                }
                Step::Skip { used } => {
                    assert!(used > 0, "a step of nothing would be taken for ever");
                    start += used;
                }
                Step::More => break,
            }
            assert!(start <= buffer.len(), "a step beyond the input");
        }
        buffer.drain(..start);
    }
    (frames, splitter.damage())
}

/// The events of a stream, each as its block.
pub fn events(stream: &[u8]) -> Vec<Vec<u8>> {
    let events = frames([stream]).0.into_iter().filter(|frame| frame.kind == Kind::Event);
    events.map(|frame| frame.block).collect()
}
