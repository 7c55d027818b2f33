//! Pure: what the courier asks for and what comes of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::amo::answer::{Account, Answer};
use crate::amo::notes::{Note, Probe};
use crate::call::id::CallId;
use crate::call::phone;
use crate::call::record::Direction;
use crate::outbox::courier::standing::Standing;
use crate::outbox::queue::{self, BatchId, Item, Seq, Settlement};
use crate::time::{HostTime, MonoTime};

/// The moment of a poll.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    pub host: HostTime,
    pub mono: MonoTime,
    /// When the pace that the process shares lets requests go again.
    pub open_at: MonoTime,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// [`queue::Queue::adopt`].
    Adopt,
    /// [`queue::Queue::unknown`].
    Look { limit: usize },
    /// [`queue::Queue::lease`].
    Lease { limit: usize },
    /// [`queue::Queue::next_due`].
    NextDue,
    /// [`queue::Queue::intend`].
    Intend { calls: Vec<Seq> },
    /// [`queue::Queue::settle`].
    Settle { rulings: Vec<Ruling> },
    /// Ask for the account.
    Probe,
    /// Read the token again.
    RenewToken,
    /// Post this body; the calls in it are named by these request ids, in this order.
    Post { batch: BatchId, body: Vec<u8>, request_ids: Vec<String> },
    /// Search for calls that were posted at `since` or later.
    ReadBack { since: HostTime, uniqs: BTreeSet<String> },
    /// Tell people where the account stands.
    Announce(Standing),
    /// Nothing until then, or until calls arrive.
    Wait { until: MonoTime },
}

/// What came of an effect.
#[derive(Debug)]
pub enum Outcome {
    Adopted(u64),
    Unknown(Vec<Item>),
    Leased(Vec<Item>),
    NextDue(Option<HostTime>),
    Intended(BatchId),
    Settled,
    Probed(Probed),
    Token(Token),
    Posted {
        batch: BatchId,
        posted: Posted,
    },
    ReadBack(ReadBack),
    /// Calls were enqueued.
    Arrived,
    /// The store did not do what it was asked.
    StoreFailed(queue::Error),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probed {
    Answered(Probe),
    /// No answer, for this reason.
    Silent(String),
    NoToken(String),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Token {
    Another,
    Same,
    Absent(String),
    /// One was asked for, and did not come yet.
    Later(String),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Posted {
    Answered {
        answer: Answer,
        status: u16,
    },
    /// amoCRM had asked for quiet before the request's turn came.
    Quiet,
    /// The request never left.
    NotSent(String),
    /// The request left and no answer came.
    Lost(String),
    NoToken(String),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReadBack {
    /// Every place was searched.
    Complete(BTreeMap<String, Note>),
    /// The account does not answer questions.
    Refused {
        account: Account,
        words: String,
    },
    /// The account answers, but its notes cannot be read.
    Unreadable(String),
    /// No answer.
    Silent(String),
    NoToken(String),
}

/// What is decided on one call, and how to speak of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    pub call_id: CallId,
    pub direction: Direction,
    /// The last digits only: rulings are logged.
    pub phone: String,
    pub settlement: Settlement,
}

impl Ruling {
    pub(super) fn new(item: &Item, settlement: Settlement) -> Self {
        let record = &item.call.record;
        Self {
            call_id: record.call_id.clone(),
            direction: record.direction,
            phone: phone::masked(record.phone.as_deref().unwrap_or_default()),
            settlement,
        }
    }
}
