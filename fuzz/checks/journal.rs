//! The journal's files: damage costs the lines that it hits, and what is written after it is read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::call::id::CallId;
use crate::outbox::queue::{BatchId, Seq};
use crate::outbox::store::fsync::{Fsync, Target};
use crate::outbox::store::journal::Journal;
use crate::outbox::store::journal::read::{Intent, Open};
use crate::time::HostTime;

/// The day of the second file.
const NOW: HostTime = HostTime::from_micros(1_795_338_791_389_456);

/// Ids that an input cannot have by chance.
const LATER: [&str; 3] = ["later-1.1", "later \"quoted\"", "later-done"];

pub(super) fn check(data: &[u8]) {
    let folder = Folder::new();
    let Some((cut, text)) = data.split_first() else { return };
    // Two days, parted at a line's end.
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let (first, second) = lines.split_at(usize::from(*cut) % (lines.len() + 1));
    folder.write("2026-11-21.jsonl", &first.concat());
    folder.write("2026-11-22.jsonl", &second.concat());
    let open = read(&folder.0);
    let single = Folder::new();
    single.write("2026-11-22.jsonl", text);
    let same = read(&single.0);
    assert_eq!((open.ids(), open.damaged), (same.ids(), same.damaged), "two days are as one");
    assert!(open.damaged <= lines.len() as u64);
    write_on(&folder.0, &open);
}

/// The calls that are open are sound or refused, one by one.
fn read(dir: &Path) -> Open {
    let open = Open::read(dir).expect("the files can be read");
    for id in open.ids() {
        if let Some(entry) = open.entry(&id).expect("the file can be read") {
            assert!(serde_json::from_str::<Value>(entry.call.get()).is_ok(), "{id}");
        }
    }
    open
}

/// Another process goes on with the journal as it is.
fn write_on(dir: &Path, before: &Open) {
    let mut journal = Journal::new(dir.to_owned());
    for (seq, id) in (1..).zip(LATER) {
        let call = serde_json::json!({ "of": id }).to_string();
        journal.enter(id, Seq(seq), NOW, &call).expect("it has a JSON form");
    }
    journal.intend(LATER[0], BatchId(7), NOW).expect("it has a JSON form");
    journal.done(LATER[2]).expect("it has a JSON form");
    journal.sync(NOW, &mut Memory).expect("the file can be written");
    let after = Open::read(dir).expect("the files can be read");
    let mut expected: Vec<CallId> = before.ids();
    expected.extend(LATER[..2].iter().map(|id| CallId::from_text(*id)));
    assert_eq!((after.ids(), after.damaged), (expected, before.damaged));
    for (seq, id) in (1..).zip(&LATER[..2]) {
        let entry = after.entry(&CallId::from_text(*id)).expect("the file can be read").expect("it is sound");
        assert_eq!((entry.seq, entry.enqueued_at), (Seq(seq), NOW));
        assert_eq!(entry.intent, (seq == 1).then_some(Intent { batch: BatchId(7), since: NOW }));
        assert_eq!(entry.call.get(), serde_json::json!({ "of": id }).to_string());
    }
}

/// A disk that is fast, for nobody pulls its plug.
struct Memory;

impl Fsync for Memory {
    fn sync(&mut self, _target: Target, _file: &fs::File) -> io::Result<()> {
        Ok(())
    }
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ami2amo-fuzz-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).expect("a temporary file can be written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
