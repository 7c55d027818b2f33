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

/// A caller leaves a message; its file comes when the process that posted the call is gone. Its name has a number in it,
/// which no line of the log may have.
#[tokio::test]
async fn the_link_to_a_message_follows_the_call_over_a_restart() {
    let amo = fake_amo::start(Options::default()).await;
    let call = missed_call("1795339565.1");
    let middle = call.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let variable = |name: &str, value: &str| {
        format!(
            "Event: VarSet\r\nTimestamp: 1795339566.000001\r\nChannel: PJSIP/trunk-msk-0000000a\r\n\
             Variable: {name}\r\nValue: {value}\r\nUniqueid: 1795339565.1\r\nLinkedid: 1795339565.1\r\n\r\n"
        )
    };
    let file = variable("VM_MESSAGEFILE", "/var/spool/asterisk/voicemail/default/79161234568/INBOX/msg0000");
    let said = variable("VMSTATUS", "SUCCESS");
    let steps =
        vec![Step::Send([&call[..middle], file.as_bytes(), said.as_bytes(), &call[middle..]].concat())];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = host(&ami, &amo);
    let folder = tempfile::tempdir().unwrap();
    let keys = format!(
        "default-user = 1\nrecording-wait = \"300ms\"\nvoicemail-root = {:?}\nvoicemail-url = \"https://p/{{file}}\"",
        folder.path()
    );
    host.edit("default-user = 1", &keys);
    let mut daemon = host.start();
    delivered(&amo, 1).await;
    daemon.logs("call delivered").await;
    daemon.killed().await;
    assert_eq!(amo.calls()[0].call.get("link"), None);
    let inbox = folder.path().join("default/79161234568/INBOX");
    std::fs::create_dir_all(&inbox).unwrap();
    std::fs::write(inbox.join("msg0000.wav"), "sound").unwrap();
    ami.set_script(Script::default());
    let mut daemon = host.start();
    daemon.logs("the link to the recording was added").await;
    daemon.stopped().await;
    let calls = amo.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].call["link"], "https://p/default/79161234568/INBOX/msg0000.wav");
    assert_eq!(calls[0].call["call_result"], "Клиент оставил голосовое сообщение");
    assert_eq!(amo.violations(), Vec::<String>::new());
    assert_eq!(host.stored().by_phase.get(&Phase::Sent), Some(&1));
}

/// A call that stands in the middle until the script goes on; its dial plan then says `MY_STATUS`.
fn waiting_call() -> Vec<Step> {
    let call = missed_call("1795339565.1");
    let middle = call.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let variable = "Event: VarSet\r\nTimestamp: 1795339566.000001\r\nChannel: PJSIP/trunk-msk-0000000a\r\n\
                    Variable: MY_STATUS\r\nValue: 2\r\nUniqueid: 1795339565.1\r\nLinkedid: 1795339565.1\r\n\r\n";
    vec![
        Step::Send(call[..middle].to_vec()),
        Step::Hold,
        Step::Send([variable.as_bytes(), &call[middle..]].concat()),
    ]
}

#[tokio::test]
async fn a_policy_that_is_read_again_counts_for_the_call_under_way() {
    let amo = fake_amo::start(Options::default()).await;
    let ami = FakeAmi::start(Script { steps: waiting_call(), ..Script::default() }).await;
    let host = host(&ami, &amo);
    let mut daemon = host.start();
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    let policy = "default-user = 2\nsource = \"again\"\nrequest-timeout = \"7s\"\n[calls.dial-plan]\nvariables = \"MY_\"";
    host.edit("default-user = 1", policy);
    host.edit("store\"", "elsewhere\"");
    daemon.signal("-HUP");
    let restart = daemon.logs("restart to apply").await;
    assert!(restart.contains("[store] dir, [amocrm] request-timeout"), "{restart}");
    daemon.logs("counts for calls that end from here on").await;
    ami.go_on();
    delivered(&amo, 1).await;
    let log = daemon.stopped().await;
    let call = amo.calls().remove(0).call;
    let said = |key: &str| call[key].to_string();
    assert_eq!([said("created_by"), said("source"), said("call_status")], ["2", "\"again\"", "2"], "{log}");
    assert_eq!(host.stored().ended, 1, "the store stays where it was");
}

#[tokio::test]
async fn a_configuration_that_is_wrong_when_it_is_read_again_changes_nothing() {
    let amo = fake_amo::start(Options::default()).await;
    let ami = FakeAmi::start(Script { steps: waiting_call(), ..Script::default() }).await;
    let host = host(&ami, &amo);
    let mut daemon = host.start();
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    host.edit("default-user = 1", "default-user = 0\nrequests-per-second = 0");
    daemon.signal("-HUP");
    for wanted in ["requests-per-second = 0", "default-user is 0"] {
        let line = daemon.logs(wanted).await;
        assert!(line.contains("ERROR") && line.contains("the running one stays"), "{line}");
    }
    host.edit("default-user = 0", "default-user = ");
    daemon.signal("-HUP");
    let line = daemon.logs("the running one stays").await;
    assert!(line.contains("ERROR") && line.contains("ami2amo.toml:10:"), "{line}");
    ami.go_on();
    delivered(&amo, 1).await;
    daemon.stopped().await;
    assert_eq!(amo.calls()[0].call["created_by"], 1);
}

#[tokio::test]
async fn a_configuration_that_is_the_same_is_said_to_be() {
    let amo = fake_amo::start(Options::default()).await;
    let ami = FakeAmi::start(Script::default()).await;
    let host = host(&ami, &amo);
    let mut daemon = host.start();
    daemon.logs("ready").await;
    daemon.signal("-HUP");
    daemon.logs("nothing else has changed").await;
    daemon.stopped().await;
}
