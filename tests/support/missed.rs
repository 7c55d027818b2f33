//! A missed call of any moment: its events, its record, and a machine that reads such records.

#![allow(clippy::allow_attributes, dead_code, reason = "each binary uses its own part of this")]

use std::io::Write as _;
use std::path::Path;

use ami2amo::call::id::{CallId, PbxName};
use ami2amo::call::record::CallRecord;
use ami2amo::clock;
use ami2amo::outbox::queue::Queue as _;
use ami2amo::outbox::store::Store;
use ami2amo::time::{HostTime, local};

use crate::daemon::Host;
use crate::fake_ami::{Clock, Script, Step};

/// An hour of a zone that is not this host's.
pub const ZONE_S: i64 = 3 * 3600;

/// A missed call that began at `start` (epoch, seconds) and ended two seconds later.
pub fn events(start: i64) -> Vec<u8> {
    let channel = format!(
        "Channel: PJSIP/trunk-msk-{start:08x}\r\nChannelState: 4\r\nCallerIDNum: 79161234568\r\n\
         Context: from-trunk\r\nExten: 74957000101\r\nPriority: 1\r\nUniqueid: {start}.7\r\nLinkedid: {start}.7\r\n"
    );
    format!(
        "Event: Newchannel\r\nTimestamp: {start}.500000\r\n{channel}\r\n\
         Event: Hangup\r\nTimestamp: {}.500000\r\n{channel}Cause: 16\r\n\r\n",
        start + 2
    )
    .into_bytes()
}

/// The same call as a line of `Master.csv`, with one phone that rang.
pub fn record(start: i64) -> String {
    let time = |at: i64| local::text((at + ZONE_S) * 1_000_000);
    format!(
        "\"\",\"79161234568\",\"74957000101\",\"from-trunk\",\"\",\"PJSIP/trunk-msk-{start:08x}\",\"PJSIP/101-{:08x}\",\
         \"Dial\",\"PJSIP/101,25\",\"{}\",,\"{}\",2,0,\"NO ANSWER\",\"DOCUMENTATION\",\"{start}.7\",\"\",\"\",\"{start}.7\",7\n",
        start + 1,
        time(start),
        time(start + 2),
    )
}

pub fn add(path: &Path, starts: &[i64]) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    for start in starts {
        file.write_all(record(*start).as_bytes()).unwrap();
    }
}

pub fn now() -> i64 {
    clock::host().seconds()
}

/// With the PBX's records in `Master.csv` of the host's folder.
pub fn host_with_records(port: u16) -> Host {
    let host = Host::new(port, "#cdr");
    let table = format!("[pbx.cdr]\nkind = \"csv\"\npath = \"{}\"\n", host.path("Master.csv").display());
    host.edit("#cdr", &table);
    add(&host.path("Master.csv"), &[]);
    host
}

pub fn stored(host: &Host, start: i64) -> CallRecord {
    let mut store = Store::open(&host.path("store"), HostTime::default()).unwrap();
    let id = CallId::new(&PbxName::default(), &format!("{start}.7"), 1);
    store.find(&id).unwrap().expect("the call is stored").call.record
}

pub fn script(steps: Vec<Step>) -> Script {
    Script { steps, clock: Clock::Host, ..Script::default() }
}
