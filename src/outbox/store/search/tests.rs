use super::*;
use crate::outbox::queue::contract::{at, call, enqueue, sent, settlement};
use crate::outbox::queue::{Phase, Queue as _, Seq, State};
use crate::outbox::search::{Noted, Whereabouts};

/// Four calls of one number: waiting, sent, dead, under way.
fn stocked(dir: &Path) -> Store {
    let mut store = Store::open(dir, at(0)).unwrap();
    let mut calls: Vec<_> = (1..=4).map(call).collect();
    for (number, call) in (0..).zip(&mut calls) {
        call.record.started_at = call.record.started_at.after(Duration::from_secs(number));
    }
    let seqs = enqueue(&mut store, calls, at(0));
    settle(&mut store, seqs[1], sent(at(2)));
    settle(&mut store, seqs[2], State::Dead { reason: "no such user".to_owned(), at: at(2) });
    store.intend(&[seqs[3]], at(3)).unwrap();
    store
}

fn settle(store: &mut Store, seq: Seq, state: State) {
    store.intend(&[seq], at(1)).unwrap();
    store.settle(vec![settlement(seq, state, at(2))], at(2)).unwrap();
}

fn ids(search: &Search) -> Vec<&str> {
    search.found.iter().map(|found| found.call.record.call_id.as_str()).collect()
}

#[test]
fn a_call_is_found_in_every_state_by_id_channel_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let store = stocked(dir.path());
    let search = |text: &str| store.search(&Wanted::parse(text)).unwrap();
    assert_eq!(ids(&search("default-2.1")), ["default-2.1"]);
    assert_eq!(ids(&search("3.2")), ["default-3.1"]);
    let all = search("+7 (916) 123-45-68");
    assert_eq!(ids(&all), ["default-1.1", "default-2.1", "default-3.1", "default-4.1"]);
    let states = all.found.iter().map(|found| match &found.whereabouts {
        Whereabouts::Store(slip) => slip.state.phase(),
        Whereabouts::Capture | Whereabouts::Journal(_) => panic!("{found:?}"),
    });
    let expected = [Phase::Pending, Phase::Sent, Phase::Dead, Phase::Sending];
    assert_eq!(states.collect::<Vec<_>>(), expected);
    for absent in ["default-9.1", "9.1", "79160000000", "nonsense"] {
        assert!(search(absent).found.is_empty(), "{absent}");
    }
}

#[test]
fn the_journal_of_a_store_that_is_held_tells_what_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let _held = stocked(dir.path());
    assert_eq!(holder(dir.path()).unwrap(), Some(std::process::id()));
    let search = |text: &str| search_journal(dir.path(), &Wanted::parse(text)).unwrap();
    assert_eq!(ids(&search("3.2")), ["default-3.1"]);
    let all = search("89161234568");
    let noted: Vec<_> = all.found.iter().map(|found| found.whereabouts.clone()).collect();
    let expected =
        [Noted::Waiting, Noted::Done, Noted::Sending { since: at(1) }, Noted::Sending { since: at(3) }];
    assert_eq!(noted, expected.map(Whereabouts::Journal));
    assert!(search("9.1").found.is_empty());
}

#[test]
fn of_very_many_calls_the_newest_are_kept_and_the_others_counted() {
    let mut newest = Newest::of(&Wanted::Number(String::new()));
    for number in 0..60 {
        let mut call = call(number);
        call.record.started_at = call.record.started_at.after(Duration::from_secs(u64::from(number)));
        newest.push(Found { call, whereabouts: Whereabouts::Journal(Noted::Waiting) });
    }
    let search = newest.search();
    assert_eq!((search.found.len(), search.more), (FOUND_MAX, 10));
    assert_eq!(ids(&search)[0], "default-10.1");
}
