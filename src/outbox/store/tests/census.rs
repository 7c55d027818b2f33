//! Trees that sled gave back of different moments.

use super::*;
use crate::outbox::store::draft::LEDGER;
use crate::outbox::store::trees::call_key;

fn forget_name(n: u32) -> impl FnOnce(&Trees) {
    move |trees| {
        let mut change = Change::default();
        change.remove(Tree::Ids, call_key(&call(n).record.call_id));
        trees.commit(&change).unwrap();
    }
}

/// Opens the store again, where `n` calls came, and each must be known and counted once.
fn assert_whole(dir: &Path, n: u32) -> Store {
    let mut store = open(dir);
    for call in (1..=n).map(call) {
        assert!(store.find(&call.record.call_id).unwrap().is_some(), "{}", call.record.call_id);
        assert_eq!(store.enqueue(vec![call], at(1)).unwrap(), [Enqueued::Known]);
    }
    let stats = store.stats().unwrap();
    assert!(balances(&stats), "{stats:?}");
    assert_eq!(stats.ended, u64::from(n));
    let mut store = reopen(store, dir);
    assert_eq!(store.opened(), Opened::default());
    assert_eq!(store.stats().unwrap(), stats);
    store
}

#[test]
fn waiting_calls_whose_names_the_database_lost_are_found_again() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, (1..=3).map(call).collect(), at(0));
    drop(store);
    tamper(dir.path(), forget_name(2));
    assert_eq!(find(&mut assert_whole(dir.path(), 3), 2).seq, seqs[1]);
}

#[test]
fn a_done_call_of_which_the_name_alone_is_left_is_known_again() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, (1..=3).map(call).collect(), at(0));
    send(&mut store, seqs[1], at(1));
    drop(store);
    tamper(dir.path(), |trees| erase(trees, Tree::History, seqs[1]));
    let item = find(&mut assert_whole(dir.path(), 3), 2);
    assert_eq!((item.seq, item.state.phase()), (seqs[1], Phase::Sent));
}

#[test]
fn a_done_call_without_its_name_is_named_again_and_there_once() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, (1..=3).map(call).collect(), at(0));
    send(&mut store, seqs[1], at(1));
    drop(store);
    tamper(dir.path(), forget_name(2));
    let mut store = assert_whole(dir.path(), 3);
    assert_eq!(find(&mut store, 2).state, sent(at(1)), "it is the one that lay there");
    assert_eq!(store.trees.iter(Tree::History).count(), 1);
}

#[test]
fn a_ledger_of_another_moment_than_the_calls_is_brought_to_what_is_there() {
    for (ended, sent) in [(1, 0), (3, 0), (3, 2)] {
        let (mut store, dir) = new();
        let seqs = enqueue(&mut store, (1..=3).map(call).collect(), at(0));
        send(&mut store, seqs[1], at(1));
        drop(store);
        tamper(dir.path(), |trees| {
            let ledger = serde_json::json!({
                "v": 1, "ended": ended, "finals": {"sent": sent}, "next_seq": ended, "next_batch": 0, "kept": sent,
            });
            let mut change = Change::default();
            change.put(Tree::Meta, LEDGER, frame::encode(LEDGER, ledger.to_string().as_bytes()));
            trees.commit(&change).unwrap();
            // What makes a start look at everything.
            forget_name(3)(trees);
        });
        let mut store = assert_whole(dir.path(), 3);
        assert_eq!(store.stats().unwrap().by_phase[&Phase::Sent], 1, "{ended} {sent}");
    }
}
