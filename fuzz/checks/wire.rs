//! Bytes to frames: the same ones however the bytes are split, bounded, and in step again after any
//! damage.

use crate::ami::wire::{BLOCK_MAX, Damage, Kind, LINE_MAX, Splitter, Step};

/// Ends a block in whatever state a splitter is, raw replies included.
const END: &[u8] = b"\r\n--END COMMAND--\r\n\r\n";
const GOOD: &[u8] = b"Event: Hangup\r\nUniqueid: 1795000000.1\r\nCause: 16\r\n";

/// Up to this length an input is read byte by byte, too.
const SMALL: usize = 4096;

#[derive(Debug, Eq, PartialEq)]
pub(super) struct Owned {
    pub(super) kind: Kind,
    pub(super) block: Vec<u8>,
}

pub(super) fn check(data: &[u8]) {
    let text = [data, END, GOOD, b"\r\n"].concat();
    let whole = frames(std::iter::once(&text[..]));
    for piece in pieces(data) {
        assert_eq!(frames(text.chunks(piece)), whole, "in pieces of {piece} bytes");
    }
    for Owned { kind, block } in &whole.0 {
        assert!(block.len() <= BLOCK_MAX + LINE_MAX + 2, "a frame of {} bytes", block.len());
        if *kind == Kind::Banner {
            assert!(!block.contains(&b'\n'), "a banner is one line");
        }
    }
    let last = whole.0.last().expect("what follows any damage is read");
    assert_eq!((last.kind, &last.block[..]), (Kind::Event, GOOD));
}

/// How the input is cut: by sizes that it chooses itself, and by single bytes.
fn pieces(data: &[u8]) -> impl Iterator<Item = usize> {
    let chosen = data.iter().rev().take(2).map(|byte| usize::from(*byte) + 1);
    chosen.chain((data.len() <= SMALL).then_some(1))
}

/// Everything that a splitter hands on, and what it counted as damage.
pub(super) fn frames<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<Owned>, Damage) {
    let (mut splitter, mut frames, mut buffer) = (Splitter::new(), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut start = 0;
        loop {
            let used = match splitter.next(&buffer[start..]) {
                Step::Frame { frame, used } => {
                    frames.push(Owned { kind: frame.kind, block: frame.block.to_vec() });
                    used
                }
                Step::Skip { used } => used,
                Step::More => break,
            };
            assert!(used > 0, "a step of nothing would be taken for ever");
            start += used;
        }
        buffer.drain(..start);
        assert!(buffer.len() <= BLOCK_MAX + 2 * LINE_MAX + piece.len(), "{} bytes wait", buffer.len());
    }
    (frames, splitter.damage())
}
