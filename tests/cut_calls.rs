//! Every bundled capture, with a gap after every event: wherever the daemon stopped looking, for good or for a while,
//! what the PBX's records tell of the rest reaches amoCRM, and once.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/frames.rs"]
mod frames;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ami2amo::ami::wire::{Frame, Kind};
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::{CallRecord, FinishedCall, Source};
use ami2amo::cdr::calls::{self, CdrCall, Known};
use ami2amo::cdr::csv;
use ami2amo::cdr::range::Range;
use ami2amo::cdr::row::Rows;
use ami2amo::cdr::truth::{self, Telling};
use ami2amo::intake::reader::Reader;
use ami2amo::time::PbxTime;

/// Gaps of one capture: a longer one has none after some of its events.
const GAPS_MAX: usize = 40;

/// Faults of gaps after which a call goes on that began in them: it is told as it was met, with a number that had not
/// been seen to be dialled; it is sent right after its end.
const MET_MOST: usize = 67;

/// Events that are lost in a gap after which the PBX is watched again, in turns.
const LENGTHS: [usize; 4] = [4, 9, 20, 45];

#[test]
fn what_records_tell_of_a_call_that_was_cut_short_anywhere_is_sent() {
    let (gaps, faults) = judge(|at, events| (at, events));
    assert!(gaps > 12_000, "{gaps}");
    assert!(faults.is_empty(), "{gaps} gaps, {} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn what_records_tell_of_a_time_in_which_nobody_looked_is_sent() {
    let (gaps, faults) = judge(|at, events| (at, (at + LENGTHS[at % LENGTHS.len()]).min(events)));
    assert!(gaps > 12_000, "{gaps}");
    assert!(faults.len() <= MET_MOST, "{gaps} gaps, {} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Judges every capture with gaps from one event to another; returns how many these were, and what is wrong.
fn judge(gap: impl Fn(usize, usize) -> (usize, usize)) -> (usize, Vec<String>) {
    let (mut gaps, mut faults) = (0, Vec::new());
    for capture in captures::below(&captures::bundled()) {
        let rows = capture.with_file_name(format!("{}.cdr.csv", captures::scenario(&capture)));
        if !rows.exists() || captures::parts(&capture).len() > 1 {
            continue;
        }
        let policy = Arc::new(captures::policy_beside(&capture));
        let frames = frames::frames([&captures::text(&capture)[..]]).0;
        let events = frames.iter().filter(|frame| frame.kind == Kind::Event).map(frames::Owned::frame);
        let events: Vec<_> = events.collect();
        let records = made_of(&rows, &policy);
        let Some((whole, _)) = follow(&events, events.len()..events.len(), &policy) else { continue };
        let told: Vec<_> = records.iter().map(|call| call.call.clone()).collect();
        for at in (1..events.len()).step_by(events.len().div_ceil(GAPS_MAX)) {
            let (from, to) = gap(at, events.len());
            let Some((seen, range)) = follow(&events, from..to, &policy) else { continue };
            gaps += 1;
            let got = repair(seen.clone(), &records, range);
            for (call, count) in wrong(&[&whole, &told, &seen, &got].map(|calls| sent(calls))) {
                let was: Vec<_> = seen.iter().map(|call| brief(&call.record)).collect();
                faults.push(format!("{count} {was:?} {} {from}..{to}: {call}", captures::title(&capture)));
            }
        }
    }
    faults.sort();
    (gaps, faults)
}

fn brief(record: &CallRecord) -> String {
    format!("{:?}, {:?}, cut {}", record.direction, record.skip, record.is_cut())
}

/// Calls that are sent too often or not: whatever whole looks and the records both have is, and no more than one of
/// these, or the look with a gap, has.
fn wrong([whole, told, seen, got]: &[BTreeMap<String, usize>; 4]) -> Vec<(String, String)> {
    let all: BTreeSet<_> = whole.keys().chain(got.keys()).collect();
    let count = |of: &BTreeMap<String, usize>, call: &String| of.get(call).copied().unwrap_or(0);
    let judge = |call: &String| {
        let [whole, told, seen, got] = [whole, told, seen, got].map(|of| count(of, call));
        let is_right = (whole.min(told)..=whole.max(told).max(seen)).contains(&got);
        (!is_right).then(|| (call.clone(), format!("whole {whole} told {told} seen {seen} got {got}")))
    };
    all.into_iter().filter_map(judge).collect()
}

/// Calls that are sent, by direction and number, and by number alone.
fn sent(calls: &[FinishedCall]) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for record in calls.iter().map(|call| &call.record).filter(|record| record.skip.is_none()) {
        let phone = record.phone.as_deref().unwrap_or_default();
        for key in [format!("{:?} {phone}", record.direction), phone.to_owned()] {
            *sent.entry(key).or_default() += 1;
        }
    }
    sent
}

/// What is stored when the events of `gap` are not seen, and when that was.
fn follow(
    events: &[Frame<'_>],
    gap: std::ops::Range<usize>,
    policy: &Arc<Policy>,
) -> Option<(Vec<FinishedCall>, Range)> {
    let mut reader = Reader::new(PbxName::default(), Source::Ami, Arc::clone(policy));
    for event in &events[..gap.start] {
        reader.handle_frame(event, None);
    }
    let from = reader.stats().last?;
    let lost = events[gap.clone()].iter().rev().find_map(time_of);
    let to = if gap.end < events.len() { lost? } else { lost.unwrap_or(from).after(Duration::from_mins(5)) };
    reader.handle_connected();
    for block in list(&events[..gap.end], gap.end == events.len()) {
        reader.handle_frame(&Frame { kind: Kind::Event, block: block.as_bytes() }, Some(to));
    }
    for event in &events[gap.end..] {
        reader.handle_frame(event, None);
    }
    let last = reader.stats().last?;
    reader.handle_timeout(last.after(Duration::from_hours(5)));
    reader.finish();
    Some((std::iter::from_fn(|| reader.poll_finished()).collect(), Range { from, to }))
}

fn time_of(event: &Frame<'_>) -> Option<PbxTime> {
    event.header("Timestamp").and_then(PbxTime::parse)
}

/// What the PBX lists after these events; nothing `when_all_is_over`.
fn list(events: &[Frame<'_>], when_all_is_over: bool) -> Vec<String> {
    let mut alive: BTreeMap<String, [String; 2]> = BTreeMap::new();
    for event in events.iter().filter(|_| !when_all_is_over) {
        let text = |name: &str| event.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let (Some(kind), Some(id)) = (text("Event"), text("Uniqueid")) else { continue };
        if kind == "Hangup" {
            alive.remove(&id);
            continue;
        }
        if kind != "Newchannel" && !alive.contains_key(&id) {
            continue;
        }
        let channel = alive.entry(id).or_default();
        let names = [
            "Channel",
            "ChannelState",
            "CallerIDNum",
            "ConnectedLineNum",
            "AccountCode",
            "Context",
            "Exten",
            "Priority",
            "Uniqueid",
            "Linkedid",
        ];
        channel[0] = names.iter().filter_map(|name| Some(format!("{name}: {}\r\n", text(name)?))).collect();
        match &*kind {
            "BridgeEnter" => channel[1] = text("BridgeUniqueid").unwrap_or_default(),
            "BridgeLeave" => channel[1].clear(),
            _ => {}
        }
    }
    let item = |[channel, bridge]: &[String; 2]| {
        format!("Event: Status\r\nActionID: 5\r\n{channel}BridgeID: {bridge}\r\n\r\n")
    };
    let end = format!(
        "Event: StatusComplete\r\nActionID: 5\r\nEventList: Complete\r\nListItems: {}\r\n\r\n",
        alive.len()
    );
    alive.values().map(item).chain([end]).collect()
}

/// As the daemon does it.
fn repair(mut store: Vec<FinishedCall>, records: &[CdrCall], gap: Range) -> Vec<FinishedCall> {
    let ids: BTreeSet<_> = records.iter().map(|call| &call.call.record.call_id).collect();
    for cdr in records {
        let kin = kin(&store, cdr);
        let known: Vec<_> = kin.iter().map(|at| &store[*at]).collect();
        let telling = truth::tell(&known, &cdr.call, |id| ids.contains(id), gap);
        let is_known =
            || store.iter().any(|other| !ids.contains(&other.record.call_id) && goes_along(other, &cdr.call));
        match telling {
            _ if kin.is_empty() => store.push(cdr.call.clone()),
            Telling::Anew(at, call) => store[kin[at]] = *call,
            Telling::Unseen(_) if is_known() => {}
            Telling::Unseen(Some((at, call))) => store[kin[at]] = *call,
            Telling::Unseen(None) => store.push(cdr.call.clone()),
            Telling::Known => {}
        }
    }
    store
}

/// As [`Store::alongside`](ami2amo::outbox::store::Store::alongside).
fn goes_along(other: &FinishedCall, call: &FinishedCall) -> bool {
    let (other, call) = (&other.record, &call.record);
    let is_number = other.phone.is_some() && other.phone == call.phone;
    let is_meanwhile = other.started_at <= call.ended_at && other.ended_at >= call.started_at;
    is_number && is_meanwhile && other.skip.is_none() && other.call_id != call.call_id
}

/// The stored calls that are this one or hang together with it, as a search finds them.
fn kin(store: &[FinishedCall], cdr: &CdrCall) -> Vec<usize> {
    let is_kin = |call: &CallRecord| {
        call.call_id == cdr.call.record.call_id || cdr.ids.iter().any(|id| call.uniqueids.contains(id))
    };
    (0..store.len()).filter(|at| is_kin(&store[*at].record)).collect()
}

fn made_of(rows: &Path, policy: &Arc<Policy>) -> Vec<CdrCall> {
    let text = std::fs::read(rows).unwrap();
    let raws: Vec<_> = text.split(|byte| *byte == b'\n').filter_map(csv::record).collect();
    let rows = Rows::read(&raws, None).rows;
    calls::calls(&rows, Known { pbx: &PbxName::default(), policy, endpoints: &[] })
}
