//! Pure: what is known of one finished call. The JSON lines of `replay`, the outbox, the history,
//! `explain` and the requests to amoCRM are all made from [`FinishedCall`].

#[cfg(test)]
pub(crate) mod sample;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::id::{AccountId, CallId, PbxName};
use crate::call::line::Terms;
use crate::call::why::{PartialRule, Why};
use crate::time::PbxTime;

/// Version of [`CallRecord`]'s JSON; keys are only ever added, so it has been 1 from the start.
pub const VERSION: u32 = 1;

/// A finished call: the record that is delivered and the timeline that explains it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct FinishedCall {
    pub record: CallRecord,
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub timeline: Timeline,
}

/// One conversation with one outside party, as the JSON lines print it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct CallRecord {
    /// [`VERSION`].
    pub v: u32,
    pub call_id: CallId,
    pub pbx: PbxName,
    /// The amoCRM account that the call belongs to.
    #[serde(default)]
    pub account: AccountId,
    /// What is agreed for the line that it came or went by.
    #[serde(default, skip_serializing_if = "Terms::is_empty")]
    pub line: Terms,
    pub direction: Direction,
    /// The outside number after the number rules; `None` when there is none (see `skip`).
    pub phone: Option<String>,
    /// The outside number in its international form, `+` and digits, where that is known: what a CRM
    /// is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_e164: Option<String>,
    /// The number as the network presented it or as the PBX sent it to the network.
    pub phone_raw: Option<String>,
    /// Inbound: our number that was dialled.
    pub did: Option<String>,
    /// The endpoint of the outside leg, e.g. `trunk-msk`.
    pub trunk: Option<String>,
    /// The last queue that the caller waited in.
    pub queue: Option<String>,
    pub account_code: Option<String>,
    /// An employee talked with the outside party.
    pub answered: bool,
    pub outcome: Outcome,
    /// amoCRM's `call_status`; `None` for internal calls only.
    pub status: Option<u8>,
    /// What the dial plan says of the result, for amoCRM's `call_result`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_result: Option<String>,
    /// The extension that the call is booked on, before the map to amoCRM users.
    pub responsible: Option<String>,
    /// The user of the CRM that the hook books the call on, whatever the map says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responsible_user: Option<u64>,
    /// Extensions in the order in which they first talked with the outside party.
    pub answered_by: Vec<String>,
    /// Extensions that the PBX called, busy and refusing ones too, in order of the first ring.
    pub rang: Vec<String>,
    /// From the first moment with an employee to the last.
    pub talk_seconds: Seconds,
    /// The same without the time in which no employee had the outside party on the line.
    pub bridged_seconds: Seconds,
    /// From the first event to the first talk, or to the end.
    pub wait_seconds: Seconds,
    pub hold_seconds: Seconds,
    pub segments: Vec<Segment>,
    pub started_at: PbxTime,
    pub answered_at: Option<PbxTime>,
    pub ended_at: PbxTime,
    pub time: TimeSource,
    /// Q.850 cause of the outside leg (0 when Asterisk did not say).
    pub hangup_cause: Option<u16>,
    pub hangup_by: Option<HangupBy>,
    /// File name below the monitor folder, for answered calls.
    pub recording: Option<String>,
    /// Names that the dial plan had ready for a recording, where none is known to have begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recording_hints: Vec<String>,
    /// The message that the caller left: its file below the voicemail folder, without an ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Every channel of the call.
    pub uniqueids: Vec<String>,
    pub source: Source,
    /// Part of the call was not seen.
    pub partial: bool,
    /// Why the call is not sent to amoCRM; `None` when it is.
    pub skip: Option<Skip>,
    #[serde(deserialize_with = "known")]
    pub why: Vec<Why>,
}

impl CallRecord {
    /// Whether its end was not seen, so that somebody else may know more of it.
    pub fn is_cut(&self) -> bool {
        self.partial && self.why.contains(&Why::Partial { rule: PartialRule::EndNotSeen })
    }

    /// The uniqueid in the call's id: that of the channel that opened it.
    pub fn opener(&self) -> &str {
        let id = self.call_id.as_str().strip_prefix(self.pbx.as_str()).and_then(|id| id.strip_prefix('-'));
        id.and_then(|id| id.split(['~', '+']).next()).unwrap_or_default()
    }
}

/// Who started the call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Inbound,
    Internal,
    Outbound,
}

/// How the call ended for the outside party.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// An employee talked with the outside party.
    Answered,
    /// The caller left a message.
    Voicemail,
    /// The device is offline, nobody is reachable.
    Unavailable,
    /// The number does not exist.
    WrongNumber,
    /// It rang and nobody answered.
    NoAnswer,
    /// The calling side gave up while it rang.
    Cancelled,
    /// The caller gave up in a queue, or in a menu or an announcement, where nobody rang.
    Abandoned,
    /// The called side refused.
    Declined,
    /// No line, or the network failed.
    Congestion,
    Busy,
    /// A fax was received or sent.
    Fax,
}

/// One employee's time with the outside party.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Segment {
    pub extension: String,
    pub from: PbxTime,
    pub to: PbxTime,
}

/// A length of time; whole milliseconds inside, seconds in JSON.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Seconds(u64);

/// Where the times come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// The `Timestamp` of the events.
    Event,
    /// The events' arrival at this host.
    Arrival,
    /// Uniqueid epochs and the like, see `why`.
    Estimated,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HangupBy {
    Inside,
    Outside,
    Pbx,
}

/// Where the call was learned from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The live AMI stream.
    Ami,
    /// A capture.
    Replay,
    /// The PBX's call detail records.
    Cdr,
}

/// Why a call is not sent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// No outside party.
    Internal,
    /// The outside party's number is not known.
    Anonymous,
    /// The number is too short to be a subscriber's.
    ShortNumber,
    /// A fax, page or other call that is no conversation.
    NoConversation,
    /// Neither side of the call could be told.
    UnknownSides,
    /// The configuration says so.
    Policy,
    /// amoCRM does not know the number, and such calls are not wanted.
    UnknownNumber,
    /// The account's calls are only compared with what another connector writes.
    Shadow,
}

/// What happened, in order, for people who ask why.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Timeline {
    pub legs: Vec<Leg>,
    #[serde(deserialize_with = "known")]
    pub moments: Vec<Moment>,
    /// Who heard whom, by beginning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub talks: Vec<Exchange>,
    /// Moments that did not fit.
    #[serde(default)]
    pub dropped: u32,
}

/// A channel's part in the call.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Leg {
    pub uniqueid: String,
    pub channel: String,
    pub side: Side,
    /// The extension of an inside leg, the number of an outside leg.
    pub party: Option<String>,
    /// What an outside leg is in this record's conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The configuration decided the side.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub configured: bool,
}

#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The outside party that the record is about.
    Party,
    /// An outside phone on which an employee takes part: that of this extension.
    Proxy(Option<String>),
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// An extension's device.
    Inside,
    /// A trunk.
    Outside,
    /// A half of a Local pair, a spy or another helper: nobody is at its end.
    Helper,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Moment {
    pub at: PbxTime,
    /// Index into [`Timeline::legs`].
    pub leg: u16,
    /// The other leg that had a part in it: who called, who transferred, who took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<u16>,
    #[serde(flatten)]
    pub what: What,
}

/// Two legs heard each other; of two with the outside party, `with` is the outside party's.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Exchange {
    pub leg: u16,
    pub with: u16,
    pub from: PbxTime,
    pub to: PbxTime,
}

#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum What {
    Started,
    Rang,
    /// A dial to this leg ended, with Asterisk's `DialStatus`.
    DialEnded {
        status: String,
        /// Where the phone sent the call (302).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forward: Option<String>,
    },
    Joined,
    Left,
    Held,
    Resumed,
    Parked,
    Queued {
        queue: String,
    },
    /// Sent on without asking, by [`Moment::with`].
    Transferred {
        to: Option<String>,
    },
    /// Whoever is on this leg gave the outside party to a colleague whom he had called before.
    HandedOver,
    PickedUp,
    /// A recording began.
    Recorded,
    LeftMessage,
    /// The far end hung up.
    PutDown,
    /// The leg is gone.
    HungUp {
        cause: u16,
    },
}

impl Timeline {
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty() && self.moments.is_empty()
    }
}

impl Seconds {
    pub const ZERO: Self = Self(0);

    /// Rounds to whole milliseconds.
    pub fn from_duration(span: Duration) -> Self {
        Self(u64::try_from((span.as_micros() + 500) / 1000).unwrap_or(u64::MAX))
    }

    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds, rounded half up.
    pub const fn rounded(self) -> u64 {
        (self.0 + 500) / 1000
    }
}

/// Reads a list and steps over what a later version put into it.
fn known<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry<T> {
        Known(T),
        Later(serde::de::IgnoredAny),
    }
    let entries = Vec::<Entry<T>>::deserialize(deserializer)?;
    let known = |entry| match entry {
        Entry::Known(known) => Some(known),
        Entry::Later(_) => None,
    };
    Ok(entries.into_iter().filter_map(known).collect())
}

impl Serialize for Seconds {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_precision_loss, reason = "a call is shorter than 285,000 years")]
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "float casts saturate, and NaN becomes 0"
        )]
        Ok(Self((seconds * 1000.0).round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_added_is_stepped_over() {
        let mut later = serde_json::to_value(sample::call("1.1")).unwrap();
        later["record"]["why"] = serde_json::json!([
            {"code": "weather", "rain": true},
            {"code": "phone", "source": "telepathy"},
            {"code": "skip", "reason": "anonymous"},
        ]);
        later["timeline"]["moments"][1] =
            serde_json::json!({"at": "2026-11-22T09:13:11.489Z", "leg": 1, "what": "yodelled"});
        let read: FinishedCall = serde_json::from_value(later).unwrap();
        assert_eq!(read.record.why, [Why::Skip { reason: Skip::Anonymous }]);
        let before = sample::call("1.1").timeline.moments;
        assert_eq!(read.timeline.moments.len() + 1, before.len());
        assert_eq!(read.timeline.moments[0], before[0]);
    }
}
