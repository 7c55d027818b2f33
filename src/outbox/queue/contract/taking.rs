//! What a queue does with calls that come.

use crate::call::id::{CallId, PbxName};
use crate::call::record::Skip;
use crate::outbox::queue::contract::{account, at, call, enqueue, find, lease, sent, settle};
use crate::outbox::queue::{Enqueued, Queue, State};

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
