//! Pure: calls in which no outside party took part. They are printed, never sent.

use crate::call::classify::{Setting, in_order};
use crate::call::facts::{CallFacts, Channel};
use crate::call::id::{AccountId, CallId};
use crate::call::name;
use crate::call::record::{
    CallRecord, Direction, FinishedCall, Outcome, Seconds, Segment, Side, Skip, VERSION,
};
use crate::call::talk::{self, Talk};
use crate::call::timeline;
use crate::call::why::{DirectionRule, OutcomeRule, Why};

/// The record of a call among ourselves; `None` when only helpers or reported channels were left.
pub(super) fn classify(facts: &CallFacts, setting: Setting<'_>) -> Option<FinishedCall> {
    let (first, opener) = own(facts).find(|(_, channel)| channel.side != Side::Helper)?;
    if facts.channels.iter().any(|channel| channel.reported) {
        return None;
    }
    let is_other = |channel: usize| channel != first && facts.channels[channel].side != Side::Helper;
    let talks = talk::talks(facts, &[first], is_other);
    let record = record(facts, opener, &talks, setting);
    Some(FinishedCall { record, timeline: timeline::timeline(facts) })
}

fn record(facts: &CallFacts, opener: &Channel, talks: &[Talk], setting: Setting<'_>) -> CallRecord {
    let unknown = own(facts).any(|(_, channel)| channel.side == Side::Unknown);
    let skip = if unknown { Skip::UnknownSides } else { Skip::Internal };
    let answered_at = talks.first().map(|talk| talk.from);
    let outcome = if answered_at.is_some() { Outcome::Answered } else { Outcome::NoAnswer };
    let ended_at = own(facts).map(|(_, channel)| channel.end(facts.ended)).max().unwrap_or(facts.ended);
    let segments = segments(facts, talks);
    CallRecord {
        v: VERSION,
        call_id: CallId::new(setting.pbx, &opener.uniqueid, 1),
        pbx: setting.pbx.clone(),
        account: AccountId::default(),
        direction: Direction::Internal,
        phone: None,
        phone_raw: None,
        did: None,
        trunk: None,
        queue: None,
        account_code: Some(opener.account.to_string()).filter(|code| !code.is_empty()),
        answered: answered_at.is_some(),
        outcome,
        status: None,
        responsible: opener.extension.as_deref().map(str::to_owned),
        answered_by: in_order(segments.iter().map(|segment| &*segment.extension)),
        rang: in_order(rang(facts)),
        talk_seconds: Seconds::from_duration(talk::length(talks)),
        bridged_seconds: Seconds::from_duration(talk::covered(talks)),
        wait_seconds: Seconds::from_duration(answered_at.unwrap_or(ended_at).since(opener.born)),
        hold_seconds: Seconds::ZERO,
        segments,
        started_at: opener.born,
        answered_at,
        ended_at,
        time: facts.time,
        hangup_cause: opener.gone.and_then(|gone| gone.cause),
        hangup_by: None,
        recording: None,
        uniqueids: own(facts).map(|(_, channel)| channel.uniqueid.to_string()).collect(),
        source: setting.source,
        partial: facts.cut,
        skip: Some(skip),
        why: why(facts, opener, outcome, skip),
    }
}

fn own(facts: &CallFacts) -> impl Iterator<Item = (usize, &Channel)> {
    facts.channels.iter().enumerate().filter(|(_, channel)| !channel.guest && !channel.reported)
}

fn segments(facts: &CallFacts, talks: &[Talk]) -> Vec<Segment> {
    let segment = |talk: &Talk| {
        let extension = facts.channels[talk.channel].extension.as_deref()?.to_owned();
        Some(Segment { extension, from: talk.from, to: talk.to })
    };
    talks.iter().filter_map(segment).collect()
}

fn rang(facts: &CallFacts) -> impl Iterator<Item = &str> {
    let called = own(facts).filter(|(_, channel)| channel.side == Side::Inside && channel.was_called());
    called.filter_map(|(_, channel)| channel.extension.as_deref())
}

fn why(facts: &CallFacts, opener: &Channel, outcome: Outcome, skip: Skip) -> Vec<Why> {
    let direction = Direction::Internal;
    let rule = DirectionRule::NoOutsideLeg;
    let mut why = vec![Why::Direction { direction, rule, channel: opener.name.to_string() }];
    let unknown = own(facts).filter(|(_, channel)| channel.side == Side::Unknown);
    why.extend(unknown.map(|(_, channel)| Why::Side {
        endpoint: name::endpoint(&channel.name).to_owned(),
        side: channel.side,
        evidence: channel.evidence,
    }));
    if outcome == Outcome::Answered {
        why.push(Why::Outcome { outcome, rule: OutcomeRule::Talked });
    }
    why.push(Why::Skip { reason: skip });
    why
}
