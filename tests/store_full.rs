//! A disk that is full, or read-only, for real: a small file system in memory, which only root may mount.
//! Where nobody may, `src/outbox/store/tests/thread.rs` has the same with a disk that says it is full; in CI
//! that is not enough, and these tests fail.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ami2amo::call::id::{AccountId, PbxName};
use ami2amo::call::record::FinishedCall;
use ami2amo::outbox::errand::Errand;
use ami2amo::outbox::queue::{Enqueued, Queue, Settlement, State};
use ami2amo::outbox::store::handle::Handle;
use ami2amo::outbox::store::{Error, Store, rest};
use ami2amo::time::HostTime;

#[path = "support/samples.rs"]
mod samples;

/// Longest wait for a store to come back: its pauses grow to 30 seconds.
const LIMIT: Duration = Duration::from_mins(2);

/// A file system of its own, gone when dropped.
struct Disk {
    dir: tempfile::TempDir,
}

/// Set where these tests must be able to mount a small tmpfs.
const MUST_MOUNT: &str = "AMI2AMO_MUST_MOUNT";

const TRY_AGAIN: Duration = Duration::from_millis(50);

impl Disk {
    /// `None`, loudly, where nothing may be mounted.
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={megabytes}m,mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { dir });
        }
        assert!(std::env::var_os(MUST_MOUNT).is_none(), "{MUST_MOUNT} is set, and no tmpfs can be mounted");
        eprintln!("NOT TESTED: a full disk needs a tmpfs, which this user may not mount");
        None
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        let remount = || Command::new("mount").args(["-o", &options]).arg(self.dir.path()).output().unwrap();
        // A store that was dropped has its files open until sled's own threads are through.
        let mut tries = std::iter::repeat_with(remount).inspect(|_| std::thread::sleep(TRY_AGAIN)).take(100);
        let last = tries.find(|done| done.status.success());
        assert!(last.is_some(), "it cannot be mounted with {option}");
    }

    /// Takes all the room there is.
    fn fill(&self, name: &str) {
        let mut file = File::create(self.dir.path().join(name)).unwrap();
        for size in [1 << 20, 4096, 1] {
            let bytes = vec![b'x'; size];
            while file.write_all(&bytes).is_ok() {}
        }
    }

    /// Without its snapshot sled has something to write when it opens.
    fn forget_snapshots(&self) {
        for entry in fs::read_dir(self.store().join("queue")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
                fs::remove_file(path).unwrap();
            }
        }
    }

    fn make_room(&self, name: &str) {
        fs::remove_file(self.dir.path().join(name)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.dir.path()).status();
    }
}

fn now() -> HostTime {
    HostTime::from_micros(1_795_337_600_000_000)
}

fn call(n: u32) -> FinishedCall {
    samples::call(&format!("{n}.1"))
}

async fn works_again(handle: &Handle) {
    let works = async {
        while handle.failure().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, works).await.expect("the store comes back");
}

/// Enqueues one call after the other until the disk is full; returns the numbers of the acknowledged.
async fn enqueue_until_full(handle: &Handle, from: u32) -> BTreeSet<u32> {
    let mut acknowledged = BTreeSet::new();
    for n in from..from + 100_000 {
        match handle.enqueue(vec![call(n)], now()).await {
            Ok(_) => acknowledged.insert(n),
            Err(refused) => {
                assert_eq!(refused.parcel.calls, [call(n)], "it comes back");
                return acknowledged;
            }
        };
    }
    panic!("the disk is never full");
}

fn check(dir: &Path, acknowledged: &BTreeSet<u32>) {
    let mut store = Store::open(dir, now()).unwrap();
    for n in acknowledged {
        let found = store.find(&samples::id(&format!("{n}.1"))).unwrap();
        assert_eq!(found.unwrap_or_else(|| panic!("call {n} is lost")).call, call(*n));
    }
    let stats = store.stats().unwrap();
    assert_eq!(stats.ended, stats.by_phase.values().sum::<u64>());
    let due = store.lease(&AccountId::default(), usize::MAX, now()).unwrap();
    let ids: BTreeSet<_> = due.iter().map(|item| item.call.record.call_id.as_str()).collect();
    assert_eq!(ids.len(), due.len(), "no call is there twice");
}

#[tokio::test]
async fn a_store_outlives_a_full_disk_and_delivers_from_it() {
    let Some(disk) = Disk::mount(100) else { return };
    let handle = Store::open(&disk.store(), now()).unwrap().spawn_resting(now, rest::IDLE).unwrap();
    let mut acknowledged = BTreeSet::from([0]);
    handle.enqueue(vec![call(0)], now()).await.unwrap();
    assert!(disk.store().join("ballast").exists(), "there was room for it");
    disk.fill("filler");
    acknowledged.extend(enqueue_until_full(&handle, 1).await);
    assert_eq!(
        handle.try_store(&PbxName::default(), vec![call(1)].into()).unwrap_err().calls,
        [call(1)],
        "it is said at once"
    );
    works_again(&handle).await;
    assert!(!disk.store().join("ballast").exists(), "its place is given up");
    // In the place of the ballast what waits is delivered.
    let due = handle.lease(&AccountId::default(), 1, now()).await.unwrap();
    let seq = due[0].seq;
    handle.intend(&[seq], now()).await.unwrap();
    let state = State::Sent { note_id: Some(1), entity: None, at: now() };
    let settlement = Settlement {
        seq,
        state,
        next_at: now(),
        last_error: None,
        attempted: true,
        errand: Errand::default(),
    };
    handle.settle(vec![settlement], now()).await.unwrap();
    // And then that is full, too, for a while.
    disk.fill("more");
    acknowledged.extend(enqueue_until_full(&handle, 200_000).await);
    assert!(handle.stats().await.is_err());
    disk.make_room("filler");
    disk.make_room("more");
    works_again(&handle).await;
    let last = handle.enqueue(vec![call(300_000)], now()).await.unwrap();
    assert!(matches!(last[..], [Enqueued::New(_)]));
    acknowledged.insert(300_000);
    handle.close().await.unwrap();
    check(&disk.store(), &acknowledged);
}

#[tokio::test]
async fn a_store_that_finds_a_full_disk_at_the_start_waits_for_room() {
    let Some(disk) = Disk::mount(24) else { return };
    let mut store = Store::open(&disk.store(), now()).unwrap();
    let calls: BTreeSet<u32> = (0..500).collect();
    store.enqueue(calls.iter().map(|n| call(*n)).collect(), now()).unwrap();
    drop(store);
    disk.forget_snapshots();
    disk.fill("filler");
    for _ in 0..2 {
        let error = Store::open(&disk.store(), now()).err().expect("there is no room for a snapshot");
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
    }
    let error = Store::open(&disk.store(), now()).err().unwrap();
    let handle = Store::spawn_waiting(&disk.store(), &error, now, rest::IDLE).unwrap();
    assert!(handle.failure().is_some() && !handle.is_over());
    assert_eq!(handle.try_store(&PbxName::default(), vec![call(1)].into()).unwrap_err().calls, [call(1)]);
    disk.make_room("filler");
    works_again(&handle).await;
    assert_eq!(handle.stats().await.unwrap().ended, 500);
    handle.close().await.unwrap();
    let names = fs::read_dir(disk.store()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.starts_with("queue.")), "a full disk is no damage: {names:?}");
    check(&disk.store(), &calls);
}

#[tokio::test]
async fn the_ballast_opens_a_store_on_a_full_disk() {
    let Some(disk) = Disk::mount(100) else { return };
    let handle = Store::open(&disk.store(), now()).unwrap().spawn_resting(now, rest::IDLE).unwrap();
    handle.enqueue((0..500).map(call).collect(), now()).await.unwrap();
    handle.close().await.unwrap();
    disk.forget_snapshots();
    disk.fill("filler");
    let mut store = Store::open(&disk.store(), now()).unwrap();
    assert!(!disk.store().join("ballast").exists());
    let due = store.lease(&AccountId::default(), 1, now()).unwrap();
    store.intend(&[due[0].seq], now()).unwrap();
    drop(store);
    disk.make_room("filler");
    check(&disk.store(), &(0..500).collect());
    let handle = Store::open(&disk.store(), now()).unwrap().spawn_resting(now, rest::IDLE).unwrap();
    handle.stats().await.unwrap();
    assert!(disk.store().join("ballast").exists(), "it is made again");
    handle.close().await.unwrap();
}

#[test]
fn a_read_only_disk_is_no_damage() {
    let Some(disk) = Disk::mount(24) else { return };
    let mut store = Store::open(&disk.store(), now()).unwrap();
    store.enqueue(vec![call(1)], now()).unwrap();
    drop(store);
    disk.remount("ro");
    let error = Store::open(&disk.store(), now()).err().expect("nothing can be written");
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    disk.remount("rw");
    check(&disk.store(), &BTreeSet::from([1]));
    assert!(
        fs::read_dir(disk.store())
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().contains("quarantine") })
    );
}

#[test]
fn a_damaged_store_on_a_full_disk_is_left_until_there_is_room() {
    let Some(disk) = Disk::mount(24) else { return };
    let mut store = Store::open(&disk.store(), now()).unwrap();
    let calls: BTreeSet<u32> = (0..500).collect();
    store.enqueue(calls.iter().map(|n| call(*n)).collect(), now()).unwrap();
    drop(store);
    let db = disk.store().join("queue/db");
    let bytes = fs::read(&db).unwrap();
    fs::write(&db, &bytes[..bytes.len() / 2]).unwrap();
    disk.fill("filler");
    let error = Store::open(&disk.store(), now()).err().expect("there is no room for a repair");
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    disk.make_room("filler");
    check(&disk.store(), &calls);
}
