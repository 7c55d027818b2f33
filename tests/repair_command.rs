//! `ami2amo repair` and the records' line of `ami2amo check`, as people call them.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ami2amo::call::id::{CallId, PbxName};
use ami2amo::call::record::{Direction, Skip, Source};
use ami2amo::call::why::{PartialRule, Why};
use ami2amo::outbox::queue::{Queue as _, State};
use ami2amo::outbox::store::{Shelf, Store};
use ami2amo::time::HostTime;
use serde_json::Value;
use tempfile::TempDir;

#[path = "support/discretion.rs"]
mod discretion;

/// A folder with a configuration whose records are those of an hour ago, beside a store.
struct Desk {
    dir: TempDir,
    /// The call's uniqueid.
    id: String,
}

/// The call of the group: its own time, and its records beside a capture.
const MADE: i64 = 1_795_339_635;
const GROUP: &str = include_str!("captures/ast22-vanilla/in-ringgroup-answered.cdr.csv");
const GROUP_ID: &str = "1795339635.20";

/// How a configuration says where calls go, and by which secrets.
const SECRETS: &str = "secret = \"s3cret\"";
const AMOCRM: &str = "base-url = \"http://127.0.0.1:9\"\ntoken = \"t0ken\"\ndefault-user = 1\n";

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// The records of the group's call as if it had been `ago` seconds ago.
fn group(ago: i64) -> (String, String) {
    let made = now() - ago;
    let mut text = GROUP.to_owned();
    for second in 0..60 {
        let at = |epoch: i64| ami2amo::time::local::text(epoch * 1_000_000);
        text = text.replace(&at(MADE + second), &format!("\0{second}\0"));
    }
    for second in 0..60 {
        text =
            text.replace(&format!("\0{second}\0"), &ami2amo::time::local::text((made + second) * 1_000_000));
    }
    let id = format!("{made}.20");
    (text.replace(GROUP_ID, &id), id)
}

impl Desk {
    fn new() -> Self {
        let (records, id) = group(3600);
        Self::with(&records, id)
    }

    fn with(records: &str, id: String) -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap(), id };
        std::fs::write(desk.path("Master.csv"), records).unwrap();
        desk.configure(SECRETS, AMOCRM, "csv", &format!("path = \"{}\"", desk.path("Master.csv").display()));
        desk
    }

    fn configure(&self, secret: &str, amocrm: &str, kind: &str, records: &str) {
        let config = format!(
            "[[pbx]]\nhost = \"127.0.0.1\"\nusername = \"u\"\n{secret}\n[pbx.cdr]\nkind = \"{kind}\"\n{records}\n\
             [amocrm]\n{amocrm}\n[store]\ndir = \"{}\"\n",
            self.path("store").display(),
        );
        std::fs::write(self.path("ami2amo.toml"), config).unwrap();
    }

    fn call_id(&self) -> CallId {
        CallId::new(&PbxName::default(), &self.id, 1)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ask(&self, line: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ami2amo"));
        command.env_clear().arg("--config").arg(self.path("ami2amo.toml")).args(line).output().unwrap()
    }

    fn repair(&self, line: &[&str]) -> (Option<i32>, String, String) {
        let day = ["repair", "--from", "24h"];
        let output = self.ask(&[&day[..], line].concat());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let told = text(&output.stderr);
        let secrets = discretion::secrets(&self.path("ami2amo.toml"));
        assert_eq!(discretion::faults(&told, &secrets), Vec::<String>::new());
        (output.status.code(), text(&output.stdout), told)
    }

    fn store(&self) -> Store {
        Store::open(&self.path("store"), HostTime::default()).unwrap()
    }
}

#[test]
fn missing_calls_are_told_then_stored_once() {
    let desk = Desk::new();
    let (code, page, _) = desk.repair(&[]);
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("missing") && page.contains("79161013644") && page.contains("--enqueue"), "{page}");
    assert!(!desk.path("store/queue").exists(), "a look makes nothing");
    let (_, page, _) = desk.repair(&["--dry-run", "--language", "ru"]);
    assert!(page.contains("нет в хранилище 1") && page.contains("ничего не изменено"), "{page}");

    let (code, page, _) = desk.repair(&["--enqueue"]);
    assert_eq!(code, Some(0), "{page}");
    assert!(page.contains("put into the outbox: 1"), "{page}");
    let id = desk.call_id();
    let record = desk.store().find(&id).unwrap().unwrap().call.record;
    assert_eq!((record.source, record.responsible.as_deref()), (Source::Cdr, Some("102")));

    let (code, page, _) = desk.repair(&["--enqueue"]);
    assert_eq!(code, Some(0), "{page}");
    assert!(page.contains("missing 0, extra 0, different 0, the same 1"), "{page}");
    assert_eq!(desk.store().stats().unwrap().ended, 1);
}

#[test]
fn what_differs_or_is_in_no_record_is_told() {
    let desk = Desk::new();
    desk.repair(&["--enqueue"]);
    let mut store = desk.store();
    let id = desk.call_id();
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
    let desk = Desk::new();
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
    let desk = Desk::new();
    let told = |line: &[&str]| {
        let output = desk.ask(line);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let check = |line: &[&str], code, words| {
        let (found, told) = told(line);
        assert!(found == Some(code) && told.contains(words), "{line:?}: {found:?} {told}");
    };
    check(&["repair"], 2, "--from");
    check(&["repair", "--from", "soon"], 2, "is no time");
    check(&["repair", "--from", "1h", "--to", "2h"], 2, "is not before");
    check(&["repair", "--from", "2099-01-01", "--to", "2099-02-01"], 2, "lies ahead");
    check(&["repair", "--from", "1h", "--pbx", "spb"], 2, "there is no PBX \"spb\"");
    std::fs::remove_file(desk.path("Master.csv")).unwrap();
    check(&["repair", "--from", "1h"], 1, "cdr_csv");
    let config = std::fs::read_to_string(desk.path("ami2amo.toml")).unwrap();
    std::fs::write(desk.path("ami2amo.toml"), config.replace("kind = \"csv\"", "kind = \"mysql\"")).unwrap();
    check(&["repair", "--from", "1h"], 78, "path has no meaning");
    let (from, to) = (config.find("[pbx.cdr]").unwrap(), config.find("[amocrm]").unwrap());
    std::fs::write(desk.path("ami2amo.toml"), format!("{}{}", &config[..from], &config[to..])).unwrap();
    check(&["repair", "--from", "1h"], 78, "no table says where the PBX's records are");
}

#[test]
fn the_time_that_is_to_come_is_not_read_through() {
    let (_, page, _) = Desk::new().repair(&["--to", "2099-01-01"]);
    assert!(page.contains("missing 1, extra 0"), "{page}");
}

/// Hour by hour from 1970 this takes the better part of a day.
#[test]
fn the_time_before_the_first_record_is_not_read_through() {
    let desk = Desk::new();
    let ask = |line: &[&str]| {
        let output = desk.ask(&[&["repair", "--from", "1970-01-01"], line].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, page, told) = ask(&[]);
    assert!(code == Some(1) && page.contains("missing 1, extra 0"), "{page}{told}");
    assert!(told.contains("the records of \"default\" begin at 20"), "{told}");
    let (code, page, told) = ask(&["--to", "2000-01-01"]);
    assert!(code == Some(0) && page.contains("missing 0, extra 0"), "{page}{told}");
    std::fs::write(desk.path("Master.csv"), "").unwrap();
    let (code, _, told) = ask(&[]);
    assert!(code == Some(0) && told.contains("no record of \"default\" has a time"), "{told}");
    // What is refused is refused before anything is read.
    std::fs::remove_file(desk.path("Master.csv")).unwrap();
    let (code, _, told) = ask(&["--enqueue"]);
    assert!(code == Some(2) && told.contains("may have forgotten"), "{told}");
}

#[test]
fn times_may_be_told_as_how_long_ago() {
    let desk = Desk::new();
    for from in [
        &["--from", "-3h"][..],
        &["--from=-3h"],
        &["--from", "3h", "--to", "-1m"],
        &["--from", "20d"],
        &["--from", "1w"],
    ] {
        let output = desk.ask(&[&["repair"], from].concat());
        let (page, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.code() == Some(1) && page.contains("missing 1"), "{from:?}: {page}{told}");
    }
    for (from, words) in
        [("3", "is no time"), ("-h", "is no time"), ("1mo", "write it in days"), ("--json", "is no time")]
    {
        let output = desk.ask(&["repair", "--from", from]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(words), "{from}: {told}");
    }
}

#[test]
fn the_daemon_s_secrets_are_not_needed() {
    let gone = |name: &str| format!("secret-file = \"/run/credentials/ami2amo.service/{name}\"");
    let desk = Desk::new();
    let records = format!("path = \"{}\"", desk.path("Master.csv").display());
    let amocrm = format!(
        "base-url = \"https://example.amocrm.ru\"\ntoken-{}\n",
        gone("amocrm-token").replace("secret-", "")
    );
    desk.configure(&gone("ami-secret"), &amocrm, "csv", &records);
    let (code, page, told) = desk.repair(&["--enqueue"]);
    assert_eq!(code, Some(0), "{page}{told}");
    assert!(page.contains("put into the outbox: 1"), "{page}");
    // That of the database is, and is found where another unit is given it.
    let file = "user = \"u\"\nport = 9\npassword-file = \"/run/credentials/ami2amo.service/cdr-password\"";
    desk.configure(&gone("ami-secret"), &amocrm, "mysql", file);
    let (code, _, told) = desk.repair(&[]);
    assert!(code == Some(78) && told.contains("systemd-run"), "{code:?} {told}");
    std::fs::write(desk.path("cdr-password"), "geheim\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ami2amo"));
    command.env_clear().env("CREDENTIALS_DIRECTORY", desk.dir.path());
    let output =
        command.arg("--config").arg(desk.path("ami2amo.toml")).args(["repair", "--from", "1h"]).output();
    let told = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(!told.contains("systemd-run") && told.contains("cannot read the records"), "{told}");
}

#[test]
fn what_root_stores_is_the_owner_s() {
    const OWNER: u32 = 61_184; // the first of the users that systemd makes up
    let desk = Desk::new();
    let store = desk.path("store");
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return eprintln!("only root can give files to another user: not tried");
    }
    drop(desk.store());
    each_file(&store, &mut |path| chown(path, Some(OWNER), Some(OWNER)).unwrap());
    let (code, page, told) = desk.repair(&[]);
    assert!(code == Some(1) && told.contains("belongs to user 61184"), "{page}{told}");
    let (code, page, told) = desk.repair(&["--enqueue"]);
    assert_eq!(code, Some(0), "{page}{told}");
    each_file(&store, &mut |path| {
        let meta = std::fs::symlink_metadata(path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (OWNER, OWNER), "{}", path.display());
    });
    assert!(desk.store().find(&desk.call_id()).unwrap().is_some());
}

fn each_file(path: &Path, act: &mut dyn FnMut(&Path)) {
    act(path);
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        each_file(&entry.unwrap().path(), act);
    }
}

#[test]
fn what_the_store_may_have_forgotten_is_not_stored_again() {
    const DAYS: i64 = 24 * 3600;
    let (records, id) = group(40 * DAYS);
    let desk = Desk::with(&records, id);
    let line = ["repair", "--from", "1000h"];
    let output = desk.ask(&[&line[..], &["--enqueue"]].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && told.contains("may have forgotten"), "{told}");
    assert!(!desk.path("store/queue").exists());
    let output = desk.ask(&line);
    let (page, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(
        output.status.code() == Some(1) && page.contains("missing 1") && told.contains("may have forgotten"),
        "{told}"
    );
}

/// The span that the documentation names is not too long by the moment that the command takes.
#[test]
fn as_long_as_the_store_surely_remembers_is_not_too_far_back() {
    let desk = Desk::new();
    for stored in [1, 0] {
        let output = desk.ask(&["repair", "--from", "30d", "--enqueue"]);
        let (page, told) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((output.status.code(), told.contains("may have forgotten")), (Some(0), false), "{told}");
        assert_eq!(page.contains("put into the outbox: 1"), stored == 1, "{page}");
    }
}

/// A connection was lost before the trunk's leg began, and nobody looked into the records then.
#[test]
fn a_call_that_is_not_sent_because_it_was_cut_short_is() {
    let desk = Desk::new();
    desk.repair(&["--enqueue"]);
    let whole = desk.store().find(&desk.call_id()).unwrap().unwrap().call;
    std::fs::remove_dir_all(desk.path("store")).unwrap();
    let mut half = whole.clone();
    (half.record.source, half.record.direction) = (Source::Ami, Direction::Internal);
    (half.record.skip, half.record.phone, half.record.phone_raw) = (Some(Skip::Internal), None, None);
    (half.record.partial, half.record.why) = (true, vec![Why::Partial { rule: PartialRule::EndNotSeen }]);
    desk.store().enqueue(vec![half], HostTime::default()).unwrap();
    let (code, page, _) = desk.repair(&[]);
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("missing 0, extra 0, different 1"), "{page}");
    let (code, page, _) = desk.repair(&["--enqueue"]);
    assert_eq!(code, Some(0), "{page}");
    assert!(page.contains("different 0, the same 1") && page.contains("put into the outbox: 1"), "{page}");
    let item = desk.store().find(&desk.call_id()).unwrap().unwrap();
    assert_eq!((item.state, item.call.record.skip), (State::Pending, None));
    assert_eq!(item.call.record.phone, whole.record.phone);
    let (_, page, _) = desk.repair(&["--enqueue"]);
    assert!(!page.contains("put into the outbox"), "{page}");
}

#[test]
fn a_call_that_ended_otherwise_for_the_store_is_known_by_its_channels() {
    let desk = Desk::new();
    desk.repair(&["--enqueue"]);
    let mut call = desk.store().find(&desk.call_id()).unwrap().unwrap().call;
    std::fs::remove_dir_all(desk.path("store")).unwrap();
    // Its last channel was taken for gone two days later, and it was opened by another one.
    call.record.ended_at = call.record.ended_at.after(Duration::from_hours(48));
    call.record.call_id = CallId::new(&PbxName::default(), "1.1", 1);
    desk.store().enqueue(vec![call], HostTime::default()).unwrap();
    let (_, page, _) = desk.repair(&["--enqueue"]);
    assert!(page.contains("missing 0"), "{page}");
    assert_eq!(desk.store().stats().unwrap().ended, 1);
}

#[test]
fn calls_that_a_pbx_had_under_another_name_are_not_stored_again() {
    let desk = Desk::new();
    desk.repair(&["--enqueue"]);
    let config = std::fs::read_to_string(desk.path("ami2amo.toml")).unwrap();
    let renamed = config.replace("host = ", "name = \"msk\"\nrenamed-from = \"default\"\nhost = ");
    std::fs::write(desk.path("ami2amo.toml"), renamed).unwrap();
    for line in [&["--enqueue"][..], &[]] {
        let (code, page, _) = desk.repair(line);
        assert_eq!(code, Some(0), "{page}");
        assert!(page.contains("missing 0, extra 0, different 0, the same 1"), "{page}");
    }
    // Another process holds the store.
    let _store = desk.store();
    let (_, page, _) = desk.repair(&[]);
    assert!(page.contains("missing 0, extra 0, different 0, the same 1"), "{page}");
}

#[test]
fn records_that_cannot_be_read_keep_no_other_pbx_from_being_repaired() {
    let desk = Desk::new();
    let config = std::fs::read_to_string(desk.path("ami2amo.toml")).unwrap();
    let absent = config[..config.find("[amocrm]").unwrap()].replace("Master.csv", "absent.csv");
    let absent = absent.replace("host = ", "name = \"spb\"\nport = 5039\nhost = ");
    std::fs::write(desk.path("ami2amo.toml"), absent + &config).unwrap();
    let (code, page, told) = desk.repair(&["--enqueue"]);
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("put into the outbox: 1"), "{page}");
    assert!(told.contains("cannot read the records of \"spb\"") && told.contains("absent.csv"), "{told}");
}

#[test]
fn calls_without_ids_are_told_and_not_stored() {
    let (records, id) = group(3600);
    let without: Vec<_> = records
        .lines()
        .map(|line| format!("{}\n", line.split(&format!(",\"{id}\",")).next().unwrap()))
        .collect();
    let desk = Desk::with(&without.concat(), id);
    // Without ids the file's own time tells the zone.
    let records = std::fs::File::options().write(true).open(desk.path("Master.csv")).unwrap();
    records.set_modified(SystemTime::now() - Duration::from_secs(3590)).unwrap();
    let (code, page, told) = desk.repair(&["--enqueue"]);
    assert_eq!(code, Some(1), "{page}{told}");
    assert!(
        page.contains("1 missing calls have no uniqueid") && page.contains("put into the outbox: 0"),
        "{page}"
    );
    assert!(!desk.path("store/queue").exists());
}

#[test]
fn what_cannot_be_read_is_no_agreement() {
    let (records, id) = group(3600);
    let desk = Desk::with(&format!("{records}noise\n"), id);
    let (code, page, _) = desk.repair(&["--enqueue"]);
    assert!(code == Some(1) && page.contains("at least 1 records or lines"), "{page}");
    let noise: Vec<u8> = (0..200_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    std::fs::write(desk.path("Master.csv"), noise).unwrap();
    let (code, json, _) = desk.repair(&["--json"]);
    let totals: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert!(code == Some(1) && totals["unread"].as_u64() > Some(0), "{json}");
}

#[test]
fn a_call_in_progress_for_the_store_is_no_agreement() {
    let desk = Desk::new();
    let key = format!("default/c/{}", desk.id);
    desk.store().put(Shelf::Inflight, &key, b"{}").unwrap();
    let (code, page, told) = desk.repair(&["--enqueue"]);
    assert!(
        page.contains("missing 0") && page.contains("1 calls of the records are in progress"),
        "{page}{told}"
    );
    assert_eq!(code, Some(1));
}

#[test]
fn check_says_whether_the_records_can_be_read() {
    let told = |desk: &Desk, line: &[&str]| String::from_utf8(desk.ask(line).stdout).unwrap();
    let desk = Desk::new();
    let page = told(&desk, &["check"]);
    assert!(
        page.contains("ok    [pbx.cdr] of \"default\": records can be read, the newest ended at 20"),
        "{page}"
    );
    std::fs::remove_file(desk.path("Master.csv")).unwrap();
    let page = told(&desk, &["check"]);
    assert!(page.contains("warn  [pbx.cdr] of \"default\": records cannot be read"), "{page}");
    let page = told(&desk, &["check", "--offline"]);
    assert!(!page.contains("cannot be read"), "{page}");
}

#[cfg(not(feature = "cdr-sqlite"))]
#[test]
fn a_driver_that_the_build_lacks_is_a_fault_of_the_configuration() {
    let desk = Desk::new();
    desk.configure(SECRETS, AMOCRM, "sqlite", "path = \"/nowhere/cdr.db\"");
    for line in [&["check", "--offline"][..], &["repair", "--from", "1h"]] {
        let output = desk.ask(line);
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(
            output.status.code() == Some(78) && told.contains("--features cdr-sqlite"),
            "{line:?} {told}"
        );
    }
}
