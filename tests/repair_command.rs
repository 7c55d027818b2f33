//! `ami2amo repair` and the records' line of `ami2amo check`, as people call them.

use std::path::PathBuf;
use std::process::{Command, Output};

use ami2amo::call::id::{CallId, PbxName};
use ami2amo::call::record::Source;
use ami2amo::outbox::queue::Queue as _;
use ami2amo::outbox::store::Store;
use ami2amo::time::HostTime;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a configuration whose records are those beside a capture.
struct Desk(TempDir);

impl Desk {
    fn new(records: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let captures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
        let config = format!(
            "[[pbx]]\nhost = \"127.0.0.1\"\nusername = \"u\"\nsecret = \"s\"\n[pbx.cdr]\nkind = \"csv\"\npath = \"{}\"\n\
             [amocrm]\nbase-url = \"http://127.0.0.1:9\"\ntoken = \"t\"\ndefault-user = 1\n[store]\ndir = \"{}\"\n",
            captures.join(records).display(),
            dir.path().join("store").display(),
        );
        std::fs::write(dir.path().join("ami2amo.toml"), config).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ask(&self, line: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ami2amo"));
        command.env_clear().arg("--config").arg(self.path("ami2amo.toml")).args(line).output().unwrap()
    }

    fn repair(&self, line: &[&str]) -> (Option<i32>, String, String) {
        let day = ["repair", "--from", "2026-11-22", "--to", "2026-11-23"];
        let output = self.ask(&[&day[..], line].concat());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn store(&self) -> Store {
        Store::open(&self.path("store"), HostTime::default()).unwrap()
    }
}

const GROUP: &str = "ast22-vanilla/in-ringgroup-answered.cdr.csv";
const GROUP_ID: &str = "1795339635.20";

#[test]
fn missing_calls_are_told_then_stored_once() {
    let desk = Desk::new(GROUP);
    let (code, page, _) = desk.repair(&[]);
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("missing") && page.contains("79161013644") && page.contains("--enqueue"), "{page}");
    assert!(!desk.path("store/queue").exists(), "a look makes nothing");
    let (_, page, _) = desk.repair(&["--dry-run", "--language", "ru"]);
    assert!(page.contains("нет в хранилище 1") && page.contains("ничего не изменено"), "{page}");

    let (code, page, _) = desk.repair(&["--enqueue"]);
    assert_eq!(code, Some(0), "{page}");
    assert!(page.contains("put into the outbox: 1"), "{page}");
    let id = CallId::new(&PbxName::default(), GROUP_ID, 1);
    let record = desk.store().find(&id).unwrap().unwrap().call.record;
    assert_eq!((record.source, record.responsible.as_deref()), (Source::Cdr, Some("102")));

    let (code, page, _) = desk.repair(&["--enqueue"]);
    assert_eq!(code, Some(0), "{page}");
    assert!(page.contains("missing 0, extra 0, different 0, the same 1"), "{page}");
    assert_eq!(desk.store().stats().unwrap().ended, 1);
}

#[test]
fn what_differs_or_is_in_no_record_is_told() {
    let desk = Desk::new(GROUP);
    desk.repair(&["--enqueue"]);
    let mut store = desk.store();
    let id = CallId::new(&PbxName::default(), GROUP_ID, 1);
    let known = store.find(&id).unwrap().unwrap().call;
    drop(store);
    std::fs::remove_dir_all(desk.path("store")).unwrap();
    let (mut differs, mut extra) = (known.clone(), known);
    differs.record.responsible = Some("105".to_owned());
    extra.record.call_id = CallId::new(&PbxName::default(), "1795339635.999", 1);
    extra.record.uniqueids = vec!["1795339635.999".to_owned()];
    let mut store = desk.store();
    store.enqueue(vec![differs, extra], HostTime::default()).unwrap();
    drop(store);
    let (code, page, _) = desk.repair(&[]);
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("missing 0, extra 1, different 1, the same 0"), "{page}");
    assert!(page.contains("booked on 105 (CDR 102)"), "{page}");
    let (_, json, _) = desk.repair(&["--json"]);
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let whats: Vec<_> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["extra", "different", "totals"]);
    assert_eq!(lines[1]["fields"], serde_json::json!(["responsible"]));
    assert_eq!((&lines[2]["extra"], &lines[2]["different"]), (&1.into(), &1.into()));
}

#[test]
fn a_store_that_is_held_is_compared_by_its_journal_and_takes_nothing() {
    let desk = Desk::new(GROUP);
    desk.repair(&["--enqueue"]);
    let _held = desk.store();
    let (code, page, told) = desk.repair(&[]);
    assert_eq!(code, Some(0), "{page}{told}");
    assert!(told.contains("states are as of its journal") && page.contains("the same 1"), "{told}");
    let (code, page, told) = desk.repair(&["--enqueue"]);
    assert_eq!((code, page.as_str()), (Some(1), ""));
    assert!(told.contains("systemctl stop ami2amo"), "{told}");
}

#[test]
fn what_cannot_be_done_is_said() {
    let desk = Desk::new(GROUP);
    let told = |line: &[&str]| String::from_utf8(desk.ask(line).stderr).unwrap();
    assert!(told(&["repair", "--from", "soon"]).contains("is no time"));
    assert!(told(&["repair", "--from", "1h", "--to", "2h"]).contains("is not before"));
    assert!(told(&["repair", "--from", "1h", "--pbx", "spb"]).contains("there is no PBX \"spb\""));
    let gone = Desk::new("no/such.csv");
    let (code, _, told) = gone.repair(&[]);
    assert_eq!(code, Some(1));
    assert!(told.contains("such.csv") && told.contains("cdr_csv"), "{told}");
}

#[test]
fn check_says_whether_the_records_can_be_read() {
    let told = |desk: &Desk, line: &[&str]| String::from_utf8(desk.ask(line).stdout).unwrap();
    let page = told(&Desk::new(GROUP), &["check"]);
    assert!(
        page.contains(
            "ok    [pbx.cdr] of \"default\": records can be read, the newest ended at 2026-11-22T09:27:22"
        ),
        "{page}"
    );
    let page = told(&Desk::new("no/such.csv"), &["check"]);
    assert!(page.contains("warn  [pbx.cdr] of \"default\": records cannot be read"), "{page}");
    let page = told(&Desk::new("no/such.csv"), &["check", "--offline"]);
    assert!(!page.contains("cannot be read"), "{page}");
}
