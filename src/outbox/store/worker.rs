//! The store's thread: takes what waits as one group, does it, makes it durable by one `persist`,
//! and only then answers. A panic of sled ends the store and not the process.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info};

use crate::call::record::FinishedCall;
use crate::outbox::queue::{Enqueued, Error};
use crate::outbox::store::Store;
use crate::outbox::store::handle::Refused;
use crate::outbox::store::history::Limits;
use crate::outbox::store::error::Panicked;
use crate::outbox::store::scan::panic_text;
use crate::outbox::store::rest::{self, Rest};
use crate::time::HostTime;

/// Commands in one group: what one sync can be shared by, and how long the first of them waits.
const GROUP_MAX: usize = 256;

/// How often the history is looked at.
const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum Command {
    Work(Box<dyn Job>),
    /// To be answered when the database is closed.
    Close(oneshot::Sender<()>),
}

/// One piece of work: done in a group, answered when the group is durable.
pub(super) trait Job: Send {
    fn run(&mut self, store: &mut Store, now: HostTime);

    /// Answers; with `failure` when nothing may be taken for done.
    fn answer(self: Box<Self>, failure: Option<&str>);
}

/// Calls to be taken in. They are held until they are durable, and go back when that fails.
#[derive(Debug)]
pub(super) struct Intake {
    calls: Vec<FinishedCall>,
    now: Option<HostTime>,
    outcome: Option<Result<Vec<Enqueued>, Error>>,
    reply: oneshot::Sender<Result<Vec<Enqueued>, Refused>>,
}

/// Any other work.
pub(super) struct Order<W, T> {
    work: Option<W>,
    outcome: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

pub(super) struct Worker {
    store: Store,
    commands: mpsc::Receiver<Command>,
    clock: Box<dyn Fn() -> HostTime + Send>,
    news: watch::Sender<u64>,
    failed: watch::Sender<Option<String>>,
    swept_at: Option<HostTime>,
    closers: Vec<oneshot::Sender<()>>,
    /// After how long without work sled's threads rest; never, when `None`.
    idle: Option<Duration>,
    rest: Rest,
}

impl std::fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Intake {
    pub fn new(
        calls: Vec<FinishedCall>,
        now: Option<HostTime>,
        reply: oneshot::Sender<Result<Vec<Enqueued>, Refused>>,
    ) -> Self {
        Self { calls, now, outcome: None, reply }
    }
}

impl Job for Intake {
    fn run(&mut self, store: &mut Store, now: HostTime) {
        self.outcome = Some(store.take_in(&self.calls, self.now.unwrap_or(now)));
    }

    fn answer(self: Box<Self>, failure: Option<&str>) {
        let calls = self.calls;
        let outcome = conclude(self.outcome, failure).map_err(|error| Refused { calls, error });
        // Whoever asked may have gone.
        let _ = self.reply.send(outcome);
    }
}

impl<W, T> Order<W, T> {
    pub fn new(work: W, reply: oneshot::Sender<Result<T, Error>>) -> Self {
        Self { work: Some(work), outcome: None, reply }
    }
}

impl<W, T> Job for Order<W, T>
where
    W: FnOnce(&mut Store) -> Result<T, Error> + Send,
    T: Send,
{
    fn run(&mut self, store: &mut Store, _now: HostTime) {
        self.outcome = self.work.take().map(|work| work(store));
    }

    fn answer(self: Box<Self>, failure: Option<&str>) {
        let _ = self.reply.send(conclude(self.outcome, failure));
    }
}

fn conclude<T>(outcome: Option<Result<T, Error>>, failure: Option<&str>) -> Result<T, Error> {
    match (failure, outcome) {
        (Some(reason), _) => Err(Error::Store(reason.to_owned())),
        (None, Some(outcome)) => outcome,
        (None, None) => Err(Error::Store("it was not asked".to_owned())),
    }
}

impl Worker {
    pub fn new(
        store: Store,
        commands: mpsc::Receiver<Command>,
        clock: Box<dyn Fn() -> HostTime + Send>,
        news: watch::Sender<u64>,
        failed: watch::Sender<Option<String>>,
        idle: Option<Duration>,
    ) -> Self {
        let rest = Rest::default();
        Self { store, commands, clock, news, failed, swept_at: None, closers: Vec::new(), idle, rest }
    }

    /// Works until the store is closed or every handle is gone.
    pub fn run(mut self) {
        while let Some(first) = self.next() {
            self.rest.wake();
            let mut group = self.gather(first);
            let failure = self.carry_out(&mut group);
            self.tell(failure.as_deref());
            for job in group {
                job.answer(failure.as_deref());
            }
        }
        let closers = std::mem::take(&mut self.closers);
        self.rest.wake();
        // Dropping the store closes the database and gives the lock up.
        drop(self);
        info!("the store is closed");
        for closer in closers {
            let _ = closer.send(());
        }
    }

    /// Waits for work; when none comes for a while, sled rests meanwhile.
    fn next(&mut self) -> Option<Command> {
        let mut all_rest = self.idle.is_none() || self.store.failed.get().is_some();
        while !all_rest {
            match rest::receive(&mut self.commands, self.idle.unwrap_or(rest::IDLE)) {
                Ok(command) => return command,
                Err(rest::Elapsed) => all_rest = self.rest.settle(&self.store.trees),
            }
        }
        self.commands.blocking_recv()
    }

    /// All that waits by now, up to the size of a group.
    fn gather(&mut self, first: Command) -> Vec<Box<dyn Job>> {
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Work(job) => group.push(job),
                Command::Close(reply) => {
                    // What was sent before is still received; nothing is sent after.
                    self.commands.close();
                    self.closers.push(reply);
                }
            }
            next = if group.len() < GROUP_MAX { self.commands.try_recv().ok() } else { None };
        }
        group
    }

    /// Does the group and makes it durable; returns why the store is dead, when it is.
    fn carry_out(&mut self, group: &mut [Box<dyn Job>]) -> Option<String> {
        let now = (self.clock)();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            for job in &mut *group {
                job.run(&mut self.store, now);
            }
            self.sweep(now);
            self.store.persist()
        }));
        match outcome {
            Ok(Ok(())) => debug!(commands = group.len(), "a group is durable"),
            Ok(Err(_)) => {}
            Err(panic) => {
                self.store.fail("the database panicked", Panicked(panic_text(&*panic)));
            }
        }
        self.store.failed.get().map(|failure| failure.reason.clone())
    }

    /// Ages the history: once an hour, and in every group while there is more to do.
    fn sweep(&mut self, now: HostTime) {
        if self.swept_at.is_some_and(|at| now.since(at) < SWEEP_EVERY && at <= now) {
            return;
        }
        // An error is in `failed` already.
        let more = self.store.sweep(Limits::default(), now).unwrap_or(false);
        self.swept_at = (!more).then_some(now);
    }

    fn tell(&mut self, failure: Option<&str>) {
        if let Some(reason) = failure {
            self.failed.send_if_modified(|told| {
                let first = told.is_none();
                told.get_or_insert_with(|| reason.to_owned());
                first
            });
        } else if std::mem::take(&mut self.store.news) {
            self.news.send_modify(|count| *count += 1);
        }
    }
}
