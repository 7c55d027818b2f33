//! The `tokio_util` decoder over [`Splitter`]: frames that own their bytes without a copy.
//!
//! Memory is bounded by the splitter's own caps: it steps over what is too long.

use std::io;

use tokio_util::bytes::{Buf as _, Bytes, BytesMut};
use tokio_util::codec::Decoder;

use crate::ami::wire::{Damage, Frame, Kind, Splitter, Step};

/// Cuts a receive buffer into [`Block`]s.
#[derive(Debug, Default)]
pub struct Codec {
    splitter: Splitter,
}

/// A frame that shares the receive buffer's memory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    pub kind: Kind,
    pub bytes: Bytes,
}

impl Codec {
    /// See [`Splitter::set_own_variables`].
    pub fn set_own_variables(&mut self, prefix: &str) {
        self.splitter.set_own_variables(prefix);
    }

    /// What had to be dropped since the connection began.
    pub fn damage(&self) -> Damage {
        self.splitter.damage()
    }
}

impl Block {
    pub fn frame(&self) -> Frame<'_> {
        Frame { kind: self.kind, block: &self.bytes }
    }
}

impl Decoder for Codec {
    type Item = Block;
    type Error = io::Error;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Block>, io::Error> {
        loop {
            match self.splitter.next(input) {
                Step::More => return Ok(None),
                Step::Skip { used } => input.advance(used),
                Step::Frame { frame, used } => {
                    let kind = frame.kind;
                    let range = range_in(input, frame.block);
                    let bytes = input.split_to(used).freeze().slice(range);
                    return Ok(Some(Block { kind, bytes }));
                }
            }
        }
    }

    /// What is left at the end of the stream is half an event: it is dropped.
    fn decode_eof(&mut self, input: &mut BytesMut) -> Result<Option<Block>, io::Error> {
        let block = self.decode(input)?;
        if block.is_none() {
            input.clear();
        }
        Ok(block)
    }
}

/// Where `part` lies in `whole`, which it borrows from.
fn range_in(whole: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(codec: &mut Codec, input: &mut BytesMut) -> Vec<(Kind, String)> {
        let mut found = Vec::new();
        while let Some(block) = codec.decode(input).unwrap() {
            found.push((block.kind, String::from_utf8_lossy(&block.bytes).trim_end().to_owned()));
        }
        found
    }

    #[test]
    fn a_banner_and_a_reply_in_one_segment_are_two_blocks() {
        let mut input = BytesMut::from(
            &b"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nActionID: 1\r\n\r\nEvent: Hang"[..],
        );
        let found = blocks(&mut Codec::default(), &mut input);
        assert_eq!(found[0], (Kind::Banner, "Asterisk Call Manager/11.0.0".to_owned()));
        assert_eq!(found[1], (Kind::Response, "Response: Success\r\nActionID: 1".to_owned()));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn single_bytes_give_the_same_blocks_as_one_read() {
        let stream = b"Asterisk Call Manager/5.0.4\r\nEvent: Newchannel\r\nUniqueid: 1.1\r\n\r\n\
                       Event: Hangup\r\nUniqueid: 1.1\r\n\r\n";
        let whole = blocks(&mut Codec::default(), &mut BytesMut::from(&stream[..]));
        let (mut codec, mut input, mut bytewise) = (Codec::default(), BytesMut::new(), Vec::new());
        for byte in stream {
            input.extend_from_slice(&[*byte]);
            bytewise.extend(blocks(&mut codec, &mut input));
        }
        assert_eq!(bytewise, whole);
        assert_eq!(whole.len(), 3);
    }

    #[test]
    fn a_block_shares_the_memory_it_was_read_into() {
        let mut input = BytesMut::from(&b"Event: Hangup\r\nUniqueid: 1.1\r\n\r\n"[..]);
        let memory = input.as_ptr().addr()..input.as_ptr().addr() + input.len();
        let block = Codec::default().decode(&mut input).unwrap().unwrap();
        assert!(memory.contains(&block.bytes.as_ptr().addr()));
    }

    #[test]
    fn half_an_event_at_the_end_is_dropped() {
        let mut input = BytesMut::from(&b"Event: Hangup\r\nUniq"[..]);
        assert_eq!(Codec::default().decode_eof(&mut input).unwrap(), None);
        assert!(input.is_empty());
    }
}
