//! Pure: the facts of a call as a story.

use crate::call::conversation::sent_number;
use crate::call::facts::{BridgeKind, CallFacts, Channel};
use crate::call::record::{Leg, Moment, Side, Timeline, What};
use crate::time::PbxTime;

/// Moments that are kept of one call. A call with several transfers has some sixty.
const MOMENTS_MAX: usize = 200;
/// Legs that are kept of one call.
const LEGS_MAX: usize = 64;

/// What the call's real channels did, in order. Helpers and Local halves are left out: their
/// dials show at the phones they reach.
pub fn timeline(facts: &CallFacts) -> Timeline {
    let mut timeline = Timeline::default();
    let real = facts.channels.iter().filter(|channel| channel.side != Side::Helper && !channel.guest);
    for (number, channel) in real.take(LEGS_MAX).enumerate() {
        timeline.legs.push(Leg {
            uniqueid: channel.uniqueid.to_string(),
            channel: channel.name.to_string(),
            side: channel.side,
            party: party(channel),
        });
        let leg = u16::try_from(number).expect("LEGS_MAX fits");
        let moments = moments(channel).into_iter().map(|(at, what)| Moment { at, leg, what });
        timeline.moments.extend(moments);
    }
    timeline.moments.sort_by_key(|moment| moment.at);
    let over = timeline.moments.len().saturating_sub(MOMENTS_MAX);
    timeline.moments.truncate(MOMENTS_MAX);
    timeline.dropped = u32::try_from(over).unwrap_or(u32::MAX);
    timeline
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

fn moments(channel: &Channel) -> Vec<(PbxTime, What)> {
    let mut moments = Vec::new();
    if !channel.was_called() {
        moments.push((channel.born, What::Started));
    }
    for dial in &channel.dials {
        moments.push((dial.at, What::Rang));
        if let Some(end) = &dial.end {
            moments.push((end.at, What::DialEnded { status: end.status.as_str().to_owned() }));
        }
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
    for transfer in &extras.transfers {
        moments.push((transfer.at, What::Transferred { to: transfer.to.as_deref().map(str::to_owned) }));
    }
    if let Some(gone) = channel.gone {
        moments.push((gone.at, What::HungUp { cause: gone.cause.unwrap_or(0) }));
    }
    moments
}
