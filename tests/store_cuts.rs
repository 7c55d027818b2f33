//! Cuts the file of a database at many lengths. The trees that sled gives back of one need not be of the
//! same moment: at the border a call has its name and not itself, or itself in two of them.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use ruins::{CALLS, check, edit, folder, make, queue};

#[path = "support/folder.rs"]
mod folder;
#[path = "support/ruins.rs"]
mod ruins;
#[path = "support/samples.rs"]
mod samples;

/// Cuts of the last part of the file, where the calls before the border differ; a long trial does more.
const CUTS: usize = 60;

/// That part, in bytes: the newest third of the calls and the end of the second.
const PART: u64 = 300 << 10;

/// A prime near the golden section of [`PART`]: cuts are spread evenly however many there are.
const STRIDE: u64 = 189_853;

#[test]
fn no_call_is_lost_at_whatever_length_the_database_is_cut() {
    let whole = folder();
    make(whole.path());
    let length = fs::metadata(queue(whole.path()).join("db")).unwrap().len();
    let all: BTreeSet<u64> = (0..CALLS).collect();
    let cuts = env::var("AMI2AMO_CUTS").map_or(CUTS, |cuts| cuts.parse().unwrap());
    let next = AtomicUsize::new(0);
    let cut = |number: usize| {
        let less = 1 + u64::try_from(number).unwrap() * STRIDE % PART;
        let dir = folder();
        folder::copy(whole.path(), dir.path());
        edit(&queue(dir.path()).join("db"), |bytes| bytes.truncate(usize::try_from(length - less).unwrap()));
        check(dir.path(), &all, &format!("cut by {less} of {length} bytes"))
    };
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= cuts {
                return outcomes;
            }
            let outcome = panic::catch_unwind(|| cut(number));
            outcomes
                .push(outcome.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default()));
        }
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut repairs: BTreeMap<String, u32> = BTreeMap::new();
    let mut lost = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(repair) => *repairs.entry(format!("{repair:?}")).or_default() += 1,
            Err(text) => lost.push(text),
        }
    }
    println!("{cuts} cuts, rungs: {repairs:?}");
    assert!(lost.is_empty(), "{} of {cuts} cuts: {lost:#?}", lost.len());
    assert_eq!(repairs.values().sum::<u32>(), u32::try_from(cuts).unwrap());
}
