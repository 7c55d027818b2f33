//! Calls that are told anew.

use std::fs;
use std::time::Duration;

use super::*;
use crate::outbox::store::fsync::Kernel;
use crate::outbox::store::hooked::Decision;
use crate::outbox::store::open::{Care, Ground, Trust};
use crate::outbox::store::swap;

/// A call whose end nobody saw, held back for a minute and a half at 0.
fn held(store: &mut Store, n: u32) -> FinishedCall {
    let mut cut = call(n);
    cut.record.partial = true;
    cut.record.why.push(Why::Partial { rule: PartialRule::EndNotSeen });
    let hold = Duration::from_secs(90);
    let calls = [cut.clone(), call(n + 1)];
    store.take_in_with(&calls, &PbxName::default(), &[], at(0), hold).unwrap();
    store.persist().unwrap();
    cut
}

#[test]
fn a_call_that_was_cut_short_waits_for_who_knows_more() {
    let (mut store, dir) = new();
    let cut = held(&mut store, 1);
    let leased = |store: &mut Store, s: i64| -> Vec<FinishedCall> {
        let items = store.lease(&account(), 50, at(s)).unwrap();
        items.into_iter().map(|item| item.call).collect()
    };
    assert_eq!(leased(&mut store, 1), [call(2)], "others do not wait for it");
    let mut store = reopen(store, dir.path());
    assert_eq!(leased(&mut store, 80), [call(2)]);
    assert_eq!(leased(&mut store, 90), [cut, call(2)]);
}

#[test]
fn a_call_that_waits_is_told_anew_and_goes() {
    let (mut store, dir) = new();
    let cut = held(&mut store, 1);
    let mut told = cut.clone();
    told.record.outcome = Outcome::Busy;
    told.record.uniqueids.push("1.77".to_owned());
    let seq = store.find(&cut.record.call_id).unwrap().unwrap().seq;
    assert!(store.amend(seq, &told, at(5)).unwrap());
    store.persist().unwrap();
    let mut store = reopen(store, dir.path());
    let items = store.lease(&account(), 50, at(5)).unwrap();
    assert!(items.iter().any(|item| item.seq == seq && item.call == told));
    assert_eq!(store.find_uniqueid(&PbxName::default(), "1.77").unwrap().len(), 1);
    assert!(balances(&store.stats().unwrap()));
    // It is on its way, as any other call: nothing is changed any more.
    assert!(!store.amend(seq, &cut, at(6)).unwrap());
    drop(store);
    // A database that is made anew has it as it was told last.
    fs::remove_dir_all(dir.path().join("queue")).unwrap();
    let mut store = Store::open(dir.path(), at(7)).unwrap();
    assert_eq!(store.find(&cut.record.call_id).unwrap().unwrap().call, told);
}

#[test]
fn a_call_that_was_not_to_be_sent_is_when_it_is_told_anew() {
    let (mut store, dir) = new();
    let mut cut = call(1);
    cut.record.skip = Some(Skip::Policy);
    enqueue(&mut store, vec![cut.clone(), call(2)], at(0));
    let seq = find(&mut store, 1).seq;
    let mut told = cut.clone();
    told.record.uniqueids.push("1.77".to_owned());
    assert!(!store.amend(seq, &told, at(1)).unwrap(), "it is not to be sent still");
    told.record.skip = None;
    assert!(store.amend(seq, &told, at(2)).unwrap());
    assert!(!store.amend(seq, &told, at(3)).unwrap(), "it is on its way");
    store.persist().unwrap();
    let mut store = reopen(store, dir.path());
    let leased: Vec<_> =
        store.lease(&account(), 50, at(4)).unwrap().into_iter().map(|item| item.call).collect();
    assert_eq!(leased, [told.clone(), call(2)]);
    let stats = store.stats().unwrap();
    assert!(balances(&stats) && !stats.by_phase.contains_key(&Phase::Skipped), "{stats:?}");
    assert_eq!((store.kept, store.trees.iter(Tree::History).count()), (0, 0));
    assert_eq!(store.find_uniqueid(&PbxName::default(), "1.77").unwrap().len(), 1);
    drop(store);
    fs::remove_dir_all(dir.path().join("queue")).unwrap();
    let mut store = Store::open(dir.path(), at(5)).unwrap();
    assert_eq!((find(&mut store, 1).state, find(&mut store, 1).call), (State::Pending, told));
}

#[test]
fn the_hook_is_asked_about_what_is_told_anew() {
    let (mut store, _dir) = new();
    let cut = held(&mut store, 1);
    let seq = find(&mut store, 1).seq;
    let mut decided = cut.clone();
    decided.record.responsible = Some("105".to_owned());
    let decision = Decision { seq, asked: cut.clone(), told: decided };
    assert_eq!(store.decide(&[decision], at(90)).unwrap(), 1);
    // The PBX was away again: what its records say of the call comes first.
    assert_eq!(store.hold_again(&PbxName::default(), at(190), at(100)).unwrap(), 1);
    assert!(store.amend(seq, &cut, at(110)).unwrap());
    let unhooked = store.look_up_unhooked(&account(), 9, at(110)).unwrap();
    assert!(unhooked.iter().any(|item| item.seq == seq && item.call == cut), "{unhooked:?}");
}

fn leased(store: &mut Store, s: i64) -> Vec<FinishedCall> {
    store.lease(&account(), 50, at(s)).unwrap().into_iter().map(|item| item.call).collect()
}

#[test]
fn a_call_that_was_held_back_is_held_again_and_let_go() {
    let (mut store, dir) = new();
    let cut = held(&mut store, 1);
    let (pbx, hold) = (PbxName::default(), Duration::from_secs(90));
    // Its time passed while nobody ran.
    let mut store = reopen(store, dir.path());
    assert_eq!(store.hold_again(&pbx, at(590), at(500)).unwrap(), 1);
    assert_eq!(store.hold_again(&pbx, at(580), at(500)).unwrap(), 0, "no shorter than it is");
    store.persist().unwrap();
    let mut store = reopen(store, dir.path());
    assert_eq!(leased(&mut store, 589), [call(2)], "others do not wait");
    assert_eq!(leased(&mut store, 590), [cut.clone(), call(2)], "and it not for ever");
    // One that came a moment ago waits for records of its own.
    let mut fresh = cut.clone();
    fresh.record.call_id = call(7).record.call_id;
    store.take_in_with(std::slice::from_ref(&fresh), &pbx, &[], at(500), hold).unwrap();
    assert_eq!(store.let_go(&pbx, hold, at(510)).unwrap(), 1);
    assert_eq!(leased(&mut store, 510), [cut, call(2)]);
    assert!(balances(&store.stats().unwrap()));
}

#[test]
fn a_call_that_was_tried_or_is_another_pbx_s_is_not_held_again() {
    let (mut store, _dir) = new();
    held(&mut store, 1);
    let other = PbxName::new("other").unwrap();
    assert_eq!(store.hold_again(&other, at(600), at(100)).unwrap(), 0);
    let seq = find(&mut store, 1).seq;
    store.intend(&[seq], at(100)).unwrap();
    let tried = Settlement {
        seq,
        state: State::Pending,
        next_at: at(130),
        last_error: None,
        attempted: true,
        errand: Errand::default(),
    };
    store.settle(vec![tried], at(101)).unwrap();
    assert_eq!(store.hold_again(&PbxName::default(), at(600), at(102)).unwrap(), 0);
    assert_eq!(leased(&mut store, 130).len(), 2);
}

/// A call that was not to be sent, at 0, and is since it was told anew, at 2; and what was told.
fn skipped_and_told(dir: &Path, between: impl FnOnce()) -> FinishedCall {
    let mut told = call(1);
    told.record.skip = Some(Skip::Policy);
    let mut store = open(dir);
    let seq = enqueue(&mut store, vec![told.clone()], at(0))[0];
    drop(store);
    between();
    let mut store = open(dir);
    told.record.skip = None;
    told.record.uniqueids.push("1.77".to_owned());
    assert!(store.amend(seq, &told, at(2)).unwrap());
    store.persist().unwrap();
    told
}

/// The database is made anew of what is found in its bytes.
fn rebuilt(dir: &Path) -> Store {
    let ground = Ground::take(dir, Box::new(Kernel)).unwrap();
    ground.open(at(3), Trust::Ruined, Care::Repair).unwrap()
}

#[test]
fn bytes_of_a_time_when_it_was_not_to_be_sent_do_not_hold_a_call_back() {
    let dir = tempfile::tempdir().unwrap();
    let told = skipped_and_told(dir.path(), || {});
    let mut store = rebuilt(dir.path());
    assert_eq!(leased(&mut store, 4), [told]);
    assert!(balances(&store.stats().unwrap()), "{:?}", store.stats());
}

#[test]
fn a_database_that_knows_only_that_a_call_was_not_to_be_sent_gets_it_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, before) = (dir.path().join("queue"), dir.path().join("before"));
    let copy = || {
        fs::create_dir(&before).unwrap();
        swap::copy(&queue, &before).unwrap();
    };
    let told = skipped_and_told(dir.path(), copy);
    fs::remove_dir_all(&queue).unwrap();
    fs::rename(&before, &queue).unwrap();
    let mut store = rebuilt(dir.path());
    assert_eq!(leased(&mut store, 4), [told]);
    assert!(balances(&store.stats().unwrap()), "{:?}", store.stats());
}

#[test]
fn a_call_that_was_never_to_be_sent_stays_so_in_a_new_database() {
    let (mut store, dir) = new();
    let mut skipped = call(1);
    skipped.record.skip = Some(Skip::Policy);
    enqueue(&mut store, vec![skipped], at(0));
    drop(store);
    let mut store = rebuilt(dir.path());
    assert_eq!(leased(&mut store, 4), []);
    assert_eq!(store.stats().unwrap().by_phase, [(Phase::Skipped, 1)].into());
}

#[test]
fn a_call_of_shadow_mode_is_told_anew_and_never_sent() {
    let (mut store, dir) = new();
    for (n, (was, is)) in
        [(Skip::Shadow, None), (Skip::Shadow, Some(Skip::Shadow)), (Skip::Anonymous, Some(Skip::Shadow))]
            .into_iter()
            .enumerate()
    {
        let n = u32::try_from(n).unwrap() * 10 + 1;
        let mut cut = call(n);
        cut.record.skip = Some(was);
        store.enqueue(vec![cut.clone()], at(0)).unwrap();
        let seq = store.find(&cut.record.call_id).unwrap().unwrap().seq;
        let mut told = cut.clone();
        (told.record.skip, told.record.outcome) = (is, Outcome::Busy);
        assert!(store.amend(seq, &told, at(5)).unwrap(), "{was:?} {is:?}");
        store.persist().unwrap();
        store = reopen(store, dir.path());
        let item = store.find(&cut.record.call_id).unwrap().unwrap();
        assert!(matches!(item.state, State::Skipped { reason: Skip::Shadow, .. }), "{:?}", item.state);
        assert_eq!(item.call, told);
        assert!(balances(&store.stats().unwrap()));
    }
    assert_eq!(store.lease(&account(), 50, at(99)).unwrap(), []);
    assert_eq!(store.look_up_uncompared(&account(), 50, at(99)).unwrap().len(), 3);
}
