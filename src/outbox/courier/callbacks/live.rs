//! Pure: one row of the tasks at work: what it wants next.

use std::time::Duration;

use crate::amo::settings::callback::Assignee;
use crate::amo::tasks::{self, Task};
use crate::outbox::callback::{Row, Stage};
use crate::outbox::courier::Rules;
use crate::outbox::courier::aside::Question;
use crate::outbox::courier::bookings::{Bookings, Owner};
use crate::outbox::courier::brake::Kind;
use crate::outbox::courier::callbacks::{Surroundings, is_stale};
use crate::outbox::courier::effect::Now;
use crate::outbox::policy;
use crate::time::{HostTime, MonoTime};

/// A row, and what of it is not kept.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) row: Row,
    /// Not to be touched before.
    pub(super) next_at: MonoTime,
    /// Since when it waits.
    pub(super) since: MonoTime,
    /// Questions in a row that had no answer.
    pub(super) failures: u32,
    /// It is in the middle of a question.
    pub(super) asked: bool,
    /// It was looked whether the task is open.
    pub(super) looked: bool,
    /// When the outbox was found to have no talk with the number that ended later.
    pub(super) untalked_at: Option<MonoTime>,
    /// When it was kept last, or told to have had no later talk after that.
    pub(super) kept_at: Option<MonoTime>,
    /// Whose the entity is, once that is known.
    pub(super) owner: Option<Owner>,
}

/// What a row wants next.
pub(super) enum Want {
    Ask(Question),
    /// The row is done, or not wanted any more.
    Forget,
    /// The intent, first of all.
    Intend,
    Nothing,
}

/// While calls are due, a task waits for them so long: a later talk may be among them.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// How long that is believed: a talk may end while the task is prepared.
pub(super) const UNTALKED_FOR: Duration = Duration::from_secs(5);

/// A POST follows its intent within this, once that is kept, or has another intent.
pub(super) const INTENDED_FOR: Duration = Duration::from_secs(5);

impl Live {
    pub(super) fn new(row: Row, now: MonoTime) -> Self {
        let (next_at, since) = (now, now);
        let (asked, looked, untalked_at, kept_at, owner) = (false, false, None, None, None);
        Self { row, next_at, since, failures: 0, asked, looked, untalked_at, kept_at, owner }
    }

    pub(super) fn begin_anew(&mut self, now: MonoTime) {
        (self.next_at, self.since) = (now, now);
        (self.looked, self.owner, self.failures, self.untalked_at) = (false, None, 0, None);
    }

    /// Whether there is something to do for it, now or later.
    pub(super) fn has_work(&self) -> bool {
        !self.asked && (self.row.talked || self.row.stage != Stage::Open)
    }

    pub(super) fn is_due(&self, now: MonoTime) -> bool {
        self.has_work() && self.next_at <= now
    }

    pub(super) fn want(&mut self, number: &str, is_kept: bool, around: &Surroundings<'_>, now: Now) -> Want {
        let number = || number.to_owned();
        let Some(kind) = tasks::plural(&self.row.entity.kind) else { return Want::Forget };
        let id = self.row.entity.id;
        if let Some(listed_at) = self.listed_at(around.rules).filter(|at| now.host < *at) {
            self.next_at = now.mono.after(listed_at.since(now.host));
            return Want::Nothing;
        }
        let look = || Want::Ask(Question::Open { number: number(), kind, id });
        match (self.row.stage, self.row.talked) {
            (Stage::Open, false) => Want::Nothing,
            (Stage::Open, true) => match self.row.task {
                Some(task) if self.looked => {
                    let body = tasks::closing(&self.row.result);
                    Want::Ask(Question::Close { number: number(), task, body })
                }
                Some(_) => look(),
                None => Want::Forget,
            },
            (Stage::Doubt { .. }, _) => look(),
            (Stage::Making { .. }, _) if !is_kept => Want::Nothing,
            (Stage::Making { .. }, false) if self.is_late(now) => {
                // Another question was in the way: whether it is wanted still is seen anew, and what is looked for after
                // a crash is counted from the intent. It is not posted yet.
                (self.row.stage, self.looked, self.kept_at) = (Stage::Wanted, false, None);
                self.want(&number(), is_kept, around, now)
            }
            // It is not posted yet.
            (Stage::Making { .. } | Stage::Wanted, true) => Want::Forget,
            (Stage::Making { .. }, false) if !self.is_untalked(now) => self.ask_for_talk(number()),
            (Stage::Making { .. }, false) => Want::Ask(Question::Make {
                number: number(),
                body: tasks::body(&self.task(kind, around, now)),
            }),
            (Stage::Wanted, false) => {
                let ask = || self.ask_for_talk(number());
                self.want_made(ask, look, |id| Question::OwnerOf { number: number(), kind, id }, around, now)
            }
        }
    }

    pub(super) fn want_made(
        &self,
        ask_for_talk: impl Fn() -> Want,
        look: impl Fn() -> Want,
        ask_owner: impl Fn(u64) -> Question,
        around: &Surroundings<'_>,
        now: Now,
    ) -> Want {
        let settings = &around.rules.amo.callback_task;
        if !settings.make || is_stale(self.row.ended, now.host) {
            return Want::Forget;
        }
        if !around.drained && now.mono.since(self.since) < PATIENCE {
            return Want::Nothing;
        }
        if !self.is_untalked(now) {
            return ask_for_talk();
        }
        let may_ask = !around.brakes.is_shut(Kind::TaskOwners, now.mono);
        match (self.looked, settings.responsible, self.owner) {
            (false, ..) => look(),
            (true, Assignee::Owner, None) if may_ask => Want::Ask(ask_owner(self.row.entity.id)),
            (true, Assignee::Owner | Assignee::Call | Assignee::User(_), _) => Want::Intend,
        }
    }

    /// Whether no later talk with the number has ended, as far as the outbox knew a moment ago.
    fn is_untalked(&self, now: Now) -> bool {
        self.untalked_at.is_some_and(|at| now.mono.since(at) < UNTALKED_FOR)
    }

    /// Whether the POST did not follow its intent, which is kept, at once.
    fn is_late(&self, now: Now) -> bool {
        self.kept_at.is_some_and(|at| now.mono.since(at) > INTENDED_FOR)
    }

    fn ask_for_talk(&self, number: String) -> Want {
        Want::Ask(Question::Talked { number, since: self.row.ended })
    }

    /// When amoCRM lists the task for sure that is to be looked for.
    pub(super) fn listed_at(&self, rules: &Rules) -> Option<HostTime> {
        let is_looked_for = self.row.talked || self.row.stage == Stage::Wanted;
        let made_at = self.row.made_at.filter(|_| is_looked_for)?;
        Some(made_at.after(rules.delivery.note_lag.duration()))
    }

    /// The task as it is made.
    pub(super) fn task(&self, kind: &str, around: &Surroundings<'_>, now: Now) -> Task {
        let amo = &around.rules.amo;
        let settings = &amo.callback_task;
        let deadline = now.host.after(settings.deadline.duration());
        Task {
            entity_id: self.row.entity.id,
            entity_type: kind.to_owned(),
            task_type_id: settings.kind,
            text: self.row.text.clone(),
            complete_till: deadline.seconds(),
            responsible_user_id: self.assignee(around.rules, around.bookings),
            request_id: "0".to_owned(),
        }
    }

    /// Whose the task is: the first of those who may be named.
    pub(super) fn assignee(&self, rules: &Rules, bookings: &Bookings) -> Option<u64> {
        let amo = &rules.amo;
        let first = match amo.callback_task.responsible {
            Assignee::Owner => self.owner.and_then(|owner| owner.0),
            Assignee::Call => None,
            Assignee::User(user) => Some(user),
        };
        let grounds = bookings.grounds();
        [first, self.row.user, amo.default_user].into_iter().flatten().find(|user| grounds.allow(*user))
    }

    /// What was posted without a clear answer is not there. Returns whether the row is done with.
    pub(super) fn absent(&mut self, since: HostTime, looked: u32, rules: &Rules, now: Now) -> bool {
        let judged = policy::judged_at(&rules.delivery, since, rules.amo.request_timeout.duration());
        if looked < policy::LOOKS_MIN || now.host < judged {
            self.row.stage = Stage::Doubt { since, looked };
            let later = judged.since(now.host).max(policy::first_look(&rules.delivery));
            self.next_at = now.mono.after(later);
            return false;
        }
        self.row.stage = Stage::Wanted;
        self.looked = false;
        self.row.talked
    }

    /// Nothing was answered: it is tried again later.
    pub(super) fn pause(&mut self, rules: &Rules, jitter: f64, now: Now) {
        self.next_at = now.mono.after(rules.delivery.retry_delay(self.failures, jitter));
        self.failures = self.failures.saturating_add(1);
    }
}
