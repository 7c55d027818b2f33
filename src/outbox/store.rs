//! The queue on sled 0.34.7, hardened: what the queue said was done outlives a power cut.
//!
//! ```text
//! <dir>/LOCK                        held while the store is open; the process id of its holder
//! <dir>/queue/                      sled: meta, inflight, outbox, ids, dead, history, tokens
//! <dir>/journal/YYYY-MM-DD.jsonl    every call that was taken in, see `journal`
//! <dir>/ballast                     8 MiB of nothing, given up when the disk is full, see `space`
//! <dir>/emergency.jsonl             calls of a process that ended while its store was dead
//! <dir>/emergency.jsonl.values      its calls in progress
//! <dir>/queue.…                     databases in the making or set aside, see `swap`
//! ```
//!
//! A [`Store`] is used by one thread; [`Store::spawn`] gives it one of its own behind a
//! [`Handle`](handle::Handle), which makes groups of what comes at the same time. A group costs at
//! most two syncs, journal and database, both in `persist`, and is answered after them.
//!
//! The first error of sled or of a sync is the last: sled refuses all work from then on, and a
//! failed sync tells nothing of what was written. The store then answers every call with that
//! error until it is opened anew, which its thread does by itself (`down`).

pub mod alongside;
mod amend;
mod census;
pub mod compared;
mod desk;
mod down;
mod draft;
mod emergency;
mod ends;
pub mod error;
pub(crate) mod fit;
pub(crate) mod frame;
pub mod fsync;
pub mod handle;
mod hearers;
mod history;
pub mod hooked;
pub mod hung;
mod inflight;
pub(crate) mod journal;
pub mod listing;
mod load;
mod lock;
pub mod log_key;
pub mod oblivion;
mod open;
mod owner;
pub mod pbxs;
pub mod person;
mod rebuild;
pub mod receipt;
mod recover;
pub mod rest;
mod salvage;
mod scan;
pub mod search;
mod shelf;
pub(crate) mod space;
mod swap;
mod talks;
pub mod transfer;
mod trees;
pub(crate) mod value;
mod worker;

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tracing::error;

use crate::call::id::{AccountId, CallId, PbxName};
use crate::call::record::FinishedCall;
use crate::outbox::queue::{self, BatchId, Enqueued, Item, Queue, Seq, Settlement, Stats};
use crate::outbox::schedule::{Ledger, Schedule};
use crate::outbox::store::ends::Ended;
use crate::outbox::store::error::{Cause, Failure, Kind};
use crate::outbox::store::fsync::{Fsync, Kernel, Shared, Target};
use crate::outbox::store::journal::Journal;
use crate::outbox::store::open::{Care, Ground, Trust};
use crate::outbox::store::trees::{Tree, Trees};
use crate::time::HostTime;

#[cfg(panic = "abort")]
compile_error!("sled panics on damaged files, which the store must survive: build with panic = \"unwind\"");

/// The open store. It is dead after its first error.
pub struct Store {
    trees: Trees,
    /// A descriptor of our own on sled's file, for the sync that sled leaves out.
    db: File,
    journal: Journal,
    fsync: Shared,
    schedule: Schedule,
    ledger: Ledger,
    /// The ledger as it was found has counted the calls before this one.
    counted_to: Seq,
    /// Calls from this one on are found by their numbers.
    numbered_from: Seq,
    /// Calls in `history`; sled counts only by reading them all.
    kept: u64,
    /// The latest time that a caller gave: the journal's day.
    now: HostTime,
    /// Something was committed that is not durable yet.
    dirty: bool,
    /// Something came to wait that was not leased before: couriers want to know.
    news: bool,
    /// Room is scarce: calls at their end are kept without what explains them.
    spare: bool,
    failed: OnceCell<Failure>,
    /// Calls that came to their end and of which nobody was told yet.
    ended: Ended,
    opened: Opened,
    /// Dropped last: until then nobody else may open the database.
    ground: Ground,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{} is held by another ami2amo{}: stop it first",
        path.display(),
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked { path: PathBuf, holder: Option<u32> },
    #[error("no permission for {}: it must belong to the user who runs ami2amo", path.display())]
    Permission { path: PathBuf, source: io::Error },
    #[error("{} is on a file system that is mounted read-only: look why (dmesg), mount it for writing and start again", path.display())]
    ReadOnly { path: PathBuf, source: io::Error },
    #[error("the disk of {} is full: nothing is lost, make room and start again", path.display())]
    Full { path: PathBuf, source: io::Error },
    #[error("the database in {} is damaged: {detail}", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("the database in {} was not open after {seconds} seconds", path.display())]
    Stuck { path: PathBuf, seconds: u64 },
    #[error("{} was written by a later ami2amo (schema {found}, this one knows {known})", path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// What opening the store found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Opened {
    /// Calls that the journal knew and the database did not, and that were put back.
    pub refilled: u64,
    /// Waiting calls that could not be read, and that were moved to `dead` as they are.
    pub unreadable: u64,
    /// Damaged lines in the journal.
    pub damaged_lines: u64,
    /// Calls of which the database had forgotten that they were on their way: they are looked up.
    pub doubted: u64,
    /// Waiting calls of which the database had forgotten that they are at their end.
    pub closed_again: u64,
    /// Calls at their end that the database had forgotten.
    pub remembered: u64,
    /// Calls of an earlier process that found the store dead, taken from `emergency.jsonl`.
    pub rescued: u64,
    /// What had to be done with a damaged database.
    pub repair: Option<Repair>,
    /// Calls, at their end or not, that were found in the bytes of a database that opened no more.
    pub salvaged: u64,
}

/// What was done with a damaged database. It lies beside the store, for a look at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Repair {
    /// A copy without its snapshots opened, and took its place.
    Mended,
    /// A new one took its place, made from the journal and from what was found in its bytes.
    Rebuilt,
}

/// The trees whose values are the business of others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shelf {
    /// Checkpoints of calls in progress.
    Inflight,
    /// Tokens of amoCRM.
    Tokens,
    /// How accounts answer, by account.
    Manners,
    /// Tasks to call back, by account and number.
    Tasks,
    /// Accounts to which a person has stopped delivery.
    Pauses,
    /// Call notes of amoCRM that are of no call of ours, by account and time.
    Strangers,
}

impl Store {
    /// Opens the store in `dir`, or makes it. What the database lost is put back from the journal; a
    /// damaged one is set aside and replaced, which [`Store::opened`] tells.
    ///
    /// # Errors
    /// When another process holds it, or the disk is full, read-only or fails; nothing is touched then.
    pub fn open(dir: &Path, now: HostTime) -> Result<Self, Error> {
        Self::open_with(dir, now, Box::new(Kernel))
    }

    /// As [`Self::open`], with another way to make files durable.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(dir: &Path, now: HostTime, fsync: Box<dyn Fsync>) -> Result<Self, Error> {
        let mut store = Ground::take(dir, fsync)?.open(now, Trust::Whole, Care::Repair)?;
        store.take_emergency(now)?;
        Ok(store)
    }

    /// As [`Self::open`], for a look only: a damaged database is left as it is.
    ///
    /// # Errors
    /// As [`Self::open`], and when the database is damaged.
    pub fn open_unrepaired(dir: &Path, now: HostTime) -> Result<Self, Error> {
        Ground::take(dir, Box::new(Kernel))?.open(now, Trust::Whole, Care::Leave)
    }

    /// What opening it found.
    pub fn opened(&self) -> Opened {
        self.opened
    }

    /// Calls of `pbx` in which this channel took part, oldest first.
    ///
    /// # Errors
    /// When the store failed.
    pub fn find_uniqueid(&mut self, pbx: &PbxName, uniqueid: &str) -> Result<Vec<Item>, queue::Error> {
        self.look_up_uniqueid(pbx, uniqueid)
    }

    /// Keeps `value` under `key`, durably.
    ///
    /// # Errors
    /// When the store failed.
    pub fn put(&mut self, shelf: Shelf, key: &str, value: &[u8]) -> Result<(), queue::Error> {
        self.place(shelf, key, Some(value))?;
        self.persist()
    }

    /// Forgets what is kept under `key`, durably.
    ///
    /// # Errors
    /// When the store failed.
    pub fn remove(&mut self, shelf: Shelf, key: &str) -> Result<(), queue::Error> {
        self.place(shelf, key, None)?;
        self.persist()
    }

    /// What is kept under `key`.
    ///
    /// # Errors
    /// When the store failed or the value is damaged.
    pub fn get(&self, shelf: Shelf, key: &str) -> Result<Option<Vec<u8>>, queue::Error> {
        self.fetch(shelf, key)
    }

    /// What is kept under keys that begin with `prefix`, and those keys. What is damaged is left out.
    ///
    /// # Errors
    /// When the store failed.
    pub fn list(&self, shelf: Shelf, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, queue::Error> {
        self.fetch_all(shelf, prefix)
    }

    /// Adds the names of the configured PBXs to those that the store knows for ever, and returns
    /// the known ones that are configured no more: their calls' ids keep the old name.
    ///
    /// # Errors
    /// When the store failed.
    pub fn pin_pbx(&mut self, names: &[PbxName]) -> Result<Vec<PbxName>, queue::Error> {
        let gone = self.pin(names)?;
        self.persist()?;
        Ok(gone)
    }

    /// Makes durable what was committed: the journal first, so that it is never behind.
    fn persist(&mut self) -> Result<(), queue::Error> {
        self.alive()?;
        self.carry_over()?;
        let synced = self.journal.sync(self.now, &mut self.fsync);
        synced.map_err(|error| self.fail_unsynced("the journal cannot be written", error))?;
        if self.dirty {
            self.trees
                .flush()
                .map_err(|error| self.fail_unsynced("the database cannot be written", error))?;
            let synced = self.fsync.sync(Target::Db, &self.db);
            synced.map_err(|error| self.die("the database cannot be synced", &error, true))?;
            self.dirty = false;
        }
        Ok(())
    }

    fn alive(&self) -> Result<(), queue::Error> {
        match self.failed.get() {
            Some(failure) => Err(queue::Error::Store(failure.reason.clone())),
            None => Ok(()),
        }
    }

    /// Ends the life of this store.
    #[expect(clippy::needless_pass_by_value, reason = "it ends here, and `map_err` has it by value")]
    fn fail(&self, what: &str, error: impl Cause) -> queue::Error {
        self.die(what, &error, false)
    }

    /// As [`Self::fail`], where data was on its way to the disk.
    #[expect(clippy::needless_pass_by_value, reason = "it ends here, and `map_err` has it by value")]
    fn fail_unsynced(&self, what: &str, error: impl Cause) -> queue::Error {
        // What there was no room for was refused at once, and is not in the files.
        self.die(what, &error, error.kind() != Kind::Full)
    }

    fn die(&self, what: &str, error: &dyn Cause, unsynced: bool) -> queue::Error {
        let failure = self.failed.get_or_init(|| {
            error!(%error, what, "the store failed and does nothing more until it is opened anew");
            Failure { reason: format!("{what}: {error}"), kind: error.kind(), unsynced }
        });
        queue::Error::Store(failure.reason.clone())
    }
}

impl Shelf {
    fn tree(self) -> Tree {
        match self {
            Self::Inflight => Tree::Inflight,
            Self::Tokens => Tree::Tokens,
            Self::Manners | Self::Tasks | Self::Pauses | Self::Strangers => Tree::Meta,
        }
    }
}

impl Queue for Store {
    fn enqueue(&mut self, calls: Vec<FinishedCall>, now: HostTime) -> Result<Vec<Enqueued>, queue::Error> {
        let taken = self.take_in(&calls, now)?;
        self.persist()?;
        Ok(taken)
    }

    fn lease(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, queue::Error> {
        let items = self.look_up_due(account, limit, now)?;
        self.persist()?;
        Ok(items)
    }

    fn intend(&mut self, calls: &[Seq], now: HostTime) -> Result<BatchId, queue::Error> {
        let batch = self.mark_sending(calls, now)?;
        self.persist()?;
        Ok(batch)
    }

    fn settle(&mut self, settlements: Vec<Settlement>, now: HostTime) -> Result<(), queue::Error> {
        self.apply(settlements, now)?;
        self.persist()
    }

    fn adopt(&mut self, account: &AccountId, now: HostTime) -> Result<u64, queue::Error> {
        let count = self.take_over(account, now)?;
        self.persist()?;
        Ok(count)
    }

    fn unknown(
        &mut self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> Result<Vec<Item>, queue::Error> {
        let items = self.look_up_unknown(account, limit, now)?;
        self.persist()?;
        Ok(items)
    }

    fn owing(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, queue::Error> {
        self.look_up_owing(account, limit, now)
    }

    fn next_due(&mut self, account: &AccountId) -> Result<Option<HostTime>, queue::Error> {
        self.first_due(account)
    }

    fn find(&mut self, id: &CallId) -> Result<Option<Item>, queue::Error> {
        self.look_up(id)
    }

    fn stats(&mut self) -> Result<Stats, queue::Error> {
        self.count()
    }
}

#[cfg(test)]
mod tests;
