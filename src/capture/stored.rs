//! Captures that are there, without their people. Each is read twice: first for its extensions, by which full
//! numbers of employees are known.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::capture::anonymize::Anonymizer;
use crate::capture::files::{self, create};
use crate::packing;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: is it a capture, plain, gzip or zstd?", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("cannot write {}", path.display())]
    Unwritten { path: PathBuf, source: io::Error },
}

/// Bytes of one piece.
const PIECE: usize = 256 << 10;
/// A longer line is cut: it is no AMI.
const LINE_MAX: usize = 1 << 20;

/// Notes the extensions in a capture.
///
/// # Errors
/// When it cannot be read.
pub fn learn(path: &Path, anonymizer: &mut Anonymizer) -> Result<(), Error> {
    lines(path, |lines| {
        anonymizer.learn(lines);
        Ok(())
    })
}

/// Writes a capture without its people to `output`, or to a file of this name that is made.
///
/// # Errors
/// When one of both cannot be read or written.
pub fn anonymize(
    path: &Path,
    target: Option<&Path>,
    output: &mut impl Write,
    anonymizer: &mut Anonymizer,
) -> Result<(), Error> {
    let unwritten = |source| Error::Unwritten { path: target.unwrap_or(Path::new("-")).to_owned(), source };
    let Some(target) = target else {
        return lines(path, |lines| output.write_all(&anonymizer.take(lines)).map_err(unwritten));
    };
    let mut file = io::BufWriter::new(create(target)?);
    lines(path, |lines| file.write_all(&anonymizer.take(lines)).map_err(unwritten))?;
    file.flush().map_err(unwritten)
}

/// Reads a capture in pieces of whole lines.
fn lines(path: &Path, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let unpacked = packing::unpack(file).map_err(unreadable)?;
    let mut text = unpacked.ok_or_else(|| Error::Empty(path.to_owned()))?.text;
    let mut rest = Vec::new();
    loop {
        let read = (&mut text).take(PIECE as u64).read_to_end(&mut rest).map_err(unreadable)?;
        let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let end = if read == 0 || rest.len() - end > LINE_MAX { rest.len() } else { end };
        take(&rest[..end])?;
        rest.drain(..end);
        if read == 0 {
            return Ok(());
        }
    }
}
