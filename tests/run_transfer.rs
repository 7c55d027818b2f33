//! Calls that move from one machine to another: the real program on both, with and without its daemon.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use daemon::{Host, LIMIT};
use fake_ami::{FakeAmi, Step};
use fake_amo::{On, Options, What};
use prompt::{delivered, machine, missed_now, run};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "support/prompt.rs"]
mod prompt;

/// Calls of this moment from `first` on, from begin to end.
fn calls_now(first: u32, count: u32) -> (Vec<String>, Vec<u8>) {
    let (ids, texts): (Vec<_>, Vec<_>) = (first..first + count).map(missed_now).unzip();
    (ids, texts.concat())
}

#[tokio::test]
async fn calls_that_wait_here_are_delivered_from_there_and_once() {
    let amo = fake_amo::start(Options::default()).await;
    let (ids, text) = calls_now(1, 3);
    let (here, ami) = machine(&amo, vec![Step::Hold, Step::Send(text)]).await;
    let mut daemon = here.start();
    daemon.logs("amoCRM answers").await;
    assert_eq!(run(&here, "pause", "").await.code, 0);
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.go_on();
    let mut exported = run(&here, "queue export", "").await;
    while exported.out.lines().count() < 3 {
        exported = run(&here, "queue export", "").await;
    }
    assert_eq!((exported.code, exported.err.as_str()), (0, "ami2amo: calls written: 3\n"));
    let lines: Vec<Value> = exported.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, id) in lines.iter().zip(&ids) {
        assert_eq!((&line["v"], &line["item"]["state"]["state"]), (&1.into(), &"pending".into()));
        assert_eq!(line["item"]["call"]["record"]["call_id"], format!("default-{id}"));
    }
    daemon.stopped().await;
    assert_eq!(run(&here, "queue export --phone 4568", "").await.out, exported.out, "without a daemon");
    assert_eq!(run(&here, "queue export --phone 4567", "").await.out, "");

    let (there, _ami) = machine(&amo, Vec::new()).await;
    let mut daemon = there.start();
    daemon.logs("amoCRM answers").await;
    let imported = run(&there, "queue import -", &exported.out).await;
    let expected = "calls: 3; taken in: 3; known before and left alone: 0\n";
    assert_eq!((imported.code, imported.out.as_str(), imported.err.as_str()), (0, expected, ""));
    delivered(&amo, 3).await;
    // What is delivered by now is not taken for new.
    let again = run(&there, "queue import - --json", &exported.out).await;
    assert_eq!(again.out.lines().count(), 3);
    assert!(again.out.lines().all(|line| line.contains("\"verdict\":\"known\"")), "{}", again.out);
    let log = daemon.stopped().await;
    let line = log.lines().find(|line| line.contains("calls of another store came in")).unwrap();
    assert!(line.contains("anna (uid ") && line.contains("new=3"), "{line}");
    assert_eq!(amo.calls().len(), 3);
}

#[tokio::test]
async fn a_wrong_line_is_named_before_anything_is_stored() {
    let amo = fake_amo::start(Options::default()).await;
    amo.fault(On::Post, 1, What::Validation(0));
    let (here, _ami) = machine(&amo, vec![Step::Send(calls_now(1, 1).1)]).await;
    let mut daemon = here.start();
    daemon.logs("a person must look at it").await;
    daemon.stopped().await;
    let exported = run(&here, "queue export --state dead", "").await.out;
    assert_eq!(exported.lines().count(), 1);

    let (there, _ami) = machine(&amo, Vec::new()).await;
    let unknown = run(&there, "queue import -", &exported).await;
    assert!(unknown.code == 1 && unknown.err.contains("there is no store"), "{}", unknown.err);
    there.start().stopped_when_ready().await;
    let file = there.path("calls.jsonl");
    for (second, expected) in [
        ("{}\n".to_owned(), "line 2: it is no exported call: missing field `v`"),
        (exported.replacen("\"v\":1", "\"v\":9", 1), "line 2: it is of version 9"),
        (exported.replace("\"account\":\"default\"", "\"account\":\"spb\""), "of account spb"),
        (exported[..40].to_owned(), "line 2: it is no exported call: EOF"),
    ] {
        std::fs::write(&file, exported.clone() + &second).unwrap();
        let said = run(&there, &format!("queue import {}", file.display()), "").await;
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{}", said.err);
        assert!(said.err.contains(expected) && said.err.contains("calls.jsonl, line 2"), "{}", said.err);
        assert_eq!(there.stored().ended, 0, "nothing was stored");
    }
    std::fs::write(&file, &exported).unwrap();
    let said = run(&there, &format!("queue import {} --language ru", file.display()), "").await;
    assert_eq!(said.out, "звонков: 1; принято: 1; уже известны и не тронуты: 0\n");
    let list = run(&there, "queue list", "").await;
    assert!(list.out.contains(" dead "), "{}", list.out);
}

/// A machine whose store has `count` dead calls, and no daemon.
async fn with_dead_calls(count: usize) -> (Host, FakeAmi) {
    let amo = fake_amo::start(Options::default()).await;
    amo.fault(On::Post, 1, What::Validation(0));
    let (host, ami) = machine(&amo, vec![Step::Send(calls_now(1, 1).1)]).await;
    let mut daemon = host.start();
    daemon.logs("a person must look at it").await;
    daemon.stopped().await;
    let line = run(&host, "queue export --state dead", "").await.out;
    let call: Value = serde_json::from_str(&line).unwrap();
    let id = call["item"]["call"]["record"]["call_id"].as_str().unwrap();
    let more: String = (1..count).map(|n| line.replace(id, &format!("{id}{n:03}"))).collect();
    assert_eq!(run(&host, "queue import -", &more).await.code, 0);
    (host, ami)
}

/// Nobody holds the store any more, or does not yet.
fn is_free(host: &Host) -> bool {
    std::fs::File::open(host.path("store/LOCK")).is_ok_and(|file| file.try_lock().is_ok())
}

#[tokio::test]
async fn the_store_is_nobodys_while_a_person_is_asked_and_while_nobody_reads() {
    use tokio::io::AsyncReadExt as _;
    // More than a pipe holds.
    let (host, _ami) = with_dead_calls(200).await;
    let mut command = host.command();
    command.env_remove("AMI2AMO_LOG").args(["queue", "export"]);
    let mut export = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut out, mut text) = (export.stdout.take().unwrap(), vec![0; 1]);
    out.read_exact(&mut text).await.unwrap();
    assert!(is_free(&host), "it has begun to write");
    out.read_to_end(&mut text).await.unwrap();
    assert_eq!(String::from_utf8(text).unwrap().lines().count(), 200);
    assert!(export.wait().await.unwrap().success());

    for words in ["forget 74951234567", "queue retry --state dead"] {
        let mut command = tokio::process::Command::new("script");
        let line = format!("{} --config {} {words}", env!("CARGO_BIN_EXE_ami2amo"), host.config().display());
        command.args(["-qefc", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut asked = command.kill_on_drop(true).spawn().unwrap();
        let (mut input, mut out) = (asked.stdin.take().unwrap(), asked.stdout.take().unwrap());
        let mut said = Vec::new();
        while !said.ends_with(b"[y/N] ") {
            assert_ne!(out.read_buf(&mut said).await.unwrap(), 0, "{}", String::from_utf8_lossy(&said));
        }
        assert!(is_free(&host), "{words}");
        input.write_all(b"n\n").await.unwrap();
        out.read_to_end(&mut said).await.unwrap();
        assert!(String::from_utf8_lossy(&said).contains("nothing was changed"), "{words}");
    }
}

#[tokio::test]
async fn a_command_that_is_ended_gives_back_what_root_made() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let (host, _ami) = with_dead_calls(1).await;
    let store = host.path("store");
    let own = std::fs::metadata(&store).unwrap().uid();
    // Only root may give files away, and only its files are given back.
    let owner = if chown(&store, Some(4321), Some(4321)).is_ok() { 4321 } else { own };
    let file = host.path("calls.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    let mut command = host.command();
    let mut import = command.args(["queue", "import"]).arg(&file).spawn().unwrap();
    let id = import.id().unwrap().to_string();
    // Who tries the lock itself would keep the command from it.
    let holds = || std::fs::read_to_string(store.join("LOCK")).is_ok_and(|holder| holder.trim() == id);
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("it opens the store");
    let made = store.join("queue/made");
    std::fs::write(&made, "").unwrap();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(!import.wait().await.unwrap().success());
    assert_eq!(std::fs::metadata(&made).unwrap().uid(), owner);
}

#[tokio::test]
async fn calls_in_doubt_are_tried_again_by_name_only() {
    let (host, _ami) = with_dead_calls(1).await;
    let line = run(&host, "queue export --state dead", "").await.out;
    let call: Value = serde_json::from_str(&line).unwrap();
    let id = call["item"]["call"]["record"]["call_id"].as_str().unwrap();
    let reason = call["item"]["state"]["reason"].as_str().unwrap();
    let doubt = format!("no answer: {}", ami2amo::outbox::policy::MAY_BE_THERE);
    let doubted = line
        .replace(id, "default-1.9")
        .replace(&serde_json::to_string(reason).unwrap(), &serde_json::to_string(&doubt).unwrap());
    assert_eq!(run(&host, "queue import -", &doubted).await.code, 0);
    let said = run(&host, "queue retry --state dead --yes", "").await;
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.out.contains("default-1.9: amoCRM may have it")
            && said.out.contains(&format!("{id}: it is tried again")),
        "{}",
        said.out
    );
    let said = run(&host, "queue retry --state dead --yes --json", "").await;
    assert_eq!(said.out, "{\"call_id\":\"default-1.9\",\"verdict\":\"in-doubt\"}\n");
    assert_eq!(run(&host, "queue retry default-1.9", "").await.out, "default-1.9: it is tried again now\n");
}
