//! `kill -9` on a busy day: the real binary follows a PBX on which calls are woven together, is killed at
//! random moments and started again, while a strict amoCRM refuses, hangs and breaks connections.
//!
//! After each kill a copy of the store says what was durable: calls, and facts up to a PBX time. In the end
//! each call that was stored, or none of whose facts were lost, is in amoCRM once and with the truth; no
//! call is there twice. The PBX waits while nobody listens, so what is lost is lost by the kill alone.
//!
//! `AMI2AMO_ROUNDS` kills as often, `AMI2AMO_SEED` at other moments.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use ami2amo::call::checkpoint::Value;
use ami2amo::call::id::{CallId, PbxName};
use ami2amo::call::record::{CallRecord, Direction};
use ami2amo::outbox::queue::{Phase, Queue as _};
use ami2amo::outbox::store::Store;
use ami2amo::time::HostTime;
use tokio::sync::mpsc;

use busy_day::{Call, Day, Part, PbxClock};
use daemon::{Daemon, Host};
use fake_ami::{Clock, FakeAmi, Script};
use fake_amo::{FakeAmo, Note, On, Options, What};

#[path = "support/busy_day.rs"]
mod busy_day;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "support/folder.rs"]
mod folder;

const ROUNDS: u32 = 20;
const SEED: u64 = 20_261_128;

/// PBX seconds in one of ours, while somebody listens.
const HASTE: u32 = 8;

/// From one call to the next, in PBX microseconds.
const EVERY: i64 = 500_000;

/// The longest life, in milliseconds.
const LIFE_MAX: u64 = 2_500;

/// How long nothing happens before every second kill: long enough that all facts are kept, and a kill in
/// the middle of a call costs nothing of it.
const QUIET: Duration = Duration::from_millis(1_300);

/// Pieces on their way to the socket.
const UNDER_WAY: usize = 4_096;

/// How long after the last hang-up the last call may come.
const PATIENCE: Duration = Duration::from_secs(15);

/// Behind "call ended" so many groups must have been made durable before its own is sure to be among them:
/// the one under way, one that was gathered between the word and the deed, and its own.
const GROUPS: usize = 3;

const DELIVERY: &str = "[amocrm.users]\nEXTENSIONS\n[calls.sides]\ntrunks = [\"PJSIP/trunk-msk\"]\n\
                        [delivery]\nnote-lag = \"1s\"\nretry-first = \"200ms\"\nretry-max = \"1s\"\n[store]";

#[tokio::test]
async fn killed_at_any_moment_it_delivers_every_call_once() {
    let rounds = number("AMI2AMO_ROUNDS").map_or(ROUNDS, |rounds| rounds.try_into().unwrap());
    let mut trial = Trial::start(rounds, number("AMI2AMO_SEED").unwrap_or(SEED)).await;
    for round in 0..rounds {
        trial.round(round).await;
    }
    let log = trial.end().await;
    let said = trial.verdict(rounds, &log);
    println!("crash: {said}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

struct Trial {
    host: Host,
    ami: FakeAmi,
    amo: FakeAmo,
    random: fastrand::Rng,
    day: Day,
    clock: PbxClock,
    fates: Vec<Fate>,
    tally: Tally,
}

/// What became of a call in the kills so far.
#[derive(Clone, Debug, Default)]
struct Fate {
    /// It was found in the outbox.
    stored: bool,
    /// Parts of which events were sent and not kept.
    lost: BTreeSet<Part>,
    /// Kills in the middle of it.
    survived: u32,
}

#[derive(Debug, Default)]
struct Tally {
    /// Kills that left a call about to be sent, or sent without its answer.
    mid_post: u32,
    /// The longest time before a kill of which facts were lost.
    window: Duration,
}

impl Trial {
    async fn start(rounds: u32, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let seconds = u64::from(rounds) * LIFE_MAX / 1_000 * u64::from(HASTE);
        let count = usize::try_from(seconds * 1_000_000 / EVERY.unsigned_abs()).unwrap();
        let day = Day::new(count, EVERY, &mut random);
        let amo = fake_amo::start(Options::default()).await;
        let ami = FakeAmi::start(Script::default()).await;
        let host = Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token);
        let users: Vec<_> = (100..140).map(|desk| format!("{desk} = {}", 500_000 + desk)).collect();
        host.edit("[store]", &DELIVERY.replace("EXTENSIONS", &users.join("\n")));
        host.edit("default-user = 1", "default-user = 1\nrequest-timeout = \"2s\"\nrequests-per-second = 50");
        let clock = PbxClock::default();
        let fates = vec![Fate::default(); count];
        Self { host, ami, amo, random, day, clock, fates, tally: Tally::default() }
    }

    /// One life and its end.
    async fn round(&mut self, round: u32) {
        // Every fifth dies before or while it connects.
        let life = if round % 5 == 4 { 0..300 } else { 300..LIFE_MAX };
        let life = Duration::from_millis(self.random.u64(life));
        self.spoil();
        let (events, mut daemon) = self.live();
        let logins = self.ami.seen().logins;
        let quiet = if round.is_multiple_of(2) { QUIET } else { Duration::ZERO };
        let rest = Instant::now() + life;
        let death = tokio::time::sleep(life + quiet);
        tokio::pin!(death);
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tokio::select! {
                () = &mut death => break,
                line = daemon.next_line() => assert!(line.is_some(), "it ended by itself in round {round}"),
                _ = tick.tick() => self.play(&events, logins, Instant::now() < rest),
            }
        }
        let killed = Instant::now();
        let log = daemon.killed().await;
        self.look(round, killed, &log);
    }

    /// A daemon, and the way of the PBX's events to it.
    fn live(&mut self) -> (mpsc::Sender<Vec<u8>>, Daemon) {
        let (events, step) = fake_ami::feed(UNDER_WAY);
        self.ami.set_script(Script { steps: vec![step], clock: Clock::Sent(0.0), ..Script::default() });
        self.clock.sent.clear();
        let mut command = self.host.command();
        command.env_remove("NOTIFY_SOCKET"); // nobody reads there
        (events, Daemon::start(command))
    }

    /// Half of the lives have an amoCRM that does something else than answer.
    fn spoil(&mut self) {
        self.amo.clear_faults();
        let what = match self.random.u32(0..10) {
            0 => What::HangBefore,
            1 | 2 => What::HangAfter,
            3 => What::ResetAfter,
            4 => What::Status(503),
            _ => return,
        };
        let times = self.random.u32(1..4);
        self.amo.fault(On::Post, times, what);
    }

    /// Sends what is due, if it is `busy` and somebody has logged in since there were `logins`.
    fn play(&mut self, events: &mpsc::Sender<Vec<u8>>, logins: usize, busy: bool) {
        if busy && self.ami.seen().logins > logins {
            self.clock.play(&mut self.day, events, HASTE);
        } else {
            self.clock.advance(1);
        }
    }

    /// What a kill left, seen in a copy: the store itself is for the next daemon alone.
    fn look(&mut self, round: u32, killed: Instant, log: &str) {
        let (from, copy) = (self.host.path("store"), self.host.path("copy"));
        if !from.is_dir() {
            assert!(self.clock.sent.is_empty(), "it follows a PBX and has no store");
            return;
        }
        folder::copy(&from, &copy);
        let mut store = Store::open(&copy, HostTime::default()).unwrap();
        let stats = store.stats().unwrap();
        self.tally.mid_post += u32::from(stats.by_phase.get(&Phase::Sending).is_some_and(|count| *count > 0));
        for id in ids_sure_to_be_durable(log) {
            assert!(store.find(&id).unwrap().is_some(), "{id} was durable and is lost in round {round}");
        }
        for note in self.amo.calls() {
            let found = store.find(&CallId::from_text(note.uniq())).unwrap();
            assert!(found.is_some(), "{} was sent before it was durable, round {round}", note.uniq());
        }
        let kept = kept_until(&store);
        for (call, fate) in self.day.calls.iter().zip(&mut self.fates) {
            let lost = fate.after_kill(call, kept, &self.clock.sent, &mut store, round);
            let age = lost.map_or(Duration::ZERO, |first| killed - first);
            self.tally.window = self.tally.window.max(age);
        }
        drop(store);
        fs::remove_dir_all(&copy).unwrap();
    }

    /// The last life: all calls end, and what can be delivered is. Returns its log.
    async fn end(&mut self) -> String {
        self.amo.clear_faults();
        self.day.close();
        let (events, mut daemon) = self.live();
        let logins = self.ami.seen().logins;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while self.day.next_at().is_some() {
            tokio::select! {
                line = daemon.next_line() => assert!(line.is_some(), "it ended by itself"),
                _ = tick.tick() => self.play(&events, logins, true),
            }
        }
        let due: BTreeSet<&str> = self.due().map(|(call, _)| call.phone.as_str()).collect();
        let delivered = self.amo.wait_for(|state| {
            let have: BTreeSet<&str> = state.notes.iter().map(phone).collect();
            due.is_subset(&have)
        });
        // What does not come, the verdict names.
        let delivered = tokio::time::timeout(PATIENCE, delivered);
        tokio::pin!(delivered);
        loop {
            tokio::select! {
                _ = &mut delivered => break,
                line = daemon.next_line() => assert!(line.is_some(), "it ended by itself"),
            }
        }
        daemon.stopped().await
    }

    /// The calls that must arrive.
    fn due(&self) -> impl Iterator<Item = (&Call, &Fate)> {
        let begun = self.day.calls.iter().zip(&self.fates).filter(|(call, _)| !call.told.is_empty());
        begun.filter(|(_, fate)| fate.stored || !fate.lacks(&[Part::Begin, Part::Answer, Part::End]))
    }

    fn verdict(&self, rounds: u32, log: &str) -> String {
        let mut notes: BTreeMap<String, Vec<Note>> = BTreeMap::new();
        for note in self.amo.calls() {
            notes.entry(phone(&note).to_owned()).or_default().push(note);
        }
        let mut store = Store::open(&self.host.path("store"), HostTime::default()).unwrap();
        let mut undelivered = Vec::new();
        for (call, fate) in self.due().filter(|(call, _)| !notes.contains_key(&call.phone)) {
            let known = store.find_uniqueid(&PbxName::default(), &call.uniqueid).unwrap();
            let told: Vec<&str> = log.lines().filter(|line| line.contains(&call.uniqueid)).collect();
            undelivered
                .push(format!("{call:?}, {fate:?}; the store has {known:?}; the last log says {told:?}"));
        }
        assert!(undelivered.is_empty(), "never delivered: {undelivered:#?}");
        let twice: Vec<_> = notes.iter().filter(|(_, notes)| notes.len() > 1).collect();
        assert!(twice.is_empty(), "delivered twice: {twice:#?}");
        assert_eq!(self.amo.violations(), Vec::<String>::new());
        let stats = store.stats().unwrap();
        assert_eq!(stats.ended, stats.by_phase.values().sum::<u64>(), "the ledger");
        let (mut exact, mut survived) = (0, 0);
        for (call, fate) in self.day.calls.iter().zip(&self.fates) {
            let Some(note) = notes.get(&call.phone).map(|notes| &notes[0]) else { continue };
            let record = store.find(&CallId::from_text(note.uniq())).unwrap().unwrap().call.record;
            if !fate.lacks(&[Part::Begin, Part::Answer]) {
                check_talk(call, &record, note);
            }
            if !fate.lacks(&[Part::Begin, Part::Answer, Part::End]) {
                check_all(call, &record, note);
                exact += 1;
                survived += u32::from(fate.survived > 0);
            }
        }
        let due = self.due().count();
        assert!(survived >= rounds, "{survived} calls in progress at {rounds} kills prove little");
        let harmed = self.fates.iter().filter(|fate| fate.lacks(&[Part::Begin, Part::Answer, Part::End]));
        format!(
            "{rounds} kills, {due} of {due} calls delivered once, 0 twice; {exact} exact, {survived} of them \
             in progress at a kill; {} lost facts of the last {} ms; {} kills in the middle of a POST",
            harmed.count(),
            self.tally.window.as_millis(),
            self.tally.mid_post
        )
    }
}

impl Fate {
    /// Takes in what a kill left of `call`: `kept` is the PBX time up to which facts are durable. Returns
    /// when the first fact was sent that is lost.
    fn after_kill(
        &mut self,
        call: &Call,
        kept: i64,
        sent: &BTreeMap<i64, Instant>,
        store: &mut Store,
        round: u32,
    ) -> Option<Instant> {
        if call.told.is_empty() {
            return None;
        }
        let id = CallId::new(&PbxName::default(), &call.uniqueid, 1);
        let found = store.find(&id).unwrap().is_some();
        assert!(found || !self.stored, "{id} was in the outbox and is not any more in round {round}");
        self.stored = found;
        if found {
            return None;
        }
        self.survived += 1;
        let facts = call.told.iter().filter(|(part, at)| *part != Part::Aside && *at > kept);
        let mut first = None;
        for (part, at) in facts {
            // What was lost with an earlier life was counted then.
            let Some(sent) = sent.get(at) else { continue };
            first = first.or(Some(*sent));
            self.lost.insert(*part);
        }
        first
    }

    fn lacks(&self, parts: &[Part]) -> bool {
        parts.iter().any(|part| self.lost.contains(part))
    }
}

/// Answer time and agent: what a call in progress must keep.
fn check_talk(call: &Call, record: &CallRecord, note: &Note) {
    let responsible = call.responsible.map(|extension| extension.to_string());
    let answered_ms = call.answered_at().map(|at| at / 1_000);
    assert_eq!(record.answered_at.map(|at| at.micros() / 1_000), answered_ms, "{call:#?} {record:#?}");
    assert_eq!(record.responsible, responsible, "{call:#?} {record:#?}");
    assert_eq!(note.call["call_responsible"], call.responsible.map_or(1, |extension| 500_000 + extension));
}

fn check_all(call: &Call, record: &CallRecord, note: &Note) {
    let talk: Vec<_> = call.talk.iter().map(u32::to_string).collect();
    let direction = if call.is_outbound { Direction::Outbound } else { Direction::Inbound };
    let talked = u64::try_from((call.talked() + 500) / 1_000).unwrap();
    assert_eq!(
        (record.direction, &record.answered_by, record.partial, record.answered),
        (direction, &talk, false, !talk.is_empty()),
        "{call:#?} {record:#?}"
    );
    assert!(record.talk_seconds.millis().abs_diff(talked) <= 1, "{talked} ms {call:#?} {record:#?}");
    // An answered call is never sent as one of no seconds; after a stop all of its events may come at once.
    let duration = record.talk_seconds.rounded().max(u64::from(record.answered));
    assert_eq!(note.call["duration"], duration, "{call:#?} {note:#?}");
    assert_eq!(note.call["call_status"], if talk.is_empty() { 6 } else { 4 }, "{call:#?} {note:#?}");
}

fn phone(note: &Note) -> &str {
    let phone = note.phone();
    &phone[phone.len().saturating_sub(10)..]
}

/// The PBX time up to which facts of calls in progress are in the store.
fn kept_until(store: &Store) -> i64 {
    let kept = store.checkpoints(&PbxName::default()).unwrap();
    let stream = kept.iter().find_map(|(key, json)| match Value::read(key, json).unwrap() {
        Value::Stream(stream) => Some(stream.now.micros()),
        Value::Channel(_) | Value::Call(_) | Value::Endpoint(_) => None,
    });
    stream.unwrap_or(0)
}

/// The calls that the log of a life names, and behind whose end enough groups were made durable.
fn ids_sure_to_be_durable(log: &str) -> Vec<CallId> {
    let (mut groups, mut ids) = (0, Vec::new());
    for line in log.lines().rev() {
        groups += usize::from(line.contains("a group is durable"));
        if groups >= GROUPS && line.contains("call ended") {
            let id = line.split_whitespace().find_map(|word| word.strip_prefix("call_id="));
            ids.push(CallId::from_text(id.unwrap_or_else(|| panic!("no call in {line:?}"))));
        }
    }
    ids
}
