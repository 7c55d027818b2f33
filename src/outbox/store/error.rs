//! Sorts what goes wrong when the store is opened, so that the message can say what to do.

use std::io;
use std::path::Path;

use crate::outbox::store::Error;
use crate::outbox::store::trees::is_locked;

/// What a person does about a store that failed for `reason`, which is words by then: a full disk
/// is told by the system's numbers for it.
pub fn advice(reason: &str) -> &'static str {
    let is = |code: i32| reason.contains(&format!("(os error {code})"));
    if is(libc::ENOSPC) || is(libc::EDQUOT) {
        "make room on its disk"
    } else if is(libc::EROFS) {
        "see why its disk is read-only (dmesg), mount it for writing"
    } else if is(libc::EFBIG) {
        "see which limit of the system keeps its files small (ulimit -f)"
    } else {
        "see what the system says of its disk (dmesg)"
    }
}

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
    fn a_store_that_failed_for_want_of_room_asks_for_room() {
        let words = |code| format!("it cannot be written: {}", io::Error::from_raw_os_error(code));
        assert_eq!(advice(&words(libc::ENOSPC)), "make room on its disk");
        assert_eq!(advice(&words(libc::EDQUOT)), "make room on its disk");
        assert!(advice(&words(libc::EROFS)).contains("read-only"));
        assert!(advice("the database panicked: page 7").contains("dmesg"));
        let sled = sled::Error::from(io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(advice(&sled.to_string()), "make room on its disk");
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
