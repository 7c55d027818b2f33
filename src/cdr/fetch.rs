//! The calls of a stretch of time, hour by hour, so that a long one needs no more memory than a short.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::call::id::CallId;
use crate::cdr::calls::{self, CdrCall, Known};
use crate::cdr::range::Range;
use crate::cdr::source::events::{self, Events};
use crate::cdr::source::{Error, Source, Unread};

/// What is read at once.
const WINDOW: Duration = Duration::from_hours(1);

/// Rows that begin so long after a window may belong to a call that ends in it: transfers in a late part
/// of it do.
const TRAIL: Duration = Duration::from_mins(30);

/// What was found of a stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// By end.
    pub calls: Vec<CdrCall>,
    /// Calls that stand only in these are missing.
    pub unread: BTreeSet<Unread>,
    /// Channel events that cannot be read: such calls are told from their records alone.
    pub unread_events: BTreeSet<Unread>,
    /// Records that are none that can be read: so many at least, for those at a window's edge are met twice.
    pub unusable: u64,
}

/// The calls that ended within `range`, by the records and, where there are, by the channel events.
///
/// # Errors
/// When the records cannot be read.
pub async fn calls(
    source: &Source,
    events: Option<&Events>,
    known: Known<'_>,
    range: Range,
) -> Result<Fetched, Error> {
    let mut fetched = Fetched::default();
    // A call whose parts hang together over a window's edge is seen from both sides: more of it from the later.
    let mut places: BTreeMap<CallId, usize> = BTreeMap::new();
    let mut from = range.from;
    while from <= range.to {
        let to = from.after(WINDOW).min(range.to);
        let window = Range { from, to: to.after(TRAIL) };
        let found = source.read(window).await?;
        fetched.unread.extend(found.unread);
        fetched.unusable = fetched.unusable.max(found.unusable);
        let events = match events {
            Some(events) => source.read_events(events, window, &found.rows).await,
            None => events::Found::default(),
        };
        fetched.unread_events.extend(events.unread);
        for call in calls::calls_with(&found.rows, &events.entries, known) {
            if !(from..=to).contains(&call.to) {
                continue;
            }
            match places.entry(call.call.record.call_id.clone()) {
                Entry::Occupied(known) => fetched.calls[*known.get()] = call,
                Entry::Vacant(place) => {
                    place.insert(fetched.calls.len());
                    fetched.calls.push(call);
                }
            }
        }
        from = to.after(Duration::from_micros(1));
    }
    fetched.calls.sort_by_key(|call| call.to);
    Ok(fetched)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::call::id::PbxName;
    use crate::time::{PbxTime, local};

    /// 2026-11-22 09:00:00 UTC.
    const MADE: i64 = 1_795_338_000;

    /// A part of one call: from and to minutes after [`MADE`], with an employee.
    fn part(phone: u32, from: i64, to: i64) -> String {
        let time = |minute: i64| local::text((MADE + minute * 60) * 1_000_000);
        let (begin, end, seconds) = (time(from), time(to), (to - from) * 60);
        format!(
            "\"\",\"79161234568\",\"300\",\"from-trunk\",\"\",\"PJSIP/t-00000001\",\"PJSIP/{phone}-00000{phone}\",\"Dial\",\
             \"PJSIP/{phone}\",\"{begin}\",\"{begin}\",\"{end}\",{seconds},{seconds},\"ANSWERED\",\"D\",\"{MADE}.1\",\"\",\"\",\
             \"{MADE}.1\",{from}\n"
        )
    }

    #[tokio::test]
    async fn a_call_with_a_long_silence_is_whole_wherever_the_time_begins() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(format!("{}{}", part(101, 0, 10), part(102, 65, 70)).as_bytes()).unwrap();
        let source = Source::Csv { path: file.path().to_owned() };
        let (pbx, policy) = (PbxName::default(), Arc::default());
        let known = Known { pbx: &pbx, policy: &policy, endpoints: &[] };
        let at = |minute: i64| PbxTime::from_micros((MADE + minute * 60) * 1_000_000);
        for from in [-120, -50, -45, -1, 0, 5] {
            let range = Range { from: at(from), to: at(300) };
            let found = calls(&source, None, known, range).await.unwrap().calls;
            let answered: Vec<_> = found.iter().map(|call| call.call.record.answered_by.concat()).collect();
            assert_eq!(answered, ["101102"], "{from}");
        }
    }
}
