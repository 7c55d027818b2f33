//! A hundred thousand calls at once, and a caller who waits in a queue for hours: memory stays small.
//! What each event costs then, `benches/load.rs` measures.

#[path = "support/crowd.rs"]
mod crowd;

use std::fmt::Write as _;
use std::sync::Arc;

use ami2amo::call::id::PbxName;
use ami2amo::call::policy::Policy;
use ami2amo::call::record::{Outcome, Source};
use ami2amo::intake::reader::Reader;

const CALLS: u64 = 100_000;

/// What a call in progress may cost.
const BYTES_MAX: u64 = 4096;

#[test]
fn a_hundred_thousand_calls_take_less_than_four_kib_each() {
    let mut reader = reader();
    let mut text = String::new();
    // Memory that is taken once, whatever the number of calls.
    for n in 0..10 {
        crowd::begin(n, &mut text);
    }
    crowd::feed(&mut reader, &text);
    let before = resident();
    for n in 10..CALLS {
        text.clear();
        crowd::begin(n, &mut text);
        crowd::feed(&mut reader, &text);
    }
    let each = (resident() - before) / CALLS;
    assert_eq!(reader.stats().open as u64, CALLS);
    assert!(each < BYTES_MAX, "{each} bytes a call");
    for n in 0..CALLS {
        text.clear();
        crowd::end(n, &mut text);
        crowd::feed(&mut reader, &text);
    }
    reader.finish();
    let calls = std::iter::from_fn(|| reader.poll_finished());
    let answered =
        calls.filter(|call| call.record.outcome == Outcome::Answered && !call.record.partial).count();
    assert_eq!(answered as u64, CALLS, "{each} bytes a call");
}

#[test]
fn a_caller_whom_a_queue_offers_for_hours_is_one_small_call() {
    const ROUNDS: u64 = 720;
    const MEMBERS: u64 = 20;
    let mut reader = reader();
    let caller = "Channel: PJSIP/trunk-msk-00000001\r\nCallerIDNum: 79161234567\r\nContext: from-trunk\r\n\
                  Uniqueid: 1795000000.1\r\nLinkedid: 1795000000.1\r\n";
    let mut text = event("Newchannel", 0, &format!("{caller}ChannelState: 4\r\nExten: 74957000500\r\n"));
    text += &event("QueueCallerJoin", 0, &format!("{caller}Queue: sales\r\n"));
    crowd::feed(&mut reader, &text);
    let mut most = 0;
    for round in 0..ROUNDS {
        for member in 0..MEMBERS {
            let id = 10 + (round * MEMBERS + member) * 2;
            crowd::feed(&mut reader, &offer(caller, 100 + member, id, round * 5));
            most = most.max(reader.stats().channels);
        }
    }
    crowd::feed(&mut reader, &event("Hangup", ROUNDS * 5, &format!("{caller}Cause: 16\r\n")));
    reader.finish();
    let record = reader.poll_finished().expect("one call").record;
    assert!(reader.poll_finished().is_none());
    assert_eq!(record.rang.len() as u64, MEMBERS);
    assert_eq!(record.queue.as_deref(), Some("sales"));
    assert_eq!(record.wait_seconds.rounded(), ROUNDS * 5);
    assert!(most < 1000, "{most} channels are remembered of {}", ROUNDS * MEMBERS * 2);
}

/// A queue rings a Local member's phone, which does not answer.
fn offer(caller: &str, extension: u64, id: u64, at: u64) -> String {
    let channel = |name: &str, id: u64| {
        format!(
            "Channel: {name}\r\nUniqueid: 1795000000.{id}\r\nLinkedid: 1795000000.1\r\nContext: from-queue\r\n"
        )
    };
    let local = channel(&format!("Local/{extension}@from-queue-{id:08x};1"), id);
    let phone = channel(&format!("PJSIP/{extension}-{id:08x}"), id + 1);
    let dest = |channel: &str| channel.lines().fold(String::new(), |all, line| all + "Dest" + line + "\r\n");
    let mut text = String::new();
    for channel in [&local, &phone] {
        text += &event("Newchannel", at, &format!("{channel}ChannelState: 0\r\n"));
    }
    text +=
        &event("DialBegin", at, &format!("{caller}{}DialString: {extension}@from-queue\r\n", dest(&local)));
    text += &event("DialBegin", at, &format!("{local}{}DialString: {extension}\r\n", dest(&phone)));
    for (by, channel) in [(&local, &phone), (&caller.to_owned(), &local)] {
        text += &event("DialEnd", at + 1, &format!("{by}{}DialStatus: NOANSWER\r\n", dest(channel)));
        text += &event("Hangup", at + 1, &format!("{channel}Cause: 19\r\n"));
    }
    text
}

fn event(name: &str, at: u64, rest: &str) -> String {
    let mut text = String::new();
    write!(text, "Event: {name}\r\nTimestamp: {}.000000\r\n{rest}\r\n", 1_795_000_000 + at)
        .expect("a string grows");
    text
}

fn reader() -> Reader {
    Reader::new(PbxName::default(), Source::Replay, Arc::new(Policy::default()))
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
