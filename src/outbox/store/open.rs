//! Opening the store: its folder and lock, then the ladder, on which nothing is ever deleted that holds
//! a call:
//!
//! ```text
//! 1  open, and put right from the journal what the database lost
//! 2  damaged or stuck: open a copy without snapshots, which sled makes anew from its log
//! 3  damaged still: a new database from the journal and from what lies in the old one's bytes
//! ```
//! On the rungs 2 and 3 the old database is set aside as `queue.quarantine-<time>`. A full disk, one that
//! is read-only, a lock that is held: none of them is damage, and nothing is touched.

use std::cell::OnceCell;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use crate::outbox::queue::{self, Phase, Seq};
use crate::outbox::schedule::{Ledger, Schedule};
use crate::outbox::store::ends::Ended;
use crate::outbox::store::error::{Failure, Panicked};
use crate::outbox::store::fsync::{Fsync, Shared};
use crate::outbox::store::journal::Journal;
use crate::outbox::store::recover::Doubt;
use crate::outbox::store::salvage::Salvage;
use crate::outbox::store::scan::{self, Depth, Scan};
use crate::outbox::store::swap::{self, Old};
use crate::outbox::store::trees::{Change, SCHEMA_KEY, Tree, Trees};
use crate::outbox::store::{Error, Opened, Repair, Store, fit, frame, lock, space};
use crate::panics;
use crate::time::HostTime;

/// The layout of trees and keys; see `trees`.
const SCHEMA: u32 = 1;

/// Size of a database's file from which it is worth looking whether it is needed, in bytes.
const LARGE: u64 = 64 << 20;

/// The folder of the store, held by this process.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub dir: PathBuf,
    pub fsync: Shared,
    /// Nobody else may open the database while any copy of this lives.
    _lock: Arc<File>,
}

/// What is known of the database before it is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trust {
    /// It was closed, or its process ended.
    Whole,
    /// It failed and named damage.
    Damaged,
    /// It did so again and again, although it opened each time.
    Ruined,
    /// It failed while it was made durable: what can be read of it need not be on the disk.
    Unsynced,
}

/// Whether a damaged database may be repaired.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Care {
    Repair,
    Leave,
}

#[derive(Deserialize, Serialize)]
struct Schema {
    v: u32,
}

impl Ground {
    /// Makes the folder where it is missing, and takes the lock.
    pub fn take(dir: &Path, fsync: Box<dyn Fsync>) -> Result<Self, Error> {
        make_dir(dir)?;
        let lock = lock::take(dir)?;
        Ok(Self { dir: dir.to_owned(), fsync: Shared::new(fsync), _lock: Arc::new(lock) })
    }

    /// Opens the database, up the ladder as far as it takes. On a full disk the ballast goes first: what
    /// cannot be opened cannot be delivered.
    pub fn open(&self, now: HostTime, trust: Trust, care: Care) -> Result<Store, Error> {
        match self.open_once(now, trust, care) {
            Err(Error::Full { .. }) if care == Care::Repair && space::drop_ballast(&self.dir) => {
                self.open_once(now, trust, care)
            }
            outcome => outcome,
        }
    }

    fn open_once(&self, now: HostTime, trust: Trust, care: Care) -> Result<Store, Error> {
        make_dir(&self.journal())?;
        swap::settle(&self.dir, &mut self.fsync.clone())?;
        make_dir(&self.queue())?;
        if care == Care::Repair {
            Journal::new(self.journal()).clear();
        }
        if trust == Trust::Unsynced {
            self.rewrite()?;
        }
        if trust == Trust::Ruined && care == Care::Repair {
            error!("the database fails again and again: a new one is made of what can be found in it");
            return self.rebuild(now);
        }
        let depth = if trust == Trust::Whole { Depth::Waiting } else { Depth::All };
        let doubt = if scan::size(&self.queue()) == 0 { Doubt::New } else { Doubt::Old };
        swap::preserve(&self.dir);
        let store = match self.attempt(now, depth, doubt) {
            Err(error) if error.is_damage() && care == Care::Repair => self.climb(now, &error),
            outcome => outcome,
        }?;
        swap::forget_before(&self.dir);
        match care {
            Care::Repair => self.shrink(store, now, LARGE),
            Care::Leave => Ok(store),
        }
    }

    pub fn queue(&self) -> PathBuf {
        queue_of(&self.dir)
    }

    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// The first rung: the database as it is.
    fn attempt(&self, now: HostTime, depth: Depth, doubt: Doubt) -> Result<Store, Error> {
        let queue = self.queue();
        delete_half_made_snapshots(&queue)?;
        let Scan { trees, schedule, findings } = scan::guarded(&queue, &self.journal(), depth)?;
        for folder in [queue.as_path(), &self.dir] {
            swap::sync_folder(folder, &mut self.fsync.clone())?;
        }
        let mut store = Store { schedule, ..self.store(&queue, trees, now)? };
        // sled reads a page when it is asked for, and may panic then.
        let recovered = panic::catch_unwind(AssertUnwindSafe(|| {
            store.check_schema(&queue)?;
            Ok(store.recover(findings, doubt))
        }));
        let recovered = recovered.unwrap_or_else(|panic| {
            Ok(Err(store.fail("the database panicked", Panicked(panics::text(&*panic)))))
        })?;
        recovered.map_err(|error| store.end(&queue, &error))?;
        Ok(store)
    }

    /// The other rungs.
    fn climb(&self, now: HostTime, damage: &Error) -> Result<Store, Error> {
        error!(error = %damage, "the database is damaged: a copy of it without its snapshots is tried");
        let error = match self.mend(now) {
            Ok(aside) => match self.attempt(now, Depth::Waiting, Doubt::Damaged) {
                Ok(mut store) => {
                    store.opened.repair = Some(Repair::Mended);
                    error!(
                        damaged = %aside.display(),
                        "the database is mended and nothing is known to be lost; the damaged one is kept for \
                         a look at it: check the disk (dmesg, smartctl)"
                    );
                    return Ok(store);
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        swap::give_up(&self.dir);
        if !error.is_damage() {
            return Err(error);
        }
        error!(%error, "the copy is damaged, too: a new database is made from the journal and what can be found in the old one");
        self.rebuild(now)
    }

    /// The second rung. Returns where the damaged database lies.
    fn mend(&self, now: HostTime) -> Result<PathBuf, Error> {
        let new = swap::begin(&self.dir)?;
        swap::copy(&self.queue(), &new)?;
        // Closed again here: where it lies it will not stay.
        drop(scan::guarded(&new, &self.journal(), Depth::All)?.trees);
        swap::finish(&self.dir, Old::Quarantine(now), &mut self.fsync.clone())
    }

    /// The third rung.
    fn rebuild(&self, now: HostTime) -> Result<Store, Error> {
        let new = swap::begin(&self.dir)?;
        let opened = self.fill(&new, now).inspect_err(|_| swap::give_up(&self.dir))?;
        let aside = swap::finish(&self.dir, Old::Quarantine(now), &mut self.fsync.clone())?;
        let mut store = self.attempt(now, Depth::Waiting, Doubt::Old)?;
        store.opened = Opened { repair: Some(Repair::Rebuilt), ..opened };
        error!(
            opened = ?store.opened, damaged = %aside.display(),
            "the database was made anew; the damaged one is kept for a look at it: check the disk (dmesg, \
             smartctl), and compare amoCRM with the PBX for the last minutes before the damage"
        );
        Ok(store)
    }

    /// Makes a new database in `new` of all that the old one's bytes and the journal know.
    fn fill(&self, new: &Path, now: HostTime) -> Result<Opened, Error> {
        let ruins = swap::ruins_of(&self.dir);
        let salvage = Salvage::read(&ruins).map_err(|error| Error::io(&ruins, error))?;
        let trees = Trees::open(new).map_err(|error| Error::sled(new, error))?;
        let mut store = self.store(new, trees, now)?;
        store.check_schema(new)?;
        store.fill_from(&salvage).map_err(|error| store.end(new, &error))?;
        Ok(store.opened)
    }

    /// After a sync that failed: what the kernel still shows may never have reached the disk, and it
    /// says so once. What is written anew and synced then is there.
    fn rewrite(&self) -> Result<(), Error> {
        let new = swap::begin(&self.dir)?;
        let copied = swap::copy(&self.queue(), &new);
        let copied = copied.and_then(|()| swap::finish(&self.dir, Old::Delete, &mut self.fsync.clone()));
        copied.inspect_err(|_| swap::give_up(&self.dir))?;
        let journal = self.journal();
        let rewritten = Journal::rewrite_last(&journal, &mut self.fsync.clone());
        rewritten.map_err(|error| Error::io(&journal, error))
    }

    /// Makes the database anew when its file has at least `large` bytes and little in it: sled gives no
    /// room back that a long queue once took.
    pub(super) fn shrink(&self, store: Store, now: HostTime, large: u64) -> Result<Store, Error> {
        let bytes = scan::size(&self.queue());
        if bytes < large || store.entries().saturating_mul(fit::VALUE_MAX as u64) >= bytes {
            return Ok(store);
        }
        if let Err(error) = self.copy_out(&store.trees) {
            swap::give_up(&self.dir);
            warn!(%error, bytes, "a database that is larger than need be stays so");
            return Ok(store);
        }
        let opened = store.opened;
        drop(store);
        if let Err(error) = swap::finish(&self.dir, Old::Delete, &mut self.fsync.clone()) {
            warn!(%error, bytes, "a database that is larger than need be stays so");
            swap::settle(&self.dir, &mut self.fsync.clone())?;
        }
        let store = self.attempt(now, Depth::Waiting, Doubt::Old)?;
        info!(
            before = bytes,
            after = scan::size(&self.queue()),
            "the database was made anew, and is small again"
        );
        Ok(Store { opened, ..store })
    }

    fn copy_out(&self, trees: &Trees) -> Result<(), Error> {
        let new = swap::begin(&self.dir)?;
        let copied = Trees::open(&new).and_then(|copy| {
            trees.copy_into(&copy)?;
            copy.flush()?;
            trees.equals(&copy)
        });
        match copied {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::damaged(&new, "it differs from what was copied".to_owned())),
            Err(error) => Err(Error::sled(&new, error)),
        }
    }

    /// A store on this database, as empty as memory is.
    fn store(&self, queue: &Path, trees: Trees, now: HostTime) -> Result<Store, Error> {
        Ok(Store {
            db: open_db_file(queue)?,
            trees,
            journal: Journal::new(self.journal()),
            fsync: self.fsync.clone(),
            schedule: Schedule::default(),
            ledger: Ledger::default(),
            counted_to: Seq(0),
            numbered_from: Seq(0),
            kept: 0,
            now,
            dirty: false,
            news: false,
            spare: false,
            failed: OnceCell::new(),
            ended: Ended::default(),
            opened: Opened::default(),
            ground: self.clone(),
        })
    }
}

impl Store {
    fn check_schema(&mut self, queue: &Path) -> Result<(), Error> {
        let schema = self.meta::<Schema>(SCHEMA_KEY);
        match schema.map_err(|error| self.end(queue, &error))? {
            Some(Schema { v }) if v > SCHEMA => {
                Err(Error::Newer { path: queue.to_owned(), found: v, known: SCHEMA })
            }
            Some(_) => Ok(()),
            None => {
                let mut change = Change::default();
                let json = format!("{{\"v\":{SCHEMA}}}");
                change.put(Tree::Meta, SCHEMA_KEY, frame::encode(SCHEMA_KEY, json.as_bytes()));
                self.write(&change).map_err(|error| self.end(queue, &error))
            }
        }
    }

    /// Why it could not be opened, by what ended it.
    fn end(&self, queue: &Path, error: &queue::Error) -> Error {
        match self.failed.get() {
            Some(failure) => Error::of_failure(queue, failure),
            None => Error::damaged(queue, error.to_string()),
        }
    }

    /// Calls in the database, whatever became of them, and a little more.
    fn entries(&self) -> u64 {
        let dead = self.ledger.finals.get(&Phase::Dead).copied().unwrap_or_default();
        self.schedule.len() as u64 + self.kept + dead
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failed.get()
    }
}

pub(super) fn queue_of(dir: &Path) -> PathBuf {
    dir.join("queue")
}

/// Makes a folder that only its owner may read: there are telephone numbers in it.
pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
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
