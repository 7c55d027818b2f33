//! Sorts what goes wrong when the store is opened, so that the message can say what to do.

use std::io;
use std::path::Path;

use crate::outbox::store::Error;
use crate::outbox::store::trees::is_locked;

impl Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds are the system's and grow; the rest has one answer"
    )]
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { path, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            _ => Self::Io { path, source },
        }
    }

    pub(super) fn sled(path: &Path, error: sled::Error) -> Self {
        if is_locked(&error) {
            return Self::Locked { path: path.join("db"), holder: None };
        }
        match error {
            // A file that ends too early is damage, not a fault of the disk.
            sled::Error::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                Self::io(path, source)
            }
            error @ (sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Io(_)
            | sled::Error::Corruption { .. }) => Self::damaged(path, error.to_string()),
        }
    }

    pub(super) fn damaged(path: &Path, detail: String) -> Self {
        Self::Damaged { path: path.to_owned(), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: io::Error, expected: &str) {
        let text = Error::io(Path::new("/var/lib/ami2amo"), error).to_string();
        assert!(text.contains(expected) && text.contains("/var/lib/ami2amo"), "{text}");
    }

    #[test]
    fn an_error_says_what_to_do() {
        check(io::Error::from_raw_os_error(libc::EACCES), "must belong to the user");
        check(io::Error::from_raw_os_error(libc::EROFS), "read-only");
        check(io::Error::from_raw_os_error(libc::ENOSPC), "make room");
        check(io::Error::from_raw_os_error(libc::EDQUOT), "make room");
        check(io::Error::from_raw_os_error(libc::EIO), "cannot use");
    }

    #[test]
    fn what_sled_says_is_sorted() {
        let path = Path::new("/q");
        let locked = io::Error::other("could not acquire lock on \"/q/db\": WouldBlock");
        assert!(matches!(Error::sled(path, locked.into()), Error::Locked { .. }));
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        assert!(matches!(Error::sled(path, full.into()), Error::Full { .. }));
        let short = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert!(matches!(Error::sled(path, short.into()), Error::Damaged { .. }));
        let bug = sled::Error::ReportableBug("page 7".into());
        assert!(Error::sled(path, bug).to_string().contains("page 7"));
    }
}
