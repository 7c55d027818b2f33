//! What the courier's task asks of the store.

use std::future::Future;

use tokio::sync::mpsc::{Receiver, channel};

use crate::call::id::AccountId;
use crate::outbox::callback::Ended;
use crate::outbox::compare::{Compared, Stranger};
use crate::outbox::courier::effect::TaskRow;
use crate::outbox::queue::{self, BatchId, Item, Seq, Settlement};
use crate::time::HostTime;

/// The outbox as the task needs it: [`queue::Queue`], asked from another thread.
pub trait Outbox: Clone + Send + Sync + 'static {
    fn adopt(
        &self,
        account: &AccountId,
        now: HostTime,
    ) -> impl Future<Output = Result<u64, queue::Error>> + Send;

    fn unknown(
        &self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> impl Future<Output = Result<Vec<Item>, queue::Error>> + Send;

    fn lease(
        &self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> impl Future<Output = Result<Vec<Item>, queue::Error>> + Send;

    fn owing(
        &self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> impl Future<Output = Result<Vec<Item>, queue::Error>> + Send;

    fn next_due(
        &self,
        account: &AccountId,
    ) -> impl Future<Output = Result<Option<HostTime>, queue::Error>> + Send;

    fn intend(
        &self,
        calls: Vec<Seq>,
        now: HostTime,
    ) -> impl Future<Output = Result<BatchId, queue::Error>> + Send;

    fn settle(
        &self,
        settlements: Vec<Settlement>,
        now: HostTime,
    ) -> impl Future<Output = Result<(), queue::Error>> + Send;

    /// What was remembered of the account's way of answering. An outbox without a place for it knows
    /// nothing.
    fn recall(
        &self,
        _account: &AccountId,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, queue::Error>> + Send {
        async { Ok(None) }
    }

    /// Remembers it.
    fn remember(
        &self,
        _account: &AccountId,
        _manner: Vec<u8>,
    ) -> impl Future<Output = Result<(), queue::Error>> + Send {
        async { Ok(()) }
    }

    /// What is kept of the account's tasks, by key.
    fn tasks(
        &self,
        _account: &AccountId,
    ) -> impl Future<Output = Result<Vec<(String, Vec<u8>)>, queue::Error>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Keeps what changed of tasks. An outbox without a place for it keeps them in the process only.
    fn keep_tasks(&self, _rows: Vec<TaskRow>) -> impl Future<Output = Result<(), queue::Error>> + Send {
        async { Ok(()) }
    }

    /// Whether there is a talk of the account with this number that ended after `ended`, in whatever state.
    fn has_talk_after(
        &self,
        account: &AccountId,
        number: &str,
        ended: Ended,
    ) -> impl Future<Output = Result<bool, queue::Error>> + Send;

    /// As [`Handle::uncompared`](crate::outbox::store::handle::Handle::uncompared). An outbox without a place for what
    /// is found has none.
    fn uncompared(
        &self,
        _account: &AccountId,
        _limit: usize,
        _until: HostTime,
    ) -> impl Future<Output = Result<Vec<Item>, queue::Error>> + Send {
        async { Ok(Vec::new()) }
    }

    /// As [`Handle::note_compared`](crate::outbox::store::handle::Handle::note_compared).
    fn note_compared(
        &self,
        _account: &AccountId,
        _found: Vec<(Seq, Compared)>,
        _strangers: Vec<Stranger>,
        _now: HostTime,
    ) -> impl Future<Output = Result<(), queue::Error>> + Send {
        async { Ok(()) }
    }

    /// The digits of each number that a person has forgotten from here on. An outbox of which nobody can
    /// ask that tells of none.
    fn forgotten(&self) -> Receiver<String> {
        channel(1).1
    }
}
