//! The store's disk stands still for ten seconds and amoCRM is away, while a PBX sends as fast as it can
//! through a buffer of 16 KiB: the PBX never waits, memory stays small, no call is lost.
//!
//! The store's thread is stopped with `ptrace`, as a disk that does not answer would stop it: nothing in
//! the daemon knows of it, and everybody else runs on.
//!
//! `AMI2AMO_BURST_MB` sends as many megabytes (and `AMI2AMO_WRITE_MS` says how long a write may take).
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::time::{Duration, Instant};

use ami2amo::outbox::queue::Phase;

use daemon::Host;
use fake_ami::{Clock, FakeAmi, Script};

#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/noise.rs"]
mod noise;
#[path = "support/stopped.rs"]
mod stopped;

/// What `cargo test` sends.
const BURST_MB: u64 = 10;

/// How long the disk stands still.
const STALL: Duration = Duration::from_secs(10);

const SEND_BUFFER: u32 = 16 << 10;

/// How long the PBX may wait for us. A tenth of this is the bar on a machine that does nothing else.
const WRITE_MS: u64 = 1_000;

/// An idle daemon's 12 MiB, and the 64 MiB of calls that may wait for a slow disk.
const MEMORY_KB_MAX: u64 = (12 + 64) << 10;

/// Calls at the same time.
const AT_ONCE: u64 = 200;

/// Events that nobody needs for each call, of some 250 bytes: nine tenths of what a PBX sends.
const NOISE: u64 = 120;

/// Longest wait for what follows the stall.
const LIMIT: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stands_still_holds_nobody_up() {
    let burst = number("AMI2AMO_BURST_MB", BURST_MB) << 20;
    let bar = Duration::from_millis(number("AMI2AMO_WRITE_MS", WRITE_MS));
    let (pieces, step) = fake_ami::feed(4);
    let ami = FakeAmi::start_narrow(
        Script { steps: vec![step], clock: Clock::Sent(0.0), ..Script::default() },
        SEND_BUFFER,
    );
    let host = Host::new(ami.port(), "");
    let mut command = host.command();
    command.env_remove("NOTIFY_SOCKET").env("AMI2AMO_LOG", "info"); // nobody reads either of them
    let mut daemon = daemon::Daemon::start(command);
    daemon.logs("connected to the PBX").await;

    let stall = stopped::Thread::of(daemon.id(), "store");
    let begun = Instant::now();
    let sending = tokio::spawn(send(pieces, burst));
    let (calls, bytes) = tokio::time::timeout(LIMIT, sending).await.unwrap().unwrap();
    // All of it is played when the daemon answers a ping behind it.
    ami.wait_for(LIMIT, |seen| seen.played == 1).await;
    let sent = begun.elapsed();
    assert!(sent < STALL, "{} MB took {sent:?}: the PBX had to wait for the disk", bytes >> 20);
    let slowest = ami.seen().slowest_write;
    tokio::time::sleep(STALL.saturating_sub(begun.elapsed())).await;
    stall.go_on();
    let pings = ami.seen().pings;
    ami.wait_for(LIMIT, |seen| seen.pings > pings).await;
    let memory = memory_peak_kb(daemon.id());
    daemon.stopped().await;
    let stored = host.stored();

    println!(
        "back-pressure: {} MB with {calls} calls in {} ms, the disk still for {} s: longest write {} ms, \
         memory at most {} MiB, {} of {calls} calls stored",
        bytes >> 20,
        sent.as_millis(),
        STALL.as_secs(),
        slowest.as_millis(),
        memory >> 10,
        stored.ended
    );
    assert_eq!(ami.seen().logins, 1, "the PBX was held up until it cut the connection");
    assert_eq!(stored.ended, calls, "calls are lost");
    assert_eq!(stored.by_phase.get(&Phase::Sent), None, "amoCRM is away");
    assert!(slowest < bar, "a write of the PBX waited {slowest:?}, at most {bar:?}");
    assert!(memory < MEMORY_KB_MAX, "{memory} KiB, at most {MEMORY_KB_MAX}");
}

fn number(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Sends calls and what goes with them, at least `burst` bytes; returns how many calls and bytes.
async fn send(pieces: tokio::sync::mpsc::Sender<Vec<u8>>, burst: u64) -> (u64, u64) {
    let (mut n, mut bytes) = (0, 0);
    while bytes < burst {
        let mut text = String::new();
        crowd::begin(n, &mut text);
        noise::noise(NOISE, &mut text);
        if let Some(over) = n.checked_sub(AT_ONCE) {
            crowd::end(over, &mut text);
        }
        n += 1;
        bytes += text.len() as u64;
        for piece in text.as_bytes().chunks(4 << 10) {
            pieces.send(piece.to_vec()).await.unwrap();
        }
    }
    for over in n.saturating_sub(AT_ONCE)..n {
        let mut text = String::new();
        crowd::end(over, &mut text);
        pieces.send(text.into_bytes()).await.unwrap();
    }
    (n, bytes)
}

/// The most memory that the process ever had.
fn memory_peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}
