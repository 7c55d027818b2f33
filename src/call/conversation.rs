//! Pure: the conversations with outside parties in a call that ended.
//!
//! An outside leg that called us opens an inbound conversation. One that we called opens an
//! outbound conversation for whoever is at the root of its dial chain; trunk failover and
//! redialling within one chain stay one conversation. One that an outside party's own call reached
//! (a forward or transfer to a mobile) is no party but the employee's other phone: a proxy.

use std::time::Duration;

use crate::call::facts::{BridgeKind, CallFacts, Channel, ChannelIndex, Origin, Stay};
use crate::call::name;
use crate::call::record::{Direction, Side};
use crate::call::side::is_short;
use crate::call::why::{DirectionRule, ForwardRule};
use crate::time::PbxTime;

/// One outside party's part in a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conversation {
    pub direction: Direction,
    pub rule: DirectionRule,
    /// The channel that gives the call its id: the outside channel when inbound, the root of its
    /// dial chain when outbound.
    pub opener: usize,
    /// The outside party's channels, several where trunks failed over.
    pub legs: Vec<usize>,
    pub proxies: Vec<Proxy>,
    /// Counts the conversations of one opener, from 1.
    pub ordinal: u32,
}

/// An outside phone on which an employee takes part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proxy {
    pub leg: usize,
    pub extension: Option<String>,
    pub rule: ForwardRule,
}

/// The start of a dial chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Root {
    /// This channel called the PBX (or was there before).
    Channel(usize),
    /// The PBX dialled by itself, this channel first.
    Pbx(usize),
    /// The chain passes through another outside leg, which is the party.
    Outside(usize),
}

/// The conversations of a call; none when no trunk took part.
pub fn conversations(facts: &CallFacts) -> Vec<Conversation> {
    let mut found: Vec<Conversation> = Vec::new();
    let mut proxies: Vec<(usize, usize)> = Vec::new();
    let outside = facts.channels.iter().enumerate().filter(|(_, c)| c.side == Side::Outside && !c.guest);
    for (leg, channel) in outside {
        if !channel.was_called() {
            found.push(Conversation::new(Direction::Inbound, DirectionRule::TrunkCalledIn, leg, leg));
            continue;
        }
        match root(facts, leg) {
            Root::Outside(party) => proxies.push((leg, party)),
            Root::Channel(opener) => join(facts, &mut found, DirectionRule::ExtensionDialledOut, opener, leg),
            Root::Pbx(opener) if opener == leg => {
                join(facts, &mut found, DirectionRule::PbxDialledOut, opener, leg);
            }
            Root::Pbx(opener) => match consulting(facts, &found, opener) {
                Some(party) => proxies.push((leg, party)),
                None => join(facts, &mut found, DirectionRule::ClickToCall, opener, leg),
            },
        }
    }
    if facts.channels.iter().any(|channel| channel.side == Side::Inside && !channel.guest) {
        far_phones(facts, &mut found, &mut proxies);
    } else {
        merge_pbx_made(&mut found, &mut proxies);
    }
    for (leg, party) in proxies {
        let (extension, rule) = stands_for(facts, leg, party);
        if let Some(conversation) = found.iter_mut().find(|c| c.legs.contains(&party)) {
            conversation.proxies.push(Proxy { leg, extension, rule });
        }
    }
    join_given_away(facts, &mut found);
    found.retain(|conversation| !conversation.legs.iter().all(|leg| facts.channels[*leg].reported));
    found
}

/// An employee asked somebody outside and then gave the party to him: they talk on without the
/// employee, as after a transfer to a mobile.
fn join_given_away(facts: &CallFacts, found: &mut [Conversation]) {
    for later in 1..found.len() {
        let (earlier, rest) = found.split_at_mut(later);
        let Conversation { rule: DirectionRule::ExtensionDialledOut, opener, legs, .. } = &rest[0] else {
            continue;
        };
        let Some(extension) = facts.channels[*opener].extension.as_deref() else { continue };
        let (legs, extension) = (legs.clone(), Some(extension.to_owned()));
        let with = |c: &&mut Conversation| c.legs.iter().any(|leg| legs.iter().any(|l| met(facts, *leg, *l)));
        if let Some(party) = earlier.iter_mut().find(with) {
            let proxy = |leg| Proxy { leg, extension: extension.clone(), rule: ForwardRule::Transferred };
            party.proxies.extend(legs.iter().copied().map(proxy));
        }
    }
}

/// Whether two channels were in one bridge at the same time, other than a conference's.
fn met(facts: &CallFacts, a: usize, b: usize) -> bool {
    let (a, b) = (&facts.channels[a], &facts.channels[b]);
    let end = |channel: &Channel, stay: &Stay| stay.to.unwrap_or_else(|| channel.end(facts.ended));
    a.stays.iter().filter(|stay| stay.kind == BridgeKind::Mixing).any(|mine| {
        let with = |other: &Stay| {
            other.bridge == mine.bridge && other.from < end(a, mine) && mine.from < end(b, other)
        };
        b.stays.iter().any(with)
    })
}

impl Conversation {
    fn new(direction: Direction, rule: DirectionRule, opener: usize, leg: usize) -> Self {
        Self { direction, rule, opener, legs: vec![leg], proxies: Vec::new(), ordinal: 1 }
    }

    pub fn proxy(&self, leg: usize) -> Option<&Proxy> {
        self.proxies.iter().find(|proxy| proxy.leg == leg)
    }
}

/// The PBX called an employee and then the party for him, each by one half of a Local pair: an outside
/// phone that was called by the employee's half is his, as where his desk phone forwards to a mobile.
fn far_phones(facts: &CallFacts, found: &mut Vec<Conversation>, proxies: &mut Vec<(usize, usize)>) {
    let is_click = |c: &Conversation| c.rule == DirectionRule::ClickToCall;
    let Some(opener) = found.iter().rfind(|c| is_click(c) && c.ordinal > 1).map(|c| c.opener) else { return };
    let inside = facts.channels.iter().enumerate().filter(|(_, c)| c.side == Side::Inside && c.was_called());
    let near: Vec<usize> = inside.map(|(at, _)| first_dialler(facts, at)).collect();
    let is_near = |c: &Conversation| near.contains(&first_dialler(facts, c.legs[0]));
    let is_one = |c: &Conversation| is_click(c) && c.opener == opener;
    let Some(party) = found.iter().find(|c| is_one(c) && !is_near(c)).map(|c| c.legs[0]) else { return };
    proxies.extend(
        found.iter().filter(|c| is_one(c) && is_near(c)).flat_map(|c| &c.legs).map(|leg| (*leg, party)),
    );
    found.retain(|c| !(is_one(c) && is_near(c)));
    for (ordinal, conversation) in (1..).zip(found.iter_mut().filter(|c| c.opener == opener)) {
        conversation.ordinal = ordinal;
    }
}

/// The last channel on the way up the dial chain of `leg`.
fn first_dialler(facts: &CallFacts, leg: usize) -> usize {
    let mut at = leg;
    for _ in 0..facts.channels.len() {
        match dialler(facts, at) {
            Some(up) => at = up,
            None => break,
        }
    }
    at
}

/// The PBX called two outside phones and joined them, and nobody inside took part: the first was some
/// employee's, the last is the party for whom it was done.
fn merge_pbx_made(found: &mut Vec<Conversation>, proxies: &mut Vec<(usize, usize)>) {
    let Some(last) = found.iter().rfind(|c| c.rule == DirectionRule::ClickToCall) else { return };
    let (opener, party) = (last.opener, last.legs[0]);
    let is_first =
        |c: &Conversation| c.rule == DirectionRule::ClickToCall && c.opener == opener && c.legs[0] != party;
    proxies.extend(found.iter().filter(|c| is_first(c)).flat_map(|c| &c.legs).map(|leg| (*leg, party)));
    found.retain(|conversation| !is_first(conversation));
    for conversation in found.iter_mut().filter(|c| c.opener == opener) {
        conversation.ordinal = 1;
    }
}

/// Adds an outside leg that we called to its opener's conversation with the same number, or opens
/// another one.
fn join(facts: &CallFacts, found: &mut Vec<Conversation>, rule: DirectionRule, opener: usize, leg: usize) {
    let number = sent_number(&facts.channels[leg]);
    let same = found.iter_mut().find(|conversation| {
        conversation.opener == opener
            && conversation.legs.iter().any(|known| same_party(number, sent_number(&facts.channels[*known])))
    });
    if let Some(conversation) = same {
        conversation.legs.push(leg);
        return;
    }
    let ordinal = found.iter().filter(|conversation| conversation.opener == opener).count();
    let mut conversation = Conversation::new(Direction::Outbound, rule, opener, leg);
    conversation.ordinal = u32::try_from(ordinal).unwrap_or(u32::MAX).saturating_add(1);
    found.push(conversation);
}

/// The number that the PBX sent through the trunk for this leg.
pub fn sent_number(leg: &Channel) -> Option<&str> {
    leg.dials.iter().find_map(|dial| dial.number.as_deref())
}

/// Equal in the digits that a local and an international form share. Legs whose number is not
/// known cannot be told apart and count as one party.
fn same_party(a: Option<&str>, b: Option<&str>) -> bool {
    const TAIL: usize = 7;
    let (Some(a), Some(b)) = (a, b) else { return true };
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).collect::<Vec<u8>>();
    let (a, b) = (digits(a), digits(b));
    let tail = TAIL.min(a.len()).min(b.len());
    a[a.len() - tail..] == b[b.len() - tail..] && (tail == TAIL || a == b)
}

/// Walks the dial chain of `leg` up to its start.
fn root(facts: &CallFacts, leg: usize) -> Root {
    let mut at = leg;
    for _ in 0..facts.channels.len() {
        let channel = &facts.channels[at];
        if at != leg && channel.side == Side::Outside {
            return Root::Outside(at);
        }
        match dialler(facts, at) {
            Some(by) => at = by,
            // Both halves of a pair are one root.
            None if channel.kind == name::Kind::Local => {
                return Root::Pbx(channel.peer.map_or(at, |peer| at.min(index(peer))));
            }
            None if channel.origin == Origin::Created && !channel.dials.is_empty() => return Root::Pbx(at),
            None => return Root::Channel(at),
        }
    }
    Root::Channel(at) // a circle: forged or damaged
}

/// Who called this channel, and in the end: whoever is given a call that still rings takes its dial
/// over. The call of one half of a Local pair goes on from the other half.
pub(super) fn dialler(facts: &CallFacts, at: usize) -> Option<usize> {
    let by = |at: usize| facts.channels[at].dials.iter().rev().find_map(|dial| dial.by).map(index);
    by(at).or_else(|| {
        let channel = &facts.channels[at];
        let peer = (channel.kind == name::Kind::Local).then_some(channel.peer).flatten().map(index)?;
        by(peer)
    })
}

/// The party for whom the PBX dialled by itself in the middle of a conversation (feature-code and
/// AMI attended transfers make a Local channel so).
fn consulting(facts: &CallFacts, found: &[Conversation], opener: usize) -> Option<usize> {
    let at = facts.channels[opener].born;
    let talking = |leg: &&usize| {
        let leg = &facts.channels[**leg];
        leg.born < at && leg.end(facts.ended) > at && leg.stays.iter().any(|stay| stay.from < at)
    };
    found.iter().flat_map(|conversation| &conversation.legs).find(talking).copied()
}

/// The extension whose outside phone `leg` is, seen from `party`'s conversation.
fn stands_for(facts: &CallFacts, leg: usize, party: usize) -> (Option<String>, ForwardRule) {
    let chain = chain(facts, leg);
    let said = chain.iter().find_map(|at| facts.channels[*at].extras.forwarded_by.as_deref());
    let dialled_at = facts.channels[leg].dials.first().map_or(facts.channels[leg].born, |dial| dial.at);
    if let Some(extension) = forwarding_phone(facts, &chain, dialled_at) {
        return (Some(extension), ForwardRule::ByPhone);
    }
    if let Some(extension) = said {
        return (Some(extension.to_owned()), ForwardRule::ByDialPlan);
    }
    let transfer = facts.channels[party].extras.transfers.iter().rfind(|transfer| transfer.at <= dialled_at);
    if let Some(by) = transfer.map(|transfer| &facts.channels[index(transfer.by)]) {
        return (by.extension.as_deref().map(str::to_owned), ForwardRule::Transferred);
    }
    let meant = chain.iter().find_map(|at| {
        let channel = &facts.channels[*at];
        let local = name::local_extension(&channel.name);
        local.map(str::to_owned).or_else(|| channel.extras.meant.last().map(ToString::to_string))
    });
    if let Some(extension) = meant {
        return (Some(extension), ForwardRule::ByDialPlan);
    }
    // Through a trunk to another office, where extensions are called by their own numbers.
    if let Some(extension) = sent_number(&facts.channels[leg]).filter(|number| is_short(number)) {
        return (Some(extension.to_owned()), ForwardRule::ByDialPlan);
    }
    match called_with(facts, &chain, party, dialled_at) {
        Some(extension) => (Some(extension), ForwardRule::CalledWith),
        None => (None, ForwardRule::Unknown),
    }
}

/// The one extension that was called for the party as well, before the outside phone or together with
/// it: a desk and the mobile of whoever sits there. Members of a queue have nothing to do with one
/// another.
fn called_with(facts: &CallFacts, own: &[usize], party: usize, dialled_at: PbxTime) -> Option<String> {
    const TOGETHER: Duration = Duration::from_secs(1);
    if own.iter().any(|at| facts.channels[*at].extras.queue.is_some()) {
        return None;
    }
    let in_time =
        |channel: &Channel| channel.dials.first().is_some_and(|dial| dial.at <= dialled_at.after(TOGETHER));
    let called = facts
        .channels
        .iter()
        .enumerate()
        .filter(|(_, channel)| channel.side == Side::Inside && channel.was_called() && in_time(channel));
    let called = called.filter(|(at, _)| chain(facts, *at).contains(&party));
    let mut called = called.filter_map(|(_, channel)| channel.extension.as_deref());
    let first = called.next()?;
    called.all(|other| other == first).then(|| first.to_owned())
}

/// The phone that answered a call with "moved to …" (302), whose dialler went on to `chain`.
fn forwarding_phone(facts: &CallFacts, chain: &[usize], before: PbxTime) -> Option<String> {
    let sent_on = |channel: &&Channel| {
        channel.dials.iter().any(|dial| {
            let by_same = dial.by.is_some_and(|by| chain.contains(&index(by)));
            by_same && dial.end.as_ref().is_some_and(|end| end.forward.is_some() && end.at <= before)
        })
    };
    let phone = facts.channels.iter().filter(|channel| channel.side == Side::Inside).rfind(sent_on)?;
    phone.extension.as_deref().map(str::to_owned)
}

/// Every channel from `leg` up to the start of its dial chain, both halves of Local pairs.
pub(super) fn chain(facts: &CallFacts, leg: usize) -> Vec<usize> {
    let mut chain = vec![leg];
    let mut at = leg;
    while let Some(by) = dialler(facts, at) {
        if chain.contains(&by) {
            break;
        }
        chain.push(by);
        if let Some(peer) = facts.channels[by].peer.map(index) {
            chain.push(peer);
        }
        at = by;
    }
    chain
}

pub(super) fn index(channel: ChannelIndex) -> usize {
    channel as usize
}
