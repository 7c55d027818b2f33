//! Pure: what the courier asks for and what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::amo::answer::{Account, Answer};
use crate::amo::calls;
use crate::amo::contacts::Known;
use crate::amo::feed::FeedNote;
use crate::amo::late_link::Changed;
use crate::amo::made::Made;
use crate::amo::notes::{Note, Probe, Window};
use crate::amo::recording::Search;
use crate::amo::unsorted::Open;
use crate::call::id::{AccountId, CallId, PbxName};
use crate::call::phone::Private;
use crate::call::record::Direction;
use crate::outbox::compare::{Compared, Stranger};
use crate::outbox::courier::aside::{Question, Told};
use crate::outbox::courier::standing::{Hold, Signal, Standing};
use crate::outbox::errand::Make;
use crate::outbox::policy::Policy;
use crate::outbox::queue::{self, BatchId, Item, Seq, Settlement, State};
use crate::time::{HostTime, MonoTime};

/// The moment of a poll.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    pub host: HostTime,
    pub mono: MonoTime,
    /// When the pace that the process shares lets requests go again.
    pub open_at: MonoTime,
    /// How far amoCRM's clock is ahead of the host's, in microseconds.
    pub amo_ahead: i64,
    /// How far local time is ahead of UTC, in seconds.
    pub utc_offset: i32,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// [`queue::Queue::adopt`].
    Adopt,
    /// [`queue::Queue::unknown`].
    Look { limit: usize },
    /// [`queue::Queue::unknown`], whether due or not.
    Doubts { limit: usize },
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
    /// Read the open items of Incoming leads.
    ReadUnsorted,
    /// Search for contacts with this number.
    Search { number: String },
    /// Make these things; they are named by these request ids, in this order.
    Create { make: Make, body: Vec<u8>, request_ids: Vec<String> },
    /// Keep these rows, or forget them.
    Keep { rows: Vec<TaskRow> },
    /// Ask or do this beside everything else; given out once, as a POST is.
    Ask(Question),
    /// Look for these files.
    FindSounds { searches: Vec<Search> },
    /// [`queue::Queue::owing`].
    Owing { limit: usize },
    /// Change a note.
    Amend { path: String, body: Vec<u8> },
    /// Take up calls that came before `until`, are not sent, and were not compared yet.
    Uncompared { limit: usize, until: HostTime },
    /// Read the call notes of this time.
    ReadFeed { window: Window },
    /// Keep what was found out of calls at their end, and notes that are of no call.
    NoteCompared { found: Vec<(Seq, Compared)>, strangers: Vec<Stranger> },
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
    Doubts(Vec<Item>),
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
    Open(ReadBack<Open>),
    Searched(ReadBack<Vec<Known>>),
    Created(Created),
    Kept,
    Told(Told),
    /// The files that were found, in the order in which they were looked for.
    Sounds(Vec<Option<String>>),
    Owing(Vec<Item>),
    Uncompared(Vec<Item>),
    Feed(ReadBack<Vec<FeedNote>>),
    /// What was found out of calls is kept.
    Noted,
    Amended(Amended),
    /// Calls were enqueued.
    Arrived,
    /// The store did not do what it was asked.
    StoreFailed(queue::Error),
}

/// What is kept under a key of the account's tasks; nothing, when it is forgotten.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TaskRow {
    pub key: String,
    pub value: Option<Vec<u8>>,
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

/// What came of a POST that makes something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Created {
    Answered(Made),
    /// amoCRM wants no requests now, and this one was not made.
    Quiet,
    /// The request never left.
    NotSent(String),
    /// The request left and no answer came.
    Lost(String),
    NoToken(String),
}

/// What came of a note that was to be changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Amended {
    Answered(Changed),
    /// amoCRM wants no requests now, and this one was not made.
    Quiet,
    /// No answer came; perhaps it was done.
    NotSent(String),
    NoToken(String),
}

/// What a question brought; of stored calls, where nothing else is said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReadBack<T = BTreeMap<String, Note>> {
    /// All of it was read.
    Complete(T),
    /// The account does not answer questions.
    Refused {
        account: Account,
        words: String,
    },
    /// The account answers, but what was asked for cannot be read.
    Unreadable(String),
    /// No answer.
    Silent(String),
    NoToken(String),
}

/// The search for calls whose outcome is unknown.
pub(super) fn read_back(items: &[Item], begun: HostTime) -> Effect {
    let since = items
        .iter()
        .filter_map(|item| if let State::Unknown { since, .. } = item.state { Some(since) } else { None });
    Effect::ReadBack {
        since: since.min().unwrap_or(begun),
        uniqs: items.iter().map(|item| calls::uniq(&item.call.record)).collect(),
    }
}

/// Why something could not be read: what amoCRM said, when to ask again, and what it says of the account.
pub(super) struct Unread {
    pub(super) words: String,
    pub(super) pause: Duration,
    pub(super) signal: Option<Signal>,
}

impl<T> ReadBack<T> {
    pub(super) fn read(self, policy: &Policy) -> Result<T, Unread> {
        let soon = policy.note_lag.duration();
        let (words, pause, signal) = match self {
            Self::Complete(complete) => return Ok(complete),
            Self::Refused { account, words } => (words.clone(), soon, Some(Signal::of(account, words))),
            Self::Unreadable(words) => (words, policy.retry_max.duration(), None),
            Self::Silent(words) => (words.clone(), soon, Some(Signal::Trouble(words))),
            Self::NoToken(words) => (words.clone(), soon, Some(Signal::Hold(Hold::Unauthorized, words))),
        };
        Err(Unread { words, pause, signal })
    }
}

/// What is decided on one call, and how to speak of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    pub call_id: CallId,
    pub pbx: PbxName,
    pub account: AccountId,
    pub direction: Direction,
    pub phone: Private,
    /// The call was delivered before: the ruling is about what is owed to it.
    pub from_sent: bool,
    pub settlement: Settlement,
}

impl Ruling {
    pub(super) fn new(item: &Item, settlement: Settlement) -> Self {
        let record = &item.call.record;
        Self {
            call_id: record.call_id.clone(),
            direction: record.direction,
            pbx: record.pbx.clone(),
            account: record.account.clone(),
            phone: Private::new(record.phone.as_deref()),
            from_sent: matches!(item.state, State::Sent { .. }),
            settlement,
        }
    }
}
