//! Tasks to call back, over real HTTP against a strict fake: one for each number that called in vain,
//! closed after a talk, whatever happens on the way.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "amo_delivery/daemon.rs"]
mod daemon;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "amo_delivery/queue.rs"]
mod queue;
#[path = "support/samples.rs"]
mod samples;

use std::time::Duration;

use ami2amo::call::record::{FinishedCall, Outcome, Source};
use ami2amo::outbox::queue::Phase;
use serde_json::{Value, json};

use daemon::{Daemon, Setup};
use fake_amo::{FakeAmo, Known, On, Options, Staff, What, start};

const NUMBER: &str = "79160000001";
const TEXT: &str = "Перезвонить 79160000001: пропущенный звонок";

fn setup(fake: &FakeAmo) -> Setup {
    Setup::new(&fake.base_url()).amo("callback-task", json!({"make": true}))
}

async fn account() -> FakeAmo {
    let owners = vec![("9160000001".to_owned(), 8)];
    start(Options { staff: Staff { owners, ..Staff::default() }, ..Options::default() }).await
}

/// A live call; the numbers of calls are their order.
fn talk(number: u64) -> FinishedCall {
    let mut call = daemon::call(number, NUMBER);
    call.record.source = Source::Ami;
    call
}

fn missed(number: u64) -> FinishedCall {
    let mut call = talk(number);
    (call.record.answered, call.record.outcome) = (false, Outcome::NoAnswer);
    call
}

fn tasks(fake: &FakeAmo) -> Vec<(String, bool)> {
    fake.tasks().iter().map(|task| (task.text().to_owned(), task.is_open())).collect()
}

fn open() -> (String, bool) {
    (TEXT.to_owned(), true)
}

fn done() -> (String, bool) {
    (TEXT.to_owned(), false)
}

async fn wait_for_tasks(daemon: &Daemon, fake: &FakeAmo, expected: &[(String, bool)]) {
    daemon.wait_for(|| tasks(fake) == expected).await;
}

/// Waits until nothing is left to do for the task: its row says that it is open, or is gone.
async fn wait_for_rest(daemon: &Daemon) {
    let is_still = |row: &Value| row["stage"]["is"] == "open" && row.get("talked").is_none();
    daemon.wait_for(|| daemon.queue.task_rows().values().all(is_still)).await;
}

fn posts(fake: &FakeAmo) -> usize {
    fake.posts().iter().filter(|post| post.path == "/api/v4/tasks").count()
}

#[tokio::test]
async fn a_missed_call_makes_one_open_task_and_a_talk_closes_it() {
    let fake = account().await;
    let daemon = setup(&fake).start();
    daemon.enqueue([missed(1)]);
    wait_for_tasks(&daemon, &fake, &[open()]).await;
    assert_eq!(fake.tasks()[0].body["responsible_user_id"], 8, "the owner's");
    wait_for_rest(&daemon).await;
    daemon.enqueue([missed(2)]);
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    let looked = |path: &str| fake.requests().iter().filter(|request| request.path.starts_with(path)).count();
    daemon.wait_for(|| looked("/api/v4/tasks?") >= 2).await;
    wait_for_rest(&daemon).await;
    assert_eq!(tasks(&fake), [open()]);
    daemon.enqueue([talk(3)]);
    wait_for_tasks(&daemon, &fake, &[done()]).await;
    daemon.wait_for(|| daemon.queue.task_rows().is_empty()).await;
    assert_eq!(fake.tasks()[0].result.as_deref(), Some("Поговорили"));
    assert_eq!((posts(&fake), fake.violations()), (1, Vec::new()));
    daemon.stop().await;
}

#[tokio::test]
async fn what_a_person_has_done_is_left_alone_and_makes_room_for_another() {
    let fake = account().await;
    let daemon = setup(&fake).start();
    daemon.enqueue([missed(1)]);
    wait_for_tasks(&daemon, &fake, &[open()]).await;
    wait_for_rest(&daemon).await;
    fake.finish_task(fake.tasks()[0].id, "дозвонился");
    daemon.enqueue([missed(2)]);
    wait_for_tasks(&daemon, &fake, &[done(), open()]).await;
    wait_for_rest(&daemon).await;
    fake.finish_task(fake.tasks()[1].id, "снова");
    daemon.enqueue([talk(3)]);
    daemon.wait_for(|| daemon.queue.task_rows().is_empty()).await;
    let words: Vec<_> = fake.tasks().into_iter().filter_map(|task| task.result).collect();
    assert_eq!((words, fake.violations()), (vec!["дозвонился".to_owned(), "снова".to_owned()], Vec::new()));
    daemon.stop().await;
}

#[tokio::test]
async fn nothing_is_made_where_it_is_off_where_nobody_is_known_and_after_a_talk() {
    let off = account().await;
    let daemon = Setup::new(&off.base_url()).start();
    daemon.enqueue([missed(1)]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    daemon.stop().await;
    let stranger = start(Options { known: Known::Only(Vec::new()), ..Options::default() }).await;
    let daemon = setup(&stranger).amo("unknown", json!({"inbound": "park"})).start();
    daemon.enqueue([missed(1)]);
    daemon.wait_for_phases(&[Phase::Parked]).await;
    daemon.stop().await;
    let talked = account().await;
    let daemon = setup(&talked).start();
    daemon.enqueue([missed(1), talk(2)]);
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    daemon.wait_for(|| daemon.queue.task_rows().is_empty()).await;
    daemon.stop().await;
    for fake in [off, stranger, talked] {
        assert_eq!((tasks(&fake).len(), posts(&fake)), (0, 0));
    }
}

#[tokio::test]
async fn whatever_happens_to_the_post_there_is_one_task() {
    let faults = [
        What::ResetBefore,
        What::ResetAfter,
        What::HangBefore,
        What::HangAfter,
        What::Truncated,
        What::Garbage,
        What::PageAfter(504),
        What::Status(500),
        What::TooMany { retry_after: None },
    ];
    for what in faults {
        let fake = account().await;
        fake.fault(On::Tasks, 1, what);
        let daemon = setup(&fake).delivery("note-lag", json!("200ms")).start();
        daemon.enqueue([missed(1)]);
        wait_for_tasks(&daemon, &fake, &[open()]).await;
        wait_for_rest(&daemon).await;
        assert_eq!((tasks(&fake), fake.violations()), (vec![open()], Vec::new()), "{what:?}");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_task_that_is_listed_late_gets_no_twin() {
    let staff = Staff::default();
    let task_lag = Duration::from_millis(250);
    let fake = start(Options { staff, task_lag, ..Options::default() }).await;
    fake.fault(On::Tasks, 1, What::ResetAfter);
    let daemon = setup(&fake).delivery("note-lag", json!("400ms")).start();
    daemon.enqueue([missed(1)]);
    wait_for_tasks(&daemon, &fake, &[open()]).await;
    wait_for_rest(&daemon).await;
    assert_eq!((posts(&fake), fake.violations()), (1, Vec::new()));
    daemon.stop().await;
}

#[tokio::test]
async fn what_keeps_a_question_from_its_answer_only_delays() {
    for on in [On::TaskList, On::Entity] {
        for what in [What::ResetBefore, What::HangBefore, What::Page(502), What::Garbage] {
            let fake = account().await;
            fake.fault(on, 1, what);
            let daemon = setup(&fake).start();
            daemon.enqueue([missed(1)]);
            wait_for_tasks(&daemon, &fake, &[open()]).await;
            assert_eq!(fake.tasks()[0].body["responsible_user_id"], 8, "{on:?} {what:?}");
            daemon.stop().await;
        }
    }
}

#[tokio::test]
async fn what_keeps_a_task_from_being_closed_only_delays() {
    for what in
        [What::ResetBefore, What::ResetAfter, What::HangAfter, What::PageAfter(504), What::Status(500)]
    {
        let fake = account().await;
        let daemon = setup(&fake).start();
        daemon.enqueue([missed(1)]);
        wait_for_tasks(&daemon, &fake, &[open()]).await;
        wait_for_rest(&daemon).await;
        fake.fault(On::TaskChange, 1, what);
        daemon.enqueue([talk(2)]);
        daemon.wait_for(|| daemon.queue.task_rows().is_empty()).await;
        assert_eq!(tasks(&fake), [done()], "{what:?}");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_in_the_post_makes_no_second_task() {
    for what in [What::HangBefore, What::HangAfter] {
        let fake = account().await;
        fake.fault(On::Tasks, 1, what);
        let slow = |setup: Setup| setup.amo("request-timeout", json!("10s"));
        let daemon = slow(setup(&fake)).start();
        daemon.enqueue([missed(1)]);
        fake.wait_for(|state| state.requests.iter().any(|r| r.method == "POST" && r.path == "/api/v4/tasks"))
            .await;
        let queue = daemon.kill().await;
        assert_eq!(queue.task_rows().values().next().unwrap()["stage"]["is"], "making");
        let daemon = Setup { queue, ..setup(&fake) }.start();
        wait_for_tasks(&daemon, &fake, &[open()]).await;
        wait_for_rest(&daemon).await;
        daemon.enqueue([talk(2)]);
        wait_for_tasks(&daemon, &fake, &[done()]).await;
        assert_eq!(fake.violations(), [""; 0], "{what:?}");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_refused_user_or_task_keeps_no_call() {
    let fake = account().await;
    fake.switch_off(8);
    let daemon = setup(&fake).start();
    daemon.enqueue([missed(1)]);
    wait_for_tasks(&daemon, &fake, &[open()]).await;
    assert_eq!(fake.tasks()[0].body["responsible_user_id"], 504_141);
    daemon.stop().await;
    let fake = account().await;
    fake.fault(On::Tasks, 1, What::Status(403));
    let daemon = setup(&fake).start();
    daemon.enqueue([missed(1)]);
    daemon.wait_for(|| posts(&fake) == 1 && daemon.queue.task_rows().is_empty()).await;
    daemon.enqueue([missed(2)]);
    wait_for_tasks(&daemon, &fake, &[open()]).await;
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn switched_off_what_is_open_is_still_closed() {
    let fake = account().await;
    let daemon = setup(&fake).start();
    daemon.enqueue([missed(1)]);
    wait_for_tasks(&daemon, &fake, &[open()]).await;
    wait_for_rest(&daemon).await;
    let queue = daemon.stop().await;
    let daemon = Setup { queue, ..Setup::new(&fake.base_url()) }.start();
    daemon.enqueue([missed(2), talk(3)]);
    wait_for_tasks(&daemon, &fake, &[done()]).await;
    daemon.wait_for(|| daemon.queue.task_rows().is_empty()).await;
    daemon.stop().await;
}
