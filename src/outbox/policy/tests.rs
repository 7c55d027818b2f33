use super::*;
use crate::call::id::AccountId;
use crate::call::record::sample;
use crate::outbox::errand::Errand;
use crate::outbox::queue::{Phase, Seq};

/// The moment at which these tests begin.
pub(crate) const START: HostTime = HostTime::from_micros(1_795_338_791_000_000);
const TIMEOUT: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A pending inbound call with this place in the outbox.
pub(crate) fn item(seq: u64) -> Item {
    let mut call = sample::call(&format!("1.{seq}"));
    call.record.phone = Some(format!("7916000{seq:04}"));
    Item {
        seq: Seq(seq),
        account: AccountId::default(),
        enqueued_at: START,
        state: State::Pending,
        attempts: 0,
        next_at: START,
        last_error: None,
        parked_since: None,
        hooked: false,
        errand: Errand::default(),
        call,
    }
}

pub(crate) fn unknown(seq: u64, since: HostTime, looked: u32) -> Item {
    Item { state: State::Unknown { batch: BatchId(1), since, looked }, attempts: 1, ..item(seq) }
}

fn parked(since: HostTime) -> Item {
    Item { state: State::Parked { since }, attempts: 1, ..item(1) }
}

fn judged(item: &Item, fate: &Fate, now: HostTime) -> Settlement {
    let sending = Sending { batch: BatchId(1), since: START, request_timeout: TIMEOUT };
    after_answer(&Policy::default(), item, fate, "HTTP 400", &sending, now)
}

fn looked_for(item: &Item, found: Option<&Note>, now: HostTime) -> Settlement {
    after_look(&Policy::default(), item, found, 0, TIMEOUT, now, 0.0)
}

#[test]
fn a_stored_call_is_sent_with_its_note() {
    let entity = Entity { kind: "lead".to_owned(), id: 70 };
    let settled = judged(&item(1), &Fate::Stored { note_id: Some(7), entity: Some(entity) }, START);
    let entity = Some(EntityRef { kind: "lead".to_owned(), id: 70 });
    assert_eq!(settled.state, State::Sent { note_id: Some(7), entity, at: START });
    assert!(settled.attempted);
}

#[test]
fn a_refused_call_is_dead_with_the_reason() {
    let fate = Fate::Invalid { code: "NotBlank".into(), path: "phone".into(), detail: "no".into() };
    let settled = judged(&item(1), &fate, START);
    let reason = "amoCRM refused the call: phone: NotBlank: no".to_owned();
    assert_eq!(settled.state, State::Dead { reason, at: START });
}

#[test]
fn a_call_that_was_not_processed_waits_where_it_waited() {
    let settled = judged(&item(1), &Fate::Untouched, START);
    assert_eq!((settled.state, settled.attempted), (State::Pending, false));
    let settled = judged(&parked(START), &Fate::Untouched, START.after(HOUR));
    assert_eq!(settled.state, State::Parked { since: START });
}

#[test]
fn the_tries_of_a_parked_call_are_a_schedule_of_moments() {
    let mut now = START;
    let mut moments = Vec::new();
    loop {
        let settled = judged(&parked(START), &Fate::NotFound, now);
        match settled.state {
            State::Parked { since } => assert_eq!(since, START),
            State::Expired { .. } => break,
            State::Pending
            | State::Sending { .. }
            | State::Sent { .. }
            | State::Unknown { .. }
            | State::Unsorted { .. }
            | State::Skipped { .. }
            | State::Dead { .. } => panic!("{:?}", settled.state),
        }
        moments.push(settled.next_at.since(START).as_secs() / 60);
        // Each try is a little late, as tries are.
        now = settled.next_at.after(Duration::from_secs(3));
    }
    let hours = [41, 65, 89].map(|hour| hour * 60 + 10);
    assert_eq!(moments, [10, 70, 310, 1030, hours[0], hours[1], hours[2], 96 * 60]);
}

#[test]
fn a_try_that_was_missed_in_an_outage_is_not_made_up_for() {
    let settled = judged(&parked(START), &Fate::NotFound, START.after(HOUR * 20));
    assert_eq!(settled.next_at.since(START), HOUR * 41 + MINUTE * 10);
}

#[test]
fn an_empty_schedule_still_tries_once_more() {
    let policy = Policy { parked_retries: Vec::new(), ..Policy::default() };
    let sending = Sending { batch: BatchId(1), since: START, request_timeout: TIMEOUT };
    let settled = after_answer(&policy, &item(1), &Fate::NotFound, "", &sending, START);
    assert_eq!(settled.next_at, START.after(HOUR * 96));
}

#[test]
fn an_unclear_outcome_is_looked_up_soon_and_judged_late() {
    let settled = judged(&item(1), &Fate::Unclear, START.after(Duration::from_secs(1)));
    assert_eq!(settled.state, State::Unknown { batch: BatchId(1), since: START, looked: 0 });
    assert_eq!(settled.next_at, START.after(Duration::from_secs(6)));
    assert!(settled.attempted);
}

#[test]
fn a_request_that_left_late_is_judged_from_when_it_can_have_left() {
    let late = START.after(Duration::from_secs(50));
    let settled = judged(&item(1), &Fate::Unclear, late);
    let since = late.before(TIMEOUT);
    assert_eq!(settled.state, State::Unknown { batch: BatchId(1), since, looked: 0 });
}

#[test]
fn a_call_that_is_found_is_sent() {
    let note = Note { id: Some(7), entity: None };
    let settled = looked_for(&unknown(1, START, 0), Some(&note), START);
    assert_eq!(settled.state, State::Sent { note_id: Some(7), entity: None, at: START });
}

#[test]
fn a_call_is_not_stored_only_when_it_was_missing_twice_and_late() {
    #[track_caller]
    fn check(looked: u32, seconds: u64, expected: Option<u64>) {
        let now = START.after(Duration::from_secs(seconds));
        let settled = looked_for(&unknown(1, START, looked), None, now);
        let next = settled.next_at.since(START).as_secs();
        match expected {
            Some(next_look) => {
                let state = State::Unknown { batch: BatchId(1), since: START, looked: looked + 1 };
                assert_eq!((settled.state, next), (state, next_look));
            }
            None => assert_eq!((settled.state, next), (State::Pending, seconds)),
        }
    }
    check(0, 5, Some(60));
    check(1, 59, Some(64));
    check(0, 3600, Some(3605));
    check(1, 60, None);
    check(7, 61, None);
}

#[test]
fn a_held_call_is_looked_for_and_never_sent() {
    let policy = Policy { on_unknown: OnUnknown::Hold, ..Policy::default() };
    let now = START.after(HOUR);
    let settled = after_look(&policy, &unknown(1, START, 5), None, 0, TIMEOUT, now, 0.0);
    assert_eq!(settled.state, State::Unknown { batch: BatchId(1), since: START, looked: 6 });
    assert_eq!(settled.next_at, now.after(HOUR));
    // Nobody would hear of it, and each look reads more: after a day it is a person's.
    let look = |looked, hours| {
        after_look(&policy, &unknown(1, START, looked), None, 0, TIMEOUT, START.after(HOUR * hours), 0.0)
            .state
    };
    assert_eq!(look(29, 23).phase(), Phase::Unknown);
    let State::Dead { reason, .. } = look(30, 24) else { panic!("it is looked for for ever") };
    assert!(reason.contains("for 24h") && reason.contains("may be there"), "{reason}");
    assert_eq!(look(0, 1000).phase(), Phase::Unknown, "it is missing twice at least");
}

#[test]
fn a_call_that_vanishes_again_and_again_is_sent_less_and_less_often() {
    let item = Item { attempts: 5, ..unknown(1, START, 1) };
    let now = START.after(HOUR);
    let settled = after_look(&Policy::default(), &item, None, 0, TIMEOUT, now, 1.0);
    assert_eq!((settled.state, settled.next_at), (State::Pending, now.after(Duration::from_secs(32))));
}

#[test]
fn a_call_refused_alone_without_a_reason_is_dead_in_the_end() {
    let late = START.after(HOUR);
    let settle = |attempts, refusals| {
        let item = Item { attempts, last_error: Some("HTTP 400".to_owned()), ..unknown(1, START, 1) };
        after_look(&Policy::default(), &item, None, refusals, TIMEOUT, late, 0.0).state
    };
    assert_eq!(settle(11, 11), State::Pending);
    assert_eq!(settle(100, 1), State::Pending, "what was parked or lost before is no refusal");
    let reason = "amoCRM refuses this call alone, 12 times: HTTP 400".to_owned();
    assert_eq!(settle(12, 12), State::Dead { reason, at: late });
}

#[test]
fn the_time_of_a_parked_call_does_not_begin_anew_after_an_unclear_post() {
    let item = Item { attempts: 9, parked_since: Some(START), ..item(1) };
    let settled = judged(&item, &Fate::NotFound, START.after(HOUR * 20));
    assert_eq!(settled.state, State::Parked { since: START });
    let settled = judged(&item, &Fate::NotFound, START.after(HOUR * 96));
    assert_eq!(settled.state.phase(), Phase::Expired);
}

#[test]
fn a_failed_search_proves_nothing() {
    let settled = after_failed_look(&unknown(1, START, 1), "HTTP 500", MINUTE, START);
    assert_eq!(settled.state, State::Unknown { batch: BatchId(1), since: START, looked: 1 });
    assert_eq!(settled.next_at, START.after(MINUTE));
}

#[test]
fn each_unclear_post_halves_the_company() {
    let sizes = [0, 1, 2, 3, 4, 5, 6, 40].map(|attempts| company(&Item { attempts, ..item(1) }));
    assert_eq!(sizes, [50, 25, 12, 6, 3, 1, 1, 1]);
}

#[test]
fn a_batch_holds_calls_with_the_same_past() {
    let leased: Vec<Item> = [0, 0, 3, 0, 5, 0]
        .iter()
        .zip(1..)
        .map(|(attempts, seq)| Item { attempts: *attempts, ..item(seq) })
        .collect();
    let seqs = |items: Vec<Item>| items.iter().map(|item| item.seq.0).collect::<Vec<_>>();
    assert_eq!(seqs(batch(leased.clone(), 50)), [1, 2, 4, 6]);
    assert_eq!(seqs(batch(leased.clone(), 2)), [1, 2]);
    assert_eq!(seqs(batch(leased[2..].to_vec(), 50)), [3]);
    assert_eq!(seqs(batch(Vec::new(), 50)), [0; 0]);
}

#[test]
fn parked_calls_stay_together_however_often_they_were_tried() {
    let leased: Vec<Item> = (1..=60).map(|attempts| Item { attempts, ..parked(START) }).collect();
    assert_eq!(batch(leased, 50).len(), 50);
}

#[test]
fn pauses_double_and_stay_within_their_bounds() {
    let seconds: Vec<u64> =
        (0..12).map(|failures| delay(failures, Duration::from_secs(2), MINUTE * 10, 1.0).as_secs()).collect();
    assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]);
    assert_eq!(delay(0, Duration::from_secs(2), MINUTE, 0.0), Duration::from_secs(1));
    assert_eq!(delay(u32::MAX, Duration::from_secs(2), MINUTE, 0.0), Duration::from_secs(30));
}

#[test]
fn a_call_that_waited_too_long_expires_only_when_the_policy_says_so() {
    let now = START.after(HOUR * 1000);
    assert_eq!(over_age(&Policy::default(), &item(1), now), None);
    let policy = Policy { max_age: Some(Span::from_hours(720)), ..Policy::default() };
    assert_eq!(over_age(&policy, &item(1), START.after(HOUR)), None);
    let expired = over_age(&policy, &item(1), now).unwrap();
    assert_eq!(expired.state.phase(), Phase::Expired);
}

#[test]
fn the_documented_table_is_understood_and_unknown_keys_are_refused() {
    let policy: Policy = serde_json::from_str(
        r#"{"batch-size":10,"note-lag":"1m","on-unknown":"hold","parked-retries":["1m","2m"],"max-age":"720h"}"#,
    )
    .unwrap();
    assert_eq!((policy.batch_size.get(), policy.on_unknown), (10, OnUnknown::Hold));
    assert!(serde_json::from_str::<Policy>(r#"{"batch-size":51}"#).is_err());
    assert!(serde_json::from_str::<Policy>(r#"{"batch-size":0}"#).is_err());
    assert!(serde_json::from_str::<Policy>(r#"{"batchsize":1}"#).is_err());
    assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
}

#[test]
fn jitter_fills_its_range() {
    let mut jitter = Jitter::new(7);
    let values: Vec<f64> = (0..1000).map(|_| jitter.draw()).collect();
    assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
    let mean = values.iter().sum::<f64>() / 1000.0;
    assert!((0.45..0.55).contains(&mean), "{mean}");
}
