//! The files of a log: the one that is written to, and those that logrotate made of it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::cdr::source::Unread;
use crate::time::PbxTime;

/// A file that has lines of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Piece {
    pub path: PathBuf,
    /// When it was written to last; packing keeps it. Later lines are in other files.
    pub written: PbxTime,
    /// The log itself, which may be away for a moment.
    pub is_log: bool,
}

/// Packings that are not read.
const UNKNOWN_PACKINGS: [&str; 4] = ["bz2", "lz4", "xz", "Z"];

impl Piece {
    /// Opens it.
    ///
    /// # Errors
    /// When that fails, or it is packed in a way that is not read.
    pub(super) fn open_file(&self) -> io::Result<File> {
        let packing = self.path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !self.is_log && UNKNOWN_PACKINGS.contains(&packing) {
            return Err(io::Error::other("only gzip and zstd are unpacked: let logrotate use one of them"));
        }
        // A pipe of this name would wait for who writes into it.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
    }
}

/// The files of the log at `path`, newest first, and the folder if it cannot be listed.
///
/// # Errors
/// When the log cannot be looked at, or is away and nothing was made of it.
pub(super) fn pieces(path: &Path) -> io::Result<(Vec<Piece>, Vec<Unread>)> {
    let log = std::fs::metadata(path).and_then(|found| piece(path.to_owned(), &found, true));
    let (mut pieces, unread) = rotated(path);
    pieces.sort_by(|a, b| b.written.cmp(&a.written).then_with(|| a.path.cmp(&b.path)));
    match log {
        Ok(log) => pieces.insert(0, log),
        // Asterisk opens it anew for each line, so none is there between a turn and the next call.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !pieces.is_empty() => {}
        Err(error) => return Err(error),
    }
    Ok((pieces, unread))
}

fn piece(path: PathBuf, found: &Metadata, is_log: bool) -> io::Result<Piece> {
    if !found.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let since = found.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let written = PbxTime::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    Ok(Piece { path, written, is_log })
}

fn rotated(path: &Path) -> (Vec<Piece>, Vec<Unread>) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return (Vec::new(), Vec::new());
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // Whoever may not list the folder may still read the log.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Vec::new(), Vec::new()),
        Err(error) => return (Vec::new(), vec![Unread::new(folder, &error)]),
    };
    let is_turned = |entry: &Path| {
        entry.file_name().and_then(|other| other.to_str()).is_some_and(|other| was_made_of(name, other))
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|entry| is_turned(entry));
    let pieces = paths.filter_map(|path| {
        let found = std::fs::metadata(&path).ok()?;
        piece(path, &found, false).ok()
    });
    (pieces.collect(), Vec::new())
}

/// Whether a name is that of a log which was turned: `Master.csv.1`, `Master.csv-20261128.gz`,
/// `Master-20261128.csv`, `Master.csv.old`.
fn was_made_of(log: &str, name: &str) -> bool {
    let (stem, extension) = log.rsplit_once('.').unwrap_or((log, ""));
    let Some(rest) = name.strip_prefix(log).or_else(|| name.strip_prefix(stem)) else { return false };
    let mut parts = rest.split(['.', '-', '_', '~']);
    // It begins with a mark, and says at least one thing more than that it is a log.
    let begins = parts.next() == Some("");
    let parts: Vec<&str> = parts.filter(|part| *part != extension).collect();
    let packings = ["gz", "zst"];
    let is_word = |part: &&str| ["old", "bak", "prev"].contains(part) || is_date(part);
    let is_packing = |part: &&str| packings.contains(part) || UNKNOWN_PACKINGS.contains(part);
    begins && !parts.is_empty() && parts.iter().all(|part| is_word(part) || is_packing(part))
}

/// Digits as in `1`, `20261128`, `2026`, `20261128T0300`.
fn is_date(part: &str) -> bool {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    part.split('T').all(is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log: &str, name: &str, expected: bool) {
        assert_eq!(was_made_of(log, name), expected, "{name}");
    }

    #[test]
    fn files_of_a_log_are_known_by_their_names() {
        for name in [
            "Master.csv.1",
            "Master.csv.12.gz",
            "Master.csv-20261128",
            "Master.csv-20261128.zst",
            "Master.csv-2026-11-28.gz",
            "Master.csv-20261128T0300",
            "Master-20261128.csv",
            "Master-20261128.csv.gz",
            "Master.csv.old",
            "Master.csv.gz",
            "Master.csv.1.xz",
        ] {
            check("Master.csv", name, true);
        }
        for name in [
            "Master.csv",
            "Master.csv.swp",
            "Master.csvx",
            "Masters.csv",
            "Master.csv.part.1",
            "Master.txt",
            "7001.csv",
        ] {
            check("Master.csv", name, false);
        }
        check("cel", "cel.1", true);
        check("cel", "cel", false);
    }
}
