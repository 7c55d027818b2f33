//! What earlier versions wrote is read, and means what it meant: calls in progress, the store, its journal,
//! the configuration, the JSON lines. `tests/compat/README.md` says how a new version's files are written.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/compat/database.rs"]
mod database;
#[path = "support/compat/following.rs"]
mod following;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/compat/write.rs"]
mod write;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ami2amo::call::record::CallRecord;
use ami2amo::config::file::File;
use ami2amo::outbox::callback;
use ami2amo::outbox::queue::{Item, Queue as _, State};
use ami2amo::outbox::store::{Opened, Shelf, Store};
use serde_json::{Value, json};

use database::Row;
use following::Followed;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat")
}

/// The folders of all versions.
fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder of old files is there");
    let mut folders: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json_lines(path: &Path) -> Vec<Value> {
    text(path).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Whether `now` says all that `before` said: keys are only ever added.
fn says_all(now: &Value, before: &Value) -> bool {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => {
            before.iter().all(|(key, value)| now.get(key).is_some_and(|now| says_all(now, value)))
        }
        (Value::Array(now), Value::Array(before)) => {
            now.len() == before.len() && now.iter().zip(before).all(|(now, before)| says_all(now, before))
        }
        (now, before) => now == before,
    }
}

#[track_caller]
fn assert_says_all(now: &Value, before: &Value) {
    assert!(says_all(now, before), "{now:#}\ndoes not say all of\n{before:#}");
}

#[test]
fn this_version_has_its_files() {
    let ours = folder().join(concat!("v", env!("CARGO_PKG_VERSION")));
    if std::env::var_os("AMI2AMO_COMPAT").is_some_and(|word| word == "write") {
        write::version(&ours);
    }
    for name in ["ami2amo.toml", "config.json", "items.jsonl", "records.jsonl", "stats.json", "store.jsonl"] {
        assert!(
            ours.join(name).is_file(),
            "{} is missing: see tests/compat/README.md",
            ours.join(name).display()
        );
    }
}

#[test]
fn files_of_a_version_are_written_once() {
    for version in versions() {
        let before = text(&version.join("store.jsonl"));
        let refused = std::panic::catch_unwind(|| write::version(&version)).is_err();
        assert!(refused && text(&version.join("store.jsonl")) == before, "{}", version.display());
    }
}

#[test]
fn an_old_configuration_means_the_same() {
    for version in versions() {
        let file: File = toml::from_str(&text(&version.join("ami2amo.toml"))).expect("its form is known");
        let before: Value = serde_json::from_str(&text(&version.join("config.json"))).unwrap();
        assert_says_all(&write::meaning(&file), &before);
    }
}

#[test]
fn the_configuration_that_is_kept_has_every_key() {
    let example = include_str!("../config/ami2amo.toml");
    let key = |line: &str| {
        let (key, _) = line.trim_start_matches('#').split_once(" = ")?;
        let is_key = key.starts_with(|c: char| c.is_ascii_lowercase()) && !key.contains(' ');
        is_key.then(|| key.to_owned())
    };
    let keys = |text: &str| text.lines().filter_map(key).collect::<BTreeSet<_>>();
    let missing: Vec<_> = keys(example).difference(&keys(write::EVERY_KEY)).cloned().collect();
    assert!(missing.is_empty(), "tests/samples/every-key.toml lacks {missing:?}");
}

#[test]
fn old_json_lines_are_read() {
    for version in versions() {
        let lines = json_lines(&version.join("records.jsonl"));
        assert!(lines.len() >= 8);
        for before in lines {
            let record: CallRecord = serde_json::from_value(before.clone()).expect("it is a record");
            assert_says_all(&serde_json::to_value(record).unwrap(), &before);
        }
    }
}

#[test]
fn a_call_goes_on_from_an_old_checkpoint() {
    let mut count = 0;
    for version in versions() {
        for path in following::files(&version) {
            let Followed { calls, expected, .. } = following::go_on(&json_lines(&path), |_| {});
            assert!(!expected.is_empty());
            assert_eq!(calls.len(), expected.len(), "{}", path.display());
            for (call, before) in calls.iter().zip(&expected) {
                assert_says_all(call, before);
            }
            count += 1;
        }
    }
    assert!(count >= 8, "{count} checkpoints");
}

#[test]
fn a_checkpoint_keeps_what_a_later_version_added() {
    for version in versions() {
        let mut kept = 0;
        for path in following::files(&version) {
            let later = |value: &mut Value| value["later"] = json!({"than": [1, null]});
            let Followed { calls, expected, written } = following::go_on(&json_lines(&path), later);
            assert_eq!(calls.len(), expected.len());
            for (key, value) in written {
                assert_eq!(value["later"], json!({"than": [1, null]}), "{key}");
                kept += 1;
            }
        }
        assert!(kept > 0, "something that was restored is written again");
    }
}

#[test]
fn an_old_store_is_opened_and_has_every_call() {
    for version in versions() {
        let dir = tempfile::tempdir().unwrap();
        let rows = json_lines(&version.join("store.jsonl")).iter().map(Row::read).collect::<Vec<_>>();
        database::build(&dir.path().join("queue"), &rows);
        copy_journal(&version, dir.path());
        let mut store = Store::open(dir.path(), write::LATER).expect("an old store opens");
        assert_eq!(store.opened(), Opened::default(), "nothing is missing or damaged");
        let stats: Value = serde_json::from_str(&text(&version.join("stats.json"))).unwrap();
        assert_says_all(&serde_json::to_value(store.stats().unwrap()).unwrap(), &stats);
        let mut phases = BTreeSet::new();
        for before in json_lines(&version.join("items.jsonl")) {
            let item: Item = serde_json::from_value(before.clone()).expect("it is an item");
            let found = store.find(&item.call.record.call_id).unwrap().expect("the call is there");
            assert_says_all(&serde_json::to_value(&found).unwrap(), &before);
            let record = &found.call.record;
            let by_channel = store.find_uniqueid(&record.pbx, &record.uniqueids[0]).unwrap();
            assert!(by_channel.contains(&found));
            phases.insert(found.state.phase());
        }
        assert_eq!(phases.len(), 9, "every state: {phases:?}");
        for (shelf, key, value) in write::SHELVES {
            assert_eq!(store.get(shelf, key).unwrap().as_deref(), Some(value.as_bytes()), "{key}");
        }
        assert_eq!(store.pin_pbx(&[]).unwrap().len(), 1);
    }
}

#[test]
fn an_old_call_goes_its_way_and_keeps_what_a_later_version_added() {
    for version in versions() {
        let dir = tempfile::tempdir().unwrap();
        let queue = dir.path().join("queue");
        let mut rows = json_lines(&version.join("store.jsonl")).iter().map(Row::read).collect::<Vec<_>>();
        rows.iter_mut().filter(|row| row.tree == "outbox").for_each(Row::add_later_keys);
        database::build(&queue, &rows);
        let mut store = Store::open(dir.path(), write::LATER).expect("an old store opens");
        assert_eq!(
            store.adopt(&ami2amo::call::id::AccountId::default(), write::LATER).unwrap(),
            1,
            "the call that was being sent"
        );
        let account = ami2amo::call::id::AccountId::default();
        let due = store.lease(&account, 10, write::LATER).unwrap();
        assert!(!due.is_empty());
        let seqs: Vec<_> = due.iter().map(|item| item.seq).collect();
        store.intend(&seqs, write::LATER).unwrap();
        let sent = State::Sent { note_id: Some(9), entity: None, at: write::LATER };
        store
            .settle(seqs.iter().map(|seq| write::settled(*seq, sent.clone())).collect(), write::LATER)
            .unwrap();
        drop(store);
        let rows = database::rows(&queue);
        let later = |tree: &str| rows.iter().filter(|row| row.tree == tree && row.has_later_keys()).count();
        assert_eq!(later("history"), seqs.len(), "calls that were sent since");
        let waiting = rows.iter().filter(|row| row.tree == "outbox").count();
        assert_eq!(later("outbox"), waiting);
    }
}

#[test]
fn an_old_task_is_gone_on_with_and_keeps_what_a_later_version_added() {
    for version in versions() {
        let dir = tempfile::tempdir().unwrap();
        let rows = json_lines(&version.join("store.jsonl")).iter().map(Row::read).collect::<Vec<_>>();
        database::build(&dir.path().join("queue"), &rows);
        let store = Store::open(dir.path(), write::LATER).expect("an old store opens");
        let tasks = store.list(Shelf::Tasks, "default/").unwrap();
        assert!(!tasks.is_empty(), "{}", version.display());
        for (key, value) in tasks {
            assert_eq!(callback::number_of(&key), Some("9161234567"));
            let mut before: Value = serde_json::from_slice(&value).unwrap();
            before["later"] = json!({"than": [1, null]});
            let row = callback::Row::read(before.to_string().as_bytes()).expect("it is a task");
            assert_says_all(&serde_json::from_slice(&row.to_json()).unwrap(), &before);
        }
    }
}

#[test]
fn an_old_journal_alone_gives_back_what_was_not_done() {
    for version in versions() {
        let dir = tempfile::tempdir().unwrap();
        copy_journal(&version, dir.path());
        let mut store = Store::open(dir.path(), write::LATER).expect("a store without a database opens");
        let items = json_lines(&version.join("items.jsonl"));
        let is_open = |item: &&Value| {
            ["pending", "sending", "unknown", "parked", "dead"]
                .contains(&item["state"]["state"].as_str().unwrap())
        };
        let open: Vec<_> = items.iter().filter(is_open).collect();
        assert_eq!(store.opened().refilled, open.len() as u64);
        assert_eq!(store.opened().damaged_lines, 0);
        for before in open {
            let item: Item = serde_json::from_value(before.clone()).unwrap();
            let found = store.find(&item.call.record.call_id).unwrap().expect("the call came back");
            assert_says_all(&serde_json::to_value(&found.call).unwrap(), &before["call"]);
            assert_eq!((found.seq, found.enqueued_at), (item.seq, item.enqueued_at));
            // What amoCRM has refused was not stored: it may be sent again.
            let (is_doubted, was) = (matches!(found.state, State::Unknown { .. }), &item.state);
            assert!(is_doubted || !matches!(was, State::Sending { .. } | State::Unknown { .. }), "{was:?}");
            assert!(!is_doubted || !matches!(was, State::Pending | State::Parked { .. }), "{was:?}");
        }
    }
}

fn copy_journal(version: &Path, store: &Path) {
    fs::create_dir_all(store.join("journal")).unwrap();
    for entry in fs::read_dir(version.join("journal")).expect("a version has a journal") {
        let path = entry.unwrap().path();
        fs::copy(&path, store.join("journal").join(path.file_name().unwrap())).unwrap();
    }
}
