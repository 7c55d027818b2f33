//! A store that comes to no end.

use std::time::Duration;

use super::*;
use crate::call::record::Skip;
use crate::outbox::store::hung::Watch;
use crate::time::MonoTime;

fn mono(seconds: u64) -> MonoTime {
    MonoTime::from_micros(seconds * 1_000_000)
}

#[test]
fn what_a_store_did_not_store_comes_back_when_it_is_given_up_and_is_there_once_in_the_end() {
    let (handle, disk, dir) = start();
    let (has_begun, let_go) = disk.hold_up();
    let mut first = hand_over(&handle, 1);
    has_begun.recv().unwrap();
    let mut second = hand_over(&handle, 2);
    let asked = std::thread::spawn({
        let handle = handle.clone();
        move || block_on(handle.stats())
    });
    assert!(first.try_answer().is_none() && !handle.is_given_up());
    handle.give_up("it hangs");
    assert_eq!(block_on(handle.failed()), "it hangs");
    assert!(handle.is_given_up() && handle.is_over());
    // Whoever waits hears of it, and whoever asks after that.
    assert!(matches!(asked.join().unwrap(), Err(Error::Store(reason)) if reason == "it hangs"));
    assert!(block_on(handle.stats()).is_err());
    let refused = block_on(handle.enqueue(vec![call(3)], at(1))).unwrap_err();
    assert_eq!(refused.parcel.calls, [call(3)]);
    assert_eq!(handle.try_store(&PbxName::default(), vec![call(4)].into()).unwrap_err().calls, [call(4)]);
    assert!(block_on(handle.close()).is_err());
    let back = [first.take_back(), second.take_back()].map(|refused| refused.parcel.calls);
    assert_eq!(back, [vec![call(1)], vec![call(2)]]);
    handle.spill(back.concat(), at(5)).unwrap();
    // It comes to its end after all.
    let thread = handle.thread();
    let_go.send(()).unwrap();
    drop(handle);
    thread.join().unwrap();
    let mut store = open(dir.path());
    assert!(store.find(&call(2).record.call_id).unwrap().is_some());
    // Call 3 was asked for when nobody heard of it any more, and is done with what was before it.
    let ended = store.stats().unwrap().ended;
    assert!((3..=4).contains(&ended), "{ended}");
}

#[test]
fn a_store_hangs_that_has_work_and_comes_to_no_end() {
    let (handle, disk, _dir) = start();
    let mut watch = Watch::default();
    while handle.has_work() {
        std::thread::yield_now();
    }
    let wait = Duration::from_secs;
    assert_eq!([1, 50].map(|at| watch.look(&handle, mono(at))), [Duration::ZERO; 2], "it has nothing to do");
    let (has_begun, let_go) = disk.hold_up();
    let first = hand_over(&handle, 1);
    has_begun.recv().unwrap();
    assert_eq!([60, 70, 90].map(|at| watch.look(&handle, mono(at))), [0, 10, 30].map(wait));
    let_go.send(()).unwrap();
    first.blocking_answer().unwrap();
    while handle.has_work() {
        std::thread::yield_now();
    }
    let (has_begun, let_go) = disk.hold_up();
    let second = hand_over(&handle, 2);
    has_begun.recv().unwrap();
    assert_eq!([100, 101, 103].map(|at| watch.look(&handle, mono(at))), [0, 0, 2].map(wait), "another one");
    disk.break_at(Target::Db);
    let_go.send(()).unwrap();
    second.blocking_answer().unwrap_err();
    let looks = [200, 300].map(|at| watch.look(&handle, mono(at)));
    assert_eq!(looks, [Duration::ZERO; 2], "it failed, and is opened again");
}

#[test]
fn a_process_that_stood_still_itself_takes_no_store_for_hung() {
    let (handle, disk, _dir) = start();
    let (has_begun, let_go) = disk.hold_up();
    let first = hand_over(&handle, 1);
    has_begun.recv().unwrap();
    let mut watch = Watch::default();
    let lasts = [0, 1, 11, 3600].map(|at| watch.look(&handle, mono(at)).as_secs());
    assert_eq!(lasts, [0, 0, 10, 30], "in seconds");
    watch.forgive();
    assert_eq!(watch.look(&handle, mono(3605)), Duration::from_secs(5), "its disk did not work until then");
    let_go.send(()).unwrap();
    first.blocking_answer().unwrap();
}

#[test]
fn a_thread_that_panics_is_seen_and_gives_back_what_it_had() {
    let (handle, disk, _dir) = start();
    handle.hear_ends(|_item| panic!("a fault of the one who hears"));
    let mut skipped = call(1);
    skipped.record.skip = Some(Skip::Policy);
    let (has_begun, let_go) = disk.hold_up();
    let _first = handle.try_store(&PbxName::default(), vec![skipped].into()).unwrap();
    has_begun.recv().unwrap();
    let second = hand_over(&handle, 2);
    let_go.send(()).unwrap();
    assert!(block_on(handle.failed()).contains("a fault of the one who hears"));
    assert_eq!(second.blocking_answer().unwrap_err().parcel.calls, [call(2)]);
}
