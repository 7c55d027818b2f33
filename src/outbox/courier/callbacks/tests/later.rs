//! Talks that are on their way while the task for a missed call is prepared.

use super::super::live::{INTENDED_FOR, PATIENCE, UNTALKED_FOR};
use super::*;
use crate::outbox::queue::Seq;

fn asks_for_talk(desk: &mut Desk, seq: u64, second: u64) -> Ended {
    let since = Ended { at: ended(second), seq: Seq(seq) };
    assert_eq!(desk.ask(), Some(Question::Talked { number: NUMBER.to_owned(), since }));
    assert_eq!(desk.ask(), None, "one thing at a time");
    since
}

#[test]
fn calls_that_are_due_go_first_for_a_minute() {
    let mut desk = Desk::new("");
    desk.drained = false;
    desk.ends(1, false, 1).keeps();
    assert_eq!(desk.ask(), None);
    desk.pass(PATIENCE).looks(&[]);
}

#[test]
fn no_task_is_made_for_one_with_whom_a_later_talk_is_on_its_way() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    let since = asks_for_talk(&mut desk, 1, 1);
    desk.later_talk(since, Some(true)).keeps();
    assert_eq!((desk.stage(), desk.ask()), (None, None));
}

#[test]
fn a_talk_that_came_to_its_end_before_the_missed_call_did_counts_too() {
    let mut desk = Desk::new("");
    desk.ends(2, true, 2).ends(1, false, 1).keeps();
    let since = asks_for_talk(&mut desk, 1, 1);
    desk.later_talk(since, Some(true)).keeps();
    assert_eq!((desk.stage(), desk.ask()), (None, None));
}

#[test]
fn a_talk_during_the_preparation_is_asked_for_again_before_the_post() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps().looks(&[]).pass(UNTALKED_FOR);
    let since = asks_for_talk(&mut desk, 1, 1);
    desk.later_talk(since, Some(false)).learns_owner(Some(9));
    assert_eq!(desk.ask(), None);
    assert!(matches!(desk.stage(), Some(Stage::Making { .. })));
    desk.keeps().pass(UNTALKED_FOR);
    let since = asks_for_talk(&mut desk, 1, 1);
    desk.later_talk(since, Some(true)).keeps();
    assert_eq!((desk.ask(), desk.keeps().stage()), (None, None), "it was not posted yet");
}

#[test]
fn the_task_of_an_earlier_missed_call_is_closed_after_a_talk_that_is_on_its_way() {
    let mut desk = Desk::new("");
    desk.makes().ends(2, false, 10).keeps();
    let since = asks_for_talk(&mut desk, 2, 10);
    desk.later_talk(since, Some(true)).keeps();
    assert_eq!(desk.stage(), Some(Stage::Open));
    desk.looks(&[(55, "x")]);
    assert!(matches!(desk.question(), Some(Question::Close { task: 55, .. })));
}

#[test]
fn a_store_that_does_not_say_is_asked_again_later() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    let since = asks_for_talk(&mut desk, 1, 1);
    desk.later_talk(since, None);
    assert_eq!(desk.ask(), None, "not at once");
    desk.pass(Duration::from_mins(1));
    let since = asks_for_talk(&mut desk, 1, 1);
    desk.later_talk(since, Some(false)).looks(&[]);
}

#[test]
fn a_post_that_did_not_follow_its_intent_at_once_has_another() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps().looks(&[]).learns_owner(Some(9));
    assert_eq!(desk.question(), None);
    desk.keeps();
    // A question about another number was in the way.
    desk.pass(INTENDED_FOR + SECOND).looks(&[]);
    assert_eq!(desk.question(), None);
    assert_eq!(desk.stage(), Some(Stage::Making { since: desk.now.host }));
    desk.keeps();
    assert!(matches!(desk.question(), Some(Question::Make { .. })));
}

#[test]
fn a_post_that_waited_for_days_is_not_made_any_more() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps().looks(&[]).learns_owner(Some(9));
    assert_eq!(desk.question(), None);
    desk.keeps();
    desk.pass(STALE);
    assert_eq!((desk.question(), desk.stage()), (None, None));
}

#[test]
fn a_store_that_is_slow_keeps_no_task_from_being_made() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    let slow = UNTALKED_FOR + SECOND;
    for _ in 0..20 {
        match desk.ask() {
            None => _ = desk.pass(slow).keeps(),
            Some(Question::Talked { since, .. }) => _ = desk.pass(slow).later_talk(since, Some(false)),
            Some(Question::Open { number, .. }) => {
                desk.told(Told::Open { number, found: ReadBack::Complete(Vec::new()) });
            }
            Some(Question::OwnerOf { number, .. }) => {
                desk.told(Told::OwnerOf { number, found: ReadBack::Complete(Some(9)) });
            }
            Some(Question::Make { .. }) => return,
            other => panic!("{other:?}"),
        }
    }
    panic!("it is never made");
}

#[test]
fn an_answer_about_an_earlier_missed_call_says_nothing_of_a_later_one() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    let since = asks_for_talk(&mut desk, 1, 1);
    // A talk is on its way, and the number calls in vain once more.
    desk.ends(3, false, 9).keeps().later_talk(since, Some(true));
    assert_eq!(desk.stage(), Some(Stage::Wanted));
    asks_for_talk(&mut desk, 3, 9);
}

#[test]
fn a_task_that_a_person_has_done_is_not_closed_after_a_talk_on_its_way() {
    let mut desk = Desk::new("");
    desk.makes().ends(2, false, 10).keeps().looks(&[]).pass(UNTALKED_FOR);
    let since = asks_for_talk(&mut desk, 2, 10);
    desk.later_talk(since, Some(true)).keeps();
    desk.looks(&[]);
    assert_eq!((desk.question(), desk.stage()), (None, None));
}

#[test]
fn an_answer_for_a_number_that_is_forgotten_changes_nothing() {
    let mut desk = Desk::new("");
    desk.later_talk(Ended { at: ended(1), seq: Seq(1) }, Some(true));
    assert_eq!((desk.stage(), desk.callbacks.keep()), (None, None));
}
