//! The store's thread: takes what waits as one group, does it, makes it durable by one `persist`,
//! and only then answers. A panic of sled ends the store and not the process; a store that failed is
//! dropped and opened again.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info};

use crate::call::id::PbxName;
use crate::clock;
use crate::outbox::parcel::Parcel;
use crate::outbox::queue::{Enqueued, Error};
use crate::outbox::store::Store;
use crate::outbox::store::down::{Down, Record};
use crate::outbox::store::ends::Ends;
use crate::outbox::store::error::{Failure, Panicked};
use crate::outbox::store::history::Limits;
use crate::outbox::store::hung::Turns;
use crate::outbox::store::open::Ground;
use crate::outbox::store::receipt::{Answer, Receipt, Refused};
use crate::outbox::store::rest::{self, Rest};
use crate::outbox::store::space::{Guard, Room};
use crate::panics;
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

/// Calls to be taken in, and what changed of those in progress. They are held until they are durable,
/// and go back when that fails.
#[derive(Debug)]
pub(super) struct Intake {
    parcel: Arc<Parcel>,
    /// Whose the changes are.
    pbx: PbxName,
    now: Option<HostTime>,
    /// How long calls that were cut short are held back.
    pub hold: Duration,
    outcome: Option<Result<Vec<Enqueued>, Error>>,
    reply: oneshot::Sender<Answer>,
}

/// Any other work.
pub(super) struct Order<W, T> {
    work: Option<W>,
    outcome: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

pub(super) struct Worker {
    life: Life,
    ground: Ground,
    commands: mpsc::Receiver<Command>,
    clock: Box<dyn Fn() -> HostTime + Send>,
    news: watch::Sender<u64>,
    trouble: watch::Sender<Option<Trouble>>,
    swept_at: Option<HostTime>,
    closers: Vec<oneshot::Sender<()>>,
    /// After how long without work sled's threads rest; never, when `None`.
    idle: Option<Duration>,
    rest: Rest,
    record: Record,
    /// The first batch that was acknowledged to nobody yet.
    next_batch: u64,
    guard: Guard,
    /// Who hears of calls that came to their end.
    pub ends: Ends,
    /// Seen from outside.
    pub turns: Turns,
}

/// The store, or what there is in its place.
pub(super) enum Life {
    Open(Box<Store>),
    Down(Down),
}

/// Why nothing is taken.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub reason: String,
    /// It will not be opened again.
    pub is_final: bool,
}

impl std::fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Intake {
    pub fn new(parcel: Parcel, pbx: PbxName, now: Option<HostTime>) -> (Self, Receipt) {
        let (reply, answer) = oneshot::channel();
        let parcel = Arc::new(parcel);
        let receipt = Receipt::new(answer, Arc::clone(&parcel));
        (Self { parcel, pbx, now, hold: Duration::ZERO, outcome: None, reply }, receipt)
    }
}

impl Job for Intake {
    fn run(&mut self, store: &mut Store, now: HostTime) {
        let Parcel { calls, changes } = &*self.parcel;
        self.outcome =
            Some(store.take_in_with(calls, &self.pbx, changes, self.now.unwrap_or(now), self.hold));
    }

    fn answer(self: Box<Self>, failure: Option<&str>) {
        let parcel = self.parcel;
        let outcome = conclude(self.outcome, failure)
            .map_err(|error| Refused { parcel: Arc::unwrap_or_clone(parcel), error });
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
        life: Life,
        ground: Ground,
        commands: mpsc::Receiver<Command>,
        clock: Box<dyn Fn() -> HostTime + Send>,
        news: watch::Sender<u64>,
        trouble: watch::Sender<Option<Trouble>>,
        idle: Option<Duration>,
    ) -> Self {
        let next_batch = match &life {
            Life::Open(store) => store.ledger.next_batch,
            // Nothing was asked yet: what is found on its way is of another process.
            Life::Down(_) => u64::MAX,
        };
        let guard = Guard::new(ground.dir.clone());
        Self {
            life,
            ground,
            commands,
            clock,
            news,
            trouble,
            swept_at: None,
            closers: Vec::new(),
            idle,
            rest: Rest::default(),
            record: Record::default(),
            next_batch,
            guard,
            ends: Ends::default(),
            turns: Turns::default(),
        }
    }

    /// Works until the store is closed or every handle is gone.
    pub fn run(mut self) {
        while let Some(first) = self.next() {
            let _at_work = self.turns.begin();
            self.rest.wake();
            let mut group = self.gather(first);
            let failure = self.carry_out(&mut group);
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
        loop {
            match &mut self.life {
                Life::Open(store) => {
                    let Some(idle) = self.idle else { break };
                    if let Ok(command) = rest::receive(&mut self.commands, idle) {
                        return command;
                    }
                    let _at_work = self.turns.begin();
                    if self.rest.settle(&store.trees) {
                        break;
                    }
                }
                Life::Down(down) => {
                    match rest::receive(&mut self.commands, down.retry_at.since(clock::mono())) {
                        Ok(command) => return command,
                        Err(rest::Elapsed) => self.open_again(),
                    }
                }
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

    /// Does the group and makes it durable; returns why nothing of it may be taken for done.
    fn carry_out(&mut self, group: &mut [Box<dyn Job>]) -> Option<String> {
        let now = (self.clock)();
        let swept_at = &mut self.swept_at;
        let store = match &mut self.life {
            Life::Open(store) => store,
            Life::Down(down) => return Some(down.reason.clone()),
        };
        if self.idle.is_some()
            && let Some(room) = self.guard.look(clock::mono())
        {
            store.spare = room == Room::Scarce;
        }
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            for job in &mut *group {
                job.run(store, now);
            }
            sweep(store, swept_at, now);
            store.persist()
        }));
        match outcome {
            Ok(Ok(())) => debug!(commands = group.len(), "a group is durable"),
            Ok(Err(_)) => {}
            Err(panic) => {
                store.fail("the database panicked", Panicked(panics::text(&*panic)));
            }
        }
        let Some(failure) = store.failure().cloned() else {
            self.ends.tell(store);
            self.next_batch = store.ledger.next_batch;
            self.record.works();
            if std::mem::take(&mut store.news) {
                self.news.send_modify(|count| *count += 1);
            }
            return None;
        };
        self.give_up(&failure);
        Some(failure.reason)
    }

    /// Drops a store that failed.
    fn give_up(&mut self, failure: &Failure) {
        let down = self.record.failed(failure);
        self.tell_trouble(Some(Trouble { reason: failure.reason.clone(), is_final: false }));
        let dead = std::mem::replace(&mut self.life, Life::Down(down));
        // sled writes when it is dropped, and has its own opinion of errors.
        if panic::catch_unwind(AssertUnwindSafe(|| drop(dead))).is_err() {
            debug!("the dead database panicked once more");
        }
    }

    /// A store that was given up meanwhile stays so.
    fn tell_trouble(&self, trouble: Option<Trouble>) {
        self.trouble.send_if_modified(|known| {
            let is_over = known.as_ref().is_some_and(|known| known.is_final);
            if !is_over {
                *known = trouble;
            }
            !is_over
        });
    }

    fn open_again(&mut self) {
        let now = (self.clock)();
        let Life::Down(down) = &mut self.life else { return };
        let opened = down.retry(&self.ground, now);
        let reason = down.reason.clone();
        match opened {
            Ok(Some(store)) => self.work_again(Box::new(store)),
            Ok(None) => {
                self.tell_trouble(Some(Trouble { reason, is_final: false }));
            }
            Err(error) => {
                error!(%error, "the store is given up");
                self.tell_trouble(Some(Trouble { reason: error.to_string(), is_final: true }));
                self.commands.close();
            }
        }
    }

    fn work_again(&mut self, mut store: Box<Store>) {
        let released = panic::catch_unwind(AssertUnwindSafe(|| store.release_intents(self.next_batch)));
        if !matches!(released, Ok(Ok(()))) {
            store.fail("the database panicked", Panicked("it was open for a moment".to_owned()));
        }
        if let Some(failure) = store.failure().cloned() {
            self.life = Life::Open(store);
            return self.give_up(&failure);
        }
        info!(opened = ?store.opened(), "the store works again");
        self.life = Life::Open(store);
        self.tell_trouble(None);
        self.news.send_modify(|count| *count += 1);
    }
}

/// Ages the history: once an hour, and in every group while there is more to do.
fn sweep(store: &mut Store, swept_at: &mut Option<HostTime>, now: HostTime) {
    if swept_at.is_some_and(|at| now.since(at) < SWEEP_EVERY && at <= now) {
        return;
    }
    // An error is in `failed` already.
    let more = store.sweep(Limits::default(), now).unwrap_or(false);
    *swept_at = (!more).then_some(now);
}
