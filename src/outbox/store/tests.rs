//! The contract on sled, and what only a store on disk must do.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::call::record::{Moment, Skip, What};
use crate::outbox::queue::contract::{self, account, at, balances, call, enqueue, sent, settlement};
use crate::outbox::queue::{Phase, State};
use crate::outbox::store::history::Limits;
use crate::outbox::store::trees::{Change, seq_key};

mod thread;

contract::tests!(new());

fn new() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (open(dir.path()), dir)
}

fn open(dir: &Path) -> Store {
    Store::open(dir, at(0)).unwrap()
}

fn reopen(store: Store, dir: &Path) -> Store {
    drop(store);
    open(dir)
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

/// Changes the JSON of a stored call.
fn edit_json(bytes: &mut Vec<u8>, edit: impl FnOnce(&mut serde_json::Value)) {
    let frame = frame::decode(bytes).unwrap();
    let mut json = serde_json::from_slice(frame.payload).unwrap();
    edit(&mut json);
    *bytes = frame::encode(frame.key, json.to_string().as_bytes());
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
    assert_eq!(store.adopt(at(5)).unwrap(), 2);
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
fn calls_that_the_database_lost_come_back_from_the_journal() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2), call(3), call(4)], at(0));
    let batch = store.intend(&seqs[1..2], at(2)).unwrap();
    send(&mut store, seqs[3], at(3));
    let before = (find(&mut store, 1), store.stats().unwrap());
    drop(store);
    tamper(dir.path(), |trees| seqs.iter().for_each(|seq| erase(trees, Tree::Outbox, *seq)));
    let mut store = open(dir.path());
    assert_eq!(store.opened().refilled, 3);
    assert_eq!(find(&mut store, 1), before.0);
    let item = find(&mut store, 2);
    assert_eq!(item.state, State::Unknown { batch, since: at(2), looked: 0 });
    assert_eq!((item.seq, item.attempts), (seqs[1], 1));
    assert_eq!(leased(&mut store, at(3)), [seqs[0], seqs[2]]);
    let stats = store.stats().unwrap();
    assert!(balances(&stats));
    assert_eq!(stats.ended, before.1.ended);
    let store = reopen(store, dir.path());
    assert_eq!(store.opened(), Opened::default());
}

#[test]
fn a_new_database_is_filled_from_the_journal() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, (1..=300).map(call).collect(), at(0));
    send(&mut store, seqs[0], at(1));
    let dead = State::Dead { reason: "no".into(), at: at(1) };
    store.settle(vec![settlement(seqs[1], dead, at(1))], at(1)).unwrap();
    drop(store);
    fs::remove_dir_all(dir.path().join("queue")).unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.opened().refilled, 299);
    let stats = store.stats().unwrap();
    assert_eq!((stats.ended, stats.by_phase[&Phase::Pending]), (299, 299));
    assert_eq!(store.lease(&account(), 500, at(1)).unwrap().len(), 299);
    assert_eq!(find(&mut store, 300).seq, seqs[299]);
    assert!(store.enqueue(vec![call(7)], at(2)).unwrap() == [Enqueued::Known]);
    assert!(enqueue(&mut store, vec![call(301)], at(2))[0] > seqs[299]);
}

#[test]
fn a_revived_call_is_in_the_journal_again() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1)], at(0));
    let expired = State::Expired { reason: "old".into(), at: at(1) };
    store.settle(vec![settlement(seqs[0], expired, at(1))], at(1)).unwrap();
    store.settle(vec![settlement(seqs[0], State::Pending, at(2))], at(2)).unwrap();
    drop(store);
    tamper(dir.path(), |trees| erase(trees, Tree::Outbox, seqs[0]));
    let mut store = open(dir.path());
    assert_eq!(store.opened().refilled, 1);
    assert_eq!(leased(&mut store, at(3)), seqs);
    assert!(balances(&store.stats().unwrap()));
}

#[test]
fn a_loss_that_nothing_can_mend_stays_visible() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2)], at(0));
    drop(store);
    tamper(dir.path(), |trees| erase(trees, Tree::Outbox, seqs[0]));
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    let mut store = open(dir.path());
    let stats = store.stats().unwrap();
    assert_eq!((stats.ended, stats.by_phase[&Phase::Pending]), (2, 1));
}

#[test]
fn a_damaged_value_is_set_aside_and_its_call_put_back() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2)], at(0));
    drop(store);
    let damage = |bytes: &mut Vec<u8>| bytes[40] ^= 1;
    tamper(dir.path(), |trees| overwrite(trees, Tree::Outbox, seqs[0], damage));
    let mut store = open(dir.path());
    assert_eq!((store.opened().unreadable, store.opened().refilled), (1, 1));
    let item = find(&mut store, 1);
    assert_eq!((item.state, item.call), (State::Pending, call(1)));
    let stats = store.stats().unwrap();
    assert!(balances(&stats));
    assert_eq!((stats.by_phase[&Phase::Dead], stats.by_phase[&Phase::Pending]), (1, 2));
    assert!(store.trees.get(Tree::Dead, &seq_key(seqs[0])).unwrap().is_some());
}

#[test]
fn a_value_of_a_later_version_is_kept_untouched_among_the_dead() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1)], at(0));
    drop(store);
    let mut later = Vec::new();
    tamper(dir.path(), |trees| {
        overwrite(trees, Tree::Outbox, seqs[0], |bytes| {
            edit_json(bytes, |json| json["v"] = 2.into());
            later.clone_from(bytes);
        });
    });
    let mut store = open(dir.path());
    assert_eq!((store.opened().unreadable, store.opened().refilled), (1, 0));
    let kept = store.trees.get(Tree::Dead, &seq_key(seqs[0])).unwrap().unwrap();
    assert_eq!(kept, later);
    assert_eq!(store.stats().unwrap().by_phase[&Phase::Dead], 1);
    assert!(store.find(&call(1).record.call_id).is_err());
    assert!(store.alive().is_ok());
}

#[test]
fn a_call_in_unknown_words_holds_nobody_up_and_can_be_revived() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2)], at(0));
    drop(store);
    let outcome = |text: &'static str| {
        move |bytes: &mut Vec<u8>| edit_json(bytes, |json| json["call"]["record"]["outcome"] = text.into())
    };
    tamper(dir.path(), |trees| overwrite(trees, Tree::Outbox, seqs[0], outcome("teleported")));
    let mut store = open(dir.path());
    assert_eq!(leased(&mut store, at(1)), [seqs[1]]);
    let stats = store.stats().unwrap();
    assert!(balances(&stats));
    assert_eq!(stats.by_phase[&Phase::Dead], 1);
    drop(store);
    tamper(dir.path(), |trees| overwrite(trees, Tree::Dead, seqs[0], outcome("answered")));
    let mut store = open(dir.path());
    assert_eq!(find(&mut store, 1).state.phase(), Phase::Dead);
    store.settle(vec![settlement(seqs[0], State::Pending, at(2))], at(2)).unwrap();
    assert_eq!(leased(&mut store, at(2)), seqs);
    assert!(balances(&store.stats().unwrap()));
}

#[test]
fn keys_that_a_later_program_wrote_outlive_every_step() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1)], at(0));
    drop(store);
    tamper(dir.path(), |trees| {
        overwrite(trees, Tree::Outbox, seqs[0], |bytes| {
            edit_json(bytes, |json| {
                json["priority"] = 7.into();
                json["call"]["record"]["mood"] = "cheerful".into();
            });
        });
    });
    let mut store = open(dir.path());
    send(&mut store, seqs[0], at(1));
    let bytes = store.trees.get(Tree::History, &seq_key(seqs[0])).unwrap().unwrap();
    let payload = frame::decode(&bytes).unwrap().payload;
    let json: serde_json::Value = serde_json::from_slice(payload).unwrap();
    assert_eq!((&json["priority"], &json["call"]["record"]["mood"]), (&7.into(), &"cheerful".into()));
}

#[test]
fn a_call_of_any_length_is_kept_in_eight_kilobytes() {
    let (mut store, dir) = new();
    let mut long = call(1);
    let moment = Moment { at: long.record.started_at, leg: 1, what: What::Rang };
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
    let mut store = reopen(store, dir.path());
    assert_eq!(store.find(&call(1).record.call_id).unwrap(), None);
    assert_eq!(store.find_uniqueid(&PbxName::default(), "1.2").unwrap(), []);
    assert_eq!(find(&mut store, 2).state, sent(at(20)));
    let stats = store.stats().unwrap();
    assert_eq!((stats.ended, stats.by_phase[&Phase::Sent], store.kept), (3, 2, 1));
    assert_eq!(store.trees.iter(Tree::Ids).count(), 6);
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
    assert_eq!(store.trees.iter(Tree::Ids).count(), 30);
    assert!(store.find(&call(589).record.call_id).unwrap().is_none());
    assert!(store.find(&call(590).record.call_id).unwrap().is_some());
    assert!(balances(&store.stats().unwrap()));
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
fn a_pbx_that_is_configured_no_more_is_named() {
    let (mut store, dir) = new();
    let [msk, spb] = ["msk", "spb"].map(|name| PbxName::new(name).unwrap());
    assert_eq!(store.pin_pbx(&[msk.clone(), spb.clone()]).unwrap(), []);
    let mut store = reopen(store, dir.path());
    assert_eq!(store.pin_pbx(&[spb]).unwrap(), [msk]);
}

#[test]
fn a_store_of_a_later_program_is_left_alone() {
    let (store, dir) = new();
    drop(store);
    tamper(dir.path(), |trees| {
        let mut change = Change::default();
        change.put(Tree::Meta, b"schema", frame::encode(b"schema", b"{\"v\":9}"));
        trees.commit(&change).unwrap();
    });
    let Err(error) = Store::open(dir.path(), at(0)) else { panic!("it was opened") };
    assert!(matches!(error, Error::Newer { found: 9, .. }));
}

#[test]
fn a_damaged_database_is_reported_and_left_as_it_is() {
    let (mut store, dir) = new();
    enqueue(&mut store, vec![call(1)], at(0));
    // sled writes a snapshot when it opens a log that it has not seen whole.
    drop(reopen(store, dir.path()));
    for entry in fs::read_dir(dir.path().join("queue")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
            fs::write(path, [b'x'; 256]).unwrap();
        }
    }
    for _ in 0..2 {
        let Err(error) = Store::open(dir.path(), at(0)) else { panic!("it was opened") };
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("queue"));
    }
    assert!(dir.path().join("journal/2026-11-22.jsonl").exists());
}

#[test]
fn a_database_that_was_cut_is_refused_or_mended() {
    let (mut store, dir) = new();
    enqueue(&mut store, (0..500).map(call).collect(), at(0));
    drop(store);
    let db = dir.path().join("queue/db");
    let whole = fs::read(&db).unwrap();
    for eighths in [1, 4, 7] {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        fs::write(copy.path().join("queue/db"), &whole[..whole.len() / 8 * eighths]).unwrap();
        match Store::open(copy.path(), at(0)) {
            Ok(mut store) => assert_mended(&mut store),
            Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{error:?}"),
        }
    }
}

fn assert_mended(store: &mut Store) {
    assert!((0..500).all(|n| find(store, n).call == call(n)));
    assert_eq!(store.lease(&account(), 5000, at(0)).unwrap().len(), 500);
    let again = store.enqueue((0..500).map(call).collect(), at(0)).unwrap();
    assert!(again.iter().all(|answer| *answer == Enqueued::Known));
    assert!(balances(&store.stats().unwrap()));
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
