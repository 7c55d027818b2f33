//! The lock that keeps a second process out of the store.
//!
//! A lock of the system belongs to the open file: where sled's threads, or a child that another
//! thread has just forked, still have it open, it outlives its owner by some milliseconds. So a lock
//! that is taken is asked for again before it counts as somebody else's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::clock;
use crate::outbox::store::{Error, owner};

/// How long a lock may outlive its owner. A person who starts a second daemon waits as long for the
/// answer.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Pause between two tries.
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// Takes the store's lock and writes this process's id into it.
pub fn take(dir: &Path) -> Result<File, Error> {
    let path = dir.join("LOCK");
    let io = |error| Error::io(&path, error);
    let options = OpenOptions::new().create(true).read(true).write(true).truncate(false).mode(0o600).clone();
    let mut file = options.open(&path).map_err(io)?;
    owner::give(&file, dir);
    match patiently(|| file.try_lock(), |error| matches!(error, TryLockError::WouldBlock)) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // The holder is named for convenience only; without its name the message is still true.
            let _ = file.read_to_string(&mut text);
            return Err(Error::Locked { holder: text.trim().parse().ok(), path });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    let named =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    match named {
        // The lock holds without the name, and a full disk keeps nobody from delivering.
        Err(error) if error.kind() != std::io::ErrorKind::StorageFull => Err(io(error)),
        Ok(()) | Err(_) => Ok(file),
    }
}

/// The process that holds the store, 0 when it does not say which; `None` when nobody does. Looking is
/// holding for a moment, which [`take`] waits for.
pub fn holder(dir: &Path) -> std::io::Result<Option<u32>> {
    let mut file = match File::open(dir.join("LOCK")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // The holder is named for convenience only.
            let _ = file.read_to_string(&mut text);
            Ok(Some(text.trim().parse().unwrap_or(0)))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Tries until it is done, fails for another reason, or has been refused for [`LINGER_MAX`].
pub fn patiently<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_locked: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let until = clock::mono().after(LINGER_MAX);
    loop {
        match attempt() {
            Err(error) if is_locked(&error) && !until.since(clock::mono()).is_zero() => pause(),
            outcome => return outcome,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the kernel tells nobody when a lock is given up")]
fn pause() {
    thread::sleep(RETRY_EVERY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_up_late_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(dir.path()).unwrap();
        // The copy of the descriptor is what a forked child or a thread of sled has.
        let copy = held.try_clone().unwrap();
        drop(held);
        let late = thread::spawn(move || {
            pause();
            drop(copy);
        });
        assert!(take(dir.path()).is_ok());
        late.join().unwrap();
    }

    #[test]
    fn a_lock_that_nobody_holds_has_no_holder() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()).unwrap(), None);
        drop(take(dir.path()).unwrap());
        assert_eq!(holder(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_lock_that_is_held_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let _held = take(dir.path()).unwrap();
        assert_eq!(holder(dir.path()).unwrap(), Some(std::process::id()));
        let refused = take(dir.path());
        assert!(matches!(refused, Err(Error::Locked { holder: Some(pid), .. }) if pid == std::process::id()));
    }
}
