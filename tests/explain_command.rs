//! `explain` and `check` from the command line's side: the real binary, its exit codes, what goes to
//! which stream.

use std::path::Path;
use std::process::{Command, Output};

use ami2amo::call::record::{FinishedCall, Skip};
use ami2amo::outbox::errand::Errand;
use ami2amo::outbox::queue::{Queue as _, Seq, Settlement, State};
use ami2amo::outbox::store::{self, Store};
use ami2amo::time::HostTime;
use tempfile::TempDir;

use daemon::{Host, LIMIT, missed_call};
use fake_ami::{FakeAmi, Script, Step};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;

const QUEUE: &str = "tests/captures/ast22-vanilla/in-queue-answered.ami.gz";
const BUSY_HOUR: &str = "tests/captures/ast22-vanilla/busy-hour.ami.gz";

fn run(line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ami2amo"))
        .args(line)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn check(line: &[&str], code: i32, expected: &str) {
    let output = run(line);
    assert_eq!(output.status.code(), Some(code), "{line:?}: {}", stderr(&output));
    let said = if code == 0 { stdout(&output) } else { stderr(&output) };
    assert!(said.contains(expected), "{line:?}: {said}");
}

#[test]
fn the_exit_code_says_how_it_went() {
    check(&["explain", "--capture", QUEUE], 0, "waits in the queue sales");
    check(&["explain", "--capture", QUEUE, "1795339731.49"], 0, "waits in the queue sales");
    check(
        &["explain", "--capture", QUEUE, "9.9"],
        1,
        "there is no call 9.9 in the captures (calls in them: 1)",
    );
    check(&["explain", "--capture", "/no/such/file"], 1, "there is no such file");
    check(&["explain"], 2, "CALL");
    check(&["explain", "1.1", "--language", "fr"], 2, "possible values: en, ru");
    check(&["--config", "/no/such/file", "explain", "1.1"], 78, "cannot read the configuration");
    check(&["check", "--number", "1", "--sides", QUEUE], 2, "cannot be used with");
    check(&["check", "--sides", "/no/such/file"], 1, "there is no such file");
}

#[test]
fn a_number_finds_all_its_calls_newest_last() {
    let all = run(&["explain", "--json", "--capture", BUSY_HOUR]);
    let calls: Vec<FinishedCall> =
        stdout(&all).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(calls.len() > 50);
    let phone = calls.iter().find_map(|call| call.record.phone.clone()).unwrap();
    let expected: Vec<_> =
        calls.iter().filter(|call| call.record.phone.as_ref() == Some(&phone)).cloned().collect();
    let found = run(&["explain", "--json", "--capture", BUSY_HOUR, &format!("+7 {}", &phone[1..])]);
    let found: Vec<FinishedCall> =
        stdout(&found).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found, expected);
}

#[test]
fn tools_get_record_timeline_reasons_and_entry() {
    let output = run(&["explain", "--json", "--language", "ru", "--capture", QUEUE]);
    let object: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(object["record"]["queue"], "sales");
    assert_eq!(object["timeline"]["talks"].as_array().unwrap().len(), 1);
    assert_eq!(object["reasons"][0]["label"], "направление");
    assert_eq!(object["amocrm"]["source"], "capture");
    assert_eq!(object["amocrm"]["entry"]["phone"], "+79161025014");
    assert_eq!(
        object["record"]["why"].as_array().unwrap().len(),
        object["reasons"].as_array().unwrap().len()
    );
}

#[test]
fn the_language_is_that_of_the_locale() {
    let russian = |variable: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ami2amo"));
        let command = command.args(["explain", "--capture", QUEUE]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.env_clear().env(variable, value).output().unwrap();
        stdout(&output).contains("Почему")
    };
    assert!(russian("LANG", "ru_RU.UTF-8") && russian("LC_ALL", "ru_RU.UTF-8"));
    assert!(!russian("LANG", "en_US.UTF-8") && !russian("PATH", "ru_RU.UTF-8"));
}

#[test]
fn a_pipe_gets_no_colours() {
    assert!(!stdout(&run(&["explain", "--capture", QUEUE])).contains('\u{1b}'));
}

// ---- the store ----------------------------------------------------------------------------------------

/// A folder with a configuration and a store in which calls stand as they can.
struct Shelf(TempDir);

const NOW: HostTime = HostTime::from_micros(1_795_339_565_000_000);

impl Shelf {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = format!(
            "[amocrm.users]\n101 = 504141\n[store]\ndir = {:?}\n",
            dir.path().join("store").to_str().unwrap()
        );
        std::fs::write(dir.path().join("ami2amo.toml"), config).unwrap();
        Self(dir)
    }

    fn config(&self) -> String {
        self.0.path().join("ami2amo.toml").to_str().unwrap().to_owned()
    }

    fn store(&self) -> Store {
        Store::open(&self.0.path().join("store"), NOW).unwrap()
    }

    fn explain(&self, line: &[&str]) -> Output {
        run(&[&["--config", &self.config(), "explain"], line].concat())
    }
}

fn call(uniqueid: &str) -> FinishedCall {
    let sample =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/call.json")).unwrap();
    let mut call: FinishedCall = serde_json::from_slice(&sample).unwrap();
    call.record.call_id = ami2amo::call::id::CallId::from_text(format!("default-{uniqueid}"));
    call.record.uniqueids = vec![uniqueid.to_owned(), format!("{uniqueid}0")];
    call
}

/// One sent, one dead, one anonymous call.
fn stock(store: &mut Store) {
    let mut anonymous = call("7.3");
    (anonymous.record.skip, anonymous.record.phone) = (Some(Skip::Anonymous), None);
    anonymous.record.phone_raw = None;
    store.enqueue(vec![call("7.1"), call("7.2"), anonymous], NOW).unwrap();
    let settle = |store: &mut Store, seq, state| {
        store.intend(&[seq], NOW).unwrap();
        let settlement = Settlement {
            seq,
            state,
            next_at: NOW,
            last_error: None,
            attempted: true,
            errand: Errand::default(),
        };
        store.settle(vec![settlement], NOW).unwrap();
    };
    settle(store, Seq(0), State::Sent { note_id: Some(90_210), entity: None, at: NOW });
    settle(store, Seq(1), State::Dead { reason: "no such user".to_owned(), at: NOW });
}

#[test]
fn a_stored_call_shows_what_became_of_it() {
    let shelf = Shelf::new();
    stock(&mut shelf.store());
    for (asked, expected) in [
        ("default-7.1", "(sent), note 90210:"),
        ("7.20", "(dead): no such user"),
        ("7.3", "the outside number is not known"),
    ] {
        let output = shelf.explain(&[asked]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{asked}");
        assert!(stdout(&output).contains(expected), "{asked}: {}", stdout(&output));
        assert!(asked == "7.3" || stdout(&output).contains("\"responsible_user_id\": 504141"));
    }
    let both = shelf.explain(&["--json", "8 916 123-45-68"]);
    let states: Vec<String> = stdout(&both)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["amocrm"]["state"].to_string())
        .collect();
    assert_eq!(states, ["\"sent\"", "\"dead\""]);
}

#[test]
fn a_store_that_is_held_is_read_from_its_journal() {
    let shelf = Shelf::new();
    let mut held = shelf.store();
    stock(&mut held);
    let output = shelf.explain(&["7.1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let pid = std::process::id();
    let expected =
        format!("ami2amo: the daemon (process {pid}) holds the store: states are as of its journal\n");
    assert_eq!(stderr(&output), expected);
    assert!(stdout(&output).contains("It came to its end"), "{}", stdout(&output));
}

#[test]
fn a_call_that_is_nowhere_has_its_usual_causes() {
    let shelf = Shelf::new();
    for _ in ["without a store", "with one"] {
        let output = shelf.explain(&["+79990000000"]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));
        let said = stderr(&output);
        for expected in ["+79990000000", "store", "journal", "too old", "never saw it", "anonymous calls"] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        drop(shelf.store());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_explained_while_the_daemon_runs_and_after() {
    let steps = vec![Step::Send(missed_call("1795339565.1"))];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    let config = host.config();
    let explain = || run(&["--config", config.to_str().unwrap(), "explain", "79161234568"]);
    let found = async {
        loop {
            let output = tokio::task::block_in_place(explain);
            if output.status.success() {
                return output;
            }
            tokio::task::yield_now().await; // the call is on its way to the disk
        }
    };
    let output = tokio::time::timeout(LIMIT, found).await.expect("the call is stored");
    assert_eq!(stderr(&output), "", "the daemon is asked");
    assert!(stdout(&output).contains("(pending)"), "{}", stdout(&output));
    assert!(stdout(&output).contains("79161234568 calls 74957000101"), "{}", stdout(&output));
    daemon.stopped().await;
    let output = explain();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    assert!(stdout(&output).contains("(pending)"), "{}", stdout(&output));
}

// ---- sides that rest on little ------------------------------------------------------------------------

/// An endpoint that nothing is known of calls and hangs up.
fn call_of_somebody(uniqueid: &str) -> Vec<u8> {
    String::from_utf8(missed_call(uniqueid))
        .unwrap()
        .replace("trunk-msk", "somebody")
        .replace("from-trunk", "ctx")
        .replace("CallerIDNum: 79161234568", "CallerIDNum: <unknown>")
        .replace("Exten: 74957000101", "Exten: 500")
        .into_bytes()
}

#[test]
fn replay_names_an_endpoint_in_doubt_once() {
    let dir = TempDir::new().unwrap();
    let capture = dir.path().join("somebody.ami");
    let calls = [call_of_somebody("1795339565.1"), call_of_somebody("1795339566.2")].concat();
    std::fs::write(&capture, calls).unwrap();
    let capture = capture.to_str().unwrap();
    for format in ["table", "jsonl", "amocrm"] {
        let output = run(&["replay", "--format", format, capture]);
        assert_eq!(
            stderr(&output),
            "ami2amo: PJSIP/somebody may be a trunk or a phone: put trunks = [\"PJSIP/somebody\"] or \
             extensions = [\"PJSIP/somebody\"] under [calls.sides]\n",
            "{format}"
        );
    }
    check(&["explain", "--capture", capture], 0, "      extensions = [\"PJSIP/somebody\"]");
    check(&["check", "--sides", capture], 0, "PJSIP/somebody  unknown");
    let settled = dir.path().join("settled.toml");
    std::fs::write(&settled, "[calls.sides]\nextensions = [\"PJSIP/somebody\"]\n").unwrap();
    let settled = settled.to_str().unwrap();
    let output = run(&["--config", settled, "replay", capture]);
    assert_eq!(stderr(&output), "");
    check(
        &["--config", settled, "check", "--sides", capture],
        0,
        "by the configuration: phone of somebody (2 channels)",
    );
}

#[tokio::test]
async fn the_daemon_names_an_endpoint_in_doubt_once() {
    let calls = [call_of_somebody("1795339565.1"), call_of_somebody("1795339566.2")].concat();
    let steps = vec![Step::Send(calls)];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start();
    let line = daemon.logs("rests on little").await;
    assert!(line.contains("WARN") && line.contains("PJSIP/somebody") && line.contains("trunks = "), "{line}");
    daemon.logs("1795339566.2").await;
    let log = daemon.stopped().await;
    assert_eq!(log.matches("rests on little").count(), 1, "{log}");
}

#[test]
fn how_the_account_answers_a_batch_in_part_is_shown_once_it_is_known() {
    let shelf = Shelf::new();
    let mut store = shelf.store();
    stock(&mut store);
    drop(store);
    let unknown = shelf.explain(&["7.1", "--json"]);
    assert!(!stdout(&unknown).contains("mixed_batches"), "{}", stdout(&unknown));
    let mut store = shelf.store();
    let kept = br#"{"v":1,"manner":"opaque","since":1795338791000000}"#;
    store.put(store::Shelf::Manners, "default", kept).unwrap();
    drop(store);
    let page = shelf.explain(&["7.1"]);
    assert!(stdout(&page).contains("does not say which calls of a request it stored"), "{}", stdout(&page));
    let object: serde_json::Value = serde_json::from_str(stdout(&shelf.explain(&["7.1", "--json"]))).unwrap();
    assert_eq!(object["amocrm"]["mixed_batches"], "opaque");
}
