//! The store as far as its promises go: group commit over a disk that loses, tears and fills.
//!
//! The real store writes each transaction as one framed record, journal first, and answers a group
//! after both are synced. So a crash leaves of the group that was not synced yet: nothing, its first
//! transactions (the next one may be half there, which its checksum shows), its journal alone (calls
//! that were taken in are put back at the start, what was decided on them is not), or all of it.

use std::collections::{BTreeMap, VecDeque};

use ami2amo::call::checkpoint::{Change, Value, call_key, channel_key};
use ami2amo::call::id::{AccountId, CallId};
use ami2amo::call::record::FinishedCall;
use ami2amo::outbox::memory::MemoryQueue;
use ami2amo::outbox::queue::{BatchId, Enqueued, Error, Item, Queue, Seq, Settlement, Stats};
use ami2amo::time::HostTime;

use crate::dice::Dice;
use crate::mutants::Mutant;
use crate::scenes::{MILLI, SECOND};

/// One transaction.
#[derive(Clone, Debug)]
enum Op {
    /// Calls that ended, and the removal of what was kept of them.
    Enqueue(Vec<FinishedCall>, Vec<Change>, HostTime),
    Intend(Vec<Seq>, HostTime),
    Settle(Vec<Settlement>, HostTime),
    Adopt(HostTime),
    Keep(Vec<Change>),
}

/// What a crash left of the group that was not durable yet.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Left {
    /// No group was open.
    NothingOpen,
    Nothing,
    First,
    Torn,
    JournalAlone,
    All,
}

pub const LEFT: [Left; 6] =
    [Left::NothingOpen, Left::Nothing, Left::First, Left::Torn, Left::JournalAlone, Left::All];

/// The queue as the process sees it: what was applied, durable or not.
#[derive(Debug, Default)]
pub struct DiskQueue {
    memory: MemoryQueue,
    kept: BTreeMap<String, Vec<u8>>,
    /// Transactions of the open group.
    group: Vec<Op>,
}

impl DiskQueue {
    /// One transaction: calls in, what was kept of them out.
    fn take_in(
        &mut self,
        calls: Vec<FinishedCall>,
        changes: Vec<Change>,
        now: HostTime,
    ) -> Result<Vec<Enqueued>, Error> {
        self.change(&changes);
        self.group.push(Op::Enqueue(calls.clone(), changes, now));
        self.memory.enqueue(calls, now)
    }

    fn keep(&mut self, changes: Vec<Change>) {
        self.change(&changes);
        self.group.push(Op::Keep(changes));
    }

    fn change(&mut self, changes: &[Change]) {
        for Change { key, value } in changes {
            match value {
                Some(value) => self.kept.insert(key.clone(), value.clone()),
                None => self.kept.remove(key),
            };
        }
    }

    /// Does again what the disk has.
    fn apply(&mut self, op: Op) {
        let done = match op {
            Op::Enqueue(calls, changes, now) => {
                self.change(&changes);
                self.memory.enqueue(calls, now).map(drop)
            }
            Op::Intend(calls, now) => self.memory.intend(&calls, now).map(drop),
            Op::Settle(settlements, now) => self.memory.settle(settlements, now),
            Op::Adopt(now) => self.memory.adopt(&AccountId::default(), now).map(drop),
            Op::Keep(changes) => {
                self.change(&changes);
                Ok(())
            }
        };
        // Where a transaction before it is lost, it may be about what is not there.
        drop(done);
    }
}

impl Queue for DiskQueue {
    fn enqueue(&mut self, calls: Vec<FinishedCall>, now: HostTime) -> Result<Vec<Enqueued>, Error> {
        self.take_in(calls, Vec::new(), now)
    }

    fn lease(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        self.memory.lease(account, limit, now)
    }

    fn intend(&mut self, calls: &[Seq], now: HostTime) -> Result<BatchId, Error> {
        let batch = self.memory.intend(calls, now)?;
        self.group.push(Op::Intend(calls.to_vec(), now));
        Ok(batch)
    }

    fn settle(&mut self, settlements: Vec<Settlement>, now: HostTime) -> Result<(), Error> {
        self.memory.settle(settlements.clone(), now)?;
        self.group.push(Op::Settle(settlements, now));
        Ok(())
    }

    fn adopt(&mut self, account: &AccountId, now: HostTime) -> Result<u64, Error> {
        let count = self.memory.adopt(account, now)?;
        if count > 0 {
            self.group.push(Op::Adopt(now));
        }
        Ok(count)
    }

    fn unknown(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        self.memory.unknown(account, limit, now)
    }

    fn owing(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        self.memory.owing(account, limit, now)
    }

    fn next_due(&mut self, account: &AccountId) -> Result<Option<HostTime>, Error> {
        self.memory.next_due(account)
    }

    fn find(&mut self, id: &CallId) -> Result<Option<Item>, Error> {
        self.memory.find(id)
    }

    fn stats(&mut self) -> Result<Stats, Error> {
        self.memory.stats()
    }
}

/// What the store is asked. Answers come back as [`Answer`], when the group is durable.
#[derive(Debug)]
pub enum Command {
    Enqueue(Vec<FinishedCall>, Vec<Change>),
    Keep(Vec<Change>),
    Courier(Ask),
}

#[derive(Debug)]
pub enum Ask {
    Adopt,
    Look(usize),
    Doubts(usize),
    Lease(usize),
    Owing(usize),
    NextDue,
    Intend(Vec<Seq>),
    Settle(Vec<Settlement>),
}

#[derive(Debug)]
pub enum Answer {
    Enqueued(Vec<FinishedCall>, Vec<Change>, Result<Vec<Enqueued>, Error>),
    Kept(Vec<Change>, Result<(), Error>),
    Courier(Told),
}

/// What the courier hears.
#[derive(Debug)]
pub enum Told {
    Adopted(u64),
    Unknown(Vec<Item>),
    Doubts(Vec<Item>),
    Leased(Vec<Item>),
    NextDue(Option<HostTime>),
    Owing(Vec<Item>),
    Intended(BatchId),
    Settled,
    Failed(Error),
}

/// The store's thread and the disk below it.
#[derive(Debug)]
pub struct Store {
    queue: DiskQueue,
    /// What would be read after a power cut.
    disk: Vec<Op>,
    waiting: VecDeque<Command>,
    answers: Vec<Answer>,
    /// When the open group is durable.
    pub done_at: Option<u64>,
    /// When a dead store is opened again.
    pub reopen_at: Option<u64>,
    /// The disk takes nothing meanwhile.
    pub full: Option<(u64, u64)>,
    /// A sync takes up to this.
    slow: u64,
    dice: Dice,
    mutant: Option<Mutant>,
    /// Groups that failed for want of space.
    pub failures: u64,
    /// What [`Mutant::AnswersBeforeSync`] has not synced yet.
    late: Vec<Op>,
}

impl Store {
    pub fn new(mut dice: Dice, mutant: Option<Mutant>) -> Self {
        let slow = *dice.weighted(&[(6, 2 * MILLI), (3, 30 * MILLI), (1, 4 * SECOND)]);
        Self {
            queue: DiskQueue::default(),
            disk: Vec::new(),
            waiting: VecDeque::new(),
            answers: Vec::new(),
            done_at: None,
            reopen_at: None,
            full: None,
            slow,
            dice,
            mutant,
            failures: 0,
            late: Vec::new(),
        }
    }

    pub fn send(&mut self, command: Command) {
        self.waiting.push_back(command);
    }

    /// Starts a group of all that waits, when none is open.
    pub fn begin(&mut self, now: u64, host: HostTime) {
        if self.done_at.is_some() || self.waiting.is_empty() {
            return;
        }
        let commands: Vec<Command> = self.waiting.drain(..).collect();
        for command in commands {
            let answer =
                if self.reopen_at.is_some() { refused(command) } else { self.carry_out(command, host) };
            self.answers.push(answer);
        }
        let took = if self.queue.group.is_empty() { 50 } else { self.dice.between(200, self.slow) };
        self.done_at = Some(now + took);
    }

    fn carry_out(&mut self, command: Command, host: HostTime) -> Answer {
        match command {
            Command::Enqueue(calls, changes) => {
                let taken = self.queue.take_in(calls.clone(), changes.clone(), host);
                Answer::Enqueued(calls, changes, taken)
            }
            Command::Keep(changes) => {
                self.queue.keep(changes.clone());
                Answer::Kept(changes, Ok(()))
            }
            Command::Courier(ask) => Answer::Courier(self.ask(ask, host)),
        }
    }

    fn ask(&mut self, ask: Ask, now: HostTime) -> Told {
        let account = AccountId::default();
        let queue = &mut self.queue;
        let told = match ask {
            Ask::Adopt if self.mutant == Some(Mutant::IntentsNotAdopted) => Ok(Told::Adopted(0)),
            Ask::Adopt => queue.adopt(&account, now).map(Told::Adopted),
            Ask::Doubts(limit) => {
                let ever = HostTime::from_micros(i64::MAX);
                queue.unknown(&account, limit, ever).map(Told::Doubts)
            }
            Ask::Look(limit) => queue.unknown(&account, limit, now).map(Told::Unknown),
            Ask::Lease(limit) => queue.lease(&account, limit, now).map(Told::Leased),
            Ask::Owing(limit) => queue.owing(&account, limit, now).map(Told::Owing),
            Ask::NextDue => queue.next_due(&account).map(Told::NextDue),
            Ask::Intend(calls) => queue.intend(&calls, now).map(Told::Intended),
            Ask::Settle(settlements) => queue.settle(settlements, now).map(|()| Told::Settled),
        };
        told.unwrap_or_else(Told::Failed)
    }

    /// The open group is synced, or is not.
    pub fn finish(&mut self, now: u64) -> Vec<Answer> {
        self.done_at = None;
        let answers = std::mem::take(&mut self.answers);
        let is_full = self.full.is_some_and(|(from, to)| (from..to).contains(&now));
        if !is_full || self.queue.group.is_empty() {
            let mut group = std::mem::take(&mut self.queue.group);
            if self.mutant == Some(Mutant::AnswersBeforeSync) {
                std::mem::swap(&mut group, &mut self.late);
            }
            let lost = self.mutant == Some(Mutant::IntentNotDurable);
            self.disk.extend(group.into_iter().filter(|op| !(lost && matches!(op, Op::Intend(..)))));
            return answers;
        }
        self.failures += 1;
        if self.mutant == Some(Mutant::FullDiskIsSuccess) {
            self.queue.group.clear();
            return answers;
        }
        self.lose();
        self.reopen_at = Some(now + SECOND);
        answers.into_iter().map(failed).collect()
    }

    /// Opens a dead store, if the disk lets it.
    pub fn reopen(&mut self, now: u64) {
        let is_full = self.full.is_some_and(|(from, to)| (from..to).contains(&now));
        self.reopen_at = is_full.then_some(now + 5 * SECOND);
        if !is_full {
            self.load();
        }
    }

    /// The process is gone; the next one reads what the disk has.
    pub fn crash(&mut self) -> Left {
        self.waiting.clear();
        self.answers.clear();
        self.late.clear();
        (self.done_at, self.reopen_at) = (None, None);
        let left = self.lose();
        self.load();
        left
    }

    /// Decides what of the open group reached the disk.
    fn lose(&mut self) -> Left {
        let group = std::mem::take(&mut self.queue.group);
        if group.is_empty() {
            return Left::NothingOpen;
        }
        let left = *self.dice.pick(&LEFT[1..]);
        let part = self.dice.index(group.len());
        match left {
            Left::NothingOpen | Left::Nothing => {}
            // A half written transaction fails its checksum: it is as if it had not been begun.
            Left::First | Left::Torn => self.disk.extend(group.into_iter().take(part)),
            Left::JournalAlone => {
                let twice = self.mutant == Some(Mutant::TakenInTwice);
                self.disk.extend(group.into_iter().filter_map(|op| match op {
                    Op::Enqueue(calls, _, now) => {
                        // What is put back from the journal goes on in one place only.
                        let ids = calls.iter().flat_map(|call| &call.record.uniqueids);
                        // The planted bug takes what goes on all the same for another call.
                        let keys = ids.flat_map(|id| [channel_key(id), call_key(id)]).filter(|_| !twice);
                        let removed = keys.map(|key| Change { key, value: None }).collect();
                        Some(Op::Enqueue(calls, removed, now))
                    }
                    Op::Intend(..) | Op::Settle(..) | Op::Adopt(_) | Op::Keep(_) => None,
                }));
            }
            Left::All => self.disk.extend(group),
        }
        left
    }

    fn load(&mut self) {
        self.queue = DiskQueue::default();
        for op in self.disk.clone() {
            self.queue.apply(op);
        }
        self.queue.group.clear();
    }

    /// What was written down of calls in progress.
    pub fn restored(&self) -> Vec<Value> {
        let read =
            |(key, json): (&String, &Vec<u8>)| Value::read(key, json).expect("what was written is read");
        self.queue.kept.iter().map(read).collect()
    }

    /// Every call that the disk has.
    pub fn ids(&self) -> Vec<CallId> {
        let mut ids = std::collections::BTreeSet::new();
        for op in &self.disk {
            if let Op::Enqueue(calls, ..) = op {
                ids.extend(calls.iter().map(|call| call.record.call_id.clone()));
            }
        }
        ids.into_iter().collect()
    }

    /// Keys of calls in progress.
    pub fn calls_in_progress(&self) -> Vec<&String> {
        self.queue.kept.keys().filter(|key| key.starts_with(['c', 'g'])).collect()
    }

    pub fn queue(&mut self) -> &mut DiskQueue {
        &mut self.queue
    }

    pub fn is_open(&self) -> bool {
        self.reopen_at.is_none()
    }

    pub fn is_idle(&self) -> bool {
        self.done_at.is_none() && self.waiting.is_empty() && self.reopen_at.is_none()
    }
}

fn refused(command: Command) -> Answer {
    let error = || Error::Store("it is not open".to_owned());
    match command {
        Command::Enqueue(calls, changes) => Answer::Enqueued(calls, changes, Err(error())),
        Command::Keep(changes) => Answer::Kept(changes, Err(error())),
        Command::Courier(_) => Answer::Courier(Told::Failed(error())),
    }
}

fn failed(answer: Answer) -> Answer {
    let error = || Error::Store("no space left on the device".to_owned());
    match answer {
        Answer::Enqueued(calls, changes, _) => Answer::Enqueued(calls, changes, Err(error())),
        Answer::Kept(changes, _) => Answer::Kept(changes, Err(error())),
        Answer::Courier(_) => Answer::Courier(Told::Failed(error())),
    }
}
