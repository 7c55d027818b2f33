//! The way to a store that runs on its own thread: any number of clones, from any thread or task.
//!
//! Answers come when what was asked is durable. A future that is dropped cancels nothing: the
//! store does what it was asked, and nobody hears of it.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::call::id::{AccountId, CallId, PbxName};
use crate::call::record::FinishedCall;
use crate::outbox::parcel::Parcel;
use crate::outbox::queue::{BatchId, Enqueued, Error, Item, Seq, Settlement, Stats};
use crate::outbox::store::down::Down;
use crate::outbox::store::ends::Ends;
use crate::outbox::store::fsync::Kernel;
use crate::outbox::store::hearers::Hearers;
use crate::outbox::store::hung::Turns;
use crate::outbox::store::open::Ground;
use crate::outbox::store::receipt::{Receipt, Refused};
use crate::outbox::store::worker::{Command, Intake, Job, Life, Order, Trouble, Worker};
use crate::outbox::store::{Shelf, Store};
use crate::panics;
use crate::time::HostTime;

/// Commands that wait for the store's thread. A disk that hangs shall be felt by whoever asks, and
/// the intake has a backlog of its own, counted in bytes.
const COMMANDS_MAX: usize = 1024;

/// A store on its own thread.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    news: watch::Receiver<u64>,
    pub(super) trouble: watch::Sender<Option<Trouble>>,
    pub(super) turns: Turns,
    dir: PathBuf,
    pub(super) hearers: Hearers,
    pub(super) ends: Ends,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Moves the store to a thread of its own. `clock` gives the time for what is handed over
    /// without one and for the ageing of the history. No runtime is needed.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn(self, clock: impl Fn() -> HostTime + Send + 'static) -> std::io::Result<Handle> {
        spawn(self.ground.clone(), Life::Open(Box::new(self)), clock, None)
    }

    /// As [`Store::spawn`], and lets sled's threads rest after `idle` without work. For a process
    /// that has one store and no more: they are the process's threads.
    ///
    /// # Errors
    /// As [`Store::spawn`].
    pub fn spawn_resting(
        self,
        clock: impl Fn() -> HostTime + Send + 'static,
        idle: Duration,
    ) -> std::io::Result<Handle> {
        spawn(self.ground.clone(), Life::Open(Box::new(self)), clock, Some(idle))
    }

    /// As [`Store::spawn_resting`], for a store whose disk is full: the thread opens it as soon as there is
    /// room, and takes nothing until then.
    ///
    /// # Errors
    /// When another process holds the store, or the system has no thread to give.
    pub fn spawn_waiting(
        dir: &Path,
        error: &super::Error,
        clock: impl Fn() -> HostTime + Send + 'static,
        idle: Duration,
    ) -> Result<Handle, super::Error> {
        let ground = Ground::take(dir, Box::new(Kernel))?;
        let handle = spawn(ground, Life::Down(Down::new(error.reason())), clock, Some(idle));
        handle.map_err(|error| super::Error::io(dir, error))
    }
}

fn spawn(
    ground: Ground,
    life: Life,
    clock: impl Fn() -> HostTime + Send + 'static,
    idle: Option<Duration>,
) -> std::io::Result<Handle> {
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    let (news_sender, news) = watch::channel(0);
    let down = match &life {
        Life::Open(_) => None,
        Life::Down(down) => Some(Trouble { reason: down.reason.clone(), is_final: false }),
    };
    let trouble = watch::channel(down).0;
    let (dir, ends, turns) = (ground.dir.clone(), Ends::default(), Turns::default());
    let mut worker = Worker::new(life, ground, commands, Box::new(clock), news_sender, trouble.clone(), idle);
    (worker.ends, worker.turns) = (ends.clone(), turns.clone());
    let last_word = trouble.clone();
    let thread = thread::Builder::new().name("store".into()).spawn(move || {
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| worker.run())) {
            let reason = format!("its thread panicked: {}", panics::text(&*panic));
            last_word.send_replace(Some(Trouble { reason, is_final: true }));
        }
    })?;
    let hearers = Hearers::default();
    Ok(Handle {
        commands: sender,
        news,
        trouble,
        turns,
        dir,
        hearers,
        ends,
        thread: Arc::new(Mutex::new(Some(thread))),
    })
}

impl Handle {
    /// Hands over calls and what changed of those in progress of `pbx`, without waiting for anything:
    /// for whoever must not wait.
    ///
    /// # Errors
    /// Gives all of it back when the store has failed or too much waits for it.
    pub fn try_store(&self, pbx: &PbxName, parcel: Parcel) -> Result<Receipt, Parcel> {
        self.try_hold(pbx, parcel, Duration::ZERO)
    }

    /// As [`Self::try_store`]; calls that were cut short are held back for `hold`, in which
    /// [`Self::tell_anew`] may tell what became of them.
    ///
    /// # Errors
    /// As [`Self::try_store`].
    pub fn try_hold(&self, pbx: &PbxName, parcel: Parcel, hold: Duration) -> Result<Receipt, Parcel> {
        if self.failure().is_some() {
            return Err(parcel);
        }
        let Ok(place) = self.commands.try_reserve() else { return Err(parcel) };
        let (mut intake, receipt) = Intake::new(parcel, pbx.clone(), None);
        intake.hold = hold;
        place.send(Command::Work(Box::new(intake)));
        Ok(receipt)
    }

    /// As [`Store::checkpoints`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn checkpoints(&self, pbx: &PbxName) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let pbx = pbx.clone();
        self.ask(move |store| store.checkpoints(&pbx)).await
    }

    /// As [`Queue::enqueue`](crate::outbox::queue::Queue::enqueue).
    ///
    /// # Errors
    /// When the store failed; the calls come back with the error.
    pub async fn enqueue(&self, calls: Vec<FinishedCall>, now: HostTime) -> Result<Vec<Enqueued>, Refused> {
        let parcel = Parcel::from(calls);
        let Ok(place) = self.commands.reserve().await else {
            return Err(Refused { parcel, error: closed() });
        };
        let (intake, receipt) = Intake::new(parcel, PbxName::default(), Some(now));
        place.send(Command::Work(Box::new(intake)));
        let handed_over = receipt.parcel();
        tokio::select! {
            biased;
            answer = receipt => answer,
            reason = self.failed() => Err(Refused::taken_back(&handed_over, Error::Store(reason))),
        }
    }

    /// As [`Queue::lease`](crate::outbox::queue::Queue::lease).
    ///
    /// # Errors
    /// When the store failed.
    pub async fn lease(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        let account = account.clone();
        self.ask(move |store| store.look_up_due(&account, limit, now)).await
    }

    /// As [`Queue::intend`](crate::outbox::queue::Queue::intend).
    ///
    /// # Errors
    /// When the store failed or a call is not waiting.
    pub async fn intend(&self, calls: &[Seq], now: HostTime) -> Result<BatchId, Error> {
        let calls = calls.to_vec();
        self.ask(move |store| store.mark_sending(&calls, now)).await
    }

    /// As [`Queue::settle`](crate::outbox::queue::Queue::settle).
    ///
    /// # Errors
    /// When the store failed or a step is not allowed; then nothing has changed.
    pub async fn settle(&self, settlements: Vec<Settlement>, now: HostTime) -> Result<(), Error> {
        self.ask(move |store| store.apply(settlements, now)).await
    }

    /// As [`Queue::adopt`](crate::outbox::queue::Queue::adopt).
    ///
    /// # Errors
    /// When the store failed.
    pub async fn adopt(&self, account: &AccountId, now: HostTime) -> Result<u64, Error> {
        let account = account.clone();
        self.ask(move |store| store.take_over(&account, now)).await
    }

    /// As [`Queue::unknown`](crate::outbox::queue::Queue::unknown).
    ///
    /// # Errors
    /// When the store failed.
    pub async fn unknown(
        &self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> Result<Vec<Item>, Error> {
        let account = account.clone();
        self.ask(move |store| store.look_up_unknown(&account, limit, now)).await
    }

    /// As [`Queue::owing`](crate::outbox::queue::Queue::owing).
    ///
    /// # Errors
    /// When the store failed.
    pub async fn owing(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        let account = account.clone();
        self.ask(move |store| store.look_up_owing(&account, limit, now)).await
    }

    /// As [`Queue::next_due`](crate::outbox::queue::Queue::next_due).
    ///
    /// # Errors
    /// When the store failed.
    pub async fn next_due(&self, account: &AccountId) -> Result<Option<HostTime>, Error> {
        let account = account.clone();
        self.ask(move |store| store.first_due(&account)).await
    }

    /// As [`Queue::find`](crate::outbox::queue::Queue::find).
    ///
    /// # Errors
    /// When the store failed.
    pub async fn find(&self, id: &CallId) -> Result<Option<Item>, Error> {
        let id = id.clone();
        self.ask(move |store| store.look_up(&id)).await
    }

    /// As [`Store::find_uniqueid`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn find_uniqueid(&self, pbx: &PbxName, uniqueid: &str) -> Result<Vec<Item>, Error> {
        let (pbx, uniqueid) = (pbx.clone(), uniqueid.to_owned());
        self.ask(move |store| store.look_up_uniqueid(&pbx, &uniqueid)).await
    }

    /// Puts `call` in the place of a call that is held back, or of one that was not to be sent though `call`
    /// is, and lets it go; whether it did.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn tell_anew(&self, seq: Seq, call: FinishedCall, now: HostTime) -> Result<bool, Error> {
        self.ask(move |store| store.amend(seq, &call, now)).await
    }

    /// Holds calls of `pbx` back until `until` at least that were cut short, held back before, and never sent;
    /// returns how many.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn hold_again(&self, pbx: &PbxName, until: HostTime, now: HostTime) -> Result<usize, Error> {
        let pbx = pbx.clone();
        self.ask(move |store| store.hold_again(&pbx, until, now)).await
    }

    /// Lets calls of `pbx` go that [`Self::hold_again`] held back, but for those that came less than `hold` ago;
    /// returns how many.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn let_go(&self, pbx: &PbxName, hold: Duration, now: HostTime) -> Result<usize, Error> {
        let pbx = pbx.clone();
        self.ask(move |store| store.let_go(&pbx, hold, now)).await
    }

    /// As [`Queue::stats`](crate::outbox::queue::Queue::stats).
    ///
    /// # Errors
    /// When the store failed.
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.ask(|store| store.count()).await
    }

    /// The folder of the store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// As [`Store::put`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn put(&self, shelf: Shelf, key: &str, value: Vec<u8>) -> Result<(), Error> {
        let key = key.to_owned();
        self.ask(move |store| store.place(shelf, &key, Some(&value))).await
    }

    /// As [`Store::list`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn list(&self, shelf: Shelf, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let prefix = prefix.to_owned();
        self.ask(move |store| store.fetch_all(shelf, &prefix)).await
    }

    /// Keeps values, or forgets them, all or none.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn put_all(&self, shelf: Shelf, values: Vec<(String, Option<Vec<u8>>)>) -> Result<(), Error> {
        self.ask(move |store| store.place_all(shelf, &values)).await
    }

    /// As [`Store::remove`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn remove(&self, shelf: Shelf, key: &str) -> Result<(), Error> {
        let key = key.to_owned();
        self.ask(move |store| store.place(shelf, &key, None)).await
    }

    /// As [`Store::get`].
    ///
    /// # Errors
    /// When the store failed or the value is damaged.
    pub async fn get(&self, shelf: Shelf, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = key.to_owned();
        self.ask(move |store| store.fetch(shelf, &key)).await
    }

    /// Changes whenever a call came to wait that did not wait before: wakes the courier.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }

    /// Why the store takes nothing now, if so. It is opened anew by its thread.
    pub fn failure(&self) -> Option<String> {
        self.trouble.borrow().as_ref().map(|trouble| trouble.reason.clone())
    }

    /// Whether nothing will ever be taken again.
    pub fn is_over(&self) -> bool {
        self.commands.is_closed() || self.trouble.borrow().as_ref().is_some_and(|trouble| trouble.is_final)
    }

    /// Waits until the store is given up and says why; for ever when it was closed without.
    pub async fn failed(&self) -> String {
        let mut trouble = self.trouble.subscribe();
        let is_final = |trouble: &Option<Trouble>| trouble.as_ref().is_some_and(|trouble| trouble.is_final);
        let reason = trouble.wait_for(is_final).await.ok().and_then(|trouble| trouble.clone());
        match reason {
            Some(trouble) => trouble.reason,
            None => std::future::pending().await,
        }
    }

    /// Does all that waits, closes the database and ends the thread. Clones of this handle get
    /// errors from then on.
    ///
    /// # Errors
    /// When the store failed, before or at the last moment. One that was given up is left where it is.
    pub async fn close(&self) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.close_in_order() => {}
            reason = self.failed() => return Err(Error::Store(reason)),
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has sent its last word, so this does not wait.
            let _ = thread.join();
        }
        self.failure().map_or(Ok(()), |reason| Err(Error::Store(reason)))
    }

    /// Whether something was asked that the thread did not take up yet.
    pub(super) fn has_waiting(&self) -> bool {
        self.commands.capacity() < self.commands.max_capacity()
    }

    async fn close_in_order(&self) {
        let (reply, closed) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).await.is_ok() {
            // The other end is dropped, unsent, when the thread panics: then it is over as well.
            let _ = closed.await;
        }
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Order::new(work, reply));
        let asked = async {
            self.commands.send(Command::Work(job)).await.map_err(|_| closed())?;
            answer.await.unwrap_or_else(|_| Err(closed()))
        };
        tokio::select! {
            biased;
            answer = asked => answer,
            reason = self.failed() => Err(Error::Store(reason)),
        }
    }
}

pub(super) fn closed() -> Error {
    Error::Store("it is closed".to_owned())
}

#[cfg(test)]
impl Handle {
    pub(super) fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// The thread itself, for a test of its end.
    pub(super) fn thread(&self) -> JoinHandle<()> {
        self.thread.lock().unwrap().take().expect("nobody closed the store")
    }
}
