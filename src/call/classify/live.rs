//! Pure: calls in progress as they are told to people who watch: who rings, who talks, since when. It is
//! what the records would say if the calls ended at this moment; nothing of it is final.

use serde::{Deserialize, Serialize};

use crate::call::classify::{Case, Setting, internal};
use crate::call::conversation::{self, Conversation};
use crate::call::facts::{BridgeKind, CallFacts, Channel};
use crate::call::id::CallId;
use crate::call::record::{CallRecord, Direction, Side};
use crate::call::talk::{self, Talk};
use crate::time::PbxTime;

/// One call in progress.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct LiveCall {
    /// The id that it will have, by what is known so far.
    pub call_id: CallId,
    pub direction: Direction,
    /// The outside number, as it would be sent.
    pub phone: Option<String>,
    /// The label of its line, or our number.
    pub line: Option<String>,
    pub queue: Option<String>,
    pub state: LiveState,
    /// Since when it is in this state.
    pub since: PbxTime,
    /// Extensions that have the outside party on the line.
    pub talking: Vec<String>,
    /// Extensions that ring.
    pub ringing: Vec<String>,
    /// On whom it would be booked: of an outgoing call whoever dialled.
    pub extension: Option<String>,
    pub started_at: PbxTime,
    /// When somebody first talked.
    pub answered_at: Option<PbxTime>,
}

/// What a call does at this moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LiveState {
    /// In a menu, an announcement, on the way: nobody rings.
    DialPlan,
    /// Waits in a queue, and nobody rings.
    Queued,
    /// Somebody is called: one of us, or the number outside.
    Ringing,
    Talking,
    /// Whoever talked has him on hold.
    Held,
    Parked,
    /// The outside party is gone, or nobody is left: the record comes within seconds.
    Ending,
}

impl LiveState {
    pub const ALL: [Self; 7] =
        [Self::DialPlan, Self::Queued, Self::Ringing, Self::Talking, Self::Held, Self::Parked, Self::Ending];
}

/// The calls of one group of channels: one for each outside party, one for a call among ourselves, none
/// where nobody takes part.
pub fn live(facts: &CallFacts, setting: Setting<'_>) -> Vec<LiveCall> {
    let conversations = conversation::conversations(facts);
    if conversations.is_empty() {
        return among_ourselves(facts, setting).into_iter().collect();
    }
    let of_party = |conversation: &Conversation| {
        let is_own = |leg: &usize| conversation.legs.contains(leg) || conversation.proxy(*leg).is_some();
        let legs = conversations.iter().flat_map(|conversation| &conversation.legs).copied();
        with_party(facts, conversation, legs.filter(|leg| !is_own(leg)).collect(), setting)
    };
    conversations.iter().map(of_party).collect()
}

fn with_party(
    facts: &CallFacts,
    conversation: &Conversation,
    others: Vec<usize>,
    setting: Setting<'_>,
) -> LiveCall {
    let is_person = |channel: usize| {
        facts.channels[channel].side == Side::Inside || conversation.proxy(channel).is_some()
    };
    let talks = talk::talks(facts, &conversation.legs, is_person);
    let mut case = Case { facts, conversation, others, talks, why: Vec::new() };
    let record = case.record(setting);
    let proxies = conversation.proxies.iter().map(|proxy| (&facts.channels[proxy.leg], &proxy.extension));
    let phones = case.called().map(|channel| (channel, channel.extension.as_deref()));
    let called = phones.chain(proxies.map(|(channel, extension)| (channel, extension.as_deref())));
    let scene = Scene { facts, party: &conversation.legs, talks: &case.talks, called: called.collect() };
    let talking = scene.talking(|channel| match conversation.proxy(channel) {
        Some(proxy) => proxy.extension.as_deref(),
        None => facts.channels[channel].extension.as_deref(),
    });
    scene.tell(record, talking)
}

fn among_ourselves(facts: &CallFacts, setting: Setting<'_>) -> Option<LiveCall> {
    let (party, talks, record) = internal::understood(facts, setting)?;
    let is_phone =
        |channel: &&Channel| !channel.guest && channel.side == Side::Inside && channel.was_called();
    let called = facts.channels.iter().filter(is_phone).map(|c| (c, c.extension.as_deref()));
    let scene = Scene { facts, party: &[party], talks: &talks, called: called.collect() };
    let talking = scene.talking(|channel| facts.channels[channel].extension.as_deref());
    Some(scene.tell(record, talking))
}

/// What goes on around one party at this moment.
struct Scene<'f> {
    facts: &'f CallFacts,
    party: &'f [usize],
    talks: &'f [Talk],
    /// Phones that were called for it, and whose they are.
    called: Vec<(&'f Channel, Option<&'f str>)>,
}

impl<'f> Scene<'f> {
    fn tell(&self, record: CallRecord, talking: Vec<String>) -> LiveCall {
        let (state, since) = self.state(&record);
        let ringing = self.ringing().filter_map(|(_, extension)| extension);
        LiveCall {
            call_id: record.call_id,
            direction: record.direction,
            phone: record.phone_e164.or(record.phone).or(record.phone_raw),
            line: record.line.label.or(record.did),
            queue: record.queue,
            state,
            since,
            // The end of a talk and the end of the call may be one moment.
            talking: if state == LiveState::Ending { Vec::new() } else { talking },
            ringing: super::in_order(ringing),
            extension: record.responsible,
            started_at: record.started_at,
            answered_at: record.answered_at,
        }
    }

    fn state(&self, record: &CallRecord) -> (LiveState, PbxTime) {
        let legs = || self.party.iter().map(|leg| &self.facts.channels[*leg]);
        if legs().all(|leg| leg.gone.is_some() || leg.hangup_requested.is_some()) {
            let left = legs().map(|leg| leg.left(self.facts.ended)).max();
            return (LiveState::Ending, left.unwrap_or(self.facts.ended));
        }
        if let Some(since) = legs().find_map(parked_since) {
            return (LiveState::Parked, since);
        }
        if let Some(since) = self.active().map(|talk| talk.from).min() {
            let held = self.active().map(|talk| held_since(&self.facts.channels[talk.channel]));
            let held: Option<Vec<PbxTime>> = held.collect();
            let held = held.and_then(|held| held.into_iter().max());
            return held.map_or((LiveState::Talking, since), |since| (LiveState::Held, since));
        }
        let dialled = legs().filter(|leg| rings(leg));
        let ringing = self.ringing().map(|(channel, _)| channel).chain(dialled);
        if let Some(since) = ringing.filter_map(|channel| channel.dials.last()).map(|dial| dial.at).min() {
            return (LiveState::Ringing, since);
        }
        let talked = self.talks.iter().map(|talk| talk.to).max();
        let idle = talked.unwrap_or(record.started_at);
        let queued = legs().filter_map(|leg| leg.extras.queue_joined).max();
        match queued.filter(|queued| *queued >= idle) {
            Some(queued) => (LiveState::Queued, queued),
            None => (LiveState::DialPlan, idle),
        }
    }

    /// Talks that go on.
    fn active(&self) -> impl Iterator<Item = &'f Talk> {
        self.talks
            .iter()
            .filter(|talk| talk.to >= self.facts.ended && self.facts.channels[talk.channel].gone.is_none())
    }

    fn ringing(&self) -> impl Iterator<Item = (&'f Channel, Option<&'f str>)> {
        self.called.iter().copied().filter(|(channel, _)| rings(channel))
    }

    fn talking<'n>(&self, name: impl Fn(usize) -> Option<&'n str>) -> Vec<String> {
        super::in_order(self.active().filter_map(|talk| name(talk.channel)))
    }
}

/// Whether it is being called, and has not answered.
fn rings(channel: &Channel) -> bool {
    let is_open = channel.dials.last().is_some_and(|dial| dial.end.is_none());
    is_open && channel.stays.is_empty() && channel.gone.is_none() && channel.hangup_requested.is_none()
}

fn held_since(channel: &Channel) -> Option<PbxTime> {
    channel.holds.last().filter(|hold| hold.to.is_none()).map(|hold| hold.from)
}

fn parked_since(channel: &Channel) -> Option<PbxTime> {
    let stay = channel.stays.last().filter(|stay| stay.to.is_none() && stay.kind == BridgeKind::Holding);
    stay.filter(|_| channel.extras.parked.is_some()).map(|stay| stay.from)
}
