//! What must hold of every world when all is over.

use std::collections::{BTreeMap, BTreeSet};

use ami2amo::call::record::CallRecord;
use ami2amo::outbox::policy::OnUnknown;
use ami2amo::outbox::queue::{Item, Queue as _, State};

use crate::amocrm::{Note, number, text};
use crate::scenes::{SECOND, Truth};
use crate::world::{World, pbx_time};

/// How far a time may be off: events are late, and whole seconds are told.
const TOLERANCE: u64 = SECOND;
/// Longest time in which amoCRM lists what it stored, as the daemon is told.
const NOTE_LAG: u64 = 30 * SECOND;

/// Everything that is wrong in this world.
pub fn faults(world: &mut World) -> Vec<String> {
    let mut faults = std::mem::take(&mut world.faults);
    faults.extend(std::mem::take(&mut world.amo.faults));
    if !faults.is_empty() {
        return faults; // what follows from them says little
    }
    let items = items(world);
    pace(world, &mut faults);
    ledger(world, &items, &mut faults);
    memory(world, &mut faults);
    delivery(world, &items, &mut faults);
    for (call, truth) in world.truths.iter().enumerate() {
        record_of(world, call, truth, &items, &mut faults);
    }
    strangers(world, &items, &mut faults);
    faults
}

fn items(world: &mut World) -> Vec<Item> {
    let ids = world.store.ids();
    let find = |id| world.store.queue().find(&id).expect("the model answers");
    ids.into_iter().filter_map(find).collect()
}

/// No second, wherever it begins, holds more requests than are allowed.
fn pace(world: &World, faults: &mut Vec<String>) {
    let per_second = usize::try_from(world.rules.amo.requests_per_second).expect("few");
    let mut times: Vec<u64> = world.amo.requests.iter().map(|(at, _)| *at).collect();
    times.sort_unstable();
    for pair in times.windows(per_second + 1) {
        if pair[per_second] - pair[0] <= SECOND {
            faults.push(format!("more than {per_second} requests in the second from {}", pair[0]));
            return;
        }
    }
}

fn ledger(world: &mut World, items: &[Item], faults: &mut Vec<String>) {
    let stats = world.stats();
    let accounted: u64 = stats.by_phase.values().sum();
    if stats.ended != accounted || stats.ended != items.len() as u64 {
        faults.push(format!("the ledger does not close: {stats:?}, {} calls", items.len()));
    }
    let have: BTreeSet<_> = items.iter().map(|item| &item.call.record.call_id).collect();
    for id in world.durable.iter().filter(|id| !have.contains(id)) {
        faults.push(format!("{id} was said to be durable and is gone"));
    }
}

fn memory(world: &World, faults: &mut Vec<String>) {
    let process = world.process.as_ref().expect("a world ends with a process");
    let stats = process.reader.stats();
    if stats.channels != 0 || stats.open != 0 {
        faults.push(format!("the tracker still holds {} channels", stats.channels));
    }
    let left = world.store.calls_in_progress();
    if !left.is_empty() {
        faults.push(format!("the store still holds calls in progress: {left:?}"));
    }
}

/// Every call is stored once, or has an end that says why not.
fn delivery(world: &World, items: &[Item], faults: &mut Vec<String>) {
    let mut notes: BTreeMap<&str, Vec<&Note>> = BTreeMap::new();
    for note in &world.amo.notes {
        notes.entry(&note.uniq).or_default().push(note);
    }
    for item in items {
        let id = item.call.record.call_id.as_str();
        let mut stored = notes.remove(id).unwrap_or_default();
        stored.sort_by_key(|note| note.stored_at);
        // Where amoCRM's lists lag longer than note-lag, a stored call may be taken for absent.
        let lags = stored.iter().any(|note| note.listed_at - note.stored_at > NOTE_LAG);
        if stored.len() > 1 && !lags {
            faults.push(format!("{id} is stored {} times: {stored:?}", stored.len()));
        }
        if let Some(fault) = end(world, item, stored.len(), lags) {
            faults.push(format!("{id}: {fault}: {:?}, {:?}", item.state, item.last_error));
        }
        for note in stored {
            posted(world, note, &item.call.record, faults);
        }
    }
    faults.extend(notes.keys().map(|uniq| format!("amoCRM has {uniq}, which nobody sent")));
}

/// What is wrong with the end of a call.
fn end(world: &World, item: &Item, stored: usize, lags: bool) -> Option<&'static str> {
    let record = &item.call.record;
    let phone = record.phone.as_deref().map(last_ten);
    let known = phone.as_ref().and_then(|phone| world.amo.contacts.get(phone));
    let is_poison = phone.is_some_and(|phone| world.amo.poison.contains(&phone));
    match &item.state {
        State::Sent { .. } if stored == 0 => Some("sent and not stored"),
        State::Sent { .. } => None,
        _ if stored > 0 && !lags => Some("stored and not sent"),
        State::Skipped { .. } if record.skip.is_none() => Some("skipped without a reason"),
        State::Skipped { .. } => None,
        State::Dead { reason, .. } if is_poison || reason.contains("refuses this call alone") => None,
        State::Dead { reason, .. } if reason.contains("it may be there") => {
            (world.rules.delivery.on_unknown != OnUnknown::Hold).then_some("held without an order")
        }
        State::Dead { .. } => Some("dead without a reason"),
        State::Expired { .. } if world.rules.delivery.max_age.is_some() => None,
        State::Expired { .. } if known.is_none_or(|from| *from > 0) => None,
        State::Expired { .. } => Some("expired although the number is known"),
        State::Unknown { .. } if world.rules.delivery.on_unknown == OnUnknown::Hold => None,
        State::Unknown { .. } | State::Pending | State::Sending { .. } | State::Parked { .. } => {
            Some("still waits")
        }
        State::Unsorted { .. } => Some("nobody asked for it"),
    }
}

/// What amoCRM was told is what the record says, by the host's clock.
fn posted(world: &World, note: &Note, record: &CallRecord, faults: &mut Vec<String>) {
    let entry = &note.entry;
    let user = record.responsible.as_deref().and_then(|one| world.rules.amo.users.get(one)).copied();
    let duration = if record.answered { record.talk_seconds.rounded().max(1) } else { 0 };
    let ahead = if world.unmeasured.contains(&note.post) { 0 } else { world.clock.ahead };
    let started = record.started_at.to_host(ahead).seconds();
    let right = [
        ("phone", Some(number(entry)) == record.phone.as_deref().map(last_ten)),
        ("duration", entry["duration"] == duration),
        ("call_responsible", entry["call_responsible"] == user.unwrap_or(5_000)),
        ("call_status", entry["call_status"].as_u64() == record.status.map(u64::from)),
        ("created_at", entry["created_at"] == started || was_then(world, note, started)),
        ("direction", text(entry, "direction") == format!("{:?}", record.direction).to_lowercase()),
    ];
    for (field, _) in right.into_iter().filter(|(_, right)| !right) {
        faults.push(format!("{} was posted with a wrong {field}: {entry}, {record:?}", note.uniq));
    }
}

/// A call that seems to have begun after it was posted, by a clock that nobody had measured, begins when it
/// is posted.
fn was_then(world: &World, note: &Note, started: i64) -> bool {
    const UNDER_WAY: i64 = 120;
    let stored = world.clock.host(note.stored_at).seconds();
    let told = note.entry["created_at"].as_i64().unwrap_or_default();
    let is_now = told <= stored && stored - told <= UNDER_WAY;
    world.unmeasured.contains(&note.post) && told < started && is_now
}

/// A call has its record, and the record is true.
fn record_of(world: &World, call: usize, truth: &Truth, items: &[Item], faults: &mut Vec<String>) {
    let is_of =
        |item: &&Item| item.call.record.uniqueids.iter().any(|channel| truth.channels.contains(channel));
    let records: Vec<&CallRecord> = items.iter().filter(is_of).map(|item| &item.call.record).collect();
    let seen = &world.seen[call];
    let told = seen.iter().position(|seen| !seen).unwrap_or(seen.len());
    let is_whole = told == truth.events && !truth.is_cut;
    let (least, most) = match (is_whole, truth.several) {
        (true, _) => (1, 1),
        (false, several) => (usize::from(told > 0), if several { 3 } else { 1 }),
    };
    let name = format!("call {call} ({:?}, {told} of {} events told)", truth.scene, truth.events);
    if !(least..=most).contains(&records.len()) {
        faults.push(format!("{name} has {} records: {records:?}", records.len()));
        return;
    }
    let Some(record) = records.first() else { return };
    let wrong = if is_whole { wholly(truth, record) } else { partly(truth, told, &records, world) };
    if !wrong.is_empty() {
        faults.push(format!("{name}: wrong {wrong:?}\n{truth:?}\n{record:?}"));
    }
}

/// Fields that differ, where everything was seen.
fn wholly(truth: &Truth, record: &CallRecord) -> Vec<&'static str> {
    let rang: BTreeSet<String> = record.rang.iter().cloned().collect();
    let phone = record.phone.as_deref().map(last_ten);
    let right = [
        ("direction", record.direction == truth.direction),
        ("phone", phone == truth.phone || truth.skip.is_some()),
        ("skip", record.skip == truth.skip),
        ("status", record.status == truth.status),
        ("answered", record.answered == truth.answer.is_some()),
        ("responsible", record.responsible == truth.responsible),
        ("answered_by", record.answered_by == truth.answered_by),
        ("rang", rang == truth.rang),
        ("talk_seconds", near(record.talk_seconds.millis() * 1_000, truth.talk)),
        ("wait_seconds", near(record.wait_seconds.millis() * 1_000, truth.wait)),
        ("answered_at", answered_at_is_right(truth, record)),
    ];
    right.into_iter().filter(|(_, right)| !right).map(|(field, _)| field).collect()
}

/// Fields that differ, where the first `told` events were seen and some of the others: who called whom
/// and who answered when are known by then, or not.
fn partly(truth: &Truth, told: usize, records: &[&CallRecord], world: &World) -> Vec<&'static str> {
    let any = |is_right: &dyn Fn(&CallRecord) -> bool| records.iter().any(|record| is_right(record));
    // What is written in parts may know how late it is, and not yet that a call had fallen silent.
    let is_short = |record: &&CallRecord| record.talk_seconds.millis() * 1_000 <= truth.talk + TOLERANCE;
    let mut right = vec![("talk_seconds", world.small_writes || records.iter().all(is_short))];
    if told >= truth.told && truth.told > 0 {
        right.push(("direction", any(&|record| record.direction == truth.direction)));
        let phone = |record: &CallRecord| record.phone.as_deref().map(last_ten) == truth.phone;
        right.push(("phone", truth.skip.is_some() || any(&phone)));
    }
    if let Some(answer) = truth.answer.as_ref().filter(|answer| told >= answer.told) {
        right.push(("answered", any(&|record| record.answered)));
        right.push(("answered_by", any(&|record| record.answered_by.first() == Some(&answer.by))));
        right.push(("answered_at", any(&|record| answered_at_is_right(truth, record))));
    }
    right.into_iter().filter(|(_, right)| !right).map(|(field, _)| field).collect()
}

fn answered_at_is_right(truth: &Truth, record: &CallRecord) -> bool {
    match (&truth.answer, record.answered_at) {
        (Some(answer), Some(at)) => at.micros().abs_diff(pbx_time(answer.at).micros()) <= TOLERANCE,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// No record mixes two calls, and none is of no call.
fn strangers(world: &World, items: &[Item], faults: &mut Vec<String>) {
    for item in items {
        let channels = &item.call.record.uniqueids;
        let calls =
            world.truths.iter().filter(|truth| channels.iter().any(|one| truth.channels.contains(one)));
        let count = calls.count();
        if count != 1 {
            faults.push(format!("{} is of {count} calls: {channels:?}", item.call.record.call_id));
        }
    }
}

fn near(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= TOLERANCE
}

fn last_ten(phone: &str) -> String {
    phone[phone.len().saturating_sub(10)..].to_owned()
}
