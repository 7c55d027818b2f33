//! A person's number is forgotten: the real program, with its daemon and without.

use serde_json::Value;

use daemon::{Host, LIMIT};
use fake_ami::Step;
use fake_amo::{On, Options, What};
use prompt::{machine, missed_now, run, script};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "support/prompt.rs"]
mod prompt;

const NUMBER: &str = "+79161234568";

/// Missed calls of this moment, from begin to end.
fn calls_now(count: u32) -> Vec<u8> {
    (1..=count).flat_map(|n| missed_now(n).1).collect()
}

/// The journal, all of it.
fn journal(host: &Host) -> String {
    let files = std::fs::read_dir(host.path("store/journal")).unwrap();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn a_number_is_shown_asked_about_and_forgotten_while_the_daemon_runs() {
    let amo = fake_amo::start(Options::default()).await;
    amo.fault(On::Post, 1, What::Validation(0));
    let (host, _ami) = machine(&amo, vec![Step::Send(calls_now(1))]).await;
    let mut daemon = host.start();
    daemon.logs("a person must look at it").await;
    let short = run(&host, "forget 4568", "").await;
    assert!(short.code == 2 && short.err.contains("no whole number"), "{}", short.err);
    let unasked = run(&host, &format!("forget {NUMBER}"), "").await;
    assert_eq!((unasked.code, unasked.out.as_str()), (2, "Calls of this number: 1 dead.\n"));
    assert!(unasked.err.contains("say --yes") && journal(&host).contains("9161234568"), "{}", unasked.err);
    let done = run(&host, &format!("forget {NUMBER} --yes"), "").await;
    assert!(
        done.code == 0 && done.out.contains("Forgotten: in 1 calls, 1 lines"),
        "{}{}",
        done.out,
        done.err
    );
    assert!(!journal(&host).contains("9161234568"));
    assert_eq!(run(&host, "history --phone 4568", "").await.out, "No calls.\n");
    let history = run(&host, "history --json", "").await.out;
    let row: Value = serde_json::from_str(&history).unwrap();
    assert_eq!((&row["phone"], row["state"].as_str()), (&Value::Null, Some("expired")));
    let id = row["call_id"].as_str().unwrap();
    let retried = run(&host, &format!("queue retry {id}"), "").await;
    assert!(retried.code == 1 && retried.out.contains("its number was forgotten"), "{}", retried.out);
    let status: Value = serde_json::from_str(&run(&host, "status --json", "").await.out).unwrap();
    assert_eq!((&status["outbox"]["ended"], &status["outbox"]["unaccounted"]), (&1.into(), &0.into()));
    let again = run(&host, &format!("forget {NUMBER} --yes --language ru"), "").await;
    assert!(again.code == 0 && again.out.contains("Сохранённых вызовов с этим номером нет"), "{}", again.out);
    let log = daemon.stopped().await;
    let line = log.lines().find(|line| line.contains("a number was forgotten")).unwrap();
    assert!(line.contains("anna (uid ") && !line.contains("4568"), "{line}");
}

#[tokio::test]
async fn calls_that_wait_are_given_up_only_when_that_is_said() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, ami) = machine(&amo, vec![Step::Hold, Step::Send(calls_now(2))]).await;
    let mut daemon = host.start();
    daemon.logs("amoCRM answers").await;
    assert_eq!(run(&host, "pause", "").await.code, 0);
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.go_on();
    while run(&host, "queue list --json", "").await.out.lines().count() < 2 {}
    daemon.stopped().await;
    let refused = run(&host, &format!("forget {NUMBER} --yes"), "").await;
    assert!(refused.code == 1 && refused.err.contains("--drop-waiting gives them up"), "{}", refused.err);
    assert_eq!(journal(&host).matches("\"phone\":\"79161234568\"").count(), 2);
    let done = run(&host, &format!("forget {NUMBER} --yes --drop-waiting --json"), "").await;
    let done: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        (&done["calls"], &done["lines"], &done["found"]["pending"]),
        (&2.into(), &2.into(), &2.into())
    );
    assert!(!journal(&host).contains("9161234568"));
    assert_eq!(run(&host, "resume", "").await.code, 0);
    ami.set_script(script(Vec::new()));
    host.start().stopped_when_ready().await;
    assert!(amo.calls().is_empty(), "{:?}", amo.calls());
    let stats = host.stored();
    assert_eq!(stats.ended, stats.by_phase.values().sum::<u64>());
}
