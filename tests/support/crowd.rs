//! Any number of answered calls as AMI text: what a very large PBX sends.

#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses its own part of this")]

use std::fmt::Write as _;

use ami2amo::ami::wire::{Splitter, Step};
use ami2amo::intake::reader::Reader;

/// Lets `reader` read all of `text`.
pub fn feed(reader: &mut Reader, text: &str) {
    let (mut splitter, mut rest) = (Splitter::new(), text.as_bytes());
    loop {
        match splitter.next(rest) {
            Step::Frame { frame, used } => {
                reader.handle_frame(&frame, None);
                rest = &rest[used..];
            }
            Step::Skip { used } => rest = &rest[used..],
            Step::More => break,
        }
    }
}

/// What call number `n` sends until two people talk.
pub fn begin(n: u64, text: &mut String) {
    let at = time(n);
    let (trunk, phone) = (trunk(n), phone(n));
    event(text, "Newchannel", &at, &format!("{trunk}ChannelState: 4\r\nExten: 74957000101\r\n"));
    event(text, "Newchannel", &at, &format!("{phone}ChannelState: 0\r\nExten: s\r\n"));
    let dest = prefixed(&phone);
    event(text, "DialBegin", &at, &format!("{trunk}{dest}DialString: {}\r\n", 100 + n % 900));
    event(text, "Newstate", &at, &format!("{phone}ChannelState: 5\r\n"));
    event(text, "DialEnd", &at, &format!("{trunk}{dest}DialStatus: ANSWER\r\n"));
    let bridge = bridge(n);
    event(text, "BridgeEnter", &at, &format!("{bridge}{phone}"));
    event(text, "BridgeEnter", &at, &format!("{bridge}{trunk}"));
}

/// What it sends when they hang up.
pub fn end(n: u64, text: &mut String) {
    let at = time(n);
    let (trunk, phone, bridge) = (trunk(n), phone(n), bridge(n));
    event(text, "HangupRequest", &at, &format!("{trunk}Cause: 16\r\n"));
    event(text, "BridgeLeave", &at, &format!("{bridge}{trunk}"));
    event(text, "BridgeLeave", &at, &format!("{bridge}{phone}"));
    event(text, "BridgeDestroy", &at, &bridge);
    event(text, "Hangup", &at, &format!("{trunk}Cause: 16\r\n"));
    event(text, "Hangup", &at, &format!("{phone}Cause: 16\r\n"));
}

fn event(text: &mut String, name: &str, at: &str, rest: &str) {
    write!(text, "Event: {name}\r\nPrivilege: call,all\r\nTimestamp: {at}\r\n{rest}\r\n")
        .expect("a string grows");
}

fn time(n: u64) -> String {
    format!("{}.{:06}", 1_795_000_000 + n / 1000, n % 1000)
}

fn trunk(n: u64) -> String {
    let id = n * 2;
    format!(
        "Channel: PJSIP/trunk-msk-{id:08x}\r\nCallerIDNum: 7916{n:07}\r\nContext: from-trunk\r\n\
         Uniqueid: 1795000000.{id}\r\nLinkedid: 1795000000.{id}\r\n"
    )
}

fn phone(n: u64) -> String {
    let (id, linked, extension) = (n * 2 + 1, n * 2, 100 + n % 900);
    format!(
        "Channel: PJSIP/{extension}-{id:08x}\r\nCallerIDNum: {extension}\r\nContext: from-internal\r\n\
         Uniqueid: 1795000000.{id}\r\nLinkedid: 1795000000.{linked}\r\n"
    )
}

fn prefixed(channel: &str) -> String {
    channel.lines().fold(String::new(), |all, line| all + "Dest" + line + "\r\n")
}

fn bridge(n: u64) -> String {
    format!("BridgeUniqueid: 91b8eda1-2216-4f59-9e70-{n:012}\r\nBridgeType: basic\r\n")
}
