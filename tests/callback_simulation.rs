//! Missed calls and talks in a simulated world: time is a number, every exchange about a task may go
//! wrong in every way that leaves its outcome open, and the process may die between any two steps.
//! Whatever happens, no number has two open tasks, and in the end those have one who called in vain last.
//!
//! What is assumed of amoCRM is what the promise says: a request is carried out within its time-out or
//! not at all, and a task is listed within `note-lag`.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ami2amo::amo::answer::{Account, Answer, Entity, Fate};
use ami2amo::amo::made::{self, Made};
use ami2amo::amo::notes::{Note, Probe};
use ami2amo::amo::tasks::{Closed, Open};
use ami2amo::call::id::AccountId;
use ami2amo::call::record::{FinishedCall, Outcome as Ending, Source};
use ami2amo::outbox::courier::aside::{Question, Told};
use ami2amo::outbox::courier::effect::{
    Created, Effect, Now, Outcome, Posted, Probed, ReadBack, TaskRow, Token,
};
use ami2amo::outbox::courier::{Courier, Rules};
use ami2amo::outbox::memory::MemoryQueue;
use ami2amo::outbox::queue::Queue;
use ami2amo::time::{HostTime, MonoTime};
use proptest::prelude::*;
use serde_json::Value;

#[path = "callback_simulation/judge.rs"]
mod judge;
#[path = "support/queue_step.rs"]
mod queue_step;
#[path = "support/samples.rs"]
mod samples;

/// How one exchange or one write goes. The numbers are seconds: until amoCRM carries a request out, and
/// until what it made is listed.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Fine {
        took: u64,
        listed: u64,
    },
    DoneAndLost {
        carried_out: u64,
        listed: u64,
    },
    NotDoneAndLost,
    NotSent,
    Status(u16),
    /// The process dies; what it sent or wrote is carried out or not.
    Crash {
        carried_out: Option<u64>,
    },
}

/// A call that comes so many seconds after the one before.
#[derive(Clone, Copy, Debug)]
struct Caller {
    number: u64,
    talks: bool,
    after: u64,
}

/// A task that is there from `at` on, listed from `listed` on, and done from `done` on.
#[derive(Clone, Debug)]
struct Task {
    id: u64,
    entity: u64,
    text: String,
    at: HostTime,
    listed: HostTime,
    done: Option<HostTime>,
}

struct World {
    courier: Courier,
    rules: Arc<Rules>,
    queue: MemoryQueue,
    rows: BTreeMap<String, Vec<u8>>,
    coming: std::vec::IntoIter<(HostTime, FinishedCall)>,
    next: Option<(HostTime, FinishedCall)>,
    /// uniq and entity of what is stored.
    notes: BTreeMap<String, u64>,
    tasks: Vec<Task>,
    /// A question is out.
    flying: Option<(MonoTime, Told)>,
    now: Now,
    luck: std::vec::IntoIter<Luck>,
    /// What the next harmless question meets.
    meets: Option<Account>,
}

const START: HostTime = HostTime::from_micros(1_795_338_791_000_000);
/// Effects until all must have come to rest: far more than any run needs.
const EFFECTS_MAX: usize = 60_000;
/// Nothing changes any more in such a time.
const REST: Duration = Duration::from_mins(30);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn call(index: usize, caller: Caller) -> FinishedCall {
    let mut call = samples::call(&format!("1.{index}"));
    let record = &mut call.record;
    record.source = Source::Ami;
    record.phone = Some(format!("7916000000{}", caller.number));
    record.answered = caller.talks;
    record.outcome = if caller.talks { Ending::Answered } else { Ending::NoAnswer };
    call
}

impl World {
    fn new(callers: &[Caller], luck: Vec<Luck>) -> Self {
        let mut rules = Rules::default();
        rules.amo.callback_task.make = true;
        let rules = Arc::new(rules);
        let mut at = START;
        let calls = callers.iter().enumerate().map(|(index, caller)| {
            at = at.after(seconds(caller.after));
            (at, call(index + 1, *caller))
        });
        let calls: Vec<_> = calls.collect();
        let mut coming = calls.into_iter();
        Self {
            courier: Courier::new(AccountId::default(), Arc::clone(&rules), callers.len() as u64),
            rules,
            queue: MemoryQueue::new(),
            rows: BTreeMap::new(),
            next: coming.next(),
            coming,
            notes: BTreeMap::new(),
            tasks: Vec::new(),
            meets: None,
            flying: None,
            now: Now {
                host: START,
                mono: MonoTime::from_micros(1),
                open_at: MonoTime::default(),
                amo_ahead: 0,
                utc_offset: 0,
            },
            luck: luck.into_iter(),
        }
    }

    fn run(&mut self) {
        let mut rests_since = self.now.mono;
        for _ in 0..EFFECTS_MAX {
            self.arrive();
            self.land();
            let effect = self.courier.poll(self.now);
            let is_rest = matches!(
                effect,
                Effect::Wait { .. } | Effect::NextDue | Effect::Look { .. } | Effect::Lease { .. }
            );
            if !is_rest || self.next.is_some() || self.flying.is_some() {
                rests_since = self.now.mono;
            } else if self.now.mono.since(rests_since) > REST {
                return;
            }
            self.carry_out(effect);
        }
        panic!("still not at rest: {:#?} {:#?}", self.rows, self.tasks);
    }

    fn arrive(&mut self) {
        while let Some((at, call)) = self.next.take_if(|(at, _)| *at <= self.now.host) {
            self.queue.enqueue(vec![call], at).unwrap();
            self.courier.handle(Outcome::Arrived, self.now);
            self.next = self.coming.next();
        }
    }

    fn land(&mut self) {
        if let Some((_, told)) = self.flying.take_if(|(at, _)| *at <= self.now.mono) {
            self.courier.handle(Outcome::Told(told), self.now);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let now = self.now.host;
        let effect = match queue_step::carry_out(&mut self.queue, effect, now) {
            Ok(outcome) => return self.courier.handle(outcome, self.now),
            Err(effect) => effect,
        };
        let outcome = match effect {
            Effect::Keep { rows } => {
                let luck = self.luck();
                if !matches!(luck, Luck::Crash { carried_out: None }) {
                    self.keep(rows);
                }
                if matches!(luck, Luck::Crash { .. }) {
                    return self.restart();
                }
                Outcome::Kept
            }
            Effect::Ask(question) => return self.ask(question),
            Effect::RenewToken => Outcome::Token(Token::Same),
            Effect::Probe => Outcome::Probed(Probed::Answered(Probe {
                account: self.meets.take().unwrap_or(Account::Fine),
                customers: true,
                unsorted: true,
                words: String::new(),
            })),
            Effect::ReadBack { uniqs, .. } => {
                Outcome::ReadBack(ReadBack::Complete(self.listed_notes(&uniqs)))
            }
            Effect::Post { batch, body, .. } => Outcome::Posted { batch, posted: self.post(&body) },
            Effect::ReadUnsorted | Effect::Search { .. } | Effect::Create { .. } => {
                panic!("every number of this world is known")
            }
            Effect::Announce(_) => return,
            Effect::Wait { until } => {
                let until = self.flying.as_ref().map_or(until, |(at, _)| until.min(*at));
                let wait = until.since(self.now.mono).max(Duration::from_micros(1));
                let comes =
                    self.next.as_ref().map_or(wait, |(at, _)| at.since(now).max(Duration::from_micros(1)));
                return self.pass(wait.min(comes));
            }
            other => panic!("nobody does this in this world: {other:?}"),
        };
        self.courier.handle(outcome, self.now);
    }

    fn luck(&mut self) -> Luck {
        let luck = self.luck.next().unwrap_or(Luck::Fine { took: 0, listed: 0 });
        if let Luck::Status(status) = luck {
            // It was the account's trouble: what is refused alone is off for a day.
            self.meets = Some(match status {
                401 => Account::Unauthorized,
                403 => Account::Banned,
                _ => Account::NotAmo,
            });
        }
        luck
    }

    fn keep(&mut self, rows: Vec<TaskRow>) {
        for TaskRow { key, value } in rows {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.host = self.now.host.after(time);
        self.now.mono = self.now.mono.after(time);
    }

    /// The process dies, and another begins.
    fn restart(&mut self) {
        self.pass(seconds(1));
        self.flying = None;
        self.courier = Courier::new(AccountId::default(), Arc::clone(&self.rules), 7);
        let kept = self.rows.clone().into_iter().collect();
        assert_eq!(self.courier.recall_tasks(kept), [""; 0]);
    }

    fn post(&mut self, body: &[u8]) -> Posted {
        let entries: Vec<Value> = serde_json::from_slice(body).unwrap();
        let fates = entries.iter().map(|entry| {
            let phone = entry["phone"].as_str().unwrap();
            let id = phone[phone.len() - 1..].parse().unwrap();
            self.notes.insert(entry["uniq"].as_str().unwrap().to_owned(), id);
            Fate::Stored { note_id: Some(1), entity: Some(Entity { kind: "contact".to_owned(), id }) }
        });
        let answer =
            Answer { account: Account::Fine, fates: fates.collect(), words: String::new(), evidence: None };
        Posted::Answered { status: 200, answer }
    }

    fn listed_notes(&self, uniqs: &BTreeSet<String>) -> BTreeMap<String, Note> {
        let note = |id: u64| Note { id: Some(1), entity: Some(Entity { kind: "contact".to_owned(), id }) };
        let found = self.notes.iter().filter(|(uniq, _)| uniqs.contains(*uniq));
        found.map(|(uniq, id)| (uniq.clone(), note(*id))).collect()
    }

    fn ask(&mut self, question: Question) {
        let luck = self.luck();
        let took = match luck {
            Luck::Fine { took, .. } => took,
            Luck::DoneAndLost { .. } | Luck::NotDoneAndLost => 30,
            Luck::NotSent | Luck::Status(_) => 1,
            Luck::Crash { .. } => 0,
        };
        let told = match question {
            Question::OwnerOf { number, .. } => Told::OwnerOf { number, found: Self::read(luck, Some(9)) },
            Question::Open { number, id, .. } => {
                let open = self.open(id);
                Told::Open { number, found: Self::read(luck, open) }
            }
            Question::Talked { number, since } => {
                let found = self.queue.has_talk_after(&AccountId::default(), &number, since);
                let told = Told::Talked { number, since, found: Some(found) };
                return self.courier.handle(Outcome::Told(told), self.now);
            }
            Question::Make { number, body } => Told::Made { number, created: self.make(luck, &body) },
            Question::Close { number, task, .. } => Told::Closed { number, closed: self.close(luck, task) },
            Question::Foreign { .. } => Told::Foreign(Self::read(luck, Vec::new())),
            Question::Users | Question::Owner { .. } => panic!("nobody is named, and nobody wants an owner"),
        };
        if matches!(luck, Luck::Crash { .. }) {
            return self.restart();
        }
        self.flying = Some((self.now.mono.after(seconds(took)), told));
    }

    fn read<T>(luck: Luck, value: T) -> ReadBack<T> {
        let words = || "lost".to_owned();
        match luck {
            Luck::Fine { .. } => ReadBack::Complete(value),
            Luck::Status(401) => ReadBack::Refused { account: Account::Unauthorized, words: words() },
            Luck::Status(403) => ReadBack::Refused { account: Account::Banned, words: words() },
            Luck::Status(_) => ReadBack::Unreadable(words()),
            Luck::DoneAndLost { .. } | Luck::NotDoneAndLost | Luck::NotSent | Luck::Crash { .. } => {
                ReadBack::Silent(words())
            }
        }
    }

    fn open(&self, entity: u64) -> Vec<Open> {
        let now = self.now.host;
        let is_open = |task: &&Task| {
            task.entity == entity && task.listed <= now && task.done.is_none_or(|done| now < done)
        };
        self.tasks.iter().filter(is_open).map(|task| Open { id: task.id, text: task.text.clone() }).collect()
    }

    fn make(&mut self, luck: Luck, body: &[u8]) -> Created {
        let task = serde_json::from_slice::<Value>(body).unwrap()[0].clone();
        let row = &self.rows[&format!("default/916000000{}", task["entity_id"])];
        let row: Value = serde_json::from_slice(row).unwrap();
        assert_eq!(row["stage"]["is"], "making", "a task is posted without a durable intent");
        self.assert_nobody_talked(&task);
        let words = "lost".to_owned();
        match luck {
            Luck::Fine { took, listed } => {
                let id = self.carry_out_making(&task, took, listed);
                let fates = vec![made::Fate::Made(id.to_string())];
                Created::Answered(Made { account: Account::Fine, fates, words })
            }
            Luck::DoneAndLost { carried_out, listed } => {
                self.carry_out_making(&task, carried_out, listed);
                Created::Lost(words)
            }
            Luck::Crash { carried_out: Some(after) } => {
                self.carry_out_making(&task, after, 30);
                Created::Lost(words)
            }
            Luck::NotDoneAndLost | Luck::Crash { carried_out: None } => Created::Lost(words),
            Luck::NotSent => Created::NotSent(words),
            Luck::Status(401) => Created::Answered(Made {
                account: Account::Unauthorized,
                fates: vec![made::Fate::Untouched],
                words,
            }),
            Luck::Status(403) => Created::Answered(Made {
                account: Account::Banned,
                fates: vec![made::Fate::Untouched],
                words,
            }),
            Luck::Status(_) => {
                let fates = vec![made::Fate::Unclear];
                Created::Answered(Made { account: Account::ServerTrouble, fates, words })
            }
        }
    }

    fn carry_out_making(&mut self, task: &Value, after: u64, listed: u64) -> u64 {
        let id = 1000 + self.tasks.len() as u64;
        let at = self.now.host.after(seconds(after));
        let entity = task["entity_id"].as_u64().unwrap();
        let is_open = |old: &&Task| old.entity == entity && old.done.is_none_or(|done| at < done);
        let twin = self.tasks.iter().find(is_open);
        assert!(twin.is_none(), "a second open task: {twin:?} at {at}");
        let text = task["text"].as_str().unwrap().to_owned();
        self.tasks.push(Task { id, entity, text, at, listed: at.after(seconds(listed)), done: None });
        id
    }

    fn close(&mut self, luck: Luck, id: u64) -> Closed {
        let after = match luck {
            Luck::Fine { took, .. } => Some(took),
            Luck::DoneAndLost { carried_out, .. } => Some(carried_out),
            Luck::Crash { carried_out } => carried_out,
            Luck::NotDoneAndLost | Luck::NotSent | Luck::Status(_) => None,
        };
        if let Some(after) = after {
            let done = self.now.host.after(seconds(after));
            let task = self.tasks.iter_mut().find(|task| task.id == id).unwrap();
            assert!(task.at <= self.now.host, "it is closed before it is there");
            task.done = Some(task.done.map_or(done, |before| before.min(done)));
        }
        match luck {
            Luck::Fine { .. } => Closed::Yes,
            _ => Closed::Unclear { account: Account::ServerTrouble, words: "lost".to_owned() },
        }
    }
}

fn callers() -> impl Strategy<Value = Vec<Caller>> {
    let gap = prop_oneof![Just(0_u64), 1..5_u64, 20..90_u64, Just(300)];
    let caller = (0..3_u64, any::<bool>(), gap);
    let caller = caller.prop_map(|(number, talks, after)| Caller { number, talks, after });
    prop::collection::vec(caller, 1..8)
}

fn luck() -> impl Strategy<Value = Vec<Luck>> {
    let luck = prop_oneof![
        4 => (0..5_u64, 0..30_u64).prop_map(|(took, listed)| Luck::Fine { took, listed }),
        2 => (0..30_u64, 0..30_u64).prop_map(|(carried_out, listed)| Luck::DoneAndLost { carried_out, listed }),
        1 => Just(Luck::NotDoneAndLost),
        1 => Just(Luck::NotSent),
        1 => prop_oneof![Just(401_u16), Just(403), Just(500)].prop_map(Luck::Status),
        2 => prop::option::of(0..30_u64).prop_map(|carried_out| Luck::Crash { carried_out }),
    ];
    prop::collection::vec(luck, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_there_is_one_open_task_for_whoever_called_in_vain_last(
        callers in callers(),
        luck in luck(),
    ) {
        let mut world = World::new(&callers, luck);
        world.run();
        world.judge(&callers);
    }
}
