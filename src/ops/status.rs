//! Pure: how the daemon fares, in one value: what `ami2amo status`, the metrics and the health checks tell,
//! they tell from it. What a person must act on is in [`Status::problems`], the worst first.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::id::{AccountId, CallId, PbxName};
use crate::call::record::{Direction, Outcome};
use crate::ops::hook::HookStatus;
use crate::ops::records::RecordsStatus;
use crate::ops::reload::Reloaded;
use crate::ops::status::problem::{Problem, Severity};
use crate::outbox::courier::manner::{Known, Manner};
use crate::outbox::courier::sound::LateLinks;
use crate::outbox::courier::standing::Standing;
use crate::outbox::queue::{Phase, Stats};
use crate::outbox::schedule::person::Pause;
use crate::time::{HostTime, PbxTime};

pub mod metrics;
pub mod news;
pub mod page;
pub mod problem;

/// The version of this form; keys are only ever added.
pub const VERSION: u32 = 1;

/// How the daemon fares at one moment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Status {
    pub v: u32,
    /// Of the program.
    pub version: String,
    #[serde(with = "utc")]
    pub started_at: HostTime,
    #[serde(with = "utc")]
    pub now: HostTime,
    pub pbxs: Vec<PbxStatus>,
    pub accounts: Vec<AccountStatus>,
    pub outbox: OutboxStatus,
    pub store: StoreStatus,
    /// What came of the configuration when it was read again last, since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reloaded>,
    /// The hook, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookStatus>,
    /// The file of records, where one is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<RecordsStatus>,
    pub problems: Vec<Problem>,
}

/// One PBX.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct PbxStatus {
    pub name: PbxName,
    pub link: LinkStatus,
    /// Calls in progress.
    pub open: u64,
    /// Calls that ended since the start, internal ones among them.
    pub finished: u64,
    /// Events since the start, without those that no call depends on.
    pub events: u64,
    /// When the last of them came.
    #[serde(with = "utc::maybe")]
    pub last_event_at: Option<HostTime>,
    /// How long the last event was on its way, in milliseconds; not known before the clocks are compared.
    pub lag_ms: Option<i64>,
    /// How far this host's clock is ahead of the PBX's, in milliseconds.
    pub host_ahead_ms: Option<i64>,
    /// Ended calls that wait in memory, because the store takes none.
    pub backlog: u64,
    /// The events by kind, those that came.
    #[serde(default)]
    pub events_by_kind: BTreeMap<String, u64>,
    /// The calls that ended, by direction and outcome.
    #[serde(default)]
    pub calls: Vec<CallsOf>,
    /// Whether events carry the PBX's own time; not known before the first.
    #[serde(default)]
    pub timestamps: Option<bool>,
    /// Times in which nobody watched it, since the start.
    #[serde(default)]
    pub gaps: GapsStatus,
}

/// How many calls of a PBX went one way and ended one way, since the start.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct CallsOf {
    pub direction: Direction,
    pub outcome: Outcome,
    pub calls: u64,
}

/// Times in which nobody watched a PBX, since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct GapsStatus {
    pub count: u64,
    /// How long they were together.
    pub seconds: u64,
    /// Calls that the PBX's records had of them and nobody knew.
    pub found: u64,
    /// Gaps whose calls are still looked for.
    pub waiting: u64,
    /// Gaps of which nothing says which calls were in them: no records are configured, or none could be read.
    pub unseen: u64,
    pub last: Option<Span>,
    pub last_unseen: Option<Span>,
}

/// A stretch of time by the PBX's clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Span {
    pub from: PbxTime,
    pub to: PbxTime,
}

/// Where the connection to a PBX stands.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum LinkStatus {
    Connecting,
    Up {
        asterisk: Option<String>,
    },
    Down {
        reason: String,
    },
    /// The PBX is there and lets the user not in.
    Refused {
        reason: String,
    },
    NotRead,
}

/// One amoCRM account.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct AccountStatus {
    pub name: AccountId,
    pub address: Option<String>,
    #[serde(flatten)]
    pub standing: Standing,
    /// Its waiting calls by state.
    pub waiting: BTreeMap<Phase, u64>,
    /// When the oldest of those that wait for nothing but amoCRM came: parked ones wait for a person.
    #[serde(with = "utc::maybe")]
    pub oldest_at: Option<HostTime>,
    /// When a call was last delivered, since the start.
    #[serde(with = "utc::maybe")]
    pub last_sent_at: Option<HostTime>,
    /// Why one was not, the last time since the start.
    pub last_error: Option<Mishap>,
    /// Until when the token works, where only a person can renew it.
    #[serde(with = "utc::maybe")]
    pub token_ends_at: Option<HostTime>,
    /// A person has stopped delivery.
    pub paused: Option<Pause>,
    /// Links to recordings that were set later, and those that were given up, since the start.
    #[serde(default)]
    pub late_links: LateLinks,
    /// How it answers a batch in which it refuses some calls, as far as that is known.
    #[serde(default)]
    pub mixed_batches: Option<MixedBatches>,
    /// When the oldest parked call came.
    #[serde(default, with = "utc::maybe")]
    pub parked_since: Option<HostTime>,
    /// Extensions of calls since the start that have no user there, those with the most calls first.
    #[serde(default)]
    pub unmapped: Vec<Unmapped>,
    /// What became of tries to deliver since the start, by the state that followed.
    #[serde(default)]
    pub verdicts: BTreeMap<Phase, u64>,
    /// Nothing is posted: calls are compared with what another connector writes.
    #[serde(default)]
    pub shadow: bool,
    /// Who else writes notes of calls that were posted, since the start.
    #[serde(default)]
    pub foreign: Vec<Foreign>,
}

/// Another integration that writes notes of calls that were posted.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Foreign {
    /// What it says of itself.
    pub source: String,
    pub notes: u64,
    /// When the last one was found.
    #[serde(with = "utc")]
    pub last_at: HostTime,
    /// The first calls of which it wrote.
    pub calls: Vec<CallId>,
}

/// An extension that the configuration maps to nobody.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Unmapped {
    pub extension: String,
    pub calls: u64,
}

/// How an account answers a batch in which it refuses some calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct MixedBatches {
    pub answer: Manner,
    #[serde(with = "utc")]
    pub learned_at: HostTime,
}

impl From<Known> for MixedBatches {
    fn from(Known { manner, since }: Known) -> Self {
        Self { answer: manner, learned_at: since }
    }
}

impl From<MixedBatches> for Known {
    fn from(MixedBatches { answer, learned_at }: MixedBatches) -> Self {
        Self { manner: answer, since: learned_at }
    }
}

/// What went wrong, and when.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Mishap {
    #[serde(with = "utc")]
    pub at: HostTime,
    pub words: String,
}

/// The ledger: ended = sent + unsorted + skipped + expired + dead + waiting + unaccounted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct OutboxStatus {
    pub ended: u64,
    pub by_state: BTreeMap<Phase, u64>,
    /// Calls that came and are nowhere: a loss.
    pub unaccounted: u64,
    #[serde(with = "utc::maybe")]
    pub oldest_at: Option<HostTime>,
}

/// The store and its disk.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct StoreStatus {
    pub dir: String,
    /// Why it takes nothing.
    pub failure: Option<String>,
    /// Bytes of the database.
    pub bytes: u64,
    /// Bytes free on the disk; not known when the system does not say.
    pub free_bytes: Option<u64>,
}

impl Status {
    /// Whether calls are taken from every PBX and stored.
    pub fn is_ready(&self) -> bool {
        let is_up = |pbx: &PbxStatus| matches!(pbx.link, LinkStatus::Up { .. });
        self.store.failure.is_none() && self.pbxs.iter().all(is_up)
    }

    /// Of the worst problem; `None` when all is well.
    pub fn severity(&self) -> Option<Severity> {
        self.problems.iter().map(Problem::severity).max()
    }

    /// For how long the daemon runs.
    pub fn uptime(&self) -> Duration {
        self.now.since(self.started_at)
    }
}

impl From<&Stats> for OutboxStatus {
    fn from(stats: &Stats) -> Self {
        Self {
            ended: stats.ended,
            by_state: stats.by_phase.iter().filter(|(_, count)| **count > 0).map(|(p, c)| (*p, *c)).collect(),
            unaccounted: stats.ended.saturating_sub(stats.by_phase.values().sum()),
            oldest_at: stats.oldest,
        }
    }
}

/// Times as the JSON lines have them: `2026-11-22T09:13:11.389Z`.
pub mod utc {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::time::{HostTime, PbxTime};

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(at: &HostTime, serializer: S) -> Result<S::Ok, S::Error> {
        PbxTime::from_micros(at.micros()).serialize(serializer)
    }

    /// # Errors
    /// When it is no time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HostTime, D::Error> {
        PbxTime::deserialize(deserializer).map(|at| HostTime::from_micros(at.micros()))
    }

    /// A time that need not be known.
    pub mod maybe {
        use super::{Deserializer, HostTime, PbxTime, Serializer};
        use serde::{Deserialize as _, Serialize as _};

        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(at: &Option<HostTime>, serializer: S) -> Result<S::Ok, S::Error> {
            at.map(|at| PbxTime::from_micros(at.micros())).serialize(serializer)
        }

        /// # Errors
        /// When it is no time.
        pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<HostTime>, D::Error> {
            let at = Option::<PbxTime>::deserialize(d)?;
            Ok(at.map(|at| HostTime::from_micros(at.micros())))
        }
    }
}
