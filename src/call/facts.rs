//! Pure: what the events said of a call, before any judgement. The tracker collects these facts
//! in whatever order they come; everything that is decided later is a function of them.

use serde::{Deserialize, Serialize};

use crate::call::name;
use crate::call::record::{Side, TimeSource};
use crate::call::side::evidence::Evidence;
use crate::time::{PbxTime, micros};

/// A call that ended: channels that belong together, in the order in which they were first seen.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFacts {
    pub channels: Vec<Channel>,
    /// When the last of it happened.
    pub ended: PbxTime,
    pub time: TimeSource,
    /// The input ended, or the PBX forgot the call, before the call did.
    pub cut: bool,
}

/// Index of a channel: of the tracker's while the call runs, of [`CallFacts::channels`] later.
pub type ChannelIndex = u32;

/// One channel of Asterisk.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Channel {
    pub uniqueid: Box<str>,
    pub name: Box<str>,
    pub kind: name::Kind,
    /// Its `Newchannel` was seen.
    pub announced: bool,
    pub origin: Origin,
    /// First event.
    pub born: PbxTime,
    pub gone: Option<Gone>,
    /// The far end asked to hang up.
    pub hangup_requested: Option<PbxTime>,
    /// `CallerIDNum` when the channel was new: what the network presented.
    pub number: Option<Box<str>>,
    /// `Exten` when it was new: what the caller dialled.
    pub exten: Box<str>,
    pub context: Box<str>,
    pub account: Box<str>,
    /// The other half of a Local pair.
    pub peer: Option<ChannelIndex>,
    /// The times at which this channel was called.
    pub dials: Vec<Dial>,
    pub stays: Vec<Stay>,
    pub holds: Vec<Span>,
    pub extras: Extras,
    /// Filled in when the call ended.
    pub side: Side,
    pub evidence: Evidence,
    /// The side rests on names alone.
    pub weak: bool,
    pub extension: Option<Box<str>>,
    /// Of another call: met in a conference.
    pub guest: bool,
    /// Its conversation has been reported already; the channel outlived it.
    pub reported: bool,
}

/// How a channel came to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Its device called the PBX.
    Incoming,
    /// The PBX made it, to call its device.
    Created,
    /// It was there before we looked.
    Unknown,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Gone {
    #[serde(with = "micros")]
    pub at: PbxTime,
    /// Q.850; `None` when the hang-up was not seen.
    pub cause: Option<u16>,
}

/// One try to call a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Dial {
    /// `None`: the PBX dialled by itself.
    pub by: Option<ChannelIndex>,
    pub at: PbxTime,
    /// The number that was sent through a trunk.
    pub number: Option<Box<str>>,
    pub end: Option<DialEnd>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct DialEnd {
    #[serde(with = "micros")]
    pub at: PbxTime,
    pub status: DialStatus,
    /// Where the phone sent the call (302).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Box<str>>,
}

/// `DialStatus` of `DialEnd`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DialStatus {
    Answer,
    Busy,
    Cancel,
    Congestion,
    NoAnswer,
    Unavailable,
    /// The called side's own subroutine refused (`CONTINUE`, `ABORT`, `GOTO:…`, `TORTURE` …).
    Screened,
}

/// A channel's time in a bridge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stay {
    /// Number of the bridge, unique within the tracker.
    pub bridge: u32,
    pub kind: BridgeKind,
    pub from: PbxTime,
    pub to: Option<PbxTime>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeKind {
    /// Two or more parties of one call hear each other.
    Mixing,
    /// Parties of many calls hear each other.
    Conference,
    /// Parked or held: nobody hears anybody.
    Holding,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Span {
    #[serde(with = "micros")]
    pub from: PbxTime,
    #[serde(default, with = "micros::option")]
    pub to: Option<PbxTime>,
}

/// What few channels have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    pub queue: Option<Box<str>>,
    pub queue_joined: Option<PbxTime>,
    /// The caller hung up while he waited in the queue.
    pub queue_abandoned: bool,
    pub did: Option<Box<str>>,
    pub recordings: Vec<Recording>,
    /// Names that the dial plan has ready for recordings.
    pub hints: Vec<Box<str>>,
    /// The file of the message that was left, without an ending.
    pub message: Option<Box<str>>,
    /// Extensions that the dial plan said it would call, whether or not a phone could ring.
    pub meant: Vec<Box<str>>,
    /// The extension whose forward made this channel, as the dial plan says.
    pub forwarded_by: Option<Box<str>>,
    /// `DIALSTATUS` of the dial plan, the last that is not empty.
    pub dial_status: Option<Box<str>>,
    pub message_left: Option<PbxTime>,
    pub parked: Option<PbxTime>,
    /// Sent on to this extension without asking, by that channel.
    pub transfers: Vec<Transfer>,
    /// It took a call that rang elsewhere.
    pub picked_up: Option<PbxTime>,
    /// The dial that this channel made was answered then, as Asterisk said at its end.
    pub answered_since: Option<PbxTime>,
    pub fax: bool,
    /// It listens to others.
    pub spy: bool,
    /// What the dial plan said of the call, in order.
    pub said: Vec<Saying>,
}

/// What the dial plan says of a call, by a channel variable or a `UserEvent`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Saying {
    #[serde(with = "micros")]
    pub at: PbxTime,
    pub word: Word,
    pub value: Box<str>,
}

/// What can be said.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// amoCRM's `call_status`, 1 to 7.
    Status,
    /// amoCRM's `call_result`, a text.
    Result,
    /// The extension on which the call is booked.
    Responsible,
    /// `no`: the call is not sent.
    Send,
    /// Whose call it is on a PBX that several share.
    Tenant,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Recording {
    #[serde(with = "micros")]
    pub at: PbxTime,
    pub path: Box<str>,
    /// When it was stopped; else it goes on to the end of the channel.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub to: Option<PbxTime>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    pub at: PbxTime,
    pub by: ChannelIndex,
    pub to: Option<Box<str>>,
}

impl Channel {
    /// When whoever is at its end hung up, or the channel was gone, or `otherwise`. Asterisk keeps the
    /// channel of an employee who hung up in the middle of a transfer until the transfer is over.
    pub fn left(&self, otherwise: PbxTime) -> PbxTime {
        let end = self.end(otherwise);
        match self.hangup_requested {
            Some(at) if self.kind == name::Kind::Device => at.min(end),
            Some(_) | None => end,
        }
    }

    /// The first that it is known to have done, apart from being made.
    pub fn first_sign(&self) -> Option<PbxTime> {
        let dialled = self.dials.first().map(|dial| dial.at);
        let entered = self.stays.first().map(|stay| stay.from);
        [dialled, entered, self.gone.map(|gone| gone.at)].into_iter().flatten().min()
    }

    /// The last that it is known to have done.
    pub fn last_sign(&self) -> PbxTime {
        let dials = self.dials.iter().flat_map(|dial| [Some(dial.at), dial.end.as_ref().map(|end| end.at)]);
        let stays = self.stays.iter().flat_map(|stay| [Some(stay.from), stay.to]);
        let holds = self.holds.iter().flat_map(|hold| [Some(hold.from), hold.to]);
        let ends = [self.gone.map(|gone| gone.at), self.hangup_requested];
        dials.chain(stays).chain(holds).chain(ends).flatten().fold(self.born, PbxTime::max)
    }

    /// The end of the channel, or `otherwise` while it lives.
    pub fn end(&self, otherwise: PbxTime) -> PbxTime {
        self.gone.map_or(otherwise, |gone| gone.at)
    }

    /// The PBX called this channel, as against: its device called the PBX.
    pub fn was_called(&self) -> bool {
        match self.origin {
            Origin::Incoming => false,
            Origin::Unknown => !self.dials.is_empty(),
            // A channel that was there before we looked was called before we looked.
            Origin::Created => !self.dials.is_empty() || !self.announced,
        }
    }
}

impl DialStatus {
    pub fn parse(status: &[u8]) -> Self {
        match status {
            b"ANSWER" => Self::Answer,
            b"BUSY" => Self::Busy,
            b"CANCEL" => Self::Cancel,
            b"CONGESTION" => Self::Congestion,
            b"NOANSWER" => Self::NoAnswer,
            b"CHANUNAVAIL" => Self::Unavailable,
            _ => Self::Screened,
        }
    }

    /// The word that Asterisk uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "ANSWER",
            Self::Busy => "BUSY",
            Self::Cancel => "CANCEL",
            Self::Congestion => "CONGESTION",
            Self::NoAnswer => "NOANSWER",
            Self::Unavailable => "CHANUNAVAIL",
            Self::Screened => "SCREENED",
        }
    }
}

impl BridgeKind {
    /// From `BridgeType`, `BridgeTechnology` and `BridgeCreator`. ConfBridge makes bridges of type
    /// `base`; parking, `BridgeWait` and queues' holding bridges use a holding technology.
    pub fn of(kind: &[u8], technology: &[u8], creator: &[u8]) -> Self {
        if kind == b"parking" || kind == b"holding" || technology == b"holding_bridge" {
            return Self::Holding;
        }
        match kind {
            b"basic" | b"stasis" => Self::Mixing,
            _ if creator == b"ConfBridge" || kind == b"base" => Self::Conference,
            _ => Self::Mixing,
        }
    }
}
