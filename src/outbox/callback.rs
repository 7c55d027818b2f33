//! Pure: the task to call back of one number, as the store keeps it.
//!
//! ```text
//!   missed ─► wanted ─► making ─► open ──(a later talk)──► closed: forgotten
//!               ▲         │         ▲
//!               │         ▼         │
//!               └────── doubt ──────┘        the POST had no clear answer: looked for, late and twice
//! ```
//!
//! The intent (`making`) is durable before the POST, so that a task is made once over crashes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::id::{AccountId, CallId};
use crate::call::record::{CallRecord, Direction, Outcome, Skip};
use crate::outbox::queue::{EntityRef, Item, Seq};
use crate::outbox::unknown;
use crate::time::HostTime;

/// Version of [`Row`]; keys are only ever added within one.
pub const VERSION: u32 = 1;
/// Rows of one account: more numbers than an office calls back in a day.
pub const ROWS_MAX: usize = 2000;

/// What is known of the task of one number.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    v: u32,
    /// The missed call, the last one.
    pub call_id: CallId,
    pub ended: Ended,
    /// What amoCRM attached it to.
    pub entity: EntityRef,
    /// The task's text, by which it is found again.
    pub text: String,
    /// What is written under the task when it is closed.
    pub result: String,
    /// The user whom the call is booked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u64>,
    /// A later talk ended: nobody has to call back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub talked: bool,
    /// The task that was made last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u64>,
    /// When it was made: amoCRM may not list it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<HostTime>,
    pub stage: Stage,
    /// What a later version wrote.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// When a call ended. Of calls that are taken in together the one that came first ended first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
pub struct Ended {
    pub at: HostTime,
    pub seq: Seq,
}

/// Where the task is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Stage {
    /// It is to be made, unless it is there.
    Wanted,
    /// The intent is durable: a POST with it is under way, or was when the process ended.
    Making { since: HostTime },
    /// It is made, and perhaps done by somebody.
    Open,
    /// It is not known whether it was made.
    Doubt { since: HostTime, looked: u32 },
}

/// A missed call for which there shall be a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    pub call_id: CallId,
    pub ended: Ended,
    pub entity: EntityRef,
    pub text: String,
    pub result: String,
    pub user: Option<u64>,
}

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it is of version {0}, and this program knows {VERSION} only")]
    Version(u32),
    #[error("it is no task: {0}")]
    Json(#[from] serde_json::Error),
}

impl Row {
    pub fn new(missed: Missed) -> Self {
        let Missed { call_id, ended, entity, text, result, user } = missed;
        Self {
            v: VERSION,
            call_id,
            ended,
            entity,
            text,
            result,
            user,
            talked: false,
            task: None,
            made_at: None,
            stage: Stage::Wanted,
            extra: Map::new(),
        }
    }

    /// Reads a row. One that a process left in its POST is in doubt.
    ///
    /// # Errors
    /// When it is none, or of a later version.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut row: Self = serde_json::from_slice(bytes)?;
        if row.v != VERSION {
            return Err(Error::Version(row.v));
        }
        if let Stage::Making { since } = row.stage {
            row.stage = Stage::Doubt { since, looked: 0 };
        }
        Ok(row)
    }

    /// As it is kept.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always have a JSON form")
    }

    /// The number called again in vain. What is on its way goes on; what was made may be done by now.
    pub fn miss(&mut self, missed: Missed) {
        let Missed { call_id, ended, entity, text, result, user } = missed;
        self.talked = false;
        (self.call_id, self.ended) = (call_id, ended);
        match self.stage {
            Stage::Wanted | Stage::Open => {
                self.stage = Stage::Wanted;
                (self.entity, self.text, self.result, self.user) = (entity, text, result, user);
            }
            // It is looked for by its text, and on its entity.
            Stage::Making { .. } | Stage::Doubt { .. } => {}
        }
    }

    /// A talk ended. Returns whether nothing is left to do.
    pub fn talk(&mut self) -> bool {
        self.talked = true;
        match (self.stage, self.task) {
            (Stage::Wanted, None) => true,
            (Stage::Wanted, Some(_)) => {
                self.stage = Stage::Open;
                false
            }
            (Stage::Making { .. } | Stage::Open | Stage::Doubt { .. }, _) => false,
        }
    }

    /// The task is listed, under this id.
    pub fn found(&mut self, task: u64) {
        (self.task, self.made_at) = (Some(task), None);
        self.stage = Stage::Open;
    }

    /// The task was made, and will be listed.
    pub fn made(&mut self, task: u64, now: HostTime) {
        self.found(task);
        self.made_at = Some(now);
    }
}

impl Ended {
    pub fn of(item: &Item) -> Self {
        Self { at: unknown::ended_at(item), seq: item.seq }
    }
}

/// Whether this is a talk with somebody outside; also where the configuration sends it to nobody.
pub fn is_talk(item: &Item) -> bool {
    let CallRecord { answered, direction, outcome, skip, .. } = &item.call.record;
    let is_conversation = *outcome != Outcome::Fax && *skip != Some(Skip::NoConversation);
    *answered && *direction != Direction::Internal && is_conversation
}

/// Whether `account` has a talk with `number` that ended after `ended`: nobody has to call back then, wherever that
/// call is on its way. A number is as [`unknown::number`] has it.
pub fn is_talk_after(item: &Item, account: &AccountId, number: &str, ended: Ended) -> bool {
    let is_ours = item.account == *account && unknown::number(&item.call.record) == number;
    is_ours && is_talk(item) && ended < Ended::of(item)
}

/// Where the row of a number is kept.
pub fn key(account: &AccountId, number: &str) -> String {
    format!("{account}/{number}")
}

/// The number whose row is kept there.
pub fn number_of(key: &str) -> Option<&str> {
    key.rsplit_once('/').map(|(_, number)| number).filter(|number| !number.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: HostTime = HostTime::from_micros(1_795_338_791_000_000);

    fn missed(call: &str) -> Missed {
        Missed {
            call_id: CallId::from_text(call),
            ended: Ended { at: NOW, seq: Seq(1) },
            entity: EntityRef { kind: "contact".to_owned(), id: 7 },
            text: format!("call back {call}"),
            result: "talked".to_owned(),
            user: Some(5),
        }
    }

    fn at(stage: Stage, task: Option<u64>) -> Row {
        Row { task, stage, ..Row::new(missed("1")) }
    }

    const MAKING: Stage = Stage::Making { since: NOW };
    const DOUBT: Stage = Stage::Doubt { since: NOW, looked: 1 };

    #[test]
    fn a_second_missed_call_makes_no_second_task() {
        let check = |stage, task, expected, text: &str| {
            let mut row = Row { talked: true, ..at(stage, task) };
            row.miss(missed("2"));
            assert_eq!((row.stage, row.task, row.talked), (expected, task, false), "{stage:?}");
            assert_eq!((row.call_id.as_str(), row.text.as_str()), ("2", text), "{stage:?}");
        };
        check(Stage::Wanted, None, Stage::Wanted, "call back 2");
        check(Stage::Open, Some(9), Stage::Wanted, "call back 2");
        check(MAKING, None, MAKING, "call back 1");
        check(DOUBT, None, DOUBT, "call back 1");
    }

    #[test]
    fn a_talk_ends_what_is_not_made_and_closes_what_is() {
        let check = |stage, task, expected, over| {
            let mut row = at(stage, task);
            assert_eq!((row.talk(), row.stage), (over, expected), "{stage:?} {task:?}");
            assert!(row.talked);
        };
        check(Stage::Wanted, None, Stage::Wanted, true);
        check(Stage::Wanted, Some(9), Stage::Open, false);
        check(Stage::Open, Some(9), Stage::Open, false);
        check(MAKING, None, MAKING, false);
        check(DOUBT, None, DOUBT, false);
    }

    #[test]
    fn a_row_is_read_as_it_was_kept_and_a_post_of_the_past_is_in_doubt() {
        for stage in [Stage::Wanted, Stage::Open, DOUBT] {
            let row = at(stage, Some(9));
            assert_eq!(Row::read(&row.to_json()).unwrap(), row);
        }
        let read = Row::read(&at(MAKING, None).to_json()).unwrap();
        assert_eq!(read.stage, Stage::Doubt { since: NOW, looked: 0 });
        let mut later: Value = serde_json::from_slice(&at(DOUBT, None).to_json()).unwrap();
        later["later"] = serde_json::json!([1]);
        let kept: Value =
            serde_json::from_slice(&Row::read(later.to_string().as_bytes()).unwrap().to_json()).unwrap();
        assert_eq!(kept, later);
        later["v"] = 2.into();
        assert!(matches!(Row::read(later.to_string().as_bytes()), Err(Error::Version(2))));
        assert!(matches!(Row::read(b"{"), Err(Error::Json(_))));
    }

    #[test]
    fn a_key_is_of_an_account_and_a_number() {
        let key = key(&AccountId::default(), "9161234567");
        assert_eq!((key.as_str(), number_of(&key)), ("default/9161234567", Some("9161234567")));
        assert_eq!((number_of("default/"), number_of("default")), (None, None));
    }
}
