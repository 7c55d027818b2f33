//! Pure: frame to typed event that borrows.
//!
//! Total: every block gives `Some` event or `None`; nothing fails. Header names and order follow
//! Asterisk 12 to 23 (AMI 2.x and later), keys match in any case, the first of two equal headers
//! wins: what a caller smuggles into a number can spoil no more than its own event.

use std::borrow::Cow;

use crate::ami::wire::Frame;
use crate::time::PbxTime;

mod fields;
pub mod kind;
pub mod text;

use fields::Fields;

/// One event that calls can depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'b> {
    /// `Timestamp:`, where `timestampevents` is on.
    pub at: Option<PbxTime>,
    pub what: What<'b>,
}

/// The events of Asterisk that calls can depend on, and what they need of each.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it borrows and lives on the stack while one event is handled")]
pub enum What<'b> {
    NewChannel(Channel<'b>),
    /// `Newstate`, `NewCallerid`, `NewAccountCode`: the channel as it is.
    ChannelChanged(Channel<'b>),
    Hangup {
        channel: Channel<'b>,
        cause: Option<u16>,
    },
    /// The far end of this channel asked to end it.
    HangupRequest {
        channel: Channel<'b>,
        cause: Option<u16>,
    },
    /// Absent `caller`: the PBX dials by itself (Originate, ARI, call files).
    DialBegin {
        caller: Option<Channel<'b>>,
        dest: Channel<'b>,
        dial_string: &'b [u8],
    },
    /// `status` is `ANSWER`, `BUSY`, `NOANSWER`, `CANCEL`, `CONGESTION`, `CHANUNAVAIL` … or the
    /// raw result of a subroutine; `forward` is where the phone sent the call (302).
    DialEnd {
        caller: Option<Channel<'b>>,
        dest: Channel<'b>,
        status: &'b [u8],
        forward: &'b [u8],
    },
    /// `swap`: the uniqueid of the channel whose place in the bridge is taken.
    BridgeEnter {
        bridge: Bridge<'b>,
        channel: Channel<'b>,
        swap: &'b [u8],
    },
    BridgeLeave {
        bridge: Bridge<'b>,
        channel: Channel<'b>,
    },
    BridgeDestroy {
        bridge: Bridge<'b>,
    },
    LocalBridge {
        one: Channel<'b>,
        two: Channel<'b>,
    },
    /// A party was sent on without asking. `transferee` is absent in calls of several parties.
    BlindTransfer {
        transferer: Channel<'b>,
        transferee: Option<Channel<'b>>,
        extension: &'b [u8],
        done: bool,
    },
    /// Two calls of one employee were joined.
    AttendedTransfer(AttendedTransfer<'b>),
    /// `picker` takes the call that rings at `target`.
    Pickup {
        picker: Channel<'b>,
        target: Channel<'b>,
    },
    Parked {
        parkee: Channel<'b>,
    },
    /// `retriever` takes the parked call.
    Unparked {
        parkee: Channel<'b>,
        retriever: Option<Channel<'b>>,
    },
    /// Nobody took the parked call in time, or the parked party hung up.
    ParkingEnded {
        parkee: Channel<'b>,
    },
    Hold(Channel<'b>),
    Unhold(Channel<'b>),
    QueueJoin {
        channel: Channel<'b>,
        queue: &'b [u8],
    },
    QueueAbandon {
        channel: Channel<'b>,
        queue: &'b [u8],
    },
    /// A queue calls a member (`AgentCalled`) or connects him (`AgentConnect`).
    Agent {
        caller: Option<Channel<'b>>,
        dest: Option<Channel<'b>>,
        interface: &'b [u8],
    },
    Variable {
        channel: Channel<'b>,
        name: &'b [u8],
        value: &'b [u8],
    },
    /// A message was left in a mailbox; `channel` is absent when the mailbox changed by itself.
    Message {
        channel: Option<Channel<'b>>,
        mailbox: &'b [u8],
        new: Option<u32>,
    },
    /// The recording that the channel began last goes on no longer.
    RecordingStopped(Channel<'b>),
    Fax(Channel<'b>),
    /// `spyer` listens; he is no party.
    Spy {
        spyer: Channel<'b>,
    },
    /// Asterisk's own record of a channel's part in a call.
    Cdr(Cdr<'b>),
    /// A dial plan hint: `device` (e.g. `PJSIP/101`) belongs to `exten`.
    Hint {
        exten: &'b [u8],
        device: &'b [u8],
    },
    /// `UserEvent(name)`, by which a dial plan speaks to us.
    User {
        channel: Option<Channel<'b>>,
        name: &'b [u8],
        said: Said<'b>,
    },
    /// Seconds since Asterisk started, where it says so (14 and later).
    FullyBooted {
        uptime: Option<u64>,
    },
    Shutdown,
    /// A part of a list that was asked for.
    List(ListPart<'b>),
}

/// Lists come as one event for each item, and one for the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ListPart<'b> {
    Channel(Listed<'b>),
    Bridge(Bridge<'b>),
    /// `items` is how many the list has by its own account; `complete` is not set when Asterisk gave it up.
    End {
        list: List,
        items: Option<u32>,
        complete: bool,
    },
}

/// What Asterisk lists on request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum List {
    /// `Status`: the channels themselves.
    Channels,
    /// `CoreShowChannels`: Asterisk's memory of them. Before May 2024 it could keep some that are gone
    /// (asterisk#783).
    Remembered,
    /// `BridgeList`.
    Bridges,
}

/// A channel of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listed<'b> {
    pub list: List,
    pub channel: Channel<'b>,
    /// The bridge it is in, empty when it is in none; `None` when the list does not say.
    pub bridge: Option<&'b [u8]>,
    /// What it runs: `AppDial` where it was dialled.
    pub application: &'b [u8],
}

/// The channel snapshot that most events carry. Absent values are empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Channel<'b> {
    pub name: &'b [u8],
    pub uniqueid: &'b [u8],
    pub linkedid: &'b [u8],
    /// `ChannelState`: 0 down, 4 ring (it calls us), 5 ringing (we call it), 6 up, 7 busy.
    pub state: Option<u8>,
    pub number: &'b [u8],
    pub context: &'b [u8],
    pub exten: &'b [u8],
    pub account: &'b [u8],
    /// `Priority` in the dial plan: above 1 the channel runs it, at 1 it was most likely called.
    pub priority: &'b [u8],
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bridge<'b> {
    pub uniqueid: &'b [u8],
    /// `basic`, `base` (ConfBridge), `stasis`, `parking`, `holding` …
    pub kind: &'b [u8],
    pub technology: &'b [u8],
    pub creator: &'b [u8],
}

/// Headers of a `UserEvent` by which a dial plan says what becomes of a call. Absent ones are empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Said<'b> {
    pub status: &'b [u8],
    pub result: &'b [u8],
    pub responsible: &'b [u8],
    pub send: &'b [u8],
    pub tenant: &'b [u8],
}

/// What a `Cdr` event tells. Times are local, `2026-11-22 09:13:11`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cdr<'b> {
    pub uniqueid: &'b [u8],
    /// Name of the channel that was called last.
    pub destination_channel: &'b [u8],
    pub application: &'b [u8],
    /// Of `Dial`: what was dialled and the options.
    pub data: &'b [u8],
    pub started: &'b [u8],
    pub ended: &'b [u8],
}

/// Everybody whom an attended transfer names; Asterisk leaves out half of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttendedTransfer<'b> {
    pub first: Option<Channel<'b>>,
    pub second: Option<Channel<'b>>,
    pub transferee: Option<Channel<'b>>,
    pub target: Option<Channel<'b>>,
    pub local_one: Option<Channel<'b>>,
    pub local_two: Option<Channel<'b>>,
    pub done: bool,
}

impl<'b> Event<'b> {
    /// Reads a block. `None`: no event that calls can depend on.
    pub fn parse(frame: &Frame<'b>) -> Option<Self> {
        let fields = Fields::read(frame);
        let what = fields.what(frame)?;
        Some(Self { at: PbxTime::parse(fields.timestamp), what })
    }
}

impl<'b> What<'b> {
    /// The channel that the event is about, where it is about one.
    pub fn subject(&self) -> Option<&Channel<'b>> {
        match self {
            Self::NewChannel(channel)
            | Self::ChannelChanged(channel)
            | Self::Hold(channel)
            | Self::Unhold(channel)
            | Self::Fax(channel)
            | Self::RecordingStopped(channel)
            | Self::Hangup { channel, .. }
            | Self::HangupRequest { channel, .. }
            | Self::BridgeEnter { channel, .. }
            | Self::BridgeLeave { channel, .. }
            | Self::QueueJoin { channel, .. }
            | Self::QueueAbandon { channel, .. }
            | Self::Variable { channel, .. } => Some(channel),
            Self::DialBegin { dest, .. } | Self::DialEnd { dest, .. } => Some(dest),
            Self::LocalBridge { one, .. } => Some(one),
            Self::BlindTransfer { transferer, .. } => Some(transferer),
            Self::Pickup { picker, .. } => Some(picker),
            Self::Parked { parkee } | Self::ParkingEnded { parkee } | Self::Unparked { parkee, .. } => {
                Some(parkee)
            }
            Self::Spy { spyer } => Some(spyer),
            Self::Agent { dest, .. } => dest.as_ref(),
            Self::Message { channel, .. } | Self::User { channel, .. } => channel.as_ref(),
            Self::AttendedTransfer(_)
            | Self::List(_)
            | Self::BridgeDestroy { .. }
            | Self::Cdr(_)
            | Self::Hint { .. }
            | Self::FullyBooted { .. }
            | Self::Shutdown => None,
        }
    }
}

impl<'b> Channel<'b> {
    /// The snapshot whose headers begin with `prefix`, e.g. `Transferee`.
    fn prefixed(frame: &Frame<'b>, prefix: &[u8]) -> Option<Self> {
        let mut channel = Self::default();
        for (key, value) in frame.headers() {
            if key.len() > prefix.len() && key[..prefix.len()].eq_ignore_ascii_case(prefix) {
                channel.set(&key[prefix.len()..], value);
            }
        }
        channel.known()
    }

    fn set(&mut self, key: &[u8], value: &'b [u8]) {
        let slot = match key.len() {
            5 if key.eq_ignore_ascii_case(b"Exten") => &mut self.exten,
            7 if key.eq_ignore_ascii_case(b"Channel") => &mut self.name,
            7 if key.eq_ignore_ascii_case(b"Context") => &mut self.context,
            8 if key.eq_ignore_ascii_case(b"Priority") => &mut self.priority,
            8 if key.eq_ignore_ascii_case(b"Uniqueid") => &mut self.uniqueid,
            8 if key.eq_ignore_ascii_case(b"Linkedid") => &mut self.linkedid,
            11 if key.eq_ignore_ascii_case(b"CallerIDNum") => &mut self.number,
            11 if key.eq_ignore_ascii_case(b"AccountCode") => &mut self.account,
            12 if key.eq_ignore_ascii_case(b"ChannelState") => {
                self.state = self.state.or_else(|| number(value));
                return;
            }
            _ => return,
        };
        if slot.is_empty() {
            *slot = value;
        }
    }

    /// A snapshot without a uniqueid is none (`Uniqueid: none` stands for the PBX itself), nor is
    /// one with a uniqueid that Asterisk cannot have made: its own buffer has 150 bytes.
    fn known(mut self) -> Option<Self> {
        const UNIQUEID_MAX: usize = 150;
        if self.linkedid.len() > UNIQUEID_MAX {
            self.linkedid = b"";
        }
        let plausible = (1..=UNIQUEID_MAX).contains(&self.uniqueid.len())
            && std::str::from_utf8(self.uniqueid).is_ok_and(|text| !text.contains(char::is_control));
        (plausible && self.uniqueid != b"none").then_some(self)
    }
}

/// The second in which a channel was made: uniqueids are `[systemname-]epoch.counter`.
pub fn made_at(uniqueid: &[u8]) -> Option<PbxTime> {
    let start = memchr::memrchr(b'-', uniqueid).map_or(0, |dash| dash + 1);
    let end = memchr::memrchr(b'.', uniqueid).filter(|dot| *dot > start)?;
    PbxTime::parse(&uniqueid[start..end])
}

/// Where in its extension of the dial plan a channel is, from 1.
pub fn priority(channel: &Channel<'_>) -> Option<u32> {
    number(channel.priority)
}

/// Reads a decimal number.
fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A caller's number, or `None` for everything by which Asterisk and networks say "not known".
pub fn presented(number: &[u8]) -> Option<Cow<'_, str>> {
    const UNKNOWN: [&str; 9] = [
        "<unknown>",
        "unknown",
        "anonymous",
        "unavailable",
        "restricted",
        "private",
        "withheld",
        "none",
        "asterisk",
    ];
    let text = text::decode(number);
    let known = !text.is_empty() && !UNKNOWN.iter().any(|word| text.eq_ignore_ascii_case(word));
    known.then_some(text)
}

#[cfg(test)]
mod tests;
