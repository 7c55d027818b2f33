//! Pure: the facts of a call as a story.

use crate::call::conversation::{self, Conversation, dialler, sent_number};
use crate::call::facts::{BridgeKind, CallFacts, Channel, Dial, Stay};
use crate::call::record::{Leg, Moment, Role, Side, Timeline, What};
use crate::call::side::evidence::Evidence;
use crate::call::talk::Talk;
use crate::time::PbxTime;

mod exchanges;

/// Moments that are kept of one call. A call with several transfers has some sixty.
const MOMENTS_MAX: usize = 200;
/// Legs that are kept of one call.
const LEGS_MAX: usize = 64;

/// What classification found out about a call.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'f> {
    /// `None` for a call among ourselves.
    pub conversation: Option<&'f Conversation>,
    /// Who talked with `party`.
    pub talks: &'f [Talk],
    /// The channels of the outside party; among ourselves that of whoever called.
    pub party: &'f [usize],
}

/// What the call's real channels did, in order. Helpers and Local halves are left out: their
/// dials show at the phones they reach.
pub fn timeline(facts: &CallFacts, findings: Findings<'_>) -> Timeline {
    let legs = Legs::of(facts, findings.talks);
    let talks = exchanges::exchanges(facts, findings, &legs);
    let mut moments: Vec<Moment> = legs
        .real()
        .filter(|channel| !facts.channels[*channel].guest)
        .flat_map(|channel| moments(facts, channel))
        .filter_map(|happening| happening.moment(&legs))
        .collect();
    moments.extend(exchanges::handovers(facts, &talks, &legs));
    moments.sort_by_key(|moment| moment.at);
    let over = moments.len().saturating_sub(MOMENTS_MAX);
    moments.truncate(MOMENTS_MAX);
    let leg = |channel: usize| leg(&facts.channels[channel], role(findings.conversation, channel));
    Timeline {
        legs: legs.real().map(leg).collect(),
        moments,
        talks: talks.into_iter().map(|talk| talk.exchange).collect(),
        dropped: u32::try_from(over).unwrap_or(u32::MAX),
    }
}

/// The numbers of the real channels among the legs.
struct Legs {
    /// By channel.
    numbers: Vec<Option<u16>>,
}

impl Legs {
    /// Of guests those who talked.
    fn of(facts: &CallFacts, talks: &[Talk]) -> Self {
        let mut next = 0..u16::try_from(LEGS_MAX).expect("LEGS_MAX fits");
        let talked = |channel: usize| talks.iter().any(|talk| talk.channel == channel);
        let mut number = |(at, channel): (usize, &Channel)| {
            let is_real = channel.side != Side::Helper && (!channel.guest || talked(at));
            is_real.then(|| next.next()).flatten()
        };
        Self { numbers: facts.channels.iter().enumerate().map(&mut number).collect() }
    }

    fn number(&self, channel: usize) -> Option<u16> {
        self.numbers.get(channel).copied().flatten()
    }

    /// The channels that have a number, in its order.
    fn real(&self) -> impl Iterator<Item = usize> {
        self.numbers.iter().enumerate().filter_map(|(channel, number)| number.map(|_| channel))
    }
}

/// A moment of a channel.
struct Happening {
    at: PbxTime,
    channel: usize,
    /// The other channel that had a part in it.
    with: Option<usize>,
    what: What,
}

impl Happening {
    fn moment(self, legs: &Legs) -> Option<Moment> {
        let Self { at, channel, with, what } = self;
        let leg = legs.number(channel)?;
        let with = with.and_then(|with| legs.number(with)).filter(|with| *with != leg);
        Some(Moment { at, leg, with, what })
    }
}

fn leg(channel: &Channel, role: Option<Role>) -> Leg {
    Leg {
        uniqueid: channel.uniqueid.to_string(),
        channel: channel.name.to_string(),
        side: channel.side,
        party: party(channel),
        role,
        configured: matches!(channel.evidence, Evidence::Configured | Evidence::Mobile),
    }
}

fn role(conversation: Option<&Conversation>, channel: usize) -> Option<Role> {
    let conversation = conversation?;
    if conversation.legs.contains(&channel) {
        return Some(Role::Party);
    }
    conversation.proxy(channel).map(|proxy| Role::Proxy(proxy.extension.clone()))
}

fn party(channel: &Channel) -> Option<String> {
    match channel.side {
        Side::Inside => channel.extension.as_deref().map(str::to_owned),
        Side::Outside | Side::Unknown | Side::Helper => {
            let sent = sent_number(channel);
            sent.or(channel.number.as_deref()).map(str::to_owned)
        }
    }
}

fn moments(facts: &CallFacts, index: usize) -> Vec<Happening> {
    let channel = &facts.channels[index];
    let alone = |(at, what)| Happening { at, channel: index, with: None, what };
    let mut moments: Vec<Happening> = lines(channel).into_iter().map(alone).collect();
    moments.extend(dials(facts, index));
    for transfer in &channel.extras.transfers {
        let what = What::Transferred { to: transfer.to.as_deref().map(str::to_owned) };
        let with = Some(conversation::index(transfer.by));
        moments.push(Happening { at: transfer.at, channel: index, with, what });
    }
    let first = |path: &str| {
        let before = facts.channels[..index].iter().flat_map(|other| &other.extras.recordings);
        before.into_iter().all(|other| *other.path != *path)
    };
    let recordings = channel.extras.recordings.iter().filter(|recording| first(&recording.path));
    moments.extend(recordings.map(|recording| alone((recording.at, What::Recorded))));
    moments
}

/// What a channel did on its own.
fn lines(channel: &Channel) -> Vec<(PbxTime, What)> {
    let mut moments = Vec::new();
    if !channel.was_called() {
        moments.push((channel.born, What::Started));
    }
    for stay in channel.stays.iter().filter(|stay| stay.kind != BridgeKind::Holding) {
        moments.push((stay.from, What::Joined));
        moments.extend(stay.to.map(|to| (to, What::Left)));
    }
    for hold in &channel.holds {
        moments.push((hold.from, What::Held));
        moments.extend(hold.to.map(|to| (to, What::Resumed)));
    }
    let extras = &channel.extras;
    if let Some((at, queue)) = extras.queue_joined.zip(extras.queue.as_deref()) {
        moments.push((at, What::Queued { queue: queue.to_owned() }));
    }
    moments.extend(extras.picked_up.map(|at| (at, What::PickedUp)));
    moments.extend(extras.parked.map(|at| (at, What::Parked)));
    moments.extend(extras.message_left.map(|at| (at, What::LeftMessage)));
    moments.extend(channel.hangup_requested.map(|at| (at, What::PutDown)));
    moments.extend(channel.gone.map(|gone| (gone.at, What::HungUp { cause: gone.cause.unwrap_or(0) })));
    moments
}

/// The tries to call a channel.
fn dials(facts: &CallFacts, channel: usize) -> impl Iterator<Item = Happening> {
    facts.channels[channel].dials.iter().flat_map(move |dial| {
        let rang = Happening { at: dial.at, channel, with: caller(facts, dial), what: What::Rang };
        let ended = dial.end.as_ref().map(|end| {
            let forward = end.forward.as_deref().map(str::to_owned);
            let what = What::DialEnded { status: end.status.as_str().to_owned(), forward };
            Happening { at: end.at, channel, with: None, what }
        });
        [Some(rang), ended].into_iter().flatten()
    })
}

/// The real channel behind a dial: of a Local pair whoever called it, or was in its bridge before.
fn caller(facts: &CallFacts, dial: &Dial) -> Option<usize> {
    let mut at = conversation::index(dial.by?);
    for _ in 0..facts.channels.len() {
        if facts.channels[at].side != Side::Helper {
            return Some(at);
        }
        match dialler(facts, at) {
            Some(by) => at = by,
            None => return beside(facts, at, dial.at),
        }
    }
    None // a circle: forged or damaged
}

/// Who was at `at` in the first bridge of this half of a Local pair, or of the other half: Asterisk
/// makes a pair for a consultation and for a call that a third party ordered.
fn beside(facts: &CallFacts, half: usize, at: PbxTime) -> Option<usize> {
    let peer = facts.channels[half].peer.map(conversation::index);
    let bridges = [Some(half), peer].into_iter().flatten();
    let mut bridges = bridges.filter_map(|half| facts.channels[half].stays.first()).map(|stay| stay.bridge);
    bridges.find_map(|bridge| {
        let is_there =
            |stay: &Stay| stay.bridge == bridge && stay.from <= at && stay.to.is_none_or(|to| to > at);
        let there = |channel: &Channel| channel.side != Side::Helper && channel.stays.iter().any(is_there);
        facts.channels.iter().position(there)
    })
}
