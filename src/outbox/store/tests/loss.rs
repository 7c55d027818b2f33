//! What the database lost, damaged or does not understand.

use super::*;
use crate::folder;
use crate::outbox::store::hooked::Decision;

/// Changes the two lines of a stored call: the slip and the call itself.
fn edit_json(bytes: &mut Vec<u8>, edit: impl FnOnce(&mut serde_json::Value, &mut serde_json::Value)) {
    let frame = frame::decode(bytes).unwrap();
    let [mut slip, mut call] = json_lines(frame.payload);
    edit(&mut slip, &mut call);
    *bytes = frame::encode(frame.key, format!("{slip}\n{call}").as_bytes());
}

fn json_lines(payload: &[u8]) -> [serde_json::Value; 2] {
    let mut lines = payload.split(|byte| *byte == b'\n');
    [(); 2].map(|()| serde_json::from_slice(lines.next().unwrap()).unwrap())
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
    assert_eq!((stats.ended, stats.by_phase[&Phase::Pending]), (300, 299));
    assert_eq!((store.opened().remembered, stats.by_phase[&Phase::Sent]), (1, 1));
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
    revive(&mut store, 1, at(2));
    drop(store);
    tamper(dir.path(), |trees| erase(trees, Tree::Outbox, seqs[0]));
    let mut store = open(dir.path());
    assert_eq!(store.opened().refilled, 1);
    assert_eq!(leased(&mut store, at(3)), seqs);
    assert!(balances(&store.stats().unwrap()));
}

#[test]
fn a_loss_that_the_journal_cannot_mend_is_dug_for() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2)], at(0));
    drop(store);
    tamper(dir.path(), |trees| erase(trees, Tree::Outbox, seqs[0]));
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.opened().salvaged, 1);
    // Nothing says that it was not sent.
    assert_eq!(find(&mut store, 1).state.phase(), Phase::Unknown);
    assert_eq!(find(&mut store, 2).state, State::Pending);
    assert!(balances(&store.stats().unwrap()));
    assert_eq!(reopen(store, dir.path()).opened(), Opened::default());
}

#[test]
fn a_loss_that_nothing_can_mend_stays_visible() {
    let (mut store, dir) = new();
    enqueue(&mut store, vec![call(1)], at(0));
    drop(store);
    // The ledger knows of a call of which nothing else does.
    tamper(dir.path(), |trees| {
        let bytes = trees.get(Tree::Meta, b"ledger").unwrap().unwrap();
        let payload = frame::decode(&bytes).unwrap().payload;
        let mut ledger: serde_json::Value = serde_json::from_slice(payload).unwrap();
        ledger["ended"] = 2.into();
        let mut change = Change::default();
        change.put(Tree::Meta, b"ledger", frame::encode(b"ledger", ledger.to_string().as_bytes()));
        trees.commit(&change).unwrap();
    });
    let (log, _guard) = Log::capture(tracing::Level::ERROR);
    let mut store = open(dir.path());
    let stats = store.stats().unwrap();
    assert_eq!((stats.ended, stats.by_phase[&Phase::Pending]), (2, 1));
    assert!(log.text().contains("unaccounted for"), "{}", log.text());
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
fn what_was_perhaps_sent_is_as_the_hook_decided() {
    let (mut store, dir) = new();
    let seq = enqueue(&mut store, vec![call(1)], at(0))[0];
    drop(store);
    let mut before = Vec::new();
    tamper(dir.path(), |trees| {
        before = trees.get(Tree::Outbox, &seq_key(seq)).unwrap().unwrap().to_vec();
    });
    let mut store = open(dir.path());
    let mut told = call(1);
    told.record.phone = Some("100200".to_owned());
    let decision = Decision { seq, asked: call(1), told: told.clone() };
    assert_eq!(store.decide(&[decision], at(1)).unwrap(), 1);
    store.intend(&[seq], at(2)).unwrap();
    store.persist().unwrap();
    drop(store);
    // The database falls back to the time before both.
    tamper(dir.path(), |trees| overwrite(trees, Tree::Outbox, seq, |bytes| bytes.clone_from(&before)));
    let mut store = open(dir.path());
    let item = find(&mut store, 1);
    assert_eq!((item.state.phase(), item.call), (Phase::Unknown, told));
    assert!(balances(&store.stats().unwrap()));
}

#[test]
fn a_value_of_a_later_version_is_kept_untouched_among_the_dead() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1)], at(0));
    drop(store);
    let mut later = Vec::new();
    tamper(dir.path(), |trees| {
        overwrite(trees, Tree::Outbox, seqs[0], |bytes| {
            edit_json(bytes, |slip, _| slip["v"] = 2.into());
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
        move |bytes: &mut Vec<u8>| edit_json(bytes, |_, call| call["record"]["outcome"] = text.into())
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
    revive(&mut store, 1, at(2));
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
            edit_json(bytes, |slip, call| {
                slip["priority"] = 7.into();
                call["record"]["mood"] = "cheerful".into();
            });
        });
    });
    let mut store = open(dir.path());
    send(&mut store, seqs[0], at(1));
    let bytes = store.trees.get(Tree::History, &seq_key(seqs[0])).unwrap().unwrap();
    let [slip, call] = json_lines(frame::decode(&bytes).unwrap().payload);
    assert_eq!((&slip["priority"], &call["record"]["mood"]), (&7.into(), &"cheerful".into()));
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
fn a_damaged_database_is_left_as_it_is_by_whoever_only_looks_and_mended_by_a_start() {
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
        let Err(error) = Store::open_unrepaired(dir.path(), at(0)) else { panic!("it was opened") };
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("queue"));
    }
    let (log, _guard) = Log::capture(tracing::Level::ERROR);
    let mut store = open(dir.path());
    assert_eq!(store.opened(), Opened { repair: Some(Repair::Mended), ..Opened::default() });
    assert_eq!(find(&mut store, 1).state, State::Pending);
    let aside = dir.path().join("queue.quarantine-20261122T085320Z");
    assert!(aside.is_dir(), "{:?}", fs::read_dir(dir.path()).unwrap().collect::<Vec<_>>());
    let text = log.text();
    assert!(text.contains("queue.quarantine-") && text.contains("check the disk"), "{text}");
    assert_eq!(reopen(store, dir.path()).opened(), Opened::default());
}

#[test]
fn a_database_that_fell_back_sends_nothing_twice() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2), call(3)], at(0));
    let mut before = Vec::new();
    drop(store);
    tamper(dir.path(), |trees| {
        before.extend(seqs.iter().map(|seq| trees.get(Tree::Outbox, &seq_key(*seq)).unwrap().unwrap()));
    });
    let mut store = open(dir.path());
    send(&mut store, seqs[0], at(1));
    let batch = store.intend(&seqs[1..2], at(2)).unwrap();
    store.intend(&seqs[2..], at(2)).unwrap();
    store.settle(vec![settlement(seqs[2], State::Pending, at(3))], at(3)).unwrap();
    drop(store);
    tamper(dir.path(), |trees| {
        erase(trees, Tree::History, seqs[0]);
        for (seq, bytes) in seqs.iter().zip(&before) {
            let mut change = Change::default();
            change.put(Tree::Outbox, &seq_key(*seq), bytes);
            trees.commit(&change).unwrap();
        }
    });
    let mut store = open(dir.path());
    assert_eq!((store.opened().closed_again, store.opened().doubted), (1, 1));
    assert_eq!(find(&mut store, 1).state.phase(), Phase::Sent);
    assert_eq!(find(&mut store, 2).state, State::Unknown { batch, since: at(2), looked: 0 });
    assert_eq!(leased(&mut store, at(3)), seqs[2..], "its intent was released");
    assert_eq!(reopen(store, dir.path()).opened(), Opened::default());
}

#[test]
fn a_call_that_was_put_back_in_doubt_stays_in_doubt() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1)], at(0));
    store.intend(&seqs, at(2)).unwrap();
    drop(store);
    for _ in 0..3 {
        fs::remove_dir_all(dir.path().join("queue")).unwrap();
        let mut store = open(dir.path());
        assert_eq!(find(&mut store, 1).state.phase(), Phase::Unknown);
    }
}

#[test]
fn what_is_done_is_known_after_the_database_is_lost() {
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, (1..=300).map(call).collect(), at(0));
    for seq in &seqs[..200] {
        send(&mut store, *seq, at(1));
    }
    drop(store);
    fs::remove_dir_all(dir.path().join("queue")).unwrap();
    let mut store = open(dir.path());
    assert_eq!((store.opened().refilled, store.opened().remembered), (100, 200));
    let again = store.enqueue((1..=300).map(call).collect(), at(2)).unwrap();
    assert!(again.iter().all(|answer| *answer == Enqueued::Known));
    assert_eq!(leased(&mut store, at(2)).len(), 50);
    assert!(balances(&store.stats().unwrap()));
    assert_eq!(reopen(store, dir.path()).opened(), Opened::default());
}

#[test]
fn a_database_that_was_cut_is_mended() {
    let (mut store, dir) = new();
    enqueue(&mut store, (0..500).map(call).collect(), at(0));
    drop(store);
    let db = dir.path().join("queue/db");
    let whole = fs::read(&db).unwrap();
    for eighths in [1, 4, 7] {
        let copy = tempfile::tempdir().unwrap();
        folder::copy(dir.path(), copy.path());
        fs::write(copy.path().join("queue/db"), &whole[..whole.len() / 8 * eighths]).unwrap();
        assert_mended(&mut open(copy.path()));
    }
}

fn assert_mended(store: &mut Store) {
    assert!((0..500).all(|n| find(store, n).call == call(n)));
    assert_eq!(store.lease(&account(), 5000, at(0)).unwrap().len(), 500);
    let again = store.enqueue((0..500).map(call).collect(), at(0)).unwrap();
    assert!(again.iter().all(|answer| *answer == Enqueued::Known));
    assert!(balances(&store.stats().unwrap()));
}

#[test]
fn a_call_that_is_open_stays_in_the_journal_however_old() {
    const DAY: i64 = 86_400;
    let (mut store, dir) = new();
    let seqs = enqueue(&mut store, vec![call(1), call(2), call(3), call(4)], at(0));
    store.intend(&seqs[1..2], at(1)).unwrap();
    send(&mut store, seqs[2], at(1));
    store.intend(&seqs[3..], at(1)).unwrap();
    let dead = State::Dead { reason: "no".into(), at: at(2) };
    let refused = Settlement { attempted: true, ..settlement(seqs[3], dead, at(2)) };
    store.settle(vec![refused], at(2)).unwrap();
    for day in 1..=40 {
        enqueue(&mut store, vec![call(100 + u32::try_from(day).unwrap())], at(day * DAY));
    }
    drop(store);
    assert_eq!(fs::read_dir(dir.path().join("journal")).unwrap().count(), 14);
    fs::remove_dir_all(dir.path().join("queue")).unwrap();
    let mut store = Store::open(dir.path(), at(41 * DAY)).unwrap();
    assert_eq!(store.opened().refilled, 43);
    assert_eq!(find(&mut store, 1).state, State::Pending);
    assert_eq!(find(&mut store, 1).enqueued_at, at(0));
    assert_eq!(find(&mut store, 2).state.phase(), Phase::Unknown);
    assert!(store.find(&call(3).record.call_id).unwrap().is_none(), "it is done, and older than all files");
    assert_eq!(find(&mut store, 4).state.phase(), Phase::Unknown, "it may have been stored");
}

#[test]
fn a_database_that_was_large_once_is_made_small() {
    let (mut store, dir) = new();
    for hundred in 0..20 {
        let seqs = enqueue(&mut store, (hundred * 100..hundred * 100 + 100).map(call).collect(), at(0));
        store.intend(&seqs, at(1)).unwrap();
        let settle = |seq: &Seq| settlement(*seq, sent(at(2)), at(2));
        store.settle(seqs.iter().map(settle).collect(), at(2)).unwrap();
    }
    enqueue(&mut store, vec![call(5000)], at(3));
    store.put(Shelf::Tokens, "default", b"t0ken").unwrap();
    let limits = Limits { age: Duration::from_secs(1000), count: 10 };
    while store.sweep(limits, at(3)).unwrap() {}
    store.persist().unwrap();
    let stats = store.stats().unwrap();
    let size = |dir: &Path| fs::metadata(dir.join("queue/db")).unwrap().len();
    let before = size(dir.path());
    let ground = store.ground.clone();
    // Earlier than that, the journal says what the history has forgotten.
    let month = at(31 * 86_400);
    let store = ground.shrink(store, month, before + 1).unwrap();
    assert_eq!(size(dir.path()), before, "it is not large enough");
    let mut store = ground.shrink(store, month, before).unwrap();
    assert!(size(dir.path()) < before / 2, "{} of {before}", size(dir.path()));
    assert_eq!(store.stats().unwrap(), stats);
    assert_eq!(store.get(Shelf::Tokens, "default").unwrap().unwrap(), b"t0ken");
    assert_eq!(find(&mut store, 5000).state, State::Pending);
    assert_eq!(find(&mut store, 1999).state, sent(at(2)));
    drop(ground);
    drop(store);
    assert_eq!(Store::open(dir.path(), month).unwrap().stats().unwrap(), stats);
}
