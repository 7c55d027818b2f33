//! Pure: the media graph. Two channels hear each other while bridges and Local pairs connect them;
//! neither a channel's state nor `DialEnd ANSWER` says so.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::call::conversation::index;
use crate::call::facts::{BridgeKind, CallFacts};
use crate::call::name;
use crate::time::PbxTime;

/// A channel's time with the outside party.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Talk {
    pub channel: usize,
    pub from: PbxTime,
    pub to: PbxTime,
}

/// Asterisk takes Local channels out of a running call within milliseconds; a break shorter than
/// this is none.
const GAP: Duration = Duration::from_secs(2);

/// The shortest time.
const MOMENT: Duration = Duration::from_micros(1);

/// When each of the channels for which `is_person` holds was connected with any of `legs`, by
/// beginning. Each channel's breaks under two seconds are bridged over; an employee who asks a
/// colleague while the outside party waits in their bridge still has him on the line.
pub fn talks(facts: &CallFacts, legs: &[usize], is_person: impl Fn(usize) -> bool) -> Vec<Talk> {
    let mut graph = Graph::new(facts);
    let mut open: BTreeMap<usize, Open> = BTreeMap::new();
    let mut talks: Vec<Talk> = Vec::new();
    let moves = moves(facts);
    let mut rest = moves.as_slice();
    while let Some(first) = rest.first() {
        let now = first.at;
        let same = rest.iter().take_while(|step| step.at == now).count();
        rest[..same].iter().for_each(|step| graph.apply(step));
        rest = &rest[same..];
        let heard = graph.connected(facts, legs);
        open.retain(|channel, talk| {
            let still = heard.contains(channel)
                || (graph.waits_in(legs, talk.bridge) && facts.channels[*channel].left(facts.ended) > now);
            if !still {
                close(&mut talks, Talk { channel: *channel, from: talk.from, to: now });
            }
            still
        });
        let bridge = legs.iter().find_map(|leg| graph.bridge_of[*leg]);
        for channel in heard.into_iter().filter(|channel| is_person(*channel)) {
            open.entry(channel).and_modify(|talk| talk.bridge = bridge).or_insert(Open { from: now, bridge });
        }
    }
    for (channel, Open { from, .. }) in open {
        close(&mut talks, Talk { channel, from, to: facts.ended });
    }
    talks.sort_by_key(|talk| (talk.from, talk.channel));
    talks
}

/// A talk that goes on.
#[derive(Clone, Copy, Debug)]
struct Open {
    from: PbxTime,
    /// The bridge in which the outside party hears, or waits for, the employee.
    bridge: Option<u32>,
}

/// From the first moment of `talks` to the last.
pub fn span(talks: &[Talk]) -> Option<(PbxTime, PbxTime)> {
    let from = talks.iter().map(|talk| talk.from).min()?;
    let to = talks.iter().map(|talk| talk.to).max()?;
    Some((from, to))
}

/// The time between the two ends of [`span`].
pub fn length(talks: &[Talk]) -> Duration {
    span(talks).map_or(Duration::ZERO, |(from, to)| to.since(from))
}

/// The time that `talks` cover together.
pub fn covered(talks: &[Talk]) -> Duration {
    let (mut sum, mut reached) = (Duration::ZERO, None::<PbxTime>);
    for talk in talks {
        let from = reached.map_or(talk.from, |reached| reached.max(talk.from));
        sum += talk.to.since(from);
        reached = Some(reached.map_or(talk.to, |reached| reached.max(talk.to)));
    }
    sum
}

fn close(talks: &mut Vec<Talk>, talk: Talk) {
    let last = talks.iter_mut().rfind(|last| last.channel == talk.channel);
    match last {
        Some(last) if talk.from.since(last.to) < GAP => last.to = last.to.max(talk.to),
        _ => talks.push(talk),
    }
}

/// A channel enters or leaves a bridge, or hangs up.
#[derive(Clone, Copy, Debug)]
struct Move {
    at: PbxTime,
    channel: usize,
    kind: MoveKind,
}

/// In the order in which they count at one time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum MoveKind {
    Leaves(u32),
    Enters(u32, BridgeKind),
    HangsUp,
}

/// All moves in order of time; at one time people leave before others enter.
fn moves(facts: &CallFacts) -> Vec<Move> {
    let mut moves = Vec::new();
    for (channel, of) in facts.channels.iter().enumerate() {
        for stay in of.stays.iter().filter(|stay| stay.kind != BridgeKind::Holding) {
            // A stay that the end of the input cut at its first moment has been one.
            let to = stay.to.unwrap_or_else(|| of.end(facts.ended).max(stay.from.after(MOMENT)));
            if to > stay.from {
                moves.push(Move { at: stay.from, channel, kind: MoveKind::Enters(stay.bridge, stay.kind) });
                moves.push(Move { at: to, channel, kind: MoveKind::Leaves(stay.bridge) });
            }
        }
        if !of.stays.is_empty() {
            moves.push(Move { at: of.left(facts.ended), channel, kind: MoveKind::HangsUp });
        }
    }
    moves.sort_by_key(|step| (step.at, step.kind));
    moves
}

/// Who is in which bridge at one moment.
struct Graph {
    bridge_of: Vec<Option<u32>>,
    bridges: BTreeMap<u32, Room>,
}

struct Room {
    kind: BridgeKind,
    members: Vec<usize>,
}

impl Graph {
    fn new(facts: &CallFacts) -> Self {
        Self { bridge_of: vec![None; facts.channels.len()], bridges: BTreeMap::new() }
    }

    fn apply(&mut self, step: &Move) {
        match step.kind {
            MoveKind::Enters(bridge, kind) => {
                self.bridge_of[step.channel] = Some(bridge);
                let room = self.bridges.entry(bridge).or_insert(Room { kind, members: Vec::new() });
                room.members.push(step.channel);
            }
            MoveKind::Leaves(bridge) => {
                if let Some(room) = self.bridges.get_mut(&bridge) {
                    room.members.retain(|member| *member != step.channel);
                }
                if self.bridge_of[step.channel] == Some(bridge) {
                    self.bridge_of[step.channel] = None;
                }
            }
            MoveKind::HangsUp => {}
        }
    }

    /// Whether the outside party is in `bridge`, where only its own call meets.
    fn waits_in(&self, legs: &[usize], bridge: Option<u32>) -> bool {
        let Some(room) = bridge.and_then(|bridge| self.bridges.get(&bridge)) else { return false };
        room.kind == BridgeKind::Mixing && room.members.iter().any(|member| legs.contains(member))
    }

    /// Everybody whom any of `legs` hears through bridges and Local pairs.
    fn connected(&self, facts: &CallFacts, legs: &[usize]) -> Vec<usize> {
        let mut heard: Vec<usize> = Vec::new();
        let mut bridges: Vec<u32> = Vec::new();
        let mut ahead: Vec<u32> = legs.iter().filter_map(|leg| self.bridge_of[*leg]).collect();
        while let Some(bridge) = ahead.pop() {
            if bridges.contains(&bridge) {
                continue;
            }
            bridges.push(bridge);
            for &member in self.bridges.get(&bridge).into_iter().flat_map(|room| &room.members) {
                heard.push(member);
                let channel = &facts.channels[member];
                let peer = channel.peer.filter(|_| channel.kind == name::Kind::Local).map(index);
                ahead.extend(peer.and_then(|peer| self.bridge_of[peer]));
            }
        }
        heard
    }
}
