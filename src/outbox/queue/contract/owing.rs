//! What is owed to calls that are delivered.

use crate::call::id::AccountId;
use crate::outbox::errand::{Errand, Sound};
use crate::outbox::queue::contract::{account, at, balances, call, enqueue, find, lease, sent, settlement};
use crate::outbox::queue::{Queue, Seq, Settlement, State};
use crate::time::HostTime;

fn with(settlement: Settlement, sound: Sound) -> Settlement {
    let errand = Errand { sound: Some(sound), ..Errand::default() };
    Settlement { errand, ..settlement }
}

fn missing(seq: Seq, next_at: HostTime) -> Settlement {
    with(settlement(seq, sent(at(1)), next_at), Sound::Missing { since: at(1), tries: 0 })
}

/// Delivers new calls, and owes them their links from then on.
fn deliver(queue: &mut impl Queue, calls: &[(u32, i64)]) -> Vec<Seq> {
    let seqs = enqueue(queue, calls.iter().map(|(n, _)| call(*n)).collect(), at(0));
    queue.intend(&seqs, at(0)).unwrap();
    let settlements = seqs.iter().zip(calls).map(|(seq, (_, due))| missing(*seq, at(*due)));
    queue.settle(settlements.collect(), at(1)).unwrap();
    seqs
}

fn owing(queue: &mut impl Queue, now: i64) -> Vec<Seq> {
    queue.owing(&account(), 50, at(now)).unwrap().iter().map(|item| item.seq).collect()
}

pub fn what_is_owed_is_taken_up_when_it_is_due(queue: &mut impl Queue) {
    let seqs = deliver(queue, &[(1, 20), (2, 10), (3, 30)]);
    assert_eq!(queue.next_due(&account()).unwrap(), Some(at(10)));
    assert_eq!(owing(queue, 9), []);
    assert_eq!(owing(queue, 20), [seqs[1], seqs[0]]);
    assert_eq!(queue.owing(&account(), 1, at(30)).unwrap()[0].seq, seqs[1]);
    assert_eq!(queue.owing(&AccountId::new("other").unwrap(), 50, at(30)).unwrap(), []);
    assert_eq!(lease(queue, at(30)), [], "a delivered call is not sent again");
}

pub fn what_was_given_is_owed_no_more(queue: &mut impl Queue) {
    let seqs = deliver(queue, &[(1, 10), (2, 10), (3, 10)]);
    let before = queue.stats().unwrap();
    let added = Sound::Added { file: "a.mp3".to_owned() };
    let given_up = Sound::GivenUp { reason: "no file".to_owned() };
    queue.settle(vec![with(settlement(seqs[0], sent(at(1)), at(10)), added.clone())], at(10)).unwrap();
    queue.settle(vec![with(settlement(seqs[1], sent(at(1)), at(10)), given_up)], at(10)).unwrap();
    queue.settle(vec![missing(seqs[2], at(40))], at(10)).unwrap();
    assert_eq!(owing(queue, 39), []);
    assert_eq!(owing(queue, 40), [seqs[2]]);
    assert_eq!(find(queue, 1).errand.sound, Some(added));
    let stats = queue.stats().unwrap();
    assert!(balances(&stats) && stats == before, "{stats:?}");
}

pub fn a_call_that_waits_for_its_file_is_leased_later(queue: &mut impl Queue) {
    let seqs = enqueue(queue, vec![call(1), call(2)], at(0));
    let waits = settlement(seqs[0], State::Pending, at(5));
    queue.settle(vec![with(waits, Sound::Missing { since: at(0), tries: 0 })], at(0)).unwrap();
    assert_eq!(lease(queue, at(4)), [seqs[1]]);
    assert_eq!(lease(queue, at(5)), seqs);
    assert_eq!(owing(queue, 100), [], "it is not delivered");
}
