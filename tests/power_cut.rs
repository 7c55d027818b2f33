//! A power cut in the middle of the store's work: what was told to be durable is there afterwards. The disk is an
//! ext4 image whose kernel is told to forget, at a random moment, all that it has not written yet; which only root
//! may do, so it is done on demand:
//!
//! ```text
//! AMI2AMO_POWER_CUT=50 cargo test --release --test power_cut -- --nocapture
//! ```
//!
//! Otherwise the same worker is killed with SIGKILL on a plain folder, in few rounds: no power cut, but it shows
//! that worker and check do their part. What the image itself was given stays: a drive that loses its cache is
//! worse than this, and only a drive can show it.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::env;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::thread;
use std::time::Duration;

use ami2amo::outbox::store::{Opened, Repair, Store};

use disk::Disk;
use told::Told;
use worker::Syncs;

#[path = "power_cut/disk.rs"]
mod disk;
#[path = "support/samples.rs"]
mod samples;
#[path = "power_cut/told.rs"]
mod told;
#[path = "power_cut/worker.rs"]
mod worker;

/// How many power cuts are asked for.
const ROUNDS: &str = "AMI2AMO_POWER_CUT";

/// Kills in the place of power cuts that nobody asked for.
const KILLS: u32 = 4;

/// Power cuts of a store that syncs nothing: it shows that what is not on the disk is missed.
const CONTROLS: u32 = 5;

/// Rounds that one store lives: long enough for several segments of sled, short enough for many beginnings.
const ROUNDS_A_STORE: u32 = 10;

/// In every so many rounds the power fails while the store is being opened.
const EARLY: u32 = 5;

/// In every so many rounds the worker outlives its disk until its store has been opened again, in vain.
const LINGERING: u32 = 7;

/// What the rounds came to.
#[derive(Debug, Default)]
struct Score {
    rounds: u32,
    steps: u64,
    calls: usize,
    settled: usize,
    kept: usize,
    mended: u32,
    rebuilt: u32,
    refilled: u64,
    doubted: u64,
    closed_again: u64,
    remembered: u64,
    damaged_lines: u64,
    faults: Vec<String>,
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let score = if let Ok(rounds) = env::var(ROUNDS) {
        let rounds = rounds.parse().unwrap_or_else(|_| panic!("{ROUNDS}={rounds} is no number of rounds"));
        let control = run(&mut Disk::image(), CONTROLS, Syncs::Nothing);
        println!("\nwithout syncs: {control}");
        assert!(!control.faults.is_empty(), "a store that syncs nothing must lose something: {control}");
        run(&mut Disk::image(), rounds, Syncs::All)
    } else {
        println!(
            "NOT TESTED: power cuts, for which {ROUNDS}=ROUNDS must be set; {KILLS} kills in their place"
        );
        run(&mut Disk::folder(), KILLS, Syncs::All)
    };
    println!("\npower cut: {score}");
    assert!(score.faults.is_empty(), "{score}:\n  {}", score.faults.join("\n  "));
    assert!(score.steps > u64::from(score.rounds) * 10, "too little was told to prove anything: {score}");
    assert!(score.settled > 0 && score.kept > 0, "every kind of step is wanted: {score}");
}

fn run(disk: &mut Disk, rounds: u32, syncs: Syncs) -> Score {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut score, mut told, mut store) = (Score::default(), Told::default(), 0);
    for round in 0..rounds {
        disk.mount();
        let dir = disk.path().join(format!("store-{store}"));
        let pause = if round % 2 == 0 { 0 } else { random.u64(1..10) };
        let child = worker::start(&dir, told.next(), pause, syncs);
        let lines = if round % EARLY == EARLY - 1 { 0 } else { random.u32(1..200) };
        let linger = Duration::from_millis(if round % LINGERING == LINGERING - 1 { 1_500 } else { 20 });
        // A random moment, within whatever the disk is doing.
        let moment = Duration::from_micros(random.u64(0..20_000));
        interrupt(child, disk, &mut told, lines, [moment, linger]);
        disk.unmount();
        disk.mount();
        let faults = check(&dir, &told, &mut score);
        disk.unmount();
        let is_lost = !faults.is_empty();
        score.faults.extend(faults.into_iter().map(|fault| format!("round {round}, seed {seed}: {fault}")));
        if is_lost || round % ROUNDS_A_STORE == ROUNDS_A_STORE - 1 || round == rounds - 1 {
            score.add(&std::mem::take(&mut told));
            store += 1;
        }
    }
    score
}

/// Listens to a worker, cuts its power, and ends it.
fn interrupt(mut child: Child, disk: &Disk, told: &mut Told, lines: u32, [moment, linger]: [Duration; 2]) {
    let mut news = BufReader::new(child.stdout.take().expect("it is piped"));
    listen(&mut news, lines, told);
    thread::sleep(moment);
    disk.cut();
    thread::sleep(linger);
    kill(child, news, told);
}

/// Reads `lines` acknowledgements.
fn listen(news: &mut impl BufRead, lines: u32, told: &mut Told) {
    let (mut heard, mut line) = (0, String::new());
    while heard < lines {
        line.clear();
        assert_ne!(news.read_line(&mut line).unwrap(), 0, "the worker ended by itself");
        heard += u32::from(told.hear(&line));
    }
}

/// What it said before it died counts, whether its disk was there or not.
fn kill(mut child: Child, mut news: BufReader<ChildStdout>, told: &mut Told) {
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = Vec::new();
    news.read_to_end(&mut rest).unwrap();
    for line in String::from_utf8_lossy(&rest).split_inclusive('\n') {
        told.hear(line);
    }
}

/// What of all that was told is missing.
fn check(dir: &Path, told: &Told, score: &mut Score) -> Vec<String> {
    score.rounds += 1;
    let opened = Store::open(dir, worker::now());
    match opened {
        Ok(mut store) => {
            score.note(store.opened());
            told.faults(&mut store)
        }
        Err(error) => vec![format!("the store cannot be opened: {error:?}")],
    }
}

impl Score {
    fn note(&mut self, opened: Opened) {
        self.mended += u32::from(opened.repair == Some(Repair::Mended));
        self.rebuilt += u32::from(opened.repair == Some(Repair::Rebuilt));
        self.refilled += opened.refilled;
        self.doubted += opened.doubted;
        self.closed_again += opened.closed_again;
        self.remembered += opened.remembered;
        self.damaged_lines += opened.damaged_lines;
    }

    fn add(&mut self, told: &Told) {
        self.steps += told.steps;
        self.calls += told.calls.len();
        self.settled += told.settled();
        self.kept += told.kept.len();
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds, {} steps acknowledged, {} lost ({} calls, {} of them sent, {} calls in progress); \
             opened again: {} mended, {} rebuilt, {} refilled, {} doubted, {} closed, {} remembered, {} lines torn",
            self.rounds,
            self.steps,
            self.faults.len(),
            self.calls,
            self.settled,
            self.kept,
            self.mended,
            self.rebuilt,
            self.refilled,
            self.doubted,
            self.closed_again,
            self.remembered,
            self.damaged_lines,
        )
    }
}

/// The process that loses its disk: not a test of its own.
#[test]
fn child() {
    worker::run_if_asked();
}
