//! Plain, gzip or zstd: text is read from any of them. The packing is told by the first bytes, not the name.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// How a file is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// The text of a file.
pub struct Unpacked<'a> {
    pub text: Box<dyn Read + 'a>,
    pub packing: Packing,
}

/// Bytes that a decompressor takes from the file at once.
const PACKED_PIECE: usize = 64 << 10;

/// Widest zstd window, which is memory for as long as a file is read; the limit of `zstd` itself.
pub const WINDOW_MAX_MIB: u64 = 128;

/// Longest magic number that tells a packing.
const MAGIC_LEN: usize = 4;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Unpacks `file`, which is read from its beginning; `None` when it is empty.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn unpack<'a>(mut file: impl Read + 'a) -> io::Result<Option<Unpacked<'a>>> {
    let mut magic = Vec::with_capacity(MAGIC_LEN);
    file.by_ref().take(MAGIC_LEN as u64).read_to_end(&mut magic)?;
    if magic.is_empty() {
        return Ok(None);
    }
    let packing = Packing::of(&magic);
    let file = Cursor::new(magic).chain(file);
    let text: Box<dyn Read + 'a> = match packing {
        Packing::Plain => Box::new(file),
        Packing::Gzip => Box::new(MultiGzip::new(BufReader::with_capacity(PACKED_PIECE, file))),
        Packing::Zstd => Box::new(MultiZstd::new(BufReader::with_capacity(PACKED_PIECE, file))),
    };
    Ok(Some(Unpacked { text, packing }))
}

impl Packing {
    /// Of a file that begins with these bytes.
    pub fn of(magic: &[u8]) -> Self {
        if magic.starts_with(GZIP_MAGIC) {
            Self::Gzip
        } else if magic.starts_with(ZSTD_MAGIC) {
            Self::Zstd
        } else {
            Self::Plain
        }
    }
}

/// Gzip members one after the other, as joined files have them. Zeros behind one, with which tapes
/// and disks are filled up, are no damage: `gzip` itself steps over them.
struct MultiGzip<R> {
    /// `None` at the end of the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> MultiGzip<R> {
    fn new(packed: R) -> Self {
        Self { member: Some(GzDecoder::new(packed)) }
    }
}

impl<R: BufRead> Read for MultiGzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let more = skip_zeros(member.get_mut())?;
            let ended = self.member.take().filter(|_| more);
            self.member = ended.map(|member| GzDecoder::new(member.into_inner()));
        }
        Ok(0)
    }
}

/// Steps over zeros; says whether anything comes behind them.
fn skip_zeros(packed: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = packed.fill_buf()?;
        let (length, zeros) = (bytes.len(), bytes.iter().take_while(|byte| **byte == 0).count());
        packed.consume(zeros);
        if zeros < length || length == 0 {
            return Ok(length > 0);
        }
    }
}

/// Zstd frames one after the other, as joined files have them and as `zstd` itself reads them.
struct MultiZstd<R> {
    packed: R,
    decoder: FrameDecoder,
}

impl<R: BufRead> MultiZstd<R> {
    fn new(packed: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX_MIB << 20);
        Self { packed, decoder }
    }

    /// Begins the next frame, or steps over one that holds no data.
    fn enter(&mut self) -> io::Result<()> {
        match self.decoder.reset(&mut self.packed) {
            Ok(()) => Ok(()),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => io::copy(&mut self.packed.by_ref().take(u64::from(length)), &mut io::sink()).map(drop),
            Err(FrameDecoderError::WindowSizeTooBig { requested, .. }) => {
                Err(io::Error::other(TooWide { mib: requested.div_ceil(1 << 20) }))
            }
            Err(err) => Err(io::Error::other(err)),
        }
    }
}

/// A zstd frame with a window that is not read.
#[derive(Debug, thiserror::Error)]
#[error("a zstd window of {mib} MiB")]
pub struct TooWide {
    pub mib: u64,
}

impl<R: BufRead> Read for MultiZstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 {
            if !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.packed, one).map_err(io::Error::other)?;
            } else if self.packed.fill_buf()?.is_empty() {
                return Ok(0);
            } else {
                self.enter()?;
            }
        }
        self.decoder.read(into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zstd_frames_in_a_row_are_one_text() {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let mut packed = ruzstd::encoding::compress_to_vec(&b"Event: A\n"[..], level);
        // A skippable frame, as seekable archives end with.
        packed.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'x', b'y', b'z']);
        packed.extend(ruzstd::encoding::compress_to_vec(&b"Event: B\n"[..], level));
        let mut text = String::new();
        MultiZstd::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "Event: A\nEvent: B\n");
        packed.pop();
        assert!(MultiZstd::new(&packed[..]).read_to_string(&mut text).is_err());
    }
}
