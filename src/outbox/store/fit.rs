//! Pure: makes a call fit into a stored value. sled keeps values of some 20 KB and more in files
//! that it never syncs, so values are capped; what explains a call goes before what it says, and
//! the call itself is never lost.

use std::borrow::Cow;

use crate::call::record::{CallRecord, FinishedCall, Timeline};

/// Longest stored value, in bytes.
pub const VALUE_MAX: usize = 8 << 10;

/// Longest JSON of a call, in bytes: the rest of [`VALUE_MAX`] is for the slip with two texts of
/// [`TEXT_MAX`], for the frame and its key.
pub const CALL_MAX: usize = VALUE_MAX - 1536;

/// Longest text in a slip (what amoCRM said, why a call is dead), in bytes.
pub const TEXT_MAX: usize = 256;

/// Longest text in a record that had to be cut: longer than any number, extension or file name.
const NAME_MAX: usize = 128;

/// Channels whose ids are kept whatever happens: a call is found by them.
const UNIQUEIDS_MIN: usize = 8;

/// A timeline of fewer moments tells nothing, and goes as a whole.
const MOMENTS_MIN: usize = 8;

/// A way to make a call shorter; `false` when there is nothing left to cut.
struct Cut {
    name: &'static str,
    apply: fn(&mut FinishedCall) -> bool,
}

/// In this order; each is repeated until the call fits or nothing is left.
const CUTS: [Cut; 6] = [
    Cut { name: "timeline", apply: cut_timeline },
    Cut { name: "why", apply: |call| halve(&mut call.record.why, 0) },
    Cut { name: "segments", apply: |call| halve(&mut call.record.segments, 0) },
    Cut { name: "rang", apply: |call| halve(&mut call.record.rang, 1) },
    Cut { name: "uniqueids", apply: |call| halve(&mut call.record.uniqueids, UNIQUEIDS_MIN) },
    Cut { name: "texts", apply: |call| cut_texts(&mut call.record) },
];

/// A call that fits, its JSON, and the names of what was cut to make it fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted<'a> {
    pub call: Cow<'a, FinishedCall>,
    pub json: String,
    pub trimmed: Vec<String>,
}

/// Makes `call` fit into [`CALL_MAX`] bytes of JSON.
///
/// # Errors
/// When the call has no JSON, which no call of ours lacks.
pub fn fit(call: &FinishedCall) -> serde_json::Result<Fitted<'_>> {
    let json = serde_json::to_string(call)?;
    let mut fitted = Fitted { call: Cow::Borrowed(call), json, trimmed: Vec::new() };
    for cut in CUTS {
        let mut used = false;
        while fitted.json.len() > CALL_MAX && (cut.apply)(fitted.call.to_mut()) {
            used = true;
            fitted.json = serde_json::to_string(&fitted.call)?;
        }
        if used {
            fitted.trimmed.push(cut.name.to_owned());
        }
    }
    Ok(fitted)
}

/// Cuts `text` to `limit` bytes, at a border of characters.
pub fn cut_text(text: &mut String, limit: usize) -> bool {
    let long = text.len() > limit;
    text.truncate(text.floor_char_boundary(limit));
    long
}

/// Takes moments out of the middle: how a call began and ended says most.
fn cut_timeline(call: &mut FinishedCall) -> bool {
    let timeline = &mut call.timeline;
    let count = timeline.moments.len();
    if count < MOMENTS_MIN {
        let gone = !timeline.is_empty();
        *timeline = Timeline::default();
        return gone;
    }
    let middle = count / 4..count - count / 4;
    timeline.dropped = timeline.dropped.saturating_add(u32::try_from(middle.len()).unwrap_or(u32::MAX));
    timeline.moments.drain(middle);
    true
}

fn halve<T>(list: &mut Vec<T>, least: usize) -> bool {
    let keep = (list.len() / 2).max(least);
    let shorter = keep < list.len();
    list.truncate(keep);
    shorter
}

fn cut_texts(record: &mut CallRecord) -> bool {
    let texts = [
        &mut record.phone,
        &mut record.phone_raw,
        &mut record.did,
        &mut record.trunk,
        &mut record.queue,
        &mut record.account_code,
        &mut record.responsible,
        &mut record.recording,
        &mut record.message,
    ];
    let mut shorter = false;
    for text in texts.into_iter().flatten() {
        shorter |= cut_text(text, NAME_MAX);
    }
    for list in
        [&mut record.answered_by, &mut record.rang, &mut record.recording_hints, &mut record.uniqueids]
    {
        shorter |= halve(list, UNIQUEIDS_MIN);
        for text in list {
            shorter |= cut_text(text, NAME_MAX);
        }
    }
    shorter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::{Moment, Segment, What};
    use crate::outbox::queue::contract::call;

    #[track_caller]
    fn check(call: &FinishedCall, expected: &[&str]) -> FinishedCall {
        let fitted = fit(call).unwrap();
        assert!(fitted.json.len() <= CALL_MAX, "{} bytes", fitted.json.len());
        assert_eq!(fitted.trimmed, expected);
        let back: FinishedCall = serde_json::from_str(&fitted.json).unwrap();
        assert_eq!(back, *fitted.call);
        back
    }

    fn with_moments(count: usize) -> FinishedCall {
        let mut call = call(1);
        let at = call.record.started_at;
        call.timeline.moments = vec![Moment { at, leg: 0, with: None, what: What::Rang }; count];
        call
    }

    #[test]
    fn a_call_that_fits_is_left_alone() {
        assert_eq!(check(&call(1), &[]), call(1));
    }

    #[test]
    fn the_middle_of_a_long_timeline_goes_first() {
        let mut long = with_moments(1000);
        long.timeline.moments[0].what = What::Started;
        long.timeline.moments[999].what = What::HungUp { cause: 16 };
        let long = check(&long, &["timeline"]);
        let timeline = &long.timeline;
        assert_eq!(timeline.moments[0].what, What::Started);
        assert_eq!(timeline.moments.last().unwrap().what, What::HungUp { cause: 16 });
        assert_eq!(timeline.moments.len() + usize::try_from(timeline.dropped).unwrap(), 1000);
        assert_eq!(long.record, call(1).record);
    }

    #[test]
    fn a_long_list_of_segments_is_cut_before_the_ids() {
        let mut long = call(1);
        let (from, to) = (long.record.started_at, long.record.ended_at);
        long.record.segments = vec![Segment { extension: "101".into(), from, to }; 500];
        let long = check(&long, &["timeline", "segments"]);
        assert_eq!(long.record.uniqueids, call(1).record.uniqueids);
    }

    #[test]
    fn hostile_texts_are_cut_last() {
        let mut hostile = call(1);
        hostile.record.did = Some("я".repeat(30_000));
        hostile.record.rang = vec!["9".repeat(5_000); 300];
        hostile.record.answered_by = vec!["9".repeat(5_000); 300];
        hostile.record.uniqueids = vec!["1.1".repeat(5_000); 300];
        let hostile = check(&hostile, &["timeline", "segments", "rang", "uniqueids", "texts"]);
        assert_eq!(hostile.record.call_id, call(1).record.call_id);
        assert_eq!(hostile.record.phone, call(1).record.phone);
    }
}
