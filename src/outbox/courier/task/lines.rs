//! What the log says of one call on its way to amoCRM: a line for each turn, with all by which it is searched.

use tracing::{debug, error, info, warn};

use crate::outbox::courier::effect::Ruling;
use crate::outbox::errand::{Errand, Sound};
use crate::outbox::queue::State;
use crate::pseudonym;

/// A line of this level about a call.
macro_rules! say {
    ($say:ident, $ruling:ident, $($rest:tt)+) => {{
        let Ruling { call_id, pbx, account, direction, phone, settlement, .. } = $ruling;
        $say!(
            %call_id, %pbx, %account, ?direction, phone = phone.masked(),
            phone_hash = pseudonym::of(phone.whole()), state = settlement.state.phase().name(), $($rest)+
        )
    }};
}

/// One line for a call that came to an end or waits for a reason.
pub(super) fn tell(ruling: &Ruling) {
    let settlement = &ruling.settlement;
    let reason = settlement.last_error.as_deref().unwrap_or_default();
    let next_at = settlement.next_at;
    match &settlement.state {
        State::Sent { .. } if ruling.from_sent => tell_sound(ruling),
        State::Sent { note_id, entity, .. } => {
            let entity = entity.as_ref().map(|entity| format!("{} {}", entity.kind, entity.id));
            say!(info, ruling, note_id, entity, "call delivered");
        }
        State::Parked { .. } if settlement.errand.make.is_some() || settlement.errand.made_at.is_some() => {
            let Errand { make: next, contact, lead, .. } = &settlement.errand;
            say!(
                info,
                ruling,
                ?next,
                contact,
                lead,
                reason,
                "amoCRM does not know the number: the call waits for what is made for it"
            );
        }
        State::Parked { .. } if settlement.errand.against.is_some() => {
            say!(debug, ruling, %next_at, "call waits for the open item of its number");
        }
        State::Parked { .. } => {
            say!(info, ruling, %next_at, "call not sent: amoCRM knows no contact with this number, tried again later");
        }
        State::Expired { reason, .. } => say!(warn, ruling, reason, "call not sent and given up"),
        State::Dead { reason, .. } => say!(error, ruling, reason, "call not sent: a person must look at it"),
        State::Unknown { looked: 0, .. } => {
            say!(warn, ruling, reason, "call perhaps sent: looked up before anything else");
        }
        State::Unknown { looked, .. } => say!(debug, ruling, looked, reason, "call not found yet"),
        State::Pending | State::Sending { .. } => say!(debug, ruling, reason, "call waits"),
        State::Unsorted { .. } => say!(info, ruling, "call put into unsorted"),
        State::Skipped { reason, .. } => say!(info, ruling, ?reason, "call not sent"),
    }
}

/// One line for a delivered call whose link was added or given up.
fn tell_sound(ruling: &Ruling) {
    let next_at = ruling.settlement.next_at;
    match &ruling.settlement.errand.sound {
        Some(Sound::Added { file }) => {
            // Its name has the number in it as often as not: `explain` shows it.
            say!(debug, ruling, file, "the file of the recording");
            say!(info, ruling, "the link to the recording was added to the call");
        }
        Some(Sound::GivenUp { reason }) => {
            say!(warn, ruling, reason, "the call stays without a link to its recording");
        }
        Some(Sound::Missing { .. }) => {
            say!(debug, ruling, %next_at, "the recording of a delivered call is not there yet");
        }
        Some(Sound::Found { .. } | Sound::Other) | None => {}
    }
}
