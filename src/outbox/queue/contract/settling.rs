//! The steps that a call may take.

use crate::call::id::AccountId;
use crate::outbox::errand::Errand;
use crate::outbox::queue::contract::{
    account, at, balances, call, enqueue, find, lease, phases, reach, sent, settle, settlement, state,
};
use crate::outbox::queue::{Error, Phase, Queue, Seq, Settlement, State, TRANSITIONS};

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
    let is_a_persons = matches!(from, Phase::Dead | Phase::Expired);
    if TRANSITIONS.contains(&(from, to)) && !is_a_persons {
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

pub fn a_settlement_records_what_was_learned(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1)], at(0));
    queue.intend(&seqs, at(0)).unwrap();
    let learned = Settlement {
        seq: seqs[0],
        state: State::Pending,
        next_at: at(30),
        last_error: Some("502 Bad Gateway".into()),
        attempted: true,
        errand: Errand::default(),
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
    assert_eq!(queue.adopt(&AccountId::new("other").unwrap(), at(89)).unwrap(), 0);
    assert_eq!(queue.adopt(&account(), at(90)).unwrap(), 2);
    let item = find(queue, 2);
    assert_eq!(item.state, State::Unknown { batch, since: at(1), looked: 0 });
    assert_eq!((item.attempts, item.next_at), (1, at(90)));
    assert_eq!(find(queue, 3).state, State::Pending);
    assert_eq!(queue.adopt(&account(), at(91)).unwrap(), 0);
    assert!(balances(&queue.stats().unwrap()));
}

pub fn the_moment_of_parking_is_kept(queue: &mut impl Queue) {
    let seq = enqueue(queue, vec![call(1)], at(0))[0];
    let steps = [
        (State::Parked { since: at(5) }, None),
        (state(Phase::Unknown), Some(at(5))),
        (State::Pending, Some(at(5))),
        (State::Parked { since: at(9) }, Some(at(5))),
        (state(Phase::Expired), Some(at(5))),
    ];
    for (state, expected) in steps {
        if matches!(find(queue, 1).state, State::Pending | State::Parked { .. })
            && !matches!(state, State::Expired { .. })
        {
            queue.intend(&[seq], at(0)).unwrap();
        }
        settle(queue, seq, state.clone(), at(0));
        assert_eq!(find(queue, 1).parked_since, expected, "{state:?}");
    }
}

pub fn whoever_settles_revives_no_call(queue: &mut impl Queue) {
    for (n, phase) in [(1, Phase::Dead), (2, Phase::Expired)] {
        let seq = reach(queue, n, phase);
        let before = (find(queue, n), queue.stats().unwrap());
        let outcome = queue.settle(vec![settlement(seq, State::Pending, at(100))], at(100));
        let refused = Error::Transition { seq, from: phase, to: Phase::Pending };
        assert_eq!(outcome.unwrap_err().to_string(), refused.to_string());
        assert_eq!((find(queue, n), queue.stats().unwrap()), before);
        assert_eq!(lease(queue, at(100)), []);
    }
}
