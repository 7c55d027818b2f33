//! Calls whose truth is known: what the people do, and what Asterisk says of it.

use std::collections::BTreeSet;

use ami2amo::call::record::{Direction, Skip};

use crate::dice::Dice;
use crate::stage::{Stage, Words};

/// Microseconds.
pub const MILLI: u64 = 1_000;
pub const SECOND: u64 = 1_000 * MILLI;
pub const MINUTE: u64 = 60 * SECOND;

/// Time between two events of one moment.
const TICK: u64 = 37;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scene {
    InboundAnswered,
    InboundHeld,
    InboundCancelled,
    InboundBusy,
    OutboundAnswered,
    OutboundBusy,
    OutboundUnanswered,
    RingGroup,
    RingGroupAbandoned,
    Queue,
    QueueAbandoned,
    BlindTransfer,
    AttendedTransfer,
    Internal,
    Anonymous,
}

pub const SCENES: &[Scene] = &[
    Scene::InboundAnswered,
    Scene::InboundHeld,
    Scene::InboundCancelled,
    Scene::InboundBusy,
    Scene::OutboundAnswered,
    Scene::OutboundBusy,
    Scene::OutboundUnanswered,
    Scene::RingGroup,
    Scene::RingGroupAbandoned,
    Scene::Queue,
    Scene::QueueAbandoned,
    Scene::BlindTransfer,
    Scene::AttendedTransfer,
    Scene::Internal,
    Scene::Anonymous,
];

/// One event of a call, as its bytes.
#[derive(Clone, Debug)]
pub struct Block {
    /// Microseconds since the world began.
    pub at: u64,
    pub call: usize,
    /// Its place among the events of its call.
    pub index: usize,
    pub text: Vec<u8>,
}

/// What happened in one call.
#[derive(Clone, Debug)]
pub struct Truth {
    pub scene: Scene,
    pub channels: BTreeSet<String>,
    /// The last ten digits of the outside number.
    pub phone: Option<String>,
    pub direction: Direction,
    pub skip: Option<Skip>,
    pub status: Option<u8>,
    pub answer: Option<Answer>,
    pub responsible: Option<String>,
    pub answered_by: Vec<String>,
    pub rang: BTreeSet<String>,
    pub talk: u64,
    pub wait: u64,
    pub begun: u64,
    pub ended: u64,
    /// So many of its events tell who called whom.
    pub told: usize,
    /// Events of the whole call.
    pub events: usize,
    /// Parts of it can be taken for calls of their own when events are lost.
    pub several: bool,
    /// Asterisk died before it was over.
    pub is_cut: bool,
}

impl Truth {
    /// Asterisk dies at `at`, when so many events of the call have happened.
    pub fn cut(&mut self, events: usize, at: u64) {
        self.is_cut = true;
        self.events = events;
        self.ended = self.ended.min(at.max(self.begun));
        self.answer = self.answer.take().filter(|answer| answer.told <= events);
        self.talk = self.answer.as_ref().map_or(0, |answer| at.saturating_sub(answer.at));
    }
}

/// The moment in which somebody answered the outside party.
#[derive(Clone, Debug)]
pub struct Answer {
    pub at: u64,
    pub by: String,
    /// So many of the call's events tell of it.
    pub told: usize,
}

/// Writes one call.
struct Script<'s> {
    stage: &'s mut Stage,
    dice: &'s mut Dice,
    counter: &'s mut u32,
    call: usize,
    now: u64,
    blocks: Vec<Block>,
    truth: Truth,
}

/// Plays `scene` as call number `call`, from `begin` on.
pub fn play(
    scene: Scene,
    stage: &mut Stage,
    dice: &mut Dice,
    counter: &mut u32,
    call: usize,
    begin: u64,
) -> (Truth, Vec<Block>) {
    let truth = Truth {
        scene,
        channels: BTreeSet::new(),
        phone: None,
        direction: Direction::Inbound,
        skip: None,
        status: Some(6),
        answer: None,
        responsible: None,
        answered_by: Vec::new(),
        rang: BTreeSet::new(),
        talk: 0,
        wait: 0,
        begun: begin,
        ended: begin,
        told: 0,
        events: 0,
        several: false,
        is_cut: false,
    };
    let mut script = Script { stage, dice, counter, call, now: begin, blocks: Vec::new(), truth };
    match scene {
        Scene::InboundAnswered | Scene::Anonymous => script.inbound_answered(false),
        Scene::InboundHeld => script.inbound_answered(true),
        Scene::InboundCancelled => script.cancelled(1),
        Scene::InboundBusy => script.inbound_busy(),
        Scene::OutboundAnswered => script.outbound_answered(),
        Scene::OutboundBusy => script.outbound_failed("BUSY", 17, 7),
        Scene::OutboundUnanswered => script.outbound_failed("NOANSWER", 19, 6),
        Scene::RingGroup => script.ring_group(),
        Scene::RingGroupAbandoned => script.cancelled(3),
        Scene::Queue => script.queue(),
        Scene::QueueAbandoned => script.queue_abandoned(),
        Scene::BlindTransfer => script.blind_transfer(),
        Scene::AttendedTransfer => script.attended_transfer(),
        Scene::Internal => script.internal(),
    }
    script.end()
}

impl Script<'_> {
    fn inbound_answered(&mut self, with_hold: bool) {
        let [extension] = self.extensions();
        let (caller, phone) = self.rings(&extension);
        self.pause(500, 20_000);
        self.answered("A", &caller, &phone, &extension);
        self.pause(800, 60_000);
        if with_hold {
            self.say(&format!("hold {phone}"));
            self.pause(1_000, 20_000);
            self.say(&format!("unhold {phone}"));
            self.pause(1_000, 10_000);
        }
        self.bye("A", &caller, &phone);
        self.truth.responsible = Some(extension);
    }

    /// The caller gives up while `phones` ring.
    fn cancelled(&mut self, phones: usize) {
        let caller = self.caller();
        let mut called = Vec::new();
        for extension in self.some_extensions(phones) {
            called.push(self.called(&extension, &caller));
            self.truth.rang.insert(extension);
        }
        for phone in &called {
            self.say(&format!("dial {caller} > {phone}"));
        }
        for phone in &called {
            self.say(&format!("newstate {phone} Ringing"));
        }
        self.truth.told = self.blocks.len();
        self.pause(1_000, 40_000);
        self.say(&format!("hanguprequest {caller} 127"));
        self.truth.wait = self.now - self.truth.begun;
        for phone in &called {
            self.say(&format!("dialend {caller} > {phone} CANCEL"));
            self.say(&format!("hangup {phone} 127"));
        }
        self.say(&format!("var {caller} DIALSTATUS CANCEL"));
        self.say(&format!("hangup {caller} 127"));
        let rang = &self.truth.rang;
        self.truth.responsible = if rang.len() == 1 { rang.first().cloned() } else { None };
    }

    fn inbound_busy(&mut self) {
        let [extension] = self.extensions();
        let caller = self.caller();
        let phone = self.called(&extension, &caller);
        self.say(&format!("dial {caller} > {phone}"));
        self.truth.told = self.blocks.len();
        self.pause(200, 2_000);
        self.say(&format!("hanguprequest {phone} 17"));
        self.say(&format!("dialend {caller} > {phone} BUSY"));
        self.truth.wait = self.now - self.truth.begun;
        self.say(&format!("hangup {phone} 17"));
        self.say(&format!("var {caller} DIALSTATUS BUSY"));
        self.say(&format!("hangup {caller} 17"));
        self.truth.rang.insert(extension.clone());
        self.truth.responsible = Some(extension);
        self.truth.status = Some(7);
    }

    fn outbound_answered(&mut self) {
        let [extension] = self.extensions();
        let (phone, line) = self.dials_out(&extension);
        self.pause(500, 20_000);
        self.answered("A", &phone, &line, &extension);
        self.pause(800, 60_000);
        self.bye("A", &line, &phone);
        self.truth.responsible = Some(extension);
    }

    fn outbound_failed(&mut self, how: &str, cause: u16, status: u8) {
        let [extension] = self.extensions();
        let (phone, line) = self.dials_out(&extension);
        self.pause(500, 50_000);
        self.say(&format!("dialend {phone} > {line} {how}"));
        self.truth.wait = self.now - self.truth.begun;
        self.say(&format!("hangup {line} {cause}"));
        self.say(&format!("var {phone} DIALSTATUS {how}"));
        self.say(&format!("hangup {phone} {cause}"));
        self.truth.responsible = Some(extension);
        self.truth.status = Some(status);
    }

    fn ring_group(&mut self) {
        let caller = self.caller();
        let extensions = self.some_extensions(3);
        let phones: Vec<String> = extensions.iter().map(|one| self.called(one, &caller)).collect();
        for phone in &phones {
            self.say(&format!("dial {caller} > {phone}"));
        }
        self.truth.rang.extend(extensions.iter().cloned());
        self.truth.told = self.blocks.len();
        self.pause(500, 20_000);
        let winner = self.dice.index(phones.len());
        self.say(&format!("newstate {} Up", phones[winner]));
        let losers: Vec<String> = phones
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != winner)
            .map(|(_, phone)| phone.clone())
            .collect();
        for phone in &losers {
            self.say(&format!("dialend {caller} > {phone} CANCEL"));
        }
        self.say(&format!("dialend {caller} > {} ANSWER", phones[winner]));
        self.say(&format!("newstate {caller} Up"));
        for phone in &losers {
            self.say(&format!("hangup {phone} 26"));
        }
        self.joined("A", &phones[winner], &caller, &extensions[winner]);
        self.pause(800, 60_000);
        self.bye("A", &caller, &phones[winner]);
        self.truth.responsible = Some(extensions[winner].clone());
    }

    /// Some agents do not answer, the next one does.
    fn queue(&mut self) {
        let caller = self.waits_in_queue();
        let agents = self.some_extensions(3);
        let refused = self.dice.index(agents.len());
        for agent in &agents[..refused] {
            let phone = self.offered(agent, &caller);
            self.pause(1_000, 6_000);
            self.say(&format!("dialend {caller} > {phone} NOANSWER"));
            self.say(&format!("hangup {phone} 0"));
            self.pause(200, 1_500);
        }
        let agent = &agents[refused];
        let phone = self.offered(agent, &caller);
        self.truth.told = self.blocks.len();
        self.pause(800, 9_000);
        self.say(&format!("newstate {phone} Up"));
        self.say(&format!("dialend {caller} > {phone} ANSWER"));
        self.say(&format!("event AgentConnect {caller} Dest:{phone} Queue=help Interface=PJSIP/{agent}"));
        self.joined("A", &phone, &caller, agent);
        self.pause(800, 60_000);
        self.bye("A", &caller, &phone);
        self.truth.responsible = Some(agent.clone());
    }

    fn queue_abandoned(&mut self) {
        let caller = self.waits_in_queue();
        let agents = self.some_extensions(2);
        let phones: Vec<String> = agents.iter().map(|agent| self.offered(agent, &caller)).collect();
        self.truth.told = self.blocks.len();
        self.pause(2_000, 30_000);
        self.say(&format!("event HangupRequest {caller}"));
        self.truth.wait = self.now - self.truth.begun;
        for phone in &phones {
            self.say(&format!("dialend {caller} > {phone} CANCEL"));
        }
        self.say(&format!("event QueueCallerAbandon {caller} Queue=help Position=1"));
        for phone in phones.iter().chain([&caller]) {
            self.say(&format!("hangup {phone} 0"));
        }
    }

    fn blind_transfer(&mut self) {
        let [first, second] = self.extensions();
        let (caller, phone) = self.rings(&first);
        self.pause(500, 10_000);
        self.answered("A", &caller, &phone, &first);
        self.pause(1_000, 20_000);
        self.say(&format!(
            "event BlindTransfer Transferer:{phone} Transferee:{caller} {} Result=Success IsExternal=Yes \
             Context=from-internal Extension={second}",
            self.bridge("A")
        ));
        self.say(&format!("leave {} {caller} {phone}", self.bridge("A")));
        self.say(&format!("destroy {}", self.bridge("A")));
        self.say(&format!("hangup {phone}"));
        let other = self.called(&second, &caller);
        self.say(&format!("dial {caller} > {other}"));
        self.say(&format!("newstate {other} Ringing"));
        self.truth.rang.insert(second.clone());
        self.pause(500, 10_000);
        self.answered("B", &caller, &other, &second);
        self.pause(1_000, 20_000);
        self.bye("B", &caller, &other);
        self.truth.responsible = Some(second);
        self.truth.several = true;
    }

    fn attended_transfer(&mut self) {
        let [first, second] = self.extensions();
        let (caller, phone) = self.rings(&first);
        self.pause(500, 10_000);
        self.answered("A", &caller, &phone, &first);
        self.pause(1_000, 10_000);
        self.say(&format!("hold {phone}"));
        self.pause(200, 2_000);
        let asking = self.channel(&first, &format!("from={first} exten={second}"));
        let other = self.called(&second, &asking);
        self.say(&format!("dial {asking} > {other}"));
        self.truth.rang.insert(second.clone());
        self.pause(500, 8_000);
        self.say(&format!("answer {} {asking} > {other}", self.bridge("B")));
        self.pause(1_000, 8_000);
        let (a, b) = (self.bridge("A"), self.bridge("B"));
        for line in [
            format!("unhold {phone}"),
            format!("leave {a} {caller}"),
            format!("leave {b} {asking}"),
            format!("bridge {b} {caller} SwapUniqueid={asking}"),
            format!(
                "event AttendedTransfer OrigTransferer:{phone} Orig:{a} SecondTransferer:{asking} Second:{b} \
                 Transferee:{caller} TransferTarget:{other} Result=Success IsExternal=No DestType=Bridge \
                 DestBridgeUniqueid={b}"
            ),
            format!("leave {a} {phone}"),
            format!("destroy {a}"),
            format!("hangup {phone}"),
            format!("hangup {asking}"),
        ] {
            self.say(&line);
        }
        self.truth.answered_by.push(second.clone());
        self.pause(1_000, 20_000);
        self.bye("B", &caller, &other);
        self.truth.responsible = Some(second);
        self.truth.several = true;
    }

    fn internal(&mut self) {
        let [first, second] = self.extensions();
        let phone = self.channel(&first, &format!("from={first} exten={second}"));
        let other = self.called(&second, &phone);
        self.say(&format!("dial {phone} > {other}"));
        self.truth.told = self.blocks.len();
        self.pause(500, 8_000);
        self.answered("A", &phone, &other, &second);
        self.pause(800, 30_000);
        self.bye("A", &phone, &other);
        self.truth.direction = Direction::Internal;
        self.truth.skip = Some(Skip::Internal);
        self.truth.status = None;
        self.truth.rang.insert(second);
        self.truth.responsible = Some(first);
    }

    /// An outside caller rings one phone.
    fn rings(&mut self, extension: &str) -> (String, String) {
        let caller = self.caller();
        let phone = self.called(extension, &caller);
        self.say(&format!("dial {caller} > {phone}"));
        self.say(&format!("newstate {phone} Ringing"));
        self.truth.told = self.blocks.len();
        self.truth.rang.insert(extension.to_owned());
        (caller, phone)
    }

    fn caller(&mut self) -> String {
        if self.truth.scene == Scene::Anonymous {
            self.truth.skip = Some(Skip::Anonymous);
            return self.channel("trunk-msk", "from=anonymous exten=74957000101");
        }
        let number = self.number();
        self.channel("trunk-msk", &format!("from=7{number} exten=74957000101"))
    }

    fn dials_out(&mut self, extension: &str) -> (String, String) {
        let number = self.number();
        self.truth.direction = Direction::Outbound;
        let phone = self.channel(extension, &format!("from={extension} exten=8{number}"));
        let line = self.channel("trunk-spb", &format!("linkedid={phone}"));
        self.say(&format!("dial {phone} > {line} string=8{number}@trunk-spb"));
        self.say(&format!("newstate {line} Ringing"));
        self.truth.told = self.blocks.len();
        (phone, line)
    }

    fn waits_in_queue(&mut self) -> String {
        let caller = self.caller();
        self.say(&format!("newstate {caller} Up"));
        self.say(&format!("event QueueCallerJoin {caller} Queue=help Position=1 Count=1"));
        caller
    }

    fn offered(&mut self, agent: &str, caller: &str) -> String {
        let phone = self.called(agent, caller);
        self.say(&format!("event AgentCalled {caller} Dest:{phone} Queue=help Interface=PJSIP/{agent}"));
        self.say(&format!("dial {caller} > {phone} string=PJSIP/{agent}"));
        self.truth.rang.insert(agent.to_owned());
        phone
    }

    fn called(&mut self, extension: &str, by: &str) -> String {
        self.channel(extension, &format!("linkedid={by} from={extension}"))
    }

    /// `to` picks up what `by` called; `extension` is the employee among them.
    fn answered(&mut self, bridge: &str, by: &str, to: &str, extension: &str) {
        let name = self.bridge(bridge);
        self.say(&format!("answer {name} {by} > {to}"));
        self.heard(extension);
    }

    fn joined(&mut self, bridge: &str, one: &str, other: &str, extension: &str) {
        let name = self.bridge(bridge);
        self.say(&format!("bridge {name} {one} {other}"));
        self.heard(extension);
    }

    fn heard(&mut self, extension: &str) {
        self.truth.answered_by.push(extension.to_owned());
        if self.truth.answer.is_none() {
            let answer = Answer { at: self.now, by: extension.to_owned(), told: self.blocks.len() };
            self.truth.wait = self.now - self.truth.begun;
            self.truth.answer = Some(answer);
            self.truth.status = Some(4);
        }
    }

    fn bye(&mut self, bridge: &str, one: &str, other: &str) {
        if let Some(answer) = &self.truth.answer {
            self.truth.talk = self.now - answer.at;
        }
        let (first, second) = if self.dice.chance(500) { (one, other) } else { (other, one) };
        self.say(&format!("bye {} {first} {second}", self.bridge(bridge)));
    }

    fn bridge(&self, name: &str) -> String {
        format!("b-{}-{name}", self.call)
    }

    /// Makes a channel and returns its uniqueid.
    fn channel(&mut self, peer: &str, options: &str) -> String {
        *self.counter += 1;
        let uniqueid = format!("{}.{}", crate::world::PBX_EPOCH + self.now / SECOND, self.counter);
        self.say(&format!("newchannel PJSIP/{peer}-{:08x} {uniqueid} {options}", self.counter));
        self.truth.channels.insert(uniqueid.clone());
        uniqueid
    }

    fn number(&mut self) -> String {
        let number = format!("916{:07}", self.dice.between(0, 10_000_000));
        self.truth.phone = Some(number.clone());
        number
    }

    fn extensions<const N: usize>(&mut self) -> [String; N] {
        self.some_extensions(N).try_into().expect("as many as were asked for")
    }

    fn some_extensions(&mut self, count: usize) -> Vec<String> {
        let first = self.dice.between(0, 10);
        (0..count as u64).map(|step| (101 + (first + step * 3) % 10).to_string()).collect()
    }

    fn pause(&mut self, low_ms: u64, high_ms: u64) {
        self.now += self.dice.between(low_ms * MILLI, high_ms * MILLI);
    }

    /// One line of the stage; every event of it becomes a block.
    fn say(&mut self, line: &str) {
        self.stage.now_micros = i64::try_from(self.now).expect("worlds last days");
        let mut words = line.split(' ').map(str::to_owned);
        let verb = words.next().expect("a line has a verb");
        self.stage.act(&verb, &Words::new(words.collect()));
        let bytes = std::mem::take(&mut self.stage.bytes);
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
            let (block, after) = rest.split_at(end + 4);
            let index = self.blocks.len();
            self.blocks.push(Block { at: self.now, call: self.call, index, text: block.to_vec() });
            rest = after;
        }
        self.now += TICK;
    }

    fn end(mut self) -> (Truth, Vec<Block>) {
        self.truth.ended = self.now;
        self.truth.events = self.blocks.len();
        if self.truth.answer.is_none() && self.truth.wait == 0 {
            self.truth.wait = self.truth.ended - self.truth.begun;
        }
        (self.truth, self.blocks)
    }
}
