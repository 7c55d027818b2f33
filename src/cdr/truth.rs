//! Pure: a call that a gap cut short, as the PBX's records tell it.

use crate::call::record::{CallRecord, FinishedCall, Skip, Source};
use crate::call::why::{Filter, Why};

/// The call as it is to be told: who and where from is of the stream, what became of it of the records. One
/// that was not to be sent is, if it was so for what nobody saw. `None` when it was not cut short, or the
/// records tell of another call, or of less.
pub fn of_cut(seen: &FinishedCall, cdr: &FinishedCall) -> Option<FinishedCall> {
    let (live, told) = (&seen.record, &cdr.record);
    let is_same = live.call_id == told.call_id && live.direction == told.direction;
    let is_more = told.answered || !live.answered;
    let is_to_be_sent = matches!(told.skip, None | Some(Skip::Shadow)) && may_be_sent(live);
    if !live.is_cut() || live.source == Source::Cdr || !is_same || !is_more || !is_to_be_sent {
        return None;
    }
    let mut record = live.clone();
    // One that waits goes on waiting.
    let is_shadowed = [live.skip, told.skip].contains(&Some(Skip::Shadow));
    record.skip = (live.skip.is_some() && is_shadowed).then_some(Skip::Shadow);
    if live.phone.is_none() {
        record.phone.clone_from(&told.phone);
        record.phone_e164.clone_from(&told.phone_e164);
        record.phone_raw.clone_from(&told.phone_raw);
    }
    record.answered = told.answered;
    record.outcome = told.outcome;
    record.status = told.status;
    record.responsible.clone_from(&told.responsible);
    record.answered_by.clone_from(&told.answered_by);
    record.talk_seconds = told.talk_seconds;
    record.bridged_seconds = told.bridged_seconds;
    record.wait_seconds = told.wait_seconds;
    record.hold_seconds = told.hold_seconds;
    record.segments.clone_from(&told.segments);
    record.answered_at = told.answered_at;
    record.ended_at = told.ended_at.max(live.started_at);
    record.time = told.time;
    record.hangup_cause = told.hangup_cause;
    record.hangup_by = told.hangup_by;
    record.recording = live.recording.clone().or_else(|| told.recording.clone());
    record.queue = live.queue.clone().or_else(|| told.queue.clone());
    record.trunk = live.trunk.clone().or_else(|| told.trunk.clone());
    record.did = live.did.clone().or_else(|| told.did.clone());
    add(&mut record.rang, &told.rang);
    add(&mut record.uniqueids, &told.uniqueids);
    record.source = Source::Cdr;
    record.partial = false;
    record.why.clone_from(&told.why);
    Some(FinishedCall { record, timeline: seen.timeline.clone() })
}

/// Whether nothing that was seen speaks against it: what somebody said, or is so whatever became of the call.
fn may_be_sent(live: &CallRecord) -> bool {
    match live.skip {
        None | Some(Skip::Anonymous | Skip::ShortNumber | Skip::UnknownSides | Skip::Shadow) => true,
        Some(Skip::Policy) => {
            let by = |why: &Why| if let Why::Filtered { by } = why { Some(*by) } else { None };
            let by = live.why.iter().find_map(by);
            matches!(by, Some(Filter::Extensions | Filter::ShortestTalk | Filter::ShortestWait))
        }
        Some(Skip::Internal | Skip::NoConversation | Skip::UnknownNumber) => false,
    }
}

fn add(known: &mut Vec<String>, more: &[String]) {
    for text in more {
        if !known.contains(text) {
            known.push(text.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::{Outcome, Seconds, sample};
    use crate::call::why::{PartialRule, Why};

    /// A call that rang when the connection was cut.
    fn cut() -> FinishedCall {
        let mut call = sample::call("1.1");
        let record = &mut call.record;
        (record.answered, record.outcome, record.responsible) = (false, Outcome::NoAnswer, None);
        (record.talk_seconds, record.answered_by, record.partial) = (Seconds::default(), vec![], true);
        record.why = vec![Why::Partial { rule: PartialRule::EndNotSeen }];
        call
    }

    fn cdr() -> FinishedCall {
        let mut call = sample::call("1.1");
        call.record.source = Source::Cdr;
        call.record.uniqueids.push("1.9".to_owned());
        call
    }

    #[test]
    fn what_became_of_it_is_the_records_and_who_called_the_stream_s() {
        let (mut seen, told) = (cut(), cdr());
        seen.record.phone = Some("70000000000".to_owned());
        let record = of_cut(&seen, &told).unwrap().record;
        assert!(record.answered && !record.partial && record.source == Source::Cdr);
        assert_eq!((record.outcome, record.talk_seconds), (Outcome::Answered, told.record.talk_seconds));
        assert_eq!(
            (record.responsible, record.phone.as_deref()),
            (told.record.responsible, Some("70000000000"))
        );
        assert!(record.uniqueids.contains(&"1.9".to_owned()));
    }

    #[test]
    fn another_call_and_one_that_was_seen_whole_stay_as_they_are() {
        let of_another = {
            let mut call = cdr();
            call.record.call_id = sample::call("1.2").record.call_id;
            call
        };
        let mut missed = cdr();
        missed.record.answered = false;
        let mut talked = cut();
        talked.record.answered = true;
        for (seen, told) in [(sample::call("1.1"), cdr()), (cut(), of_another), (talked, missed)] {
            assert_eq!(of_cut(&seen, &told), None);
        }
    }

    #[test]
    fn a_number_that_was_not_seen_is_the_records() {
        let (mut seen, told) = (cut(), cdr());
        let record = &mut seen.record;
        (record.phone, record.phone_e164, record.phone_raw) = (None, None, Some("anonymous".to_owned()));
        record.skip = Some(Skip::Anonymous);
        let record = of_cut(&seen, &told).unwrap().record;
        assert!(record.phone.is_some() && record.skip.is_none());
        let numbers =
            |record: &CallRecord| (record.phone.clone(), record.phone_e164.clone(), record.phone_raw.clone());
        assert_eq!(numbers(&record), numbers(&told.record));
    }

    #[test]
    fn what_is_told_in_shadow_mode_is_not_sent_by_it_and_a_call_that_waits_goes_on_waiting() {
        let check = |was, told_as, expected| {
            let (mut seen, mut told) = (cut(), cdr());
            (seen.record.skip, told.record.skip) = (was, told_as);
            assert_eq!(
                of_cut(&seen, &told).map(|call| call.record.skip),
                Some(expected),
                "{was:?} {told_as:?}"
            );
        };
        let shadow = Some(Skip::Shadow);
        check(shadow, shadow, shadow);
        check(shadow, None, shadow);
        check(Some(Skip::Anonymous), shadow, shadow);
        check(None, shadow, None);
    }

    #[test]
    fn a_call_that_was_not_to_be_sent_is_if_what_nobody_saw_makes_it_so() {
        let skipped = |skip, by: Option<Filter>| {
            let mut seen = cut();
            seen.record.skip = Some(skip);
            seen.record.why.extend(by.map(|by| Why::Filtered { by }));
            of_cut(&seen, &cdr()).map(|call| call.record.skip)
        };
        for by in [Filter::ShortestTalk, Filter::ShortestWait, Filter::Extensions] {
            assert_eq!(skipped(Skip::Policy, Some(by)), Some(None), "{by:?}");
        }
        for by in [Some(Filter::Dids), Some(Filter::Line), None] {
            assert_eq!(skipped(Skip::Policy, by), None, "{by:?}: somebody says so, whatever became of it");
        }
        assert_eq!(skipped(Skip::NoConversation, None), None);
        let mut short = cdr();
        short.record.skip = Some(Skip::Policy);
        assert_eq!(of_cut(&cut(), &short), None);
    }
}
