//! A store whose thread comes to no end with what it does, though nothing is wrong with the disk: that it is so is seen
//! from outside, and it is given up, so that another process begins anew. What was handed over to it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::outbox::store::handle::Handle;
use crate::outbox::store::worker::Trouble;
use crate::time::MonoTime;

/// How the store's thread gets on.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    /// Pieces of work that came to their end.
    done: AtomicU64,
    is_at_work: AtomicBool,
}

/// The thread works until this is dropped.
#[derive(Debug)]
pub(super) struct AtWork(Turns);

/// Sees whether a store comes to an end with what it does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    done: u64,
    /// The last look, while there was work and no piece of it came to its end.
    looked: Option<MonoTime>,
    lasts: Duration,
}

/// Most of what may lie between two looks that counts: in a process or on a machine that stood still itself, nothing comes to
/// its end.
const STEP_MAX: Duration = Duration::from_secs(20);

impl Turns {
    pub fn begin(&self) -> AtWork {
        self.0.is_at_work.store(true, Ordering::Relaxed);
        AtWork(self.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let Counters { done, is_at_work } = &*self.0.0;
        is_at_work.store(false, Ordering::Relaxed);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

impl Watch {
    /// For how long the store has come to no end, at `now`, as the looks saw it. Zero while it has nothing to do, and
    /// while one that failed is opened again, which may take minutes.
    pub fn look(&mut self, store: &Handle, now: MonoTime) -> Duration {
        let done = store.turns.0.done.load(Ordering::Relaxed);
        if done != self.done || !store.has_work() || store.failure().is_some() {
            *self = Self { done, ..Self::default() };
            return Duration::ZERO;
        }
        self.lasts += self.looked.map_or(Duration::ZERO, |looked| now.since(looked)).min(STEP_MAX);
        self.looked = Some(now);
        self.lasts
    }

    /// It is not the store's fault, as far as is known: its disk does not work.
    pub fn forgive(&mut self) {
        self.lasts = Duration::ZERO;
    }
}

impl Handle {
    /// Whether the thread is at work, or should be.
    pub(super) fn has_work(&self) -> bool {
        self.turns.0.is_at_work.load(Ordering::Relaxed) || self.has_waiting()
    }

    /// Gives up a store whose thread comes to no end, and says why: nothing is asked of it any more, whoever waits
    /// for it has an error, [`Handle::failed`] ends, and receipts give back what was handed over. The process should
    /// end, and does well to [`Handle::spill`] that; a call that was stored all the same is known by its id.
    pub fn give_up(&self, reason: &str) {
        self.trouble.send_replace(Some(Trouble { reason: reason.to_owned(), is_final: true }));
    }

    /// Whether it will never answer again.
    pub fn is_given_up(&self) -> bool {
        self.trouble.borrow().as_ref().is_some_and(|trouble| trouble.is_final)
    }
}
