//! Pure: when the bytes of a capture came.
//!
//! A capture is AMI text as it came, so that any tool reads it. Between its blocks stand notes of ours in the
//! form of a reply that nobody asked for, which every reader of AMI steps over:
//!
//! ```text
//!  Response: Arrived
//!  Time: 1795339565.437709        this host's clock, when the blocks up to the next note came
//! ```
//!
//! [`Blocks`] finds the places where a note can stand.

use memchr::memchr;

use crate::ami::wire::{Frame, Kind};
use crate::time::{HostTime, PbxTime};

/// Cuts a stream at the ends of its blocks.
#[derive(Debug, Default)]
pub struct Blocks {
    /// What has no end yet.
    rest: Vec<u8>,
    /// The greeting has gone by: it is a line without an empty one behind it.
    greeted: bool,
}

/// Whole blocks of the stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Whole {
    /// The greeting's line, which goes before everything else.
    pub greeting: Vec<u8>,
    pub blocks: Vec<u8>,
}

/// The word that no reply of Asterisk begins with.
const WORD: &[u8] = b"Arrived";
const BANNER: &[u8] = b"Asterisk Call Manager";
/// More without an empty line is handed on as it is: it is no AMI.
const REST_MAX: usize = 2 << 20;

/// The note that what follows came at `at`.
pub fn note(at: HostTime) -> Vec<u8> {
    let (seconds, micros) = (at.micros().div_euclid(1_000_000), at.micros().rem_euclid(1_000_000));
    format!("Response: Arrived\r\nTime: {seconds}.{micros:06}\r\n\r\n").into_bytes()
}

/// The time in a note; `None`: the frame is none.
pub fn read(frame: &Frame<'_>) -> Option<HostTime> {
    if frame.kind != Kind::Response || frame.header("Response") != Some(WORD) {
        return None;
    }
    let time = PbxTime::parse(frame.header("Time")?)?;
    Some(HostTime::from_micros(time.micros()))
}

impl Blocks {
    /// Takes what came; gives what is whole with it.
    pub fn take(&mut self, bytes: &[u8]) -> Whole {
        let searched = self.rest.len().saturating_sub(3);
        self.rest.extend_from_slice(bytes);
        let mut whole = Whole::default();
        let mut from = searched;
        if !self.greeted && !self.rest.is_empty() {
            let begins = self.rest.len().min(BANNER.len());
            let is_banner = self.rest[..begins] == BANNER[..begins];
            match memchr(b'\n', &self.rest) {
                Some(end) if is_banner => whole.greeting = self.rest.drain(..=end).collect(),
                None if is_banner => return whole,
                _ => {}
            }
            self.greeted = true;
            from = 0;
        }
        let end =
            last_end(&self.rest, from).or_else(|| (self.rest.len() > REST_MAX).then_some(self.rest.len()));
        whole.blocks = self.rest.drain(..end.unwrap_or(0)).collect();
        whole
    }

    /// What has no end: the stream broke inside a block.
    pub fn finish(&mut self) -> Vec<u8> {
        self.greeted = false;
        std::mem::take(&mut self.rest)
    }
}

/// Where the last whole block ends, behind its empty line.
fn last_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut end = None;
    let mut at = from;
    while let Some(found) = memchr(b'\n', &bytes[at..]) {
        let newline = at + found;
        let before = &bytes[..newline];
        let before = before.strip_suffix(b"\r").unwrap_or(before);
        if before.last() == Some(&b'\n') {
            end = Some(newline + 1);
        }
        at = newline + 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nActionID: 1\r\n\r\nEvent: A\nB: 1\n\n\nEvent: C\r\n\r\nEvent: D\r\n";

    #[test]
    fn a_stream_is_cut_behind_its_blocks_however_it_comes() {
        for piece in 1..STREAM.len() {
            let mut blocks = Blocks::default();
            let (mut greeting, mut all) = (Vec::new(), Vec::new());
            for bytes in STREAM.chunks(piece) {
                let whole = blocks.take(bytes);
                greeting.extend(whole.greeting);
                assert!(
                    whole.blocks.is_empty()
                        || whole.blocks.ends_with(b"\n\r\n")
                        || whole.blocks.ends_with(b"\n\n")
                        || whole.blocks == b"\n",
                    "{piece}"
                );
                all.extend(whole.blocks);
            }
            assert_eq!(greeting, b"Asterisk Call Manager/11.0.0\r\n");
            assert_eq!(blocks.finish(), b"Event: D\r\n", "{piece}");
            assert!(all.ends_with(b"Event: C\r\n\r\n"), "{piece}");
        }
    }

    #[test]
    fn a_note_tells_its_time() {
        let at = HostTime::from_micros(1_795_339_565_000_709);
        let text = note(at);
        let block = text.strip_suffix(b"\r\n").unwrap();
        assert_eq!(read(&Frame { kind: Kind::Response, block }), Some(at));
        assert_eq!(read(&Frame { kind: Kind::Response, block: b"Response: Success\r\nTime: 1.0\r\n" }), None);
    }
}
