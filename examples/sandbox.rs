//! The main job on one machine, in half a minute: a recorded hour of a real Asterisk is played by a
//! loopback AMI server, the real daemon follows it with a store of its own, and a loopback amoCRM
//! takes the posts. Nothing leaves the machine and nothing stays on it.
//!
//!     cargo run --release --example sandbox
//!
//! Prints each call as it is delivered; the last line is `delivered N of N`.

#![expect(clippy::print_stdout, reason = "an example speaks to the person who started it")]

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ami2amo::ami::wire::{Splitter, Step as Cut};
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::{CallRecord, Source};
use ami2amo::daemon::policies;
use ami2amo::daemon::systemd::Notifier;
use ami2amo::intake::reader::Reader;
use ami2amo::ops::log::control::Control;
use ami2amo::ops::log::{self, Format};
use ami2amo::outbox::store::Store;
use ami2amo::{clock, config, daemon};
use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use fake_ami::{FakeAmi, Script, Step};
use fake_amo::{FakeAmo, Note};

#[path = "../tests/support/fake_ami.rs"]
mod fake_ami;
#[path = "../tests/support/fake_amo.rs"]
mod fake_amo;

/// An Asterisk 22 with a hand-written dial plan: some 90 calls, up to eight at once.
const CAPTURE: &[u8] = include_bytes!("../tests/captures/ast22-vanilla/busy-hour.ami.gz");
/// The hour is played in about ten seconds.
const SLICE: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(30);
/// Longest wait for the last call.
const PATIENCE: Duration = Duration::from_secs(50);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let log = log::init_daemon("warn", Format::Text).context("cannot set up logging")?;
    let events = events()?;
    let expected = calls_in(&events).len();
    let pace = Step::Pace { bytes: events, slice: SLICE, pause: PAUSE };
    let ami = FakeAmi::start(Script { steps: vec![pace], ..Script::default() }).await;
    let amo = fake_amo::start(fake_amo::Options::default()).await;
    println!("Asterisk on 127.0.0.1:{}, amoCRM on {}", ami.port(), amo.base_url());

    let dir = tempfile::tempdir().context("cannot make a folder for the store")?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(dir.path().to_owned(), ami.port(), amo.base_url(), log, stop.clone()));
    let delivered = watch(&amo, expected).await;
    stop.cancel();
    running.await.context("the daemon panicked")??;

    let twice = delivered.len() - distinct(&delivered);
    if twice > 0 {
        bail!("{twice} calls were delivered twice");
    }
    println!("delivered {} of {expected}", delivered.len());
    Ok(if delivered.len() == expected && expected > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The daemon as `ami2amo run` starts it.
async fn run(
    dir: std::path::PathBuf,
    ami_port: u16,
    amo_url: String,
    log: Control,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let path = dir.join("ami2amo.toml");
    std::fs::write(&path, configuration(&dir, ami_port, &amo_url))
        .context("cannot write the configuration")?;
    let (config, _) = config::load(&path)?;
    let store = Store::open(&config.setup.store_dir, clock::host()).context("cannot open the store")?;
    let store = store.spawn(clock::host).context("cannot start the store's thread")?;
    let (_sender, policies) = policies::channel(config.policy);
    daemon::run(config.setup, policies, None, store, Notifier::without_watchdog(), log, stop).await
}

fn configuration(dir: &Path, ami_port: u16, amo_url: &str) -> String {
    let users: Vec<String> =
        (101..=110).map(|extension| format!("{extension} = {}", 504_000 + extension)).collect();
    let users = users.join("\n");
    format!(
        "[[pbx]]\nname = \"sandbox\"\nhost = \"127.0.0.1\"\nport = {ami_port}\nusername = \"ami2amo\"\n\
         secret = \"s3cret\"\n[amocrm]\nbase-url = \"{amo_url}\"\ntoken = \"test.token\"\ndefault-user = 504000\n\
         [amocrm.users]\n{users}\n[store]\ndir = \"{0}/store\"\n[admin]\nsocket = \"{0}/ctl.sock\"\n",
        dir.display(),
    )
}

/// Prints calls as they are stored, until `expected` are there.
async fn watch(amo: &FakeAmo, expected: usize) -> Vec<Note> {
    let started = clock::mono();
    let mut shown = 0;
    loop {
        let calls = amo.calls();
        for note in &calls[shown..] {
            println!("{}", line(note));
        }
        shown = calls.len();
        if shown >= expected || clock::mono().since(started) > PATIENCE {
            return calls;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn line(note: &Note) -> String {
    let text = |key: &str| note.call[key].as_str().unwrap_or("-").to_owned();
    let number =
        |key: &str| note.call[key].as_i64().map_or_else(|| "-".to_owned(), |value| value.to_string());
    format!(
        "{:8} {:>13} {:>3} s  status {}  user {:>6}  {}",
        text("direction"),
        text("phone"),
        number("duration"),
        number("call_status"),
        number("call_responsible"),
        text("call_result"),
    )
}

fn distinct(notes: &[Note]) -> usize {
    let mut ids: Vec<&str> = notes.iter().map(Note::uniq).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

/// The recorded stream from its first event on: the login before it is the recorder's.
fn events() -> anyhow::Result<Vec<u8>> {
    let mut stream = Vec::new();
    flate2::read::GzDecoder::new(CAPTURE)
        .read_to_end(&mut stream)
        .context("the bundled capture is damaged")?;
    let begin = memchr::memmem::find(&stream, b"Event: ").context("the bundled capture has no event")?;
    Ok(stream.split_off(begin))
}

/// What a replay of the same stream would send.
fn calls_in(events: &[u8]) -> Vec<CallRecord> {
    let mut reader = Reader::new(PbxName::default(), Source::Replay, Arc::new(Policy::default()));
    let (mut splitter, mut rest) = (Splitter::new(), events);
    loop {
        match splitter.next(rest) {
            Cut::Frame { frame, used } => {
                reader.handle_frame(&frame, None);
                rest = &rest[used..];
            }
            Cut::Skip { used } => rest = &rest[used..],
            Cut::More => break,
        }
    }
    reader.finish();
    let calls = std::iter::from_fn(|| reader.poll_finished()).map(|call| call.record);
    calls.filter(|call| call.skip.is_none()).collect()
}
