//! Pure: calls in which no outside party took part. They are printed, never sent.

use crate::call::classify::Setting;
use crate::call::facts::{CallFacts, Channel};
use crate::call::id::{AccountId, CallId};
use crate::call::record::{
    CallRecord, Direction, FinishedCall, Outcome, Seconds, Segment, Side, Skip, VERSION,
};
use crate::call::talk;
use crate::call::timeline;
use crate::call::why::{DirectionRule, OutcomeRule, Why};

/// The record of a call among ourselves; `None` when only helpers or reported channels were left.
pub(super) fn classify(facts: &CallFacts, setting: Setting<'_>) -> Option<FinishedCall> {
    let own = || facts.channels.iter().enumerate().filter(|(_, c)| !c.guest && !c.reported);
    let (first, opener) = own().find(|(_, channel)| channel.side != Side::Helper)?;
    if facts.channels.iter().any(|channel| channel.reported) {
        return None;
    }
    let unknown = own().any(|(_, channel)| channel.side == Side::Unknown);
    let skip = if unknown { Skip::UnknownSides } else { Skip::Internal };
    let talks = talk::talks(facts, &[first], |channel| {
        channel != first && facts.channels[channel].side != Side::Helper
    });
    let answered_at = talks.first().map(|talk| talk.from);
    let outcome = if answered_at.is_some() { Outcome::Answered } else { Outcome::NoAnswer };
    let ended_at = own().map(|(_, channel)| channel.end(facts.ended)).max().unwrap_or(facts.ended);
    let extension = |channel: &Channel| channel.extension.as_deref().map(str::to_owned);
    let mut answered_by: Vec<String> = Vec::new();
    let mut segments = Vec::new();
    for talk in &talks {
        let Some(extension) = extension(&facts.channels[talk.channel]) else { continue };
        segments.push(Segment { extension: extension.clone(), from: talk.from, to: talk.to });
        if !answered_by.contains(&extension) {
            answered_by.push(extension);
        }
    }
    let last = talks.iter().map(|talk| talk.to).max();
    let talked = talks.first().zip(last).map(|(first, last)| last.since(first.from)).unwrap_or_default();
    let record = CallRecord {
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
        responsible: extension(opener),
        answered_by,
        rang: rang(facts),
        talk_seconds: Seconds::from_duration(talked),
        bridged_seconds: Seconds::from_duration(talk::covered(&talks)),
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
        uniqueids: own().map(|(_, channel)| channel.uniqueid.to_string()).collect(),
        source: setting.source,
        partial: facts.cut,
        skip: Some(skip),
        why: why(facts, opener, outcome, skip),
    };
    Some(FinishedCall { record, timeline: timeline::timeline(facts) })
}

fn rang(facts: &CallFacts) -> Vec<String> {
    let mut rang: Vec<String> = Vec::new();
    for channel in facts.channels.iter().filter(|c| !c.guest && c.side == Side::Inside && c.was_called()) {
        let extension = channel.extension.as_deref().unwrap_or_default();
        if !rang.iter().any(|known| known == extension) {
            rang.push(extension.to_owned());
        }
    }
    rang
}

fn why(facts: &CallFacts, opener: &Channel, outcome: Outcome, skip: Skip) -> Vec<Why> {
    let direction = Direction::Internal;
    let rule = DirectionRule::NoOutsideLeg;
    let mut why = vec![Why::Direction { direction, rule, channel: opener.name.to_string() }];
    let unknown = facts.channels.iter().filter(|channel| channel.side == Side::Unknown);
    why.extend(unknown.map(|channel| Why::Side {
        endpoint: crate::call::name::endpoint(&channel.name).to_owned(),
        side: channel.side,
        evidence: channel.evidence,
    }));
    if outcome == Outcome::Answered {
        why.push(Why::Outcome { outcome, rule: OutcomeRule::Talked });
    }
    why.push(Why::Skip { reason: skip });
    why
}
