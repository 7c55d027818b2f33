//! The contract on sled, and what only a store on disk must do.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::call::record::{Moment, Outcome, Skip, What};
use crate::call::why::{PartialRule, Why};
use crate::captured_log::Log;
use crate::outbox::errand::{Errand, Sound};
use crate::outbox::queue::contract::{self, account, at, balances, call, enqueue, sent, settlement};
use crate::outbox::queue::{Phase, State};
use crate::outbox::schedule::person::{Deed, Intervention, Verdict};
use crate::outbox::store::history::Limits;
use crate::outbox::store::trees::{Change, seq_key};

mod amend;
mod census;
mod loss;
mod thread;

contract::tests!(new());

pub(super) fn new() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (open(dir.path()), dir)
}

fn open(dir: &Path) -> Store {
    Store::open(dir, at(0)).unwrap()
}

pub(super) fn reopen(store: Store, dir: &Path) -> Store {
    drop(store);
    open(dir)
}

fn find(store: &mut Store, n: u32) -> Item {
    store.find(&call(n).record.call_id).unwrap().expect("the call is there")
}

fn send(store: &mut Store, seq: Seq, now: HostTime) {
    store.intend(&[seq], now).unwrap();
    store.settle(vec![settlement(seq, sent(now), now)], now).unwrap();
}

fn leased(store: &mut Store, now: HostTime) -> Vec<Seq> {
    store.lease(&account(), 50, now).unwrap().iter().map(|item| item.seq).collect()
}

/// A person takes call `n` up again.
fn revive(store: &mut Store, n: u32, now: HostTime) {
    let retry = Intervention { deed: Deed::Retry, by: "anna (uid 7)".to_owned(), why: None };
    assert_eq!(store.intervene(&retry, &[call(n).record.call_id], now).unwrap(), [Verdict::Done]);
}

/// Changes the database behind the store's back.
fn tamper(dir: &Path, change: impl FnOnce(&Trees)) {
    let trees = Trees::open(&dir.join("queue")).unwrap();
    change(&trees);
    trees.flush().unwrap();
}

fn overwrite(trees: &Trees, tree: Tree, seq: Seq, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = trees.get(tree, &seq_key(seq)).unwrap().unwrap().to_vec();
    edit(&mut bytes);
    let mut change = Change::default();
    change.put(tree, &seq_key(seq), bytes);
    trees.commit(&change).unwrap();
}

fn erase(trees: &Trees, tree: Tree, seq: Seq) {
    let mut change = Change::default();
    change.remove(tree, &seq_key(seq));
    trees.commit(&change).unwrap();
}

#[test]
fn a_call_that_is_known_is_told_by_its_id() {
    let (mut store, _dir) = new();
    enqueue(&mut store, vec![call(1)], at(0));
    let (log, _guard) = Log::capture(tracing::Level::DEBUG);
    store.enqueue(vec![call(1)], at(1)).unwrap();
    let text = log.text();
    assert!(text.contains("call is known") && text.contains("default-1.1"), "{text}");
}

#[test]
fn everything_is_there_after_a_restart() {
    let (mut store, dir) = new();
    let mut skipped = call(4);
    skipped.record.skip = Some(Skip::Anonymous);
    let seqs = enqueue(&mut store, vec![call(1), call(2), call(3), skipped], at(0));
    send(&mut store, seqs[0], at(1));
    let batch = store.intend(&[seqs[1]], at(2)).unwrap();
    let before: Vec<_> = (1..=4).map(|n| find(&mut store, n)).collect();
    let stats = store.stats().unwrap();
    let mut store = reopen(store, dir.path());
    let after: Vec<_> = (1..=4).map(|n| find(&mut store, n)).collect();
    assert_eq!((after, store.stats().unwrap(), store.opened()), (before, stats, Opened::default()));
    assert_eq!(leased(&mut store, at(3)), [seqs[2]]);
    assert_ne!(store.intend(&[seqs[2]], at(3)).unwrap(), batch);
    assert!(enqueue(&mut store, vec![call(5)], at(4))[0] > seqs[3]);
    assert_eq!(store.adopt(&account(), at(5)).unwrap(), 2);
}

#[test]
fn a_call_that_a_person_revives_is_delivered_and_has_all_its_time() {
    let (mut store, _dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2)], at(0));
    store.intend(&seqs, at(1)).unwrap();
    let parked = seqs.iter().map(|seq| settlement(*seq, State::Parked { since: at(1) }, at(1))).collect();
    store.settle(parked, at(1)).unwrap();
    let dead = State::Dead { reason: "no".into(), at: at(2) };
    let expired = State::Expired { reason: "old".into(), at: at(2) };
    let ended = [settlement(seqs[0], dead, at(2)), settlement(seqs[1], expired, at(2))];
    store.settle(ended.to_vec(), at(2)).unwrap();
    for (n, seq) in [(1, seqs[0]), (2, seqs[1])] {
        assert_eq!(find(&mut store, n).parked_since, Some(at(1)));
        revive(&mut store, n, at(100));
        assert_eq!(find(&mut store, n).parked_since, None);
        assert_eq!(leased(&mut store, at(100)), [seq]);
        assert!(balances(&store.stats().unwrap()));
        send(&mut store, seq, at(101));
    }
    let stats = store.stats().unwrap();
    assert_eq!((stats.ended, stats.by_phase.len(), stats.by_phase[&Phase::Sent]), (2, 1, 2));
}

#[test]
fn a_snapshot_that_was_never_finished_does_not_lock_us_out() {
    let (mut store, dir) = new();
    enqueue(&mut store, vec![call(1)], at(0));
    drop(store);
    let half = dir.path().join("queue/snap.00000000000000FF.generating");
    fs::write(&half, b"half a snapshot").unwrap();
    let mut store = open(dir.path());
    assert!(!half.exists());
    assert_eq!(find(&mut store, 1).state, State::Pending);
}

#[test]
fn a_store_that_is_held_says_by_whom() {
    let (store, dir) = new();
    let Err(error) = Store::open(dir.path(), at(0)) else { panic!("it was opened twice") };
    let text = error.to_string();
    let pid = format!("process {}", std::process::id());
    assert!(text.contains("LOCK") && text.contains("another ami2amo") && text.contains(&pid), "{text}");
    drop(store);
    open(dir.path());
}

#[test]
fn only_the_owner_may_look_into_the_store() {
    use std::os::unix::fs::PermissionsExt;
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("a/b");
    enqueue(&mut open(&dir), vec![call(1)], at(0));
    let check = |path: &str, mode: u32| {
        let found = fs::metadata(dir.join(path)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    };
    check("", 0o700);
    check("queue", 0o700);
    check("journal", 0o700);
    check("journal/2026-11-22.jsonl", 0o600);
    check("LOCK", 0o600);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let outer = tempfile::tempdir().unwrap();
    let file = outer.path().join("file");
    fs::write(&file, "").unwrap();
    let Err(error) = Store::open(&file.join("store"), at(0)) else { panic!("it was opened") };
    assert!(matches!(error, Error::Io { .. }));
    assert!(error.to_string().contains("file/store"));
}

#[test]
fn a_call_of_any_length_is_kept_in_eight_kilobytes() {
    let (mut store, dir) = new();
    let mut long = call(1);
    let moment = Moment { at: long.record.started_at, leg: 1, with: None, what: What::Rang };
    long.timeline.moments = vec![moment; 5000];
    long.record.uniqueids = (0..100).map(|n| format!("1.{n}")).collect();
    let seqs = enqueue(&mut store, vec![long.clone()], at(0));
    let bytes = store.trees.get(Tree::Outbox, &seq_key(seqs[0])).unwrap().unwrap();
    assert!(bytes.len() <= fit::VALUE_MAX);
    let mut store = reopen(store, dir.path());
    let item = find(&mut store, 1);
    assert_eq!(item.call.record, long.record);
    assert!(item.call.timeline.dropped > 0);
    assert_eq!(store.find_uniqueid(&PbxName::default(), "1.99").unwrap(), [item]);
}

#[test]
fn every_channel_leads_to_its_calls() {
    let (mut store, _dir) = new();
    let mut second = call(2);
    second.record.uniqueids.push("1.2".into());
    let seqs = enqueue(&mut store, vec![call(1), second], at(0));
    send(&mut store, seqs[0], at(1));
    let mut seqs_of = |uniqueid: &str| -> Vec<Seq> {
        let items = store.find_uniqueid(&PbxName::default(), uniqueid).unwrap();
        items.iter().map(|item| item.seq).collect()
    };
    assert_eq!(seqs_of("1.2"), seqs);
    assert_eq!(seqs_of("1.1"), seqs[..1]);
    assert_eq!(seqs_of("1"), []);
    let other = PbxName::new("other").unwrap();
    assert_eq!(store.find_uniqueid(&other, "1.2").unwrap(), []);
}

#[test]
fn the_history_forgets_by_age() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2), call(3)], at(0));
    send(&mut store, seqs[0], at(10));
    send(&mut store, seqs[1], at(20));
    let limits = Limits { age: Duration::from_secs(100), count: 1000 };
    assert!(!store.sweep(limits, at(110)).unwrap());
    assert!(store.sweep(limits, at(115)).unwrap());
    assert!(!store.sweep(limits, at(115)).unwrap());
    store.persist().unwrap();
    drop(store);
    // Earlier than that, the journal says what the history has forgotten.
    let mut store = Store::open(dir.path(), at(31 * 86_400)).unwrap();
    assert_eq!(store.find(&call(1).record.call_id).unwrap(), None);
    assert_eq!(store.find_uniqueid(&PbxName::default(), "1.2").unwrap(), []);
    assert_eq!(find(&mut store, 2).state, sent(at(20)));
    let stats = store.stats().unwrap();
    assert_eq!((stats.ended, stats.by_phase[&Phase::Sent], store.kept), (3, 2, 1));
    assert_eq!(store.trees.iter(Tree::Ids).count(), 8);
}

#[test]
fn the_history_forgets_by_number_some_at_a_time() {
    let (mut store, _dir) = new();
    let skipped = (0..600).map(|n| {
        let mut skipped = call(n);
        skipped.record.skip = Some(Skip::Internal);
        skipped
    });
    enqueue(&mut store, skipped.collect(), at(0));
    let limits = Limits { age: Duration::from_secs(100), count: 10 };
    assert!(store.sweep(limits, at(1)).unwrap());
    assert_eq!(store.kept, 600 - 256);
    while store.sweep(limits, at(1)).unwrap() {}
    assert_eq!((store.kept, store.trees.iter(Tree::History).count()), (10, 10));
    assert_eq!(store.trees.iter(Tree::Ids).count(), 40);
    assert!(store.find(&call(589).record.call_id).unwrap().is_none());
    assert!(store.find(&call(590).record.call_id).unwrap().is_some());
    assert!(balances(&store.stats().unwrap()));
}

#[test]
fn it_is_known_since_when_every_call_is_remembered() {
    let (mut store, _dir) = new();
    for n in 0..6 {
        let mut skipped = call(n);
        skipped.record.skip = Some(Skip::Internal);
        enqueue(&mut store, vec![skipped], at(100 + i64::from(n)));
    }
    let limits = |count| Limits { age: Duration::from_secs(1000), count };
    assert_eq!(store.remembers_within(limits(10), at(5000)).unwrap(), at(4000));
    while store.sweep(limits(3), at(500)).unwrap() {}
    // Those that came at 100, 101 and 102 are forgotten, and nothing that came later.
    assert_eq!(store.remembers_within(limits(3), at(500)).unwrap(), at(103));
    assert_eq!(store.remembers_within(limits(3), at(5000)).unwrap(), at(4000));
}

#[test]
fn shelves_keep_what_others_put_there() {
    let (mut store, dir) = new();
    store.put(Shelf::Tokens, "default", b"{\"v\":1}").unwrap();
    store.put(Shelf::Inflight, "default", b"other").unwrap();
    let mut store = reopen(store, dir.path());
    assert_eq!(store.get(Shelf::Tokens, "default").unwrap().unwrap(), b"{\"v\":1}");
    assert_eq!(store.get(Shelf::Inflight, "default").unwrap().unwrap(), b"other");
    store.remove(Shelf::Tokens, "default").unwrap();
    let store = reopen(store, dir.path());
    assert_eq!(store.get(Shelf::Tokens, "default").unwrap(), None);
}

#[test]
fn a_shelf_is_read_by_what_its_keys_begin_with() {
    let (mut store, dir) = new();
    let row = |key: &str, value: &str| (key.to_owned(), Some(value.as_bytes().to_vec()));
    let rows = [row("a/1", "x"), row("a/2", "y"), row("ab/1", "z")];
    store.place_all(Shelf::Tasks, &rows).unwrap();
    store.put(Shelf::Manners, "a/3", b"other").unwrap();
    let mut store = reopen(store, dir.path());
    let listed = |store: &Store, prefix: &str| -> Vec<String> {
        store.list(Shelf::Tasks, prefix).unwrap().into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(
        (listed(&store, "a/"), listed(&store, "b/")),
        (vec!["a/1".to_owned(), "a/2".to_owned()], vec![])
    );
    store.place_all(Shelf::Tasks, &[("a/1".to_owned(), None), row("a/2", "new")]).unwrap();
    store.persist().unwrap();
    let store = reopen(store, dir.path());
    assert_eq!(store.list(Shelf::Tasks, "a/").unwrap(), [("a/2".to_owned(), b"new".to_vec())]);
}

#[test]
fn a_task_is_found_in_the_ruins_of_a_database() {
    for shelf in [Shelf::Inflight, Shelf::Tokens, Shelf::Manners, Shelf::Tasks] {
        let framed = frame::encode(&shelf.frame_key("default/9161234567"), b"{}");
        let found = shelf::Shelved::read(frame::decode(&framed).unwrap()).unwrap();
        assert_eq!(
            (found.shelf, found.key.as_str(), found.value.as_slice()),
            (shelf, "default/9161234567", &b"{}"[..])
        );
    }
}

#[test]
fn a_pbx_that_is_configured_no_more_is_named() {
    let (mut store, dir) = new();
    let [msk, spb] = ["msk", "spb"].map(|name| PbxName::new(name).unwrap());
    assert_eq!(store.pin_pbx(&[msk.clone(), spb.clone()]).unwrap(), []);
    let mut store = reopen(store, dir.path());
    assert_eq!(store.pin_pbx(&[spb]).unwrap(), [msk]);
}

#[test]
fn where_room_is_scarce_calls_at_their_end_are_kept_without_what_explains_them() {
    let (mut store, _dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2)], at(0));
    store.spare = true;
    send(&mut store, seqs[0], at(1));
    let item = find(&mut store, 1);
    assert!(item.call.timeline.is_empty() && item.call.record.why.is_empty());
    assert_eq!(item.call.record.uniqueids, call(1).record.uniqueids);
    assert_eq!(find(&mut store, 2).call, call(2), "what waits is whole");
}

#[test]
fn what_is_owed_outlives_a_restart_and_ends_with_the_call() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2)], at(0));
    for seq in &seqs {
        send(&mut store, *seq, at(1));
    }
    let owe = |seq, sound| {
        let errand = Errand { sound: Some(sound), ..Errand::default() };
        Settlement { errand, ..settlement(seq, sent(at(1)), at(10)) }
    };
    let missing = Sound::Missing { since: at(1), tries: 0 };
    store.settle(seqs.iter().map(|seq| owe(*seq, missing.clone())).collect(), at(2)).unwrap();
    let mut store = reopen(store, dir.path());
    let owing = |store: &mut Store| store.owing(&account(), 50, at(10)).unwrap();
    assert_eq!(owing(&mut store).iter().map(|item| item.seq).collect::<Vec<_>>(), seqs);
    assert_eq!(store.next_due(&account()).unwrap(), Some(at(10)));
    store.settle(vec![owe(seqs[0], Sound::Added { file: "a".to_owned() })], at(10)).unwrap();
    let mut store = reopen(store, dir.path());
    assert_eq!(owing(&mut store).iter().map(|item| item.seq).collect::<Vec<_>>(), [seqs[1]]);
    let keys = |store: &Store| store.trees.keys_from(Tree::Ids, b"o").count();
    assert_eq!(keys(&store), 1);
    // The call leaves the history, and with it what was owed.
    store.sweep(Limits { age: Duration::ZERO, count: 0 }, at(100)).unwrap();
    assert_eq!(keys(&store), 0);
    assert_eq!(owing(&mut store), []);
    assert!(store.stats().unwrap().by_phase.values().sum::<u64>() == 2);
}
