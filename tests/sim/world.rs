//! One world from one seed: a PBX, the daemon, its disk and amoCRM, in virtual time.
//!
//! Nothing here reads a clock, a thread or a hash map's order, so a seed is a run. The daemon's parts
//! are the shipped ones: splitter, reader with its tracker, courier, pace, token, answers, notes,
//! policies. What is made here is what carries out their effects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ami2amo::amo::settings::Settings;
use ami2amo::amo::settings::unknown::Unknown;
use ami2amo::call::id::CallId;
use ami2amo::call::line;
use ami2amo::outbox::courier::Rules;
use ami2amo::outbox::policy::{OnUnknown, Policy};
use ami2amo::time::span::Span;
use ami2amo::time::{HostTime, MonoTime, PbxTime};

use crate::amocrm::{AmoCrm, Episode};
use crate::answers::Answer;
use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::disk::Store;
use crate::mutants::Mutant;
use crate::pbx::{Happening, Pbx};
use crate::process::Process;
use crate::scenes::{MILLI, MINUTE, SECOND, Truth};
use crate::stage;

/// The second at which the world begins, by the PBX's clock.
pub const PBX_EPOCH: u64 = stage::EPOCH.unsigned_abs();
/// Microseconds of the monotonic clock at the world's beginning.
const MONO_START: u64 = SECOND;
/// Steps in one world: far more than any needs.
const STEPS_MAX: u64 = 600_000;
/// A world that is healthy must be done after this.
const DRAIN_MAX: u64 = 8 * 24 * 60 * MINUTE;

/// The three clocks. World time is microseconds since the world began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// How far the host's clock is ahead of the PBX's, in microseconds.
    pub ahead: i64,
}

impl Clock {
    pub fn host(self, now: u64) -> HostTime {
        pbx_time(now).to_host(self.ahead)
    }
}

pub fn pbx_time(now: u64) -> PbxTime {
    PbxTime::from_micros(i64::try_from(PBX_EPOCH * SECOND + now).expect("worlds last days"))
}

pub fn mono_time(now: u64) -> MonoTime {
    MonoTime::from_micros(MONO_START + now)
}

/// The world's time of a moment of the monotonic clock.
pub fn world_time(mono: MonoTime) -> u64 {
    mono.micros().saturating_sub(MONO_START)
}

/// What the world does next.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Turn {
    Happening,
    Parcel,
    Start,
    Crash,
    StoreDone,
    StoreReopens,
    Connect,
    Calls,
    Offer,
    Keep,
    Courier,
}

pub struct World {
    pub now: u64,
    pub clock: Clock,
    pub dice: Dice,
    pub mutant: Option<Mutant>,
    pub truths: Vec<Truth>,
    /// Of each event of each call, whether it is in what the daemon still knows.
    pub seen: Vec<Vec<bool>>,
    pub pbx: Pbx,
    pub happenings: VecDeque<(u64, Happening)>,
    pub store: Store,
    pub amo: AmoCrm,
    pub rules: Arc<Rules>,
    pub process: Option<Process>,
    pub processes: u32,
    pub start_at: Option<u64>,
    /// When the process dies.
    pub crash_at: Option<u64>,
    /// What the token's file holds, from when on.
    pub token_file: Vec<(u64, Option<String>)>,
    /// A store that failed is opened again by the same process.
    pub reopens: bool,
    /// A write of calls in progress never holds all that changed.
    pub small_writes: bool,
    /// From here on nothing goes wrong any more.
    pub healthy_at: u64,
    /// Calls of which the daemon said that they are durable.
    pub durable: BTreeSet<CallId>,
    /// POSTs that were written while the clocks' difference was not known.
    pub unmeasured: BTreeSet<u64>,
    pub coverage: Coverage,
    pub faults: Vec<String>,
    /// What happened, when somebody wants to read it.
    pub log: Option<Vec<String>>,
    /// Grows with everything that happens: two runs of a seed must agree.
    pub digest: u64,
}

impl World {
    pub fn new(seed: u64, mutant: Option<Mutant>, with_log: bool) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e6c_63d0_876a_3f6b);
        let ahead = *dice.pick(&[0, 7_000_000, -93_000_000, 3_600_000_000]);
        let clock = Clock { ahead };
        let mut pbx_dice = dice.fork();
        let (truths, blocks) = crate::pbx::calls(&mut pbx_dice);
        let quiet_at = blocks.last().map_or(0, |block| block.at) + MINUTE;
        let mut world = Self {
            now: 0,
            clock,
            mutant,
            seen: truths.iter().map(|truth| vec![false; truth.events]).collect(),
            truths,
            pbx: Pbx::new(dice.fork()),
            happenings: VecDeque::new(),
            store: Store::new(dice.fork(), mutant),
            amo: AmoCrm::new(dice.fork(), clock),
            rules: Arc::new(rules(&mut dice)),
            process: None,
            processes: 0,
            start_at: Some(0),
            crash_at: None,
            token_file: vec![(0, Some("token-0".to_owned()))],
            reopens: dice.chance(700),
            small_writes: dice.chance(100),
            healthy_at: quiet_at + *dice.pick(&[10, 60, 200]) * MINUTE,
            durable: BTreeSet::new(),
            unmeasured: BTreeSet::new(),
            coverage: Coverage::default(),
            faults: Vec::new(),
            log: with_log.then(Vec::new),
            digest: seed,
            dice,
        };
        world.plan_accounts(quiet_at);
        world.happenings = world.plan(blocks, quiet_at).into();
        world
    }

    /// Lives until all is delivered, or must have been.
    pub fn run(&mut self) {
        for _ in 0..STEPS_MAX {
            if self.now >= self.healthy_at && self.is_done() {
                return;
            }
            if self.now > self.healthy_at + DRAIN_MAX {
                break;
            }
            let Some((at, turn)) = self.next() else { break };
            self.now = self.now.max(at);
            self.digest = self.digest.rotate_left(5) ^ self.now ^ turn as u64;
            self.take(turn);
            self.store.begin(self.now, self.clock.host(self.now));
            self.crash_in_group();
        }
        let stats = format!("{:?}", self.stats());
        self.faults.push(format!("no progress: still waiting at {} with {stats}", self.now));
    }

    fn next(&self) -> Option<(u64, Turn)> {
        let process = self.process.as_ref();
        let mut turns = vec![
            (self.happenings.front().map(|(at, _)| *at), Turn::Happening),
            (self.start_at, Turn::Start),
            (self.crash_at, Turn::Crash),
            (self.store.done_at, Turn::StoreDone),
        ];
        if let Some(process) = process {
            turns.extend([
                (self.pbx.next_parcel(), Turn::Parcel),
                (self.store.reopen_at.filter(|_| self.store.done_at.is_none()), Turn::StoreReopens),
                (process.connect_at, Turn::Connect),
                (process.calls_due(), Turn::Calls),
                (process.offer_at, Turn::Offer),
                (process.keep_due(), Turn::Keep),
                (process.courier_due(), Turn::Courier),
            ]);
        }
        turns.into_iter().filter_map(|(at, turn)| Some((at?, turn))).min()
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Happening => self.happen(),
            Turn::Parcel => self.receive(),
            Turn::Start => self.start(),
            Turn::Crash => self.crash("at a time"),
            Turn::StoreDone => self.store_done(),
            Turn::StoreReopens => self.store.reopen(self.now),
            Turn::Connect => self.connect(),
            Turn::Calls => self.collect(),
            Turn::Offer => self.offer(),
            Turn::Keep => self.keep(),
            Turn::Courier => self.deliver(),
        }
    }

    fn is_done(&mut self) -> bool {
        let hold = self.rules.delivery.on_unknown == OnUnknown::Hold;
        let Some(process) = &self.process else { return false };
        self.happenings.is_empty() && process.is_at_rest() && self.store.is_idle() && {
            let looked_for = self.stats().by_phase;
            looked_for.iter().all(|(phase, _)| {
                use ami2amo::outbox::queue::Phase::*;
                match phase {
                    Pending | Sending | Parked => false,
                    // What is held is looked for every hour; twenty are enough to find what is there.
                    Unknown => hold && self.now > self.healthy_at + 20 * 60 * MINUTE,
                    Sent | Unsorted | Skipped | Expired | Dead => true,
                }
            })
        }
    }

    pub fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(log) = &mut self.log {
            log.push(format!("{:>12.6} {}", std::time::Duration::from_micros(now).as_secs_f64(), text()));
        }
    }

    /// What is in the token's file at `at`.
    pub fn token_in_file(&self, at: u64) -> Option<String> {
        let last = self.token_file.iter().rev().find(|(from, _)| *from <= at);
        last.and_then(|(_, token)| token.clone())
    }

    /// Which numbers are known, and what befalls account and token.
    fn plan_accounts(&mut self, quiet_at: u64) {
        for truth in &self.truths {
            let Some(phone) = &truth.phone else { continue };
            match self.dice.between(0, 20) {
                0..12 => drop(self.amo.contacts.insert(phone.clone(), 0)),
                12..17 => {
                    let from = self.dice.between(0, 2 * 60 * MINUTE);
                    self.amo.contacts.insert(phone.clone(), from);
                }
                17 | 18 => {}
                _ => drop(self.amo.poison.insert(phone.clone())),
            }
        }
        if self.dice.chance(200) {
            let (from, length) = (self.dice.between(0, quiet_at), self.dice.between(SECOND, 15 * MINUTE));
            let (from, to) = (from, from + length);
            if self.dice.chance(500) {
                let token = self.dice.chance(500).then(|| "token-0".to_owned());
                self.token_file.extend([(from, token), (to, Some("token-1".to_owned()))]);
                self.happenings.push_back((from, Happening::TokenRevoked));
            } else {
                let kinds = [
                    Answer::Unpaid,
                    Answer::Code244,
                    Answer::Banned,
                    Answer::Forbidden,
                    Answer::Error503,
                    Answer::Refused,
                    Answer::TimedOutBefore,
                ];
                let answer = *self.dice.pick(&kinds);
                self.amo.episodes.push(Episode { from, to, answer });
            }
        }
        if self.dice.chance(150) {
            let from = self.dice.between(0, quiet_at);
            self.store.full = Some((from, from + self.dice.between(SECOND, 2 * MINUTE)));
        }
    }

    pub fn stats(&mut self) -> ami2amo::outbox::queue::Stats {
        use ami2amo::outbox::queue::Queue as _;
        self.store.queue().stats().expect("the model's queue always answers")
    }
}

fn rules(dice: &mut Dice) -> Rules {
    let minutes = |minutes: u64| Span::from_secs(minutes * 60);
    let users = (101..=110).map(|extension: u64| (extension.to_string(), crate::asking::DEFAULT + extension));
    let amo = Settings {
        users: users.collect::<BTreeMap<_, _>>(),
        default_user: Some(crate::asking::DEFAULT),
        requests_per_second: *dice.pick(&[1, 5, 7]),
        unknown: Unknown { inbound: line::Unknown::Park, ..Unknown::default() },
        ..Settings::default()
    };
    let mut delivery = Policy {
        batch_size: (*dice.pick(&[1_usize, 3, 50, 50])).try_into().expect("1 to 50"),
        ..Policy::default()
    };
    if !dice.chance(20) {
        delivery.parked_retries = [1, 2, 4, 8, 15, 30, 60].map(minutes).to_vec();
        delivery.parked_max = minutes(6 * 60);
    }
    if dice.chance(80) {
        delivery.on_unknown = OnUnknown::Hold;
    }
    if dice.chance(60) {
        delivery.max_age = Some(minutes(120));
    }
    Rules { amo, delivery }
}

/// The pause before a process is started again: systemd's, and a little.
pub fn restart_after(dice: &mut Dice) -> u64 {
    *dice.weighted(&[(6, 2 * SECOND + 300 * MILLI), (2, 20 * SECOND), (1, 3 * MINUTE)])
}
