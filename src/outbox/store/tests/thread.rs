//! The store on its own thread: groups, answers, failures, the end.

use std::io;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use super::{new, open};
use crate::call::id::PbxName;
use crate::call::record::FinishedCall;
use crate::outbox::queue::contract::{account, at, call, sent, settlement};
use crate::outbox::queue::{Enqueued, Error, Queue, Seq, State};
use crate::outbox::schedule::person::{Deed, Intervention};
use crate::outbox::store::fsync::{Fsync, Target};
use crate::outbox::store::handle::Handle;
use crate::outbox::store::receipt::{Receipt, Refused};
use crate::outbox::store::{Shelf, Store};
use crate::time::HostTime;

mod hung;

/// Counts syncs, fails the ones that are named, and can be held up.
#[derive(Clone, Default)]
struct Disk {
    synced: Arc<Mutex<Vec<Target>>>,
    broken: Arc<Mutex<Option<(Target, i32)>>>,
    gate: Arc<Mutex<Option<Gate>>>,
}

/// The next sync says that it has begun and waits until it is let go.
struct Gate {
    begun: mpsc::SyncSender<()>,
    go: mpsc::Receiver<()>,
}

impl Disk {
    fn take(&self) -> Vec<Target> {
        std::mem::take(&mut self.synced.lock().unwrap())
    }

    fn break_at(&self, target: Target) {
        *self.broken.lock().unwrap() = Some((target, libc::EIO));
    }

    /// As a disk without room.
    fn fill_up(&self, target: Target) {
        *self.broken.lock().unwrap() = Some((target, libc::ENOSPC));
    }

    fn mend(&self) {
        *self.broken.lock().unwrap() = None;
    }

    fn hold_up(&self) -> (mpsc::Receiver<()>, mpsc::SyncSender<()>) {
        let (begun, has_begun) = mpsc::sync_channel(1);
        let (let_go, go) = mpsc::sync_channel(1);
        *self.gate.lock().unwrap() = Some(Gate { begun, go });
        (has_begun, let_go)
    }
}

impl Fsync for Disk {
    fn sync(&mut self, target: Target, _file: &std::fs::File) -> io::Result<()> {
        let gate = self.gate.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.begun.send(()).unwrap();
            gate.go.recv().unwrap();
        }
        self.synced.lock().unwrap().push(target);
        match *self.broken.lock().unwrap() {
            Some((broken, error)) if broken == target => Err(io::Error::from_raw_os_error(error)),
            Some(_) | None => Ok(()),
        }
    }
}

fn clock() -> HostTime {
    at(7)
}

fn start() -> (Handle, Disk, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let store = Store::open_with(dir.path(), at(0), Box::new(disk.clone())).unwrap();
    let handle = store.spawn(clock).unwrap();
    // The first call makes the file of the day; what follows is the everyday.
    hand_over(&handle, 0).blocking_answer().unwrap();
    disk.take();
    (handle, disk, dir)
}

fn hand_over(handle: &Handle, n: u32) -> Receipt {
    handle.try_store(&PbxName::default(), vec![call(n)].into()).expect("the store takes it")
}

fn seq(enqueued: &[Enqueued]) -> Seq {
    match enqueued {
        [Enqueued::New(seq)] => *seq,
        other => panic!("{other:?}"),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Receipt {
    fn blocking_answer(self) -> Result<Vec<Enqueued>, Refused> {
        block_on(self)
    }
}

#[test]
fn a_call_costs_one_sync_of_the_journal_and_one_of_the_database() {
    let (handle, disk, _dir) = start();
    block_on(handle.enqueue(vec![call(1)], at(1))).unwrap();
    assert_eq!(disk.take(), [Target::Journal, Target::Db]);
    block_on(handle.enqueue((2..500).map(call).collect(), at(1))).unwrap();
    assert_eq!(disk.take(), [Target::Journal, Target::Db]);
    block_on(handle.put(Shelf::Tokens, "default", b"{}".to_vec())).unwrap();
    assert_eq!(disk.take(), [Target::Db]);
}

#[test]
fn looking_costs_no_sync() {
    let (handle, disk, _dir) = start();
    block_on(async {
        handle.lease(&account(), 50, at(9)).await.unwrap();
        handle.unknown(&account(), 50, at(9)).await.unwrap();
        handle.next_due(&account()).await.unwrap();
        handle.find(&call(0).record.call_id).await.unwrap();
        handle.stats().await.unwrap();
        handle.get(Shelf::Tokens, "default").await.unwrap();
    });
    assert_eq!(disk.take(), []);
}

#[test]
fn what_comes_while_the_disk_works_shares_the_next_syncs() {
    let (handle, disk, _dir) = start();
    let (has_begun, let_go) = disk.hold_up();
    let mut first = hand_over(&handle, 1);
    has_begun.recv().unwrap();
    let receipts: Vec<_> = (2..=100).map(|n| hand_over(&handle, n)).collect();
    assert!(first.try_answer().is_none(), "it was answered before it was durable");
    let_go.send(()).unwrap();
    for receipt in receipts {
        receipt.blocking_answer().unwrap();
    }
    assert!(matches!(first.try_answer(), Some(Ok(_))));
    assert_eq!(disk.take(), [Target::Journal, Target::Db, Target::Journal, Target::Db]);
}

#[test]
fn a_handle_does_all_that_a_queue_does() {
    let (handle, _disk, _dir) = start();
    block_on(async {
        let seq = seq(&handle.enqueue(vec![call(1)], at(1)).await.unwrap());
        assert_eq!(handle.lease(&account(), 50, at(9)).await.unwrap().len(), 2);
        handle.intend(&[seq], at(9)).await.unwrap();
        let refused = handle.intend(&[seq], at(9)).await;
        assert!(matches!(refused, Err(Error::Transition { .. })));
        assert_eq!(handle.adopt(&account(), at(10)).await.unwrap(), 1);
        assert_eq!(handle.unknown(&account(), 50, at(10)).await.unwrap()[0].seq, seq);
        handle.settle(vec![settlement(seq, sent(at(11)), at(11))], at(11)).await.unwrap();
        let item = handle.find(&call(1).record.call_id).await.unwrap().unwrap();
        assert_eq!(item.state, sent(at(11)));
        assert_eq!(handle.stats().await.unwrap().ended, 2);
        assert_eq!(handle.next_due(&account()).await.unwrap(), Some(at(7)));
        let by_channel = handle.find_uniqueid(&call(1).record.pbx, "1.2").await.unwrap();
        assert_eq!(by_channel, [item]);
    });
}

#[test]
fn the_clock_dates_what_is_handed_over_without_a_time() {
    let (handle, _disk, _dir) = start();
    let item = block_on(handle.find(&call(0).record.call_id)).unwrap().unwrap();
    assert_eq!(item.enqueued_at, at(7));
}

#[test]
fn couriers_hear_of_every_call_that_comes_to_wait_and_of_nothing_else() {
    let (handle, _disk, _dir) = start();
    let mut news = handle.news();
    news.mark_unchanged();
    block_on(async {
        let seq = seq(&handle.enqueue(vec![call(1)], at(1)).await.unwrap());
        assert!(news.has_changed().unwrap());
        news.mark_unchanged();
        handle.enqueue(vec![call(1)], at(1)).await.unwrap();
        handle.intend(&[seq], at(1)).await.unwrap();
        let dead = State::Dead { reason: "no".into(), at: at(1) };
        handle.settle(vec![settlement(seq, dead, at(1))], at(1)).await.unwrap();
        assert!(!news.has_changed().unwrap());
        let retry = Intervention { deed: Deed::Retry, by: "anna".to_owned(), why: None };
        handle.intervene(retry, vec![call(1).record.call_id], at(2)).await.unwrap();
        assert!(news.has_changed().unwrap());
    });
}

/// Waits until the store takes calls again.
fn works_again(handle: &Handle) {
    let mut trouble = handle.trouble();
    let waited = async {
        let works = trouble.wait_for(Option::is_none);
        tokio::time::timeout(std::time::Duration::from_mins(1), works).await.map(drop)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(waited).expect("the store is opened again");
}

#[test]
fn a_store_whose_disk_failed_gives_calls_back_and_is_opened_again() {
    for target in [Target::Journal, Target::Db] {
        let (handle, disk, dir) = start();
        disk.break_at(target);
        let (has_begun, let_go) = disk.hold_up();
        let first = hand_over(&handle, 1);
        has_begun.recv().unwrap();
        let second = hand_over(&handle, 2);
        let_go.send(()).unwrap();
        assert_eq!(first.blocking_answer().unwrap_err().parcel.calls, [call(1)]);
        let refused = second.blocking_answer().unwrap_err();
        assert_eq!(refused.parcel.calls, [call(2)]);
        assert!(matches!(refused.error, Error::Store(_)));
        assert!(handle.failure().unwrap().contains("Input/output error"));
        assert!(!handle.is_over());
        disk.take();
        assert_eq!(handle.try_store(&PbxName::default(), vec![call(3)].into()).unwrap_err().calls, [call(3)]);
        assert!(block_on(handle.stats()).is_err());
        assert!(block_on(handle.enqueue(vec![call(3)], at(1))).is_err());
        assert_eq!(disk.take(), [], "a disk that failed is not asked again on the same files");
        disk.mend();
        works_again(&handle);
        let synced = disk.take();
        assert!(synced.contains(&Target::Copy), "what was not synced is written anew: {synced:?}");
        for n in 0..=3 {
            block_on(handle.enqueue(vec![call(n)], at(1))).unwrap();
        }
        assert_eq!(block_on(handle.stats()).unwrap().ended, 4, "each is there once");
        block_on(handle.close()).unwrap();
        assert_eq!(open(dir.path()).stats().unwrap().ended, 4);
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    let (handle, disk, dir) = start();
    disk.fill_up(Target::Journal);
    assert_eq!(hand_over(&handle, 1).blocking_answer().unwrap_err().parcel.calls, [call(1)]);
    assert!(handle.failure().unwrap().contains("No space left"));
    let failed = |n| handle.try_store(&PbxName::default(), vec![call(n)].into()).unwrap_err().calls;
    assert_eq!(failed(2), [call(2)]);
    disk.mend();
    works_again(&handle);
    assert!(!disk.take().contains(&Target::Copy), "what had no room is not in the files");
    block_on(handle.enqueue(vec![call(1), call(2)], at(1))).unwrap();
    block_on(handle.close()).unwrap();
    assert_eq!(open(dir.path()).stats().unwrap().ended, 3);
}

#[test]
fn an_intent_that_was_not_acknowledged_is_taken_back_and_one_that_was_stays() {
    let (handle, disk, _dir) = start();
    let [first, second] = [1, 2].map(|n| seq(&block_on(handle.enqueue(vec![call(n)], at(1))).unwrap()));
    block_on(handle.intend(&[first], at(2))).unwrap();
    disk.break_at(Target::Db);
    assert!(block_on(handle.intend(&[second], at(3))).is_err());
    disk.mend();
    works_again(&handle);
    let state = |n| block_on(handle.find(&call(n).record.call_id)).unwrap().unwrap().state;
    assert!(matches!(state(1), State::Sending { .. }), "{:?}", state(1));
    assert_eq!(state(2), State::Pending);
    block_on(handle.settle(vec![settlement(first, sent(at(4)), at(4))], at(4))).unwrap();
    block_on(handle.intend(&[second], at(5))).unwrap();
}

#[test]
fn a_store_that_is_closed_while_it_is_dead_says_so() {
    let (handle, disk, dir) = start();
    disk.break_at(Target::Db);
    assert!(block_on(handle.enqueue(vec![call(1)], at(1))).is_err());
    assert!(block_on(handle.close()).is_err());
    assert!(handle.is_over());
    assert!(open(dir.path()).find(&call(0).record.call_id).unwrap().is_some());
}

#[test]
fn calls_that_were_spilled_are_taken_in_by_the_next_start() {
    let (handle, disk, dir) = start();
    disk.break_at(Target::Db);
    assert!(block_on(handle.enqueue(vec![call(1)], at(1))).is_err());
    handle.spill(vec![call(1), call(2)], at(5)).unwrap();
    handle.spill(vec![call(3)], at(6)).unwrap();
    let file = dir.path().join("emergency.jsonl");
    // The last of what a crash leaves.
    let mut torn = std::fs::read(&file).unwrap();
    torn.extend_from_slice(b"{\"E\":\"default-4.1\",\"seq\":0");
    std::fs::write(&file, torn).unwrap();
    assert!(block_on(handle.close()).is_err());
    let mut store = open(dir.path());
    let rescued = store.opened().rescued;
    // The first may have come as far as the journal before.
    assert!(rescued >= 2, "{:?}", store.opened());
    assert_eq!(store.stats().unwrap().ended, 4);
    let item = store.find(&call(3).record.call_id).unwrap().unwrap();
    assert_eq!((item.call, item.enqueued_at), (call(3), at(6)));
    assert!(!file.exists());
}

#[test]
fn what_is_spilled_while_a_store_opens_is_not_removed_with_what_it_took() {
    let (mut store, dir) = new();
    let folder = dir.path().to_owned();
    let spilling = std::thread::spawn(move || {
        (1..=100)
            .for_each(|n| crate::outbox::store::emergency::append(&folder, vec![call(n)], at(5)).unwrap());
    });
    while !spilling.is_finished() {
        store.take_emergency(at(6)).unwrap();
    }
    spilling.join().unwrap();
    store.take_emergency(at(6)).unwrap();
    assert_eq!(store.stats().unwrap().ended, 100);
}

#[test]
fn what_cannot_be_read_of_spilled_calls_is_kept_for_a_person() {
    let (handle, _disk, dir) = start();
    handle.spill(vec![call(1), call(2)], at(5)).unwrap();
    block_on(handle.close()).unwrap();
    let file = dir.path().join("emergency.jsonl");
    let text = std::fs::read_to_string(&file).unwrap().replacen("79161234568", "79161234569", 1);
    for name in ["emergency.jsonl.damaged", "emergency.jsonl.damaged.2"] {
        std::fs::write(&file, &text).unwrap();
        let mut store = open(dir.path());
        assert_eq!(store.stats().unwrap().ended, 2);
        assert!(!file.exists());
        assert_eq!(std::fs::read_to_string(dir.path().join(name)).unwrap(), text);
    }
    assert_eq!(open(dir.path()).find(&call(2).record.call_id).unwrap().map(|item| item.call), Some(call(2)));
}

#[test]
fn a_store_that_cannot_keep_up_gives_calls_back_at_once() {
    let (handle, disk, _dir) = start();
    let (has_begun, let_go) = disk.hold_up();
    let first = hand_over(&handle, 1);
    has_begun.recv().unwrap();
    let mut receipts = Vec::new();
    let back: Vec<FinishedCall> = loop {
        match handle.try_store(&PbxName::default(), vec![call(2)].into()) {
            Ok(receipt) => receipts.push(receipt),
            Err(parcel) => break parcel.calls,
        }
    };
    assert_eq!(back, [call(2)]);
    let_go.send(()).unwrap();
    first.blocking_answer().unwrap();
    for receipt in receipts {
        receipt.blocking_answer().unwrap();
    }
    hand_over(&handle, 3).blocking_answer().unwrap();
}

#[test]
fn closing_does_all_that_waits_and_gives_the_lock_up() {
    let (handle, disk, dir) = start();
    let (has_begun, let_go) = disk.hold_up();
    let mut receipts = vec![hand_over(&handle, 1)];
    has_begun.recv().unwrap();
    receipts.extend((2..=400).map(|n| hand_over(&handle, n)));
    let other = handle.clone();
    let closing = std::thread::spawn(move || block_on(other.close()));
    let_go.send(()).unwrap();
    closing.join().unwrap().unwrap();
    for mut receipt in receipts {
        assert!(matches!(receipt.try_answer(), Some(Ok(_))));
    }
    assert_eq!(handle.try_store(&PbxName::default(), vec![call(500)].into()).unwrap_err().calls, [call(500)]);
    assert!(block_on(handle.stats()).is_err());
    block_on(handle.close()).unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.stats().unwrap().ended, 401);
}

#[test]
fn a_store_without_handles_is_closed() {
    let (store, dir) = new();
    let handle = store.spawn(clock).unwrap();
    let receipt = hand_over(&handle, 1);
    let thread = handle.thread();
    drop(handle);
    receipt.blocking_answer().unwrap();
    thread.join().unwrap();
    assert_eq!(open(dir.path()).stats().unwrap().ended, 1);
}
