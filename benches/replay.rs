//! How fast a stream is read: the splitter alone, with typed events, and with calls.

use std::hint::black_box;
use std::io::Read;
use std::sync::{Arc, LazyLock};

use ami2amo::ami::event::Event;
use ami2amo::ami::wire::{Frame, Splitter, Step};
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::Source;
use ami2amo::intake::reader::Reader;
use divan::Bencher;
use divan::counter::BytesCount;

/// Some 320 calls of all kinds of a real Asterisk, up to 20 at once.
static CAPTURE: &[u8] = include_bytes!("../tests/captures/ast22-vanilla/busy-day.ami.gz");

static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(CAPTURE).read_to_end(&mut text).expect("the bundled capture is sound");
    text
});

/// Bytes handed over at once, as `replay` does.
const PIECE: usize = 256 << 10;

fn main() {
    divan::main();
}

/// Hands every frame of the capture to `take`, piece by piece.
fn split(mut take: impl FnMut(&Frame<'_>)) {
    let mut splitter = Splitter::new();
    let (mut start, mut end) = (0, 0);
    while end < TEXT.len() {
        end = TEXT.len().min(end + PIECE);
        loop {
            match splitter.next(&TEXT[start..end]) {
                Step::Frame { frame, used } => {
                    take(&frame);
                    start += used;
                }
                Step::Skip { used } => start += used,
                Step::More => break,
            }
        }
    }
}

#[divan::bench]
fn wire(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_slice(&TEXT[..])).bench(|| {
        split(|frame| {
            black_box(frame.block);
        });
    });
}

#[divan::bench]
fn wire_and_events(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_slice(&TEXT[..])).bench(|| {
        split(|frame| {
            black_box(Event::parse(frame));
        });
    });
}

#[divan::bench]
fn wire_events_and_calls(bencher: Bencher<'_, '_>) {
    let policy = Arc::new(Policy::default());
    bencher.counter(BytesCount::of_slice(&TEXT[..])).bench(|| {
        let mut reader = Reader::new(PbxName::default(), Source::Replay, Arc::clone(&policy));
        split(|frame| {
            reader.handle_frame(frame, None);
            while let Some(call) = reader.poll_finished() {
                black_box(call);
            }
        });
        reader.finish();
        std::iter::from_fn(|| reader.poll_finished()).count()
    });
}
