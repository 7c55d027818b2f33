//! Every bundled capture, with a gap after every event: wherever the daemon stopped looking, for good or for a while,
//! what the PBX's records tell of the rest reaches amoCRM, and once.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/frames.rs"]
mod frames;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ami2amo::ami::wire::{Frame, Kind};
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::{CallRecord, FinishedCall, Source};
use ami2amo::cdr::calls::{self, CdrCall, Known};
use ami2amo::cdr::column::Raw;
use ami2amo::cdr::csv;
use ami2amo::cdr::range::Range;
use ami2amo::cdr::row::Rows;
use ami2amo::cdr::truth::{self, Look, Telling};
use ami2amo::intake::reader::Reader;
use ami2amo::outbox::store::alongside;
use ami2amo::time::PbxTime;

/// Gaps of one capture: a longer one has none after some of its events.
const GAPS_MAX: usize = 25;

/// The same where the records come one after the other, and so many times at which the first half of them is there.
const HALVES_MAX: usize = 4;
const GAPS_OF_HALVES_MAX: usize = 8;

/// Events that are lost in a gap after which the PBX is watched again, in turns.
const LENGTHS: [usize; 4] = [4, 9, 20, 45];

#[test]
fn what_records_tell_of_a_call_that_was_cut_short_anywhere_is_sent() {
    let found = judge(GAPS_MAX, |_, events| events, |rows| vec![rows]);
    found.assert(12_000, Most { lost: 0, extra: 0, strange: 243 });
}

/// A call that goes on after a gap in which it began is told as it was met, maybe with a number that was not seen to be
/// dialled; it is sent right after its end.
#[test]
fn what_records_tell_of_a_time_in_which_nobody_looked_is_sent() {
    let found = judge(GAPS_MAX, gap_end, |rows| vec![rows]);
    found.assert(12_000, Most { lost: 42, extra: 0, strange: 220 });
}

/// Asterisk may write the records of a call minutes apart, and that of a part of it first.
#[test]
fn what_records_tell_one_after_the_other_is_sent_once() {
    let halves = |rows: usize| (1..rows).step_by(rows.div_ceil(HALVES_MAX).max(1)).collect();
    let found = judge(GAPS_OF_HALVES_MAX, |_, events| events, halves);
    found.assert(6_000, Most { lost: 14, extra: 8, strange: 38 });
    let found = judge(GAPS_OF_HALVES_MAX, gap_end, halves);
    found.assert(6_000, Most { lost: 15, extra: 6, strange: 30 });
}

fn gap_end(from: usize, events: usize) -> usize {
    (from + LENGTHS[from % LENGTHS.len()]).min(events)
}

/// Calls that are not sent, though a look without a gap and the records have them; that are sent though neither these
/// nor the look with the gap have them; and that only the records have, which are not always right (`docs/cdr.md`).
#[derive(Debug, Default)]
struct Found {
    gaps: usize,
    lost: Vec<String>,
    extra: Vec<String>,
    strange: Vec<String>,
}

/// What is not right of them: so many it was when this was written.
#[derive(Clone, Copy)]
struct Most {
    lost: usize,
    extra: usize,
    strange: usize,
}

impl Found {
    #[track_caller]
    fn assert(&self, gaps: usize, most: Most) {
        let Self { gaps: had, lost, extra, strange } = self;
        println!(
            "{had} gaps: {} lost, {} too many, {} of the records alone",
            lost.len(),
            extra.len(),
            strange.len()
        );
        assert!(*had >= gaps, "{had} gaps");
        assert!(lost.len() <= most.lost, "{} lost:\n{}", lost.len(), lost.join("\n"));
        assert!(extra.len() <= most.extra, "{} too many:\n{}", extra.len(), extra.join("\n"));
        assert!(
            strange.len() <= most.strange,
            "{} of the records alone:\n{}",
            strange.len(),
            strange.join("\n")
        );
    }

    fn judge(&mut self, counts: [&BTreeMap<String, usize>; 4], place: &str) {
        let [whole, .., got] = counts;
        for call in whole.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
            let [whole, told, seen, got] = counts.map(|of| of.get(call).copied().unwrap_or(0));
            let list = match () {
                () if got < whole.min(told) => &mut self.lost,
                () if got > whole.max(told).max(seen) => &mut self.extra,
                () if got > whole.max(seen) => &mut self.strange,
                () => continue,
            };
            list.push(format!("{call}: whole {whole}, told {told}, seen {seen}, got {got}: {place}"));
        }
    }
}

/// Judges every capture with gaps, which end where `end` says of the event at which they begin and the number of events.
/// At the first look there are as many records as `rows` says of their number, each in turn; at the last one all.
fn judge(gaps_max: usize, end: impl Fn(usize, usize) -> usize, rows: impl Fn(usize) -> Vec<usize>) -> Found {
    let mut found = Found::default();
    for capture in captures::below(&captures::bundled()) {
        let records = capture.with_file_name(format!("{}.cdr.csv", captures::scenario(&capture)));
        if !records.exists() || captures::parts(&capture).len() > 1 {
            continue;
        }
        let policy = Arc::new(captures::policy_beside(&capture));
        let frames = frames::frames([&captures::text(&capture)[..]]).0;
        let events = frames.iter().filter(|frame| frame.kind == Kind::Event).map(frames::Owned::frame);
        let events: Vec<_> = events.collect();
        let raws = std::fs::read(&records).unwrap();
        let raws: Vec<_> = raws.split(|byte| *byte == b'\n').filter_map(csv::record).collect();
        let all = made_of(&raws, &policy);
        let firsts: Vec<_> =
            rows(raws.len()).into_iter().map(|rows| made_of(&raws[..rows], &policy)).collect();
        let Some((whole, _)) = follow(&events, events.len()..events.len(), &policy) else { continue };
        let [whole, told] =
            [whole, all.iter().map(|call| call.call.clone()).collect()].map(|calls| sent(&calls));
        for from in (1..events.len()).step_by(events.len().div_ceil(gaps_max)) {
            let to = end(from, events.len());
            let Some((seen, gap)) = follow(&events, from..to, &policy) else { continue };
            for first in &firsts {
                found.gaps += 1;
                let got = repair(seen.clone(), first, gap, false);
                let got = repair(got, &all, gap, true);
                let place = format!("{} {from}..{to}", captures::title(&capture));
                found.judge([&whole, &told, &sent(&seen), &sent(&got)], &place);
            }
        }
    }
    found
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

/// As the daemon does it, once.
fn repair(
    mut store: Vec<FinishedCall>,
    records: &[CdrCall],
    gap: Range,
    is_whole: bool,
) -> Vec<FinishedCall> {
    let ids: BTreeSet<_> = records.iter().map(|call| call.call.record.call_id.clone()).collect();
    for cdr in records {
        let kin = kin(&store, cdr);
        let known: Vec<_> = kin.iter().map(|at| &store[*at]).collect();
        let telling = truth::tell(&known, &cdr.call, Look { gap, ids: &ids, is_whole });
        let goes_along = |other: &FinishedCall| alongside::goes_along(&other.record, &cdr.call.record);
        let is_known = || store.iter().any(|other| !ids.contains(&other.record.call_id) && goes_along(other));
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

/// The stored calls that are this one or hang together with it, as a search finds them.
fn kin(store: &[FinishedCall], cdr: &CdrCall) -> Vec<usize> {
    let is_kin = |call: &CallRecord| {
        call.call_id == cdr.call.record.call_id || cdr.ids.iter().any(|id| call.uniqueids.contains(id))
    };
    (0..store.len()).filter(|at| is_kin(&store[*at].record)).collect()
}

fn made_of(raws: &[Raw], policy: &Arc<Policy>) -> Vec<CdrCall> {
    let rows = Rows::read(raws, None).rows;
    calls::calls(&rows, Known { pbx: &PbxName::default(), policy, endpoints: &[] })
}
