//! The courier in a simulated world: time is a number, amoCRM a list, and every exchange may go
//! wrong in every way that leaves its outcome open. Whatever happens, each call is stored once.
//!
//! What is assumed of amoCRM is what the promise says: a request is carried out within its
//! time-out or not at all, and a stored note is listed within `note-lag`.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ami2amo::amo::answer::{Account, Answer, Fate};
use ami2amo::amo::notes::{Note, Probe};
use ami2amo::amo::pace::Pace;
use ami2amo::call::id::{AccountId, CallId};
use ami2amo::outbox::courier::aside::{Question, Told};
use ami2amo::outbox::courier::effect::{Effect, Now, Outcome, Posted, Probed, ReadBack, Token};
use ami2amo::outbox::courier::{Courier, Rules};
use ami2amo::outbox::memory::MemoryQueue;
use ami2amo::outbox::queue::{BatchId, Phase, Queue};
use ami2amo::time::{HostTime, MonoTime};
use proptest::prelude::*;
use serde_json::Value;

#[path = "support/queue_step.rs"]
mod queue_step;
#[path = "support/samples.rs"]
mod samples;

/// How one exchange goes. The numbers are seconds: until amoCRM carries the request out, and until
/// the note is listed.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Fine {
        listed: u64,
    },
    /// Carried out, perhaps late, and never answered.
    StoredAndLost {
        carried_out: u64,
        listed: u64,
    },
    NotStoredAndLost,
    NotSent,
    Status(u16),
    /// The process dies; what it sent is carried out or not.
    Crash {
        carried_out: Option<u64>,
    },
}

struct World {
    courier: Courier,
    rules: Arc<Rules>,
    queue: MemoryQueue,
    /// `uniq` of every stored call, and when it is listed.
    stored: Vec<(String, HostTime)>,
    now: Now,
    luck: std::vec::IntoIter<Luck>,
    /// POSTs under way: when each comes back, and with what.
    air: Vec<(MonoTime, BatchId, Posted)>,
    flown: u64,
    pace: Pace,
    departures: Vec<MonoTime>,
    latency: Duration,
    /// How much flights differ; none when it is 0.
    spread: u64,
}

const START: HostTime = HostTime::from_micros(1_795_338_791_000_000);
/// Effects until all must be delivered: far more than any run needs.
const EFFECTS_MAX: usize = 20_000;

impl World {
    fn new(calls: u64, luck: Vec<Luck>) -> Self {
        let rules = Arc::new(Rules::default());
        let mut queue = MemoryQueue::new();
        let waiting = (1..=calls).map(|number| samples::call(&format!("1.{number}"))).collect();
        queue.enqueue(waiting, START).unwrap();
        let now = Now {
            host: START,
            mono: MonoTime::from_micros(1),
            open_at: MonoTime::default(),
            ..Now::default()
        };
        let courier = Courier::new(AccountId::default(), Arc::clone(&rules), calls);
        Self {
            courier,
            rules,
            queue,
            stored: Vec::new(),
            now,
            luck: luck.into_iter(),
            air: Vec::new(),
            flown: 0,
            pace: Pace::new(5),
            departures: Vec::new(),
            latency: Duration::from_millis(300),
            spread: 1,
        }
    }

    fn run(&mut self) {
        for _ in 0..EFFECTS_MAX {
            if self.all_are_sent() {
                return;
            }
            let effect = self.courier.poll(self.now);
            self.carry_out(effect);
        }
        panic!("still not delivered: {:#?}", self.queue);
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
            Effect::ReadBack { uniqs, .. } => self.read_back(&uniqs),
            Effect::Post { batch, body, request_ids } => {
                return match self.post(&body, &request_ids) {
                    Some(posted) => self.fly(batch, posted),
                    None => self.restart(),
                };
            }
            Effect::ReadUnsorted | Effect::Search { .. } | Effect::Create { .. } => {
                panic!("every number of this world is known")
            }
            Effect::Ask(Question::Foreign { .. }) => {
                Outcome::Told(Told::Foreign(ReadBack::Complete(Vec::new())))
            }
            Effect::Keep { .. } | Effect::Ask(_) => panic!("nobody is named, and no tasks are made"),
            Effect::Announce(_) => return,
            Effect::Wait { until } => {
                let wait = until.since(self.now.mono);
                assert!(wait > Duration::ZERO, "a wait that ends at once is a spin");
                return self.wait(wait);
            }
            other => panic!("nobody does this in this world: {other:?}"),
        };
        self.courier.handle(outcome, self.now);
        self.land();
    }

    /// The POST is in the air; some fly longer than those that left after them.
    fn fly(&mut self, batch: BatchId, posted: Posted) {
        self.flown += 1;
        let mut departure = self.now.mono;
        while let Err(later) = self.pace.take(departure) {
            departure = later;
        }
        self.departures.push(departure);
        let flight = self.latency + self.latency * u32::try_from(self.flown * 7 % 5 * self.spread).unwrap();
        self.air.push((departure.after(flight), batch, posted));
        assert!(self.air.len() <= 4, "more in the air than in-flight allows");
    }

    fn wait(&mut self, wait: Duration) {
        let first = self.air.iter().map(|(at, ..)| at.since(self.now.mono)).min();
        self.pass(first.map_or(wait, |first| first.min(wait)));
        self.land();
    }

    /// Hands over what has come back, the last first: nothing may depend on their order.
    fn land(&mut self) {
        while let Some(place) = self.air.iter().rposition(|(at, ..)| *at <= self.now.mono) {
            let (_, batch, posted) = self.air.remove(place);
            self.courier.handle(Outcome::Posted { batch, posted }, self.now);
        }
    }

    fn post(&mut self, body: &[u8], request_ids: &[String]) -> Option<Posted> {
        let calls: Vec<Value> = serde_json::from_slice(body).unwrap();
        let uniqs: Vec<String> = calls.iter().map(|call| call["uniq"].as_str().unwrap().to_owned()).collect();
        assert!(calls.len() <= 50 && calls.len() == request_ids.len());
        for uniq in &uniqs {
            assert_eq!(self.phase(uniq), Phase::Sending, "no call is posted without an intent");
        }
        let fates = |fate: Fate| vec![fate; uniqs.len()];
        let posted = match self.luck.next().unwrap_or(Luck::Fine { listed: 0 }) {
            Luck::Fine { listed } => {
                self.store(&uniqs, 0, listed);
                let stored = Fate::Stored { note_id: Some(1), entity: None };
                answered(200, Account::Fine, fates(stored))
            }
            Luck::StoredAndLost { carried_out, listed } => {
                self.store(&uniqs, carried_out, listed);
                Posted::Lost("reset".to_owned())
            }
            Luck::NotStoredAndLost => Posted::Lost("timed out".to_owned()),
            Luck::NotSent => Posted::NotSent("refused".to_owned()),
            Luck::Status(401) => answered(401, Account::Unauthorized, fates(Fate::Untouched)),
            Luck::Status(402) => answered(402, Account::Unpaid, fates(Fate::Untouched)),
            Luck::Status(400) => answered(400, Account::Fine, fates(Fate::Unclear)),
            Luck::Status(status) => answered(status, Account::ServerTrouble, fates(Fate::Unclear)),
            Luck::Crash { carried_out } => {
                if let Some(seconds) = carried_out {
                    self.store(&uniqs, seconds, 0);
                }
                return None;
            }
        };
        Some(posted)
    }

    fn probe(&mut self) -> Outcome {
        let probe = |account| {
            Probed::Answered(Probe { account, customers: true, unsorted: true, words: String::new() })
        };
        Outcome::Probed(match self.luck.next().unwrap_or(Luck::Fine { listed: 0 }) {
            Luck::Fine { .. } => probe(Account::Fine),
            Luck::Status(401) => probe(Account::Unauthorized),
            Luck::Status(402) => probe(Account::Unpaid),
            Luck::Status(_) => probe(Account::ServerTrouble),
            Luck::StoredAndLost { .. } | Luck::NotStoredAndLost | Luck::NotSent | Luck::Crash { .. } => {
                Probed::Silent("timed out".to_owned())
            }
        })
    }

    fn read_back(&mut self, uniqs: &BTreeSet<String>) -> Outcome {
        let listed = self.stored.iter().filter(|(uniq, at)| uniqs.contains(uniq) && *at <= self.now.host);
        let note = Note { id: Some(1), entity: None };
        let notes = listed.map(|(uniq, _)| (uniq.clone(), note.clone())).collect();
        self.pass(Duration::from_secs(2));
        Outcome::ReadBack(match self.luck.next().unwrap_or(Luck::Fine { listed: 0 }) {
            Luck::Fine { .. } => ReadBack::Complete(notes),
            Luck::Status(401) => ReadBack::Refused { account: Account::Unauthorized, words: String::new() },
            Luck::Status(_) => ReadBack::Unreadable("HTTP 500".to_owned()),
            Luck::StoredAndLost { .. } | Luck::NotStoredAndLost | Luck::NotSent | Luck::Crash { .. } => {
                ReadBack::Silent("timed out".to_owned())
            }
        })
    }

    fn store(&mut self, uniqs: &[String], carried_out: u64, listed: u64) {
        let at = self.now.host.after(Duration::from_secs(carried_out + listed));
        self.stored.extend(uniqs.iter().map(|uniq| (uniq.clone(), at)));
    }

    /// The process is gone; the next one finds what was durable.
    fn restart(&mut self) {
        self.pass(Duration::from_secs(1));
        self.courier = Courier::new(AccountId::default(), Arc::clone(&self.rules), 1);
        self.air.clear();
    }

    fn phase(&mut self, uniq: &str) -> Phase {
        let item = self.queue.find(&CallId::from_text(uniq)).unwrap();
        item.expect("only calls of the queue are posted").state.phase()
    }

    fn all_are_sent(&mut self) -> bool {
        let stats = self.queue.stats().unwrap();
        stats.by_phase.get(&Phase::Sent) == Some(&stats.ended)
    }

    fn pass(&mut self, time: Duration) {
        self.now.host = self.now.host.after(time);
        self.now.mono = self.now.mono.after(time);
    }
}

fn answered(status: u16, account: Account, fates: Vec<Fate>) -> Posted {
    Posted::Answered { answer: Answer { account, fates, words: "HTTP".to_owned(), evidence: None }, status }
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        3 => (0_u64..30).prop_map(|listed| Luck::Fine { listed }),
        3 => (0_u64..30, 0_u64..30)
            .prop_map(|(carried_out, listed)| Luck::StoredAndLost { carried_out, listed }),
        2 => Just(Luck::NotStoredAndLost),
        1 => Just(Luck::NotSent),
        2 => prop::sample::select(vec![400, 401, 402, 500, 502, 504]).prop_map(Luck::Status),
        2 => prop::option::of(0_u64..30).prop_map(|carried_out| Luck::Crash { carried_out }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn each_call_is_stored_once_whatever_happens(calls in 1_u64..130, luck in prop::collection::vec(luck(), 0..40)) {
        let mut world = World::new(calls, luck);
        world.run();
        let stored: BTreeSet<&String> = world.stored.iter().map(|(uniq, _)| uniq).collect();
        prop_assert_eq!(stored.len() as u64, calls, "some call is missing");
        prop_assert_eq!(world.stored.len() as u64, calls, "some call is there twice");
    }
}

/// How many of `moments` lie in the fullest second.
fn fullest_second(moments: &[MonoTime]) -> usize {
    let within = |first: &MonoTime| {
        moments.iter().filter(|at| *at >= first && at.since(*first) <= Duration::from_secs(1)).count()
    };
    moments.iter().map(within).max().unwrap_or(0)
}

#[test]
fn a_backlog_keeps_the_pace_however_long_answers_take() {
    for (millis, part) in [(50, 0.95), (300, 0.95), (700, 0.95)] {
        let mut world = World::new(10_000, Vec::new());
        world.latency = Duration::from_millis(millis);
        world.spread = 0;
        world.run();
        let took = world.now.mono.since(MonoTime::from_micros(1)).as_secs_f64();
        let (rate, best) = (10_000.0 / took, 5.0 * 50.0);
        assert!(rate >= part * best, "{millis} ms: {rate} calls a second of {best}");
        assert!(fullest_second(&world.departures) <= 5, "{millis} ms");
    }
}

#[test]
fn nothing_the_courier_does_goes_over_the_pace() {
    let lost = Luck::StoredAndLost { carried_out: 0, listed: 3 };
    let luck = (0..60).map(|number| if number % 3 == 0 { lost } else { Luck::Fine { listed: 0 } });
    let mut world = World::new(3_000, luck.collect());
    world.run();
    assert!(fullest_second(&world.departures) <= 5);
}
