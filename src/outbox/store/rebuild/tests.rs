//! Judging what was found, and bringing it in.

use super::*;
use crate::outbox::queue::EntityRef;
use crate::outbox::queue::contract::{at, call};

const INTENT: Intent = Intent { batch: BatchId(9), since: HostTime::from_micros(9) };

fn slip(state: State) -> Slip {
    Slip { state, ..Slip::new(Seq(1), &call(1).record, at(0)) }
}

#[track_caller]
fn check(state: State, heard: Heard, expected: Phase) -> Slip {
    let judged = judged(slip(state), heard);
    assert_eq!(judged.state.phase(), expected);
    judged
}

fn sending() -> State {
    State::Sending { batch: BatchId(3), since: at(3) }
}

fn sent() -> State {
    State::Sent { note_id: Some(5), entity: Some(EntityRef { kind: "lead".into(), id: 1 }), at: at(4) }
}

fn dead() -> State {
    State::Dead { reason: "no".into(), at: at(4) }
}

fn expired() -> State {
    State::Expired { reason: "old".into(), at: at(4) }
}

#[test]
fn what_may_have_been_sent_is_looked_up() {
    for state in [State::Pending, State::Parked { since: at(1) }, sending()] {
        let found = check(state.clone(), Heard::Open(Some(INTENT)), Phase::Unknown);
        assert_eq!(found.state, State::Unknown { batch: BatchId(9), since: INTENT.since, looked: 0 });
        assert_eq!(found.attempts, 1);
        check(state, Heard::Nothing, Phase::Unknown);
    }
    let found = check(sending(), Heard::Open(None), Phase::Unknown);
    assert_eq!(found.state, State::Unknown { batch: BatchId(3), since: at(3), looked: 0 });
}

#[test]
fn what_was_never_sent_waits_as_before() {
    check(State::Pending, Heard::Open(None), Phase::Pending);
    check(State::Parked { since: at(1) }, Heard::Open(None), Phase::Parked);
    check(expired(), Heard::Open(None), Phase::Pending);
}

#[test]
fn what_is_done_stays_done() {
    for heard in [Heard::Done, Heard::Nothing, Heard::Open(None), Heard::Open(Some(INTENT))] {
        assert_eq!(check(sent(), heard, Phase::Sent).state, sent());
    }
    for state in [State::Pending, sending(), State::Parked { since: at(1) }, dead()] {
        assert!(check(state, Heard::Done, Phase::Sent).last_error.is_some());
    }
    check(expired(), Heard::Done, Phase::Expired);
    check(expired(), Heard::Nothing, Phase::Expired);
}

#[test]
fn a_dead_call_waits_for_a_person() {
    for heard in [Heard::Nothing, Heard::Open(None), Heard::Open(Some(INTENT))] {
        check(dead(), heard, Phase::Dead);
    }
}

#[test]
fn bytes_of_calls_that_the_history_forgot_bring_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let none = Open::read(dir.path()).unwrap();
    std::fs::write(dir.path().join("2026-11-22.jsonl"), "").unwrap();
    let journal = Open::read(dir.path()).unwrap();
    let (young, old) = (at(29 * 86_400), at(31 * 86_400));
    let waiting = slip(State::Pending);
    assert!(is_forgotten(&waiting, Heard::Nothing, &journal, old));
    assert!(!is_forgotten(&waiting, Heard::Nothing, &journal, young));
    assert!(!is_forgotten(&waiting, Heard::Open(None), &journal, old));
    assert!(!is_forgotten(&waiting, Heard::Nothing, &none, old), "nothing else would have it");
    assert!(is_forgotten(&slip(sent()), Heard::Nothing, &none, old));
}
