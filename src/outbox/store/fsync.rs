//! The one way in which the store makes a file durable, so that a test can count and fail it.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// What is made durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// The file of the day in the journal.
    Journal,
    /// sled's file `db`: its own flush ends at `sync_file_range`, which survives no power cut.
    Db,
    /// A folder that has a new file.
    Folder,
    /// A file of a database that is about to take the place of another.
    Copy,
}

/// A way to make files durable that is asked in several places.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Box<dyn Fsync>>>);

impl Shared {
    pub fn new(fsync: Box<dyn Fsync>) -> Self {
        Self(Arc::new(Mutex::new(fsync)))
    }
}

impl Fsync for Shared {
    fn sync(&mut self, target: Target, file: &File) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sync(target, file)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// Waits until the disk has a file's data.
pub trait Fsync: Send {
    /// # Errors
    /// When the disk failed. Nothing is known then of what was written, and asking again is no
    /// remedy: the kernel reports a failed write once and forgets it.
    fn sync(&mut self, target: Target, file: &File) -> io::Result<()>;
}

/// The kernel's own.
#[derive(Debug)]
pub struct Kernel;

impl Fsync for Kernel {
    fn sync(&mut self, target: Target, file: &File) -> io::Result<()> {
        match target {
            Target::Journal | Target::Db => file.sync_data(),
            Target::Folder | Target::Copy => file.sync_all(),
        }
    }
}
