//! Pure: the outbox as a state machine over finished calls. [`Queue`] is what every store must do;
//! the same contract tests run on memory and on sled.
//!
//! ```text
//!             intend            settle
//!  enqueue ─► pending ─► sending ─┬─► sent
//!     │          ▲                ├─► unsorted
//!     │          │ release        ├─► unknown ──(read back)──► sent | unsorted | pending | parked
//!     │          ├────────────────┤
//!     │          └── parked ◄─────┼─► parked ──► expired | skipped | unsorted
//!     └─► skipped ◄───────────────┤
//!                                 └─► dead
//! ```
//!
//! A pending call that the hook does not want sent is skipped (`outbox/hook`).
//!
//! What is made in amoCRM before a parked call can be posted goes the same way: its POST too has an
//! intent, and an unknown outcome is read back. [`Errand`] says which it is.

#[cfg(test)]
pub(crate) mod contract;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::call::id::{AccountId, CallId};
use crate::call::record::{FinishedCall, Skip};
use crate::outbox::errand::Errand;
use crate::time::HostTime;

/// Position in the outbox; calls are delivered in this order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// One POST and the calls in it; unique for the life of the store.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(transparent)]
pub struct BatchId(pub u64);

/// A call that waits in the outbox or has come to its end.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Item {
    pub seq: Seq,
    pub account: AccountId,
    pub enqueued_at: HostTime,
    pub state: State,
    /// POSTs that were answered or may have been.
    pub attempts: u32,
    /// Not to be sent before.
    pub next_at: HostTime,
    /// What amoCRM or the network said last, in words.
    #[serde(default)]
    pub last_error: Option<String>,
    /// When it was parked first: what happens between two tries does not make the wait anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_since: Option<HostTime>,
    /// What is made in amoCRM before the call is posted.
    #[serde(default, skip_serializing_if = "Errand::is_none")]
    pub errand: Errand,
    /// What the hook decided is in the call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hooked: bool,
    pub call: FinishedCall,
}

/// The states of a finished call, by which metrics, logs and command line speak.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// Waits for its turn or its next try.
    Pending,
    /// An intent is durable: a POST with this call is under way, or was when the process ended.
    Sending { batch: BatchId, since: HostTime },
    /// Stored by amoCRM as this note.
    Sent { note_id: Option<u64>, entity: Option<EntityRef>, at: HostTime },
    /// It is not known whether amoCRM stored it: settled by reading back, never by sending again.
    Unknown { batch: BatchId, since: HostTime, looked: u32 },
    /// amoCRM does not know the number: tried again later.
    Parked { since: HostTime },
    /// Handed to Неразобранное.
    Unsorted { uid: Option<String>, at: HostTime },
    /// Not sent, by policy.
    Skipped { reason: Skip, at: HostTime },
    /// Waited longer than the policy allows.
    Expired { reason: String, at: HostTime },
    /// Cannot be delivered; stays until a person acts.
    Dead { reason: String, at: HostTime },
}

/// What amoCRM attached the call to.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct EntityRef {
    /// `contact`, `company`, `lead` or `customer`, as amoCRM said it.
    pub kind: String,
    pub id: u64,
}

/// A [`State`] without its data.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Pending,
    Sending,
    Sent,
    Unknown,
    Parked,
    Unsorted,
    Skipped,
    Expired,
    Dead,
}

/// Every step that a call may take; [`Queue::settle`] and its siblings refuse all others.
pub const TRANSITIONS: &[(Phase, Phase)] = &[
    (Phase::Pending, Phase::Sending),
    // It waits for something of its own: its entity's owner, a recording.
    (Phase::Pending, Phase::Pending),
    (Phase::Pending, Phase::Parked),
    // The hook does not want it sent.
    (Phase::Pending, Phase::Skipped),
    (Phase::Pending, Phase::Expired),
    (Phase::Pending, Phase::Dead),
    (Phase::Sending, Phase::Sent),
    (Phase::Sending, Phase::Unknown),
    (Phase::Sending, Phase::Parked),
    (Phase::Sending, Phase::Unsorted),
    (Phase::Sending, Phase::Pending),
    (Phase::Sending, Phase::Skipped),
    (Phase::Sending, Phase::Expired),
    (Phase::Sending, Phase::Dead),
    (Phase::Unknown, Phase::Sent),
    (Phase::Unknown, Phase::Unknown),
    (Phase::Unknown, Phase::Unsorted),
    (Phase::Unknown, Phase::Pending),
    (Phase::Unknown, Phase::Parked),
    (Phase::Unknown, Phase::Skipped),
    (Phase::Unknown, Phase::Dead),
    (Phase::Parked, Phase::Sending),
    (Phase::Parked, Phase::Pending),
    (Phase::Parked, Phase::Parked),
    (Phase::Parked, Phase::Unsorted),
    (Phase::Parked, Phase::Skipped),
    (Phase::Parked, Phase::Expired),
    (Phase::Parked, Phase::Dead),
    // Something is added to what was delivered.
    (Phase::Sent, Phase::Sent),
    // A person takes them up again, or gives them up.
    (Phase::Dead, Phase::Pending),
    (Phase::Expired, Phase::Pending),
    (Phase::Dead, Phase::Expired),
];

/// What [`Queue::enqueue`] did with one call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enqueued {
    /// It waits, or was skipped by policy.
    New(Seq),
    /// One of its ids is known: the call is in the outbox or was delivered before.
    Known,
}

/// The new state of one leased or looked-up call.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    pub seq: Seq,
    pub state: State,
    /// For [`State::Pending`], [`State::Parked`] and [`State::Unknown`]: when to try or look again.
    pub next_at: HostTime,
    pub last_error: Option<String>,
    /// Whether amoCRM answered the attempt, or may have.
    pub attempted: bool,
    /// What is made before the next try.
    pub errand: Errand,
}

/// Counts for the ledger of DESIGN 4: ended = sent + unsorted + skipped + expired + dead + waiting.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct Stats {
    /// Calls ever enqueued as new.
    pub ended: u64,
    /// Calls by phase; final ones count for ever, waiting ones while they wait.
    pub by_phase: BTreeMap<Phase, u64>,
    /// When the oldest waiting call was enqueued.
    pub oldest: Option<HostTime>,
}

/// Why a queue could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("call {0:?} is not in the outbox")]
    Absent(Seq),
    #[error("call {seq:?} cannot go from {from:?} to {to:?}")]
    Transition { seq: Seq, from: Phase, to: Phase },
    #[error("the store failed: {0}")]
    Store(String),
}

/// A durable queue of finished calls. Every method returns only when what it did would survive a
/// power cut (the memory queue has none to survive).
pub trait Queue {
    /// Takes calls in; those with a `skip` are [`State::Skipped`] at once. Known ids add nothing.
    ///
    /// # Errors
    /// When the store failed; then none of the calls may be taken for stored.
    fn enqueue(&mut self, calls: Vec<FinishedCall>, now: HostTime) -> Result<Vec<Enqueued>, Error>;

    /// Pending and parked calls of `account` that are due, oldest first. Parked ones (`retries`)
    /// and fresh ones never mix: a lease returns one kind only. Nothing changes in the store.
    ///
    /// # Errors
    /// When the store failed.
    fn lease(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error>;

    /// Makes the intent durable that these calls are about to be sent in one POST.
    ///
    /// # Errors
    /// When the store failed or a call is not waiting.
    fn intend(&mut self, calls: &[Seq], now: HostTime) -> Result<BatchId, Error>;

    /// Records what became of calls.
    ///
    /// # Errors
    /// When the store failed, a step is not in [`TRANSITIONS`], or a call is at an end from which only a person
    /// takes it up again; then nothing has changed.
    fn settle(&mut self, settlements: Vec<Settlement>, now: HostTime) -> Result<(), Error>;

    /// Turns every [`State::Sending`] of `account` into [`State::Unknown`] (at start: the process
    /// that sent them is gone) and returns how many there were.
    ///
    /// # Errors
    /// When the store failed.
    fn adopt(&mut self, account: &AccountId, now: HostTime) -> Result<u64, Error>;

    /// Calls in [`State::Unknown`] that are due for a look, oldest first.
    ///
    /// # Errors
    /// When the store failed.
    fn unknown(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error>;

    /// Delivered calls to which something is owed that is due, oldest first: [`Errand::owes_link`].
    ///
    /// # Errors
    /// When the store failed.
    fn owing(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error>;

    /// When the next call of `account` that waits or to which something is owed is due, if there is one.
    ///
    /// # Errors
    /// When the store failed.
    fn next_due(&mut self, account: &AccountId) -> Result<Option<HostTime>, Error>;

    /// The call with this id, waiting or ended.
    ///
    /// # Errors
    /// When the store failed.
    fn find(&mut self, id: &CallId) -> Result<Option<Item>, Error>;

    /// # Errors
    /// When the store failed.
    fn stats(&mut self) -> Result<Stats, Error>;
}

impl Phase {
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Sending,
        Self::Sent,
        Self::Unknown,
        Self::Parked,
        Self::Unsorted,
        Self::Skipped,
        Self::Expired,
        Self::Dead,
    ];

    /// As logs, metrics and the command line have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Parked => "parked",
            Self::Unsorted => "unsorted",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Dead => "dead",
        }
    }
}

impl State {
    pub fn phase(&self) -> Phase {
        match self {
            Self::Pending => Phase::Pending,
            Self::Sending { .. } => Phase::Sending,
            Self::Sent { .. } => Phase::Sent,
            Self::Unknown { .. } => Phase::Unknown,
            Self::Parked { .. } => Phase::Parked,
            Self::Unsorted { .. } => Phase::Unsorted,
            Self::Skipped { .. } => Phase::Skipped,
            Self::Expired { .. } => Phase::Expired,
            Self::Dead { .. } => Phase::Dead,
        }
    }
}
