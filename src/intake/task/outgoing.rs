//! What leaves the intake: finished calls at once, what changed of those in progress once a second.
//!
//! A call's last word and the removal of what was kept of it go in one piece. What the sink refuses
//! waits here, in its order.

use std::pin::Pin;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::call::checkpoint::Change;
use crate::call::phone::Private;
use crate::call::record::{CallRecord, FinishedCall};
use crate::intake::reader::Reader;
use crate::intake::task::backlog::{self, Backlog};
use crate::intake::task::guard::Kept;
use crate::intake::task::tally::Tally;
use crate::outbox::parcel::Parcel;
use crate::outbox::queue::Phase;
use crate::pseudonym;
use crate::time::MonoTime;

/// Where finished calls go, and what is kept of the others: the store's door.
pub trait Sink: Send {
    /// Hands a parcel over without waiting. What was taken will be made durable, in the order of the
    /// offers; it is not known here when.
    ///
    /// # Errors
    /// The parcel, when there is no room for it; nothing of it was taken.
    fn offer(&mut self, parcel: Parcel) -> Result<(), Parcel>;

    /// What was taken and then could not be stored: it waits again.
    fn returned(&mut self) -> Parcel;

    /// At the end: what was taken and of which it was not heard what became of it. Nothing, where that is heard at once. A
    /// call that is stored all the same is known by its id.
    fn unanswered(&mut self) -> Parcel {
        Parcel::default()
    }

    /// What is kept of the calls in progress, once all that was taken before is stored.
    fn kept(&self) -> Pin<Box<dyn Future<Output = Result<Kept, String>> + Send>>;

    /// Whether it is still to be heard what became of parcels that were taken.
    fn owes(&self) -> bool;

    /// Whether one of those had values of calls in progress and no call.
    fn owes_values(&self) -> bool;

    /// Whether nothing is taken now, and nobody knows for how long.
    fn is_dead(&self) -> bool;

    /// Writes calls where the next process finds them, when this one must end while nothing is taken.
    /// It may block.
    ///
    /// # Errors
    /// The calls for which there was no room.
    fn spill(&mut self, calls: Vec<FinishedCall>) -> Result<(), Vec<FinishedCall>>;

    /// The same for what is to be kept of the calls in progress; whether it was written.
    fn spill_values(&mut self, _changes: &[Change]) -> bool {
        false
    }
}

/// Refused calls are offered again after this time: a store that is slow for a moment is slow for
/// some milliseconds, one that is in trouble for minutes. Nothing ticks while no call waits.
pub(super) const OFFER_AGAIN: Duration = Duration::from_millis(100);

/// How old the facts may be that a restart goes on with.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// Most values of calls in progress in one parcel; more follow when it is durable. Calls that ended
/// wait behind it: some 3 ms on a fast disk.
const KEEP_MAX: usize = 256;

/// The way out of one intake.
pub(super) struct Outgoing {
    sink: Box<dyn Sink>,
    backlog: Backlog,
    /// Goes with the last call of the backlog.
    changes: Vec<Change>,
    /// When the sink last refused; `None` when it takes calls.
    refused: Option<MonoTime>,
    /// When values of calls in progress were last handed over.
    kept: MonoTime,
    /// There was more to keep than one parcel holds, or it was not yet time for the next.
    more: bool,
    /// Values that were handed over came back: newer ones are to be written.
    lost: bool,
    /// Calls that nobody counted yet.
    tally: Tally,
}

impl Outgoing {
    pub fn new(sink: Box<dyn Sink>, now: MonoTime) -> Self {
        Self::with_limit(sink, now, backlog::BYTES_MAX)
    }

    /// With room for `limit` bytes of calls that the sink does not take.
    pub fn with_limit(sink: Box<dyn Sink>, now: MonoTime, limit: usize) -> Self {
        Self {
            sink,
            backlog: Backlog::new(limit),
            changes: Vec::new(),
            refused: None,
            kept: now,
            more: false,
            lost: false,
            tally: Tally::default(),
        }
    }

    /// Takes the calls that ended.
    pub fn collect(&mut self, reader: &mut Reader) {
        let before = self.backlog.len();
        while let Some(call) = reader.poll_finished() {
            tell_ended(&call.record);
            self.tally.add(&call.record);
            self.push(call);
        }
        if self.backlog.len() > before {
            self.changes.extend(reader.take_ended());
        }
    }

    /// What is to be counted of the calls that ended.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// What the store keeps of the calls in progress.
    pub fn kept(&self) -> Pin<Box<dyn Future<Output = Result<Kept, String>> + Send>> {
        self.sink.kept()
    }

    /// The values under `keys` are to be kept no more.
    pub fn forget(&mut self, keys: impl IntoIterator<Item = String>) {
        self.changes.extend(keys.into_iter().map(|key| Change { key, value: None }));
    }

    pub fn push(&mut self, call: FinishedCall) {
        self.backlog.push(call);
    }

    /// Offers what waits, unless the sink refused a moment ago.
    pub fn offer(&mut self, now: MonoTime) {
        self.take_back();
        if self.refused.is_some_and(|refused| now < refused.after(OFFER_AGAIN)) {
            return;
        }
        self.refused = None;
        while !self.backlog.is_empty() && self.refused.is_none() {
            let Self { sink, backlog, changes, .. } = self;
            let offered = backlog.offer(|calls, last| {
                let changes_now = if last { std::mem::take(changes) } else { Vec::new() };
                sink.offer(Parcel { calls, changes: changes_now }).map_err(|parcel| {
                    if last {
                        *changes = parcel.changes;
                    }
                    parcel.calls
                })
            });
            if offered.is_err() {
                self.refused = Some(now);
            }
        }
    }

    /// Hands over what changed of the calls in progress, when it is time and no finished call waits.
    pub fn keep(&mut self, reader: &mut Reader, now: MonoTime) {
        if std::mem::take(&mut self.lost) {
            reader.keep_all();
        }
        let due = self.keep_due(reader).is_some_and(|due| due <= now);
        if !due || !self.backlog.is_empty() || self.refused.is_some() {
            return;
        }
        if self.sink.owes_values() || self.sink.is_dead() {
            // One parcel of values at a time: a disk that hangs for hours shall not fill the memory.
            (self.kept, self.more) = (now, true);
        } else {
            self.keep_now(reader, now);
        }
    }

    fn keep_now(&mut self, reader: &mut Reader, now: MonoTime) {
        self.changes.extend(reader.take_changes(KEEP_MAX));
        self.kept = now;
        self.more = reader.has_changes();
        let changes = std::mem::take(&mut self.changes);
        debug!(values = changes.len(), "calls in progress are kept");
        if let Err(parcel) = self.sink.offer(Parcel { calls: Vec::new(), changes }) {
            self.put_back(parcel.changes);
            self.refused = Some(now);
        }
    }

    /// When something is to be done though nothing comes in.
    pub fn due(&self, reader: &Reader) -> Option<MonoTime> {
        // Before a refused parcel is offered again, nothing else is.
        self.refused.map(|refused| refused.after(OFFER_AGAIN)).or_else(|| self.keep_due(reader))
    }

    fn keep_due(&self, reader: &Reader) -> Option<MonoTime> {
        let pause = if self.more { OFFER_AGAIN } else { KEEP_EVERY };
        (reader.has_changes() || !self.changes.is_empty() || self.lost).then(|| self.kept.after(pause))
    }

    /// At the end: offers calls, and then all that is to be kept. Returns whether there is more to wait
    /// for.
    pub fn drain(&mut self, reader: &mut Reader, now: MonoTime) -> bool {
        self.offer(now);
        if std::mem::take(&mut self.lost) {
            reader.keep_all();
        }
        let idle = self.backlog.is_empty() && self.refused.is_none() && !self.sink.owes();
        if idle && (reader.has_changes() || !self.changes.is_empty()) {
            self.keep_now(reader, now);
        }
        let waits = !self.backlog.is_empty() || reader.has_changes() || !self.changes.is_empty() || self.lost;
        self.sink.owes() || (waits && !self.sink.is_dead())
    }

    /// Whether something of the calls in progress is known here only.
    pub fn is_unkept(&self, reader: &Reader) -> bool {
        reader.has_changes() || self.lost || self.sink.owes() || !self.changes.is_empty()
    }

    /// Calls that nobody took, or of which nobody says that they are stored, in their order.
    pub fn take(&mut self) -> Vec<FinishedCall> {
        self.give_up_answers();
        self.backlog.take()
    }

    /// At the end: writes all that is known of the calls in progress where the next process finds it, so that it goes on
    /// with them; whether that is done. It may block.
    pub fn spill_values(&mut self, reader: &mut Reader) -> bool {
        self.give_up_answers();
        reader.keep_all();
        self.changes.extend(reader.take_changes(usize::MAX));
        self.lost = false;
        self.sink.spill_values(&self.changes)
    }

    fn give_up_answers(&mut self) {
        let Parcel { calls, changes } = self.sink.unanswered();
        self.backlog.put_back(calls);
        self.put_back(changes);
    }

    /// As [`Sink::spill`].
    pub fn spill(&mut self, calls: Vec<FinishedCall>) -> Result<(), Vec<FinishedCall>> {
        self.sink.spill(calls)
    }

    pub fn len(&self) -> usize {
        self.backlog.len()
    }

    pub fn is_full(&self) -> bool {
        self.backlog.is_full()
    }

    fn take_back(&mut self) {
        let Parcel { calls, changes } = self.sink.returned();
        if calls.is_empty() && changes.is_empty() {
            return;
        }
        warn!(calls = calls.len(), "the store gave back what it could not keep: it is offered again");
        self.backlog.put_back(calls);
        self.put_back(changes);
    }

    /// Values that come back are old by now; what was removed is to be removed still.
    fn put_back(&mut self, changes: Vec<Change>) {
        self.lost |= changes.iter().any(|change| change.value.is_some());
        let removed = changes.into_iter().filter(|change| change.value.is_none());
        self.changes = removed.chain(self.changes.drain(..)).collect();
    }
}

/// The line of a call that ended: of each there is one, whatever becomes of it.
fn tell_ended(record: &CallRecord) {
    let CallRecord { call_id, account, direction, outcome, responsible, skip, .. } = record;
    let number = Private::new(record.phone.as_deref().or(record.phone_raw.as_deref()));
    let (phone, phone_hash) = (number.masked(), pseudonym::of(number.whole()));
    let (talk_s, wait_s) = (record.talk_seconds.rounded(), record.wait_seconds.rounded());
    let state = if skip.is_some() { Phase::Skipped } else { Phase::Pending }.name();
    // Why it will not be sent.
    let reason = skip.map(tracing::field::debug);
    info!(
        %call_id, %account, ?direction, ?outcome, phone, phone_hash, responsible, talk_s, wait_s, state, reason,
        "call ended"
    );
}
