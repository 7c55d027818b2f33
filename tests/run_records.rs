//! The file of records (`[records] file`): the real program, with calls that are delivered, refused and not sent.
#![cfg(feature = "daemon")]

use std::path::PathBuf;

use serde_json::Value;

use daemon::{Daemon, Host, LIMIT};
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

/// A machine that writes `file`, and the file.
async fn machine_with(amo: &FakeAmo, steps: Vec<Step>, more: &str) -> (Host, FakeAmi, PathBuf) {
    let (host, ami) = machine(amo, steps).await;
    let file = host.path("records/calls.jsonl");
    host.edit("[store]\n", &format!("[records]\nfile = \"{}\"\n{more}\n[store]\n", file.display()));
    (host, ami, file)
}

/// What stands in the file.
fn lines(file: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Waits until the file has as many lines.
async fn written(file: &PathBuf, count: usize) -> Vec<Value> {
    let looked = async {
        loop {
            let lines = lines(file);
            if lines.len() >= count {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    };
    let lines = tokio::time::timeout(LIMIT, looked).await;
    lines.unwrap_or_else(|_| panic!("{count} lines should be there: {:#?}", self::lines(file)))
}

/// A call of nobody knows whom.
fn anonymous_now(count: u32) -> Vec<u8> {
    let text = String::from_utf8(missed_now(count).1).unwrap();
    text.replace("79161234568", "anonymous").into_bytes()
}

async fn stop(daemon: Daemon) -> String {
    daemon.stopped().await
}

#[tokio::test]
async fn every_call_that_came_to_its_end_has_one_line_over_restarts() {
    let amo = fake_amo::start(Options::default()).await;
    let steps = vec![
        Step::Send(missed_now(1).1),
        Step::Send(anonymous_now(2)),
        Step::Hold,
        Step::Send(missed_now(3).1),
    ];
    let (host, ami, file) = machine_with(&amo, steps, "").await;
    let daemon = host.start();
    delivered(&amo, 1).await;
    written(&file, 2).await;
    assert_eq!(run(&host, "pause", "").await.code, 0);
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.go_on();
    while run(&host, "queue list --json", "").await.out.is_empty() {}
    stop(daemon).await;
    assert_eq!(lines(&file).len(), 2, "what waits has no line");
    assert_eq!(run(&host, "resume", "").await.code, 0);
    amo.fault(On::Post, 1, What::Validation(0));
    ami.set_script(script(Vec::new()));
    let mut daemon = host.start();
    daemon.logs("a person must look at it").await;
    stop(daemon).await;
    let lines = lines(&file);
    let mut ends: Vec<_> = lines.iter().map(|line| line["delivery"]["state"].as_str().unwrap()).collect();
    ends.sort_unstable();
    assert_eq!(ends, ["dead", "sent", "skipped"]);
    let of = |state: &str| lines.iter().find(|line| line["delivery"]["state"] == state).unwrap();
    assert_eq!((&of("sent")["v"], &of("sent")["phone"]), (&1.into(), &"79161234568".into()));
    assert!(of("sent")["delivery"]["note_id"].is_u64() && of("sent")["account"] == "default", "{lines:#?}");
    assert_eq!(of("skipped")["delivery"]["reason"], "anonymous");
    assert!(of("dead")["delivery"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{lines:#?}");
    // Whoever gives the dead one up ends it once more.
    let daemon = host.start();
    let id = of("dead")["call_id"].as_str().unwrap();
    while run(&host, "status", "").await.code == 2 {}
    assert_eq!(run(&host, &format!("queue drop {id} --why test"), "").await.code, 0);
    let all = written(&file, 4).await;
    assert_eq!(all[3]["delivery"]["state"], "expired");
    stop(daemon).await;
    assert_eq!(self::lines(&file).len(), 4);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_and_keeps_no_call_waiting() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, _ami, file) = machine_with(&amo, vec![Step::Send(missed_now(1).1)], "").await;
    // Even root cannot write into a folder.
    std::fs::create_dir_all(&file).unwrap();
    let mut daemon = host.start();
    let line = daemon.logs("the file of records cannot be written").await;
    assert!(line.contains("WARN") && line.contains("it is no file"), "{line}");
    delivered(&amo, 1).await;
    let said = loop {
        let said = run(&host, "status", "").await;
        if said.out.contains("1 sent") && said.out.contains("file of records") {
            break said;
        }
    };
    assert!(said.code == 1 && said.words().contains("ami2amo history --json"), "{}", said.out);
    let status: Value = serde_json::from_str(&run(&host, "status --json", "").await.out).unwrap();
    assert_eq!(status["records"]["failure"], "it is no file");
    std::fs::remove_dir(&file).unwrap();
    assert_eq!(written(&file, 1).await[0]["delivery"]["state"], "sent");
    daemon.logs("the file of records is written again").await;
    stop(daemon).await;
}

#[tokio::test]
async fn whoever_turns_the_file_himself_finds_the_next_lines_in_a_new_one() {
    let amo = fake_amo::start(Options::default()).await;
    let steps = vec![Step::Send(missed_now(1).1), Step::Hold, Step::Send(missed_now(2).1)];
    let (host, ami, file) = machine_with(&amo, steps, "max-size = \"off\"").await;
    let daemon = host.start();
    written(&file, 1).await;
    // As logrotate does, with a reload after it and without.
    std::fs::rename(&file, host.path("records/calls.jsonl.1")).unwrap();
    daemon.signal("-HUP");
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.go_on();
    written(&file, 1).await;
    stop(daemon).await;
    assert_eq!(lines(&host.path("records/calls.jsonl.1")).len(), 1);
}
