//! One capture as a stream of AMI text: opens it, unpacks it, and says what is wrong with it.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::GzDecoder;
use indicatif::ProgressBar;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::ami::banner::OLD;
use crate::ami::wire::Damage;

/// What is wrong with one file. The message says what it is and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("there is no such file: check the name")]
    Missing,
    #[error("it is a directory: name the captures in it")]
    Directory,
    #[error("permission denied: read it as a user who may, or give it to this one")]
    Permission,
    #[error("standard input is named more than once: name '-' once")]
    InputTwice,
    #[error("cannot be read ({0}): copy it to a sound disk and try again")]
    Unreadable(io::Error),
    #[error("it is empty: record the manager port again, with {RECORD}")]
    Empty,
    #[error(
        "there is no AMI text in it: give the raw text of the manager port (plain, gzip or zstd), \
         recorded with {RECORD}"
    )]
    NoAmi,
    #[error(
        "the compressed data ends too early or is damaged at byte {packed} ({cause}): \
         the {text} bytes of text before it were used; copy the file again for the rest"
    )]
    Damaged { packed: u64, text: u64, cause: String },
    #[error(
        "it needs a zstd window of {0} MiB, and {WINDOW_MAX_MIB} MiB is the most that is read: \
         pack it anew, with zstd -dc --long=31 FILE | zstd > NEW"
    )]
    WideWindow(u64),
    #[error(
        "damaged blocks were stepped over ({} cut and glued to the next, {} too long, {} without a head): \
         calls near them may be incomplete",
        .0.glued, .0.oversize, .0.headless
    )]
    DamagedBlocks(Damage),
    #[error("it was recorded from AMI {0}: that is {OLD}")]
    OldAsterisk(String),
    #[error(
        "it is from before the capture that was read last: calls that were open there end with it; \
         name captures in order of time, or use --separate"
    )]
    OutOfOrder,
    #[error("it ends in the middle of an event: the last {0} bytes were left out")]
    CutEvent(usize),
}

/// A capture being read.
pub struct Opened<'a> {
    pub text: Box<dyn Read + 'a>,
    packing: Packing,
    /// Bytes taken from the file so far, before unpacking.
    packed: Rc<Cell<u64>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// How the README records the manager port.
const RECORD: &str =
    r"printf 'Action: Login\r\nUsername: USER\r\nSecret: SECRET\r\n\r\n' | nc 127.0.0.1 5038 > calls.ami";

/// Bytes that a decompressor takes from the file at once.
const PACKED_PIECE: usize = 64 << 10;

/// Widest zstd window, which is memory for as long as a file is read; the limit of `zstd` itself.
const WINDOW_MAX_MIB: u64 = 128;

/// Longest magic number that tells a packing.
const MAGIC_LEN: usize = 4;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Opens `path`, or takes `input` for `-`. The packing is told by the first bytes, not the name.
pub fn open<'a>(
    path: &Path,
    input: &mut Option<&'a mut (dyn Read + Send)>,
    bar: &ProgressBar,
) -> Result<Opened<'a>, Fault> {
    let packed = Rc::new(Cell::new(0));
    let file: Box<dyn Read + 'a> = if path == Path::new("-") {
        Box::new(input.take().ok_or(Fault::InputTwice)?)
    } else {
        Box::new(open_file(path)?)
    };
    let mut file = Metered { inner: file, count: Rc::clone(&packed), bar: bar.clone() };
    let mut magic = Vec::with_capacity(MAGIC_LEN);
    file.by_ref().take(MAGIC_LEN as u64).read_to_end(&mut magic).map_err(Fault::Unreadable)?;
    if magic.is_empty() {
        return Err(Fault::Empty);
    }
    let packing = Packing::of(&magic);
    let file = Cursor::new(magic).chain(file);
    let text: Box<dyn Read + 'a> = match packing {
        Packing::Plain => Box::new(file),
        Packing::Gzip => Box::new(MultiGzip::new(BufReader::with_capacity(PACKED_PIECE, file))),
        Packing::Zstd => Box::new(MultiZstd::new(BufReader::with_capacity(PACKED_PIECE, file))),
    };
    Ok(Opened { text, packing, packed })
}

impl Opened<'_> {
    /// What an error of `text` means after `text_bytes` of text.
    pub fn fault(&self, err: io::Error, text_bytes: u64) -> Fault {
        if let Some(TooWide { mib }) = err.get_ref().and_then(|cause| cause.downcast_ref()) {
            return Fault::WideWindow(*mib);
        }
        match self.packing {
            Packing::Plain if err.kind() == io::ErrorKind::IsADirectory => Fault::Directory,
            Packing::Plain => Fault::Unreadable(err),
            Packing::Gzip | Packing::Zstd => {
                Fault::Damaged { packed: self.packed.get(), text: text_bytes, cause: err.to_string() }
            }
        }
    }
}

impl Packing {
    fn of(magic: &[u8]) -> Self {
        if magic.starts_with(GZIP_MAGIC) {
            Self::Gzip
        } else if magic.starts_with(ZSTD_MAGIC) {
            Self::Zstd
        } else {
            Self::Plain
        }
    }
}

fn open_file(path: &Path) -> Result<File, Fault> {
    let file = File::open(path).map_err(not_opened)?;
    // Linux opens directories; only reading them fails.
    match file.metadata() {
        Ok(meta) if meta.is_dir() => Err(Fault::Directory),
        Ok(_) => Ok(file),
        Err(err) => Err(Fault::Unreadable(err)),
    }
}

fn not_opened(err: io::Error) -> Fault {
    let kind = err.kind();
    if kind == io::ErrorKind::NotFound {
        Fault::Missing
    } else if kind == io::ErrorKind::PermissionDenied {
        Fault::Permission
    } else {
        Fault::Unreadable(err)
    }
}

/// Counts what goes through, for the bar and for messages.
struct Metered<R> {
    inner: R,
    count: Rc<Cell<u64>>,
    bar: ProgressBar,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.count.set(self.count.get() + read as u64);
        self.bar.inc(read as u64);
        Ok(read)
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
struct TooWide {
    mib: u64,
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

    #[track_caller]
    fn check(kind: io::ErrorKind, start: &str) {
        let message = not_opened(kind.into()).to_string();
        assert!(message.starts_with(start) && message.contains(": "), "{message}");
    }

    #[test]
    fn a_file_that_cannot_be_opened_says_why_and_what_to_do() {
        check(io::ErrorKind::NotFound, "there is no such file");
        check(io::ErrorKind::PermissionDenied, "permission denied");
        check(io::ErrorKind::StorageFull, "cannot be read");
    }

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
