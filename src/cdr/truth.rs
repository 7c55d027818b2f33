//! Pure: a call that a gap cut short, as the PBX's records tell it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::call::id::CallId;
use crate::call::record::{CallRecord, Direction, FinishedCall, Skip, Source};
use crate::call::side::same_number;
use crate::call::why::{Filter, Why};
use crate::cdr::range::Range;

/// What becomes of a call of the records.
#[derive(Debug, PartialEq)]
pub enum Telling {
    /// It is stored, as well as the records know it.
    Known,
    /// The stored call at this place is told so from here on.
    Anew(usize, Box<FinishedCall>),
    /// Nobody saw its outside party: it is stored, or told in the place of the call that was seen of it.
    Unseen(Option<(usize, Box<FinishedCall>)>),
}

/// When nobody watched, and what is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Look<'l> {
    pub gap: Range,
    /// The calls that the records have of it.
    pub ids: &'l BTreeSet<CallId>,
    /// Whether the records are all there, as far as can be known: a row alone may be of a part of a call, such as a
    /// mobile to which it was forwarded, and the call itself in a row that is written later.
    pub is_whole: bool,
}

/// What becomes of `cdr`, of which the stored calls `kin` have channels.
pub fn tell(kin: &[&FinishedCall], cdr: &FinishedCall, look: Look<'_>) -> Telling {
    let told = &cdr.record;
    let own = kin.iter().position(|seen| seen.record.call_id == told.call_id);
    if let Some((at, call)) = own.and_then(|at| Some((at, of_cut(kin[at], cdr, look.gap)?))) {
        return Telling::Anew(at, Box::new(call));
    }
    let is_wanted = matches!(told.skip, None | Some(Skip::Shadow));
    let is_known = |seen: &&FinishedCall| has_number(seen, told) || !may_be_told(&seen.record, told);
    if !is_wanted || kin.iter().any(is_known) {
        return Telling::Known;
    }
    let opener = told.opener();
    let began =
        own.or_else(|| kin.iter().position(|seen| seen.record.uniqueids.iter().any(|id| id == opener)));
    let is_other = |at: &usize| look.is_whole && !look.ids.contains(&kin[*at].record.call_id);
    let mut halves = began.into_iter().chain((0..kin.len()).filter(is_other));
    if let Some((at, call)) = halves.find_map(|at| Some((at, of_unknown(kin[at], cdr, look.gap)?))) {
        return Telling::Unseen(Some((at, Box::new(call))));
    }
    let is_late = told.ended_at.after(WHOLE_SECOND) >= look.gap.from;
    let is_unseen = own.is_none() && is_late && kin.iter().any(|seen| lacks(&seen.record, look.gap));
    if is_unseen && look.is_whole { Telling::Unseen(None) } else { Telling::Known }
}

/// Records have whole seconds.
const WHOLE_SECOND: Duration = Duration::from_secs(1);

/// Whether nothing that is known of this call is against telling more: a number that is to be forgotten has taken the
/// reasons with it, what somebody said of sending stands, and a call of another account waits for itself.
fn may_be_told(live: &CallRecord, told: &CallRecord) -> bool {
    let is_elsewhere = live.skip.is_none() && told.skip.is_some() && live.account != told.account;
    !live.why.is_empty() && may_be_sent(live, told) && !is_elsewhere
}

/// Whether this is the call with the number, whatever else the records say of it.
fn has_number(seen: &FinishedCall, told: &CallRecord) -> bool {
    let numbers = |record: &CallRecord| record.phone.clone().or_else(|| record.phone_raw.clone());
    let is_outside = seen.record.direction != Direction::Internal;
    let both = numbers(&seen.record).zip(numbers(told));
    is_outside && both.is_some_and(|(live, told)| same_number(&live, &told))
}

/// The call as it is to be told: who and where from is of the stream, what became of it of the records. One
/// that was not to be sent is, if it was so for what nobody saw. `None` when it was not cut short, or the
/// records tell of another call, or of less.
fn of_cut(seen: &FinishedCall, cdr: &FinishedCall, gap: Range) -> Option<FinishedCall> {
    let (live, told) = (&seen.record, &cdr.record);
    let is_same = live.call_id == told.call_id && live.direction == told.direction;
    let is_more = told.answered || !live.answered;
    (is_same && is_more && is_open(live, told, gap)).then(|| what_became(seen, cdr))
}

/// A call that was cut before its outside party was known: all of it is of the records, but for its id. `None` as
/// of [`of_cut`].
fn of_unknown(seen: &FinishedCall, cdr: &FinishedCall, gap: Range) -> Option<FinishedCall> {
    let (live, told) = (&seen.record, &cdr.record);
    let is_known = live.direction != Direction::Internal && live.phone.is_some();
    (!is_known && told.direction != Direction::Internal && is_open(live, told, gap))
        .then(|| wholly(seen, cdr))
}

/// Whether the records may tell what became of the call, and want it sent.
fn is_open(live: &CallRecord, told: &CallRecord, gap: Range) -> bool {
    // One that is sent is held back only where its end was not seen.
    let is_skipped = !matches!(live.skip, None | Some(Skip::Shadow));
    let is_in_time = live.is_cut() || (is_skipped && lacks(live, gap));
    let is_to_be_sent = matches!(told.skip, None | Some(Skip::Shadow)) && may_be_sent(live, told);
    is_in_time && live.source != Source::Cdr && is_to_be_sent
}

/// Whether something of the call was not seen.
fn lacks(record: &CallRecord, gap: Range) -> bool {
    let goes_over = record.started_at <= gap.to && record.ended_at >= gap.from;
    record.partial || record.source == Source::Cdr || goes_over
}

/// Nothing but the id and the beginning is of the stream.
fn wholly(seen: &FinishedCall, cdr: &FinishedCall) -> FinishedCall {
    let (live, told) = (&seen.record, &cdr.record);
    let mut record = told.clone();
    record.call_id.clone_from(&live.call_id);
    // Of the same channel the stream has the milliseconds.
    let is_same = live.call_id == told.call_id;
    record.started_at = if is_same { live.started_at } else { live.started_at.min(told.started_at) };
    record.ended_at = told.ended_at.max(record.started_at);
    record.skip = skip(live, told);
    record.recording = told.recording.clone().or_else(|| live.recording.clone());
    add(&mut record.uniqueids, &live.uniqueids);
    FinishedCall { record, timeline: seen.timeline.clone() }
}

fn what_became(seen: &FinishedCall, cdr: &FinishedCall) -> FinishedCall {
    let (live, told) = (&seen.record, &cdr.record);
    let mut record = live.clone();
    record.skip = skip(live, told);
    // The first whom the PBX dialled may be an employee's own phone outside.
    let is_other = live.direction == Direction::Outbound && !has_number(seen, told);
    if live.phone.is_none() || is_other {
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
    FinishedCall { record, timeline: seen.timeline.clone() }
}

/// A call that waits goes on waiting.
fn skip(live: &CallRecord, told: &CallRecord) -> Option<Skip> {
    let is_shadowed = [live.skip, told.skip].contains(&Some(Skip::Shadow));
    (live.skip.is_some() && is_shadowed).then_some(Skip::Shadow)
}

/// Whether nothing that was seen speaks against it: what somebody said, or is so whatever became of the call.
fn may_be_sent(live: &CallRecord, told: &CallRecord) -> bool {
    match live.skip {
        None | Some(Skip::Anonymous | Skip::ShortNumber | Skip::UnknownSides | Skip::Shadow) => true,
        // Its outside party was not seen yet.
        Some(Skip::Internal) => live.direction != told.direction,
        Some(Skip::Policy) => {
            let by = |why: &Why| if let Why::Filtered { by } = why { Some(*by) } else { None };
            match live.why.iter().find_map(by) {
                Some(Filter::Extensions | Filter::ShortestTalk | Filter::ShortestWait) => true,
                Some(Filter::Directions) => live.direction != told.direction,
                Some(Filter::Dids | Filter::Trunks | Filter::Numbers | Filter::Line) | None => false,
            }
        }
        Some(Skip::NoConversation | Skip::UnknownNumber) => false,
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
    use crate::call::why::PartialRule;
    use crate::time::PbxTime;

    /// A call that rang when the connection was cut.
    fn cut() -> FinishedCall {
        let mut call = sample::call("1.1");
        let record = &mut call.record;
        (record.answered, record.outcome, record.responsible) = (false, Outcome::NoAnswer, None);
        (record.talk_seconds, record.answered_by, record.partial) = (Seconds::default(), vec![], true);
        record.why = vec![Why::Partial { rule: PartialRule::EndNotSeen }];
        call
    }

    /// It began while nobody watched.
    const GAP: Range = Range { from: PbxTime::from_micros(0), to: PbxTime::from_micros(i64::MAX) };

    /// As all records of the gap, which have calls of these ids, tell it.
    fn told<const N: usize>(
        kin: &[&FinishedCall],
        cdr: &FinishedCall,
        ids: [&FinishedCall; N],
        gap: Range,
    ) -> Telling {
        let ids = ids.map(|call| call.record.call_id.clone()).into();
        tell(kin, cdr, Look { gap, ids: &ids, is_whole: true })
    }

    /// What the stored call becomes.
    fn retold(seen: &FinishedCall, cdr: &FinishedCall) -> Option<FinishedCall> {
        match told(&[seen], cdr, [cdr], GAP) {
            Telling::Known | Telling::Unseen(None) => None,
            Telling::Anew(0, call) | Telling::Unseen(Some((0, call))) => Some(*call),
            other @ (Telling::Anew(..) | Telling::Unseen(_)) => panic!("there is no such call: {other:?}"),
        }
    }

    /// An employee's leg, cut before the trunk's began.
    fn half() -> FinishedCall {
        let mut call = cut();
        let record = &mut call.record;
        (record.direction, record.skip, record.phone) = (Direction::Internal, Some(Skip::Internal), None);
        record.why.push(Why::Skip { reason: Skip::Internal });
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
        let record = retold(&seen, &told).unwrap().record;
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
            assert_eq!(retold(&seen, &told), None);
        }
    }

    #[test]
    fn a_number_that_was_not_seen_is_the_records() {
        let (mut seen, told) = (cut(), cdr());
        let record = &mut seen.record;
        (record.phone, record.phone_e164, record.phone_raw) = (None, None, Some("anonymous".to_owned()));
        record.skip = Some(Skip::Anonymous);
        let record = retold(&seen, &told).unwrap().record;
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
                retold(&seen, &told).map(|call| call.record.skip),
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
            retold(&seen, &cdr()).map(|call| call.record.skip)
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
        assert_eq!(retold(&cut(), &short), None);
    }

    #[test]
    fn a_call_whose_outside_party_was_not_seen_is_all_of_the_records() {
        for skip in [Skip::Internal, Skip::UnknownSides] {
            let (mut seen, mut told) = (half(), cdr());
            (seen.record.skip, told.record.direction) = (Some(skip), Direction::Outbound);
            let record = retold(&seen, &told).unwrap().record;
            assert_eq!((record.direction, record.skip), (Direction::Outbound, None));
            assert_eq!((record.phone, record.source), (told.record.phone, Source::Cdr));
        }
        // A trunk's leg of which nothing was known yet, and the records begin with another leg.
        let (mut seen, mut told) = (cut(), cdr());
        (seen.record.skip, seen.record.phone, seen.record.phone_raw) = (Some(Skip::Anonymous), None, None);
        (told.record.direction, told.record.call_id) =
            (Direction::Outbound, sample::call("1.8").record.call_id);
        let record = retold(&seen, &told).unwrap().record;
        assert_eq!((&record.call_id, record.direction), (&seen.record.call_id, Direction::Outbound));
    }

    #[test]
    fn a_call_among_ourselves_stays_one_unless_somebody_outside_was_in_it() {
        let mut internal = cdr();
        (internal.record.direction, internal.record.skip) = (Direction::Internal, Some(Skip::Internal));
        assert_eq!(retold(&half(), &internal), None);
        let mut whole = half();
        whole.record.partial = false;
        assert!(retold(&whole, &cdr()).is_some(), "nobody watched while it went on");
        let later = Range { from: GAP.to, to: GAP.to };
        assert_eq!(told(&[&whole], &cdr(), [&cdr()], later), Telling::Known, "it was over before");
        let mut said = half();
        said.record.skip = Some(Skip::Policy);
        assert_eq!(retold(&said, &cdr()), None, "somebody said so");
    }

    /// Another call, to or from somebody else.
    fn other() -> FinishedCall {
        let mut other = cdr();
        other.record.call_id = sample::call("1.8").record.call_id;
        other.record.phone = Some("79990001122".to_owned());
        other
    }

    #[test]
    fn what_hangs_together_with_a_call_that_was_seen_is_a_call_of_its_own() {
        let (seen, other) = (cut(), other());
        let mut same = other.clone();
        same.record.phone.clone_from(&seen.record.phone);
        assert_eq!(told(&[&seen], &same, [&same], GAP), Telling::Known, "the number is the same");
        assert_eq!(told(&[&seen], &other, [&other], GAP), Telling::Unseen(None));
        let mut whole = seen.clone();
        whole.record.partial = false;
        let later = Range { from: GAP.to, to: GAP.to };
        assert_eq!(told(&[&whole], &other, [&other], later), Telling::Known, "it was watched");
        // The records know the employee's leg as a call of its own, or not.
        assert_eq!(told(&[&half()], &other, [&other, &seen], GAP), Telling::Unseen(None));
        let Telling::Unseen(Some((0, call))) = told(&[&half()], &other, [&other], GAP) else {
            panic!("it is told")
        };
        assert_eq!(call.record.phone, other.record.phone);
    }

    #[test]
    fn a_row_that_may_be_a_part_of_a_call_is_waited_with() {
        let (other, ids) = (other(), BTreeSet::from([other().record.call_id]));
        let look = Look { gap: GAP, ids: &ids, is_whole: false };
        for seen in [cut(), half()] {
            assert_eq!(tell(&[&seen], &other, look), Telling::Known);
        }
        let mut began = half();
        began.record.uniqueids.push("1.8".to_owned());
        assert!(matches!(tell(&[&began], &other, look), Telling::Unseen(Some(_))), "its first leg was seen");
    }

    #[test]
    fn what_was_said_of_a_call_or_forgotten_stands_under_any_id() {
        let (mut said, mut forgotten) = (half(), cut());
        said.record.skip = Some(Skip::Policy);
        forgotten.record.why.clear();
        (forgotten.record.phone, forgotten.record.phone_e164, forgotten.record.phone_raw) =
            (None, None, None);
        for seen in [said, forgotten] {
            for told_as in [other(), cdr()] {
                assert_eq!(told(&[&seen], &told_as, [&told_as], GAP), Telling::Known, "{:?}", seen.record);
            }
        }
    }

    #[test]
    fn what_was_seen_whole_is_compared_as_it_was_seen() {
        let mut seen = sample::call("1.1");
        seen.record.skip = Some(Skip::Shadow);
        assert_eq!(retold(&seen, &cdr()), None);
    }

    #[test]
    fn of_a_call_to_outside_the_number_is_the_records() {
        let (mut seen, mut told) = (cut(), cdr());
        for call in [&mut seen, &mut told] {
            call.record.direction = Direction::Outbound;
        }
        seen.record.phone = Some("79990000101".to_owned());
        assert_eq!(retold(&seen, &told).unwrap().record.phone, told.record.phone);
    }
}
