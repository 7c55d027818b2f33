//! A restart at any moment changes no call: what was written down is enough to go on.

mod support {
    pub mod captures;
    pub mod frames;
}

use std::collections::BTreeMap;
use std::sync::Arc;

use ami2amo::ami::wire::{Frame, Kind};
use ami2amo::call::checkpoint::Value;
use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::Source;
use ami2amo::intake::reader::Reader;
use support::captures;
use support::frames::events;

/// What the store holds of calls in progress.
type Kept = BTreeMap<String, Vec<u8>>;

#[test]
fn restore_then_continue_equals_no_restart() {
    let (mut count, mut compared) = (0, 0);
    for path in captures::below(&captures::bundled()) {
        let (title, events) = (captures::title(&path), events(&captures::text(&path)));
        let restarted = calls(&events, Break::Restart);
        assert_eq!(restarted, calls(&events, Break::Connection), "{title}: as if the connection broke");
        // Of channels from before a connection it is known when that began, and not more.
        if !captures::scenario(&path).starts_with("attach") {
            assert_eq!(restarted, calls(&events, Break::None), "{title}: as if nothing was");
            compared += 1;
        }
        count += events.len();
    }
    assert!(count > 30_000 && compared > 500, "{count} events, {compared} captures");
}

/// What happens before every event.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Break {
    None,
    Connection,
    Restart,
}

fn calls(events: &[Vec<u8>], with: Break) -> Vec<serde_json::Value> {
    let (mut reader, mut kept, mut calls) = (start(&Kept::new()), Kept::new(), Vec::new());
    for block in events {
        match with {
            Break::None => {}
            Break::Connection => reader.handle_connected(),
            Break::Restart => reader = start(&kept),
        }
        reader.handle_frame(&Frame { kind: Kind::Event, block }, None);
        collect(&mut reader, &mut calls);
        keep(&mut reader, &mut kept);
    }
    reader.finish();
    collect(&mut reader, &mut calls);
    keep(&mut reader, &mut kept);
    let left: Vec<_> = kept.keys().filter(|key| key.starts_with(['c', 'g'])).collect();
    assert!(left.is_empty(), "a call that ended is forgotten: {left:?}");
    calls
}

fn start(kept: &Kept) -> Reader {
    let mut reader = Reader::new(PbxName::default(), Source::Replay, Arc::new(Policy::default()));
    reader.keep_changes();
    let read = |(key, json): (&String, &Vec<u8>)| Value::read(key, json).expect("what was written is read");
    reader.restore(kept.iter().map(read).collect());
    reader
}

fn collect(reader: &mut Reader, calls: &mut Vec<serde_json::Value>) {
    let finished = std::iter::from_fn(|| reader.poll_finished());
    calls.extend(finished.map(|call| serde_json::to_value(call.record).expect("a record has a JSON form")));
}

fn keep(reader: &mut Reader, kept: &mut Kept) {
    for change in reader.take_changes(usize::MAX) {
        match change.value {
            Some(value) => kept.insert(change.key, value),
            None => kept.remove(&change.key),
        };
    }
    assert!(!reader.has_changes());
}
