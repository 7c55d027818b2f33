//! What every [`Queue`] must do, as tests: [`tests`] runs all of them on one implementation.

use std::time::Duration;

use crate::call::id::{AccountId, CallId, PbxName};
use crate::call::record::{FinishedCall, Skip};
use crate::outbox::queue::{
    BatchId, Enqueued, Error, Item, Phase, Queue, Seq, Settlement, State, Stats, TRANSITIONS,
};
use crate::outbox::schedule::waits;
use crate::time::HostTime;

/// Makes a `#[test]` of every function of the contract; the expression gives a new queue and
/// whatever must outlive it.
macro_rules! tests {
    ($make:expr) => {
        contract::tests! { $make;
            a_new_call_waits_and_is_found,
            a_known_call_adds_nothing,
            a_call_is_known_for_ever_once_it_is_sent,
            the_same_call_twice_in_one_list_is_taken_once,
            two_conversations_of_one_channel_are_two_calls,
            calls_that_share_a_helper_channel_are_different_calls,
            a_call_that_policy_skips_is_at_its_end_at_once,
            calls_leave_in_the_order_in_which_they_came,
            a_lease_changes_nothing,
            a_lease_is_of_one_account,
            a_lease_is_of_fresh_calls_or_of_parked_ones,
            a_call_is_leased_when_it_is_due_and_not_before,
            a_clock_that_is_set_back_makes_due_calls_wait_again,
            the_next_due_time_is_that_of_the_first_call_which_waits,
            an_intent_hides_its_calls_from_the_next_lease,
            every_intent_has_a_batch_of_its_own,
            an_intent_is_made_for_all_of_its_calls_or_for_none,
            every_step_of_the_table_is_taken_and_no_other,
            a_settlement_records_what_was_learned,
            settlements_are_applied_together_or_not_at_all,
            two_settlements_of_one_call_follow_one_another,
            an_absent_call_is_refused_by_its_number,
            intents_of_a_process_that_is_gone_become_unknown,
            an_unknown_outcome_is_looked_up_when_it_is_due,
            a_dead_call_that_is_revived_is_delivered_again,
            the_ledger_balances_after_every_step,
            the_oldest_call_that_waits_is_known,
        }
    };
    ($make:expr; $($name:ident,)+) => {
        $(#[test]
        fn $name() {
            let (mut queue, _guard) = $make;
            contract::$name(&mut queue);
        })+
    };
}
pub(crate) use tests;

const SAMPLE: &str = include_str!("../../../tests/samples/call.json");

/// A call of the PBX `default` whose channels are `n.1` and `n.2`.
pub fn call(n: u32) -> FinishedCall {
    let mut call: FinishedCall = serde_json::from_str(SAMPLE).unwrap();
    call.record.call_id = CallId::new(&PbxName::default(), &format!("{n}.1"), 1);
    call.record.uniqueids = vec![format!("{n}.1"), format!("{n}.2")];
    call
}

pub fn at(seconds: i64) -> HostTime {
    HostTime::from_micros((1_795_337_600 + seconds) * 1_000_000)
}

pub fn account() -> AccountId {
    AccountId::default()
}

pub fn enqueue(queue: &mut impl Queue, calls: Vec<FinishedCall>, now: HostTime) -> Vec<Seq> {
    let taken = queue.enqueue(calls, now).unwrap();
    taken.into_iter().map(new_seq).collect()
}

fn new_seq(enqueued: Enqueued) -> Seq {
    match enqueued {
        Enqueued::New(seq) => seq,
        Enqueued::Known => panic!("the call is known"),
    }
}

pub fn settlement(seq: Seq, state: State, next_at: HostTime) -> Settlement {
    Settlement { seq, state, next_at, last_error: None, attempted: false }
}

pub fn sent(now: HostTime) -> State {
    State::Sent { note_id: Some(7), entity: None, at: now }
}

fn settle(queue: &mut impl Queue, seq: Seq, state: State, next_at: HostTime) {
    queue.settle(vec![settlement(seq, state, next_at)], at(0)).unwrap();
}

fn lease(queue: &mut impl Queue, now: HostTime) -> Vec<Seq> {
    queue.lease(&account(), 50, now).unwrap().iter().map(|item| item.seq).collect()
}

fn find(queue: &mut impl Queue, n: u32) -> Item {
    queue.find(&call(n).record.call_id).unwrap().expect("the call is there")
}

/// Whether the ledger of DESIGN 4 balances: no call is unaccounted for.
pub fn balances(stats: &Stats) -> bool {
    stats.ended == stats.by_phase.values().sum::<u64>()
}

pub fn a_new_call_waits_and_is_found(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2)], at(0));
    let item = find(queue, 2);
    assert_eq!((item.seq, item.state, item.attempts), (seqs[1], State::Pending, 0));
    assert_eq!((item.enqueued_at, item.next_at, item.call), (at(0), at(0), call(2)));
    assert_eq!(queue.find(&CallId::from_text("default-9.9")).unwrap(), None);
}

pub fn a_known_call_adds_nothing(queue: &mut impl Queue) {
    enqueue(queue, vec![call(1)], at(0));
    let again = queue.enqueue(vec![call(1), call(2)], at(1)).unwrap();
    assert_eq!(again[0], Enqueued::Known);
    assert!(matches!(again[1], Enqueued::New(_)));
    assert_eq!(queue.stats().unwrap().ended, 2);
    assert_eq!(lease(queue, at(1)).len(), 2);
}

pub fn a_call_is_known_for_ever_once_it_is_sent(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1)], at(0));
    queue.intend(&seqs, at(0)).unwrap();
    settle(queue, seqs[0], sent(at(1)), at(1));
    assert_eq!(queue.enqueue(vec![call(1)], at(2)).unwrap(), [Enqueued::Known]);
    assert_eq!(find(queue, 1).state, sent(at(1)));
}

pub fn the_same_call_twice_in_one_list_is_taken_once(queue: &mut impl Queue) {
    let taken = queue.enqueue(vec![call(1), call(1)], at(0)).unwrap();
    assert!(matches!(taken[0], Enqueued::New(_)));
    assert_eq!(taken[1], Enqueued::Known);
    assert_eq!(queue.stats().unwrap().ended, 1);
}

pub fn two_conversations_of_one_channel_are_two_calls(queue: &mut impl Queue) {
    let mut second = call(1);
    second.record.call_id = CallId::new(&PbxName::default(), "1.1", 2);
    enqueue(queue, vec![call(1), second.clone()], at(0));
    assert_eq!(queue.find(&second.record.call_id).unwrap().unwrap().call, second);
    assert_eq!(find(queue, 1).call, call(1));
}

pub fn calls_that_share_a_helper_channel_are_different_calls(queue: &mut impl Queue) {
    let (mut first, mut second) = (call(1), call(2));
    first.record.uniqueids.push("helper.1".into());
    second.record.uniqueids.push("helper.1".into());
    // A call may even hold the channel that gave another call its id.
    second.record.uniqueids.push("1.1".into());
    assert_eq!(enqueue(queue, vec![first, second], at(0)).len(), 2);
}

pub fn a_call_that_policy_skips_is_at_its_end_at_once(queue: &mut impl Queue) {
    let mut skipped = call(1);
    skipped.record.skip = Some(Skip::Anonymous);
    enqueue(queue, vec![skipped.clone()], at(5));
    assert_eq!(find(queue, 1).state, State::Skipped { reason: Skip::Anonymous, at: at(5) });
    assert_eq!(lease(queue, at(9)), []);
    assert_eq!(queue.next_due(&account()).unwrap(), None);
    assert_eq!(queue.enqueue(vec![skipped], at(6)).unwrap(), [Enqueued::Known]);
}

pub fn calls_leave_in_the_order_in_which_they_came(queue: &mut impl Queue) {
    let mut seqs = enqueue(queue, vec![call(5), call(3), call(4)], at(0));
    seqs.extend(enqueue(queue, vec![call(1)], at(1)));
    assert!(seqs.is_sorted());
    assert_eq!(lease(queue, at(1)), seqs);
    let two = queue.lease(&account(), 2, at(1)).unwrap();
    assert_eq!([&two[0].call, &two[1].call], [&call(5), &call(3)]);
}

pub fn a_lease_changes_nothing(queue: &mut impl Queue) {
    enqueue(queue, vec![call(1), call(2)], at(0));
    let before = queue.stats().unwrap();
    assert_eq!(lease(queue, at(0)), lease(queue, at(0)));
    assert_eq!(queue.stats().unwrap(), before);
}

pub fn a_lease_is_of_one_account(queue: &mut impl Queue) {
    let other = AccountId::new("other").unwrap();
    let mut second = call(2);
    second.record.account = other.clone();
    let seqs = enqueue(queue, vec![call(1), second], at(0));
    assert_eq!(lease(queue, at(0)), [seqs[0]]);
    assert_eq!(queue.lease(&other, 50, at(0)).unwrap()[0].seq, seqs[1]);
    assert_eq!(queue.next_due(&AccountId::new("third").unwrap()).unwrap(), None);
}

pub fn a_lease_is_of_fresh_calls_or_of_parked_ones(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2), call(3)], at(0));
    queue.intend(&seqs[..2], at(0)).unwrap();
    settle(queue, seqs[0], State::Parked { since: at(0) }, at(10));
    settle(queue, seqs[1], State::Pending, at(10));
    assert_eq!(lease(queue, at(10)), [seqs[1], seqs[2]]);
    queue.intend(&[seqs[1], seqs[2]], at(10)).unwrap();
    assert_eq!(lease(queue, at(10)), [seqs[0]]);
}

pub fn a_call_is_leased_when_it_is_due_and_not_before(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2)], at(0));
    queue.intend(&seqs, at(0)).unwrap();
    settle(queue, seqs[0], State::Pending, at(60));
    settle(queue, seqs[1], State::Pending, at(30));
    assert_eq!(lease(queue, at(29)), []);
    assert_eq!(lease(queue, at(30)), [seqs[1]]);
    assert_eq!(lease(queue, at(60)), seqs);
}

pub fn a_clock_that_is_set_back_makes_due_calls_wait_again(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2)], at(0));
    queue.intend(&seqs[..1], at(0)).unwrap();
    settle(queue, seqs[0], State::Pending, at(60));
    assert_eq!(lease(queue, at(60)), seqs);
    assert_eq!(lease(queue, at(59)), [seqs[1]]);
    assert_eq!(lease(queue, at(61)), seqs);
}

pub fn the_next_due_time_is_that_of_the_first_call_which_waits(queue: &mut impl Queue) {
    assert_eq!(queue.next_due(&account()).unwrap(), None);
    let seqs = enqueue(queue, vec![call(1), call(2), call(3)], at(0));
    assert_eq!(queue.next_due(&account()).unwrap(), Some(at(0)));
    let batch = queue.intend(&seqs, at(0)).unwrap();
    assert_eq!(queue.next_due(&account()).unwrap(), None);
    settle(queue, seqs[0], State::Pending, at(60));
    assert_eq!(queue.next_due(&account()).unwrap(), Some(at(60)));
    settle(queue, seqs[1], State::Parked { since: at(0) }, at(50));
    assert_eq!(queue.next_due(&account()).unwrap(), Some(at(50)));
    settle(queue, seqs[2], State::Unknown { batch, since: at(0), looked: 0 }, at(40));
    assert_eq!(queue.next_due(&account()).unwrap(), Some(at(40)));
}

pub fn an_intent_hides_its_calls_from_the_next_lease(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2)], at(0));
    let batch = queue.intend(&seqs[..1], at(3)).unwrap();
    assert_eq!(find(queue, 1).state, State::Sending { batch, since: at(3) });
    assert_eq!(lease(queue, at(3)), [seqs[1]]);
}

pub fn every_intent_has_a_batch_of_its_own(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2)], at(0));
    let first = queue.intend(&seqs[..1], at(0)).unwrap();
    let second = queue.intend(&seqs[1..], at(0)).unwrap();
    assert_ne!(first, second);
}

pub fn an_intent_is_made_for_all_of_its_calls_or_for_none(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2)], at(0));
    queue.intend(&seqs[..1], at(0)).unwrap();
    let before = (find(queue, 1), find(queue, 2), queue.stats().unwrap());
    assert!(matches!(queue.intend(&[seqs[1], seqs[0]], at(1)), Err(Error::Transition { .. })));
    assert!(matches!(queue.intend(&[seqs[1], seqs[1]], at(1)), Err(Error::Transition { .. })));
    assert!(matches!(queue.intend(&[seqs[1], Seq(999)], at(1)), Err(Error::Absent(Seq(999)))));
    assert_eq!((find(queue, 1), find(queue, 2), queue.stats().unwrap()), before);
    assert_eq!(lease(queue, at(1)), [seqs[1]]);
}

pub fn every_step_of_the_table_is_taken_and_no_other(queue: &mut impl Queue) {
    let mut n = 0;
    for from in phases() {
        for to in phases() {
            n += 1;
            check_step(queue, n, from, to);
        }
    }
}

fn check_step(queue: &mut impl Queue, n: u32, from: Phase, to: Phase) {
    let seq = reach(queue, n, from);
    let before = (find(queue, n), queue.stats().unwrap());
    assert_eq!(before.0.state.phase(), from);
    let outcome = queue.settle(vec![settlement(seq, state(to), at(1))], at(1));
    if TRANSITIONS.contains(&(from, to)) {
        assert!(outcome.is_ok(), "{from:?} to {to:?}");
        assert_eq!(find(queue, n).state, state(to));
    } else {
        let Err(Error::Transition { seq: refused, from: was, to: wanted }) = outcome else {
            panic!("{from:?} to {to:?} was allowed")
        };
        assert_eq!((refused, was, wanted), (seq, from, to));
        assert_eq!((find(queue, n), queue.stats().unwrap()), before);
    }
    assert!(balances(&queue.stats().unwrap()), "{from:?} to {to:?}");
}

/// Brings a new call into `phase` on allowed ways.
fn reach(queue: &mut impl Queue, n: u32, phase: Phase) -> Seq {
    let mut new = call(n);
    new.record.skip = (phase == Phase::Skipped).then_some(Skip::Policy);
    let seqs = enqueue(queue, vec![new], at(0));
    if phase == Phase::Pending || phase == Phase::Skipped {
        return seqs[0];
    }
    queue.intend(&seqs, at(0)).unwrap();
    if phase != Phase::Sending {
        settle(queue, seqs[0], state(phase), at(1));
    }
    seqs[0]
}

fn phases() -> [Phase; 9] {
    [
        Phase::Pending,
        Phase::Sending,
        Phase::Sent,
        Phase::Unknown,
        Phase::Parked,
        Phase::Unsorted,
        Phase::Skipped,
        Phase::Expired,
        Phase::Dead,
    ]
}

fn state(phase: Phase) -> State {
    let (batch, since, at) = (BatchId(77), at(1), at(1));
    match phase {
        Phase::Pending => State::Pending,
        Phase::Sending => State::Sending { batch, since },
        Phase::Sent => sent(at),
        Phase::Unknown => State::Unknown { batch, since, looked: 1 },
        Phase::Parked => State::Parked { since },
        Phase::Unsorted => State::Unsorted { uid: Some("u".into()), at },
        Phase::Skipped => State::Skipped { reason: Skip::Policy, at },
        Phase::Expired => State::Expired { reason: "too old".into(), at },
        Phase::Dead => State::Dead { reason: "no such user".into(), at },
    }
}

pub fn a_settlement_records_what_was_learned(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1)], at(0));
    queue.intend(&seqs, at(0)).unwrap();
    let learned = Settlement {
        seq: seqs[0],
        state: State::Pending,
        next_at: at(30),
        last_error: Some("502 Bad Gateway".into()),
        attempted: true,
    };
    queue.settle(vec![learned], at(2)).unwrap();
    let item = find(queue, 1);
    assert_eq!((item.attempts, item.next_at), (1, at(30)));
    assert_eq!(item.last_error.as_deref(), Some("502 Bad Gateway"));
    assert_eq!(item.call, call(1));
    queue.intend(&seqs, at(30)).unwrap();
    settle(queue, seqs[0], State::Pending, at(40));
    let item = find(queue, 1);
    assert_eq!((item.attempts, item.last_error), (1, None));
}

pub fn settlements_are_applied_together_or_not_at_all(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2), call(3)], at(0));
    queue.intend(&seqs[..2], at(0)).unwrap();
    let before = (find(queue, 1), find(queue, 2), find(queue, 3), queue.stats().unwrap());
    let bad = settlement(seqs[2], sent(at(1)), at(1));
    let good = settlement(seqs[0], sent(at(1)), at(1));
    let other = settlement(seqs[1], State::Parked { since: at(1) }, at(1));
    assert!(queue.settle(vec![good.clone(), bad, other.clone()], at(1)).is_err());
    let absent = settlement(Seq(999), State::Pending, at(1));
    assert!(queue.settle(vec![good.clone(), other.clone(), absent], at(1)).is_err());
    assert_eq!((find(queue, 1), find(queue, 2), find(queue, 3), queue.stats().unwrap()), before);
    assert_eq!(lease(queue, at(1)), [seqs[2]]);
    queue.settle(vec![good, other], at(1)).unwrap();
    assert_eq!(find(queue, 1).state, sent(at(1)));
    assert_eq!(find(queue, 2).state, State::Parked { since: at(1) });
}

pub fn two_settlements_of_one_call_follow_one_another(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1)], at(0));
    queue.intend(&seqs, at(0)).unwrap();
    let parked = settlement(seqs[0], State::Parked { since: at(0) }, at(1));
    let expired = settlement(seqs[0], state(Phase::Expired), at(1));
    assert!(queue.settle(vec![expired.clone(), parked.clone()], at(1)).is_err());
    queue.settle(vec![parked, expired], at(1)).unwrap();
    assert_eq!(find(queue, 1).state, state(Phase::Expired));
    let stats = queue.stats().unwrap();
    assert_eq!((stats.ended, stats.by_phase[&Phase::Expired]), (1, 1));
}

pub fn an_absent_call_is_refused_by_its_number(queue: &mut impl Queue) {
    let outcome = queue.settle(vec![settlement(Seq(41), State::Pending, at(0))], at(0));
    assert!(matches!(outcome, Err(Error::Absent(Seq(41)))));
}

pub fn intents_of_a_process_that_is_gone_become_unknown(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2), call(3)], at(0));
    let batch = queue.intend(&seqs[..2], at(1)).unwrap();
    assert_eq!(queue.adopt(at(90)).unwrap(), 2);
    let item = find(queue, 2);
    assert_eq!(item.state, State::Unknown { batch, since: at(1), looked: 0 });
    assert_eq!((item.attempts, item.next_at), (1, at(90)));
    assert_eq!(find(queue, 3).state, State::Pending);
    assert_eq!(queue.adopt(at(91)).unwrap(), 0);
    assert!(balances(&queue.stats().unwrap()));
}

pub fn an_unknown_outcome_is_looked_up_when_it_is_due(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2)], at(0));
    let batch = queue.intend(&seqs, at(0)).unwrap();
    settle(queue, seqs[0], State::Unknown { batch, since: at(0), looked: 0 }, at(60));
    settle(queue, seqs[1], State::Unknown { batch, since: at(0), looked: 0 }, at(50));
    let looked = |queue: &mut _, now| -> Vec<Seq> {
        Queue::unknown(queue, &account(), 50, now).unwrap().iter().map(|item| item.seq).collect()
    };
    assert_eq!(looked(queue, at(49)), []);
    assert_eq!(looked(queue, at(50)), [seqs[1]]);
    assert_eq!(looked(queue, at(60)), seqs);
    assert_eq!(lease(queue, at(60)), []);
    settle(queue, seqs[0], State::Unknown { batch, since: at(0), looked: 1 }, at(120));
    assert_eq!(looked(queue, at(60)), [seqs[1]]);
    settle(queue, seqs[1], sent(at(61)), at(61));
    assert_eq!(looked(queue, at(61)), []);
}

pub fn a_dead_call_that_is_revived_is_delivered_again(queue: &mut impl Queue) {
    for (n, phase) in [(1, Phase::Dead), (2, Phase::Expired)] {
        let seq = reach(queue, n, phase);
        settle(queue, seq, State::Pending, at(100));
        assert_eq!(lease(queue, at(100)), [seq]);
        assert!(balances(&queue.stats().unwrap()));
        queue.intend(&[seq], at(100)).unwrap();
        settle(queue, seq, sent(at(101)), at(101));
    }
    let stats = queue.stats().unwrap();
    assert_eq!((stats.ended, stats.by_phase.len(), stats.by_phase[&Phase::Sent]), (2, 1, 2));
}

pub fn the_ledger_balances_after_every_step(queue: &mut impl Queue) {
    for (n, phase) in (1..).zip(phases()) {
        reach(queue, n, phase);
        assert!(balances(&queue.stats().unwrap()), "{phase:?}");
    }
    let stats = queue.stats().unwrap();
    assert_eq!(stats.ended, 9);
    assert!(phases().iter().all(|phase| stats.by_phase[phase] == 1), "{stats:?}");
    let waiting = phases().iter().filter(|phase| waits(**phase)).count();
    assert_eq!(waiting, 4);
}

pub fn the_oldest_call_that_waits_is_known(queue: &mut impl Queue) {
    assert_eq!(queue.stats().unwrap(), Stats::default());
    let seqs = enqueue(queue, vec![call(1)], at(0));
    enqueue(queue, vec![call(2)], at(0).after(Duration::from_secs(7)));
    assert_eq!(queue.stats().unwrap().oldest, Some(at(0)));
    queue.intend(&seqs, at(8)).unwrap();
    settle(queue, seqs[0], sent(at(9)), at(9));
    assert_eq!(queue.stats().unwrap().oldest, Some(at(7)));
}
