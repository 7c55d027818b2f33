//! Pure: a record for each employee who talked, where the configuration wants that.

use crate::call::record::{CallRecord, Seconds, Segment};
use crate::call::why::{ResponsibleRule, Why};

/// Splits a conversation among those who talked in it, in the order in which they first did. The first
/// keeps the waiting time and whoever rang; nobody's time is counted twice.
pub(super) fn split(record: CallRecord) -> Vec<CallRecord> {
    if record.answered_by.len() < 2 {
        return vec![record];
    }
    let agents = record.answered_by.clone();
    agents.iter().enumerate().map(|(index, agent)| part(&record, index, agent)).collect()
}

fn part(whole: &CallRecord, index: usize, agent: &str) -> CallRecord {
    let own = |segment: &&Segment| segment.extension == *agent;
    let segments: Vec<Segment> = whole.segments.iter().filter(own).cloned().collect();
    let from = segments.iter().map(|segment| segment.from).min();
    let to = segments.iter().map(|segment| segment.to).max();
    let talked = from.zip(to).map(|(from, to)| to.since(from)).unwrap_or_default();
    let bridged = segments.iter().map(|segment| segment.to.since(segment.from)).sum();
    let mut part = CallRecord {
        call_id: whole.call_id.for_agent(index + 1),
        responsible: Some(agent.to_owned()),
        answered_by: vec![agent.to_owned()],
        talk_seconds: Seconds::from_duration(talked),
        bridged_seconds: Seconds::from_duration(bridged),
        answered_at: from,
        segments,
        ..whole.clone()
    };
    for why in &mut part.why {
        if let Why::Responsible { extension, rule } = why {
            (*extension, *rule) = (Some(agent.to_owned()), ResponsibleRule::OwnRecord);
        }
    }
    if index > 0 {
        part.started_at = from.unwrap_or(whole.started_at);
        part.wait_seconds = Seconds::ZERO;
        part.hold_seconds = Seconds::ZERO;
        part.rang = vec![agent.to_owned()];
    }
    if index + 1 < whole.answered_by.len() {
        part.ended_at = to.unwrap_or(whole.ended_at);
    }
    part
}
