//! Which calls a queue gives out, and when.

use crate::call::id::AccountId;
use crate::outbox::queue::contract::{account, at, call, enqueue, lease, sent, settle};
use crate::outbox::queue::{Queue, Seq, State};

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
