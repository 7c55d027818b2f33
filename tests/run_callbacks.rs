//! Tasks to call back, users and owners through the real binary: a scripted Asterisk in front, a strict
//! amoCRM behind, and kills in between.

use ami2amo::outbox::queue::Phase;

use daemon::{Daemon, Host, LIMIT, missed_call};
use fake_ami::{FakeAmi, Script, Step};
use fake_amo::{FakeAmo, On, Options, Staff, What};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;

const CALLER: &str = "79161001137";
const CONFIG: &str = "default-user = 1\n[amocrm.callback-task]\nmake = true\n[calls]\nmissed = \"entity-owner\"\n\
                      [delivery]\nnote-lag = \"1s\"\n";

fn missed(uniqueid: &str) -> Step {
    let call = String::from_utf8_lossy(&missed_call(uniqueid)).replace("79161234568", CALLER);
    Step::Send(call.into_bytes())
}

/// An answered call of the same caller.
fn talked() -> Step {
    let text = include_bytes!("captures/ast22-vanilla/in-answered.ami");
    let events = text.windows(7).position(|bytes| bytes == b"Event: ");
    Step::Send(text[events.unwrap_or_default()..].to_vec())
}

async fn happened(amo: &FakeAmo, what: &str, is_so: impl Fn(&fake_amo::State) -> bool) {
    let waited = tokio::time::timeout(LIMIT, amo.wait_for(is_so)).await;
    assert!(waited.is_ok(), "{what}: {:?} {:?}", amo.tasks(), amo.violations());
}

async fn office(users: Option<Vec<u64>>) -> FakeAmo {
    let staff = Staff { owners: vec![("9161001137".to_owned(), 8)], ..Staff::default() };
    fake_amo::start(Options { users, staff, ..Options::default() }).await
}

fn host(ami: &FakeAmi, amo: &FakeAmo) -> Host {
    let host = Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token);
    host.edit("default-user = 1\n", CONFIG);
    host
}

async fn killed_in_the_post(daemon: Daemon, amo: &FakeAmo) {
    happened(amo, "the task is posted", |state| {
        state.requests.iter().any(|request| request.method == "POST" && request.path == "/api/v4/tasks")
    })
    .await;
    daemon.killed().await;
}

#[tokio::test]
async fn a_missed_call_is_its_owners_and_reminds_him_until_he_has_talked() {
    for what in [What::HangBefore, What::HangAfter] {
        let amo = office(None).await;
        let ami = FakeAmi::start(Script { steps: vec![missed("1795339500.1")], ..Script::default() }).await;
        let host = host(&ami, &amo);
        amo.fault(On::Tasks, 1, what);
        killed_in_the_post(host.start(), &amo).await;
        ami.set_script(Script { steps: vec![Step::Hold, talked()], ..Script::default() });
        // What the process was about to make is looked for, no earlier than the request could arrive.
        host.edit("default-user = 1\n", "default-user = 1\nrequest-timeout = \"1s\"\n");
        let daemon = host.start();
        happened(&amo, "the task is there", |state| state.tasks.len() == 1).await;
        ami.go_on();
        happened(&amo, "the talk closes it", |state| {
            state.notes.len() == 2 && state.tasks.iter().all(|task| !task.is_open())
        })
        .await;
        let log = daemon.stopped().await;
        let tasks = amo.tasks();
        assert_eq!((tasks.len(), amo.violations()), (1, Vec::new()), "{what:?}: {log}");
        assert_eq!(tasks[0].body["responsible_user_id"], 8);
        let first = amo.calls().remove(0).call;
        assert_eq!((&first["call_responsible"], &first["responsible_user_id"]), (&8.into(), &8.into()));
        assert_eq!(host.stored().by_phase.get(&Phase::Sent), Some(&2));
    }
}

#[tokio::test]
async fn people_are_told_once_of_users_who_are_gone() {
    let mut amo = office(Some(vec![8, 504_141])).await;
    let ami = FakeAmi::start(Script { steps: vec![missed("1795339500.1")], ..Script::default() }).await;
    let host = host(&ami, &amo);
    let mut daemon = host.start();
    let line = daemon.logs("amoCRM has no such user").await;
    assert!(
        line.contains("WARN") && line.contains("default-user = 1") && line.contains("[amocrm.users]"),
        "{line}"
    );
    happened(&amo, "the call is delivered", |state| state.notes.len() == 1).await;
    daemon.stopped().await;
    amo.shutdown().await;
    amo = office(None).await;
    let host = self::host(&ami, &amo);
    let mut daemon = host.start();
    let line = daemon.logs("amoCRM does not list its users to this token").await;
    assert!(line.contains("WARN") && line.contains("403"), "{line}");
    daemon.stopped().await;
}
