//! Strangers in a simulated world: time is a number, and every exchange may go wrong in every way
//! that leaves its outcome open, with crashes in between, while people accept and decline. Whatever
//! happens, each number has one open item, one contact and one lead at most, each call is stored
//! once, and every call comes to an end.
//!
//! What is assumed of amoCRM is what the promise says: a request is carried out within its time-out
//! or not at all, and what is made is listed within `note-lag`; at once, where a process may die
//! that remembers it. Nobody can know of an item that a person declined before anybody looked for it.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ami2amo::amo::answer::{Account, Answer, Fate};
use ami2amo::amo::contacts::{Known, tail};
use ami2amo::amo::made::{self, Made};
use ami2amo::amo::notes::{Note, Probe};
use ami2amo::amo::unsorted::Open;
use ami2amo::call::id::{AccountId, CallId};
use ami2amo::call::line::{Terms, Unknown};
use ami2amo::call::record::{FinishedCall, Source};
use ami2amo::outbox::courier::aside::{Question, Told};
use ami2amo::outbox::courier::effect::{Created, Effect, Now, Outcome, Posted, Probed, ReadBack, Token};
use ami2amo::outbox::courier::{Courier, Rules};
use ami2amo::outbox::errand::Make;
use ami2amo::outbox::memory::MemoryQueue;
use ami2amo::outbox::queue::{Phase, Queue, State};
use ami2amo::time::{HostTime, MonoTime};
use proptest::prelude::*;
use serde_json::Value;

#[path = "support/queue_step.rs"]
mod queue_step;
#[path = "support/samples.rs"]
mod samples;

/// How one exchange goes. The numbers are seconds: until amoCRM carries the request out, and until
/// what it made is listed.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Fine {
        listed: u64,
    },
    /// Carried out, perhaps late, and never answered.
    DoneAndLost {
        carried_out: u64,
        listed: u64,
    },
    NotDoneAndLost,
    NotSent,
    Status(u16),
    /// The process dies; what it sent is carried out or not.
    Crash {
        carried_out: Option<u64>,
    },
}

/// A thing that is there from `at` on, and listed from `listed` on.
#[derive(Clone, Debug)]
struct Thing {
    number: String,
    name: String,
    at: HostTime,
    listed: HostTime,
    /// For items: when a person decided, and how.
    decided: Option<(HostTime, bool)>,
}

#[derive(Clone, Copy, Debug)]
struct Caller {
    number: u64,
    way: Unknown,
    answered: bool,
    /// Seconds after the call before.
    after: u64,
}

struct World {
    courier: Courier,
    rules: Arc<Rules>,
    queue: MemoryQueue,
    coming: std::vec::IntoIter<(HostTime, FinishedCall)>,
    next: Option<(HostTime, FinishedCall)>,
    notes: Vec<(String, HostTime)>,
    items: Vec<Thing>,
    contacts: Vec<Thing>,
    leads: Vec<Thing>,
    /// Seconds after which a person decides on an item, and how; none, nobody does.
    person: Option<(u64, bool)>,
    now: Now,
    luck: std::vec::IntoIter<Luck>,
}

const START: HostTime = HostTime::from_micros(1_795_338_791_000_000);
/// Effects until all must have come to an end: far more than any run needs.
const EFFECTS_MAX: usize = 60_000;

fn call(index: usize, caller: Caller) -> FinishedCall {
    let mut call = samples::call(&format!("1.{index}"));
    call.record.phone = Some(format!("7916000000{}", caller.number));
    call.record.source = Source::Ami;
    call.record.answered = caller.answered;
    call.record.wait_seconds = serde_json::from_value(serde_json::json!(10.0)).unwrap();
    call.record.line = Terms { unknown: Some(caller.way), ..Terms::default() };
    call
}

impl World {
    fn new(callers: &[Caller], person: Option<(u64, bool)>, luck: Vec<Luck>) -> Self {
        let rules = Arc::new(Rules::default());
        let mut at = START;
        let calls = callers.iter().enumerate().map(|(index, caller)| {
            at = at.after(Duration::from_secs(caller.after));
            (at, call(index + 1, *caller))
        });
        let calls: Vec<_> = calls.collect();
        let mut coming = calls.into_iter();
        let now = Now {
            host: START,
            mono: MonoTime::from_micros(1),
            open_at: MonoTime::default(),
            ..Now::default()
        };
        let courier = Courier::new(AccountId::default(), Arc::clone(&rules), callers.len() as u64);
        Self {
            courier,
            rules,
            queue: MemoryQueue::new(),
            next: coming.next(),
            coming,
            notes: Vec::new(),
            items: Vec::new(),
            contacts: Vec::new(),
            leads: Vec::new(),
            person,
            now,
            luck: luck.into_iter(),
        }
    }

    fn run(&mut self) {
        for _ in 0..EFFECTS_MAX {
            self.arrive();
            if self.next.is_none() && self.is_over() {
                return;
            }
            let effect = self.courier.poll(self.now);
            self.carry_out(effect);
        }
        panic!("still not over: {:#?}", self.queue);
    }

    fn arrive(&mut self) {
        while let Some((at, call)) = self.next.take_if(|(at, _)| *at <= self.now.host) {
            self.queue.enqueue(vec![call], at).unwrap();
            self.courier.handle(Outcome::Arrived, self.now);
            self.next = self.coming.next();
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let now = self.now.host;
        let effect = match queue_step::carry_out(&mut self.queue, effect, now) {
            Ok(outcome) => return self.courier.handle(outcome, self.now),
            Err(effect) => effect,
        };
        let outcome = match effect {
            Effect::RenewToken => Outcome::Token(Token::Same),
            Effect::Probe => self.probe(),
            Effect::ReadBack { uniqs, .. } => {
                let notes = self.listed_notes(&uniqs);
                Outcome::ReadBack(self.read(notes))
            }
            Effect::ReadUnsorted => {
                let open = self.open();
                Outcome::Open(self.read(open))
            }
            Effect::Search { number } => {
                let known = self.known(&number);
                Outcome::Searched(self.read(known))
            }
            Effect::Post { batch, body, .. } => match self.post(&body) {
                Some(posted) => Outcome::Posted { batch, posted },
                None => return self.restart(),
            },
            Effect::Create { make, body, request_ids } => match self.create(make, &body, &request_ids) {
                Some(created) => Outcome::Created(created),
                None => return self.restart(),
            },
            Effect::Ask(Question::Foreign { .. }) => {
                Outcome::Told(Told::Foreign(ReadBack::Complete(Vec::new())))
            }
            Effect::Keep { .. } | Effect::Ask(_) => panic!("nobody is named, and no tasks are made"),
            Effect::Announce(_) => return,
            Effect::Wait { until } => {
                let wait = until.since(self.now.mono);
                assert!(wait > Duration::ZERO, "a wait that ends at once is a spin");
                let comes =
                    self.next.as_ref().map_or(wait, |(at, _)| at.since(now).max(Duration::from_micros(1)));
                return self.pass(wait.min(comes));
            }
            other => panic!("nobody does this in this world: {other:?}"),
        };
        self.courier.handle(outcome, self.now);
    }

    fn next_luck(&mut self) -> Luck {
        self.luck.next().unwrap_or(Luck::Fine { listed: 0 })
    }

    fn post(&mut self, body: &[u8]) -> Option<Posted> {
        let calls: Vec<Value> = serde_json::from_slice(body).unwrap();
        let text = |call: &Value, key: &str| call[key].as_str().unwrap().to_owned();
        for call in &calls {
            assert_eq!(
                self.phase(&text(call, "uniq")),
                Phase::Sending,
                "no call is posted without an intent"
            );
        }
        let luck = self.next_luck();
        let (carried_out, listed) = delays(luck);
        let mut fates = Vec::new();
        for call in &calls {
            let known = self.has_contact(&tail(&text(call, "phone")));
            if let (true, Some(seconds)) = (known, carried_out) {
                self.notes
                    .push((text(call, "uniq"), self.now.host.after(Duration::from_secs(seconds + listed))));
            }
            fates.push(if known { Fate::Stored { note_id: Some(1), entity: None } } else { Fate::NotFound });
        }
        let all = |fate: Fate| vec![fate; calls.len()];
        let posted = match luck {
            Luck::Fine { .. } => answered(400, Account::Fine, fates),
            Luck::DoneAndLost { .. } => Posted::Lost("reset".to_owned()),
            Luck::NotDoneAndLost => Posted::Lost("timed out".to_owned()),
            Luck::NotSent => Posted::NotSent("refused".to_owned()),
            Luck::Status(401) => answered(401, Account::Unauthorized, all(Fate::Untouched)),
            Luck::Status(402) => answered(402, Account::Unpaid, all(Fate::Untouched)),
            Luck::Status(400) => answered(400, Account::Fine, all(Fate::Unclear)),
            Luck::Status(status) => answered(status, Account::ServerTrouble, all(Fate::Unclear)),
            Luck::Crash { .. } => return None,
        };
        self.pass(Duration::from_millis(300));
        Some(posted)
    }

    fn create(&mut self, make: Make, body: &[u8], request_ids: &[String]) -> Option<Created> {
        let things: Vec<Value> = serde_json::from_slice(body).unwrap();
        assert_eq!(things.len(), request_ids.len());
        let luck = self.next_luck();
        let (carried_out, listed) = delays(luck);
        let mut fates = Vec::new();
        for thing in &things {
            let (name, number) = match make {
                Make::Unsorted => {
                    let uid = thing["source_uid"].as_str().unwrap().to_owned();
                    assert_eq!(self.phase(&uid), Phase::Sending, "nothing is made without an intent");
                    (uid, tail(thing["metadata"]["from"].as_str().unwrap()))
                }
                Make::Contact => {
                    let phone = thing["custom_fields_values"][0]["values"][0]["value"].as_str().unwrap();
                    (String::new(), tail(phone))
                }
                Make::Lead => {
                    let contact = thing["_embedded"]["contacts"][0]["id"].as_u64().unwrap();
                    (String::new(), format!("{contact:010}"))
                }
            };
            if let Some(seconds) = carried_out {
                let at = self.now.host.after(Duration::from_secs(seconds));
                let listed = at.after(Duration::from_secs(listed));
                let decided = self.person.filter(|_| make == Make::Unsorted);
                let decided =
                    decided.map(|(after, accepts)| (listed.after(Duration::from_secs(after)), accepts));
                let made = Thing { number: number.clone(), name: name.clone(), at, listed, decided };
                match make {
                    Make::Unsorted => self.items.push(made),
                    Make::Contact => self.contacts.push(made),
                    Make::Lead => self.leads.push(made),
                }
            }
            // A contact's id is its number, an item's uid its call's.
            fates.push(made::Fate::Made(if make == Make::Unsorted { name } else { number }));
        }
        let answered = |account, fates| Created::Answered(Made { account, fates, words: "HTTP".to_owned() });
        let all = |fate: made::Fate| vec![fate; things.len()];
        let created = match luck {
            Luck::Fine { .. } => answered(Account::Fine, fates),
            Luck::DoneAndLost { .. } => Created::Lost("reset".to_owned()),
            Luck::NotDoneAndLost => Created::Lost("timed out".to_owned()),
            Luck::NotSent => Created::NotSent("refused".to_owned()),
            Luck::Status(401) => answered(Account::Unauthorized, all(made::Fate::Untouched)),
            Luck::Status(402) => answered(Account::Unpaid, all(made::Fate::Untouched)),
            Luck::Status(400) => answered(Account::Fine, all(made::Fate::Refused)),
            Luck::Status(_) => answered(Account::ServerTrouble, all(made::Fate::Unclear)),
            Luck::Crash { .. } => return None,
        };
        self.pass(Duration::from_millis(300));
        Some(created)
    }

    /// Whether a call to this number is attached to somebody.
    fn has_contact(&self, number: &str) -> bool {
        let now = self.now.host;
        let accepted = |item: &Thing| item.decided.is_some_and(|(at, accepts)| accepts && at <= now);
        self.contacts.iter().any(|contact| contact.number == number && contact.at <= now)
            || self.items.iter().any(|item| item.number == number && accepted(item))
    }

    fn open(&self) -> Open {
        let now = self.now.host;
        let mut open = Open::default();
        let is_open = |item: &&Thing| item.listed <= now && item.decided.is_none_or(|(at, _)| now < at);
        for item in self.items.iter().filter(is_open) {
            open.uids.insert(item.name.clone());
            open.by_source.insert(item.name.clone(), item.name.clone());
            open.by_number.insert(item.number.clone(), item.name.clone());
        }
        open
    }

    fn known(&self, number: &str) -> Vec<Known> {
        let now = self.now.host;
        let is_listed = |thing: &&Thing| thing.number == number && thing.listed <= now;
        let leads: Vec<u64> = self.leads.iter().filter(is_listed).map(|_| 9).collect();
        let made = self.contacts.iter().filter(is_listed).map(|contact| contact.number.parse().unwrap());
        made.map(|id| Known { id, leads: leads.clone(), owner: None }).collect()
    }

    fn listed_notes(&self, uniqs: &BTreeSet<String>) -> BTreeMap<String, Note> {
        let listed = self.notes.iter().filter(|(uniq, at)| uniqs.contains(uniq) && *at <= self.now.host);
        let posted = listed.map(|(uniq, _)| uniq);
        let accepted = self.accepted().filter(|uniq| uniqs.contains(*uniq));
        posted.chain(accepted).map(|uniq| (uniq.clone(), Note { id: Some(1), entity: None })).collect()
    }

    /// The calls of which a person accepted the item: each is a note by now.
    fn accepted(&self) -> impl Iterator<Item = &String> {
        let is_accepted =
            |item: &&Thing| item.decided.is_some_and(|(at, accepts)| accepts && at <= self.now.host);
        self.items.iter().filter(is_accepted).map(|item| &item.name)
    }

    fn read<T>(&mut self, found: T) -> ReadBack<T> {
        self.pass(Duration::from_secs(2));
        match self.next_luck() {
            Luck::Fine { .. } => ReadBack::Complete(found),
            Luck::Status(401) => ReadBack::Refused { account: Account::Unauthorized, words: String::new() },
            Luck::Status(_) => ReadBack::Unreadable("HTTP 500".to_owned()),
            Luck::DoneAndLost { .. } | Luck::NotDoneAndLost | Luck::NotSent | Luck::Crash { .. } => {
                ReadBack::Silent("timed out".to_owned())
            }
        }
    }

    fn probe(&mut self) -> Outcome {
        let probe = Probe { account: Account::Fine, customers: true, unsorted: true, words: String::new() };
        Outcome::Probed(match self.next_luck() {
            Luck::Fine { .. } => Probed::Answered(probe),
            Luck::Status(_)
            | Luck::DoneAndLost { .. }
            | Luck::NotDoneAndLost
            | Luck::NotSent
            | Luck::Crash { .. } => Probed::Silent("timed out".to_owned()),
        })
    }

    /// The process is gone; the next one finds what was durable.
    fn restart(&mut self) {
        self.pass(Duration::from_secs(1));
        self.courier = Courier::new(AccountId::default(), Arc::clone(&self.rules), 1);
    }

    fn phase(&mut self, uniq: &str) -> Phase {
        let item = self.queue.find(&CallId::from_text(uniq)).unwrap();
        item.expect("only calls of the queue are posted").state.phase()
    }

    fn is_over(&mut self) -> bool {
        let by_phase = self.queue.stats().unwrap().by_phase;
        let waits = [Phase::Pending, Phase::Sending, Phase::Unknown, Phase::Parked];
        waits.iter().all(|phase| !by_phase.contains_key(phase))
    }

    fn pass(&mut self, time: Duration) {
        self.now.host = self.now.host.after(time);
        self.now.mono = self.now.mono.after(time);
    }
}

/// When the request is carried out, if it is, and how much later it is listed.
fn delays(luck: Luck) -> (Option<u64>, u64) {
    match luck {
        Luck::Fine { listed } => (Some(0), listed),
        Luck::DoneAndLost { carried_out, listed } => (Some(carried_out), listed),
        Luck::Crash { carried_out } => (carried_out, 0),
        Luck::NotDoneAndLost | Luck::NotSent | Luck::Status(_) => (None, 0),
    }
}

fn answered(status: u16, account: Account, fates: Vec<Fate>) -> Posted {
    Posted::Answered { answer: Answer { account, fates, words: "HTTP".to_owned(), evidence: None }, status }
}

/// With or without crashes; with them what is made is listed at once.
fn luck(crashes: bool) -> impl Strategy<Value = Luck> {
    let lag = if crashes { 1_u64 } else { 30 };
    prop_oneof![
        4 => (0..lag).prop_map(|listed| Luck::Fine { listed }),
        3 => (0_u64..30, 0..lag)
            .prop_map(|(carried_out, listed)| Luck::DoneAndLost { carried_out, listed }),
        2 => Just(Luck::NotDoneAndLost),
        1 => Just(Luck::NotSent),
        2 => prop::sample::select(vec![400, 401, 402, 500, 504]).prop_map(Luck::Status),
        2 => prop::option::of(0_u64..30).prop_map(move |carried_out| {
            if crashes { Luck::Crash { carried_out } } else { Luck::NotSent }
        }),
    ]
}

fn caller() -> impl Strategy<Value = Caller> {
    let way = prop::sample::select(vec![
        Unknown::Unsorted,
        Unknown::Unsorted,
        Unknown::Contact,
        Unknown::Lead,
        Unknown::Park,
        Unknown::Drop,
    ]);
    (1_u64..4, way, any::<bool>(), 0_u64..200).prop_map(|(number, way, answered, after)| Caller {
        number,
        way,
        answered,
        after,
    })
}

fn world() -> impl Strategy<Value = (Vec<Caller>, Option<(u64, bool)>, Vec<Luck>)> {
    any::<bool>().prop_flat_map(|crashes| {
        (
            prop::collection::vec(caller(), 1..12),
            prop::option::of((0_u64..5000, any::<bool>())),
            prop::collection::vec(luck(crashes), 0..60),
        )
    })
}

/// Two items of one number that were open at the same time.
fn twins(items: &[Thing]) -> Option<(&Thing, &Thing)> {
    let is_open_at = |item: &Thing, at| item.at <= at && item.decided.is_none_or(|(end, _)| at < end);
    items.iter().enumerate().find_map(|(index, one)| {
        let others = items.iter().skip(index + 1).filter(|other| other.number == one.number);
        let mut together = others.filter(|other| is_open_at(one, other.at) || is_open_at(other, one.at));
        together.next().map(|other| (one, other))
    })
}

/// Two items of one call, of which the first was not declined before the second was made: what is
/// declined is listed no more, so that an item whose answer was lost and that a person declined
/// before it was looked for cannot be told from one that was never made.
fn made_again(items: &[Thing]) -> Option<(&Thing, &Thing)> {
    let is_gone_at = |item: &Thing, at| item.decided.is_some_and(|(end, accepts)| !accepts && end <= at);
    items.iter().enumerate().find_map(|(index, one)| {
        let mut others = items.iter().skip(index + 1).filter(|other| other.name == one.name);
        others.find(|other| !is_gone_at(one, other.at)).map(|other| (one, other))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_made_twice_and_every_call_comes_to_an_end((callers, person, luck) in world()) {
        let mut world = World::new(&callers, person, luck);
        world.run();
        let uniqs: BTreeSet<&String> = world.notes.iter().map(|(uniq, _)| uniq).collect();
        prop_assert_eq!(uniqs.len(), world.notes.len(), "some call is stored twice");
        let names: BTreeSet<&String> = world.items.iter().map(|item| &item.name).collect();
        prop_assert!(made_again(&world.items).is_none(), "{:?}", made_again(&world.items));
        prop_assert!(twins(&world.items).is_none(), "{:?}", twins(&world.items));
        for made in [&world.contacts, &world.leads] {
            let numbers: BTreeSet<&String> = made.iter().map(|thing| &thing.number).collect();
            prop_assert_eq!(numbers.len(), made.len(), "{:?}", made);
        }
        for (index, caller) in callers.iter().enumerate() {
            let id = call(index + 1, *caller).record.call_id;
            let state = world.queue.find(&id).unwrap().unwrap().state;
            let stored = uniqs.contains(&id.as_str().to_owned());
            let is_item = names.contains(&id.as_str().to_owned());
            let accepted = world.accepted().any(|name| name == id.as_str());
            match state {
                State::Sent { .. } => prop_assert!(stored != accepted, "{:?}", id),
                State::Unsorted { .. } => prop_assert!(is_item && !stored),
                State::Skipped { .. } | State::Expired { .. } => {
                    let is_open = world.items.iter().any(|item| item.name == id.as_str() && item.decided.is_none());
                    prop_assert!(!stored && !accepted && !is_open, "{:?}", state);
                }
                other @ (State::Pending
                | State::Sending { .. }
                | State::Unknown { .. }
                | State::Parked { .. }
                | State::Dead { .. }) => panic!("{other:?}"),
            }
        }
    }
}
