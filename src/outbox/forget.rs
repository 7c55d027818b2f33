//! Pure: what is left of a call whose outside party is to be forgotten: when it was, how long, which way, who of
//! us had it, what became of it. Nothing that leads to the person.

use serde::{Deserialize, Serialize};

use crate::call::record::{CallRecord, Direction, FinishedCall, Timeline};
use crate::call::side::same_number;
use crate::outbox::errand::Errand;
use crate::outbox::queue::State;
use crate::outbox::schedule::Slip;
use crate::outbox::search::digits;

/// Whom to forget, and who says so.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Forget {
    pub number: String,
    pub by: String,
    /// Give calls up that wait to be sent.
    pub drop_waiting: bool,
}

/// Whether this is a whole number: fewer digits are an extension, or mean many.
pub fn is_number(text: &str) -> bool {
    digits(text).len() >= DIGITS_MIN
}

/// Digits of the shortest number that can be forgotten.
pub const DIGITS_MIN: usize = 5;

/// With so many digits a number is the same in every form.
const WHOLE: usize = 10;

/// What stands in place of a number in a text.
const GONE: &str = "[forgotten]";

/// Whether the call's outside party has this number, in any form.
pub fn is_of(record: &CallRecord, number: &str) -> bool {
    let known = [&record.phone, &record.phone_e164, &record.phone_raw].into_iter().flatten();
    known.into_iter().any(|known| is_same(known, number))
}

/// Whether both are one number.
pub fn is_same(known: &str, number: &str) -> bool {
    let (known_digits, wanted) = (digits(known), digits(number));
    let is_whole = known_digits.len() >= WHOLE && wanted.len() >= WHOLE;
    known_digits == wanted || (is_whole && same_number(known, number))
}

/// Takes out of a call what leads to the outside party. File names are built from numbers; the timeline, the
/// reasons and what the dial plan said may have it anywhere.
pub fn anonymize(call: &mut FinishedCall, number: &str) {
    call.timeline = Timeline::default();
    let record = &mut call.record;
    record.why.clear();
    (record.phone, record.phone_e164, record.phone_raw) = (None, None, None);
    (record.recording, record.message, record.call_result) = (None, None, None);
    record.recording_hints.clear();
    if record.direction == Direction::Outbound {
        record.did = None;
    }
    for text in [&mut record.trunk, &mut record.account_code, &mut record.queue].into_iter().flatten() {
        *text = without(text, number);
    }
}

/// The same of what is known of its delivery: what amoCRM made of it is the way to the person there.
pub fn anonymize_slip(slip: &mut Slip, number: &str) {
    slip.errand = Errand::default();
    slip.last_error = slip.last_error.take().map(|text| without(&text, number));
    match &mut slip.state {
        State::Sent { note_id, entity, .. } => (*note_id, *entity) = (None, None),
        State::Unsorted { uid, .. } => *uid = None,
        State::Expired { reason, .. } | State::Dead { reason, .. } => *reason = without(reason, number),
        State::Pending
        | State::Sending { .. }
        | State::Unknown { .. }
        | State::Parked { .. }
        | State::Skipped { .. } => {}
    }
}

/// The text without the number, however it is written there.
fn without(text: &str, number: &str) -> String {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '(' | ')' | '-' | ' ');
    let mut clean = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit() || c == '+') {
        let (before, run) = rest.split_at(begin);
        clean.push_str(before);
        let end = run.find(|c| !is_part(c)).unwrap_or(run.len());
        // A word may follow.
        let end = run.split_at(end).0.trim_end().len();
        let (run, after) = run.split_at(end);
        let run_digits = digits(run);
        let wanted = digits(number);
        let tail = wanted.get(wanted.len().saturating_sub(WHOLE)..).unwrap_or_default();
        let has_it = is_same(run, number) || (tail.len() == WHOLE && run_digits.contains(tail));
        clean.push_str(if has_it { GONE } else { run });
        rest = after;
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;
    use crate::outbox::queue::{EntityRef, Seq};
    use crate::time::HostTime;

    #[test]
    fn a_number_is_the_same_in_every_form_and_a_short_one_in_its_own() {
        let mut record = sample::call("1.1").record;
        (record.phone, record.phone_e164) = (Some("79161234568".to_owned()), None);
        record.phone_raw = None;
        for own in ["79161234568", "+7 (916) 123-45-68", "89161234568", "9161234568"] {
            assert!(is_of(&record, own), "{own}");
        }
        for other in ["79161234567", "1234568", "234568", "101"] {
            assert!(!is_of(&record, other), "{other}");
        }
        record.phone = Some("1234568".to_owned());
        assert!(is_of(&record, "123-45-68") && !is_of(&record, "79161234568"));
    }

    #[test]
    fn a_number_leaves_a_text_however_it_is_written() {
        for (text, expected) in [
            ("no contact with 79161234568", "no contact with [forgotten]"),
            ("phone +7 (916) 123-45-68: unknown", "phone [forgotten]: unknown"),
            ("79161234568 is no contact", "[forgotten] is no contact"),
            ("SIP/79161234568-0000001a", "SIP/[forgotten]a"),
            ("batch 12 of 2026-11-22", "batch 12 of 2026-11-22"),
            ("call to 79161234567", "call to 79161234567"),
            ("", ""),
        ] {
            assert_eq!(without(text, "+79161234568"), expected);
        }
    }

    #[test]
    fn nothing_of_the_party_is_left_and_the_rest_is() {
        let mut call = sample::call("1795337591.4");
        let number = "79161234568";
        call.record.phone_raw = Some(number.to_owned());
        call.record.recording = Some(format!("2026/11/22/in-{number}.wav"));
        call.record.recording_hints = vec![format!("in-{number}")];
        call.record.message = Some(format!("INBOX/{number}"));
        call.record.call_result = Some("Anna Petrova".to_owned());
        call.record.trunk = Some(format!("guest-{number}"));
        let before = call.record.clone();
        let mut slip = Slip::new(Seq(1), &call.record, HostTime::default());
        let entity = Some(EntityRef { kind: "contact".to_owned(), id: 77_001 });
        slip.state = State::Sent { note_id: Some(88_001), entity, at: HostTime::default() };
        slip.last_error = Some(format!("no contact with {number}"));
        anonymize(&mut call, number);
        anonymize_slip(&mut slip, number);
        let text = serde_json::to_string(&call).unwrap() + &serde_json::to_string(&slip).unwrap();
        for trace in ["9161234568", "Petrova", "77001", "88001"] {
            assert!(!text.contains(trace), "{trace}: {text}");
        }
        assert_eq!(call.record.call_id, before.call_id);
        assert_eq!(
            (call.record.talk_seconds, call.record.responsible),
            (before.talk_seconds, before.responsible)
        );
    }
}
