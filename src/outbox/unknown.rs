//! Pure: what is done for a call whose number amoCRM does not know.
//!
//! ```text
//!  not found ─┬─► dropped                       unknown = "drop", blacklist
//!             ├─► parked (schedule) ─► sent | expired          "park", and where a guard says so
//!             ├─► parked (grace)                a call that was talked, for 90 s
//!             ├─► list ─┬─► parked against the number's open item ─► (gone) posted ─► sent | expired
//!             │         └─► item made ─► unsorted
//!             └─► search ─┬─► posted            somebody made the contact meanwhile
//!                         └─► contact made ─► (search ─► lead made) ─► posted
//! ```
//!
//! Nothing is made on any other word than "not found". Before something is made, amoCRM is asked
//! whether it is there; a POST without a clear answer is settled by asking again, late and twice.

use std::time::Duration;

use crate::amo::calls;
use crate::amo::contacts::{Known, tail};
use crate::amo::made::Fate;
use crate::amo::settings::unknown::Unknown;
use crate::amo::unsorted::Open;
use crate::amo::who::Blame;
use crate::call::line;
use crate::call::record::{CallRecord, Skip, Source};
use crate::outbox::errand::{Errand, Make};
use crate::outbox::policy::{self, OnUnknown, Policy, Sending};
use crate::outbox::queue::{Item, Settlement, State};
use crate::time::HostTime;

/// By what calls with unknown numbers are judged.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'r> {
    pub delivery: &'r Policy,
    pub unknown: &'r Unknown,
}

/// What follows from a look at what there is.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Settle(Settlement),
    /// It is not there: make it.
    Make,
    /// Post the call, with this errand.
    Post(Errand),
}

/// A number that an item was made for a moment ago: the list may not have it yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fresh {
    pub uid: String,
    pub at: HostTime,
}

/// How often an item of Incoming leads is looked for that calls wait for, where the schedule of
/// parked calls says nothing.
const CHECK_EVERY: Duration = Duration::from_mins(10);

/// By which numbers of calls are told apart.
pub fn number(record: &CallRecord) -> String {
    tail(record.phone_e164.as_deref().or(record.phone.as_deref()).unwrap_or_default())
}

/// amoCRM found nobody with the number of a call that was posted.
pub fn not_found(grounds: Grounds<'_>, item: &Item, words: &str, now: HostTime) -> Settlement {
    let Grounds { delivery, unknown } = grounds;
    let errand = Errand { make: None, ..item.errand.clone() };
    let (state, next_at, errand) = match decide(grounds, item, now) {
        Decision::Drop => (State::Skipped { reason: Skip::UnknownNumber, at: now }, now, errand),
        Decision::GiveUp(reason) => (State::Expired { reason, at: now }, now, errand),
        Decision::Park => {
            let (state, next_at) = policy::parked(delivery, item, now);
            (state, soon_after_making(delivery, &errand, next_at, now), errand)
        }
        Decision::Wait(until) => (parked(item, now), until, errand),
        Decision::Make => {
            let wants_lead = unknown.of(&item.call.record) == line::Unknown::Lead;
            let make = match unknown.of(&item.call.record) {
                line::Unknown::Unsorted => Some(Make::Unsorted),
                line::Unknown::Contact | line::Unknown::Lead => Some(Make::Contact),
                line::Unknown::Park | line::Unknown::Drop => None,
            };
            (parked(item, now), now, Errand { make, wants_lead, ..errand })
        }
    };
    settlement(item, state, next_at, Some(words), true, errand)
}

/// What is made for a call whose number is unknown, if anything is; whoever talked has had his grace.
pub fn makes(unknown: &Unknown, record: &CallRecord) -> Option<line::Unknown> {
    let way = unknown.of(record);
    let is_kept = unknown.is_blacklisted(record) || rang_too_shortly(unknown, record);
    match way {
        line::Unknown::Unsorted | line::Unknown::Contact | line::Unknown::Lead => (!is_kept).then_some(way),
        line::Unknown::Park | line::Unknown::Drop => None,
    }
}

/// The first thing that applies, for a number that amoCRM does not know.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Decision {
    Drop,
    GiveUp(String),
    /// Until the schedule's next moment.
    Park,
    Wait(HostTime),
    Make,
}

fn decide(grounds: Grounds<'_>, item: &Item, now: HostTime) -> Decision {
    let Grounds { delivery, unknown } = grounds;
    let (record, errand) = (&item.call.record, &item.errand);
    if let Some(gone) = errand.gone_since {
        // What was accepted a moment ago may not be found yet.
        let sure = gone.after(delivery.note_lag.duration());
        let given_up = "its item in Incoming leads was declined, or got a contact without this number";
        return if now < sure { Decision::Wait(sure) } else { Decision::GiveUp(given_up.to_owned()) };
    }
    let makes = match unknown.of(record) {
        line::Unknown::Drop => return Decision::Drop,
        line::Unknown::Park => false,
        line::Unknown::Unsorted | line::Unknown::Contact | line::Unknown::Lead => true,
    };
    if unknown.is_blacklisted(record) {
        return Decision::Drop;
    }
    if !makes || errand.done || is_junk(unknown, item, now) {
        return Decision::Park;
    }
    let grace_ends = item.enqueued_at.after(unknown.talk_grace.duration());
    if record.answered && now < grace_ends {
        return Decision::Wait(grace_ends);
    }
    Decision::Make
}

/// A call for which nothing is made: it rang too shortly, or is of yesterday.
fn is_junk(unknown: &Unknown, item: &Item, now: HostTime) -> bool {
    rang_too_shortly(unknown, &item.call.record) || now.since(ended_at(item)) >= unknown.max_age.duration()
}

/// When a call ended. One of the live stream was taken in then; the PBX's clock may be far off.
pub fn ended_at(item: &Item) -> HostTime {
    match item.call.record.source {
        Source::Ami => item.enqueued_at,
        Source::Replay | Source::Cdr => item.call.record.ended_at.to_host(0).min(item.enqueued_at),
    }
}

fn rang_too_shortly(unknown: &Unknown, record: &CallRecord) -> bool {
    let rang = Duration::from_millis(record.wait_seconds.millis());
    !record.answered && rang < unknown.least_ring.duration()
}

/// What follows from the list of open items, for a call that wants one or waits for one.
pub fn after_list(
    grounds: Grounds<'_>,
    item: &Item,
    open: &Open,
    fresh: Option<&Fresh>,
    now: HostTime,
) -> Next {
    let errand = &item.errand;
    if let Some(uid) = own_item(item, open).filter(|_| errand.make.is_some()) {
        return Next::Settle(unsorted(item, uid.clone(), now));
    }
    let fresh = fresh.filter(|fresh| now < fresh.at.after(grounds.delivery.note_lag.duration()));
    let open_uid = open.by_number.get(&number(&item.call.record)).or(fresh.map(|fresh| &fresh.uid));
    let against = match (&errand.against, open_uid) {
        (Some(uid), _) if open.has(uid) || fresh.is_some_and(|fresh| fresh.uid == *uid) => Some(uid),
        (_, uid) => uid,
    };
    match against {
        Some(uid) => Next::Settle(wait_against(grounds.delivery, item, uid, now)),
        None if errand.make.is_some() => may_make(grounds, item, open, now),
        None if open.is_cut => Next::Settle(later(grounds.delivery, item, now)),
        None => {
            let gone_since = errand.gone_since.or(Some(now));
            Next::Post(Errand { gone_since, ..errand.clone() })
        }
    }
}

/// The item that was made for this very call.
fn own_item<'o>(item: &Item, open: &'o Open) -> Option<&'o String> {
    open.by_source.get(&calls::uniq(&item.call.record))
}

/// Nothing is there: it is made, where that still may be.
fn may_make(grounds: Grounds<'_>, item: &Item, open: &Open, now: HostTime) -> Next {
    if is_junk(grounds.unknown, item, now) {
        return Next::Settle(leave(grounds, item, now));
    }
    if open.is_off {
        return Next::Settle(without_unsorted(grounds, item, "Incoming leads are off in this account", now));
    }
    Next::Make
}

/// What follows from a search for contacts with the number, for a call that wants one, or a lead.
pub fn after_search(grounds: Grounds<'_>, item: &Item, found: &[Known], now: HostTime) -> Next {
    match item.errand.make {
        Some(Make::Lead) if found.iter().all(|contact| contact.leads.is_empty()) => Next::Make,
        Some(Make::Contact) if found.is_empty() && is_junk(grounds.unknown, item, now) => {
            Next::Settle(leave(grounds, item, now))
        }
        Some(Make::Contact) if found.is_empty() => Next::Make,
        // Somebody was faster.
        Some(Make::Contact | Make::Lead | Make::Unsorted) | None => Next::Settle(post_now(item, now)),
    }
}

/// What amoCRM made of one thing that was posted.
pub fn after_making(
    grounds: Grounds<'_>,
    item: &Item,
    fate: &Fate,
    words: &str,
    sending: &Sending,
    now: HostTime,
) -> Settlement {
    let errand = &item.errand;
    match (fate, errand.make) {
        (Fate::Made(name), Some(make)) => match made(item, make, name, now) {
            Some(settled) => settled,
            None => unclear(grounds, item, words, sending, now),
        },
        (Fate::Refused, Some(Make::Unsorted)) if !errand.needs_link && words.contains("link") => {
            let errand = Errand { needs_link: true, ..errand.clone() };
            settlement(item, parked(item, now), now, Some(words), true, errand)
        }
        // It may be there already: that is why it may be refused.
        (Fate::Refused, Some(_)) => {
            let mut settled = unclear(grounds, item, words, sending, now);
            settled.errand.refused = true;
            settled
        }
        (Fate::Untouched, _) | (_, None) => {
            settlement(item, parked(item, now), now, Some(words), false, errand.clone())
        }
        (Fate::Unclear, Some(_)) => unclear(grounds, item, words, sending, now),
    }
}

/// Makes it again at once, without what amoCRM refused of it.
pub fn made_without(item: &Item, blame: Blame, words: &str, now: HostTime) -> Settlement {
    let errand = item.errand.without(blame);
    settlement(item, parked(item, now), now, Some(words), true, errand)
}

/// What the list says of an item whose POST had no clear answer.
pub fn after_list_look(
    grounds: Grounds<'_>,
    item: &Item,
    open: &Open,
    request_timeout: Duration,
    now: HostTime,
) -> Settlement {
    match own_item(item, open) {
        Some(uid) => unsorted(item, uid.clone(), now),
        None => absent(grounds, item, request_timeout, now),
    }
}

/// What the search says of a contact or lead whose POST had no clear answer.
pub fn after_search_look(
    grounds: Grounds<'_>,
    item: &Item,
    found: &[Known],
    request_timeout: Duration,
    now: HostTime,
) -> Settlement {
    let with_lead = found.iter().any(|contact| !contact.leads.is_empty());
    let made = match (item.errand.make, found.first()) {
        (Some(Make::Contact), Some(contact)) if item.errand.wants_lead && !with_lead => {
            made(item, Make::Contact, &contact.id.to_string(), now)
        }
        (Some(Make::Contact), Some(_)) => Some(post_now(item, now)),
        (Some(Make::Lead), _) if with_lead => Some(post_now(item, now)),
        (Some(Make::Contact | Make::Lead | Make::Unsorted) | None, _) => None,
    };
    made.unwrap_or_else(|| absent(grounds, item, request_timeout, now))
}

/// What could not be looked up for this call is tried again later; nothing is proved. A call that
/// only waits is given up in the end.
pub fn after_failed_look(
    grounds: Grounds<'_>,
    item: &Item,
    words: &str,
    pause: Duration,
    now: HostTime,
) -> Settlement {
    let max = grounds.delivery.parked_max;
    let is_unknown = matches!(item.state, State::Unknown { .. });
    if !is_unknown && now.since(policy::parked_since(item, now)) >= max.duration() {
        let reason = format!(
            "amoCRM could not be asked for {max} whether its number is in Incoming leads or has a contact: {words}"
        );
        let errand = item.errand.clone();
        return settlement(item, State::Expired { reason, at: now }, now, Some(words), false, errand);
    }
    let again = || policy::look_again(item, policy::looked(item), now);
    let state = if is_unknown { again() } else { parked(item, now) };
    settlement(item, state, now.after(pause), Some(words), false, item.errand.clone())
}

fn made(item: &Item, make: Make, name: &str, now: HostTime) -> Option<Settlement> {
    let errand = &item.errand;
    match make {
        Make::Unsorted => Some(unsorted(item, name.to_owned(), now)),
        Make::Contact => {
            let contact = Some(name.parse().ok()?);
            let make = errand.wants_lead.then_some(Make::Lead);
            let done = make.is_none();
            let errand = Errand { make, done, contact, made_at: Some(now), ..errand.clone() };
            Some(settlement(item, parked(item, now), now, None, true, Errand { refused: false, ..errand }))
        }
        Make::Lead => {
            let lead = Some(name.parse().ok()?);
            let errand = Errand { make: None, done: true, lead, made_at: Some(now), ..errand.clone() };
            Some(settlement(item, parked(item, now), now, None, true, errand))
        }
    }
}

fn unsorted(item: &Item, uid: String, now: HostTime) -> Settlement {
    let errand = Errand { make: None, done: true, ..item.errand.clone() };
    settlement(item, State::Unsorted { uid: Some(uid), at: now }, now, None, true, errand)
}

fn wait_against(delivery: &Policy, item: &Item, uid: &str, now: HostTime) -> Settlement {
    let against = Some(uid.to_owned());
    let errand = Errand { make: None, against, gone_since: None, ..item.errand.clone() };
    let waited = now.since(policy::parked_since(item, now));
    if waited >= delivery.parked_max.duration() {
        let reason = format!("its item in Incoming leads was not accepted for {}", delivery.parked_max);
        return settlement(item, State::Expired { reason, at: now }, now, None, false, errand);
    }
    let every = delivery.parked_retries.iter().map(|pause| pause.duration()).min().unwrap_or(CHECK_EVERY);
    let every = every.max(policy::PARKED_GAP_MIN);
    settlement(item, parked(item, now), now.after(every), item.last_error.as_deref(), false, errand)
}

/// Nothing more is made for the call: the schedule of parked calls goes on.
fn leave(grounds: Grounds<'_>, item: &Item, now: HostTime) -> Settlement {
    let errand = Errand { make: None, done: true, refused: false, ..item.errand.clone() };
    let (state, next_at) = policy::parked(grounds.delivery, item, now);
    settlement(item, state, next_at, item.last_error.as_deref(), false, errand)
}

/// The list had no room for all items: whether it is gone cannot be told.
fn later(delivery: &Policy, item: &Item, now: HostTime) -> Settlement {
    let (state, next_at) = policy::parked(delivery, item, now);
    settlement(item, state, next_at, item.last_error.as_deref(), false, item.errand.clone())
}

/// What stands for Incoming leads where there are none.
fn without_unsorted(grounds: Grounds<'_>, item: &Item, words: &str, now: HostTime) -> Settlement {
    let wants_lead = match grounds.unknown.without_unsorted {
        line::Unknown::Lead => true,
        line::Unknown::Contact => false,
        line::Unknown::Unsorted | line::Unknown::Park => {
            return Settlement { last_error: Some(words.to_owned()), ..leave(grounds, item, now) };
        }
        line::Unknown::Drop => {
            let state = State::Skipped { reason: Skip::UnknownNumber, at: now };
            return settlement(item, state, now, Some(words), false, item.errand.clone());
        }
    };
    let make = Some(Make::Contact);
    let errand = Errand { make, wants_lead, refused: false, ..item.errand.clone() };
    settlement(item, parked(item, now), now, Some(words), false, errand)
}

/// Nothing is to be made any more: the call is posted at once.
fn post_now(item: &Item, now: HostTime) -> Settlement {
    let errand = Errand { make: None, done: true, refused: false, made_at: Some(now), ..item.errand.clone() };
    settlement(item, parked(item, now), now, None, false, errand)
}

fn unclear(grounds: Grounds<'_>, item: &Item, words: &str, sending: &Sending, now: HostTime) -> Settlement {
    let (state, next_at) = policy::unclear(grounds.delivery, sending, now);
    settlement(item, state, next_at, Some(words), true, item.errand.clone())
}

/// What was posted without a clear answer is not there: believed when it was missing late and twice.
fn absent(grounds: Grounds<'_>, item: &Item, request_timeout: Duration, now: HostTime) -> Settlement {
    let delivery = grounds.delivery;
    let said = item.last_error.as_deref();
    let judged = policy::judged_at(delivery, policy::unknown_since(item, now), request_timeout);
    let looked = policy::looked(item) + 1;
    let again = |at| {
        let state = policy::look_again(item, looked, now);
        settlement(item, state, at, said, false, item.errand.clone())
    };
    if looked < policy::LOOKS_MIN || now < judged {
        return again(judged.max(now.after(policy::first_look(delivery))));
    }
    match (item.errand.refused, item.errand.make, delivery.on_unknown) {
        (true, Some(Make::Unsorted), _) => {
            without_unsorted(grounds, item, said.unwrap_or("amoCRM refuses the item in Incoming leads"), now)
        }
        // Without its lead the call still has its contact.
        (true, Some(Make::Lead), _) => post_now(item, now),
        (true, Some(Make::Contact) | None, _) => leave(grounds, item, now),
        (false, _, OnUnknown::Hold) if !policy::is_held_up(item, now) => again(now.after(policy::HELD_LOOK)),
        // A person may have accepted it meanwhile: it is listed no more, and its call is a note of somebody.
        (false, Some(Make::Unsorted), _) => {
            let errand = Errand { make: None, ..item.errand.clone() };
            settlement(item, policy::look_again(item, 0, now), now, said, false, errand)
        }
        (false, _, OnUnknown::Resend) => {
            settlement(item, parked(item, now), now, said, false, item.errand.clone())
        }
        (false, Some(Make::Lead), OnUnknown::Hold) => post_now(item, now),
        (false, Some(Make::Contact) | None, OnUnknown::Hold) => leave(grounds, item, now),
    }
}

/// After something was made, the next try comes sooner than the schedule says.
fn soon_after_making(delivery: &Policy, errand: &Errand, next_at: HostTime, now: HostTime) -> HostTime {
    let lag = delivery.note_lag.duration();
    match errand.made_at {
        Some(made) if now < made.after(lag) => next_at.min(made.after(lag)),
        Some(_) | None => next_at,
    }
}

fn parked(item: &Item, now: HostTime) -> State {
    State::Parked { since: policy::parked_since(item, now) }
}

fn settlement(
    item: &Item,
    state: State,
    next_at: HostTime,
    words: Option<&str>,
    attempted: bool,
    errand: Errand,
) -> Settlement {
    Settlement { seq: item.seq, state, next_at, last_error: words.map(str::to_owned), attempted, errand }
}

#[cfg(test)]
mod tests;
