//! One capture as a stream of AMI text: opens it, unpacks it, and says what is wrong with it.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use indicatif::ProgressBar;

use crate::ami::banner::OLD;
use crate::ami::wire::Damage;
use crate::packing::{self, Packing, TooWide, WINDOW_MAX_MIB};

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

/// How the README records the manager port.
const RECORD: &str =
    r"printf 'Action: Login\r\nUsername: USER\r\nSecret: SECRET\r\n\r\n' | nc 127.0.0.1 5038 > calls.ami";

/// Opens `path`, or takes `input` for `-`.
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
    let file = Metered { inner: file, count: Rc::clone(&packed), bar: bar.clone() };
    let unpacked = packing::unpack(file).map_err(Fault::Unreadable)?.ok_or(Fault::Empty)?;
    Ok(Opened { text: unpacked.text, packing: unpacked.packing, packed })
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
}
