//! What an event costs beside so many calls in progress: a call begins and ends while the others last.

use std::hint::black_box;
use std::sync::Arc;

use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::Source;
use ami2amo::intake::reader::Reader;
use divan::Bencher;
use divan::counter::ItemsCount;

#[path = "../tests/support/crowd.rs"]
mod crowd;

/// Events of one call, see `crowd`.
const EVENTS: u64 = 13;

fn main() {
    divan::main();
}

#[divan::bench(args = [100, 10_000, 100_000])]
fn event_beside(bencher: Bencher<'_, '_>, calls: u64) {
    let mut reader = Reader::new(PbxName::default(), Source::Replay, Arc::new(Policy::default()));
    let mut text = String::new();
    for n in 0..calls {
        text.clear();
        crowd::begin(n, &mut text);
        crowd::feed(&mut reader, &text);
    }
    let mut next = calls;
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        text.clear();
        crowd::begin(next, &mut text);
        crowd::end(next, &mut text);
        next += 1;
        crowd::feed(&mut reader, &text);
        while let Some(call) = reader.poll_finished() {
            black_box(call);
        }
    });
}
