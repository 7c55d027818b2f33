//! Asterisk: plays its calls, is connected to or not, stops and dies.

use crate::channels::Channels;
use std::collections::VecDeque;

use crate::dice::Dice;
use crate::scenes::{self, Block, MILLI, MINUTE, SCENES, SECOND, Truth};
use crate::stage::Stage;
use crate::world::{PBX_EPOCH, World};

/// What comes to pass whatever the daemon does.
#[derive(Clone, Debug)]
pub enum Happening {
    Event(Block),
    LinkBreaks {
        for_: u64,
    },
    PbxDies,
    PbxBoots,
    TokenRevoked,
    CrashSoon,
    Stop,
    /// Nothing goes wrong any more.
    Healthy,
}

/// Bytes on their way from the PBX.
#[derive(Debug)]
struct Parcel {
    sent: u64,
    at: u64,
    bytes: Vec<u8>,
    /// Whose call they tell of, and which of its events they are.
    of: Option<(usize, usize)>,
}

#[derive(Debug)]
pub struct Pbx {
    dice: Dice,
    pub is_up: bool,
    booted_at: u64,
    pub connected: bool,
    /// No connection comes about before.
    pub unreachable_until: u64,
    parcels: VecDeque<Parcel>,
    /// Nothing arrives before what came before it.
    last: u64,
    /// How often in a thousand an event comes twice, or before its neighbour.
    disorder: u64,
    channels: Channels,
}

/// Events that are further apart do not change places.
const OVERTAKES_MAX: u64 = 300 * MILLI;

const BANNER: &[u8] = b"Asterisk Call Manager/11.0.0\r\n";

/// Some calls, with their truth and their events in order of time.
pub fn calls(dice: &mut Dice) -> (Vec<Truth>, Vec<Block>) {
    let mut stage = Stage::default();
    let mut counter = 0;
    let count = usize::try_from(dice.between(1, 13)).expect("a few");
    let (mut truths, mut blocks) = (Vec::new(), Vec::new());
    for call in 0..count {
        let begin = SECOND + dice.between(0, 4 * MINUTE);
        let scene = *dice.pick(SCENES);
        let (truth, events) = scenes::play(scene, &mut stage, dice, &mut counter, call, begin);
        truths.push(truth);
        blocks.extend(events);
    }
    blocks.sort_by_key(|block| (block.at, block.call, block.index));
    (truths, blocks)
}

impl Pbx {
    pub fn new(mut dice: Dice) -> Self {
        Self {
            is_up: true,
            booted_at: 0,
            connected: false,
            unreachable_until: 0,
            parcels: VecDeque::new(),
            last: 0,
            disorder: *dice.pick(&[0, 20, 80]),
            channels: Channels::default(),
            dice,
        }
    }

    pub fn next_parcel(&self) -> Option<u64> {
        self.parcels.front().map(|parcel| parcel.at)
    }

    fn send(&mut self, now: u64, bytes: Vec<u8>, of: Option<(usize, usize)>) {
        let late = *self.dice.weighted(&[(300, 5 * MILLI), (30, 100 * MILLI), (1, 3 * SECOND)]);
        self.last = self.last.max(now + self.dice.between(100, late));
        let doubled = of.is_some() && self.dice.chance(self.disorder);
        if doubled {
            self.parcels.push_back(Parcel { sent: now, at: self.last, bytes: bytes.clone(), of });
        }
        self.parcels.push_back(Parcel { sent: now, at: self.last, bytes, of });
        self.swap();
    }

    /// Threads of Asterisk overtake one another: events of different calls may change places.
    fn swap(&mut self) {
        let count = self.parcels.len();
        if count < 2 || !self.dice.chance(self.disorder) {
            return;
        }
        let (one, two) = (&self.parcels[count - 2], &self.parcels[count - 1]);
        let apart = matches!((one.of, two.of), (Some((one, _)), Some((two, _))) if one != two);
        if apart && two.sent - one.sent <= OVERTAKES_MAX {
            let (at_one, at_two) = (one.at, two.at);
            self.parcels.swap(count - 2, count - 1);
            self.parcels[count - 2].at = at_one;
            self.parcels[count - 1].at = at_two;
        }
    }

    /// What is on its way is lost.
    pub fn disconnect(&mut self) {
        self.connected = false;
        self.parcels.clear();
    }

    /// What a client gets to read first: the greeting, the copy of `FullyBooted`, and what runs.
    pub fn greet(&mut self, now: u64) {
        self.connected = true;
        let uptime = (now - self.booted_at) / SECOND;
        let mut bytes = BANNER.to_vec();
        bytes.extend(b"Response: Success\r\nActionID: 2\r\nMessage: Authentication accepted\r\n\r\n");
        bytes.extend(
            format!("Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\nUptime: {uptime}\r\nLastReload: {uptime}\r\n\r\n").bytes(),
        );
        bytes.extend(self.channels.list());
        self.last = now;
        self.send(now, bytes, None);
    }
}

impl World {
    /// Puts everything that comes to pass in order of time.
    pub fn plan(&mut self, blocks: Vec<Block>, quiet_at: u64) -> Vec<(u64, Happening)> {
        let mut plan: Vec<(u64, Happening)> = self.happenings.drain(..).collect();
        let mut dice = self.dice.fork();
        for _ in 0..*dice.weighted(&[(3, 0), (2, 1), (1, 2)]) {
            let for_ = dice.between(300 * MILLI, 40 * SECOND);
            plan.push((dice.between(0, quiet_at), Happening::LinkBreaks { for_ }));
        }
        for _ in 0..*dice.weighted(&[(4, 0), (3, 1), (2, 2)]) {
            plan.push((dice.between(0, quiet_at + MINUTE), Happening::CrashSoon));
        }
        if dice.chance(200) {
            plan.push((dice.between(0, quiet_at), Happening::Stop));
        }
        let dies = dice.chance(180).then(|| dice.between(MINUTE, quiet_at));
        let blocks = match dies {
            Some(at) => {
                let back = at + dice.between(4 * SECOND, 40 * SECOND);
                plan.extend([(at, Happening::PbxDies), (back, Happening::PbxBoots)]);
                self.cut_calls(blocks, at, back)
            }
            None => blocks,
        };
        plan.extend(blocks.into_iter().map(|block| (block.at, Happening::Event(block))));
        // What nobody heard the end of is over when Asterisk has been started anew.
        plan.extend([
            (quiet_at + 5 * MINUTE, Happening::PbxDies),
            (quiet_at + 5 * MINUTE + 20 * SECOND, Happening::PbxBoots),
            (self.healthy_at, Happening::Healthy),
        ]);
        plan.sort_by_key(|(at, _)| *at);
        plan
    }

    /// Calls that are under way at `dies` end then; while Asterisk is away none begins.
    fn cut_calls(&mut self, blocks: Vec<Block>, dies: u64, back: u64) -> Vec<Block> {
        let truths = &mut self.truths;
        let stays = |block: &Block| {
            let truth = &truths[block.call];
            block.at < dies || truth.begun > back
        };
        let blocks: Vec<Block> = blocks.into_iter().filter(stays).collect();
        for (call, truth) in truths.iter_mut().enumerate() {
            let left = blocks.iter().filter(|block| block.call == call).count();
            if left < truth.events {
                truth.cut(left, dies);
                self.seen[call].truncate(left);
            }
        }
        blocks
    }

    pub fn happen(&mut self) {
        let Some((_, happening)) = self.happenings.pop_front() else { return };
        match happening {
            Happening::Event(block) => {
                self.pbx.channels.happened(&block.text);
                if self.pbx.connected {
                    self.pbx.send(self.now, block.text, Some((block.call, block.index)));
                }
            }
            Happening::LinkBreaks { for_ } => {
                self.note(|| "the connection breaks".to_owned());
                self.pbx.unreachable_until = self.now + for_;
                self.link_lost();
            }
            Happening::PbxDies => {
                self.note(|| "Asterisk dies".to_owned());
                self.pbx.is_up = false;
                self.pbx.channels = Channels::default();
                self.link_lost();
            }
            Happening::PbxBoots => {
                self.note(|| "Asterisk boots".to_owned());
                self.pbx.is_up = true;
                self.pbx.booted_at = self.now;
            }
            Happening::TokenRevoked => "token-1".clone_into(&mut self.amo.token),
            Happening::CrashSoon => {
                self.crash_at.get_or_insert(self.now);
            }
            Happening::Stop => self.stop(),
            Happening::Healthy => {
                self.note(|| "from here on nothing goes wrong".to_owned());
                self.amo.odd = 0;
                self.amo.episodes.clear();
                self.store.full = None;
                self.crash_at = None;
            }
        }
    }

    fn link_lost(&mut self) {
        self.pbx.disconnect();
        let pause = self.pbx.dice.between(500 * MILLI, 2 * SECOND);
        if let Some(process) = &mut self.process {
            process.connect_at = Some(self.now + pause);
        }
    }

    /// A try to connect.
    pub fn connect(&mut self) {
        let pause = self.pbx.dice.between(SECOND, 4 * SECOND);
        let reachable = self.pbx.is_up && self.now >= self.pbx.unreachable_until;
        let Some(process) = &mut self.process else { return };
        if !reachable {
            process.connect_at = Some(self.now + pause);
            return;
        }
        process.connected(self.clock.ahead, self.mutant);
        let now = self.now;
        self.note(|| "connected to the PBX".to_owned());
        self.pbx.greet(now);
        let (seconds, micros) = (PBX_EPOCH + now / SECOND, now % SECOND);
        let noise = format!(
            "Event: DeviceStateChange\r\nPrivilege: call,all\r\nTimestamp: {seconds}.{micros:06}\r\nDevice: PJSIP/101\r\nState: NOT_INUSE\r\n\r\n"
        );
        self.pbx.send(now, noise.into_bytes(), None);
    }

    /// Bytes come to the daemon.
    pub fn receive(&mut self) {
        let Some(parcel) = self.pbx.parcels.pop_front() else { return };
        let (now, mutant) = (self.now, self.mutant);
        let Some(process) = &mut self.process else { return };
        process.read(&parcel.bytes, now, mutant);
        if let Some((call, index)) = parcel.of {
            process.delivered.push((call, index));
            self.seen[call][index] = true;
            self.note(|| {
                let text = String::from_utf8_lossy(&parcel.bytes);
                let of = |key: &str| text.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned));
                format!("call {call} event {index}: {:?} {:?}", of("Event: "), of("Uniqueid: "))
            });
        }
        self.collect();
    }
}
