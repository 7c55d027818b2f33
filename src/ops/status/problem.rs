//! Pure: what is wrong, said so that whoever is woken by it can mend it.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::id::{AccountId, CallId, PbxName};
use crate::ops::hook::HookStatus;
use crate::ops::records::RecordsStatus;
use crate::ops::reload::Outcome;
use crate::ops::status::{AccountStatus, Foreign, LinkStatus, PbxStatus, Span, Status};
use crate::outbox::courier::standing::{Hold, Standing};
use crate::outbox::queue::Phase;
use crate::outbox::schedule::person::Pause;
use crate::outbox::store::space;
use crate::time::{HostTime, PbxTime};

mod about;
mod duplicates;
mod words;

/// Something that a person must act on, or should know.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "code")]
pub enum Problem {
    /// Calls came and are nowhere.
    Unaccounted {
        calls: u64,
    },
    StoreFailed {
        reason: String,
    },
    DiskLow {
        free_bytes: u64,
    },
    /// Calls are not read, because the store takes none.
    PbxNotRead {
        pbx: PbxName,
    },
    PbxDown {
        pbx: PbxName,
        reason: String,
    },
    /// The PBX is there and lets the user not in.
    PbxRefused {
        pbx: PbxName,
        reason: String,
    },
    /// A connection that was never made.
    PbxConnecting {
        pbx: PbxName,
    },
    ClockOff {
        pbx: PbxName,
        seconds: i64,
    },
    Lag {
        pbx: PbxName,
        seconds: i64,
    },
    /// Events carry no time: the PBX has `timestampevents` off.
    NoTimestamps {
        pbx: PbxName,
    },
    /// The PBX was not watched, and nothing says which calls it had.
    Unseen {
        pbx: PbxName,
        from: PbxTime,
        to: PbxTime,
    },
    AccountHeld {
        account: AccountId,
        why: Hold,
        words: String,
    },
    AccountTroubled {
        account: AccountId,
        words: String,
    },
    /// A call waits for longer than amoCRM being away for a moment explains.
    Old {
        account: AccountId,
        minutes: u64,
    },
    /// What the file says now is not what runs, and would not start.
    ConfigRefused {
        reason: String,
    },
    /// The hook fails again and again: calls go without it.
    HookFailing {
        program: String,
        reason: String,
        /// Calls since the start that went without it for that.
        bypassed: u64,
    },
    /// The file of records takes no lines.
    RecordsFailing {
        file: String,
        reason: String,
        /// Calls since the start that have no line.
        lost: u64,
    },
    Dead {
        calls: u64,
    },
    /// Nothing is delivered after that, and only a person can renew the token.
    TokenEnds {
        account: AccountId,
        hours: u64,
    },
    /// A person has stopped delivery.
    Paused {
        account: AccountId,
        minutes: u64,
        by: String,
        why: Option<String>,
    },
    /// Calls of numbers that amoCRM does not know wait for somebody to make a contact.
    UnknownNumbers {
        account: AccountId,
        calls: u64,
        /// How long the oldest waits.
        hours: u64,
    },
    /// Calls of extensions that no line of the configuration maps to a user.
    Unmapped {
        account: AccountId,
        /// Those with the most calls first, [`EXTENSIONS_TOLD`] at most.
        extensions: Vec<String>,
        /// More of them than are told.
        more: u64,
        calls: u64,
    },
    /// Somebody else writes notes of calls that are posted.
    Duplicated {
        account: AccountId,
        /// What it says of itself.
        source: String,
        notes: u64,
        calls: Vec<CallId>,
    },
    /// Nothing is posted: calls are compared with what another connector writes.
    Shadow {
        account: AccountId,
        /// Calls that came before, and wait.
        waiting: u64,
    },
}

/// What monitoring makes of a problem.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// A person may want to know: everything works as it is set up.
    Notice,
    /// A person should see to it in working hours.
    Warning,
    /// Calls are not taken, not stored or not delivered: now.
    Critical,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Clocks further apart than this make a mess of whoever compares the CRM with the PBX.
const CLOCK_MAX_MS: u64 = 60_000;

/// Events that come later than this come from a stream that is not read fast enough.
const LAG_MAX_MS: i64 = 10_000;

/// A call that waits longer calls a person, whatever it waits for.
const OLD: Duration = Duration::from_mins(15);

/// A person has so long to make another token.
const TOKEN_LEFT: Duration = Duration::from_hours(14 * 24);

/// Nobody compares the records with the CRM for less.
pub const UNSEEN_MIN: Duration = Duration::from_mins(1);

/// A gap is told for a day.
const UNSEEN_TOLD: Duration = Duration::from_hours(24);

/// Extensions that a line names; more are counted.
const EXTENSIONS_TOLD: usize = 5;

/// Lines of what is wrong with a configuration: what it is, and where. What is drawn below is for a terminal.
const PROBLEM_LINES: usize = 2;

/// Notes of somebody else that are no chance.
const DUPLICATES_MIN: u64 = 2;

/// They are told for so long after the last one.
const DUPLICATES_TOLD: Duration = Duration::from_hours(24);

/// How long a connection may take after a start.
const CONNECTING_MAX: Duration = Duration::from_secs(30);

/// What is wrong with this status, the worst first.
pub fn problems(status: &Status) -> Vec<Problem> {
    let mut found = Vec::new();
    if status.outbox.unaccounted > 0 {
        found.push(Problem::Unaccounted { calls: status.outbox.unaccounted });
    }
    found.extend(status.store.failure.clone().map(|reason| Problem::StoreFailed { reason }));
    let low = status.store.free_bytes.filter(|free| *free < space::LOW);
    found.extend(low.map(|free_bytes| Problem::DiskLow { free_bytes }));
    for pbx in &status.pbxs {
        found.extend(of_link(pbx, status.uptime()));
        found.extend(of_clock(pbx));
        found.extend(of_timestamps(pbx));
        found.extend(of_gaps(pbx, status.now));
    }
    for account in &status.accounts {
        found.extend(of_account(account, status.now));
        found.extend(of_token(account, status.now));
    }
    found.extend(refused_config(status));
    found.extend(status.hook.as_ref().and_then(hook_failing));
    found.extend(status.records.as_ref().and_then(records_failing));
    let dead = status.outbox.by_state.get(&Phase::Dead).copied().filter(|calls| *calls > 0);
    found.extend(dead.map(|calls| Problem::Dead { calls }));
    for account in &status.accounts {
        found.extend(unmapped(account));
        found.extend(unknown_numbers(account, status.now));
        found.extend(duplicated(account, status.now));
        found.extend(shadow(account));
    }
    found.sort_by_key(|problem| Reverse(problem.severity()));
    found
}

fn of_link(pbx: &PbxStatus, uptime: Duration) -> Option<Problem> {
    let name = pbx.name.clone();
    match &pbx.link {
        LinkStatus::Up { .. } => None,
        LinkStatus::Connecting if uptime < CONNECTING_MAX => None,
        LinkStatus::Connecting => Some(Problem::PbxConnecting { pbx: name }),
        LinkStatus::Down { reason } => Some(Problem::PbxDown { pbx: name, reason: reason.clone() }),
        LinkStatus::Refused { reason } => Some(Problem::PbxRefused { pbx: name, reason: reason.clone() }),
        LinkStatus::NotRead => Some(Problem::PbxNotRead { pbx: name }),
    }
}

fn of_clock(pbx: &PbxStatus) -> Option<Problem> {
    let (name, is_up) = (pbx.name.clone(), matches!(pbx.link, LinkStatus::Up { .. }));
    if let Some(ahead) = pbx.host_ahead_ms.filter(|ahead| ahead.unsigned_abs() > CLOCK_MAX_MS) {
        return Some(Problem::ClockOff { pbx: name, seconds: ahead / 1000 });
    }
    let lag = pbx.lag_ms.filter(|lag| is_up && *lag > LAG_MAX_MS)?;
    Some(Problem::Lag { pbx: name, seconds: lag / 1000 })
}

fn of_timestamps(pbx: &PbxStatus) -> Option<Problem> {
    (pbx.timestamps == Some(false)).then(|| Problem::NoTimestamps { pbx: pbx.name.clone() })
}

fn of_gaps(pbx: &PbxStatus, now: HostTime) -> Option<Problem> {
    let Span { from, to } = pbx.gaps.last_unseen?;
    let age = PbxTime::from_micros(now.micros()).since(to);
    let is_told = to.since(from) >= UNSEEN_MIN && age < UNSEEN_TOLD;
    is_told.then(|| Problem::Unseen { pbx: pbx.name.clone(), from, to })
}

fn of_account(account: &AccountStatus, now: HostTime) -> Option<Problem> {
    let name = account.name.clone();
    if let Some(Pause { at, by, why }) = account.paused.clone() {
        // What else is wrong with the account shows when it goes on.
        return Some(Problem::Paused { account: name, minutes: now.since(at).as_secs() / 60, by, why });
    }
    match &account.standing {
        Standing::Held { why, words, .. } => {
            return Some(Problem::AccountHeld { account: name, why: *why, words: words.clone() });
        }
        Standing::Troubled { words, .. } => {
            return Some(Problem::AccountTroubled { account: name, words: words.clone() });
        }
        Standing::Starting | Standing::Delivering => {}
    }
    let age = account.oldest_at.filter(|_| !account.shadow).map(|at| now.since(at));
    let age = age.filter(|age| *age > OLD)?;
    Some(Problem::Old { account: name, minutes: age.as_secs() / 60 })
}

/// One that has ended is refused, and told as such.
fn of_token(account: &AccountStatus, now: HostTime) -> Option<Problem> {
    let left = account.token_ends_at.filter(|at| *at > now)?.since(now);
    let hours = left.as_secs() / 3600;
    (left < TOKEN_LEFT).then(|| Problem::TokenEnds { account: account.name.clone(), hours })
}

fn hook_failing(hook: &HookStatus) -> Option<Problem> {
    let reason = hook.failure.clone()?;
    Some(Problem::HookFailing { program: hook.program.clone(), reason, bypassed: hook.bypassed })
}

fn records_failing(records: &RecordsStatus) -> Option<Problem> {
    let reason = records.failure.clone()?;
    Some(Problem::RecordsFailing { file: records.file.clone(), reason, lost: records.lost })
}

fn refused_config(status: &Status) -> Option<Problem> {
    match &status.reload.as_ref()?.outcome {
        Outcome::Taken { .. } => None,
        Outcome::Refused { problems } => {
            let told: Vec<_> = problems.lines().take(PROBLEM_LINES).map(str::trim).collect();
            Some(Problem::ConfigRefused { reason: told.join(" ") })
        }
    }
}

fn unmapped(account: &AccountStatus) -> Option<Problem> {
    let known = &account.unmapped;
    let calls = known.iter().map(|known| known.calls).sum();
    let extensions = known.iter().take(EXTENSIONS_TOLD).map(|known| known.extension.clone()).collect();
    let more = known.len().saturating_sub(EXTENSIONS_TOLD) as u64;
    (!known.is_empty()).then(|| Problem::Unmapped { account: account.name.clone(), extensions, more, calls })
}

fn unknown_numbers(account: &AccountStatus, now: HostTime) -> Option<Problem> {
    let calls = account.waiting.get(&Phase::Parked).copied().filter(|calls| *calls > 0)?;
    let hours = account.parked_since.map_or(0, |since| now.since(since).as_secs() / 3600);
    Some(Problem::UnknownNumbers { account: account.name.clone(), calls, hours })
}

/// One note may be a chance: two calls of one number within a minute.
fn duplicated(account: &AccountStatus, now: HostTime) -> impl Iterator<Item = Problem> {
    let is_told =
        move |known: &&Foreign| known.notes >= DUPLICATES_MIN && now.since(known.last_at) < DUPLICATES_TOLD;
    account.foreign.iter().filter(is_told).map(|known| Problem::Duplicated {
        account: account.name.clone(),
        source: known.source.clone(),
        notes: known.notes,
        calls: known.calls.clone(),
    })
}

fn shadow(account: &AccountStatus) -> Option<Problem> {
    let waiting = account.waiting.values().sum();
    account.shadow.then(|| Problem::Shadow { account: account.name.clone(), waiting })
}

impl Problem {
    pub fn severity(&self) -> Severity {
        match self {
            Self::Unaccounted { .. }
            | Self::StoreFailed { .. }
            | Self::PbxNotRead { .. }
            | Self::PbxDown { .. }
            | Self::PbxRefused { .. }
            | Self::PbxConnecting { .. }
            | Self::AccountHeld { .. }
            | Self::Old { .. } => Severity::Critical,
            Self::DiskLow { .. }
            | Self::ClockOff { .. }
            | Self::Lag { .. }
            | Self::NoTimestamps { .. }
            | Self::Unseen { .. }
            | Self::AccountTroubled { .. }
            | Self::ConfigRefused { .. }
            | Self::HookFailing { .. }
            | Self::RecordsFailing { .. }
            | Self::Dead { .. }
            | Self::TokenEnds { .. }
            | Self::Paused { .. }
            | Self::Duplicated { .. } => Severity::Warning,
            Self::UnknownNumbers { .. } | Self::Unmapped { .. } | Self::Shadow { .. } => Severity::Notice,
        }
    }
}

#[cfg(test)]
mod tests;
