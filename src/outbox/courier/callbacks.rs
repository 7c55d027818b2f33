//! Pure: the tasks to call back of one account: made once for each number that called in vain, closed
//! after a talk. What changes is kept before anything follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::amo::answer::Account;
use crate::amo::made::{Fate, Made};
use crate::amo::result;
use crate::amo::tasks::{self, Closed, Open};
use crate::amo::who::{self, Who};
use crate::call::id::AccountId;
use crate::call::record::{CallRecord, Direction, Outcome};
use crate::outbox::callback::{self, Ended, Missed, ROWS_MAX, Row, Stage};
use crate::outbox::courier::aside::{Question, Told, signal};
use crate::outbox::courier::bookings::{Bookings, Owner};
use crate::outbox::courier::brake::Brakes;
use crate::outbox::courier::callbacks::live::{Live, Want};
use crate::outbox::courier::complaint::Complaint;
use crate::outbox::courier::effect::{Created, Now, ReadBack, TaskRow};
use crate::outbox::courier::standing::{Hold, Signal};
use crate::outbox::courier::{REST_MIN, Rules};
use crate::outbox::forget;
use crate::outbox::policy;
use crate::outbox::queue::{Item, Settlement, State};
use crate::outbox::unknown;
use crate::time::{HostTime, MonoTime};

mod live;
mod made;

/// The tasks of one account.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    account: AccountId,
    rows: BTreeMap<String, Live>,
    /// Numbers whose row is not kept as it is.
    dirty: BTreeSet<String>,
    /// Of these the store is being told.
    writing: BTreeSet<String>,
}

/// What decides besides the rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'s> {
    pub rules: &'s Rules,
    pub bookings: &'s Bookings,
    pub brakes: &'s Brakes,
    /// No call is due.
    pub drained: bool,
}

/// A call that ended longer ago makes no task: it is too late to call back.
const STALE: Duration = Duration::from_hours(24);

impl Callbacks {
    pub fn of(account: AccountId) -> Self {
        Self { account, ..Self::default() }
    }

    /// Takes in what was kept; returns the keys that cannot be read.
    pub fn recall(&mut self, kept: Vec<(String, Vec<u8>)>) -> Vec<String> {
        let mut unread = Vec::new();
        for (key, bytes) in kept {
            match (callback::number_of(&key), Row::read(&bytes)) {
                (Some(number), Ok(row)) => {
                    self.rows.insert(number.to_owned(), Live::new(row, MonoTime::default()));
                }
                _ => unread.push(key),
            }
        }
        unread
    }

    /// What the store is to be told, if anything is.
    pub fn keep(&mut self) -> Option<Vec<TaskRow>> {
        if self.dirty.is_empty() {
            return None;
        }
        self.writing = std::mem::take(&mut self.dirty);
        let kept = |number: &String| TaskRow {
            key: callback::key(&self.account, number),
            value: self.rows.get(number).map(|live| live.row.to_json()),
        };
        Some(self.writing.iter().map(kept).collect())
    }

    pub fn kept(&mut self, now: MonoTime) {
        for number in std::mem::take(&mut self.writing) {
            if let Some(live) = self.rows.get_mut(&number) {
                live.kept_at = Some(now);
            }
        }
    }

    /// The store failed; returns whether that was about these rows.
    pub fn keeping_failed(&mut self) -> bool {
        let was_asked = !self.writing.is_empty();
        self.dirty.append(&mut self.writing);
        was_asked
    }

    /// Whether something is not kept yet.
    pub fn owes(&self) -> bool {
        !self.dirty.is_empty() || !self.writing.is_empty()
    }

    /// When the next row may want something.
    pub fn due(&self) -> Option<MonoTime> {
        self.rows.values().filter(|live| live.has_work()).map(|live| live.next_at).min()
    }

    /// A call came to its end.
    pub fn heed(
        &mut self,
        item: &Item,
        settled: &Settlement,
        who: &Who,
        rules: &Rules,
        now: Now,
    ) -> Option<Complaint> {
        let State::Sent { entity, .. } = &settled.state else { return None };
        let record = &item.call.record;
        let number = unknown::number(record);
        if number.is_empty() {
            return None;
        }
        let ended = Ended::of(item);
        if callback::is_talk(item) {
            self.talk(number, ended, now);
            return None;
        }
        let task = &rules.amo.callback_task;
        if !task.make || !is_missed(record) || is_stale(ended, now.host) {
            return None;
        }
        let entity = entity.clone().filter(|entity| tasks::plural(&entity.kind).is_some())?;
        let language = result::language(record, &rules.amo);
        let missed = Missed {
            call_id: record.call_id.clone(),
            ended,
            entity,
            text: tasks::text(task.text(language), record),
            result: tasks::text(task.result(language), record),
            user: who.user,
        };
        self.miss(number, missed, now)
    }

    fn miss(&mut self, number: String, missed: Missed, now: Now) -> Option<Complaint> {
        let is_more = self.rows.len() >= ROWS_MAX && !self.rows.contains_key(&number);
        let is_full = is_more && !self.drop_stale(now.host) && !self.drop_oldest_open();
        match self.rows.get_mut(&number) {
            // Read back, it comes to its end a second time.
            Some(live) if live.row.call_id == missed.call_id || missed.ended < live.row.ended => {}
            Some(live) => {
                live.row.miss(missed);
                live.begin_anew(now.mono);
                self.dirty.insert(number);
            }
            None if is_full => return Some(Complaint::TooManyTasks),
            None => {
                self.rows.insert(number.clone(), Live::new(Row::new(missed), now.mono));
                self.dirty.insert(number);
            }
        }
        None
    }

    /// Forgets tasks that would not be made any more: while tasks are off, nobody asks for them. Returns
    /// whether there were any.
    fn drop_stale(&mut self, now: HostTime) -> bool {
        let is_over = |live: &Live| live.row.stage == Stage::Wanted && !live.asked;
        let stale = self.rows.iter().filter(|(_, live)| is_over(live) && is_stale(live.row.ended, now));
        let stale: Vec<String> = stale.map(|(number, _)| number.clone()).collect();
        let any = !stale.is_empty();
        for number in stale {
            self.forget(number);
        }
        any
    }

    /// Forgets the oldest task that is made: nobody may ever talk with that number again. It stays in
    /// amoCRM, is found there when the number calls in vain once more, and no talk closes it. Returns
    /// whether there was one.
    fn drop_oldest_open(&mut self) -> bool {
        let is_made = |live: &Live| live.row.stage == Stage::Open && !live.row.talked && !live.asked;
        let made = self.rows.iter().filter(|(_, live)| is_made(live));
        let oldest = made.min_by_key(|(_, live)| live.row.ended).map(|(number, _)| number.clone());
        let any = oldest.is_some();
        if let Some(number) = oldest {
            self.forget(number);
        }
        any
    }

    fn talk(&mut self, number: String, ended: Ended, now: Now) {
        if let Some(live) = self.rows.get_mut(&number).filter(|live| live.row.ended < ended) {
            live.begin_anew(now.mono);
            if live.row.talk() && !live.asked {
                self.rows.remove(&number);
            }
            self.dirty.insert(number);
        }
    }

    /// Takes in whether the outbox has a talk with a number that ended after `since`, when it was missed.
    pub fn talked(
        &mut self,
        number: &str,
        since: Ended,
        found: Option<bool>,
        rules: &Rules,
        jitter: f64,
        now: Now,
    ) {
        let Some(live) = self.answered(number) else { return };
        if live.row.ended != since {
            return; // it was missed once more meanwhile
        }
        match found {
            Some(true) => {
                live.begin_anew(now.mono);
                if live.row.talk() {
                    self.forget(number.to_owned());
                } else {
                    self.dirty.insert(number.to_owned());
                }
            }
            // A slow answer does not make the POST late.
            Some(false) => (live.untalked_at, live.kept_at) = (Some(now.mono), Some(now.mono)),
            // The store failed: the calls meet the same, and it is told of them.
            None => live.pause(rules, jitter, now),
        }
    }

    /// What is to be asked or done now. Intents that this needs are left to [`keep`](Self::keep).
    pub fn question(&mut self, around: &Surroundings<'_>, now: Now) -> Option<Question> {
        let numbers: Vec<String> =
            self.rows.iter().filter(|(_, live)| live.is_due(now.mono)).map(|(n, _)| n.clone()).collect();
        for number in numbers {
            let is_kept = !self.dirty.contains(&number) && !self.writing.contains(&number);
            let Some(live) = self.rows.get_mut(&number) else { continue };
            match live.want(&number, is_kept, around, now) {
                Want::Ask(question) if !around.brakes.lets(question.kind(), now.mono) => {
                    live.next_at = around.brakes.opens_at(question.kind()).max(now.mono.after(REST_MIN));
                }
                Want::Ask(question) => {
                    live.asked = true;
                    return Some(question);
                }
                Want::Forget => self.forget(number),
                Want::Intend => {
                    (live.row.stage, live.kept_at) = (Stage::Making { since: now.host }, None);
                    self.dirty.insert(number);
                    // It is kept first, and then asked for here again.
                    return None;
                }
                Want::Nothing => {}
            }
        }
        None
    }

    /// Takes in what came of a question about a task.
    pub fn told(
        &mut self,
        told: Told,
        rules: &Rules,
        bookings: &mut Bookings,
        jitter: f64,
        now: Now,
    ) -> Option<Signal> {
        match told {
            Told::OwnerOf { number, found } => self.owner(&number, &found, rules, jitter, now),
            Told::Open { number, found } => self.open(number, found, rules, jitter, now),
            Told::Made { number, created } => self.made(number, created, rules, bookings, jitter, now),
            Told::Closed { number, closed } => self.closed(number, closed, rules, jitter, now),
            Told::Users(_) | Told::Owner { .. } | Told::Foreign(_) | Told::Talked { .. } => None,
        }
    }

    fn owner(
        &mut self,
        number: &str,
        found: &ReadBack<Option<u64>>,
        rules: &Rules,
        jitter: f64,
        now: Now,
    ) -> Option<Signal> {
        let signal = signal(found);
        let live = self.answered(number)?;
        match found {
            ReadBack::Complete(owner) => live.owner = Some(Owner(*owner)),
            // The user whom the call is booked on stands for him.
            ReadBack::Unreadable(_) => live.owner = Some(Owner(None)),
            ReadBack::Refused { .. } | ReadBack::Silent(_) | ReadBack::NoToken(_) => {
                live.pause(rules, jitter, now);
            }
        }
        signal
    }

    fn open(
        &mut self,
        number: String,
        found: ReadBack<Vec<Open>>,
        rules: &Rules,
        jitter: f64,
        now: Now,
    ) -> Option<Signal> {
        let signal = signal(&found);
        let live = self.answered(&number)?;
        let ReadBack::Complete(open) = found else {
            live.pause(rules, jitter, now);
            return signal;
        };
        live.failures = 0;
        let row = &mut live.row;
        let ours = open.iter().find(|task| row.task == Some(task.id) || task.text == row.text);
        match (row.stage, ours) {
            (Stage::Wanted | Stage::Doubt { .. }, Some(task)) => {
                row.found(task.id);
                live.looked = true;
                self.dirty.insert(number);
            }
            (Stage::Wanted, None) => live.looked = true,
            (Stage::Doubt { since, looked }, None) => {
                if live.absent(since, looked + 1, rules, now) {
                    self.forget(number);
                } else {
                    self.dirty.insert(number);
                }
            }
            (Stage::Open, Some(_)) => live.looked = true,
            // A person was faster.
            (Stage::Open, None) if row.talked => self.forget(number),
            (Stage::Open, None) | (Stage::Making { .. }, _) => {}
        }
        None
    }

    fn closed(
        &mut self,
        number: String,
        closed: Closed,
        rules: &Rules,
        jitter: f64,
        now: Now,
    ) -> Option<Signal> {
        let live = self.answered(&number)?;
        match closed {
            // Somebody may have called in vain meanwhile.
            Closed::Yes | Closed::Refused(_) if live.row.talked => self.forget(number),
            Closed::Yes | Closed::Refused(_) => {}
            Closed::Unclear { account, words } => {
                live.pause(rules, jitter, now);
                return Some(unclear(account, words));
            }
        }
        None
    }

    /// The row that a question was about. It may be gone.
    fn answered(&mut self, number: &str) -> Option<&mut Live> {
        let live = self.rows.get_mut(number)?;
        live.asked = false;
        Some(live)
    }

    /// Forgets what is noted of a number, as the store did: a task that is made stays in amoCRM.
    pub fn forget_number(&mut self, number: &str) {
        let meant = self.rows.keys().filter(|known| forget::is_same(known, number));
        let meant: Vec<String> = meant.cloned().collect();
        for number in meant {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: String) {
        self.rows.remove(&number);
        self.dirty.insert(number);
    }
}

/// A call to us that nobody answered. A message in a mailbox wants an answer, too.
pub fn is_missed(record: &CallRecord) -> bool {
    record.direction == Direction::Inbound && !record.answered && record.outcome != Outcome::Fax
}

fn is_stale(ended: Ended, now: HostTime) -> bool {
    now.since(ended.at) >= STALE
}

fn unclear(account: Account, words: String) -> Signal {
    match Signal::of(account, words.clone()) {
        Signal::Works => Signal::Trouble(words),
        signal @ (Signal::Slow | Signal::Trouble(_) | Signal::Hold(..)) => signal,
    }
}

#[cfg(test)]
mod tests;
