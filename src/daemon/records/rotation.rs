//! A file of lines that begins anew at a size. The file itself is always the newest, so that it can be followed
//! by `tail -F` and turned by logrotate; older ones have numbers, as those of a capture have.
//!
//! ```text
//!  calls.jsonl  calls.jsonl.0003  calls.jsonl.0002        the newest first
//! ```

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Its owner and his group, less what the umask takes.
const MODE: u32 = 0o640;

/// Where lines go.
#[derive(Debug)]
pub struct Rotation {
    path: PathBuf,
    /// Most bytes of one file; `None` when somebody else turns it.
    size_max: Option<u64>,
    /// Most files that are kept, the newest among them.
    keep: NonZeroUsize,
    open: Option<File>,
}

impl Rotation {
    pub fn new(path: PathBuf, size_max: Option<u64>, keep: NonZeroUsize) -> Self {
        Self { path, size_max, keep, open: None }
    }

    /// Adds a line, whole or not at all. A file that was moved away or cut short meanwhile is begun anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut length = self.ready()?;
        if self.size_max.is_some_and(|most| length > 0 && length + line.len() as u64 > most) {
            self.turn()?;
            length = self.ready()?;
        }
        let Some(file) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        let written = file.write_all(line);
        if written.is_err() {
            // Half a line would spoil the next one. What cannot be cut is a line that no reader takes.
            drop(file.set_len(length));
        }
        written
    }

    /// Opens the file, where it is not the one that is open; returns its length.
    ///
    /// # Errors
    /// When it cannot be opened, or is no file.
    pub fn ready(&mut self) -> io::Result<u64> {
        let there = match fs::metadata(&self.path) {
            Ok(meta) if !meta.is_file() => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
            }
            Ok(meta) => Some(meta),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let open = self.open.as_ref().and_then(|file| file.metadata().ok());
        if let (Some(there), Some(open)) = (&there, &open)
            && is_same(there, open)
        {
            return Ok(open.len());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(&self.path)?;
        let length = file.metadata()?.len();
        self.open = Some(file);
        Ok(length)
    }

    /// Gives the file the next number, and takes the oldest away.
    fn turn(&mut self) -> io::Result<()> {
        let mut numbers = numbers(&self.path)?;
        let next = numbers.last().map_or(1, |last| last.saturating_add(1));
        fs::rename(&self.path, numbered(&self.path, next))?;
        numbers.push(next);
        let surplus = (numbers.len() + 1).saturating_sub(self.keep.get());
        for number in numbers.into_iter().take(surplus) {
            // One that somebody has taken away is gone all the same.
            drop(fs::remove_file(numbered(&self.path, number)));
        }
        Ok(())
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{number:04}"));
    PathBuf::from(name)
}

/// The numbers of older files, the oldest first.
fn numbers(path: &Path) -> io::Result<Vec<u64>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let begin = format!("{}.", name.to_string_lossy());
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let digits = name.strip_prefix(&begin).filter(|digits| digits.len() >= 4);
        numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn rotation(dir: &Path, size_max: Option<u64>, keep: usize) -> Rotation {
        Rotation::new(dir.join("calls.jsonl"), size_max, NonZeroUsize::new(keep).unwrap())
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn text(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap()
    }

    #[test]
    fn the_newest_keeps_its_name_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = rotation(dir.path(), Some(10), 3);
        for line in ["aaaaaa\n", "bb\n", "cccccc\n", "dddddddddddddddd\n", "e\n", "f\n"] {
            files.append(line.as_bytes()).unwrap();
        }
        assert_eq!(names(dir.path()), ["calls.jsonl", "calls.jsonl.0002", "calls.jsonl.0003"]);
        assert_eq!(text(dir.path(), "calls.jsonl"), "e\nf\n");
        assert_eq!(text(dir.path(), "calls.jsonl.0003"), "dddddddddddddddd\n");
        // Another process goes on where this one was.
        let mut files = rotation(dir.path(), Some(10), 3);
        for line in ["g\n", "hhhhhhh\n"] {
            files.append(line.as_bytes()).unwrap();
        }
        assert_eq!(text(dir.path(), "calls.jsonl.0004"), "e\nf\ng\n");
        assert_eq!(names(dir.path()).len(), 3);
        let mode = fs::metadata(dir.path().join("calls.jsonl")).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
    }

    #[test]
    fn whoever_moves_it_away_or_cuts_it_gets_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = rotation(dir.path(), None, 1);
        files.append(b"one\n").unwrap();
        fs::rename(dir.path().join("calls.jsonl"), dir.path().join("calls.jsonl.1")).unwrap();
        files.append(b"two\n").unwrap();
        fs::copy(dir.path().join("calls.jsonl"), dir.path().join("calls.jsonl.2")).unwrap();
        File::options().write(true).open(dir.path().join("calls.jsonl")).unwrap().set_len(0).unwrap();
        files.append(b"three\n").unwrap();
        let all = ["calls.jsonl.1", "calls.jsonl.2", "calls.jsonl"].map(|name| text(dir.path(), name));
        assert_eq!(all, ["one\n", "two\n", "three\n"]);
    }

    #[test]
    fn what_is_no_file_is_an_error_and_no_wait() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("calls.jsonl")).unwrap();
        assert!(rotation(dir.path(), None, 1).append(b"one\n").is_err());
    }
}
