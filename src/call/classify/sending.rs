//! Pure: whether a record is sent at all, by the `[calls.send]` table and the dial plan.

use std::time::Duration;

use crate::call::policy::{Policy, Send};
use crate::call::record::{CallRecord, Skip};
use crate::call::side::same_number;
use crate::call::why::{Filter, Why};

/// Sets why the record is not sent. What the dial plan says comes first, then a reason that there is already, and
/// then what is said of its line before what a list does that would not matter without it.
pub(super) fn decide(record: &mut CallRecord, policy: &Policy, says_no: bool) {
    let by_lists = || {
        let filter = line_filter(record, policy);
        filter.or_else(|| self::filter(record, &policy.send).filter(|_| !says_no))
    };
    let filter = if record.skip.is_none() { by_lists() } else { None };
    record.why.extend(filter.map(|by| Why::Filtered { by }));
    let is_shadowed = policy.shadowed.contains(&record.account);
    // What is said also counts for a call that would not be sent as it was seen: the PBX's records may know more of it.
    let by_policy = (says_no || filter.is_some()).then_some(Skip::Policy);
    record.skip = by_policy.or(record.skip).or(is_shadowed.then_some(Skip::Shadow));
    record.why.extend(record.skip.map(|reason| Why::Skip { reason }));
}

fn line_filter(record: &CallRecord, policy: &Policy) -> Option<Filter> {
    let number = |why: &Why| if let Why::Line { number, .. } = why { Some(*number) } else { None };
    let line = policy.lines.get(record.why.iter().find_map(number)?.checked_sub(1)?)?;
    (!line.send).then_some(Filter::Line)
}

fn filter(record: &CallRecord, send: &Send) -> Option<Filter> {
    let Send { directions, dids, trunks, extensions, numbers, shortest_talk, shortest_wait } = send;
    let is_number = |listed: &str| {
        let known = [record.phone_raw.as_deref(), record.phone.as_deref()];
        known.into_iter().flatten().any(|number| same_number(listed, number))
    };
    let talk = Duration::from_millis(record.talk_seconds.millis());
    let wait = Duration::from_millis(record.wait_seconds.millis());
    let kept = [
        (Filter::Directions, directions.is_empty() || directions.contains(&record.direction)),
        (Filter::Dids, dids.wants(record.did.as_deref())),
        (Filter::Trunks, trunks.wants(record.trunk.as_deref())),
        (Filter::Extensions, extensions.wants(record.responsible.as_deref())),
        (Filter::Numbers, numbers.wants_any(is_number)),
        (Filter::ShortestTalk, !record.answered || talk >= shortest_talk.duration()),
        (Filter::ShortestWait, record.answered || wait >= shortest_wait.duration()),
    ];
    kept.into_iter().find(|(_, kept)| !kept).map(|(by, _)| by)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;

    #[track_caller]
    fn check(send: &str, expected: Option<Filter>) {
        let send: Send = toml::from_str(send).unwrap();
        assert_eq!(filter(&sample::call("1.1").record, &send), expected, "{send:?}");
    }

    #[test]
    fn a_call_is_left_out_by_the_first_list_that_does_not_want_it() {
        check("", None);
        check("directions = [\"outbound\"]", Some(Filter::Directions));
        check("dids.only = [\"74957000999\"]", Some(Filter::Dids));
        check("trunks.never = [\"trunk-msk\"]", Some(Filter::Trunks));
        check("extensions.only = [\"101\"]", None);
        check("extensions.never = [\"101\"]", Some(Filter::Extensions));
        check("numbers.never = [\"8 (916) 123-45-68\"]", Some(Filter::Numbers));
        check("shortest-talk = \"1h\"", Some(Filter::ShortestTalk));
        check("shortest-wait = \"1h\"", None);
    }
}
