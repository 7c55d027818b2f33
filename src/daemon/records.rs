//! The file of records: a line of each call that came to its end (`[records] file`), written by a thread of its own.
//!
//! The store tells of an end when it is durable, and waits for nobody: lines wait in memory, and a disk that takes
//! none costs lines and no call. A process that is killed between the two has no line of that call, and no
//! call has two lines for one end.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{info, warn};

use crate::config::Records as Settings;
use crate::daemon::records::rotation::Rotation;
use crate::ops::records::{RecordsStatus, line};
use crate::outbox::queue::Item;

mod rotation;

/// Lines that wait for the disk: some 4 MiB, minutes of a very large PBX.
const LINES_MAX: usize = 2048;

/// How soon a disk that took no line is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The file while it is written.
#[derive(Debug)]
pub struct Records {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// Who takes calls for it, and knows how it fares.
#[derive(Clone, Debug)]
pub struct Clerk(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    file: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    is_closing: bool,
    written: u64,
    lost: u64,
    failure: Option<String>,
}

impl Records {
    /// Begins the thread. A file that cannot be written is told and tried again.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        let Settings { file, size_max, keep } = settings.clone();
        let desk = Desk { state: Mutex::default(), changed: Condvar::new(), file: file.clone() };
        let desk = Arc::new(desk);
        let (own, files) = (Arc::clone(&desk), Rotation::new(file, size_max, keep));
        let thread = thread::Builder::new().name("records".into()).spawn(move || own.run(files))?;
        Ok(Self { desk, thread: Some(thread) })
    }

    pub fn clerk(&self) -> Clerk {
        Clerk(Arc::clone(&self.desk))
    }

    /// Writes what waits, each line tried once more, and ends the thread. It blocks as long as the disk does.
    pub fn close(mut self) {
        self.desk.state().is_closing = true;
        self.desk.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // One that panicked has told it.
            drop(thread.join());
        }
        let lost = self.desk.state().lost;
        if lost > 0 {
            let file = self.desk.file.display();
            warn!(%file, lost, "calls have no line in the file of records: `ami2amo history --json` has them");
        }
    }
}

impl Clerk {
    /// Takes the line of a call that came to its end, and waits for nothing.
    pub fn take(&self, item: &Item) {
        let Some(line) = line(item) else { return };
        let mut state = self.0.state();
        if state.lines.len() >= LINES_MAX {
            state.lost += 1;
            return;
        }
        state.lines.push_back(line);
        drop(state);
        self.0.changed.notify_all();
    }

    pub fn status(&self) -> RecordsStatus {
        let state = self.0.state();
        RecordsStatus {
            file: self.0.file.display().to_string(),
            written: state.written,
            lost: state.lost,
            waiting: state.lines.len() as u64,
            failure: state.failure.clone(),
        }
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut files: Rotation) {
        // What is wrong with the place shows at the start, and not with the first call.
        let opened = files.ready().map(drop);
        self.heed(opened);
        while let Some(line) = self.next() {
            let written = files.append(&line);
            let is_written = written.is_ok();
            self.heed(written);
            let mut state = self.state();
            if is_written {
                state.written += 1;
            } else if state.is_closing {
                state.lost += 1;
            } else {
                state.lines.push_front(line);
                // Woken by a line that came it looks again: a second try costs little.
                let waited = self.changed.wait_timeout_while(state, RETRY, |state| !state.is_closing);
                drop(waited);
            }
        }
    }

    /// Waits for a line; `None` at the end.
    fn next(&self) -> Option<Vec<u8>> {
        let state = self.state();
        let waited = self.changed.wait_while(state, |state| state.lines.is_empty() && !state.is_closing);
        waited.unwrap_or_else(PoisonError::into_inner).lines.pop_front()
    }

    /// Tells once that it goes wrong, and once that it works again.
    fn heed(&self, outcome: io::Result<()>) {
        let failure = outcome.err().map(|error| error.to_string());
        let before = std::mem::replace(&mut self.state().failure, failure.clone());
        let file = self.file.display();
        match (before, failure) {
            (None, Some(reason)) => {
                warn!(%file, reason, "the file of records cannot be written: lines wait in memory, calls go on");
            }
            (Some(_), None) => info!(%file, "the file of records is written again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::call::record::{Skip, sample};
    use crate::outbox::queue::{Seq, State as CallState};
    use crate::outbox::schedule::Slip;
    use crate::time::HostTime;

    fn skipped(seq: u64) -> Item {
        let call = sample::call(&format!("{seq}.1"));
        let state = CallState::Skipped { reason: Skip::Policy, at: HostTime::default() };
        Slip { state, ..Slip::new(Seq(seq), &call.record, HostTime::default()) }.into_item(call)
    }

    #[test]
    fn what_waits_at_the_end_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("below/calls.jsonl");
        let records =
            Records::start(&Settings { file: file.clone(), size_max: None, keep: NonZeroUsize::MIN })
                .unwrap();
        let clerk = records.clerk();
        for seq in 1..=100 {
            clerk.take(&skipped(seq));
        }
        records.close();
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 100);
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["delivery"]["reason"], "policy");
        assert_eq!((clerk.status().written, clerk.status().failure), (100, None));
    }

    #[test]
    fn a_file_that_cannot_be_written_costs_lines_and_no_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().to_owned();
        let records = Records::start(&Settings { file, size_max: None, keep: NonZeroUsize::MIN }).unwrap();
        let clerk = records.clerk();
        for seq in 0..=LINES_MAX as u64 + 7 {
            clerk.take(&skipped(seq));
        }
        assert!((7..=8).contains(&clerk.status().lost), "one may be in hand: {:?}", clerk.status());
        records.close();
        let status = clerk.status();
        assert_eq!((status.written, status.lost, status.waiting), (0, LINES_MAX as u64 + 8, 0));
        assert_eq!(status.failure.as_deref(), Some("it is no file"));
    }
}
