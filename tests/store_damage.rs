//! Damages the files of a store in every way that disks know: what the journal or the bytes still hold
//! is there afterwards, and nothing that was done comes back.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use ami2amo::outbox::queue::{Phase, Queue};
use ami2amo::outbox::store::{Error, Repair, Shelf, Store};

use ruins::{CALLS, call, check, edit, folder, make, queue, time};

#[path = "support/folder.rs"]
mod folder;
#[path = "support/ruins.rs"]
mod ruins;
#[path = "support/samples.rs"]
mod samples;

/// What is done to the files before the store is opened again.
type Damage = Box<dyn Fn(&Path, &mut fastrand::Rng)>;

/// What a crash between two steps of an exchange leaves.
type Halt = fn(&Path);

/// How often everything is tried; a long trial does so more often.
fn rounds() -> u64 {
    env::var("AMI2AMO_DAMAGE_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(queue(dir)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect()
}

fn spoil_snapshots(dir: &Path) {
    for path in snapshots(dir) {
        fs::write(path, [b'x'; 256]).unwrap();
    }
}

fn cut(keep: impl Fn(usize, &mut fastrand::Rng) -> usize + 'static) -> Damage {
    Box::new(move |dir, random| {
        edit(&queue(dir).join("db"), |bytes| bytes.truncate(keep(bytes.len(), random)));
    })
}

fn flip(bits: usize) -> Damage {
    Box::new(move |dir, random| {
        edit(&queue(dir).join("db"), |bytes| {
            for _ in 0..bits {
                let place = random.usize(..bytes.len());
                bytes[place] ^= 1 << random.u8(..8);
            }
        });
    })
}

fn zero(bytes_at_once: usize) -> Damage {
    Box::new(move |dir, random| {
        edit(&queue(dir).join("db"), |bytes| {
            let place = random.usize(..bytes.len() - bytes_at_once) / 4096 * 4096;
            bytes[place..place + bytes_at_once].fill(0);
        });
    })
}

/// Every way of damage, with the number of trials that it needs to hit something.
fn damages() -> Vec<(&'static str, u64, Damage)> {
    let snaps = |work: fn(&Path)| -> Damage {
        Box::new(move |dir, _| snapshots(dir).iter().for_each(|path| work(path)))
    };
    vec![
        ("cut by up to 64 bytes", 3, cut(|length, random| length - random.usize(1..64))),
        ("cut by up to 256 KiB", 6, cut(|length, random| length - random.usize(1..(256 << 10)))),
        ("cut anywhere", 8, cut(|length, random| random.usize(1..length))),
        ("emptied", 1, cut(|_, _| 0)),
        ("one bit flipped", 8, flip(1)),
        ("64 bits flipped", 6, flip(64)),
        ("4096 bits flipped", 3, flip(4096)),
        ("a page zeroed", 6, zero(4096)),
        ("a segment zeroed", 4, zero(512 << 10)),
        (
            "noise for a database",
            1,
            Box::new(|dir, random| {
                edit(&queue(dir).join("db"), |bytes| bytes.iter_mut().for_each(|byte| *byte = random.u8(..)));
            }),
        ),
        ("the database deleted", 1, Box::new(|dir, _| fs::remove_file(queue(dir).join("db")).unwrap())),
        ("the folder deleted", 1, Box::new(|dir, _| fs::remove_dir_all(queue(dir)).unwrap())),
        ("snapshots deleted", 1, snaps(|path| fs::remove_file(path).unwrap())),
        ("snapshots emptied", 1, snaps(|path| fs::write(path, b"").unwrap())),
        ("snapshots cut", 1, snaps(|path| edit(path, |bytes| bytes.truncate(bytes.len() / 2)))),
        ("snapshots are noise", 1, snaps(|path| fs::write(path, [b'x'; 256]).unwrap())),
        (
            "snapshots and a page",
            3,
            Box::new(|dir, random| {
                spoil_snapshots(dir);
                zero(4096)(dir, random);
            }),
        ),
        (
            "half a snapshot",
            1,
            Box::new(|dir, _| {
                fs::write(queue(dir).join("snap.00000000000000FF.generating"), b"half").unwrap();
            }),
        ),
        (
            "no configuration of sled's",
            1,
            Box::new(|dir, _| fs::remove_file(queue(dir).join("conf")).unwrap()),
        ),
    ]
}

/// Calls of which a sound value lies in the bytes: found by the frame's description, not by the store.
fn in_the_bytes(dir: &Path) -> BTreeSet<u64> {
    let Ok(bytes) = fs::read(queue(dir).join("db")) else { return BTreeSet::new() };
    let number = |at: usize| -> Option<usize> {
        Some(usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).unwrap())
    };
    let read = |at: usize| -> Option<u64> {
        let key_length = number(at + 4)?;
        let key_end = at.checked_add(8)?.checked_add(key_length)?;
        let end = key_end.checked_add(4)?.checked_add(number(key_end)?)?;
        let crc = u32::try_from(number(end)?).unwrap();
        if crc32fast::hash(bytes.get(at + 4..end)?) != crc {
            return None;
        }
        let key = std::str::from_utf8(bytes.get(at + 8..key_end)?).ok()?;
        key.strip_prefix("default-")?.strip_suffix(".1")?.parse().ok()
    };
    memchr::memmem::find_iter(&bytes, b"A2Q1").filter_map(read).collect()
}

#[test]
fn what_the_journal_has_is_never_lost_whatever_becomes_of_the_database() {
    let whole = folder();
    make(whole.path());
    let all: BTreeSet<u64> = (0..CALLS).collect();
    let mut repairs: BTreeMap<String, u32> = BTreeMap::new();
    for (what, trials, damage) in damages() {
        for seed in 0..trials * rounds() {
            let dir = folder();
            folder::copy(whole.path(), dir.path());
            damage(dir.path(), &mut fastrand::Rng::with_seed(seed));
            let repair = check(dir.path(), &all, &format!("{what}, seed {seed}"));
            *repairs.entry(format!("{repair:?}")).or_default() += 1;
        }
    }
    println!("rungs: {repairs:?}");
    assert_eq!(repairs.len(), 3, "each rung of the ladder is climbed: {repairs:?}");
}

#[test]
fn what_lies_in_the_bytes_is_never_lost_even_without_a_journal() {
    let whole = folder();
    make(whole.path());
    let mut found = 0;
    for (what, trials, damage) in damages() {
        for seed in 0..trials * rounds() {
            let dir = folder();
            folder::copy(whole.path(), dir.path());
            damage(dir.path(), &mut fastrand::Rng::with_seed(seed));
            fs::remove_dir_all(dir.path().join("journal")).unwrap();
            let wanted = in_the_bytes(dir.path());
            found += wanted.len();
            check_without_journal(dir.path(), &wanted, &format!("{what}, seed {seed}"));
        }
    }
    assert!(found > 10_000, "{found} values in the ruins prove little");
}

/// An old value may be all that is left of a call: it is there, and never sent blindly unless a database
/// that opened says so.
fn check_without_journal(dir: &Path, wanted: &BTreeSet<u64>, what: &str) {
    let mut store = Store::open(dir, time(10)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let rebuilt = store.opened().repair == Some(Repair::Rebuilt);
    for &n in wanted {
        let found = store.find(&samples::id(&format!("{n}.1"))).unwrap();
        let found = found.unwrap_or_else(|| panic!("{what}: call {n} is lost ({:?})", store.opened()));
        assert_eq!(found.call, call(n), "{what}");
        let is = found.state.phase();
        assert!(!(rebuilt && matches!(is, Phase::Pending | Phase::Parked)), "{what}: {n} is {is:?}");
    }
    if rebuilt && wanted.len() as u64 == CALLS {
        let token = store.get(Shelf::Tokens, "default").unwrap();
        assert_eq!(token.as_deref(), Some(b"{\"v\":1,\"access\":\"t0ken\"}".as_slice()), "{what}");
    }
}

#[test]
fn tokens_and_checkpoints_are_found_in_the_ruins_but_for_those_of_calls_that_ended() {
    let dir = folder();
    make(dir.path());
    // What sled reads first is gone, and the log with it is no log any more.
    edit(&queue(dir.path()).join("db"), |bytes| bytes[..4096].fill(0));
    spoil_snapshots(dir.path());
    edit(&queue(dir.path()).join("conf"), |bytes| bytes.fill(b'x'));
    let store = Store::open(dir.path(), time(10)).unwrap();
    assert_eq!(store.opened().repair, Some(Repair::Rebuilt));
    assert!(store.get(Shelf::Tokens, "default").unwrap().is_some());
    assert!(store.get(Shelf::Inflight, "default-9999.1").unwrap().is_some());
    for n in 0..CALLS {
        assert_eq!(store.get(Shelf::Inflight, &format!("default-{n}.1")).unwrap(), None, "{n}");
    }
}

#[test]
fn three_damaged_databases_are_kept() {
    let dir = folder();
    make(dir.path());
    for round in 0..5 {
        fs::write(queue(dir.path()).join("db"), b"").unwrap();
        drop(Store::open(dir.path(), time(round)).unwrap());
    }
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.contains("quarantine"));
    names.sort();
    let expected = [2, 3, 4].map(|second| format!("queue.quarantine-20261122T08532{second}Z"));
    assert_eq!(names, expected);
}

#[test]
fn a_lock_that_a_dead_process_left_is_no_lock() {
    let dir = folder();
    make(dir.path());
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    let pid = dead.id();
    dead.wait().unwrap();
    fs::write(dir.path().join("LOCK"), format!("{pid}\n")).unwrap();
    assert_eq!(check(dir.path(), &(0..CALLS).collect(), "a stale lock"), None);
}

#[test]
fn an_exchange_that_was_cut_short_is_finished_or_undone() {
    let whole = folder();
    make(whole.path());
    let all: BTreeSet<u64> = (0..CALLS).collect();
    let states: [(&str, Halt); 5] = [
        ("a copy was begun", |dir| {
            fs::create_dir(dir.join("queue.new")).unwrap();
            fs::write(dir.join("queue.new/db"), b"half").unwrap();
        }),
        ("a copy was made", |dir| folder::copy(&queue(dir), &dir.join("queue.new"))),
        ("the old one was set aside", |dir| {
            folder::copy(&queue(dir), &dir.join("queue.new"));
            fs::rename(queue(dir), dir.join("queue.quarantine-20261122T085320Z")).unwrap();
        }),
        ("the old one was to be deleted", |dir| {
            folder::copy(&queue(dir), &dir.join("queue.new"));
            fs::rename(queue(dir), dir.join("queue.old")).unwrap();
        }),
        ("the old one was half deleted", |dir| {
            folder::copy(&queue(dir), &dir.join("queue.old"));
            fs::remove_file(dir.join("queue.old/db")).unwrap();
        }),
    ];
    for (what, prepare) in states {
        let dir = folder();
        folder::copy(whole.path(), dir.path());
        prepare(dir.path());
        assert_eq!(check(dir.path(), &all, what), None);
        assert!(!dir.path().join("queue.new").exists() && !dir.path().join("queue.old").exists(), "{what}");
    }
}

#[test]
fn a_folder_without_permission_is_no_damage() {
    // Root may write everywhere: for him the folder is mounted read-only, in tests/store_full.rs.
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    make(dir.path());
    let set = |mode| fs::set_permissions(queue(dir.path()), fs::Permissions::from_mode(mode)).unwrap();
    set(0o500);
    let probe = fs::write(queue(dir.path()).join("probe"), b"");
    let opened = Store::open(dir.path(), time(0));
    set(0o700);
    if probe.is_err() {
        assert!(matches!(opened, Err(Error::Permission { .. })), "{:?}", opened.err());
    }
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("quarantine")), "{names:?}");
}
