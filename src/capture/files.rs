//! The files of a capture: each ends at a size, between two blocks, and the oldest go.
//!
//! ```text
//!  calls.ami  calls.ami.0002  calls.ami.0003 …        in order of time, also by name
//! ```

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where a capture is written.
#[derive(Debug)]
pub enum Files {
    Rotated(Rotated),
    /// Standard output: without an end.
    Stream(io::Stdout),
}

/// Files that are written one after the other.
#[derive(Debug)]
pub struct Rotated {
    base: PathBuf,
    /// Most bytes of one.
    size_max: u64,
    /// Most files that are kept.
    keep: NonZeroUsize,
    number: u32,
    file: File,
    written: u64,
    kept: VecDeque<PathBuf>,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} is there already: name another file, or move it away", .0.display())]
    There(PathBuf),
    #[error("cannot make {}", path.display())]
    Unmade { path: PathBuf, source: io::Error },
    #[error("cannot write to {}: what came before is in it", path.display())]
    Unwritten { path: PathBuf, source: io::Error },
}

impl Files {
    /// Makes the first file, readable by its owner only; `-` is standard output.
    ///
    /// # Errors
    /// When it cannot be made, or is there.
    pub fn create(base: &Path, size_max: u64, keep: NonZeroUsize) -> Result<Self, Error> {
        if base == Path::new("-") {
            return Ok(Self::Stream(io::stdout()));
        }
        let file = create(base)?;
        let kept = VecDeque::from([base.to_owned()]);
        Ok(Self::Rotated(Rotated {
            base: base.to_owned(),
            size_max,
            keep,
            number: 1,
            file,
            written: 0,
            kept,
        }))
    }

    /// Writes whole blocks; where the file would grow too long, into the next one.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn write(&mut self, blocks: &[u8]) -> Result<(), Error> {
        match self {
            Self::Stream(output) => {
                let written = output.write_all(blocks).and_then(|()| output.flush());
                written.map_err(|source| Error::Unwritten { path: PathBuf::from("-"), source })
            }
            Self::Rotated(rotated) => rotated.write(blocks),
        }
    }

    /// Begins the next file: another connection follows.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn turn(&mut self) -> Result<(), Error> {
        match self {
            Self::Rotated(rotated) if rotated.written > 0 => rotated.turn(),
            Self::Rotated(_) | Self::Stream(_) => Ok(()),
        }
    }

    /// Puts everything on the disk; returns the files that are there.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn finish(self) -> Result<Vec<PathBuf>, Error> {
        let Self::Rotated(rotated) = self else { return Ok(Vec::new()) };
        let path = rotated.kept.back().unwrap_or(&rotated.base).clone();
        rotated.file.sync_all().map_err(|source| Error::Unwritten { path, source })?;
        Ok(rotated.kept.into())
    }
}

impl Rotated {
    fn write(&mut self, blocks: &[u8]) -> Result<(), Error> {
        let length = blocks.len() as u64;
        if self.written > 0 && self.written + length > self.size_max {
            self.turn()?;
        }
        let written = self.file.write_all(blocks);
        written.map_err(|source| Error::Unwritten {
            path: self.kept.back().unwrap_or(&self.base).clone(),
            source,
        })?;
        self.written += length;
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Error> {
        self.number += 1;
        let mut name = self.base.clone().into_os_string();
        name.push(format!(".{:04}", self.number));
        let path = PathBuf::from(name);
        self.file = create(&path)?;
        self.written = 0;
        self.kept.push_back(path);
        while self.kept.len() > self.keep.get() {
            if let Some(oldest) = self.kept.pop_front() {
                // One that somebody has taken away is gone all the same.
                drop(fs::remove_file(oldest));
            }
        }
        Ok(())
    }
}

/// Makes a file that was not there.
pub(super) fn create(path: &Path) -> Result<File, Error> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|source| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::AlreadyExists {
            Error::There(path)
        } else {
            Error::Unmade { path, source }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_end_at_their_size_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("calls.ami");
        let mut files = Files::create(&base, 10, NonZeroUsize::new(2).unwrap()).unwrap();
        for block in ["aaaaaa", "bbbb", "cccccc", "dddddddddddddddd", "e"] {
            files.write(block.as_bytes()).unwrap();
        }
        let left = files.finish().unwrap();
        let names: Vec<_> = left.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["calls.ami.0003", "calls.ami.0004"]);
        assert_eq!(fs::read_to_string(&left[0]).unwrap(), "dddddddddddddddd");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(fs::metadata(&left[1]).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_there_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("calls.ami");
        fs::write(&base, "old").unwrap();
        let error = Files::create(&base, 10, NonZeroUsize::MIN).unwrap_err();
        assert!(matches!(error, Error::There(_)), "{error}");
        assert_eq!(fs::read_to_string(&base).unwrap(), "old");
    }
}
