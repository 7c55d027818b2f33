//! Numbers that are forgotten.

use super::*;

#[test]
fn a_number_that_is_forgotten_makes_no_task_and_is_written_no_more() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    desk.callbacks.forget_number("79161234568");
    assert_eq!((desk.stage(), desk.question()), (None, None));
    let kept = desk.callbacks.keep().unwrap();
    let row = TaskRow { key: callback::key(&AccountId::default(), NUMBER), value: None };
    assert_eq!(kept, [row], "what was written since the store forgot it goes");
}

#[test]
fn what_comes_of_a_task_of_a_forgotten_number_is_not_noted() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps().looks(&[]).learns_owner(None).posts();
    desk.callbacks.forget_number("+7 916 123-45-68");
    desk.keeps();
    assert_eq!(desk.made(answered(Fate::Made("5".to_owned()))), None);
    assert_eq!((desk.stage(), desk.callbacks.keep()), (None, None));
}

#[test]
fn others_stay_and_the_same_person_may_call_again() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    desk.callbacks.forget_number("79160000001");
    assert!(desk.stage().is_some() && desk.callbacks.keep().is_none());
    desk.callbacks.forget_number("79161234568");
    desk.keeps().ends(2, false, 2);
    assert_eq!(desk.stage(), Some(Stage::Wanted));
}
