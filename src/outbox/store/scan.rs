//! The first look into a database, on a thread of its own: on damaged files sled may panic or hang.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::outbox::queue::{BatchId, Phase, Seq, State};
use crate::outbox::schedule::{Schedule, Slip};
use crate::outbox::store::Error;
use crate::outbox::store::journal::read::{Intent, Open, Spot};
use crate::outbox::store::trees::{OWING, TREES, Tree, Trees, seq_key, seq_of};
use crate::outbox::store::value::{self, Head};
use crate::panics;

/// sled opens 100,000 calls in well under a second; on damaged files it may never end.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// Further time for each of these bytes, where all of a database is read.
const BYTES_A_SECOND: u64 = 4 << 20;

/// How much is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// What every start needs: the waiting calls.
    Waiting,
    /// Every entry, after something gave reason to doubt.
    All,
}

/// What a look at every waiting call gave.
pub struct Scan {
    pub trees: Trees,
    pub schedule: Schedule,
    pub findings: Findings,
}

/// What is to be put right.
#[derive(Debug, Default)]
pub struct Findings {
    pub unreadable: Vec<(Seq, sled::IVec, value::Error)>,
    /// Calls that are open in the journal and do not wait in the database.
    pub missing: Open,
    /// Waiting calls that are not open in the journal: it says that they are done, or nothing.
    pub closed: Vec<(Seq, String)>,
    /// Calls that wait to be sent, and were last heard of by the journal on their way.
    pub perhaps_sent: Vec<(Seq, Intent, Option<Spot>)>,
    /// The last batch that a waiting call names.
    pub last_batch: Option<BatchId>,
}

/// Opens and reads the database in `queue`; what the journal in `journal` knows is laid beside it.
pub fn guarded(queue: &Path, journal: &Path, depth: Depth) -> Result<Scan, Error> {
    let (report, reports) = mpsc::sync_channel(1);
    let (path, journal) = (queue.to_owned(), journal.to_owned());
    let work = move || {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| scan(&path, &journal, depth)));
        // Nobody listens any more when it took too long.
        let _ = report.send(outcome);
    };
    let spawned = thread::Builder::new().name("store-open".into()).spawn(work);
    spawned.map_err(|error| Error::io(queue, error))?;
    let limit = limit(queue, depth);
    match reports.recv_timeout(limit) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Error::damaged(queue, format!("sled panicked: {}", panics::text(&*panic)))),
        Err(_) => Err(Error::Stuck { path: queue.to_owned(), seconds: limit.as_secs() }),
    }
}

/// Bytes of the database's file; 0 when it has none.
pub fn size(queue: &Path) -> u64 {
    std::fs::metadata(queue.join("db")).map_or(0, |meta| meta.len())
}

fn limit(queue: &Path, depth: Depth) -> Duration {
    match depth {
        Depth::Waiting => OPEN_MAX,
        Depth::All => OPEN_MAX + Duration::from_secs(size(queue) / BYTES_A_SECOND),
    }
}

fn scan(queue: &Path, journal: &Path, depth: Depth) -> Result<Scan, Error> {
    let missing = Open::read(journal).map_err(|error| Error::io(journal, error))?;
    let trees = Trees::open(queue).map_err(|error| Error::sled(queue, error))?;
    let findings = Findings { missing, ..Findings::default() };
    let mut scan = Scan { trees, schedule: Schedule::default(), findings };
    scan.read_outbox().map_err(|error| Error::sled(queue, error))?;
    scan.read_owing().map_err(|error| Error::sled(queue, error))?;
    if depth == Depth::All {
        for tree in TREES {
            scan.trees.iter(tree).try_for_each(|entry| entry.map(drop)).map_err(|e| Error::sled(queue, e))?;
        }
    }
    Ok(scan)
}

impl Scan {
    /// Delivered calls to which something is owed. What cannot be read is owed no more.
    fn read_owing(&mut self) -> sled::Result<()> {
        for key in self.trees.keys_from(Tree::Ids, OWING) {
            let key = key?;
            let Some(seq) = seq_of(&key[OWING.len()..]) else { continue };
            let Some(bytes) = self.trees.get(Tree::History, &seq_key(seq))? else { continue };
            if let Ok((_, Head { slip, .. })) = Head::decode(&bytes) {
                self.schedule.put(&Slip { seq, ..slip });
            }
        }
        Ok(())
    }

    fn read_outbox(&mut self) -> sled::Result<()> {
        for entry in self.trees.iter(Tree::Outbox) {
            let (key, bytes) = entry?;
            let Some(seq) = seq_of(&key) else { continue };
            match Head::decode(&bytes) {
                Ok((id, Head { slip, .. })) => {
                    // The key is where the call lies, whatever the value says.
                    let slip = Slip { seq, ..slip };
                    self.findings.compare(&String::from_utf8_lossy(id), &slip);
                    self.schedule.put(&slip);
                }
                Err(error) => self.findings.unreadable.push((seq, bytes, error)),
            }
        }
        Ok(())
    }
}

impl Findings {
    /// The journal is never behind: where it says more, the database has fallen back.
    fn compare(&mut self, id: &str, slip: &Slip) {
        self.last_batch = self.last_batch.max(batch(&slip.state));
        let spot = self.missing.spot(id);
        match self.missing.take(id) {
            None => self.closed.push((slip.seq, id.to_owned())),
            Some(Some(intent)) if matches!(slip.state.phase(), Phase::Pending | Phase::Parked) => {
                self.last_batch = self.last_batch.max(Some(intent.batch));
                self.perhaps_sent.push((slip.seq, intent, spot));
            }
            Some(_) => {}
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
