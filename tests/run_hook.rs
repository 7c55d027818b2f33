//! The hook `before-send` with the real program: what it changes, what becomes of calls when it fails or hangs, and
//! that it decides once.
#![cfg(feature = "daemon")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use daemon::{Host, LIMIT};
use fake_ami::{FakeAmi, Step};
use fake_amo::{FakeAmo, On, Options, What};
use prompt::{delivered, machine, missed_now, run, script};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "support/prompt.rs"]
mod prompt;

/// A machine with this hook.
async fn machine_with(amo: &FakeAmo, steps: Vec<Step>, hook: &str) -> (Host, FakeAmi) {
    let (host, ami) = machine(amo, steps).await;
    // With a line of the host's own, so that no script finds this folder by luck.
    let program = host.path("before-send");
    std::fs::write(&program, hook.replace("$HERE", &host.path("").display().to_string())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.edit(
        "[store]\n",
        &format!("[hook]\nbefore-send = [{:?}, \"--key=k3y\"]\n[store]\n", program.display().to_string()),
    );
    (host, ami)
}

fn calls_now(count: u32) -> Vec<u8> {
    (1..=count).flat_map(|n| missed_now(n).1).collect()
}

async fn status(host: &Host) -> Value {
    loop {
        let said = run(host, "status --json", "").await;
        if let Ok(status) = serde_json::from_str(&said.out) {
            return status;
        }
    }
}

/// Lines of a file that the hook writes.
fn runs(file: &PathBuf) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// The sample of docs/hook.md, run by the interpreter that there is.
fn sample() -> String {
    let page = include_str!("../docs/hook.md");
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (sample, _) = rest.split_once("```").unwrap();
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    let python = String::from_utf8(asked.stdout).unwrap();
    sample.replace("/usr/bin/env python3", python.trim())
}

#[tokio::test]
async fn the_sample_of_the_documents_changes_one_call_and_withholds_another() {
    let amo = fake_amo::start(Options::default()).await;
    let text = String::from_utf8(missed_now(2).1).unwrap();
    let own = text.replace("79161234568", "79160000000").into_bytes();
    let steps = vec![Step::Send(missed_now(1).1), Step::Send(own)];
    let (host, _ami) = machine_with(&amo, steps, &sample()).await;
    let mut daemon = host.start();
    delivered(&amo, 1).await;
    daemon.logs("call delivered").await;
    while status(&host).await["hook"]["withheld"] != 1 {}
    let call = amo.calls().remove(0).call;
    assert_eq!((&call["responsible_user_id"], &call["source"]), (&504_141.into(), &"shop".into()));
    let skipped = run(&host, "history --state skipped --json", "").await.out;
    let row: Value = serde_json::from_str(&skipped).unwrap();
    let id = row["call_id"].as_str().unwrap();
    let said = run(&host, &format!("explain {id} --language en"), "").await;
    assert!(
        said.words().contains("before-send does not want the call sent: our test phone"),
        "{}{}",
        said.out,
        said.err
    );
    let said = run(&host, "explain 79161234568 --language ru", "").await;
    assert!(
        said.words().contains("before-send изменил: source, responsible_user"),
        "{}{}",
        said.out,
        said.err
    );
    let hook = &status(&host).await["hook"];
    assert_eq!((&hook["changed"], &hook["failure"]), (&1.into(), &Value::Null), "{hook}");
    assert_eq!(hook["program"], host.path("before-send").display().to_string(), "no arguments");
    daemon.stopped().await;
    assert_eq!(amo.calls().len(), 1);
    assert_eq!(amo.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn every_call_is_asked_about_once_and_keeps_what_was_decided() {
    let amo = fake_amo::start(Options { relaxed_pace: true, ..Options::default() }).await;
    // Each run says another source.
    let hook = "#!/bin/sh\ncat > /dev/null\necho x >> $HERE/runs\necho \"{\\\"source\\\":\\\"run $$\\\"}\"\n";
    let (host, ami) = machine_with(&amo, vec![Step::Send(calls_now(60))], hook).await;
    // Nothing is stored at first, then an answer is lost.
    amo.fault(On::Post, 2, What::Status(503));
    amo.fault(On::Post, 1, What::ResetAfter);
    host.edit("default-user = 1", "default-user = 1\nrequest-timeout = \"1s\"");
    host.edit("[store]\n", "[delivery]\nretry-first = \"1s\"\nnote-lag = \"1s\"\n[store]\n");
    let daemon = host.start();
    let file = host.path("runs");
    let asked = async {
        while runs(&file) < 60 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, asked).await.expect("each call is asked about");
    let told = || async {
        let rows = run(&host, "queue export --state pending,parked,sent,sending,unknown", "").await.out;
        let rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
        let of = |row: Value| {
            let record = &row["item"]["call"]["record"];
            Some((record["call_id"].as_str()?.to_owned(), record["line"]["source"].as_str()?.to_owned()))
        };
        rows.filter_map(of).collect::<std::collections::BTreeMap<_, _>>()
    };
    let mut decided = told().await;
    while decided.len() < 60 {
        decided = told().await;
    }
    daemon.killed().await;
    ami.set_script(script(Vec::new()));
    let daemon = host.start();
    delivered(&amo, 60).await;
    assert_eq!(told().await, decided);
    daemon.stopped().await;
    assert_eq!(runs(&file), 60, "what is decided is not asked again");
    let mut posted = amo.calls();
    posted.sort_by(|one, other| one.uniq().cmp(other.uniq()));
    posted.dedup_by(|one, other| one.uniq() == other.uniq());
    assert_eq!((posted.len(), amo.calls().len()), (60, 60), "each once");
    for call in posted {
        assert_eq!(call.call["source"].as_str(), decided.get(call.uniq()).map(String::as_str));
    }
}

#[tokio::test]
async fn a_daemon_that_is_killed_while_the_hook_runs_asks_again() {
    let amo = fake_amo::start(Options::default()).await;
    // The first run hangs; the others answer.
    let hook = "#!/bin/sh\necho x >> $HERE/runs\nif mkdir $HERE/first; then sleep 10; fi\necho '{\"source\":\"second\"}'\n";
    let (host, ami) = machine_with(&amo, vec![Step::Send(calls_now(1))], hook).await;
    let daemon = host.start();
    let file = host.path("runs");
    let begun = async {
        while runs(&file) < 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, begun).await.expect("the hook is asked");
    daemon.killed().await;
    assert_eq!(amo.calls().len(), 0);
    ami.set_script(script(Vec::new()));
    let daemon = host.start();
    delivered(&amo, 1).await;
    daemon.stopped().await;
    assert_eq!((amo.calls()[0].call["source"].as_str(), amo.calls().len()), (Some("second"), 1));
}

#[tokio::test]
async fn a_hook_that_hangs_keeps_no_call_for_long_and_is_told_with_what_to_do() {
    let amo = fake_amo::start(Options { relaxed_pace: true, ..Options::default() }).await;
    let hook = "#!/bin/sh\necho x >> $HERE/runs\necho 'I hang' >&2\nsleep 600\n";
    let (host, _ami) = machine_with(&amo, vec![Step::Send(calls_now(200))], hook).await;
    let mut daemon = host.start();
    let line = daemon.logs("the hook failed").await;
    assert!(line.contains("WARN") && line.contains("it took longer than 2 s"), "{line}");
    delivered(&amo, 200).await;
    assert!(runs(&host.path("runs")) <= 8, "it is left alone after five failures, and four run at a time");
    let said = run(&host, "status", "").await;
    assert!(
        said.words().contains("it took longer than 2 s") && said.words().contains("docs/hook.md"),
        "{}",
        said.out
    );
    let hook = &status(&host).await["hook"];
    assert!(hook["bypassed"].as_u64().is_some_and(|count| count >= 192) && hook["failed"] != 0, "{hook}");
    let said = run(&host, "history --limit 200 --json", "").await.out;
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let said = run(&host, &format!("explain {} --language en", last["call_id"].as_str().unwrap()), "").await;
    assert!(said.words().contains("had failed again and again and was not asked"), "{}", said.out);
    let log = daemon.stopped().await;
    assert!(log.contains("code=\"hook-failing\""), "{log}");
}

#[tokio::test]
async fn a_hook_that_is_not_there_is_a_warning_and_costs_nothing() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, _ami) = machine_with(&amo, vec![Step::Send(calls_now(2))], "").await;
    std::fs::remove_file(host.path("before-send")).unwrap();
    let said = run(&host, "check --offline", "").await;
    assert!(said.code == 0 && said.out.contains("warn  [hook]: before-send "), "{}", said.out);
    let daemon = host.start();
    delivered(&amo, 2).await;
    let log = daemon.stopped().await;
    assert!(log.contains("it cannot be started"), "{log}");
    let capture =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/ast22-vanilla/click-to-call-answered.ami.gz");
    let dry = run(&host, &format!("replay --format amocrm {capture}"), "").await;
    assert!(dry.err.contains("[hook] before-send is not run by a replay"), "{}", dry.err);
}

#[tokio::test]
async fn four_run_at_a_time_and_no_more() {
    let amo = fake_amo::start(Options { relaxed_pace: true, ..Options::default() }).await;
    let hook = "#!/bin/sh\nmkdir $HERE/slot.$$\nls -d $HERE/slot.* | wc -l >> $HERE/counts\nsleep 0.3\nrmdir $HERE/slot.$$\n";
    let (host, _ami) = machine_with(&amo, vec![Step::Send(calls_now(24))], hook).await;
    let daemon = host.start();
    delivered(&amo, 24).await;
    daemon.stopped().await;
    let counts = std::fs::read_to_string(host.path("counts")).unwrap();
    let counts: Vec<u32> = counts.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!((counts.len(), counts.iter().max()), (24, Some(&4)), "{counts:?}");
}
