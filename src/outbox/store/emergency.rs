//! The last resort of a process that must end while its store is dead: calls go to a plain file, of which
//! the next start takes them in.
//!
//! ```text
//! emergency.jsonl            one line a call, as the journal writes them
//! emergency.jsonl.values     calls in progress: `{"pbx":…,"key":…,"value":…}`, keys and values of `inflight`
//! emergency.jsonl.damaged    one with lines that could not be read, for a person; the next is `.damaged.2`
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{error, warn};

use crate::call::record::FinishedCall;
use crate::outbox::queue::{Enqueued, Seq};
use crate::outbox::store::fsync::{Fsync as _, Target};
use crate::outbox::store::handle::Handle;
use crate::outbox::store::journal::read::{Entry, Open};
use crate::outbox::store::journal::{self, end_torn_line};
use crate::outbox::store::recover::with_call;
use crate::outbox::store::{Error, Store, fit};
use crate::time::HostTime;

mod values;

/// Whose turn it is: a store that opens again takes the file away while an intake may still write into it.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handle {
    /// The last resort of a process that must end while its store is dead: writes calls to a file, of
    /// which the next start takes them. It blocks.
    ///
    /// # Errors
    /// The calls for which there was no room, and why.
    pub fn spill(
        &self,
        calls: Vec<FinishedCall>,
        now: HostTime,
    ) -> Result<(), (Vec<FinishedCall>, io::Error)> {
        append(self.dir(), calls, now)
    }
}

/// Appends calls and makes them durable; returns those for which there was no room, and why.
pub fn append(
    dir: &Path,
    calls: Vec<FinishedCall>,
    now: HostTime,
) -> Result<(), (Vec<FinishedCall>, io::Error)> {
    let _turn = turn();
    let mut file = match open(dir) {
        Ok(file) => file,
        Err(error) => return Err((calls, error)),
    };
    let mut written = 0;
    let outcome = calls.iter().try_for_each(|call| {
        append_one(&mut file, call, now)?;
        written += 1;
        Ok(())
    });
    // Without it nothing counts as written.
    let synced = file.sync_all().and_then(|()| File::open(dir)?.sync_all());
    match (outcome, synced) {
        (Ok(()), Ok(())) => Ok(()),
        (_, Err(error)) => Err((calls, error)),
        (Err(error), Ok(())) => Err((calls.into_iter().skip(written).collect(), error)),
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("emergency.jsonl")
}

fn open(dir: &Path) -> io::Result<File> {
    let options = OpenOptions::new().create(true).append(true).read(true).mode(0o600).clone();
    let mut file = options.open(path(dir))?;
    end_torn_line(&mut file)?;
    Ok(file)
}

/// `path`, or with a number behind it where that is taken: what waits there for a person stays.
fn unused(path: &Path) -> PathBuf {
    let mut free = path.to_owned();
    let mut number = 1;
    while free.exists() {
        number += 1;
        free = path.with_added_extension(number.to_string());
    }
    free
}

/// A line of which a part was written is taken back.
fn append_one(file: &mut File, call: &FinishedCall, now: HostTime) -> io::Result<()> {
    let fitted = fit::fit(call)?;
    let mut line = Vec::new();
    journal::entry_line(&mut line, call.record.call_id.as_str(), Seq(0), now, &fitted.json)?;
    let length = file.metadata()?.len();
    file.write_all(&line).inspect_err(|_| {
        if let Err(error) = file.set_len(length) {
            warn!(%error, "a torn line stays in emergency.jsonl");
        }
    })
}

impl Store {
    /// Takes in what an earlier process could not store.
    pub(super) fn take_emergency(&mut self, now: HostTime) -> Result<(), Error> {
        let _turn = turn();
        // Before the calls: those that ended are in progress no more.
        self.take_emergency_values(now)?;
        let path = path(&self.ground.dir);
        let io = |error| Error::io(&path, error);
        if !path.try_exists().map_err(io)? {
            return Ok(());
        }
        let open = Open::read_files(vec![path.clone()]).map_err(io)?;
        let (mut calls, mut damaged) = (Vec::new(), open.damaged);
        for id in open.ids() {
            match open.entry(&id).map_err(io)?.and_then(with_call) {
                Some((Entry { enqueued_at, .. }, call)) => calls.push((enqueued_at, call)),
                None => damaged += 1,
            }
        }
        self.opened.rescued = self.rescue(calls, now)?;
        if damaged > 0 {
            let aside = unused(&path.with_extension("jsonl.damaged"));
            error!(lines = damaged, file = %aside.display(), "calls are lost: an emergency file has lines that cannot be read; a person may");
            fs::rename(&path, aside).map_err(io)?;
        } else {
            fs::remove_file(&path).map_err(io)?;
        }
        let folder = File::open(&self.ground.dir).and_then(|folder| self.fsync.sync(Target::Folder, &folder));
        folder.map_err(io)?;
        warn!(calls = self.opened.rescued, "calls that an earlier process could not store are stored now");
        Ok(())
    }

    fn rescue(&mut self, calls: Vec<(HostTime, FinishedCall)>, now: HostTime) -> Result<u64, Error> {
        let failed = |store: &Self| {
            let failure = store.failure().map(|failure| Error::of_failure(&store.ground.dir, failure));
            failure.unwrap_or_else(|| Error::damaged(&store.ground.dir, "a call cannot be stored".to_owned()))
        };
        let mut new = 0;
        for (at, call) in calls {
            let taken = self.take_in(&[call], at).map_err(|_| failed(self))?;
            new += taken.iter().filter(|taken| matches!(taken, Enqueued::New(_))).count() as u64;
        }
        self.now = now;
        self.persist().map_err(|_| failed(self))?;
        Ok(new)
    }
}
