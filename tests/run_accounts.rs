//! Accounts, lines and unknown numbers through the real binary: a scripted Asterisk in front, strict
//! amoCRMs behind.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::time::Duration;

use ami2amo::outbox::queue::Phase;

use daemon::{Host, LIMIT, missed_call};
use fake_ami::{FakeAmi, Script, Step};
use fake_amo::{FakeAmo, Known, On, Options, What};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;

async fn ami(steps: Vec<Step>) -> FakeAmi {
    FakeAmi::start(Script { steps, ..Script::default() }).await
}

/// A missed call of `phone` to `did`.
fn missed(uniqueid: &str, phone: &str, did: &str) -> Step {
    let call = String::from_utf8(missed_call(uniqueid)).unwrap();
    Step::Send(call.replace("79161234568", phone).replace("74957000101", did).into_bytes())
}

/// An answered call of 79161001137.
fn talked() -> Step {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/ast22-vanilla/in-answered.ami");
    let text = std::fs::read(capture).unwrap();
    let events = text.windows(7).position(|bytes| bytes == b"Event: ").unwrap();
    Step::Send(text[events..].to_vec())
}

async fn happened(amo: &FakeAmo, what: &str, is_so: impl Fn(&fake_amo::State) -> bool) {
    let waited = tokio::time::timeout(LIMIT, amo.wait_for(is_so)).await;
    assert!(waited.is_ok(), "{what}: {:?} {:?}", amo.calls(), amo.violations());
}

const SOON: &str = "default-user = 1\n[amocrm.unknown]\ntalk-grace = \"1s\"\n[delivery]\nnote-lag = \"1s\"\n\
                    parked-retries = [\"1s\"]\n";

#[tokio::test]
async fn a_stranger_who_calls_three_times_is_one_lead_with_three_calls() {
    const CALLER: &str = "79161001137";
    let amo = fake_amo::start(Options { known: Known::Only(Vec::new()), ..Options::default() }).await;
    let first = missed("1795339500.1", CALLER, "74957000101");
    let third = missed("1795339600.1", CALLER, "74957000101");
    let ami = ami(vec![first, Step::Hold, talked(), third]).await;
    let host = Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token);
    host.edit("default-user = 1\n", SOON);
    let mut daemon = host.start();
    happened(&amo, "the first call is in Incoming leads", |state| state.unsorted.len() == 1).await;
    daemon.logs("call put into unsorted").await;
    ami.go_on();
    // Both have been posted, and wait for the item.
    daemon.logs("call waits for the open item of its number").await;
    daemon.logs("call waits for the open item of its number").await;
    assert_eq!((amo.calls().len(), amo.unsorted().len()), (0, 1));
    // A restart between changes nothing.
    daemon.stopped().await;
    ami.set_script(Script::default());
    let daemon = host.start();
    amo.accept(CALLER);
    happened(&amo, "three calls are in the card", |state| state.notes.len() == 3).await;
    let log = daemon.stopped().await;
    let lead = amo.leads()[0].id;
    assert!(amo.calls().iter().all(|note| (note.entity_kind, note.entity_id) == ("lead", lead)), "{log}");
    assert_eq!((amo.contacts().len(), amo.leads().len(), amo.unsorted().len()), (1, 1, 1));
    let mut uniqs: Vec<String> = amo.calls().iter().map(|note| note.uniq().to_owned()).collect();
    uniqs.sort_unstable();
    uniqs.dedup();
    assert_eq!(uniqs.len(), 3, "{uniqs:?}");
    assert_eq!(amo.violations(), Vec::<String>::new());
    let stored = host.stored();
    assert_eq!(
        (stored.by_phase.get(&Phase::Sent), stored.by_phase.get(&Phase::Unsorted)),
        (Some(&2), Some(&1))
    );
    assert_eq!(stored.ended, 3);
}

/// A host with a second account, whose line is 74957000999.
fn two_accounts(ami: &FakeAmi, first: &FakeAmo, second: &FakeAmo) -> Host {
    let host = Host::with_amo(ami.port(), "", &first.base_url(), &Options::default().token);
    let rest = format!(
        "[[account]]\nname = \"spb\"\nbase-url = {:?}\ntoken = \"spb.token\"\ndefault-user = 2\n\
         [[line]]\ndid = \"8 495 700-09-99\"\naccount = \"spb\"\nsource = \"Петербург\"\n[store]\n",
        second.base_url()
    );
    host.edit("[store]\n", &rest);
    host
}

#[tokio::test]
async fn each_line_has_its_account_and_a_failing_one_disturbs_no_other() {
    let first = fake_amo::start(Options::default()).await;
    let second = fake_amo::start(Options { token: "spb.token".to_owned(), ..Options::default() }).await;
    first.fault(On::Any, 100_000, What::Page(403));
    let calls = vec![
        missed("1795339500.1", "79160000001", "74957000101"),
        missed("1795339501.1", "79160000002", "74957000999"),
        missed("1795339502.1", "79160000003", "74957000101"),
        Step::Hold,
        missed("1795339503.1", "79160000004", "74957000999"),
    ];
    let ami = ami(calls).await;
    let host = two_accounts(&ami, &first, &second);
    let mut daemon = host.start();
    happened(&second, "the second account gets its call", |state| state.notes.len() == 1).await;
    daemon.logs("delivery is held").await;
    ami.go_on();
    happened(&second, "and the next one too", |state| state.notes.len() == 2).await;
    let log = daemon.stopped().await;
    let said = |note: &fake_amo::Note| {
        (note.phone().to_owned(), note.call["created_by"].clone(), note.call["source"].clone())
    };
    let expected =
        ["+79160000002", "+79160000004"].map(|phone| (phone.to_owned(), 2.into(), "Петербург".into()));
    assert_eq!(second.calls().iter().map(said).collect::<Vec<_>>(), expected, "{log}");
    assert_eq!(first.calls().len(), 0);
    let stored = host.stored();
    assert_eq!(
        (stored.by_phase.get(&Phase::Sent), stored.by_phase.get(&Phase::Pending)),
        (Some(&2), Some(&2))
    );

    // The first account is unbanned: its calls have waited.
    first.clear_faults();
    ami.set_script(Script::default());
    let daemon = host.start();
    happened(&first, "the first account gets its calls", |state| state.notes.len() == 2).await;
    daemon.stopped().await;
    assert_eq!((first.calls().len(), second.calls().len()), (2, 2));
    assert_eq!([first.violations(), second.violations()], [Vec::<String>::new(), Vec::new()]);
}

#[tokio::test]
async fn a_kill_in_one_accounts_request_leaves_the_others_alone() {
    let first = fake_amo::start(Options::default()).await;
    let second = fake_amo::start(Options { token: "spb.token".to_owned(), ..Options::default() }).await;
    first.fault(On::Post, 1, What::Gate);
    second.fault(On::Post, 1, What::Gate);
    let calls = vec![
        missed("1795339500.1", "79160000001", "74957000101"),
        missed("1795339501.1", "79160000002", "74957000999"),
    ];
    let ami = ami(calls).await;
    let host = two_accounts(&ami, &first, &second);
    host.edit("[store]\n", "[delivery]\nnote-lag = \"1s\"\n[store]\n");
    let daemon = host.start();
    let posted = |state: &fake_amo::State| state.statuses("POST").len() == 1;
    happened(&first, "a post is under way", posted).await;
    happened(&second, "a post is under way", posted).await;
    daemon.killed().await;
    ami.set_script(Script::default());
    let mut daemon = host.start();
    for _ in 0..2 {
        daemon.logs("call delivered").await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    daemon.stopped().await;
    assert_eq!((first.calls().len(), second.calls().len()), (1, 1), "found, and not sent again");
}
