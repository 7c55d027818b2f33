//! Sorts what goes wrong with the store, so that the message can say what to do, and so that nothing
//! but damage is taken for damage.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::outbox::store::Error;
use crate::outbox::store::trees::is_locked;

/// What is said of a store that was given up.
pub const HANGS: &str = "come to no end";

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
    } else if reason.contains(HANGS) {
        "report it with the log"
    } else {
        "see what the system says of its disk (dmesg)"
    }
}

/// Why an open store is dead.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub reason: String,
    pub kind: Kind,
    /// What was written before may be lost, although it can still be read: the kernel drops what a
    /// disk refused, and tells it once.
    pub unsynced: bool,
}

/// What a failure calls for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Full,
    ReadOnly,
    Permission,
    /// The files are not what sled wrote.
    Damaged,
    /// The disk, or a program that is wrong.
    Other,
}

/// An error that ends a store.
pub(super) trait Cause: Display {
    fn kind(&self) -> Kind;
}

impl Cause for io::Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds are the system's and grow; the rest has one answer"
    )]
    fn kind(&self) -> Kind {
        match Self::kind(self) {
            io::ErrorKind::PermissionDenied => Kind::Permission,
            io::ErrorKind::ReadOnlyFilesystem => Kind::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Full,
            _ => Kind::Other,
        }
    }
}

impl Cause for sled::Error {
    fn kind(&self) -> Kind {
        match self {
            // A file that ends too early is damage, not a fault of the disk.
            Self::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => Cause::kind(source),
            Self::CollectionNotFound(_)
            | Self::Unsupported(_)
            | Self::ReportableBug(_)
            | Self::Io(_)
            | Self::Corruption { .. } => Kind::Damaged,
        }
    }
}

impl Cause for serde_json::Error {
    fn kind(&self) -> Kind {
        Kind::Other
    }
}

/// What sled said when it panicked, which it does on files that it does not understand.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Panicked(pub String);

impl Cause for Panicked {
    fn kind(&self) -> Kind {
        Kind::Damaged
    }
}

impl Error {
    /// What ended a store that was open, or almost.
    pub(super) fn of_failure(path: &Path, failure: &Failure) -> Self {
        let source = || io::Error::other(failure.reason.clone());
        let path = path.to_owned();
        match failure.kind {
            Kind::Full => Self::Full { path, source: source() },
            Kind::ReadOnly => Self::ReadOnly { path, source: source() },
            Kind::Permission => Self::Permission { path, source: source() },
            Kind::Damaged => Self::Damaged { path, detail: failure.reason.clone() },
            Kind::Other => Self::Io { path, source: source() },
        }
    }

    /// What ails a store that goes on without its database: the cause with the system's number for it, which
    /// [`advice`] goes by, and no word of starting again.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Permission { path, source }
            | Self::ReadOnly { path, source }
            | Self::Full { path, source }
            | Self::Io { path, source } => format!("cannot use {}: {source}", path.display()),
            Self::Locked { .. } | Self::Damaged { .. } | Self::Stuck { .. } | Self::Newer { .. } => {
                self.to_string()
            }
        }
    }

    /// Whether the files are to blame, and nothing that a person or time will change.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Stuck { .. } => true,
            Self::Locked { .. }
            | Self::Permission { .. }
            | Self::ReadOnly { .. }
            | Self::Full { .. }
            | Self::Newer { .. }
            | Self::Io { .. } => false,
        }
    }

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
