//! amoCRM at its worst: the real binary follows a PBX on a busy day and is killed again and again, while
//! amoCRM refuses, hangs, breaks connections before and after it stored, answers half of it, slows down
//! and bans; every eighth caller is unknown to it.
//!
//! Nothing of a call is lost by the PBX's side: it is quiet before every kill. In the end each call has its
//! end in the ledger, and is in amoCRM exactly once: as a note, as an item of Incoming leads, or not at all
//! where the ledger says so. No second held more than 7 requests, whichever process sent them; none was
//! malformed; after a ban nothing came but what was under way.
//!
//! `AMI2AMO_CHAOS_CALLS` plays as many calls, `AMI2AMO_SEED` others.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ami2amo::call::id::{CallId, PbxName};
use ami2amo::outbox::queue::{Phase, Queue as _};
use ami2amo::outbox::store::Store;
use ami2amo::time::HostTime;
use tokio::sync::mpsc;

use busy_day::{Call, Day, PbxClock};
use daemon::{Daemon, Host};
use fake_ami::{Clock, FakeAmi, Script};
use fake_amo::{FakeAmo, Known, On, Options, What};
use slowness::Slowness;

#[path = "support/busy_day.rs"]
mod busy_day;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "support/slowness.rs"]
mod slowness;

const CALLS: u64 = 400;
const SEED: u64 = 20_261_128;

/// PBX seconds in one of ours.
const HASTE: u32 = 8;
/// From one call to the next, in PBX microseconds: 100 calls end in a second of ours.
const EVERY: i64 = 80_000;
/// How long a process lives while people call, in milliseconds.
const LIFE: std::ops::Range<u64> = 400..4_000;
/// How long the PBX is quiet before a kill: all facts are kept by then.
const QUIET: Duration = Duration::from_millis(1_300);
/// Where the machine is slow, it is quiet for longer: at most as many looks more, and how long after each.
const SLOW_LOOKS: u32 = 300;
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Pieces on their way to the socket.
const UNDER_WAY: usize = 4_096;
/// Every eighth caller is unknown to amoCRM.
const UNKNOWN: usize = 8;
/// Requests that may be under way when a ban comes: as many as `in-flight` allows.
const IN_FLIGHT: usize = 4;
/// How long a last process lives at least, and how many there are: a look for what has no answer comes
/// after a request's time-out and `note-lag`.
const SETTLE: Duration = Duration::from_secs(5);
const STOPS_MAX: u32 = 6;
/// How long the last process has, for each thousand of calls and all in all.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_mins(1));

const DELIVERY: &str = "[amocrm.users]\nEXTENSIONS\n[amocrm.unknown]\nleast-ring = \"0s\"\ntalk-grace = \"1s\"\n\
                        [calls.sides]\ntrunks = [\"PJSIP/trunk-msk\"]\n\
                        [delivery]\nnote-lag = \"1s\"\nretry-first = \"200ms\"\nretry-max = \"1s\"\n\
                        probe-first = \"1s\"\nprobe-max = \"1s\"\n[store]";

/// What may become of a request, and of which.
const FAULTS: [(On, What); 30] = [
    (On::Any, What::Status(500)),
    (On::Any, What::Page(502)),
    (On::Any, What::Page(504)),
    (On::Any, What::ResetBefore),
    (On::Any, What::ResetAfter),
    (On::Any, What::HangBefore),
    (On::Any, What::Truncated),
    (On::Any, What::Garbage),
    (On::Any, What::TooMany { retry_after: None }),
    (On::Any, What::TooMany { retry_after: Some(1) }),
    (On::Any, What::Status(401)),
    (On::Post, What::ResetAfter),
    (On::Post, What::HangAfter),
    (On::Post, What::PageAfter(504)),
    (On::Post, What::PageAfter(502)),
    (On::Post, What::Truncated),
    (On::Post, What::Errors(400)),
    (On::Post, What::Errors(200)),
    (On::Post, What::Status(402)),
    (On::Post, What::Status(403)),
    (On::Post, What::Validation(2)),
    (On::Notes, What::Page(504)),
    (On::Notes, What::HangBefore),
    (On::Unsorted, What::ResetAfter),
    (On::Unsorted, What::PageAfter(504)),
    (On::Unsorted, What::HangAfter),
    (On::UnsortedList, What::Status(500)),
    (On::Notes, What::Page(403)),
    (On::Unsorted, What::Page(403)),
    (On::UnsortedList, What::Page(403)),
];

#[tokio::test]
async fn whatever_amocrm_does_each_call_is_there_once() {
    let count = number("AMI2AMO_CHAOS_CALLS").unwrap_or(CALLS);
    let mut trial = Trial::start(count.try_into().unwrap(), number("AMI2AMO_SEED").unwrap_or(SEED)).await;
    while trial.day.next_at().is_some() {
        trial.life().await;
    }
    trial.end().await;
    let said = trial.verdict();
    println!("chaos: {said}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// amoCRM on a thread of its own: it tells when requests come, whatever the PBX is busy with.
fn amo(options: Options) -> FakeAmo {
    let (started, starts) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            started.send(fake_amo::start(options).await).unwrap();
            std::future::pending::<()>().await;
        });
    });
    starts.recv().unwrap()
}

struct Trial {
    host: Host,
    ami: FakeAmi,
    amo: FakeAmo,
    random: fastrand::Rng,
    day: Day,
    clock: PbxClock,
    lives: u32,
    bans: u32,
    faults: u32,
    /// Calls that the fake refuses by order: they may be dead.
    refused: u32,
    slowness: Slowness,
}

impl Trial {
    async fn start(count: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let day = Day::new(count, EVERY, &mut random);
        let known = (0..count).filter(|index| !is_unknown(*index));
        let known = known.map(|index| (day.calls[index].phone.clone(), "contact")).collect();
        let mixed_status = if random.bool() { 200 } else { 400 };
        let options = Options {
            known: Known::Only(known),
            relaxed_pace: false,
            mixed_status,
            page_max: 100,
            ..Options::default()
        };
        let token = options.token.clone();
        let amo = amo(options);
        let ami = FakeAmi::start(Script::default()).await;
        let host = Host::with_amo(ami.port(), "", &amo.base_url(), &token);
        let users: Vec<_> = (100..140).map(|desk| format!("{desk} = {}", 500_000 + desk)).collect();
        host.edit("[store]", &DELIVERY.replace("EXTENSIONS", &users.join("\n")));
        host.edit("default-user = 1", "default-user = 1\nrequest-timeout = \"2s\"");
        let clock = PbxClock::default();
        let slowness = Slowness::watch(host.path("slowness"));
        Self { host, ami, amo, random, day, clock, lives: 0, bans: 0, faults: 0, refused: 0, slowness }
    }

    /// One process, until it is killed.
    async fn life(&mut self) {
        self.lives += 1;
        let is_banned = self.spoil();
        let before = self.amo.requests().len();
        let life = Duration::from_millis(self.random.u64(LIFE));
        // Some die while they look up what was under way.
        let quiet = QUIET + Duration::from_millis(self.random.u64(0..3_000));
        let rest = Instant::now() + life;
        let (events, mut daemon) = self.live();
        let logins = self.ami.seen().logins;
        let death = tokio::time::sleep(life + quiet);
        tokio::pin!(death);
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        let mut looks = 0;
        loop {
            tokio::select! {
                () = &mut death => {
                    if looks == SLOW_LOOKS || self.slowness.is_quick_for(QUIET) {
                        break;
                    }
                    looks += 1;
                    death.as_mut().reset(tokio::time::Instant::now() + LOOK_AGAIN);
                }
                line = daemon.next_line() => assert!(line.is_some(), "life {} ended by itself", self.lives),
                _ = tick.tick() => self.play(&events, logins, Instant::now() < rest),
            }
        }
        let log = daemon.killed().await;
        if is_banned {
            self.stays_away(before, &log);
        }
    }

    /// After the answer that tells of a ban nothing is sent but what had left.
    fn stays_away(&mut self, before: usize, log: &str) {
        let requests = self.amo.requests();
        let sent = requests.get(before..).unwrap_or_default();
        let Some(ban) = sent.iter().position(|request| request.status == 403) else { return };
        self.bans += 1;
        let after = sent.len() - ban - 1;
        assert!(after < IN_FLIGHT, "{after} requests after a ban: {sent:#?} {log}");
    }

    /// A daemon, and the way of the PBX's events to it.
    fn live(&mut self) -> (mpsc::Sender<Vec<u8>>, Daemon) {
        let (events, step) = fake_ami::feed(UNDER_WAY);
        self.ami.set_script(Script { steps: vec![step], clock: Clock::Sent(0.0), ..Script::default() });
        self.clock.sent.clear();
        let mut command = self.host.command();
        command.env_remove("NOTIFY_SOCKET"); // nobody reads there
        command.env("AMI2AMO_LOG", "info");
        (events, Daemon::start(command))
    }

    /// Orders what goes wrong in the next life; returns whether it is a ban.
    fn spoil(&mut self) -> bool {
        self.amo.clear_faults();
        if self.random.u32(0..8) == 0 {
            self.amo.fault(On::Any, u32::MAX, What::Page(403));
            return true;
        }
        for _ in 0..self.random.u32(1..7) {
            let (on, what) = FAULTS[self.random.usize(0..FAULTS.len())];
            let times = if let What::Validation(_) = what { 1 } else { self.random.u32(1..4) };
            self.refused += u32::from(matches!(what, What::Validation(_)));
            self.faults += 1;
            self.amo.fault(on, times, what);
        }
        false
    }

    /// Sends what is due, if it is `busy` and somebody has logged in since there were `logins`.
    fn play(&mut self, events: &mpsc::Sender<Vec<u8>>, logins: usize, busy: bool) {
        if busy && self.ami.seen().logins > logins {
            self.clock.play(&mut self.day, events, HASTE);
        } else {
            self.clock.advance(1);
        }
    }

    /// Nothing goes wrong any more, and all is delivered. What amoCRM has may still be looked for: orderly
    /// stops go on until the ledger has an end for each call.
    async fn end(&mut self) {
        self.amo.clear_faults();
        for _ in 0..STOPS_MAX {
            self.last_life().await;
            let by_phase = self.host.stored().by_phase;
            let waits = [Phase::Pending, Phase::Sending, Phase::Unknown];
            // Calls to strangers stay parked; others that are have something made for them first.
            let is_on_its_way = by_phase.get(&Phase::Parked).is_some_and(|parked| *parked > self.parked());
            if !is_on_its_way && !waits.iter().any(|phase| by_phase.contains_key(phase)) {
                break;
            }
        }
    }

    async fn last_life(&mut self) {
        let (_events, mut daemon) = self.live();
        daemon.logs("ready").await;
        let settled = Instant::now() + SETTLE;
        let (notes, items) = self.due();
        let thousands = u32::try_from(self.day.calls.len() / 1_000).unwrap();
        let dead = usize::try_from(self.refused).unwrap();
        let delivered = self.amo.wait_within(PATIENCE.1 + PATIENCE.0 * thousands, |state| {
            state.notes.len() + state.unsorted.len() + dead >= notes + items
        });
        tokio::pin!(delivered);
        loop {
            tokio::select! {
                // What does not come, the verdict names.
                _ = &mut delivered => break,
                line = daemon.next_line() => assert!(line.is_some(), "it ended by itself"),
            }
        }
        while Instant::now() < settled {
            let line = tokio::time::timeout_at(settled.into(), daemon.next_line()).await;
            assert!(!matches!(line, Ok(None)), "it ended by itself");
        }
        daemon.stopped().await;
    }

    /// How many calls become notes, and how many items of Incoming leads.
    fn due(&self) -> (usize, usize) {
        let calls = self.day.calls.iter().enumerate();
        let notes = calls.clone().filter(|(index, _)| !is_unknown(*index)).count();
        (notes, calls.filter(|(index, call)| is_unknown(*index) && !call.is_outbound).count())
    }

    /// How many calls stay parked.
    fn parked(&self) -> u64 {
        let calls = self.day.calls.iter().enumerate();
        calls.filter(|(index, call)| is_unknown(*index) && call.is_outbound).count().try_into().unwrap()
    }

    fn verdict(&self) -> String {
        let violations = self.amo.violations();
        assert_eq!(violations, Vec::<String>::new());
        let notes = count(self.amo.calls().iter().map(|note| note.uniq().to_owned()));
        let items = self.amo.unsorted();
        let items = count(items.iter().map(|item| item.body["source_uid"].as_str().unwrap().to_owned()));
        let mut store = Store::open(&self.host.path("store"), HostTime::default()).unwrap();
        let stats = store.stats().unwrap();
        assert_eq!(stats.ended, stats.by_phase.values().sum::<u64>(), "the ledger");
        assert_eq!(stats.ended, self.day.calls.len() as u64, "calls: {:?}", stats.by_phase);
        let mut dead = 0;
        for (index, call) in self.day.calls.iter().enumerate() {
            let id = CallId::new(&PbxName::default(), &call.uniqueid, 1);
            let item = store.find(&id).unwrap().unwrap_or_else(|| panic!("{id} is not in the ledger"));
            let state = item.state.phase();
            let of = |things: &BTreeMap<String, usize>| things.get(id.as_str()).copied().unwrap_or(0);
            let seen = (of(&notes), of(&items));
            assert_eq!(seen, expected(index, call, state), "{state:?} {item:#?}");
            dead += u32::from(state == Phase::Dead);
        }
        assert!(dead <= self.refused, "{dead} are dead, {} were refused", self.refused);
        let requests = self.amo.requests();
        let most = most_in_a_second(&requests.iter().map(|request| request.at).collect::<Vec<_>>());
        assert!(most <= 7, "{most} requests in a second");
        let pages = requests.iter().filter(|request| request.status == 403).count();
        format!(
            "{} calls, {} kills, {} faults ordered, {} bans, {pages} answers 403: each once ({} notes, {} items of Incoming leads, \
             {} refused and dead); {} requests, at most {most} in a second",
            self.day.calls.len(),
            self.lives,
            self.faults,
            self.bans,
            notes.len(),
            items.len(),
            dead,
            requests.len(),
        )
    }
}

/// How many notes and items a call has that came to this end.
fn expected(index: usize, call: &Call, state: Phase) -> (usize, usize) {
    match (state, is_unknown(index), call.is_outbound) {
        (Phase::Sent, false, _) => (1, 0),
        (Phase::Unsorted, true, false) => (0, 1),
        (Phase::Dead, ..) | (Phase::Parked, true, true) => (0, 0),
        (other, unknown, _) => panic!("{other:?} is no end of {call:#?}, unknown: {unknown}"),
    }
}

fn is_unknown(index: usize) -> bool {
    index % UNKNOWN == 3
}

fn count(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    names.fold(BTreeMap::new(), |mut all, name| {
        *all.entry(name).or_default() += 1;
        all
    })
}

/// The most that any window of a second holds, open at its end.
fn most_in_a_second(times: &[Instant]) -> usize {
    let second = Duration::from_secs(1);
    let within = |first: usize| times[first..].iter().take_while(|at| **at - times[first] < second).count();
    (0..times.len()).map(within).max().unwrap_or(0)
}
