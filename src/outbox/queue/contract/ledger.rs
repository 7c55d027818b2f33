//! What a queue counts.

use std::time::Duration;

use crate::outbox::queue::contract::{at, balances, call, enqueue, phases, reach, sent, settle};
use crate::outbox::queue::{Queue, Stats};
use crate::outbox::schedule::waits;

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
