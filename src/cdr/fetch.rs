//! The calls of a stretch of time, hour by hour, so that a long one needs no more memory than a short.

use std::collections::BTreeSet;
use std::time::Duration;

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
    // A call whose parts hang together over a window's edge is seen from both sides.
    let mut ids = BTreeSet::new();
    let mut from = range.from;
    while from <= range.to {
        let to = from.after(WINDOW).min(range.to);
        let window = Range { from, to: to.after(TRAIL) };
        let found = source.read(window).await?;
        fetched.unread.extend(found.unread);
        let events = match events {
            Some(events) => source.read_events(events, window, &found.rows).await,
            None => events::Found::default(),
        };
        fetched.unread_events.extend(events.unread);
        for call in calls::calls_with(&found.rows, &events.entries, known) {
            if (from..=to).contains(&call.to) && ids.insert(call.call.record.call_id.clone()) {
                fetched.calls.push(call);
            }
        }
        from = to.after(Duration::from_micros(1));
    }
    fetched.calls.sort_by_key(|call| call.to);
    Ok(fetched)
}
