//! More numbers that called in vain than are remembered.

use super::*;
use crate::call::id::CallId;

#[test]
fn tasks_that_are_too_late_make_room_for_others() {
    let mut desk = Desk::new("");
    for number in 0..u64::try_from(ROWS_MAX).unwrap() {
        desk.heed(&missed(number, 1));
    }
    desk.pass(STALE).heed(&missed(9999, 86_400));
    assert_eq!(desk.callbacks.rows.len(), 1);
}

#[test]
fn tasks_that_are_made_make_room_for_others() {
    let mut desk = Desk::new("");
    for number in 0..u64::try_from(ROWS_MAX).unwrap() {
        desk.heed(&missed(number, 1));
    }
    let rows = &mut desk.callbacks.rows;
    rows.values_mut().skip(1).for_each(|live| live.row.made(5, ended(60)));
    let mut again = missed(1, 2);
    again.call.record.call_id = CallId::from_text("again");
    desk.keeps().heed(&again).heed(&missed(9999, 3));
    let rows = &desk.callbacks.rows;
    assert_eq!(rows.len(), ROWS_MAX, "one went for the new one, and none for the one that was there");
    assert!(rows.contains_key("9160009999") && rows.contains_key("9160000000"));
    assert!(!rows.contains_key("9160000002"), "nobody called back for the longest time");
    let kept = desk.callbacks.keep().unwrap();
    assert!(kept.iter().any(|row| row.key == "default/9160000002" && row.value.is_none()));
}
