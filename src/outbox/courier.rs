//! Pure: carries the calls of one account from the outbox to amoCRM, a few POSTs at a time.
//!
//! [`Courier::poll`] says what to do next, [`Courier::handle`] takes in what came of it; `task`
//! carries the effects out. What a call has to pass:
//!
//! ```text
//!  begin ─► look ──► read back ──► settle ─► begin        unknown outcomes first
//!            │ none are due
//!            ▼
//!          lease ──► intend ──► post ──► settle ─► begin  no POST without a durable intent
//!            │ none are due
//!            ▼
//!          next due ──► rest (until then, or an arrival)
//! ```
//!
//! A POST is given out once and never again. The desk goes on while it flies, so that a backlog keeps
//! the pace however long answers take; each flight has an intent of its own. An account that gives
//! trouble gets one flight at a time. A call with a number that amoCRM does not know may have an errand
//! first (`errand`), which goes the same way and is done at the desk. Every other effect is given out again when the store could not
//! do it.

pub mod aside;
#[cfg(feature = "daemon")]
mod asking;
pub mod bookings;
mod brake;
pub mod callbacks;
pub mod complaint;
pub mod effect;
mod errand;
mod flight;
mod health;
mod leased;
mod looking;
mod makes;
pub mod manner;
mod reads;
mod recent;
mod refusals;
mod shadow;
mod size;
pub mod sound;
pub mod standing;
mod step;
#[cfg(feature = "daemon")]
pub mod task;
mod telling;
pub mod watch;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::amo::settings::Settings;
use crate::call::id::{AccountId, PbxName};
use crate::outbox::courier::aside::Asides;
use crate::outbox::courier::bookings::Bookings;
use crate::outbox::courier::brake::Brakes;
use crate::outbox::courier::callbacks::Callbacks;
use crate::outbox::courier::effect::{Effect, Now, Outcome, Probed, Ruling, Token};
use crate::outbox::courier::flight::Flight;
use crate::outbox::courier::health::{Gate, Health};
use crate::outbox::courier::makes::Makes;
use crate::outbox::courier::manner::{Lesson, Manners};
use crate::outbox::courier::reads::Reads;
use crate::outbox::courier::recent::Recent;
use crate::outbox::courier::refusals::Refusals;
use crate::outbox::courier::shadow::Shadow;
use crate::outbox::courier::size::Size;
use crate::outbox::courier::sound::{LateLinks, Links, OWING_LIMIT};
use crate::outbox::courier::standing::{Hold, Signal, Standing};
use crate::outbox::courier::step::Step;
use crate::outbox::courier::telling::Learned;
use crate::outbox::courier::watch::Watch;
use crate::outbox::policy::{Jitter, Policy};
use crate::outbox::queue::BatchId;
use crate::time::{HostTime, MonoTime};

/// The courier of one account.
#[derive(Debug)]
pub struct Courier {
    account: AccountId,
    rules: Arc<Rules>,
    offsets: BTreeMap<PbxName, i64>,
    jitter: Jitter,
    step: Step,
    /// POSTs that were given out and not answered yet.
    flights: BTreeMap<BatchId, Flight>,
    /// What is decided on calls that came back, and not settled yet.
    landed: Vec<Ruling>,
    size: Size,
    manners: Manners,
    /// No more POST is given out.
    winding_down: bool,
    /// An intent may be durable that no POST will follow.
    owes_adoption: bool,
    health: Health,
    store_failures: u32,
    store_paused_until: MonoTime,
    refusals: Refusals,
    recent: Recent,
    reads: Reads,
    makes: Makes,
    bookings: Bookings,
    callbacks: Callbacks,
    asides: Asides,
    /// No call was due when it was asked last.
    drained: bool,
    limits: Learned,
    links: Links,
    shadow: Shadow,
    watch: Watch,
}

/// What the configuration says; may change between two polls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub amo: Settings,
    pub delivery: Policy,
}

/// Unknown calls that are searched for at once: as many as a page of notes holds.
const LOOK_LIMIT: usize = 250;
/// Unknown outcomes of an earlier process that are remembered.
const DOUBTS_LIMIT: usize = 1000;
/// The longest rest. Nothing should happen in it; a lost wake-up and a stepped clock cost no more.
const REST_MAX: Duration = Duration::from_mins(1);
/// The rest when the store says that a call is due but gives none: it never becomes a spin.
const REST_MIN: Duration = Duration::from_secs(1);
/// Pauses after the store failed.
const STORE_FIRST: Duration = Duration::from_millis(500);
const STORE_MAX: Duration = Duration::from_secs(30);

impl Courier {
    /// A courier that first takes over what an earlier process left, then asks for the account.
    pub fn new(account: AccountId, rules: Arc<Rules>, seed: u64) -> Self {
        Self {
            callbacks: Callbacks::of(account.clone()),
            account,
            rules,
            offsets: BTreeMap::new(),
            jitter: Jitter::new(seed),
            step: Step::Adopt,
            flights: BTreeMap::new(),
            landed: Vec::new(),
            size: Size::new(),
            manners: Manners::default(),
            winding_down: false,
            owes_adoption: false,
            health: Health::new(),
            store_failures: 0,
            store_paused_until: MonoTime::default(),
            refusals: Refusals::default(),
            recent: Recent::default(),
            reads: Reads::default(),
            makes: Makes::default(),
            bookings: Bookings::default(),
            asides: Asides::default(),
            drained: false,
            limits: Learned::default(),
            links: Links::default(),
            shadow: Shadow::default(),
            watch: Watch::default(),
        }
    }

    pub fn account(&self) -> &AccountId {
        &self.account
    }

    pub fn standing(&self) -> &Standing {
        self.health.standing()
    }

    /// Calls are judged by the rules of the moment.
    pub fn set_rules(&mut self, rules: Arc<Rules>) {
        self.bookings.reconfigured(&self.rules.amo, &rules.amo);
        self.limits.reconsider(&self.rules.amo, &rules.amo);
        if self.rules.amo.delivery != rules.amo.delivery {
            self.health = Health::new();
        }
        self.rules = rules;
    }

    /// How far the host's clock is ahead of each PBX's, in microseconds.
    pub fn set_offsets(&mut self, offsets: BTreeMap<PbxName, i64>) {
        self.offsets = offsets;
    }

    /// Takes in what was learned of the account's way with mixed batches, as [`learned`](Self::learned)
    /// gave it.
    pub fn recall(&mut self, kept: &[u8]) {
        self.manners.recall(kept);
    }

    /// What was learned of it since this was asked last, and how it is kept.
    pub fn learned(&mut self) -> Option<(Lesson, Vec<u8>)> {
        let lesson = self.manners.news()?;
        Some((lesson, self.manners.to_json()?))
    }

    /// What amoCRM was found not to take of what is said of calls, since this was asked last.
    pub fn refused_words(&mut self) -> Option<String> {
        self.limits.news()
    }

    pub fn late_links(&self) -> LateLinks {
        self.links.counts
    }

    /// The end is near: what is in the air is waited for, and nothing more is given out.
    pub fn wind_down(&mut self) {
        self.winding_down = true;
        if self.step.is_free() {
            self.step = Step::Begin;
        }
    }

    /// Whether the courier may be left here. In other places an intent is durable whose outcome
    /// is not: leaving then costs a search at the next start.
    pub fn may_stop(&self) -> bool {
        let is_quiet = self.flights.is_empty() && !self.asides.is_out && !self.callbacks.owes();
        is_quiet && self.landed.is_empty() && self.step.is_free()
    }

    /// Says what to do. The outcome of every effect but `Announce`, `Wait`, `Post` and `Ask` has to come
    /// back through [`handle`](Self::handle) before the next poll; that of those comes when it comes.
    pub fn poll(&mut self, now: Now) -> Effect {
        if let Some(standing) = self.health.news() {
            return Effect::Announce(standing);
        }
        if now.mono < self.store_paused_until {
            return Effect::Wait { until: self.store_paused_until };
        }
        // Kept before what it follows from is settled: a call at its end is not heard of again.
        if let Some(rows) = self.callbacks.keep() {
            return Effect::Keep { rows };
        }
        self.settle_what_landed();
        match &self.step {
            Step::Begin => self.begin(now),
            Step::Rest(until) if now.mono < *until => Effect::Wait { until: *until },
            Step::Rest(_) => self.begin(now),
            Step::Adopt => Effect::Adopt,
            Step::Doubts => Effect::Doubts { limit: DOUBTS_LIMIT },
            Step::Look => Effect::Look { limit: LOOK_LIMIT },
            Step::ReadBack { items, begun } => effect::read_back(items, *begun),
            Step::Lease => Effect::Lease { limit: self.batch_limit(now.host) },
            Step::Note { rulings, .. } => Effect::Settle { rulings: rulings.clone() },
            Step::Intend(loads) => flight::intend(loads),
            Step::Post(_) => self.give_out(),
            Step::Errand(_) => self.errand_effect(now),
            Step::Sound(stage) => stage.effect(&self.teller(now), &self.links),
            Step::Compare(stage) => stage.effect(),
            Step::Owing => Effect::Owing { limit: OWING_LIMIT },
            Step::Settle { rulings, together: true } => Effect::Settle { rulings: rulings.clone() },
            Step::Settle { rulings, together: false } => {
                Effect::Settle { rulings: rulings.first().cloned().into_iter().collect() }
            }
            Step::NextDue => Effect::NextDue,
        }
    }

    /// Takes in what came of the last effect.
    pub fn handle(&mut self, outcome: Outcome, now: Now) {
        if !matches!(outcome, Outcome::StoreFailed(_) | Outcome::Arrived) {
            self.store_failures = 0;
        }
        match outcome {
            Outcome::Adopted(_) => {
                self.owes_adoption = false;
                self.step = Step::Doubts;
            }
            Outcome::Doubts(items) => self.remember(&items, now),
            Outcome::Unknown(items) if items.is_empty() => self.step = Step::Lease,
            Outcome::Unknown(items) => self.unknown(errand::alike(items), now),
            Outcome::Leased(items) => self.leased(items, now),
            // Of what is due the lease has all but what is owed.
            Outcome::NextDue(Some(due)) if due <= now.host => self.step = Step::Owing,
            Outcome::NextDue(due) => self.step = Step::Rest(self.aside_due(rest_until(due, now), now)),
            Outcome::Owing(items) => self.owing(items, now),
            Outcome::Sounds(found) => self.found_sounds(found, now),
            Outcome::Amended(amended) => self.amended(amended, now),
            Outcome::Intended(batch) => self.intended(batch, now),
            Outcome::Settled => self.settled(),
            Outcome::Probed(probed) => self.probed(probed, now),
            Outcome::Token(token) => self.token(token, now),
            Outcome::Posted { batch, posted } => self.posted(batch, posted, now),
            Outcome::ReadBack(found) => self.looked(found, now),
            Outcome::Open(read) => self.listed(read, now),
            Outcome::Searched(read) => self.searched(read, now),
            Outcome::Created(created) => self.created(created, now),
            Outcome::Kept => self.callbacks.kept(now.mono),
            Outcome::Uncompared(items) => self.uncompared(&items, now),
            Outcome::Feed(read) => self.fed(read, now),
            Outcome::Noted => self.noted(now),
            Outcome::Told(told) => self.told(told, now),
            Outcome::Arrived => self.arrived(),
            Outcome::StoreFailed(error) => self.store_failed(&error, now),
        }
    }

    /// The head of the round: nothing is asked of amoCRM while it wants quiet, and an account that
    /// gave trouble is asked a harmless question before it is given a call.
    fn begin(&mut self, now: Now) -> Effect {
        self.step = Step::Begin;
        // Adoption takes all that is being sent for lost, what is in the air too.
        let is_full = self.flights.len() >= if self.owes_adoption { 1 } else { self.flights_max() };
        if self.winding_down || is_full {
            return Effect::Wait { until: now.mono.after(REST_MAX) };
        }
        if self.owes_adoption {
            self.step = Step::Adopt;
            return Effect::Adopt;
        }
        match self.health.gate(now) {
            Gate::ShutUntil(until) => Effect::Wait { until },
            // What the others in the air met is the same event.
            Gate::Renew | Gate::Probe if !self.flights.is_empty() => {
                Effect::Wait { until: now.mono.after(REST_MAX) }
            }
            Gate::Renew => Effect::RenewToken,
            Gate::Probe => Effect::Probe,
            Gate::Open if self.rules.amo.is_shadow() => self.begin_shadow(now),
            Gate::Open => {
                if let Some(effect) = self.note_watched() {
                    return effect;
                }
                if let Some(ask) = self.aside(now) {
                    return ask;
                }
                if let Some(rows) = self.callbacks.keep() {
                    return Effect::Keep { rows };
                }
                self.step = Step::Look;
                Effect::Look { limit: LOOK_LIMIT }
            }
        }
    }

    /// One call is risked at a time until the account is known to work.
    fn batch_limit(&self, now: HostTime) -> usize {
        match self.health.standing() {
            Standing::Starting | Standing::Delivering if !self.manners.may_batch(now) => 1,
            Standing::Starting | Standing::Delivering => {
                self.rules.delivery.batch_size.get().min(self.size.get())
            }
            Standing::Troubled { .. } | Standing::Held { .. } => 1,
        }
    }

    /// How many POSTs may be in the air.
    fn flights_max(&self) -> usize {
        match self.health.standing() {
            Standing::Delivering => self.rules.delivery.in_flight.get(),
            Standing::Starting | Standing::Troubled { .. } | Standing::Held { .. } => 1,
        }
    }

    /// Takes what came back to the store, as soon as nothing else lies on the desk.
    fn settle_what_landed(&mut self) {
        if !self.landed.is_empty()
            && self.step.is_free()
            && !matches!(
                self.step,
                Step::ReadBack { .. } | Step::Errand(_) | Step::Sound(_) | Step::Note { .. }
            )
        {
            self.step = Step::Settle { rulings: mem::take(&mut self.landed), together: true };
        }
    }

    fn arrived(&mut self) {
        if matches!(self.step, Step::Rest(_)) {
            self.step = Step::Begin;
        }
    }

    fn probed(&mut self, probed: Probed, now: Now) {
        let signal = match probed {
            Probed::Answered(probe) => Signal::of(probe.account, probe.words),
            Probed::Silent(words) => Signal::Trouble(words),
            Probed::NoToken(words) => Signal::Hold(Hold::Unauthorized, words),
        };
        self.judge_asides(&signal, now.mono);
        match signal {
            Signal::Works => self.health.answered(),
            Signal::Slow | Signal::Trouble(_) | Signal::Hold(..) => self.learn(signal, now),
        }
    }

    fn token(&mut self, token: Token, now: Now) {
        // Another token may do more. That a second one does not help is the kind's fault.
        if token == Token::Another && !self.health.is_renewed() {
            self.asides.brakes = Brakes::new();
            self.makes = Makes::default();
        }
        let jitter = self.jitter.draw();
        self.health.token(token, &self.rules.delivery, jitter, now);
    }

    fn intended(&mut self, batch: BatchId, now: Now) {
        if matches!(self.step, Step::Errand(_)) {
            return self.intended_errand(batch, now);
        }
        let Step::Intend(loads) = &mut self.step else { return };
        self.step = Step::Post(Flight { loads: mem::take(loads), batch, since: now.host });
    }

    /// Gives the POST out and forgets that it may be given out: whatever happens, it is not
    /// repeated.
    fn give_out(&mut self) -> Effect {
        let Step::Post(flight) = mem::take(&mut self.step) else { return Effect::NextDue };
        let post = flight.post();
        self.flights.insert(flight.batch, flight);
        post
    }

    fn learn(&mut self, signal: Signal, now: Now) {
        let jitter = self.jitter.draw();
        self.health.learn(signal, &self.rules.delivery, jitter, now);
    }
}

fn rest_until(due: Option<HostTime>, now: Now) -> MonoTime {
    let rest = match due {
        None => REST_MAX,
        Some(due) if due <= now.host => REST_MIN,
        Some(due) => due.since(now.host).min(REST_MAX),
    };
    now.mono.after(rest)
}

#[cfg(test)]
mod tests;
