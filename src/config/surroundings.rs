//! What a configuration can only be checked against: files, folders, the environment.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Where the daemon would run.
pub trait Surroundings {
    /// A variable of the environment, if it is set.
    fn variable(&self, name: &str) -> Option<String>;

    /// A file's content.
    ///
    /// # Errors
    /// As the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    fn folder(&self, path: &Path) -> Folder;
}

/// What a folder is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Folder {
    Writable,
    /// It is not there, but can be made.
    Makeable,
    /// It, or the nearest folder above it, cannot be written by this user.
    ReadOnly,
    NotAFolder,
}

/// This host.
#[derive(Clone, Copy, Debug)]
pub struct Host;

/// Nothing that is read here is larger: what is, is the wrong file.
const FILE_MAX: u64 = 1 << 20;

impl Surroundings for Host {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let meta = fs::metadata(path)?;
        if meta.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if meta.len() > FILE_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        fs::read(path)
    }

    fn folder(&self, path: &Path) -> Folder {
        match fs::metadata(path) {
            Ok(meta) if !meta.is_dir() => Folder::NotAFolder,
            Ok(_) if is_writable(path) => Folder::Writable,
            Ok(_) => Folder::ReadOnly,
            Err(_) => match path.ancestors().skip(1).find(|above| above.exists()) {
                Some(above) if above.is_dir() && is_writable(above) => Folder::Makeable,
                Some(_) | None => Folder::ReadOnly,
            },
        }
    }
}

/// Asks the system instead of reading modes: users, groups, ACLs and read-only mounts all count.
#[expect(unsafe_code, reason = "access(2) has no safe form in std")]
fn is_writable(path: &Path) -> bool {
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: the path is a C string that lives through the call, and access(2) only reads it.
    unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_or_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(Host.folder(dir.path()), Folder::Writable);
        assert_eq!(Host.folder(&dir.path().join("a/b/c")), Folder::Makeable);
        assert_eq!(Host.folder(&file), Folder::NotAFolder);
        assert_eq!(Host.folder(&file.join("below")), Folder::ReadOnly);
    }

    #[test]
    fn a_folder_and_a_huge_file_are_no_files_to_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Host.read(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let huge = dir.path().join("huge");
        fs::File::create(&huge).unwrap().set_len(FILE_MAX + 1).unwrap();
        assert_eq!(Host.read(&huge).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
