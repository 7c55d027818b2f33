//! Pure: lists of stored calls, as the admin socket gives them and the command line prints them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::call::id::{AccountId, CallId, PbxName};
use crate::call::record::{Direction, Outcome, Seconds, Skip};
use crate::ops::status::{MixedBatches, utc};
use crate::outbox::filter::Filter;
use crate::outbox::queue::{Item, Phase, Seq, State};
use crate::outbox::schedule::person::{Deed, Intervention, Pause, Verdict};
use crate::outbox::search::Found;
use crate::outbox::store::listing;
use crate::time::{HostTime, PbxTime};

pub mod page;

/// The version of these forms; keys are only ever added.
pub const VERSION: u32 = 1;

/// Calls in one answer, at most: some 400 KB.
pub const LIMIT_MAX: usize = 1000;

/// Calls in one answer, when nobody says how many.
pub const LIMIT: usize = 50;

/// Calls that one request steps into, at most.
pub const CALLS_MAX: usize = 200;

/// Which calls are asked for, as it stands in an address.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// States, with commas between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pbx: Option<PbxName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PbxTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<PbxTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Behind this one, where calls leave for another store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
}

/// A word that is no state.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no state; there are pending, sending, unknown, parked, dead, sent, unsorted, skipped, expired"
)]
pub struct NoState(String);

/// What is known of one call, in short.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Row {
    pub call_id: CallId,
    pub state: Phase,
    pub account: AccountId,
    pub pbx: PbxName,
    pub direction: Direction,
    pub phone: Option<String>,
    /// On whom it is booked, or the first that rang.
    pub extension: Option<String>,
    /// The label of its line, or our number.
    pub line: Option<String>,
    pub outcome: Outcome,
    pub talk_seconds: Seconds,
    pub started_at: PbxTime,
    #[serde(with = "utc")]
    pub stored_at: HostTime,
    pub attempts: u32,
    /// When it is tried or looked for again.
    #[serde(with = "utc::maybe")]
    pub next_at: Option<HostTime>,
    /// Why policy does not send it.
    pub skip: Option<Skip>,
    /// Why it is dead or given up; what amoCRM or the network said last.
    pub reason: Option<String>,
}

/// Calls, the newest last.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Listing {
    pub v: u32,
    pub calls: Vec<Row>,
    /// There are older ones.
    pub more: bool,
    /// Dead calls that cannot be read, and may be meant.
    pub unreadable: u64,
}

/// Whole calls, the newest last.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Explained {
    pub v: u32,
    pub found: Vec<Found>,
    /// Older ones that are not here; at least one where they were not counted.
    pub more: usize,
    /// How the accounts of these calls answer a batch in which they refuse some, as far as that is known.
    #[serde(default)]
    pub mixed_batches: BTreeMap<AccountId, MixedBatches>,
}

/// What a person wants done about calls.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Order {
    pub calls: Vec<CallId>,
    /// Who says so; the daemon adds the user that it sees.
    pub by: String,
    #[serde(default)]
    pub why: Option<String>,
}

/// What became of it, call by call.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Verdicts {
    pub v: u32,
    pub verdicts: Vec<(CallId, Verdict)>,
}

/// What a person wants for delivery to an account.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct PauseOrder {
    pub account: AccountId,
    pub by: String,
    #[serde(default)]
    pub why: Option<String>,
}

/// Whether an order changed anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Changed {
    pub v: u32,
    pub changed: bool,
}

impl Question {
    /// Which calls are meant, and how many at most.
    ///
    /// # Errors
    /// When a state is none.
    pub fn filter(&self) -> Result<(Filter, usize), NoState> {
        let words = self.state.iter().flat_map(|states| states.split(',')).map(str::trim);
        let states = words.map(state).collect::<Result<BTreeSet<_>, _>>()?;
        let filter = Filter {
            states,
            account: self.account.clone(),
            pbx: self.pbx.clone(),
            phone: self.phone.clone(),
            extension: self.extension.clone(),
            line: self.line.clone(),
            from: self.from,
            to: self.to,
            wanted: None,
        };
        Ok((filter, self.limit.unwrap_or(LIMIT).min(LIMIT_MAX)))
    }
}

fn state(word: &str) -> Result<Phase, NoState> {
    let phase = Phase::ALL.into_iter().find(|phase| phase.name() == word);
    phase.ok_or_else(|| NoState(word.to_owned()))
}

impl Order {
    pub fn intervention(&self, deed: Deed) -> Intervention {
        Intervention { deed, by: self.by.clone(), why: self.why.clone() }
    }
}

impl PauseOrder {
    pub fn pause(&self, at: HostTime) -> Pause {
        Pause { at, by: self.by.clone(), why: self.why.clone() }
    }
}

impl From<listing::Listing<Row>> for Listing {
    fn from(listing: listing::Listing<Row>) -> Self {
        let listing::Listing { found, more, unreadable } = listing;
        Self { v: VERSION, calls: found, more, unreadable }
    }
}

impl From<Item> for Row {
    fn from(item: Item) -> Self {
        let record = item.call.record;
        let (next_at, skip, reason) = match item.state {
            State::Pending | State::Unknown { .. } | State::Parked { .. } => {
                (Some(item.next_at), None, item.last_error)
            }
            State::Sending { .. } | State::Sent { .. } | State::Unsorted { .. } => (None, None, None),
            State::Skipped { reason, .. } => (None, Some(reason), None),
            State::Expired { ref reason, .. } | State::Dead { ref reason, .. } => {
                (None, None, Some(reason.clone()))
            }
        };
        Self {
            state: item.state.phase(),
            account: item.account,
            stored_at: item.enqueued_at,
            attempts: item.attempts,
            next_at,
            skip,
            reason,
            extension: record.responsible.or_else(|| record.rang.into_iter().next()),
            phone: record.phone_e164.or(record.phone).or(record.phone_raw),
            line: record.line.label.or(record.did),
            call_id: record.call_id,
            pbx: record.pbx,
            direction: record.direction,
            outcome: record.outcome,
            talk_seconds: record.talk_seconds,
            started_at: record.started_at,
        }
    }
}
