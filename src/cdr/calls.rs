//! Pure: rows to the records of finished calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ami::event::Event;
use crate::call::checkpoint::{Change, Value};
use crate::call::classify::{self, Setting};
use crate::call::facts::CallFacts;
use crate::call::id::{CallId, PbxName};
use crate::call::policy::Policy;
use crate::call::record::{FinishedCall, Source, TimeSource};
use crate::call::tracker::Tracker;
use crate::call::why::Why;
use crate::cdr::cel::entry::Entry;
use crate::cdr::cel::{self, tell, whole};
use crate::cdr::events::{self, Told, is_made_up};
use crate::cdr::row::Row;
use crate::time::PbxTime;

/// A call of the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct CdrCall {
    pub call: FinishedCall,
    /// Ids of channels that the rows of this call, and of those that it hangs together with, name.
    pub ids: Vec<String>,
    /// When the first of these rows begins, and the last ends.
    pub from: PbxTime,
    pub to: PbxTime,
}

/// What is known of the PBX beside its rows.
#[derive(Clone, Copy, Debug)]
pub struct Known<'k> {
    pub pbx: &'k PbxName,
    pub policy: &'k Arc<Policy>,
    /// What was kept of the live stream: of these values endpoints are used.
    pub endpoints: &'k [Value],
}

/// What an intake wrote down, as far as records are compared with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Uniqueids of channels of calls in progress.
    pub open: BTreeSet<String>,
    /// What the stream showed of endpoints.
    pub endpoints: Vec<Value>,
}

impl Live {
    /// From the keys and values that are kept of a PBX; those that cannot be read are left out.
    pub fn read(kept: &[(String, Vec<u8>)]) -> Self {
        let open = kept.iter().filter_map(|(key, _)| key.strip_prefix("c/")).map(str::to_owned).collect();
        let endpoints = kept.iter().filter(|(key, _)| key.starts_with("e/"));
        Self { open, endpoints: endpoints.filter_map(|(key, json)| Value::read(key, json).ok()).collect() }
    }
}

/// The calls of `rows`, those among ourselves too, by beginning of their rows.
pub fn calls(rows: &[Row], known: Known<'_>) -> Vec<CdrCall> {
    calls_with(rows, &[], known)
}

/// The calls of `rows` and of channel events of the same time, `entries`. Calls whose events are all there are
/// told from them, the others from their rows.
pub fn calls_with(rows: &[Row], entries: &[Entry], known: Known<'_>) -> Vec<CdrCall> {
    let parts = cel::calls(rows, entries);
    let told: Vec<Story> = parts.iter().map(Story::of).collect();
    // What the last row shows of an endpoint's side counts for the first call, too.
    let learned = learn(&told, known);
    let mut calls = Vec::new();
    for (part, story) in parts.iter().zip(&told) {
        let (Some(from), Some(to)) = (part.start(), part.end()) else { continue };
        let ids: Vec<String> = part.ids().into_iter().map(str::to_owned).collect();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (rows, events) = (count(part.group.rows.len()), story.events());
        let setting = Setting { pbx: known.pbx, source: Source::Cdr, policy: known.policy };
        for facts in follow(tracker(story.time(), known.policy, &learned), story) {
            for call in classify::classify(&facts, setting) {
                let mut call = named(call, known.pbx, &ids);
                call.record.why.push(Why::FromCdr { rows, events });
                calls.push(CdrCall { call, ids: ids.clone(), from, to });
            }
        }
    }
    calls.sort_by_key(|call| call.from);
    calls
}

/// What is told of a call, and from what.
enum Story {
    Rows(Told),
    Events(tell::Told, u32),
}

impl Story {
    fn of(part: &cel::Call<'_>) -> Self {
        if whole::is_whole(part) {
            Self::Events(tell::tell(part), u32::try_from(part.entries.len()).unwrap_or(u32::MAX))
        } else {
            Self::Rows(events::tell(&part.group))
        }
    }

    fn events(&self) -> u32 {
        match self {
            Self::Rows(_) => 0,
            Self::Events(_, count) => *count,
        }
    }

    fn time(&self) -> TimeSource {
        match self {
            Self::Events(told, _) if told.exact => TimeSource::Event,
            Self::Events(..) | Self::Rows(_) => TimeSource::Estimated,
        }
    }

    fn end(&self) -> Option<PbxTime> {
        match self {
            Self::Rows(told) => told.steps.last().map(|step| step.at),
            Self::Events(told, _) => told.end(),
        }
    }

    fn each(&self, mut take: impl FnMut(&Event<'_>, PbxTime)) {
        match self {
            Self::Rows(told) => {
                for step in &told.steps {
                    take(&Event { at: Some(step.at), what: step.event(&told.legs) }, step.at);
                }
            }
            Self::Events(told, _) => told.each(take),
        }
    }
}

fn tracker(time: TimeSource, policy: &Arc<Policy>, endpoints: &[Value]) -> Tracker {
    let mut tracker = Tracker::new(time, Arc::clone(policy));
    tracker.restore(endpoints.iter().filter(|value| matches!(value, Value::Endpoint(_))).cloned().collect());
    tracker
}

/// What is known of endpoints when all is told.
fn learn(told: &[Story], known: Known<'_>) -> Vec<Value> {
    let mut tracker = tracker(TimeSource::Estimated, known.policy, known.endpoints);
    tracker.keep_changes();
    for told in told {
        tell(&mut tracker, told);
        tracker.finish();
        tracker.extract_all();
        while tracker.poll_finished().is_some() {}
        tracker.restart();
    }
    tracker.keep_all();
    let mut endpoints = BTreeMap::new();
    loop {
        let changes = tracker.take_changes(usize::MAX, 0);
        if changes.is_empty() {
            return endpoints.into_values().collect();
        }
        for Change { key, value } in changes {
            let value = value.and_then(|json| Value::read(&key, &json).ok());
            if let Some(value @ Value::Endpoint(_)) = value {
                endpoints.insert(key, value);
            }
        }
    }
}

fn follow(mut tracker: Tracker, told: &Story) -> Vec<CallFacts> {
    tell(&mut tracker, told);
    if let Some(last) = told.end() {
        // Every channel is gone, so every call's grace comes to its end.
        tracker.handle_timeout(last.after(std::time::Duration::from_mins(1)));
    }
    tracker.finish();
    std::iter::from_fn(|| tracker.poll_finished()).collect()
}

fn tell(tracker: &mut Tracker, told: &Story) {
    told.each(|event, at| tracker.handle_event(event, at));
}

/// Puts ids that Asterisk gave in the place of those that were made up.
fn named(mut call: FinishedCall, pbx: &PbxName, ids: &[String]) -> FinishedCall {
    let record = &mut call.record;
    let opener = record.call_id.as_str().strip_prefix(pbx.as_str()).and_then(|id| id.strip_prefix('-'));
    if let Some((id, rest)) =
        opener.filter(|id| is_made_up(id)).map(|id| id.split_once('~').unwrap_or((id, "")))
    {
        let first = record.uniqueids.iter().find(|id| !is_made_up(id)).or(ids.first());
        let ordinal = rest.parse().unwrap_or(1);
        record.call_id = match first {
            Some(first) => CallId::new(pbx, first, ordinal),
            // The source keeps no ids: the channel and the second in which the call began.
            None => CallId::new(pbx, &id.replace('/', "-"), ordinal),
        };
    }
    record.uniqueids.retain(|id| !is_made_up(id));
    if record.uniqueids.is_empty() {
        record.uniqueids.extend(ids.iter().cloned());
    }
    call
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdr::csv;
    use crate::cdr::row::Rows;

    /// Rows as `cdr_csv` writes them without `loguniqueid` and `newcdrcolumns`.
    fn made_of(lines: &[&str]) -> Vec<CdrCall> {
        let raws: Vec<_> = lines.iter().map(|line| csv::record(line.as_bytes()).unwrap()).collect();
        let known = Known { pbx: &PbxName::default(), policy: &Arc::default(), endpoints: &[] };
        calls(&Rows::read(&raws, Some(0)).rows, known)
    }

    const RANG: &str = "\"\",\"79161013644\",\"300\",\"from-trunk\",\"\",\"PJSIP/trunk-msk-00000014\",\"PJSIP/101-00000015\",\
        \"Dial\",\"PJSIP/101&PJSIP/102,12\",\"2026-11-22 09:27:15\",,\"2026-11-22 09:27:18\",3,0,\"NO ANSWER\",\"D\"";
    const TALKED: &str = "\"\",\"79161013644\",\"300\",\"from-trunk\",\"\",\"PJSIP/trunk-msk-00000014\",\"PJSIP/102-00000016\",\
        \"Dial\",\"PJSIP/101&PJSIP/102,12\",\"2026-11-22 09:27:15\",\"2026-11-22 09:27:18\",\"2026-11-22 09:27:22\",7,4,\
        \"ANSWERED\",\"D\"";

    #[test]
    fn rows_without_ids_hang_together_by_their_channels() {
        let calls = made_of(&[RANG, TALKED]);
        assert_eq!(calls.len(), 1);
        let record = &calls[0].call.record;
        assert_eq!(record.call_id.as_str(), "default-PJSIP-trunk-msk-00000014@1795339635");
        assert_eq!((record.uniqueids.len(), calls[0].ids.len()), (0, 0));
        assert_eq!((record.talk_seconds.rounded(), record.responsible.as_deref()), (4, Some("102")));
    }

    #[test]
    fn a_record_says_where_it_is_from() {
        let record = &made_of(&[RANG])[0].call.record;
        assert_eq!((record.source, record.time), (Source::Cdr, TimeSource::Estimated));
        assert!(record.why.contains(&Why::FromCdr { rows: 1, events: 0 }));
    }
}
