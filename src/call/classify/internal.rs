//! Pure: calls in which no outside party took part. They are printed, never sent.

use crate::call::classify::outcome::{has_refused, is_busy, is_unreachable};
use crate::call::classify::{Setting, in_order, lines, said, sending};
use crate::call::facts::{CallFacts, Channel, Word};
use crate::call::id::CallId;
use crate::call::phone::Number;
use crate::call::policy::Policy;
use crate::call::record::{
    CallRecord, Direction, FinishedCall, Outcome, Seconds, Segment, Side, Skip, VERSION,
};
use crate::call::talk::{self, Talk};
use crate::call::timeline::{self, Findings};
use crate::call::why::{DirectionRule, OutcomeRule, PartialRule, Why};
use crate::call::{name, phone};

/// The record of a call among ourselves; `None` when only helpers or reported channels were left.
pub(super) fn classify(facts: &CallFacts, setting: Setting<'_>) -> Option<FinishedCall> {
    let (first, talks, mut record) = understood(facts, setting)?;
    sending::decide(&mut record, setting.policy, said::says_no_sending(facts));
    let findings = Findings { conversation: None, talks: &talks, party: &[first] };
    Some(FinishedCall { record, timeline: timeline::timeline(facts, findings) })
}

/// Whose call it is, with whom he talked, and the record, before it is decided whether it is sent.
pub(super) fn understood(facts: &CallFacts, setting: Setting<'_>) -> Option<(usize, Vec<Talk>, CallRecord)> {
    let (first, opener) = own(facts).find(|(_, channel)| channel.side != Side::Helper)?;
    if facts.channels.iter().any(|channel| channel.reported) {
        return None;
    }
    let is_other = |channel: usize| channel != first && facts.channels[channel].side != Side::Helper;
    let talks = talk::talks(facts, &[first], is_other);
    let record = record(facts, opener, &talks, setting);
    Some((first, talks, record))
}

fn record(facts: &CallFacts, opener: &Channel, talks: &[Talk], setting: Setting<'_>) -> CallRecord {
    let unknown = own(facts).any(|(_, channel)| channel.side == Side::Unknown);
    let answered_at = talks.first().map(|talk| talk.from);
    let outcome = if answered_at.is_some() { Outcome::Answered } else { unanswered(facts) };
    let started_at = opener.born.min(answered_at.unwrap_or(opener.born));
    let ended_at = own(facts).map(|(_, channel)| channel.end(facts.ended)).max().unwrap_or(facts.ended);
    let ended_at = ended_at.max(answered_at.unwrap_or(started_at));
    let segments = segments(facts, talks);
    let answered_by = in_order(segments.iter().map(|segment| &*segment.extension));
    let rang = in_order(rang(facts));
    let called = answered_by.first().or(rang.first()).map(String::as_str);
    let (number, skip) =
        if unknown { (None, Some(Skip::UnknownSides)) } else { number(called, setting.policy) };
    let said = |word| said::last_said(facts, word).map(|saying| saying.value.to_string());
    let said_status = said(Word::Status).as_deref().and_then(said::status);
    let (line, line_why) = lines::find(facts, [opener, opener], setting, None, None).unzip();
    let terms = line.map(|line| line.terms(Direction::Internal)).unwrap_or_default();
    CallRecord {
        v: VERSION,
        call_id: CallId::new(setting.pbx, &opener.uniqueid, 1),
        pbx: setting.pbx.clone(),
        account: line.and_then(|line| line.account.clone()).unwrap_or_default(),
        line: terms,
        direction: Direction::Internal,
        phone: number.as_ref().map(|number| number.digits.clone()),
        phone_e164: number.and_then(|number| number.e164),
        phone_raw: None,
        did: None,
        trunk: None,
        queue: None,
        account_code: Some(opener.account.to_string()).filter(|code| !code.is_empty()),
        answered: answered_at.is_some(),
        outcome,
        status: skip.is_none().then(|| said_status.unwrap_or_else(|| setting.policy.status_of(outcome))),
        call_result: said(Word::Result),
        responsible: said(Word::Responsible).or(opener.extension.as_deref().map(str::to_owned)),
        responsible_user: None,
        answered_by,
        rang,
        talk_seconds: Seconds::from_duration(talk::length(talks)),
        bridged_seconds: Seconds::from_duration(talk::covered(talks)),
        wait_seconds: Seconds::from_duration(answered_at.unwrap_or(ended_at).since(started_at)),
        hold_seconds: Seconds::ZERO,
        segments,
        started_at,
        answered_at,
        ended_at,
        time: facts.time,
        hangup_cause: opener.gone.and_then(|gone| gone.cause),
        hangup_by: None,
        recording: None,
        recording_hints: Vec::new(),
        message: None,
        uniqueids: own(facts).map(|(_, channel)| channel.uniqueid.to_string()).collect(),
        source: setting.source,
        partial: facts.cut || is_unborn(facts),
        skip,
        why: why(facts, opener, outcome).into_iter().chain(line_why).collect(),
    }
}

/// The number with which the configuration wants the called extension to be told, or why the call is
/// not sent.
fn number(called: Option<&str>, policy: &Policy) -> (Option<Number>, Option<Skip>) {
    let (Some(template), Some(called)) = (&policy.internal_phone, called) else {
        return (None, Some(Skip::Internal));
    };
    let number = template.replace("{extension}", called);
    match phone::subscriber(Some(&number), Direction::Internal, &policy.numbers) {
        Ok(number) => (Some(number), None),
        Err(skip) => (None, Some(skip)),
    }
}

/// How a call among ourselves that nobody answered ended.
fn unanswered(facts: &CallFacts) -> Outcome {
    let called: Vec<&Channel> = own(facts).map(|(_, channel)| channel).filter(|c| c.was_called()).collect();
    let all = |is: fn(&Channel) -> bool| !called.is_empty() && called.iter().all(|channel| is(channel));
    match () {
        () if all(is_busy) => Outcome::Busy,
        () if all(has_refused) => Outcome::Declined,
        () if all(is_unreachable) => Outcome::Unavailable,
        () => Outcome::NoAnswer,
    }
}

fn own(facts: &CallFacts) -> impl Iterator<Item = (usize, &Channel)> {
    facts.channels.iter().enumerate().filter(|(_, channel)| !channel.guest && !channel.reported)
}

fn is_unborn(facts: &CallFacts) -> bool {
    own(facts).any(|(_, channel)| !channel.announced && channel.side != Side::Helper)
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

fn why(facts: &CallFacts, opener: &Channel, outcome: Outcome) -> Vec<Why> {
    let direction = Direction::Internal;
    let rule = DirectionRule::NoOutsideLeg;
    let mut why = vec![Why::Direction { direction, rule, channel: opener.name.to_string() }];
    let unknown = own(facts).filter(|(_, channel)| channel.side == Side::Unknown);
    why.extend(unknown.map(|(_, channel)| Why::Side {
        endpoint: name::endpoint(&channel.name).to_owned(),
        side: channel.side,
        evidence: channel.evidence,
        weak: channel.weak,
    }));
    if outcome == Outcome::Answered {
        why.push(Why::Outcome { outcome, rule: OutcomeRule::Talked });
    }
    let rules = [(is_unborn(facts), PartialRule::BeginNotSeen), (facts.cut, PartialRule::EndNotSeen)];
    why.extend(rules.into_iter().filter(|(is_so, _)| *is_so).map(|(_, rule)| Why::Partial { rule }));
    why
}
