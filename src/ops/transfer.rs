//! Pure: calls on their way from one store to another: the lines of a file, and what the admin socket gives
//! and takes of them.

use serde::{Deserialize, Serialize};

use crate::call::id::{AccountId, CallId};
use crate::outbox::queue::{Item, Seq};
use crate::outbox::store::transfer::Arrival;

/// The version of a line; keys are only ever added within one.
pub const VERSION: u32 = 1;

/// Longest line that is read, in bytes: twice a stored call.
pub const LINE_MAX: usize = 16 << 10;

/// Calls in one piece, in either direction: a megabyte at most.
pub const PIECE: usize = 100;

/// One call in a file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Line {
    pub v: u32,
    pub item: Item,
}

/// Some calls that leave, the oldest first.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Shipped {
    pub v: u32,
    pub calls: Vec<Item>,
    /// Where the next piece goes on; `null` after the last one.
    pub next: Option<Seq>,
}

/// Some calls that come.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Coming {
    pub calls: Vec<Item>,
    /// Who brings them; the daemon adds the user that it sees.
    pub by: String,
}

/// What became of them, call by call.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Arrived {
    pub v: u32,
    pub arrivals: Vec<(CallId, Arrival)>,
}

/// Why a line is no call that can be taken in.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("it is longer than {LINE_MAX} bytes")]
    Long,
    #[error("it is of version {0}, and this program knows {VERSION} only: import with a later ami2amo")]
    Version(u32),
    #[error("it is no exported call: {0}")]
    Json(serde_json::Error),
    #[error("call {call} is of account {account}, and the configuration has {known} only")]
    Account { call: CallId, account: AccountId, known: String },
}

/// Just the version, which is read before anything else is believed.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl Line {
    pub fn new(item: Item) -> Self {
        Self { v: VERSION, item }
    }

    /// Reads a line of a call that belongs to one of `accounts`.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(line: &[u8], accounts: &[AccountId]) -> Result<Item, Fault> {
        if line.len() > LINE_MAX {
            return Err(Fault::Long);
        }
        let Versioned { v } = serde_json::from_slice(line).map_err(Fault::Json)?;
        if v != VERSION {
            return Err(Fault::Version(v));
        }
        let Self { item, .. } = serde_json::from_slice(line).map_err(Fault::Json)?;
        if !accounts.contains(&item.account) {
            let known = accounts.iter().map(AccountId::as_str).collect::<Vec<_>>().join(", ");
            let call = item.call.record.call_id;
            return Err(Fault::Account { call, account: item.account, known });
        }
        Ok(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;
    use crate::outbox::schedule::Slip;
    use crate::time::HostTime;

    fn line() -> Line {
        let call = sample::call("1795337591.4");
        Line::new(Slip::new(Seq(7), &call.record, HostTime::from_micros(5)).into_item(call))
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let text = serde_json::to_vec(&line()).unwrap();
        assert_eq!(Line::read(&text, &[AccountId::default()]).unwrap(), line().item);
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let said = Line::read(line.as_bytes(), &[AccountId::new("spb").unwrap()]).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn what_is_no_call_for_here_is_said_to_be_none() {
        let text = serde_json::to_string(&line()).unwrap();
        check(&text, "call default-1795337591.4 is of account default, and the configuration has spb only");
        check(&text.replacen("\"v\":1", "\"v\":2", 1), "it is of version 2, and this program knows 1 only");
        check(text.trim_end_matches('}'), "it is no exported call: EOF");
        check("{\"v\":1}", "missing field `item`");
        check(&" ".repeat(LINE_MAX + 1), "longer than 16384 bytes");
    }
}
