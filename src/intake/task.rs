//! The task that follows one PBX: connection and reader, finished calls to the store.
//!
//! All intakes run on a thread of their own (see `daemon`), so nothing that the rest of the process
//! does can keep Asterisk's socket full. The task waits for its socket, its next deadline and the
//! stop signal, for nothing else: calls leave by [`Sink::offer`], which never blocks; what is
//! refused waits in a backlog. When that is full the task stops reading, Asterisk ends the
//! session in time, and the task goes on when there is room again. No finished call
//! is dropped without being named. Calls in progress are kept in the store once a second, and at
//! the end: the next start goes on with them.
//!
//! ```text
//!        ┌──────────── pause ◄───────────┐
//!        ▼                               │ lost
//!   room? ──► connect ──► follow: frames ─► reader ─► calls ─► sink
//!        │                   │                            └──► backlog
//!        └───── stop ◄───────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::ami::connection::backoff::Backoff;
use crate::ami::connection::{self, Connection};
use crate::ami::wire::{Damage, Frame};
use crate::call::id::PbxName;
use crate::call::phone::Private;
use crate::call::policy::Policy;
use crate::call::record::{CallRecord, FinishedCall};
use crate::call::tracker::Findings;
use crate::clock;
use crate::intake::gap::Gap;
use crate::intake::reader::Reader;
use crate::intake::task::guard::Guard;
use crate::intake::task::inquiry::{Ask, Part};
use crate::intake::task::lookout::Lookout;
use crate::intake::task::outgoing::{OFFER_AGAIN, Outgoing};
use crate::intake::task::pbx_now::PbxNow;
use crate::intake::task::pulse::Pulse;
use crate::panics;
use crate::pseudonym;
use crate::time::{MonoTime, PbxTime};

pub mod backlog;
mod guard;
pub mod inquiry;
mod link;
mod lookout;
mod mend;
mod news;
mod outgoing;
pub mod pbx_now;
pub mod pulse;
pub mod tally;

pub use guard::Kept;
pub use link::Link;
pub use outgoing::Sink;

/// Follows one PBX until it is told to stop.
pub struct Intake {
    pbx: PbxName,
    settings: Arc<connection::Settings>,
    reader: Reader,
    way: Way,
    out: Outgoing,
    guard: Guard,
    /// Why the process must end.
    failed: Option<String>,
    clock: Option<PbxNow>,
    /// What the current connection's splitter had to drop so far.
    damage: Damage,
    damage_told: Option<MonoTime>,
    backoff: Backoff,
    /// What the PBX does not give, as far as it was told.
    lacks: BTreeSet<&'static str>,
    /// When Asterisk started, by its own time.
    started: Option<String>,
    findings: Findings,
    lookout: Lookout,
}

/// What connects an intake with the rest of the process.
pub struct Way {
    pub link: watch::Sender<Link>,
    /// Swapped on reload: a call is judged by the policy at its end.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// How far this host's clock is ahead of each PBX's, in microseconds; shared by all intakes.
    pub offsets: watch::Sender<Arc<BTreeMap<PbxName, i64>>>,
    pub stop: CancellationToken,
    /// Ends the wait for the sink after `stop`: the process has no more time.
    pub cut: CancellationToken,
    /// Folder for what made the core panic.
    pub poison: PathBuf,
    /// Takes the times in which the PBX was not watched.
    pub gaps: mpsc::Sender<Gap>,
    /// What others see of the work.
    pub pulse: Arc<Pulse>,
    /// Who wants to know of the calls in progress.
    pub asks: mpsc::Receiver<Ask>,
}

/// At the end it is asked this often what became of what the sink took.
const DRAIN_AGAIN: Duration = Duration::from_millis(10);

/// amoCRM's times are whole seconds: a tenth of one, in microseconds, is news enough.
const OFFSET_STEP: u64 = 100_000;

/// How long an intake waits at most before it shows that it lives.
pub const TURN_EVERY: Duration = Duration::from_secs(10);

/// A connection that lasted this long was a good one: its end starts a new row of tries.
const GOOD_CONNECTION: Duration = Duration::from_mins(1);

impl Intake {
    /// `reader` may know of calls in progress already.
    pub fn new(
        pbx: PbxName,
        settings: connection::Settings,
        reader: Reader,
        way: Way,
        sink: Box<dyn Sink>,
    ) -> Self {
        let lookout = Lookout::new(&pbx, &reader, way.gaps.clone());
        Self {
            pbx,
            settings: Arc::new(settings),
            reader,
            guard: Guard::new(way.poison.clone()),
            way,
            out: Outgoing::new(sink, clock::mono()),
            failed: None,
            clock: None,
            damage: Damage::default(),
            damage_told: None,
            backoff: Backoff::default(),
            lacks: BTreeSet::new(),
            started: None,
            findings: Findings::default(),
            lookout,
        }
    }

    /// Follows the PBX until the stop signal; then returns when the sink has stored every finished call
    /// and what is to be kept of the others, has failed, or the wait for it is cut.
    ///
    /// # Errors
    /// When the core panicked twice within a minute: why.
    #[tracing::instrument(level = "error", name = "intake", skip_all, fields(pbx = %self.pbx))]
    pub async fn run(mut self) -> Result<(), String> {
        // Calls of the time before a restart may be over by now, whether or not the PBX is there.
        self.set_clock();
        while self.attempt().await.is_some() {}
        self.collect();
        if let Some(poison) = self.guard.take() {
            self.mend(poison).await;
        }
        self.drain().await;
        self.failed.map_or(Ok(()), Err)
    }

    /// One connection, from the first try to its loss and the pause after it; `None` when the task
    /// is to stop.
    async fn attempt(&mut self) -> Option<()> {
        self.wait_for_room().await?;
        let settings = Arc::clone(&self.settings);
        self.damage = Damage::default();
        let start = clock::mono();
        let error = match self.meanwhile(connection::open(&settings)).await? {
            Ok(connection) => self.follow(connection).await?,
            Err(error) => error,
        };
        if let Some(poison) = self.guard.take() {
            self.mend(poison).await;
        }
        if self.failed.is_some() {
            return None;
        }
        if clock::mono().since(start) >= GOOD_CONNECTION {
            self.backoff.reset();
        }
        let pause = self.backoff.pause(error.retry(), fastrand::f64());
        self.tell_loss(error, pause);
        self.pause(clock::mono().after(pause)).await
    }

    /// Reads a connection to its end and returns why it ended; `None` when the task is to stop.
    async fn follow<S: AsyncRead + AsyncWrite>(
        &mut self,
        mut connection: Connection<S>,
    ) -> Option<connection::Error> {
        self.reader.handle_connected();
        self.lookout.lost();
        connection.set_own_variables(self.reader.own_variables());
        let mut policy = self.way.policy.clone();
        loop {
            let waited = match self.wait_for_room().await {
                Some(()) => self.meanwhile(heard(&mut connection, self.guard.news())).await,
                None => None,
            };
            let Some(waited) = waited else {
                self.leave(connection).await;
                return None;
            };
            self.take_policy();
            if policy.has_changed().unwrap_or(false) {
                policy.mark_unchanged();
                connection.set_own_variables(self.reader.own_variables());
            }
            if let Err(error) = waited.and_then(|()| self.take_frames(&mut connection)) {
                self.end(error.is_end());
                return Some(error);
            }
            // Where there is always something to read, one question is answered between two reads.
            if let Ok(ask) = self.way.asks.try_recv() {
                self.answer(ask);
            }
        }
    }

    fn take_frames<S: AsyncRead + AsyncWrite>(
        &mut self,
        connection: &mut Connection<S>,
    ) -> Result<(), connection::Error> {
        let arrived = arrival(connection);
        let Self { guard, reader, .. } = self;
        let outcome = connection.handle(|frame| {
            guard.run(frame.block, || reader.handle_frame(frame, Some(arrived)));
        });
        while let Some(notice) = connection.poll_notice() {
            self.tell(notice);
        }
        self.tell_damage(connection.damage());
        self.tell_findings();
        if let Some(pong) = connection.poll_pong() {
            self.reader.handle_alive(pong);
            self.lookout.alive(pong);
        }
        if let Some(offset) = connection.session().offset() {
            self.publish(offset.host_ahead().saturating_sub(self.reader.shift()));
        }
        self.set_clock();
        self.way.pulse.beat(&self.reader.stats(), Some(arrived), self.out.len());
        self.collect();
        if self.guard.has_caught() { Err(connection::Error::Panicked) } else { outcome }
    }

    /// Says good-bye to the PBX; what it still sends counts.
    async fn leave<S: AsyncRead + AsyncWrite>(&mut self, connection: Connection<S>) {
        let arrived = arrival(&connection);
        let Self { guard, reader, .. } = self;
        let take = |frame: &Frame<'_>| {
            guard.run(frame.block, || reader.handle_frame(frame, Some(arrived)));
        };
        let ended = connection.log_off(take).await;
        self.set_clock();
        self.end(ended);
    }

    /// The stream is over. When the PBX ended it in order, nothing was missed until now.
    fn end(&mut self, in_order: bool) {
        if let Some(clock) = self.clock.filter(|_| in_order) {
            self.reader.handle_end(clock.now(clock::mono()));
        }
    }

    /// Waits for `work`; deadlines of the calls and of the backlog are met meanwhile. `None` when
    /// the task is to stop.
    async fn meanwhile<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        let stop = self.way.stop.clone();
        loop {
            self.way.pulse.turn();
            let turn = clock::mono().after(TURN_EVERY);
            let deadline = Some(self.deadline().map_or(turn, |due| due.min(turn)));
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                output = &mut work => return Some(output),
                () = clock::sleep_until(deadline) => self.collect(),
                // Cancel safe, as what comes before it.
                Some(ask) = self.way.asks.recv() => self.answer(ask),
            }
        }
    }

    /// Tells of calls in progress. Whoever asks gets no answer while the core is in trouble; a panic here
    /// has changed nothing, and costs nobody else anything.
    fn answer(&self, Ask { before, limit, reply }: Ask) {
        if self.guard.has_caught() {
            return;
        }
        let now = self.clock.map(|clock| clock.now(clock::mono()));
        let look = || now.map(|now| self.reader.glimpse(before, limit, now)).unwrap_or_default();
        match panic::catch_unwind(AssertUnwindSafe(look)) {
            // Whoever asked may have gone.
            Ok((calls, next)) => drop(reply.send(Part { calls, next, now })),
            Err(panic) => warn!(panic = panics::text(&*panic), "calls in progress cannot be shown"),
        }
    }

    fn deadline(&self) -> Option<MonoTime> {
        if self.guard.has_caught() {
            return None; // the core does nothing until it is made anew
        }
        let due = self.reader.poll_timeout().zip(self.clock).map(|(due, clock)| clock.when(due));
        [self.out.due(&self.reader), due].into_iter().flatten().min()
    }

    fn set_clock(&mut self) {
        let last = self.reader.stats().last;
        if let Some(event) = last.filter(|last| self.clock.map(PbxNow::event) != Some(*last)) {
            self.clock = Some(PbxNow::new(event, clock::mono()));
        }
    }

    /// From here on calls are judged by the policy of now.
    fn take_policy(&mut self) {
        if self.way.policy.has_changed().unwrap_or(false) {
            self.reader.set_policy(Arc::clone(&self.way.policy.borrow_and_update()));
        }
    }

    /// Lets deadlines fire, takes the calls that ended, and offers them.
    fn collect(&mut self) {
        self.take_policy();
        let now = clock::mono();
        let Self { guard, reader, out, clock, .. } = self;
        guard.run(&[], || {
            if let Some(clock) = clock {
                reader.handle_timeout(clock.now(now));
            }
            out.collect(reader);
        });
        let tally = out.take_tally();
        if !tally.is_empty() {
            self.way.pulse.count(tally);
        }
        let Self { guard, reader, out, .. } = self;
        out.offer(now);
        guard.run(&[], || out.keep(reader, now));
        self.way.pulse.beat(&self.reader.stats(), None, self.out.len());
    }

    /// Returns at once unless the backlog is full. Then the socket is not read: the PBX ends the
    /// session after its `writetimeout`.
    async fn wait_for_room(&mut self) -> Option<()> {
        if !self.out.is_full() {
            return Some(());
        }
        error!(waiting = self.out.len(), "the store takes no calls and the backlog is full: reading stops");
        let before = self.way.link.send_replace(Link::Stopped);
        while self.out.is_full() {
            self.meanwhile(clock::sleep_until(Some(clock::mono().after(OFFER_AGAIN)))).await?;
            self.out.offer(clock::mono());
        }
        info!("the store takes calls again: reading goes on");
        self.way.link.send_replace(before);
        Some(())
    }

    /// Offers what waits until the sink has stored it or takes nothing more. What is left then goes
    /// where the next process finds it, or is named: only the PBX's stream had it.
    async fn drain(&mut self) {
        let cut = self.way.cut.clone();
        while self.out.drain(&mut self.reader, clock::mono()) {
            tokio::select! {
                () = cut.cancelled() => break,
                () = clock::sleep_until(Some(clock::mono().after(DRAIN_AGAIN))) => {}
            }
        }
        if self.out.is_unkept(&self.reader) && !self.out.spill_values(&mut self.reader) {
            // What was kept of them is older, or nothing: the next start shall know more.
            self.close_all();
        }
        let left = self.out.take();
        let count = left.len();
        if count == 0 {
            return;
        }
        match self.out.spill(left) {
            Ok(()) => warn!(count, "calls that the store could not take wait in a file for the next start"),
            Err(lost) => lost.iter().for_each(tell_lost),
        }
    }

    /// Tells the others how the clocks differ, when that has changed enough to matter to a call.
    fn publish(&self, host_ahead: i64) {
        self.way.offsets.send_if_modified(|offsets| {
            let known = offsets.get(&self.pbx);
            if known.is_some_and(|known| known.abs_diff(host_ahead) < OFFSET_STEP) {
                return false;
            }
            Arc::make_mut(offsets).insert(self.pbx.clone(), host_ahead);
            true
        });
    }
}

/// Waits for bytes, or for a panic of the core meanwhile.
async fn heard<S: AsyncRead + AsyncWrite>(
    connection: &mut Connection<S>,
    panicked: Arc<Notify>,
) -> Result<(), connection::Error> {
    tokio::select! {
        heard = connection.wait() => heard,
        () = panicked.notified() => Err(connection::Error::Panicked),
    }
}

/// All that a person needs who enters the call in amoCRM by hand.
fn tell_lost(call: &FinishedCall) {
    let CallRecord { call_id, direction, outcome, responsible, started_at, .. } = &call.record;
    let number = Private::new(call.record.phone.as_deref());
    let (phone, phone_hash) = (number.masked(), pseudonym::of(number.whole()));
    error!(
        %call_id, ?direction, phone, phone_hash, ?outcome, responsible, %started_at,
        "call lost: the store could not take it, and it was in the PBX's stream only"
    );
}

/// The PBX's time of now as this host knows it, for events without a `Timestamp`.
fn arrival<S: AsyncRead + AsyncWrite>(connection: &Connection<S>) -> PbxTime {
    let host = clock::host();
    connection
        .session()
        .offset()
        .map_or_else(|| PbxTime::from_micros(host.micros()), |offset| offset.to_pbx(host))
}

#[cfg(test)]
mod tests;
