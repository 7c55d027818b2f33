//! Opening the store: the lock, the known faults of sled's start, what the journal knows better.

use std::cell::OnceCell;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use crate::call::id::CallId;
use crate::call::record::FinishedCall;
use crate::outbox::queue::{self, BatchId, Seq, State};
use crate::outbox::schedule::{Ledger, Schedule, Slip, waits};
use crate::outbox::store::draft::{Draft, Entering, LEDGER, Saved};
use crate::outbox::store::fsync::{Fsync, Target};
use crate::outbox::store::journal::{self, Journal};
use crate::outbox::store::trees::{Change, Tree, Trees, seq_key, seq_of};
use crate::outbox::store::value::{self, Head};
use crate::outbox::store::{Error, Opened, Store, fit, frame, lock};
use crate::panics;
use crate::time::HostTime;

/// The layout of trees and keys; see `trees`.
const SCHEMA: u32 = 1;

/// Where the layout's version lies in `meta`.
const SCHEMA_KEY: &[u8] = b"schema";

/// sled opens 100,000 calls in well under a second; on damaged files it may never end.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// Calls put back in one transaction.
const REFILL_CHUNK: usize = 128;

/// What a look at every waiting call gave.
struct Scan {
    trees: Trees,
    schedule: Schedule,
    unreadable: Vec<(Seq, sled::IVec, value::Error)>,
    /// Calls that are open in the journal and do not wait in the database.
    missing: journal::Open,
    /// The last batch that a waiting call names.
    last_batch: Option<BatchId>,
}

#[derive(Deserialize, Serialize)]
struct Schema {
    v: u32,
}

pub(super) fn open(dir: &Path, now: HostTime, mut fsync: Box<dyn Fsync>) -> Result<Store, Error> {
    make_dir(dir)?;
    let lock = lock::take(dir)?;
    let (queue, journal) = (dir.join("queue"), dir.join("journal"));
    make_dir(&queue)?;
    make_dir(&journal)?;
    delete_half_made_snapshots(&queue)?;
    let journal = Journal::new(journal);
    let Scan { trees, schedule, unreadable, missing, last_batch } =
        guarded_scan(queue.clone(), journal.dir())?;
    let db = open_db_file(&queue)?;
    for folder in [queue.as_path(), dir] {
        let synced = File::open(folder).and_then(|folder| fsync.sync(Target::Folder, &folder));
        synced.map_err(|error| Error::io(folder, error))?;
    }
    let mut store = Store {
        trees,
        db,
        journal,
        fsync,
        schedule,
        ledger: Ledger::default(),
        kept: 0,
        now,
        dirty: false,
        news: false,
        failed: OnceCell::new(),
        opened: Opened::default(),
        _lock: lock,
    };
    store.check_schema(&queue)?;
    let recovered = store.recover(last_batch, unreadable, &missing);
    recovered.map_err(|error| Error::damaged(&queue, error.to_string()))?;
    Ok(store)
}

/// Makes a folder that only its owner may read: there are telephone numbers in it.
fn make_dir(dir: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| Error::io(dir, error))
}

/// sled writes a snapshot when it opens, as `snap.X.generating`; killed there, it takes the half
/// of it for a whole one at the next start and refuses to open for ever (sled issues 1527, 1533).
/// The log has all that a snapshot has.
fn delete_half_made_snapshots(queue: &Path) -> Result<(), Error> {
    let io = |error| Error::io(queue, error);
    for entry in fs::read_dir(queue).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(&path).map_err(io)?;
            info!(file = %path.display(), "a snapshot that was never finished was removed");
        }
    }
    Ok(())
}

fn open_db_file(queue: &Path) -> Result<File, Error> {
    let path = queue.join("db");
    OpenOptions::new().read(true).write(true).open(&path).map_err(|error| Error::io(&path, error))
}

/// Opens and reads the database on a thread of its own: on damaged files sled may panic or hang.
fn guarded_scan(queue: PathBuf, journal: &Path) -> Result<Scan, Error> {
    let (report, reports) = mpsc::sync_channel(1);
    let (path, journal) = (queue.clone(), journal.to_owned());
    let work = move || {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| scan(&path, &journal)));
        // Nobody listens any more when it took too long.
        let _ = report.send(outcome);
    };
    let spawned = thread::Builder::new().name("store-open".into()).spawn(work);
    spawned.map_err(|error| Error::io(&queue, error))?;
    match reports.recv_timeout(OPEN_MAX) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Error::damaged(&queue, format!("sled panicked: {}", panics::text(&*panic)))),
        Err(_) => Err(Error::Stuck { path: queue, seconds: OPEN_MAX.as_secs() }),
    }
}

fn scan(queue: &Path, journal: &Path) -> Result<Scan, Error> {
    let missing = journal::Open::read(journal).map_err(|error| Error::io(journal, error))?;
    let trees = Trees::open(queue).map_err(|error| Error::sled(queue, error))?;
    let mut scan =
        Scan { trees, schedule: Schedule::default(), unreadable: Vec::new(), missing, last_batch: None };
    scan.read_outbox().map_err(|error| Error::sled(queue, error))?;
    Ok(scan)
}

impl Scan {
    fn read_outbox(&mut self) -> sled::Result<()> {
        for entry in self.trees.iter(Tree::Outbox) {
            let (key, bytes) = entry?;
            let Some(seq) = seq_of(&key) else { continue };
            match Head::decode(&bytes) {
                Ok((id, Head { slip, .. })) => {
                    self.missing.remove(&String::from_utf8_lossy(id));
                    self.last_batch = self.last_batch.max(batch(&slip.state));
                    // The key is where the call lies, whatever the value says.
                    self.schedule.put(&Slip { seq, ..slip });
                }
                Err(error) => self.unreadable.push((seq, bytes, error)),
            }
        }
        Ok(())
    }
}

impl Store {
    fn check_schema(&mut self, queue: &Path) -> Result<(), Error> {
        let damaged = |error: queue::Error| Error::damaged(queue, error.to_string());
        match self.meta::<Schema>(SCHEMA_KEY).map_err(damaged)? {
            Some(Schema { v }) if v > SCHEMA => {
                Err(Error::Newer { path: queue.to_owned(), found: v, known: SCHEMA })
            }
            Some(_) => Ok(()),
            None => {
                let mut change = Change::default();
                let json = format!("{{\"v\":{SCHEMA}}}");
                change.put(Tree::Meta, SCHEMA_KEY, frame::encode(SCHEMA_KEY, json.as_bytes()));
                self.write(&change).map_err(damaged)
            }
        }
    }

    /// Brings the ledger back, moves aside what cannot be read, and puts back what was lost.
    fn recover(
        &mut self,
        last_batch: Option<BatchId>,
        unreadable: Vec<(Seq, sled::IVec, value::Error)>,
        missing: &journal::Open,
    ) -> Result<(), queue::Error> {
        if let Some(saved) = self.meta::<Saved>(LEDGER)? {
            (self.ledger, self.kept) = (saved.ledger, saved.kept);
        }
        self.ledger.next_seq = self.ledger.next_seq.max(self.first_free_seq()?);
        self.ledger.next_batch = self.ledger.next_batch.max(last_batch.map_or(0, |batch| batch.0 + 1));
        self.opened.unreadable = unreadable.len() as u64;
        for (seq, bytes, error) in unreadable {
            self.set_aside(seq, &bytes, &error, self.now)?;
        }
        self.opened.damaged_lines = missing.damaged;
        if missing.damaged > 0 {
            warn!(lines = missing.damaged, "the journal has lines that cannot be read");
        }
        self.refill(missing)?;
        self.balance();
        self.persist()
    }

    fn first_free_seq(&self) -> Result<u64, queue::Error> {
        let mut free = 0;
        for tree in [Tree::Outbox, Tree::Dead, Tree::History] {
            let last = self.trees.last_seq(tree);
            let last = last.map_err(|error| self.fail("the database cannot be read", error))?;
            free = free.max(last.map_or(0, |seq| seq.0 + 1));
        }
        Ok(free)
    }

    fn refill(&mut self, missing: &journal::Open) -> Result<(), queue::Error> {
        for ids in missing.ids().chunks(REFILL_CHUNK) {
            let mut draft = self.draft();
            for id in ids {
                if !self.is_stored(id)? {
                    self.refill_one(&mut draft, id, missing)?;
                }
            }
            if !draft.slips.is_empty() {
                self.commit(draft)?;
            }
        }
        if self.opened.refilled > 0 {
            let calls = self.opened.refilled;
            warn!(calls, "calls that the database did not have were put back from the journal");
        }
        Ok(())
    }

    fn refill_one(
        &mut self,
        draft: &mut Draft,
        id: &CallId,
        missing: &journal::Open,
    ) -> Result<(), queue::Error> {
        let entry = missing.entry(id).map_err(|error| self.fail("the journal cannot be read", error))?;
        let Some((entry, call)) = entry.and_then(with_call) else {
            error!(call_id = %id, "a call is lost: neither database nor journal can be read");
            return Ok(());
        };
        let slip = self.refilled_slip(draft, &entry, &call)?;
        let call = fit::fit(&call).map_err(|error| self.fail("a call has no JSON", error))?;
        self.opened.refilled += 1;
        self.enter(draft, Entering { slip, call })
    }

    fn is_stored(&self, id: &CallId) -> Result<bool, queue::Error> {
        match self.seq_of_call(id)? {
            Some(seq) => self.holds(seq, id),
            None => Ok(false),
        }
    }

    /// Whether the entry is there and can be read.
    fn holds(&self, seq: Seq, id: &CallId) -> Result<bool, queue::Error> {
        for tree in [Tree::Dead, Tree::History, Tree::Outbox] {
            let bytes = self.trees.get(tree, &seq_key(seq));
            let bytes = bytes.map_err(|error| self.fail("the database cannot be read", error))?;
            let Some(bytes) = bytes else { continue };
            return Ok(frame::decode(&bytes).is_ok_and(|frame| frame.key == id.as_str().as_bytes()));
        }
        Ok(false)
    }

    /// The slip of a lost call: at its old place in the queue when that is free, and with an
    /// unknown outcome when it may have been sent, so that it is looked up and not sent blindly.
    fn refilled_slip(
        &self,
        draft: &mut Draft,
        entry: &journal::Entry,
        call: &FinishedCall,
    ) -> Result<Slip, queue::Error> {
        let is_free = self.tree_of(entry.seq)?.is_none() && !draft.has(entry.seq);
        let ledger = &mut draft.ledger;
        let seq = if is_free { entry.seq } else { ledger.take_seq() };
        ledger.next_seq = ledger.next_seq.max(seq.0 + 1);
        let mut slip = Slip::new(seq, &call.record, entry.enqueued_at);
        if let Some((batch, since)) = entry.intent
            && slip.state == State::Pending
        {
            slip.state = State::Unknown { batch, since, looked: 0 };
            slip.attempts = 1;
            ledger.next_batch = ledger.next_batch.max(batch.0 + 1);
        }
        if !waits(slip.state.phase()) {
            *ledger.finals.entry(slip.state.phase()).or_default() += 1;
        }
        Ok(slip)
    }

    /// The ledger never says that fewer calls came than can be shown. That more came than can be
    /// shown is a loss, and stays visible.
    fn balance(&mut self) {
        let stats = self.ledger.stats(&self.schedule);
        let shown: u64 = stats.by_phase.values().sum();
        self.ledger.ended = stats.ended.max(shown);
        if stats.ended > shown {
            let calls = stats.ended - shown;
            error!(calls, "calls are unaccounted for: database and journal have lost them");
        }
    }
}

/// The batch in which a call is being sent, or was.
fn batch(state: &State) -> Option<BatchId> {
    match state {
        State::Sending { batch, .. } | State::Unknown { batch, .. } => Some(*batch),
        State::Pending
        | State::Sent { .. }
        | State::Parked { .. }
        | State::Unsorted { .. }
        | State::Skipped { .. }
        | State::Expired { .. }
        | State::Dead { .. } => None,
    }
}

fn with_call(entry: journal::Entry) -> Option<(journal::Entry, FinishedCall)> {
    let call = serde_json::from_str(entry.call.get()).ok()?;
    Some((entry, call))
}
