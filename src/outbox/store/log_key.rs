//! The key of the names that numbers have in the log (`pseudonym`), in the store's folder: `log-key`, 64 hexadecimal
//! digits, for its owner alone. It is made once, at random; who deletes it cuts the log of before off from that of
//! after.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::outbox::store::owner;
use crate::pseudonym::{KEY_BYTES, Key};

/// The system's source of randomness.
const RANDOM: &str = "/dev/urandom";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is no key of {} hexadecimal digits: delete it, and the next start makes another", path.display(), 2 * KEY_BYTES)]
    Damaged { path: PathBuf },
    #[error("{} cannot be made", path.display())]
    Unmade { path: PathBuf, source: io::Error },
}

/// The key of the store in `dir`; `None` when none was made yet.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read(dir: &Path) -> Result<Option<Key>, Error> {
    let path = path(dir);
    match fs::read_to_string(&path) {
        Ok(text) => parse(text.trim()).map(Some).ok_or(Error::Damaged { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Unreadable { path, source }),
    }
}

/// The key of the store in `dir`, which is made when there is none.
///
/// # Errors
/// As [`read`], and when it cannot be made.
pub fn read_or_make(dir: &Path) -> Result<Key, Error> {
    if let Some(key) = read(dir)? {
        return Ok(key);
    }
    let make = || -> io::Result<[u8; KEY_BYTES]> {
        let mut bytes = [0; KEY_BYTES];
        File::open(RANDOM)?.read_exact(&mut bytes)?;
        write(dir, &bytes)?;
        Ok(bytes)
    };
    make().map(Key::new).map_err(|source| Error::Unmade { path: path(dir), source })
}

fn path(dir: &Path) -> PathBuf {
    dir.join("log-key")
}

/// Whole or not at all.
fn write(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join("log-key.new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    owner::give(&file, dir);
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    file.write_all((digits.concat() + "\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path(dir))?;
    File::open(dir)?.sync_all()
}

fn parse(text: &str) -> Option<Key> {
    if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; KEY_BYTES];
    for (place, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *place = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(Key::new(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NUMBER: &str = "79161234568";

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap().is_none());
        let made = read_or_make(dir.path()).unwrap().name(NUMBER);
        assert_eq!(read_or_make(dir.path()).unwrap().name(NUMBER), made);
        assert_eq!(read(dir.path()).unwrap().unwrap().name(NUMBER), made);
        let mode = fs::metadata(path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(read_or_make(other.path()).unwrap().name(NUMBER), made);
    }

    #[test]
    fn what_is_no_key_is_named_and_left() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "abc", &"z".repeat(64), &"я".repeat(32)] {
            fs::write(path(dir.path()), text).unwrap();
            let words = read_or_make(dir.path()).unwrap_err().to_string();
            assert!(words.contains("log-key is no key of 64"), "{words}");
            assert_eq!(fs::read_to_string(path(dir.path())).unwrap(), text);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let words = read_or_make(&dir.path().join("none")).unwrap_err().to_string();
        assert!(words.ends_with("none/log-key cannot be made"), "{words}");
    }
}
