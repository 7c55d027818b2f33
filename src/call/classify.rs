//! Pure: an ended call and the policy to records, each with its reasons.

use std::time::Duration;

use crate::call::conversation::{self, Conversation};
use crate::call::facts::{CallFacts, Channel, Word};
use crate::call::id::{CallId, PbxName};
use crate::call::phone::Number;
use crate::call::policy::{Policy, Transfers};
use crate::call::record::{
    CallRecord, Direction, FinishedCall, HangupBy, Outcome, Seconds, Side, Skip, Source, TimeSource, VERSION,
};
use crate::call::talk::{self, Talk};
use crate::call::timeline::{self, Findings};
use crate::call::why::{DirectionRule, PartialRule, Why};
use crate::call::{name, phone};
use crate::time::PbxTime;

mod agents;
mod internal;
mod lines;
pub mod live;
mod outcome;
mod people;
mod recording;
mod said;
mod sending;

/// Channels that a record names. Real calls have some tens, after folding.
const UNIQUEIDS_MAX: usize = 128;

/// What every record of a stream has in common.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'s> {
    pub pbx: &'s PbxName,
    pub source: Source,
    pub policy: &'s Policy,
}

/// The records of a call that ended: one for each outside party, one for a call among ourselves,
/// none where nobody took part.
pub fn classify(facts: &CallFacts, setting: Setting<'_>) -> Vec<FinishedCall> {
    let conversations = conversation::conversations(facts);
    if conversations.is_empty() {
        return internal::classify(facts, setting).into_iter().collect();
    }
    let legs = || conversations.iter().flat_map(|conversation| &conversation.legs).copied();
    let records = |conversation: &Conversation| {
        let is_own = |leg: &usize| conversation.legs.contains(leg) || conversation.proxy(*leg).is_some();
        classify_one(facts, conversation, legs().filter(|leg| !is_own(leg)).collect(), setting)
    };
    conversations.iter().flat_map(records).collect()
}

/// Each once, in order of the first.
fn in_order<'s>(extensions: impl Iterator<Item = &'s str>) -> Vec<String> {
    let mut ordered: Vec<String> = Vec::new();
    for extension in extensions {
        if !ordered.iter().any(|known| known == extension) {
            ordered.push(extension.to_owned());
        }
    }
    ordered
}

/// A conversation and what the steps of classification found out about it.
struct Case<'f> {
    facts: &'f CallFacts,
    conversation: &'f Conversation,
    /// Legs of outside parties that have conversations of their own in this call.
    others: Vec<usize>,
    talks: Vec<Talk>,
    why: Vec<Why>,
}

fn classify_one(
    facts: &CallFacts,
    conversation: &Conversation,
    others: Vec<usize>,
    setting: Setting<'_>,
) -> Vec<FinishedCall> {
    let is_person = |channel: usize| {
        facts.channels[channel].side == Side::Inside || conversation.proxy(channel).is_some()
    };
    let talks = talk::talks(facts, &conversation.legs, is_person);
    let mut case = Case { facts, conversation, others, talks, why: Vec::new() };
    case.explain_direction();
    let record = case.record(setting);
    let party = &conversation.legs;
    let findings = Findings { conversation: Some(conversation), talks: &case.talks, party };
    let timeline = timeline::timeline(facts, findings);
    let says_no = said::says_no_sending(facts);
    let mut records = match setting.policy.transfers {
        Transfers::OneRecord => vec![record],
        Transfers::PerAgent => agents::split(record),
    };
    for record in &mut records {
        sending::decide(record, setting.policy, says_no);
    }
    records.into_iter().map(|record| FinishedCall { record, timeline: timeline.clone() }).collect()
}

impl<'f> Case<'f> {
    fn record(&mut self, setting: Setting<'_>) -> CallRecord {
        let opener = self.channel(self.conversation.opener);
        let (first, last) = (self.leg(), self.last_leg());
        let answered_at = self.talks.first().map(|talk| talk.from);
        let started_at = opener.born.min(first.born).min(self.clicked_at().unwrap_or(first.born));
        // Events in the wrong order, or a clock that was set, may let a talk come before its call, or after.
        let started_at = started_at.min(answered_at.unwrap_or(started_at));
        let ended_at =
            self.conversation.legs.iter().map(|leg| self.end(*leg)).max().unwrap_or(self.facts.ended);
        let ended_at = ended_at.max(answered_at.unwrap_or_else(|| self.given_up_at())).max(started_at);
        let phone_raw = self.phone_raw();
        let (number, no_phone) = self.number(phone_raw.as_deref(), setting.policy);
        let outcome = self.outcome();
        let did = self.did();
        let trunk = name::bare(name::endpoint(&last.name)).to_owned();
        let line = self.line(setting, did.as_deref(), Some(&trunk));
        let terms = line.map(|line| line.terms(self.conversation.direction)).unwrap_or_default();
        let people = self.people(setting.policy, line.and_then(|line| line.missed.as_ref()));
        let partial = self.partial();
        let skip = self.no_conversation(outcome).or(no_phone);
        CallRecord {
            v: VERSION,
            call_id: CallId::new(setting.pbx, &opener.uniqueid, self.conversation.ordinal),
            pbx: setting.pbx.clone(),
            account: line.and_then(|line| line.account.clone()).unwrap_or_default(),
            line: terms,
            direction: self.conversation.direction,
            phone: number.as_ref().map(|number| number.digits.clone()),
            phone_e164: number.and_then(|number| number.e164),
            phone_raw,
            did,
            trunk: Some(trunk),
            queue: self.queue(),
            account_code: Some(opener.account.to_string()).filter(|code| !code.is_empty()),
            answered: answered_at.is_some(),
            outcome,
            status: Some(self.status(outcome, setting.policy)),
            call_result: self.said(Word::Result),
            responsible: people.responsible,
            responsible_user: None,
            answered_by: people.answered_by,
            rang: people.rang,
            talk_seconds: Seconds::from_duration(talk::length(&self.talks)),
            bridged_seconds: Seconds::from_duration(talk::covered(&self.talks)),
            wait_seconds: Seconds::from_duration(answered_at.unwrap_or(ended_at).since(started_at)),
            hold_seconds: Seconds::from_duration(self.hold_time()),
            segments: people.segments,
            started_at,
            answered_at,
            ended_at,
            time: self.facts.time,
            hangup_cause: last.gone.and_then(|gone| gone.cause),
            hangup_by: self.hangup_by(),
            recording_hints: if answered_at.is_some() { self.recording_hints() } else { Vec::new() },
            recording: if answered_at.is_some() { self.recording() } else { None },
            message: self.message(outcome),
            uniqueids: self.uniqueids(),
            source: setting.source,
            partial,
            skip,
            why: std::mem::take(&mut self.why),
        }
    }

    /// Every channel of the call; of a crowd those of the outside party and whoever talked first.
    fn uniqueids(&self) -> Vec<String> {
        let text = |channel: &Channel| channel.uniqueid.to_string();
        if self.facts.channels.len() <= UNIQUEIDS_MAX {
            return self.own().map(text).collect();
        }
        let talked = self.talks.iter().map(|talk| talk.channel);
        let first = self.conversation.legs.iter().copied().chain([self.conversation.opener]).chain(talked);
        let first = first.map(|index| self.channel(index)).filter(|channel| !channel.guest).map(text);
        let mut ids = in_order(first.collect::<Vec<_>>().iter().map(String::as_str));
        ids.extend(self.own().map(text).take(UNIQUEIDS_MAX));
        ids.truncate(UNIQUEIDS_MAX);
        in_order(ids.iter().map(String::as_str))
    }

    /// The first leg of the outside party.
    fn leg(&self) -> &'f Channel {
        self.channel(self.conversation.legs[0])
    }

    /// The leg of the outside party on which the call ended: of several that were tried one after
    /// another or at once, the one that lasted longest.
    fn last_leg(&self) -> &'f Channel {
        let legs = self.conversation.legs.iter().map(|leg| self.channel(*leg));
        let ended = |leg: &&Channel| {
            let dial = leg.dials.iter().rev().find_map(|dial| dial.end.as_ref()).map(|end| end.at);
            (!leg.stays.is_empty(), dial.unwrap_or_else(|| leg.end(self.facts.ended)))
        };
        legs.max_by_key(ended).expect("a conversation has a leg")
    }

    /// The call's own channels; guests of its conferences are of other calls.
    fn own(&self) -> impl Iterator<Item = &'f Channel> + use<'f> {
        let facts: &'f CallFacts = self.facts;
        facts.channels.iter().filter(|channel| !channel.guest)
    }

    fn channel(&self, index: usize) -> &'f Channel {
        let facts: &'f CallFacts = self.facts;
        &facts.channels[index]
    }

    fn end(&self, channel: usize) -> PbxTime {
        self.channel(channel).left(self.facts.ended)
    }

    /// The outside number, and why there is none to send.
    fn number(&self, raw: Option<&str>, policy: &Policy) -> (Option<Number>, Option<Skip>) {
        let direction = self.conversation.direction;
        match phone::subscriber(raw, direction, &policy.numbers) {
            Ok(number) => (Some(number), None),
            Err(Skip::Anonymous) => match policy.anonymous_phone.as_deref() {
                Some(substitute) => (Some(phone::apply(substitute, direction, &policy.numbers).0), None),
                None => (None, Some(Skip::Anonymous)),
            },
            Err(skip) => (None, Some(skip)),
        }
    }

    fn status(&mut self, outcome: Outcome, policy: &Policy) -> u8 {
        let said = self.said(Word::Status).as_deref().and_then(said::status);
        said.unwrap_or_else(|| policy.status_of(outcome))
    }

    /// The last queue that the caller waited in.
    fn queue(&self) -> Option<String> {
        let queues = self.own().filter_map(|c| c.extras.queue_joined.zip(c.extras.queue.as_deref()));
        queues.max_by_key(|(at, _)| *at).map(|(_, queue)| queue.to_owned())
    }

    /// When the PBX called the employee for whom it then called the outside party, without a dial from
    /// one to the other: an application did both.
    fn clicked_at(&self) -> Option<PbxTime> {
        let first = self.talks.first().map(|talk| self.channel(talk.channel))?;
        let is_pbx_made = first.was_called() && first.dials.iter().all(|dial| dial.by.is_none());
        let is_click = self.conversation.rule == DirectionRule::PbxDialledOut && is_pbx_made;
        (is_click && first.side == Side::Inside).then_some(first.born)
    }

    /// When the side that began a call without talk gave it up.
    fn given_up_at(&self) -> PbxTime {
        match self.conversation.rule {
            DirectionRule::ExtensionDialledOut | DirectionRule::ClickToCall => {
                self.end(self.conversation.opener).min(self.facts.ended)
            }
            DirectionRule::TrunkCalledIn | DirectionRule::PbxDialledOut | DirectionRule::NoOutsideLeg => {
                self.leg().born
            }
        }
    }

    /// A fax machine has nothing to say, and neither has a supervisor who listens in from outside.
    fn no_conversation(&self, outcome: Outcome) -> Option<Skip> {
        let spies = self.conversation.legs.iter().any(|leg| self.channel(*leg).extras.spy);
        (outcome == Outcome::Fax || spies).then_some(Skip::NoConversation)
    }

    /// For how long employees who talked had the outside party on hold.
    fn hold_time(&self) -> Duration {
        let held = self.talks.iter().flat_map(|talk| {
            let holds = &self.channel(talk.channel).holds;
            holds.iter().map(|hold| hold.to.unwrap_or(talk.to).min(talk.to).since(hold.from.max(talk.from)))
        });
        held.sum()
    }

    fn did(&self) -> Option<String> {
        if self.conversation.direction != Direction::Inbound {
            return None;
        }
        let leg = self.leg();
        let dialled = Some(&*leg.exten).filter(|exten| !exten.is_empty() && *exten != "s");
        dialled.or(leg.extras.did.as_deref()).map(str::to_owned)
    }

    fn hangup_by(&self) -> Option<HangupBy> {
        let outside =
            self.conversation.legs.iter().filter_map(|leg| self.channel(*leg).hangup_requested).min();
        let inside = match self.talks.last() {
            Some(talk) => self.channel(talk.channel).hangup_requested,
            None => self.own().filter(|c| c.side == Side::Inside).filter_map(|c| c.hangup_requested).min(),
        };
        match (outside, inside) {
            (Some(outside), Some(inside)) if inside < outside => Some(HangupBy::Inside),
            (Some(_), _) => Some(HangupBy::Outside),
            (None, Some(_)) => Some(HangupBy::Inside),
            (None, None) => self.leg().gone.map(|_| HangupBy::Pbx),
        }
    }

    fn explain_direction(&mut self) {
        let Conversation { direction, rule, opener, .. } = *self.conversation;
        self.why.push(Why::Direction { direction, rule, channel: self.channel(opener).name.to_string() });
        let leg = self.last_leg();
        let endpoint = name::endpoint(&leg.name).to_owned();
        self.why.push(Why::Side { endpoint, side: leg.side, evidence: leg.evidence, weak: leg.weak });
        self.explain_weak_sides();
        for proxy in &self.conversation.proxies {
            self.why.push(Why::Forwarded { extension: proxy.extension.clone(), rule: proxy.rule });
        }
    }

    fn partial(&mut self) -> bool {
        let unborn = self.own().any(|channel| !channel.announced && channel.side != Side::Helper);
        if unborn {
            self.why.push(Why::Partial { rule: PartialRule::BeginNotSeen });
        }
        if self.facts.time != TimeSource::Event {
            self.why.push(Why::Time { source: self.facts.time });
        }
        if self.facts.cut {
            self.why.push(Why::Partial { rule: PartialRule::EndNotSeen });
        }
        unborn || self.facts.cut
    }
}
