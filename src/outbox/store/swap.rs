//! Putting another folder of a database in the place of the one in use, so that a crash between any two
//! steps leaves one that is whole.
//!
//! ```text
//! queue                      the database in use
//! queue.new                  one in the making; whole when there is no `queue`
//! queue.old                  one that was replaced and holds nothing of worth
//! queue.before/db            the file as it was before sled saw it, while it is opened
//! queue.quarantine-<time>    one that was damaged, for a person to look at
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::outbox::store::fsync::{Fsync, Target};
use crate::outbox::store::open::{make_dir, queue_of};
use crate::outbox::store::{Error, space};
use crate::time::HostTime;

/// Largest file that is copied before it is opened: a twentieth of a second where the disk is fast.
const BEFORE_MAX: u64 = 64 << 20;

/// Damaged databases that are kept, the newest.
pub const QUARANTINES_MAX: usize = 3;

/// What the folder of a damaged database begins with.
const QUARANTINE: &str = "queue.quarantine-";

/// What becomes of the database that is replaced.
#[derive(Clone, Copy, Debug)]
pub enum Old {
    /// It is damaged and set aside.
    Quarantine(HostTime),
    /// All of it is in the new one.
    Delete,
}

/// Finishes an exchange that a crash cut short, or undoes it.
pub fn settle(dir: &Path, fsync: &mut dyn Fsync) -> Result<(), Error> {
    let (queue, new) = (queue_of(dir), new_of(dir));
    if !exists(&new)? {
        return delete(&old_of(dir));
    }
    if exists(&queue)? {
        return delete(&new);
    }
    fs::rename(&new, &queue).map_err(|error| Error::io(&new, error))?;
    info!(folder = %queue.display(), "a database that was ready took its place");
    sync_folder(dir, fsync)?;
    delete(&old_of(dir))
}

/// Copies the file of the database before sled sees it: of a damaged one sled zeroes what it does not
/// understand, and cuts it. What is there already is of a start that was cut short, and older. Where it
/// cannot be done, the journal alone must do.
pub fn preserve(dir: &Path) {
    let (before, half) = (before_of(dir), dir.join("queue.before.new"));
    let size = fs::metadata(queue_of(dir).join("db")).map_or(0, |meta| meta.len());
    let room = space::free(dir).unwrap_or(0).saturating_sub(space::LOW);
    if size == 0 || size > BEFORE_MAX.min(room) || before.exists() {
        return;
    }
    let copied = delete(&half)
        .and_then(|()| make_dir(&half))
        .and_then(|()| {
            let copied = fs::copy(queue_of(dir).join("db"), half.join("db"));
            copied.map_err(|error| Error::io(&half, error))
        })
        .and_then(|_| fs::rename(&half, &before).map_err(|error| Error::io(&before, error)));
    if let Err(error) = copied {
        info!(%error, "the database is opened without a copy");
        forget(&half);
    }
}

/// The folder with the bytes of the database as they were before it was opened, or as they are.
pub fn ruins_of(dir: &Path) -> PathBuf {
    let before = before_of(dir);
    if before.exists() { before } else { queue_of(dir) }
}

/// The database is open and nothing is missing: its copy is of no use.
pub fn forget_before(dir: &Path) {
    forget(&before_of(dir));
}

/// Makes an empty folder for a new database.
pub fn begin(dir: &Path) -> Result<PathBuf, Error> {
    let new = new_of(dir);
    delete(&new)?;
    make_dir(&new)?;
    Ok(new)
}

/// Forgets what [`begin`] made.
pub fn give_up(dir: &Path) {
    forget(&new_of(dir));
}

/// What cannot be deleted now is deleted at the next start.
fn forget(folder: &Path) {
    if let Err(error) = delete(folder) {
        warn!(%error, "a folder of no use cannot be deleted");
    }
}

/// Copies a closed database into the folder that [`begin`] made, but for its snapshots: sled makes them
/// anew from its log.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(from).map_err(|error| Error::io(from, error))? {
        let entry = entry.map_err(|error| Error::io(from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            make_dir(&target)?;
            copy(&source, &target)?;
        } else if !entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::copy(&source, &target).map_err(|error| Error::io(&target, error))?;
        }
    }
    Ok(())
}

/// Makes the new database durable and puts it in the place of the old one. Both are closed. Returns
/// where the old one lies now.
pub fn finish(dir: &Path, old: Old, fsync: &mut dyn Fsync) -> Result<PathBuf, Error> {
    let (queue, new) = (queue_of(dir), new_of(dir));
    sync_all(&new, fsync)?;
    sync_folder(dir, fsync)?;
    let aside = match old {
        Old::Quarantine(now) => quarantine_of(dir, now)?,
        Old::Delete => old_of(dir),
    };
    delete(&old_of(dir))?;
    fs::rename(&queue, &aside).map_err(|error| Error::io(&queue, error))?;
    // A crash here finds no `queue`, and a `queue.new` that is whole.
    fs::rename(&new, &queue).map_err(|error| Error::io(&new, error))?;
    sync_folder(dir, fsync)?;
    delete(&old_of(dir))?;
    prune(dir)?;
    Ok(aside)
}

fn before_of(dir: &Path) -> PathBuf {
    dir.join("queue.before")
}

fn new_of(dir: &Path) -> PathBuf {
    dir.join("queue.new")
}

fn old_of(dir: &Path) -> PathBuf {
    dir.join("queue.old")
}

/// A name that nobody has and that is later, as text, than those before it.
fn quarantine_of(dir: &Path, now: HostTime) -> Result<PathBuf, Error> {
    let mut time = now.to_string();
    time.truncate(19);
    time.retain(|character| !matches!(character, '-' | ':'));
    for number in 0..u32::MAX {
        let suffix = if number == 0 { String::new() } else { format!("-{number:03}") };
        let path = dir.join(format!("{QUARANTINE}{time}Z{suffix}"));
        if !exists(&path)? {
            return Ok(path);
        }
    }
    Err(Error::io(dir, io::ErrorKind::AlreadyExists.into()))
}

/// Keeps the newest of the damaged databases.
fn prune(dir: &Path) -> Result<(), Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| Error::io(dir, error))? {
        let path = entry.map_err(|error| Error::io(dir, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(QUARANTINE)) {
            found.push(path);
        }
    }
    found.sort_unstable();
    let surplus = found.len().saturating_sub(QUARANTINES_MAX);
    found.drain(..surplus).try_for_each(|path| delete(&path))
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|error| Error::io(path, error))
}

fn delete(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|error| Error::io(path, error)),
    }
}

/// Makes all files below `folder` durable, and the folders that name them.
fn sync_all(folder: &Path, fsync: &mut dyn Fsync) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let path = entry.map_err(|error| Error::io(folder, error))?.path();
        if path.is_dir() {
            sync_all(&path, fsync)?;
        } else {
            let synced = File::open(&path).and_then(|file| fsync.sync(Target::Copy, &file));
            synced.map_err(|error| Error::io(&path, error))?;
        }
    }
    sync_folder(folder, fsync)
}

pub fn sync_folder(folder: &Path, fsync: &mut dyn Fsync) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|file| fsync.sync(Target::Folder, &file));
    synced.map_err(|error| Error::io(folder, error))
}
