//! Recordings in a simulated world: files come at once, late or never, the disk does not answer, every
//! exchange may go wrong in every way that leaves its outcome open, with crashes in between. Whatever
//! happens, each call is stored once, no later for its recording than it may be; each note has
//! its own link in the end where the file came within a day and amoCRM lets notes be changed, and
//! never another one.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ami2amo::amo::answer::{Account, Answer, Entity, Fate, Reply};
use ami2amo::amo::late_link;
use ami2amo::amo::notes::{Note, Probe};
use ami2amo::amo::recording::Search;
use ami2amo::call::id::{AccountId, CallId};
use ami2amo::outbox::courier::aside::{Question, Told};
use ami2amo::outbox::courier::effect::{Amended, Effect, Now, Outcome, Posted, Probed, ReadBack, Token};
use ami2amo::outbox::courier::{Courier, Rules};
use ami2amo::outbox::errand::Sound;
use ami2amo::outbox::memory::MemoryQueue;
use ami2amo::outbox::policy::Policy;
use ami2amo::outbox::queue::{Item, Phase, Queue, State};
use ami2amo::time::{HostTime, MonoTime};
use proptest::prelude::*;
use serde_json::Value;

#[path = "support/queue_step.rs"]
mod queue_step;
#[path = "support/samples.rs"]
mod samples;

/// How one exchange goes.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Fine,
    DoneAndLost,
    NotDoneAndLost,
    NotSent,
    Status(u16),
    /// The process dies; what it sent is carried out or not.
    Crash {
        done: bool,
    },
}

/// How the account takes changes of notes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Changes {
    List,
    Nested,
    Links,
    Nothing,
    /// The gateway has a page for them.
    Page,
}

#[derive(Clone, Copy, Debug)]
struct Talk {
    /// Seconds after the call before.
    after: u64,
    /// Seconds from the call to its file.
    file: Option<u64>,
}

struct Stored {
    uniq: String,
    at: HostTime,
    link: Option<String>,
}

struct World {
    courier: Courier,
    rules: Arc<Rules>,
    queue: MemoryQueue,
    coming: Vec<(HostTime, usize)>,
    /// By the call's number: when its file is there.
    files: BTreeMap<usize, HostTime>,
    notes: Vec<Stored>,
    changes: Changes,
    patches: u64,
    now: Now,
    luck: std::vec::IntoIter<Luck>,
    /// How often the disk does not answer in time.
    deaf: std::vec::IntoIter<bool>,
}

const START: HostTime = HostTime::from_micros(1_795_338_791_000_000);
/// Effects until all must have come to an end: far more than any run needs.
const EFFECTS_MAX: usize = 60_000;
const WAIT: Duration = Duration::from_secs(5);
/// The last look of the day may be more than an hour before its end.
const IN_TIME: Duration = Duration::from_hours(22);

fn rules() -> Arc<Rules> {
    let amo = serde_json::from_str(r#"{"recording-url":"https://p/{file}","recording-root":"/rec"}"#);
    Arc::new(Rules { amo: amo.unwrap(), delivery: Policy::default() })
}

impl World {
    fn new(talks: &[Talk], changes: Changes, luck: Vec<Luck>, deaf: Vec<bool>) -> Self {
        let (mut at, mut coming, mut files) = (START, Vec::new(), BTreeMap::new());
        for (index, talk) in talks.iter().enumerate() {
            at = at.after(Duration::from_secs(talk.after));
            coming.push((at, index));
            files.extend(talk.file.map(|file| (index, at.after(Duration::from_secs(file)))));
        }
        coming.reverse();
        let now = Now {
            host: START,
            mono: MonoTime::from_micros(1),
            open_at: MonoTime::default(),
            ..Now::default()
        };
        let rules = rules();
        Self {
            courier: Courier::new(AccountId::default(), Arc::clone(&rules), talks.len() as u64),
            rules,
            queue: MemoryQueue::new(),
            coming,
            files,
            notes: Vec::new(),
            changes,
            patches: 0,
            now,
            luck: luck.into_iter(),
            deaf: deaf.into_iter(),
        }
    }

    fn run(&mut self) {
        for _ in 0..EFFECTS_MAX {
            while let Some((at, index)) = self.coming.pop_if(|(at, _)| *at <= self.now.host) {
                let mut call = samples::call(&format!("1.{index}"));
                call.record.recording = Some(format!("{index}.wav"));
                self.queue.enqueue(vec![call], at).unwrap();
                self.courier.handle(Outcome::Arrived, self.now);
            }
            if self.coming.is_empty() && self.queue.next_due(&AccountId::default()).unwrap().is_none() {
                let sending = self.queue.stats().unwrap().by_phase.contains_key(&Phase::Sending);
                if !sending {
                    return;
                }
            }
            let effect = self.courier.poll(self.now);
            self.carry_out(effect);
        }
        panic!("still not over: {:#?}", self.queue);
    }

    fn carry_out(&mut self, effect: Effect) {
        let now = self.now.host;
        let effect = match queue_step::carry_out(&mut self.queue, effect, now) {
            Ok(outcome) => return self.courier.handle(outcome, self.now),
            Err(effect) => effect,
        };
        let outcome = match effect {
            Effect::FindSounds { searches } => self.find(&searches),
            Effect::RenewToken => Outcome::Token(Token::Same),
            Effect::Probe => Outcome::Probed(Probed::Answered(Probe {
                account: Account::Fine,
                customers: false,
                unsorted: true,
                words: "HTTP 200".to_owned(),
            })),
            Effect::ReadBack { uniqs, .. } => Outcome::ReadBack(ReadBack::Complete(self.listed(&uniqs))),
            Effect::Post { batch, body, .. } => match self.post(&body) {
                Some(posted) => Outcome::Posted { batch, posted },
                None => return self.restart(),
            },
            Effect::Amend { path, body } => match self.amend(&path, &body) {
                Some(amended) => Outcome::Amended(amended),
                None => return self.restart(),
            },
            Effect::ReadUnsorted | Effect::Search { .. } | Effect::Create { .. } => {
                panic!("every number is known in this world")
            }
            Effect::Ask(Question::Foreign { .. }) => {
                Outcome::Told(Told::Foreign(ReadBack::Complete(Vec::new())))
            }
            Effect::Keep { .. } | Effect::Ask(_) => panic!("nobody is named, and no tasks are made"),
            Effect::Announce(_) => return,
            Effect::Wait { until } => {
                let wait = until.since(self.now.mono);
                assert!(wait > Duration::ZERO, "a wait that ends at once is a spin");
                let comes = self.coming.last().map_or(wait, |(at, _)| at.since(now));
                return self.pass(wait.min(comes.max(Duration::from_micros(1))));
            }
            other => panic!("nobody does this in this world: {other:?}"),
        };
        self.courier.handle(outcome, self.now);
    }

    fn find(&mut self, searches: &[Search]) -> Outcome {
        if self.deaf.next().unwrap_or(false) {
            self.pass(Duration::from_secs(2));
            return Outcome::Sounds(vec![None; searches.len()]);
        }
        let look = |search: &Search| {
            let name = search.names.last()?.strip_suffix(".wav")?.to_owned();
            let at = self.files.get(&name.parse::<usize>().unwrap())?;
            (*at <= self.now.host).then(|| format!("{name}.mp3"))
        };
        Outcome::Sounds(searches.iter().map(look).collect())
    }

    fn post(&mut self, body: &[u8]) -> Option<Posted> {
        let calls: Vec<Value> = serde_json::from_slice(body).unwrap();
        let luck = self.luck.next().unwrap_or(Luck::Fine);
        let mut fates = Vec::new();
        for call in &calls {
            let uniq = call["uniq"].as_str().unwrap().to_owned();
            assert_eq!(self.item(&uniq).state.phase(), Phase::Sending, "no call is posted without an intent");
            let id = self.notes.len() as u64 + 1;
            if matches!(luck, Luck::Fine | Luck::DoneAndLost | Luck::Crash { done: true }) {
                let link = call["link"].as_str().map(str::to_owned);
                self.notes.push(Stored { uniq, at: self.now.host, link });
            }
            fates.push(Fate::Stored { note_id: Some(id), entity: Some(entity()) });
        }
        let all = |fate: Fate| vec![fate; calls.len()];
        let answered = |status, account, fates| Posted::Answered {
            answer: Answer { account, fates, words: format!("HTTP {status}"), evidence: None },
            status,
        };
        let posted = match luck {
            Luck::Fine => answered(200, Account::Fine, fates),
            Luck::DoneAndLost => Posted::Lost("reset".to_owned()),
            Luck::NotDoneAndLost => Posted::Lost("timed out".to_owned()),
            Luck::NotSent => Posted::NotSent("refused".to_owned()),
            Luck::Status(403) => answered(403, Account::Banned, all(Fate::Untouched)),
            Luck::Status(status) => answered(status, Account::ServerTrouble, all(Fate::Unclear)),
            Luck::Crash { .. } => return None,
        };
        self.pass(Duration::from_millis(300));
        Some(posted)
    }

    fn amend(&mut self, path: &str, body: &[u8]) -> Option<Amended> {
        self.patches += 1;
        let reply = |status: u16, body: &str| {
            let body = body.as_bytes().to_vec();
            Amended::Answered(late_link::read(&Reply { status, body, ..Reply::default() }))
        };
        let luck = self.luck.next().unwrap_or(Luck::Fine);
        let taken = self.taken(path, body);
        if let (true, Ok((id, link))) = (is_done(luck), &taken) {
            let note = &mut self.notes[usize::try_from(*id).unwrap() - 1];
            note.link = Some(link.clone());
        }
        let amended = match (luck, taken) {
            (Luck::Crash { .. }, _) => return None,
            (Luck::DoneAndLost | Luck::NotDoneAndLost | Luck::NotSent, _) => {
                Amended::NotSent("no answer".to_owned())
            }
            (Luck::Status(403), _) => reply(403, "<html>"),
            (Luck::Status(status), _) => reply(status, ""),
            (Luck::Fine, Ok(_)) => reply(200, r#"{"_embedded":{"notes":[{}]}}"#),
            (Luck::Fine, Err(status)) => reply(status, if status == 403 { "<html>" } else { "{}" }),
        };
        self.pass(Duration::from_millis(300));
        Some(amended)
    }

    /// The note and the link of a change that this account takes, or the status with which it does not.
    fn taken(&mut self, path: &str, body: &[u8]) -> Result<(u64, String), u16> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let note = if body.is_array() { body[0].clone() } else { body.clone() };
        let params = note["params"].as_object().unwrap();
        let link = params["link"].as_str().unwrap().to_owned();
        let is_whole = params.contains_key("uniq");
        let id = match (self.changes, path.rsplit_once("/notes/")) {
            (Changes::Page, _) => return Err(403),
            (Changes::List, None) if is_whole => note["id"].as_u64(),
            (Changes::Nested, Some((_, id))) => id.parse().ok(),
            (Changes::Links, None) if !is_whole => note["id"].as_u64(),
            _ => None,
        };
        let id = id.ok_or(400_u16)?;
        let uniq = self.notes[usize::try_from(id).unwrap() - 1].uniq.clone();
        assert_eq!(self.item(&uniq).state.phase(), Phase::Sent, "only what was delivered is changed");
        assert!(!is_whole || params["uniq"] == *uniq, "the note is the call's own");
        Ok((id, link))
    }

    fn item(&mut self, uniq: &str) -> Item {
        self.queue.find(&CallId::from_text(uniq)).unwrap().expect("only calls of the queue are posted")
    }

    fn listed(&self, uniqs: &BTreeSet<String>) -> BTreeMap<String, Note> {
        let wanted = self.notes.iter().enumerate().filter(|(_, note)| uniqs.contains(&note.uniq));
        let note = |at: usize| Note { id: Some(at as u64 + 1), entity: Some(entity()) };
        wanted.map(|(at, stored)| (stored.uniq.clone(), note(at))).collect()
    }

    /// The process is begun anew: what it had in memory is gone.
    fn restart(&mut self) {
        self.pass(Duration::from_secs(1));
        self.courier = Courier::new(AccountId::default(), Arc::clone(&self.rules), self.patches);
    }

    fn pass(&mut self, time: Duration) {
        self.now.host = self.now.host.after(time);
        self.now.mono = self.now.mono.after(time);
    }
}

fn entity() -> Entity {
    Entity { kind: "contact".to_owned(), id: 70 }
}

fn is_done(luck: Luck) -> bool {
    matches!(luck, Luck::Fine | Luck::DoneAndLost | Luck::Crash { done: true })
}

impl World {
    /// Holds the promise to what came of it.
    fn judge(&mut self, talks: &[Talk], is_lucky: bool) {
        let uniqs: BTreeSet<&String> = self.notes.iter().map(|note| &note.uniq).collect();
        assert_eq!((self.notes.len(), uniqs.len()), (talks.len(), talks.len()), "each call is stored once");
        for index in 0..talks.len() {
            let uniq = format!("default-1.{index}");
            let item = self.item(&uniq);
            let note = self.notes.iter().find(|note| note.uniq == uniq).unwrap();
            assert!(matches!(item.state, State::Sent { .. }) && !item.errand.owes_link(), "{item:?}");
            let own = format!("https://p/{index}.mp3");
            assert!(note.link.as_ref().is_none_or(|link| *link == own), "{:?} is not {own}", note.link);
            let (file, waited) = (self.files.get(&index), note.at.since(item.enqueued_at));
            let came = file.is_some_and(|file| file.since(item.enqueued_at) < IN_TIME);
            let is_refused = matches!(self.changes, Changes::Nothing | Changes::Page);
            // A gateway's page brings everything to a stop, as a ban does.
            if is_lucky && self.changes != Changes::Page {
                // The desk is one: the disk of others, too, has two seconds a look.
                assert!(waited <= WAIT + Duration::from_secs(20), "{waited:?}");
            }
            if came && !is_refused && is_lucky {
                assert_eq!(note.link.as_ref(), Some(&own), "{item:?}");
            }
            match &item.errand.sound {
                Some(Sound::Found { .. } | Sound::Added { .. }) => assert_eq!(note.link, Some(own)),
                Some(Sound::GivenUp { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn talks() -> impl Strategy<Value = Vec<Talk>> {
    let file = prop_oneof![
        3 => Just(Some(0)),
        3 => (0..12_u64).prop_map(Some),
        3 => (12..40_000_u64).prop_map(Some),
        1 => Just(None),
    ];
    let talk = (0..60_u64, file).prop_map(|(after, file)| Talk { after, file });
    prop::collection::vec(talk, 1..8)
}

fn changes() -> impl Strategy<Value = Changes> {
    prop_oneof![
        4 => Just(Changes::List),
        2 => Just(Changes::Nested),
        2 => Just(Changes::Links),
        1 => Just(Changes::Nothing),
        1 => Just(Changes::Page),
    ]
}

fn luck() -> impl Strategy<Value = Vec<Luck>> {
    let luck = prop_oneof![
        4 => Just(Luck::Fine),
        2 => Just(Luck::DoneAndLost),
        1 => Just(Luck::NotDoneAndLost),
        1 => Just(Luck::NotSent),
        1 => prop_oneof![Just(500), Just(503), Just(504), Just(403)].prop_map(Luck::Status),
        3 => any::<bool>().prop_map(|done| Luck::Crash { done }),
    ];
    prop::collection::vec(luck, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_note_gets_its_own_link_or_none(
        talks in talks(),
        changes in changes(),
        luck in luck(),
        deaf in prop::collection::vec(any::<bool>(), 0..6),
    ) {
        let is_lucky = luck.iter().all(|luck| matches!(luck, Luck::Fine));
        let mut world = World::new(&talks, changes, luck, deaf);
        world.run();
        world.judge(&talks, is_lucky);
    }

    #[test]
    fn with_luck_every_file_of_a_day_is_linked_in_the_end(
        talks in talks(),
        changes in changes(),
        deaf in prop::collection::vec(any::<bool>(), 0..6),
    ) {
        let mut world = World::new(&talks, changes, Vec::new(), deaf);
        world.run();
        world.judge(&talks, true);
    }
}
