//! Pure: how the call ended for the outside party, and the number it is known by.

use crate::call::classify::Case;
use crate::call::conversation::{self, sent_number};
use crate::call::facts::{CallFacts, Channel, DialStatus};
use crate::call::record::{Direction, Outcome, Side};
use crate::call::why::{OutcomeRule, PhoneSource, Why};

impl<'f> Case<'f> {
    pub(super) fn outcome(&mut self) -> Outcome {
        let (outcome, rule) = if !self.talks.is_empty() {
            (Outcome::Answered, OutcomeRule::Talked)
        } else if self.own().any(|channel| channel.extras.fax) {
            (Outcome::Fax, OutcomeRule::Fax)
        } else if self.conversation.direction == Direction::Outbound {
            self.outbound_outcome()
        } else {
            self.inbound_outcome()
        };
        self.why.push(Why::Outcome { outcome, rule });
        outcome
    }

    /// What the last trunk said; its Q.850 cause where it is one, else how the dial ended.
    fn outbound_outcome(&self) -> (Outcome, OutcomeRule) {
        let leg = self.last_leg();
        let status = last_status(leg);
        // Of a leg that was given up the cause is another one's: Asterisk hands it on.
        let cause = leg.gone.and_then(|gone| gone.cause).filter(|_| status != Some(DialStatus::Cancel));
        let cause = cause.unwrap_or(0);
        let by_cause = match cause {
            1 | 28 => Some(Outcome::WrongNumber),
            17 => Some(Outcome::Busy),
            18 | 19 => Some(Outcome::NoAnswer),
            21 => Some(Outcome::Declined),
            3 | 27 | 34 | 38 | 41 | 42 | 44 | 58 | 102 => Some(Outcome::Congestion),
            _ => None,
        };
        if let Some(outcome) = by_cause {
            return (outcome, OutcomeRule::TrunkCause { cause });
        }
        match status {
            Some(DialStatus::Busy) => (Outcome::Busy, OutcomeRule::TrunkDial),
            Some(DialStatus::Congestion | DialStatus::Unavailable) => {
                (Outcome::Congestion, OutcomeRule::TrunkDial)
            }
            Some(DialStatus::NoAnswer) => (Outcome::NoAnswer, OutcomeRule::TrunkDial),
            Some(DialStatus::Cancel | DialStatus::Answer | DialStatus::Screened) | None => {
                (Outcome::Cancelled, OutcomeRule::EmployeeGaveUp)
            }
        }
    }

    fn inbound_outcome(&self) -> (Outcome, OutcomeRule) {
        if self.own().any(|channel| channel.extras.message_left.is_some()) {
            return (Outcome::Voicemail, OutcomeRule::MessageLeft);
        }
        // Whatever became of the members: he waited, and would have been answered.
        if self.own().any(|channel| channel.extras.queue_abandoned) {
            return (Outcome::Abandoned, OutcomeRule::CallerGaveUp);
        }
        let phones = self.conversation.proxies.iter().map(|proxy| self.channel(proxy.leg));
        let called: Vec<&Channel> = self.called().chain(phones).collect();
        if called.is_empty() {
            // The dial plan may know without dialling, as with do-not-disturb.
            let says = |status| self.own().any(|c| c.extras.dial_status.as_deref() == Some(status));
            return match () {
                () if says("BUSY") => (Outcome::Busy, OutcomeRule::AllBusy),
                () if says("CHANUNAVAIL") => (Outcome::Unavailable, OutcomeRule::NobodyReachable),
                () => (Outcome::Abandoned, OutcomeRule::NobodyRang),
            };
        }
        if called.iter().all(|channel| is_busy(channel)) {
            return (Outcome::Busy, OutcomeRule::AllBusy);
        }
        if called.iter().all(|channel| has_refused(channel)) {
            return (Outcome::Declined, OutcomeRule::AllRefused);
        }
        if called.iter().all(|channel| is_unreachable(channel)) {
            return (Outcome::Unavailable, OutcomeRule::NobodyReachable);
        }
        if self.leg().hangup_requested.is_some() {
            return (Outcome::Cancelled, OutcomeRule::CallerGaveUp);
        }
        (Outcome::NoAnswer, OutcomeRule::RangOut)
    }

    /// Inside devices that the PBX called for this conversation.
    pub(super) fn called(&self) -> impl Iterator<Item = &'f Channel> + use<'f> {
        let facts: &'f CallFacts = self.facts;
        let others = self.others.clone();
        let is_phone = |channel: &Channel| channel.side == Side::Inside && channel.was_called();
        let called = facts.channels.iter().enumerate().filter(move |(_, c)| !c.guest && is_phone(c));
        let for_another = move |at: usize| {
            !others.is_empty() && conversation::chain(facts, at).iter().any(|link| others.contains(link))
        };
        called.filter(move |(at, _)| !for_another(*at)).map(|(_, channel)| channel)
    }

    /// The number that the PBX sent through the trunk, else what the extension dialled.
    fn called_number(&self) -> (Option<&'f str>, PhoneSource) {
        let leg = self.leg();
        if let Some(number) = sent_number(self.last_leg()).or(sent_number(leg)) {
            return (Some(number), PhoneSource::SentToNetwork);
        }
        let opener = self.channel(self.conversation.opener);
        let dialled = Some(&*opener.exten).filter(|exten| !exten.is_empty() && *exten != "s");
        (leg.number.as_deref().or(dialled), PhoneSource::DialledExten)
    }

    /// The outside number as the network presented it, or as the PBX sent it to the network.
    pub(super) fn phone_raw(&mut self) -> Option<String> {
        let leg = self.leg();
        let (number, source) = match self.conversation.direction {
            Direction::Inbound => (leg.number.as_deref(), PhoneSource::CallerId),
            Direction::Outbound | Direction::Internal => self.called_number(),
        };
        let (number, source) = (number.map(str::to_owned), number.map_or(PhoneSource::None, |_| source));
        self.why.push(Why::Phone { source });
        number
    }
}

fn last_status(channel: &Channel) -> Option<DialStatus> {
    channel.dials.iter().rev().find_map(|dial| dial.end.as_ref()).map(|end| end.status)
}

fn cause(channel: &Channel) -> u16 {
    channel.gone.and_then(|gone| gone.cause).unwrap_or(0)
}

/// `BUSY`, or Q.850 cause 17. `chan_sip` reports a 603 as `BUSY` too, then with cause 21.
pub(super) fn is_busy(channel: &Channel) -> bool {
    cause(channel) == 17 || (last_status(channel) == Some(DialStatus::Busy) && cause(channel) != 21)
}

pub(super) fn has_refused(channel: &Channel) -> bool {
    cause(channel) == 21
}

pub(super) fn is_unreachable(channel: &Channel) -> bool {
    matches!(cause(channel), 3 | 20) || last_status(channel) == Some(DialStatus::Unavailable)
}
