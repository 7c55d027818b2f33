//! The whole daemon in simulated worlds, one a seed: `docs/guarantees.md` says what they show.
//!
//! ```text
//! cargo test --test sim                                    kept seeds, and a few hundred others
//! AMI2AMO_SIM_SEEDS=10000 cargo test --release --test sim -- --nocapture seeds
//! AMI2AMO_SIM_SEEDS=5000 AMI2AMO_SIM_FROM=20000 …          a range; its table is printed
//! AMI2AMO_SIM_SEED=4711 cargo test --test sim -- --nocapture one_seed
//! ```
//! A seed that fails goes into `seeds.txt`, where it stays.
#![cfg(feature = "daemon")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

mod amocrm;
mod answers;
mod asking;
mod carrier;
mod channels;
mod coverage;
mod dice;
mod disk;
mod judge;
mod mutants;
mod pbx;
mod process;
mod scenes;
#[path = "../support/stage.rs"]
mod stage;
mod world;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use coverage::Coverage;
use mutants::{MUTANTS, Mutant};
use world::World;

/// Seeds of a usual run: seconds, and every part of the table is met.
const SEEDS: u64 = 600;
/// With so many seeds every cell of the table must be met.
const SEEDS_FOR_ALL: u64 = 8_000;
/// Within so many seeds a planted bug must be found.
const SEEDS_FOR_A_BUG: u64 = 400;
const THREADS: usize = 2;

/// What came of one world.
struct Outcome {
    faults: Vec<String>,
    coverage: Coverage,
    digest: u64,
    log: Vec<String>,
}

fn run(seed: u64, mutant: Option<Mutant>, with_log: bool) -> Outcome {
    let lived = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, mutant, with_log);
        world.run();
        let faults = judge::faults(&mut world);
        let log = world.log.take().unwrap_or_default();
        Outcome { faults, coverage: world.coverage, digest: world.digest, log }
    }));
    lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        let faults = vec![format!("panic: {text}")];
        Outcome { faults, coverage: Coverage::default(), digest: 0, log: Vec::new() }
    })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn kept() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()).map(|seed| seed.parse().unwrap()).collect()
}

fn check(seed: u64, outcome: &Outcome) -> Option<String> {
    let told = outcome.faults.join("\n");
    (!outcome.faults.is_empty())
        .then(|| format!("seed {seed} (AMI2AMO_SIM_SEED={seed} shows it step by step):\n{told}"))
}

#[test]
fn seeds_that_failed_once_are_right() {
    let failed: Vec<String> =
        kept().into_iter().filter_map(|seed| check(seed, &run(seed, None, false))).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn every_call_is_delivered_once_and_true_whatever_happens() {
    let (from, count) =
        (number("AMI2AMO_SIM_FROM").unwrap_or(1), number("AMI2AMO_SIM_SEEDS").unwrap_or(SEEDS));
    let (next, sum) = (AtomicU64::new(from), Mutex::new((Coverage::default(), Vec::new())));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let (mut coverage, mut failed) = (Coverage::default(), Vec::new());
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    let outcome = run(seed, None, false);
                    coverage.add(&outcome.coverage);
                    failed.extend(check(seed, &outcome).map(|text| (seed, text)));
                }
                let mut sum = sum.lock().unwrap();
                sum.0.add(&coverage);
                sum.1.extend(failed);
            });
        }
    });
    let (coverage, mut failed) = sum.into_inner().unwrap();
    println!("{}", coverage.table());
    failed.sort();
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    let told: Vec<&str> = failed.iter().take(3).map(|(_, text)| text.as_str()).collect();
    for (seed, text) in &failed {
        let first = text.lines().nth(1).unwrap_or_default();
        println!("{seed}: {}", first.chars().take(140).collect::<String>());
    }
    assert!(failed.is_empty(), "{} of {count} seeds fail: {seeds:?}\n\n{}", failed.len(), told.join("\n\n"));
    let holes = if count >= SEEDS_FOR_ALL { coverage.holes() } else { coverage.empty_rows() };
    assert!(holes.is_empty(), "never met in {count} seeds:\n{}", holes.join("\n"));
    println!("sim: {count} passed, 0 failed");
}

#[test]
fn one_seed() {
    let seed = number("AMI2AMO_SIM_SEED").unwrap_or(1);
    let outcome = run(seed, None, true);
    println!("{}", outcome.log.join("\n"));
    assert!(outcome.faults.is_empty(), "{}", outcome.faults.join("\n"));
}

#[test]
fn a_seed_is_a_run() {
    for seed in 1..=20 {
        let (one, other) = (run(seed, None, true), run(seed, None, true));
        assert_eq!(one.digest, other.digest, "seed {seed}");
        assert_eq!(one.log, other.log, "seed {seed}");
    }
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for mutant in MUTANTS {
        let found = (1..=SEEDS_FOR_A_BUG).find_map(|seed| {
            let outcome = run(seed, Some(*mutant), false);
            outcome.faults.into_iter().next().map(|fault| (seed, fault))
        });
        match found {
            Some((seed, fault)) => {
                println!("{mutant:?}: seed {seed}: {}", fault.lines().next().unwrap_or_default());
            }
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not found in {SEEDS_FOR_A_BUG} seeds: {missed:?}");
    println!("sim-mutants: {} passed, 0 failed", MUTANTS.len());
}
