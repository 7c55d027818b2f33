//! Pure: the line that `[records] file` gets of a call that came to its end: the record as `replay --format jsonl`
//! prints it, and `delivery`, what became of it.

use serde::{Deserialize, Serialize};

use crate::call::record::{CallRecord, Skip};
use crate::ops::status::utc;
use crate::outbox::queue::{EntityRef, Item, State};
use crate::time::HostTime;

/// How the file of records fares.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct RecordsStatus {
    pub file: String,
    /// Lines since the start.
    pub written: u64,
    /// Calls since the start of which there is no line.
    pub lost: u64,
    /// Lines that wait in memory.
    pub waiting: u64,
    /// Why it cannot be written.
    pub failure: Option<String>,
}

#[derive(Debug, Serialize)]
struct Line<'c> {
    #[serde(flatten)]
    record: &'c CallRecord,
    delivery: Delivery<'c>,
}

/// Keys are only ever added.
#[derive(Debug, Default, Serialize)]
struct Delivery<'c> {
    state: &'static str,
    #[serde(with = "utc::maybe")]
    at: Option<HostTime>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    note_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<&'c EntityRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'c str>,
    /// Why it was not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason<'c>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Reason<'c> {
    Skip(Skip),
    Words(&'c str),
}

/// The line, with its end; `None` when the call has not come to its end.
pub fn line(item: &Item) -> Option<Vec<u8>> {
    let delivery = delivery(item)?;
    let mut line = serde_json::to_vec(&Line { record: &item.call.record, delivery }).ok()?;
    line.push(b'\n');
    Some(line)
}

fn delivery(item: &Item) -> Option<Delivery<'_>> {
    let state = item.state.phase().name();
    let ended =
        |at: &HostTime| Delivery { state, at: Some(*at), attempts: item.attempts, ..Delivery::default() };
    Some(match &item.state {
        State::Sent { note_id, entity, at } => {
            Delivery { note_id: *note_id, entity: entity.as_ref(), ..ended(at) }
        }
        State::Unsorted { uid, at } => Delivery { uid: uid.as_deref(), ..ended(at) },
        State::Skipped { reason, at } => Delivery { reason: Some(Reason::Skip(*reason)), ..ended(at) },
        State::Expired { reason, at } | State::Dead { reason, at } => {
            Delivery { reason: Some(Reason::Words(reason)), ..ended(at) }
        }
        State::Pending | State::Sending { .. } | State::Unknown { .. } | State::Parked { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;
    use crate::outbox::queue::Seq;
    use crate::outbox::schedule::Slip;

    const AT: HostTime = HostTime::from_micros(1_795_337_600_000_000);

    fn item(state: State) -> Item {
        let call = sample::call("1.1");
        Slip { state, attempts: 2, ..Slip::new(Seq(1), &call.record, AT) }.into_item(call)
    }

    #[track_caller]
    fn check(state: State, expected: &str) {
        let item = item(state);
        let line = String::from_utf8(line(&item).unwrap()).unwrap();
        let record = serde_json::to_string(&item.call.record).unwrap();
        let record = record.strip_suffix('}').unwrap();
        assert_eq!(line, format!("{record},\"delivery\":{expected}}}\n"));
    }

    #[test]
    fn a_line_is_the_record_and_what_became_of_it() {
        let at = r#""at":"2026-11-22T08:53:20.000Z","attempts":2"#;
        let entity = Some(EntityRef { kind: "contact".to_owned(), id: 3 });
        check(
            State::Sent { note_id: Some(7), entity, at: AT },
            &format!(r#"{{"state":"sent",{at},"note_id":7,"entity":{{"kind":"contact","id":3}}}}"#),
        );
        check(
            State::Unsorted { uid: Some("u".to_owned()), at: AT },
            &format!(r#"{{"state":"unsorted",{at},"uid":"u"}}"#),
        );
        check(
            State::Skipped { reason: Skip::UnknownNumber, at: AT },
            &format!(r#"{{"state":"skipped",{at},"reason":"unknown-number"}}"#),
        );
        check(
            State::Dead { reason: "no user".to_owned(), at: AT },
            &format!(r#"{{"state":"dead",{at},"reason":"no user"}}"#),
        );
        assert_eq!(line(&item(State::Pending)), None);
    }
}
