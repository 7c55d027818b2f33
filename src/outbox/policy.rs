//! Pure: what is done with a call after an answer, after a search and after a failure. All of it
//! are values; the courier carries them out. What is made for unknown numbers is decided in
//! [`unknown`](crate::outbox::unknown).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::amo::answer::{Entity, Fate};
use crate::amo::notes::Note;
use crate::outbox::queue::{BatchId, EntityRef, Item, Settlement, State};
use crate::time::HostTime;
use crate::time::span::Span;

/// The `[delivery]` table of the configuration.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Most calls in one POST: 1 to 50.
    pub batch_size: BatchSize,
    /// Most POSTs that are under way at once: 1 to 8. They share the pace.
    pub in_flight: InFlight,
    /// How long a stored note may stay out of amoCRM's lists. A call is taken for not stored only
    /// when it is missing after its intent, the request time-out and this.
    pub note_lag: Span,
    /// What is done with a call whose POST had no answer and that cannot be found.
    pub on_unknown: OnUnknown,
    /// Pauses between tries of a call whose number amoCRM does not know; the last one repeats.
    pub parked_retries: Vec<Span>,
    /// After this the number is given up, with one last try.
    pub parked_max: Span,
    /// Calls that waited longer are not sent any more; unset, they wait for ever.
    pub max_age: Option<Span>,
    /// First pause after a failure of network or server; doubles up to `retry_max`.
    pub retry_first: Span,
    pub retry_max: Span,
    /// First pause when only a person can help (token, payment, rights); doubles up to `probe_max`.
    pub probe_first: Span,
    pub probe_max: Span,
    /// How long the end of the daemon waits for an answer that is under way.
    pub stop_timeout: Span,
}

/// What is done with a call whose POST had no answer and that cannot be found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnknown {
    /// It is sent again: a duplicate is possible where amoCRM's lists lag longer than `note-lag`.
    #[default]
    Resend,
    /// It is looked for again and again and never sent; after a day it is a dead letter, for a person.
    Hold,
}

/// 1 to 50 calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct BatchSize(usize);

/// 1 to 8 POSTs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct InFlight(usize);

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("batch-size = {0}: amoCRM takes 1 to {BATCH_MAX} calls at once")]
    BatchSize(usize),
    #[error("in-flight = {0}: 1 to {IN_FLIGHT_MAX} requests may be under way at once")]
    InFlight(usize),
}

/// One POST, as far as judging its calls needs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sending {
    pub batch: BatchId,
    /// When the intent became durable.
    pub since: HostTime,
    /// Longest that the request can have taken.
    pub request_timeout: Duration,
}

/// Deterministic noise for pauses (splitmix64), so that many daemons do not knock together.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

/// Most calls that amoCRM is given at once; its own library's advice.
pub const BATCH_MAX: usize = 50;
/// At amoCRM's limit of 7 requests a second, answers that take a second are waited for by 7.
pub const IN_FLIGHT_MAX: usize = 8;
/// A call that amoCRM refuses alone without saying why is given up after so many refusals in a row,
/// which the growing pauses stretch over hours: long enough for a fault of the account to be seen.
const UNEXPLAINED_MAX: u32 = 12;
/// The first search comes after this part of `note_lag`: most notes are listed at once.
const FIRST_LOOK_PART: u32 = 6;
/// Searches that must have failed before a call is taken for not stored.
pub const LOOKS_MIN: u32 = 2;
/// Longest distance that the next moment of the schedule must have, so that a late try and the
/// next one do not meet.
const PARKED_GAP_MAX: Duration = Duration::from_mins(1);
pub const PARKED_GAP_MIN: Duration = Duration::from_millis(10);
/// How often a call is looked for that is held by `on-unknown = "hold"`.
pub const HELD_LOOK: Duration = Duration::from_hours(1);
/// How long it is looked for: no list lags by a day, and each look reads more of what came since.
pub const HELD_MAX: Span = Span::from_hours(24);

/// What the reason of a call has that was held up: by it such a call is known.
pub const MAY_BE_THERE: &str = "it may be there, so it is not sent again";

/// What amoCRM made of one posted call. `words` is what it said about the request.
pub fn after_answer(
    policy: &Policy,
    item: &Item,
    fate: &Fate,
    words: &str,
    sending: &Sending,
    now: HostTime,
) -> Settlement {
    let (state, next_at, said) = match fate {
        Fate::Stored { note_id, entity } => (sent(*note_id, entity.as_ref(), now), now, None),
        Fate::NotFound => {
            let (state, next_at) = parked(policy, item, now);
            (state, next_at, Some(words.to_owned()))
        }
        Fate::Invalid { code, path, detail } => {
            let reason = refusal(code, path, detail);
            (State::Dead { reason: reason.clone(), at: now }, now, Some(reason))
        }
        Fate::Suspect => (State::Pending, now, Some(words.to_owned())),
        Fate::Untouched => (waiting(&item.state), now, Some(words.to_owned())),
        Fate::Unclear => {
            let (state, next_at) = unclear(policy, sending, now);
            (state, next_at, Some(words.to_owned()))
        }
    };
    let attempted = !matches!(fate, Fate::Untouched);
    Settlement { seq: item.seq, state, next_at, last_error: said, attempted, errand: item.errand.clone() }
}

/// What a search that read every place says of one call. `refusals` counts the last POSTs in a row
/// that amoCRM refused for this call alone and without a reason.
pub fn after_look(
    policy: &Policy,
    item: &Item,
    found: Option<&Note>,
    refusals: u32,
    request_timeout: Duration,
    now: HostTime,
    jitter: f64,
) -> Settlement {
    let judged = judged_at(policy, unknown_since(item, now), request_timeout);
    let looked = looked(item) + 1;
    let (state, next_at) = match found {
        Some(note) => (sent(note.id, note.entity.as_ref(), now), now),
        None if looked < LOOKS_MIN || now < judged => {
            (look_again(item, looked, now), judged.max(now.after(first_look(policy))))
        }
        None => absent(policy, item, refusals, now, jitter),
    };
    let last_error = found.is_none().then(|| item.last_error.clone()).flatten();
    Settlement { seq: item.seq, state, next_at, last_error, attempted: false, errand: item.errand.clone() }
}

/// A search failed: nothing is proved, and the call is looked for again after `pause`.
pub fn after_failed_look(item: &Item, words: &str, pause: Duration, now: HostTime) -> Settlement {
    let state = look_again(item, looked(item), now);
    let last_error = Some(words.to_owned());
    Settlement {
        seq: item.seq,
        state,
        next_at: now.after(pause),
        last_error,
        attempted: false,
        errand: item.errand.clone(),
    }
}

/// Settles a call that cannot be written for amoCRM at all.
pub fn unfit(item: &Item, reason: String, now: HostTime) -> Settlement {
    let state = State::Dead { reason: reason.clone(), at: now };
    Settlement {
        seq: item.seq,
        state,
        next_at: now,
        last_error: Some(reason),
        attempted: false,
        errand: item.errand.clone(),
    }
}

/// Settles a call that waited too long, if it did.
pub fn over_age(policy: &Policy, item: &Item, now: HostTime) -> Option<Settlement> {
    let max = policy.max_age?;
    if now.since(item.enqueued_at) < max.duration() {
        return None;
    }
    let state = State::Expired { reason: format!("it waited longer than max-age = {max}"), at: now };
    Some(Settlement {
        seq: item.seq,
        state,
        next_at: now,
        last_error: item.last_error.clone(),
        attempted: false,
        errand: item.errand.clone(),
    })
}

/// The calls of a lease that go on together, at most `limit`: the first one and those that have the
/// same errand and as many unclear POSTs behind them. Each such POST halves the company, so that a call that
/// spoils its batch is alone after a few, and others never share a batch with it.
pub fn batch(leased: Vec<Item>, limit: usize) -> Vec<Item> {
    let Some(first) = leased.first() else { return leased };
    let (company, kind) = (company(first), first.errand.kind());
    let is_alike = |item: &Item| self::company(item) == company && item.errand.kind() == kind;
    leased.into_iter().filter(is_alike).take(company.min(limit)).collect()
}

/// `first`, doubled with each failure, at most `max`; `jitter` (0 to 1) spreads it over its upper
/// half.
pub fn delay(failures: u32, first: Duration, max: Duration, jitter: f64) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures)).min(max);
    doubled.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// How long after an unclear answer the first search comes.
pub fn first_look(policy: &Policy) -> Duration {
    policy.note_lag.duration() / FIRST_LOOK_PART
}

impl Policy {
    /// The pause after `failures` failures of network or server in a row.
    pub fn retry_delay(&self, failures: u32, jitter: f64) -> Duration {
        delay(failures, self.retry_first.duration(), self.retry_max.duration(), jitter)
    }

    /// The pause before the next probe of an account that needs a person.
    pub fn probe_delay(&self, probes: u32, jitter: f64) -> Duration {
        delay(probes, self.probe_first.duration(), self.probe_max.duration(), jitter)
    }
}

impl Default for Policy {
    fn default() -> Self {
        let minutes = |minutes: u64| Span::from_secs(minutes * 60);
        Self {
            batch_size: BatchSize(BATCH_MAX),
            in_flight: InFlight(4),
            note_lag: Span::from_secs(30),
            on_unknown: OnUnknown::Resend,
            parked_retries: vec![minutes(10), minutes(60), minutes(240), minutes(720), minutes(1440)],
            parked_max: Span::from_hours(96),
            max_age: None,
            retry_first: Span::from_secs(2),
            retry_max: minutes(10),
            probe_first: minutes(1),
            probe_max: minutes(15),
            stop_timeout: Span::from_secs(10),
        }
    }
}

impl BatchSize {
    pub const fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<usize> for BatchSize {
    type Error = Error;

    fn try_from(size: usize) -> Result<Self, Error> {
        if (1..=BATCH_MAX).contains(&size) { Ok(Self(size)) } else { Err(Error::BatchSize(size)) }
    }
}

impl From<BatchSize> for usize {
    fn from(size: BatchSize) -> Self {
        size.0
    }
}

impl InFlight {
    pub const fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<usize> for InFlight {
    type Error = Error;

    fn try_from(count: usize) -> Result<Self, Error> {
        if (1..=IN_FLIGHT_MAX).contains(&count) { Ok(Self(count)) } else { Err(Error::InFlight(count)) }
    }
}

impl From<InFlight> for usize {
    fn from(count: InFlight) -> Self {
        count.0
    }
}

impl Jitter {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next value, from 0 to 1.
    pub fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(((mixed ^ (mixed >> 31)) >> 32) as u32) / f64::from(u32::MAX)
    }
}

fn sent(note_id: Option<u64>, entity: Option<&Entity>, now: HostTime) -> State {
    let entity = entity.map(|entity| EntityRef { kind: entity.kind.clone(), id: entity.id });
    State::Sent { note_id, entity, at: now }
}

/// When a call was parked first; now, when it never was.
pub fn parked_since(item: &Item, now: HostTime) -> HostTime {
    let since = if let State::Parked { since } = item.state { Some(since) } else { None };
    item.parked_since.or(since).unwrap_or(now)
}

/// Parks a call whose number amoCRM does not know until the schedule's next moment, or gives it up.
pub fn parked(policy: &Policy, item: &Item, now: HostTime) -> (State, HostTime) {
    let since = parked_since(item, now);
    let waited = now.since(since);
    if waited >= policy.parked_max.duration() {
        let reason = format!("amoCRM has had no contact with this number for {}", policy.parked_max);
        return (State::Expired { reason, at: now }, now);
    }
    (State::Parked { since }, since.after(next_try(policy, waited)))
}

/// When a parked call is tried next, counted from its parking: the schedule is a list of moments,
/// so that tries that were missed are not made up for.
fn next_try(policy: &Policy, waited: Duration) -> Duration {
    let pauses = policy.parked_retries.iter().map(|pause| pause.duration());
    let gap = pauses.clone().min().unwrap_or_default().clamp(PARKED_GAP_MIN, PARKED_GAP_MAX);
    let last = pauses.clone().next_back().unwrap_or(policy.parked_max.duration()).max(gap);
    let mut moment = Duration::ZERO;
    for pause in pauses.chain(std::iter::repeat(last)) {
        moment = moment.saturating_add(pause);
        if moment >= waited + gap || moment >= policy.parked_max.duration() {
            break;
        }
    }
    moment.min(policy.parked_max.duration())
}

/// The request left and may have been carried out until its time-out, so the intent's age counts
/// from no earlier than that before now.
pub fn unclear(policy: &Policy, sending: &Sending, now: HostTime) -> (State, HostTime) {
    let since = sending.since.max(now.before(sending.request_timeout));
    let state = State::Unknown { batch: sending.batch, since, looked: 0 };
    (state, now.after(first_look(policy)))
}

/// Nothing was found, often and late enough.
fn absent(policy: &Policy, item: &Item, refusals: u32, now: HostTime, jitter: f64) -> (State, HostTime) {
    if refusals >= UNEXPLAINED_MAX {
        let said = item.last_error.as_deref().unwrap_or("no reason given");
        let reason = format!("amoCRM refuses this call alone, {refusals} times: {said}");
        return (State::Dead { reason, at: now }, now);
    }
    match policy.on_unknown {
        OnUnknown::Resend => {
            let pause = policy.retry_delay(item.attempts.saturating_sub(1), jitter);
            (State::Pending, now.after(if item.attempts > 1 { pause } else { Duration::ZERO }))
        }
        OnUnknown::Hold if is_held_up(item, now) => {
            let reason = format!(
                "amoCRM gave no clear answer and has not listed the call for {HELD_MAX}: {MAY_BE_THERE} (on-unknown = \
                 \"hold\")"
            );
            (State::Dead { reason, at: now }, now)
        }
        OnUnknown::Hold => (look_again(item, looked(item) + 1, now), now.after(HELD_LOOK)),
    }
}

/// Whether a call that is held was looked for long enough.
pub fn is_held_up(item: &Item, now: HostTime) -> bool {
    now.since(unknown_since(item, now)) >= HELD_MAX.duration()
}

pub fn judged_at(policy: &Policy, since: HostTime, request_timeout: Duration) -> HostTime {
    since.after(request_timeout).after(policy.note_lag.duration())
}

/// Only unknown calls are looked for; any other would begin to be one.
pub fn look_again(item: &Item, looked: u32, now: HostTime) -> State {
    let batch = if let State::Unknown { batch, .. } = item.state { batch } else { BatchId(0) };
    State::Unknown { batch, since: unknown_since(item, now), looked }
}

pub fn looked(item: &Item) -> u32 {
    if let State::Unknown { looked, .. } = item.state { looked } else { 0 }
}

pub fn unknown_since(item: &Item, now: HostTime) -> HostTime {
    if let State::Unknown { since, .. } = item.state { since } else { now }
}

/// Where a call goes back to that was not processed.
pub fn waiting(state: &State) -> State {
    if let State::Parked { since } = *state { State::Parked { since } } else { State::Pending }
}

/// How many calls may share a batch with this one. A parked call was answered clearly each time.
fn company(item: &Item) -> usize {
    if matches!(item.state, State::Parked { .. }) {
        return BATCH_MAX;
    }
    (BATCH_MAX >> item.attempts.min(usize::BITS - 1)).max(1)
}

fn refusal(code: &str, path: &str, detail: &str) -> String {
    let parts: Vec<&str> = [path, code, detail].into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return "amoCRM refused the call without a reason".to_owned();
    }
    format!("amoCRM refused the call: {}", parts.join(": "))
}

#[cfg(test)]
pub(crate) mod tests;
