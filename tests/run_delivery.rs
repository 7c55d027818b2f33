//! The whole way through the real binary: a scripted Asterisk in front, a strict amoCRM behind.

use std::time::Duration;

use ami2amo::outbox::queue::Phase;

use daemon::{Host, LIMIT, missed_call};
use fake_ami::{FakeAmi, Script, Step};
use fake_amo::{FakeAmo, Options};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;

async fn delivered(amo: &FakeAmo, count: usize) {
    let waited = tokio::time::timeout(LIMIT, amo.wait_for(|state| state.notes.len() >= count)).await;
    assert!(waited.is_ok(), "{count} calls should be delivered: {:?}", amo.calls());
}

fn host(ami: &FakeAmi, amo: &FakeAmo) -> Host {
    Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token)
}

#[tokio::test]
async fn a_call_goes_from_the_pbx_to_amocrm() {
    let amo = fake_amo::start(Options::default()).await;
    let steps = vec![Step::Send(missed_call("1795339565.1"))];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = host(&ami, &amo);
    let mut daemon = host.start();
    delivered(&amo, 1).await;
    daemon.logs("call delivered").await;
    let log = daemon.stopped().await;
    let call = amo.calls().remove(0);
    assert_eq!((call.uniq(), call.phone()), ("default-1795339565.1", "+79161234568"));
    assert_eq!(host.stored().by_phase.get(&Phase::Sent), Some(&1));
    assert_eq!(amo.violations(), Vec::<String>::new());
    let shown: Vec<_> = log.lines().filter(|line| line.contains("79161234568")).collect();
    assert!(shown.iter().all(|line| line.contains("DEBUG")), "{shown:#?}");
}

#[tokio::test]
async fn what_a_stop_leaves_is_delivered_by_the_next_start() {
    let amo = fake_amo::start(Options::default()).await;
    let steps = vec![Step::Send(missed_call("1795339565.1"))];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = host(&ami, &amo);
    amo.fault(fake_amo::On::Any, 1000, fake_amo::What::Status(503));
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    daemon.stopped().await;
    amo.clear_faults();
    ami.set_script(Script::default());
    let daemon = host.start();
    delivered(&amo, 1).await;
    daemon.stopped().await;
    assert_eq!(amo.calls().len(), 1);
    assert_eq!(host.stored().ended, 1);
}

#[tokio::test]
async fn a_call_is_delivered_within_seconds_of_its_hangup() {
    let amo = fake_amo::start(Options::default()).await;
    let steps = vec![Step::Hold, Step::Send(missed_call("1795339565.1"))];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = host(&ami, &amo);
    let mut daemon = host.start();
    daemon.logs("amoCRM answers").await;
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.go_on();
    let arrived = amo.wait_for(|state| !state.notes.is_empty());
    let waited = tokio::time::timeout(Duration::from_secs(5), arrived).await;
    assert!(waited.is_ok(), "5 s are the bar");
    daemon.stopped().await;
}
