//! The real program whose store comes to no end though its disk works: it ends by itself, and the next one has every
//! call.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use daemon::Host;
use fake_ami::{Clock, FakeAmi, Script};

#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/stopped.rs"]
mod stopped;

/// Calls that end while the store hangs.
const CALLS: u64 = 20;

/// A PBX, and a daemon that follows it; `keys` go to `[store]`.
async fn start(keys: &str) -> (FakeAmi, Host, daemon::Daemon, tokio::sync::mpsc::Sender<Vec<u8>>) {
    let (pieces, step) = fake_ami::feed(4);
    let script = Script { steps: vec![step], clock: Clock::Sent(0.0), ..Script::default() };
    let ami = FakeAmi::start(script).await;
    let host = Host::new(ami.port(), "");
    host.edit("[store]\n", &format!("[daemon]\nstop-timeout = \"4s\"\n[store]\n{keys}\n"));
    let mut command = host.command();
    command.env_remove("NOTIFY_SOCKET").env("AMI2AMO_LOG", "info,ami2amo::intake=debug"); // nobody reads either of them
    let mut daemon = daemon::Daemon::start(command);
    daemon.logs("connected to the PBX").await;
    (ami, host, daemon, pieces)
}

/// Calls that ended.
fn calls() -> Vec<u8> {
    let mut text = String::new();
    for n in 0..CALLS {
        crowd::begin(n, &mut text);
        crowd::end(n, &mut text);
    }
    text.into_bytes()
}

/// All of them wait in a file, and the next process has each of them once.
async fn none_is_lost(host: Host) {
    let spilled = std::fs::read_to_string(host.path("store").join("emergency.jsonl")).unwrap();
    assert_eq!(u64::try_from(spilled.lines().count()).unwrap(), CALLS, "{spilled}");
    let mut next = host.start();
    host.notified("READY=1").await;
    next.logs("calls that an earlier process could not store are stored now").await;
    let _log = next.stopped().await;
    assert_eq!(host.stored().ended, CALLS, "each is there once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_comes_to_no_end_ends_the_program_and_no_call_is_lost() {
    let (_ami, host, mut daemon, pieces) = start("hung-after = \"2s\"").await;
    let hung = stopped::Thread::of(daemon.id(), "store");
    pieces.send(calls()).await.unwrap();
    daemon.logs("has come to no end for").await;
    let (status, _) = daemon.ended().await;
    assert_eq!(status.code(), Some(1), "systemd starts it again");
    hung.go_on();
    none_is_lost(host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_the_store_comes_to_no_end_loses_no_call() {
    let (_ami, host, mut daemon, pieces) = start("").await;
    let hung = stopped::Thread::of(daemon.id(), "store");
    pieces.send(calls()).await.unwrap();
    for _call in 0..CALLS {
        daemon.logs("call ended").await;
    }
    daemon.signal("-TERM");
    let (status, log) = daemon.ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("wait in a file for the next start"), "{log}");
    hung.go_on();
    none_is_lost(host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_program_goes_on_with_calls_in_progress() {
    let (_ami, host, mut daemon, pieces) = start("hung-after = \"2s\"").await;
    let mut text = String::new();
    crowd::begin(0, &mut text);
    pieces.send(text.into_bytes()).await.unwrap();
    daemon.logs("calls in progress are kept").await;
    let hung = stopped::Thread::of(daemon.id(), "store");
    let mut text = String::new();
    crowd::begin(1, &mut text);
    pieces.send(text.into_bytes()).await.unwrap();
    daemon.logs("has come to no end for").await;
    daemon.ended().await;
    hung.go_on();
    let [calls, values] =
        ["emergency.jsonl", "emergency.jsonl.values"].map(|name| host.path("store").join(name));
    assert!(values.exists() && !calls.exists(), "neither of them has ended");
    let mut next = host.start();
    next.logs("calls that were in progress at the last end go on pbx=default calls=2").await;
    assert!(!values.exists());
    let _log = next.killed().await;
    assert_eq!(host.stored().ended, 0);
}
