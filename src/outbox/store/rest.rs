//! Rest for sled's threads while nothing is asked of the store.
//!
//! sled 0.34 keeps seven I/O threads for the life of the process, and each of them wakes once a
//! second to look for work (its `threadpool.rs`: `DESIRED_WAITING_THREADS`, `wait_limit`); no
//! setting changes that. But whichever of them completes a `flush_async` calls the waker of
//! whoever waits for it, and nothing forbids a waker to wait: ours does, until there is work. The
//! owner of the database lets all of them go before it touches the database again.
//!
//! A flush must find nothing to write: its thread would wait for the write, which is left to one of the same seven
//! (`make_stable_inner` and `maybe_seal_and_write_iobuf` in sled's `pagecache/iobuf.rs`), and when all
//! of them flush, all wait for ever. So all is written before they are asked, and nothing is asked of the database
//! before each of them has flushed.
//!
//! The threads are the process's, not the database's: only a process with one store may do this.

use std::future::Future as _;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::debug;

use crate::clock;
use crate::outbox::store::trees::Trees;

/// How long nothing must be asked before the threads are put to rest.
pub const IDLE: Duration = Duration::from_secs(1);

/// Tasks that sled's queue may hold before it starts more threads.
const QUEUED_MAX: usize = 7;

/// Tries to catch a thread. Where the scheduler lets the woken thread run at once, most fail; a try
/// costs some 30 microseconds.
const TRIES_MAX: usize = 500;

/// Holds sled's threads. Dropped, it lets them go.
#[derive(Debug, Default)]
pub struct Rest {
    gate: Arc<Gate>,
    /// Threads that were asked to rest since the last [`Rest::wake`].
    asked: usize,
}

/// Where the threads wait.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    resting: usize,
    /// Flushes that were waited for and are done.
    flushed: usize,
}

impl Rest {
    /// Asks sled's threads to rest, a few at a time; true when all of them do. Until
    /// [`Rest::wake`], nothing may be asked of the database. One that cannot be written does not rest.
    pub fn settle(&mut self, trees: &Trees) -> bool {
        // Reading may leave something to be written, too: sled then divides a page that has grown.
        if let Err(error) = trees.flush() {
            debug!(%error, "the store does not rest: it cannot be written");
            return false;
        }
        self.gate.lock().closed = true;
        let waker = Waker::from(Arc::clone(&self.gate));
        let threads = threads();
        let wanted = threads.min(self.asked + QUEUED_MAX);
        for _ in 0..TRIES_MAX {
            if self.asked >= wanted {
                break;
            }
            // Polled once: it goes to a thread, which calls the waker when it is done. A thread that
            // was done before the waker was there is free still.
            let is_late = pin!(trees.flush_async()).poll(&mut Context::from_waker(&waker)).is_ready();
            self.asked += usize::from(!is_late);
        }
        let resting = self.gate.lock().resting;
        debug!(resting, threads, "the store is idle");
        resting >= threads
    }

    /// Lets them go, and waits until those that were asked and did not come yet have flushed: as long as the
    /// scheduler takes to give each of them a turn.
    pub fn wake(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        let mut state = self.gate.lock();
        if std::mem::take(&mut state.closed) {
            self.gate.changed.notify_all();
        }
        let is_early = |state: &mut State| state.flushed < asked;
        let mut state = self.gate.changed.wait_while(state, is_early).unwrap_or_else(PoisonError::into_inner);
        state.flushed = 0;
    }
}

/// How many threads sled has, by the names that it gives them.
fn threads() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task?.path().join("comm"));
    tasks.map(name).filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("sled-io"))).count()
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.wake();
    }
}

impl Gate {
    /// No holder leaves it half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Gate {
    /// Runs on a thread of sled.
    fn wake(self: Arc<Self>) {
        let mut state = self.lock();
        state.flushed += 1;
        if !state.closed {
            self.changed.notify_all();
            return;
        }
        state.resting += 1;
        let mut state =
            self.changed.wait_while(state, |state| state.closed).unwrap_or_else(PoisonError::into_inner);
        state.resting -= 1;
    }
}

/// What came within `wait`: a message, or the end of the channel. Cancel safe.
///
/// # Errors
/// [`Elapsed`] when nothing came.
pub fn receive<T>(channel: &mut mpsc::Receiver<T>, wait: Duration) -> Result<Option<T>, Elapsed> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let until = clock::mono().after(wait);
    loop {
        if let std::task::Poll::Ready(message) = channel.poll_recv(&mut Context::from_waker(&waker)) {
            return Ok(message);
        }
        let left = until.since(clock::mono());
        if left.is_zero() {
            return Err(Elapsed);
        }
        thread::park_timeout(left);
    }
}

/// Nothing came in time.
#[derive(Debug)]
pub struct Elapsed;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::outbox::store::trees::{Change, Tree};

    const ROUNDS: u32 = 2000;
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn what_is_not_written_yet_keeps_no_thread_waiting_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let trees = Trees::open(dir.path()).unwrap();
        let (done, rounds) = sync_channel(1);
        thread::spawn(move || {
            let mut rest = Rest::default();
            for round in 0..ROUNDS {
                let mut change = Change::default();
                change.put(Tree::Meta, b"key".as_slice(), round.to_be_bytes().as_slice());
                trees.commit(&change).unwrap();
                rest.settle(&trees);
                rest.wake();
                trees.commit(&change).unwrap();
                trees.flush().unwrap();
                done.send(round).unwrap();
            }
        });
        for round in 0..ROUNDS {
            assert_eq!(rounds.recv_timeout(PATIENCE), Ok(round), "the database hangs");
        }
    }
}
