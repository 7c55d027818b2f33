//! A block to a typed event: what means nothing changes nothing, and the splitter steps over nothing that
//! would have been understood.

use crate::ami::banner;
use crate::ami::event::{self, Event};
use crate::ami::interest;
use crate::ami::wire::{Frame, Kind};

use super::wire::frames;

/// Makes the splitter step over what nobody needs.
const TIMED: &[u8] = b"Event: Shutdown\r\nTimestamp: 1795000000.000001\r\n\r\n";

pub(super) fn check(data: &[u8]) {
    let frame = Frame { kind: Kind::Event, block: data };
    for (key, _) in frame.headers() {
        if let Ok(key) = std::str::from_utf8(key) {
            let first = frame.headers().find(|(other, _)| other.eq_ignore_ascii_case(key.as_bytes()));
            assert_eq!(frame.header(key), first.map(|(_, value)| value), "{key}");
        }
    }
    let shown = parsed(data);
    if data.ends_with(b"\n") {
        let longer = [data, b"Unheard-Of: x\r\n"].concat();
        assert_eq!(parsed(&longer), shown, "a header that nobody knows");
    }
    assert_eq!(parsed(&with_keys(data, <[u8]>::to_ascii_uppercase)), shown, "the case of keys");
    assert_eq!(parsed(&with_keys(data, <[u8]>::to_vec)), shown, "carriage returns");
    if let Some(event) = Event::parse(&frame) {
        plausible(&event);
        if is_plain(data) {
            let stream = [TIMED, data, b"\r\n\r\n"].concat();
            let (frames, _) = frames(std::iter::once(&stream[..]));
            assert!(frames.len() == 2 || waits_for_nothing(&event), "stepped over: {event:?}");
        }
    }
    if let Some(old) = banner::too_old(data) {
        assert!(old.len() <= 32 && old.bytes().all(|b| b.is_ascii_graphic()), "{old}");
    }
}

/// What the event says, without the places where it says it.
fn parsed(block: &[u8]) -> String {
    format!("{:?}", Event::parse(&Frame { kind: Kind::Event, block }))
}

/// The headers of `block` alone, each key changed, lines ended by `\n`.
fn with_keys(block: &[u8], change: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let headers = Frame { kind: Kind::Event, block }.headers();
    headers.flat_map(|(key, value)| [&change(key), &b": "[..], value, b"\n"].concat()).collect()
}

fn plausible(event: &Event<'_>) {
    if let Some(channel) = event.what.subject() {
        assert!((1..=150).contains(&channel.uniqueid.len()) && channel.linkedid.len() <= 150);
        assert!(std::str::from_utf8(channel.uniqueid).is_ok());
        let _ = event::made_at(channel.uniqueid);
        let _ = event::priority(channel);
        if let Some(number) = event::presented(channel.number) {
            assert!(!number.is_empty());
        }
    }
    if let Some(at) = event.at {
        assert!((0..100_000_000_000_000_000).contains(&at.micros()), "{at:?}");
    }
}

/// Whether the splitter takes these lines for one block: one head, at its front.
fn is_plain(block: &[u8]) -> bool {
    let mut lines = block.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let head = lines.next().unwrap_or_default();
    let begins =
        |line: &[u8], with: &[u8]| line.len() >= with.len() && line[..with.len()].eq_ignore_ascii_case(with);
    let breaks = |line: &[u8]| {
        line.is_empty() || [&b"Event:"[..], b"Response:", b"Privilege:"].iter().any(|word| begins(line, word))
    };
    block.len() < 4096 && head.starts_with(b"Event: ") && !lines.any(breaks)
}

/// A variable that no call depends on is read where it stands and stepped over where it comes.
fn waits_for_nothing(event: &Event<'_>) -> bool {
    let event::What::Variable { name, .. } = event.what else { return false };
    !interest::wants_variable(name, b"AMI2AMO_")
}
