//! The trees of the database, and the one kind of change to them: all of it, in every tree, or
//! nothing. It runs on the store's thread; what is committed is durable after `persist` only.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use sled::transaction::{ConflictableTransactionError, TransactionError};
use sled::{Batch, Db, IVec, Transactional};

use crate::call::id::{CallId, PbxName};
use crate::outbox::queue::{Phase, Seq};
use crate::outbox::store::lock;

/// Where the layout's version lies in `meta`.
pub const SCHEMA_KEY: &[u8] = b"schema";

/// Memory for pages, in bytes: the queue is short when all is well, and a scan needs no cache.
const CACHE_BYTES: u64 = 8 << 20;

/// Entries that are copied in one write.
const COPIED_AT_ONCE: usize = 256;

/// A tree by its purpose. Keys are big-endian, so that their order is the numbers' order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Tree {
    /// Schema version, ledger, names of the PBXs.
    Meta,
    /// Calls in progress: call or channel to checkpoint.
    Inflight,
    /// Waiting calls by their sequence number.
    Outbox,
    /// `c` + call id to sequence number; `u` + pbx, `-`, uniqueid, NUL, sequence number to nothing; `o` +
    /// sequence number of a delivered call to which something is owed to nothing; `n` + last digits of an
    /// outside number, the last one first, NUL, sequence number to nothing.
    Ids,
    /// Calls that cannot be delivered, by their sequence number.
    Dead,
    /// Calls at their end, by their sequence number.
    History,
    /// Tokens of amoCRM by account.
    Tokens,
}

/// In the order of [`Tree`].
const NAMES: [&str; 7] = ["meta", "inflight", "outbox", "ids", "dead", "history", "tokens"];

/// All of them.
pub const TREES: [Tree; 7] =
    [Tree::Meta, Tree::Inflight, Tree::Outbox, Tree::Ids, Tree::Dead, Tree::History, Tree::Tokens];

/// The open database.
#[derive(Debug)]
pub struct Trees {
    db: Db,
    trees: Vec<sled::Tree>,
}

/// Writes that happen together or not at all.
#[derive(Debug, Default)]
pub struct Change(BTreeMap<Tree, Batch>);

impl Tree {
    /// Where calls of this phase lie.
    pub fn of(phase: Phase) -> Self {
        match phase {
            Phase::Pending | Phase::Sending | Phase::Unknown | Phase::Parked => Self::Outbox,
            Phase::Sent | Phase::Unsorted | Phase::Skipped | Phase::Expired => Self::History,
            Phase::Dead => Self::Dead,
        }
    }
}

impl Trees {
    /// Opens or makes the database. sled's own flusher is off: nothing is promised before
    /// `persist`, which flushes, and an idle daemon shall not wake.
    ///
    /// # Errors
    /// Whatever sled finds; it may also panic on damaged files.
    pub fn open(path: &Path) -> sled::Result<Self> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = lock::patiently(|| config.open(), is_locked)?;
        let trees = NAMES.iter().map(|name| db.open_tree(name)).collect::<sled::Result<_>>()?;
        Ok(Self { db, trees })
    }

    pub fn get(&self, tree: Tree, key: &[u8]) -> sled::Result<Option<IVec>> {
        self.tree(tree).get(key)
    }

    pub fn iter(&self, tree: Tree) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> {
        self.tree(tree).iter()
    }

    /// Calls of a tree, the newest first, from before `seq` on.
    pub fn newest(
        &self,
        tree: Tree,
        before: Option<Seq>,
    ) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> {
        let end = before.map_or(Bound::Unbounded, |seq| Bound::Excluded(seq_key(seq)));
        self.tree(tree).range((Bound::Unbounded, end)).rev()
    }

    /// Calls of a tree, the oldest first, from behind `seq` on.
    pub fn oldest(&self, tree: Tree, after: Option<Seq>) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> {
        let begin = after.map_or(Bound::Unbounded, |seq| Bound::Excluded(seq_key(seq)));
        self.tree(tree).range((begin, Bound::Unbounded))
    }

    pub fn keys_from(
        &self,
        tree: Tree,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = sled::Result<IVec>> {
        self.tree(tree).scan_prefix(prefix).keys()
    }

    /// The last sequence number in a tree of calls.
    pub fn last_seq(&self, tree: Tree) -> sled::Result<Option<Seq>> {
        Ok(self.tree(tree).last()?.and_then(|(key, _)| seq_of(&key)))
    }

    pub fn commit(&self, change: &Change) -> sled::Result<()> {
        if change.0.is_empty() {
            // sled panics on a transaction over no tree.
            return Ok(());
        }
        let trees: Vec<&sled::Tree> = change.0.keys().map(|tree| self.tree(*tree)).collect();
        // sled may run this again after a conflict, so it does nothing but write.
        let outcome = trees[..].transaction(|views| {
            for (view, batch) in views.iter().zip(change.0.values()) {
                view.apply_batch(batch)?;
            }
            Ok::<(), ConflictableTransactionError<()>>(())
        });
        outcome.map_err(|error| match error {
            TransactionError::Storage(error) => error,
            TransactionError::Abort(()) => sled::Error::ReportableBug("nothing here aborts".into()),
        })
    }

    /// Copies every tree into `to`, which is empty.
    pub fn copy_into(&self, to: &Self) -> sled::Result<()> {
        for tree in TREES {
            let mut batch = Batch::default();
            for (number, entry) in self.iter(tree).enumerate() {
                let (key, value) = entry?;
                batch.insert(key, value);
                if number % COPIED_AT_ONCE == COPIED_AT_ONCE - 1 {
                    to.tree(tree).apply_batch(std::mem::take(&mut batch))?;
                }
            }
            to.tree(tree).apply_batch(batch)?;
        }
        Ok(())
    }

    /// Whether both hold the same.
    pub fn equals(&self, other: &Self) -> sled::Result<bool> {
        for tree in TREES {
            let mut theirs = other.iter(tree);
            for ours in self.iter(tree) {
                if theirs.next().transpose()? != Some(ours?) {
                    return Ok(false);
                }
            }
            if theirs.next().is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands everything committed to the kernel, which is not yet the disk.
    pub fn flush(&self) -> sled::Result<()> {
        self.db.flush().map(|_bytes| ())
    }

    /// As [`Trees::flush`], on a thread of sled's own.
    pub async fn flush_async(&self) -> sled::Result<()> {
        self.db.flush_async().await.map(|_bytes| ())
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        &self.trees[tree as usize]
    }
}

impl Change {
    pub fn put(&mut self, tree: Tree, key: impl Into<IVec>, value: impl Into<IVec>) {
        self.0.entry(tree).or_default().insert(key, value);
    }

    pub fn remove(&mut self, tree: Tree, key: impl Into<IVec>) {
        self.0.entry(tree).or_default().remove(key);
    }
}

/// Whether somebody else has the database open. sled says it in words only.
pub fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(source) if source.to_string().contains("could not acquire lock"))
}

pub fn seq_key(seq: Seq) -> [u8; 8] {
    seq.0.to_be_bytes()
}

/// The sequence number at the end of a key.
pub fn seq_of(key: &[u8]) -> Option<Seq> {
    key.last_chunk().map(|bytes| Seq(u64::from_be_bytes(*bytes)))
}

pub fn call_key(id: &CallId) -> Vec<u8> {
    [b"c", id.as_str().as_bytes()].concat()
}

/// What the keys of calls to which something is owed begin with.
pub const OWING: &[u8] = b"o";

pub fn owing_key(seq: Seq) -> Vec<u8> {
    [OWING, &seq_key(seq)].concat()
}

/// Digits by which numbers are told apart: all forms of one have these last ones.
const NUMBER_DIGITS: usize = 10;

/// What the keys of all calls begin with whose outside number has these last digits.
pub fn number_prefix(number: &str) -> Vec<u8> {
    let digits = number.bytes().rev().filter(u8::is_ascii_digit).take(NUMBER_DIGITS);
    std::iter::once(b'n').chain(digits).collect()
}

/// What the keys of all calls begin with whose outside number has these last digits and no more; their sequence
/// number follows.
pub fn tail_prefix(number: &str) -> Vec<u8> {
    let mut prefix = number_prefix(number);
    prefix.push(0);
    prefix
}

pub fn number_key(number: &str, seq: Seq) -> Vec<u8> {
    let mut key = tail_prefix(number);
    key.extend_from_slice(&seq_key(seq));
    key
}

/// What the keys of all calls with this channel begin with; their sequence number follows.
pub fn uniqueid_prefix(pbx: &PbxName, uniqueid: &str) -> Vec<u8> {
    [b"u", pbx.as_str().as_bytes(), b"-", uniqueid.as_bytes(), b"\0"].concat()
}

pub fn uniqueid_key(pbx: &PbxName, uniqueid: &str, seq: Seq) -> Vec<u8> {
    let mut key = uniqueid_prefix(pbx, uniqueid);
    key.extend_from_slice(&seq_key(seq));
    key
}
