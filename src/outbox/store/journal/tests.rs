use super::read::{Intent, Open};
use super::*;
use crate::call::id::CallId;
use crate::outbox::queue::contract::at;
use crate::outbox::store::fsync::Kernel;

const DAY: i64 = 86_400;

struct Desk {
    dir: tempfile::TempDir,
    journal: Journal,
}

fn desk() -> Desk {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path().to_owned());
    Desk { dir, journal }
}

impl Desk {
    fn enter(&mut self, id: &str) {
        let call = serde_json::json!({ "id": id }).to_string();
        self.journal.enter(id, Seq(7), at(1), &call).unwrap();
    }

    fn sync(&mut self, now: HostTime) {
        self.journal.sync(now, &mut Kernel).unwrap();
    }

    fn open(&self) -> Open {
        Open::read(self.dir.path()).unwrap()
    }

    fn ids(&self) -> Vec<String> {
        self.open().ids().iter().map(ToString::to_string).collect()
    }

    fn only_file(&self) -> PathBuf {
        day_files(self.dir.path()).unwrap().remove(0)
    }
}

#[test]
fn a_call_is_open_until_it_is_done() {
    let mut desk = desk();
    desk.enter("a-1");
    desk.enter("a-2");
    desk.sync(at(0));
    desk.journal.done("a-1").unwrap();
    desk.sync(at(0));
    assert_eq!(desk.ids(), ["a-2"]);
    desk.enter("a-1");
    desk.sync(at(DAY));
    assert_eq!(desk.ids(), ["a-2", "a-1"]);
}

#[test]
fn an_entry_gives_back_all_of_its_call() {
    let mut desk = desk();
    desk.enter("a-1");
    desk.sync(at(0));
    let entry = desk.open().entry(&CallId::from_text("a-1")).unwrap().unwrap();
    assert_eq!((entry.seq, entry.enqueued_at, entry.intent), (Seq(7), at(1), None));
    assert_eq!(entry.call.get(), r#"{"id":"a-1"}"#);
    assert!(desk.open().entry(&CallId::from_text("a-2")).unwrap().is_none());
}

#[test]
fn an_intent_is_remembered() {
    let mut desk = desk();
    desk.enter("a-1");
    desk.journal.intend("a-1", BatchId(3), at(5)).unwrap();
    desk.sync(at(0));
    let entry = desk.open().entry(&CallId::from_text("a-1")).unwrap().unwrap();
    assert_eq!(entry.intent, Some(Intent { batch: BatchId(3), since: at(5) }));
    desk.journal.release("a-1").unwrap();
    desk.sync(at(0));
    assert_eq!(desk.open().take("a-1"), Some(None));
}

#[test]
fn ids_of_any_characters_are_read() {
    let mut desk = desk();
    for id in ["plain-1.1", "quo\"te", "back\\slash", "new\nline", "главный-1.1"] {
        desk.enter(id);
        desk.enter(&format!("{id} done"));
        desk.journal.done(&format!("{id} done")).unwrap();
    }
    desk.sync(at(0));
    let open = desk.open();
    assert_eq!(desk.ids(), ["plain-1.1", "quo\"te", "back\\slash", "new\nline", "главный-1.1"]);
    assert_eq!(open.damaged, 0);
}

#[test]
fn nothing_to_write_makes_no_file() {
    let mut desk = desk();
    desk.sync(at(0));
    assert!(day_files(desk.dir.path()).unwrap().is_empty());
}

#[test]
fn a_line_torn_by_a_crash_spoils_nothing_else() {
    let mut desk = desk();
    desk.enter("a-1");
    desk.enter("a-2");
    desk.sync(at(0));
    let file = desk.only_file();
    let bytes = fs::read(&file).unwrap();
    let first = memchr::memchr(b'\n', &bytes).unwrap() + 1;
    for length in first..bytes.len() - 1 {
        fs::write(&file, &bytes[..length]).unwrap();
        assert_eq!((desk.ids(), desk.open().damaged), (vec!["a-1".to_owned()], 0), "{length} bytes");
    }
    desk.journal = Journal::new(desk.dir.path().to_owned());
    desk.enter("a-3");
    desk.sync(at(0));
    assert_eq!(desk.ids(), ["a-1", "a-3"]);
}

#[test]
fn an_overlong_line_that_was_torn_is_torn_still() {
    for length in [LINE_MAX - 3, LINE_MAX - 1, LINE_MAX, LINE_MAX + 2, LINE_MAX + 5, 3 * LINE_MAX] {
        let mut desk = desk();
        desk.enter("a-1");
        desk.sync(at(0));
        let file = desk.only_file();
        let bytes = [fs::read(&file).unwrap(), vec![b'x'; length]].concat();
        fs::write(&file, &bytes).unwrap();
        assert_eq!((desk.ids(), desk.open().damaged), (vec!["a-1".to_owned()], 0), "{length} bytes");
        desk.journal = Journal::new(desk.dir.path().to_owned());
        desk.enter("a-2");
        desk.sync(at(0));
        assert_eq!(desk.ids(), ["a-1", "a-2"], "{length} bytes");
        assert_eq!(desk.open().damaged, 0, "{length} bytes");
    }
}

#[test]
fn damage_in_the_middle_is_counted_and_stepped_over() {
    let mut desk = desk();
    desk.enter("a-1");
    desk.sync(at(0));
    let file = desk.only_file();
    let mut bytes = vec![b'x'; 3 * LINE_MAX];
    bytes.push(b'\n');
    bytes.extend(fs::read(&file).unwrap());
    fs::write(&file, &bytes).unwrap();
    assert_eq!((desk.ids(), desk.open().damaged), (vec!["a-1".to_owned()], 1));
}

#[test]
fn a_call_whose_line_is_damaged_is_not_believed() {
    let mut desk = desk();
    desk.enter("a-1");
    desk.sync(at(0));
    let file = desk.only_file();
    let text = fs::read_to_string(&file).unwrap().replace(r#"{"id":"a-1"}"#, r#"{"id":"a-7"}"#);
    fs::write(&file, text).unwrap();
    assert!(desk.open().entry(&CallId::from_text("a-1")).unwrap().is_none());
}

#[test]
fn a_day_has_a_file_and_fourteen_files_are_kept() {
    let mut desk = desk();
    fs::write(desk.dir.path().join("notes.jsonl"), "").unwrap();
    for n in 0..20 {
        desk.enter(&format!("a-{n}"));
        desk.sync(at(n * DAY));
    }
    let names: Vec<_> =
        day_files(desk.dir.path()).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 14);
    assert_eq!([&names[0], &names[13]], ["2026-11-28.jsonl", "2026-12-11.jsonl"]);
    assert!(desk.dir.path().join("notes.jsonl").exists());
    assert_eq!(day(HostTime::from_micros(i64::MAX)), "0000-00-00");
}

#[test]
fn the_store_hears_which_days_are_about_to_go() {
    let mut desk = desk();
    for n in 0..14 {
        desk.enter(&format!("a-{n}"));
        assert_eq!(desk.journal.expires_before(at(n * DAY)).unwrap(), None);
        desk.sync(at(n * DAY));
    }
    assert_eq!(desk.journal.expires_before(at(14 * DAY)).unwrap(), None, "nothing is to be written");
    desk.enter("a-14");
    assert_eq!(desk.journal.expires_before(at(13 * DAY)).unwrap(), None, "the file is open");
    assert_eq!(desk.journal.expires_before(at(14 * DAY)).unwrap().unwrap(), "2026-11-23");
}

#[test]
fn what_root_makes_belongs_to_the_folders_owner_at_once() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let mut desk = desk();
    // Only root may give files away.
    let (uid, gid) = match chown(desk.dir.path(), Some(4321), Some(4322)) {
        Ok(()) => (4321, 4322),
        Err(_) => fs::metadata(desk.dir.path()).map(|meta| (meta.uid(), meta.gid())).unwrap(),
    };
    desk.enter("1");
    desk.sync(at(DAY));
    let lock = crate::outbox::store::lock::take(desk.dir.path()).unwrap();
    let made = [fs::metadata(desk.only_file()).unwrap(), lock.metadata().unwrap()];
    assert_eq!(made.map(|meta| (meta.uid(), meta.gid())), [(uid, gid); 2]);
}
