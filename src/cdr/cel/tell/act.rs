//! Pure: what a channel did, as the event that tells it.

use crate::ami::event::{AttendedTransfer, Bridge, What};
use crate::call::name;
use crate::cdr::cel::entry::Entry;
use crate::cdr::cel::tell::Leg;

/// What a channel did; others are places in the list of legs.
#[derive(Clone, Debug)]
pub(super) enum Act {
    New,
    Dial {
        by: Option<usize>,
        string: String,
    },
    DialEnd {
        by: Option<usize>,
        status: &'static str,
        forward: String,
    },
    /// A queue calls this leg for that one.
    Member {
        by: usize,
    },
    Enter {
        bridge: String,
        room: Room,
    },
    Leave {
        bridge: String,
        room: Room,
    },
    Blind {
        transferee: Option<usize>,
        extension: String,
    },
    Attended {
        others: Vec<usize>,
    },
    PickedUp {
        by: usize,
    },
    Parked,
    Unparked {
        by: Option<usize>,
    },
    QueueJoin {
        queue: String,
    },
    QueueAbandon,
    Variable {
        name: &'static str,
        value: String,
    },
    Message,
    Fax,
    Spy,
    HangupRequest {
        cause: Option<u16>,
    },
    Hangup {
        cause: Option<u16>,
    },
}

/// What a bridge is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Room {
    Talk,
    Conference,
    Holding,
}

impl Act {
    /// The event that tells it of `leg`.
    pub(super) fn what<'t>(&'t self, leg: &'t Leg, legs: &'t [Leg]) -> What<'t> {
        let channel = leg.face.snapshot();
        let other = |at: usize| legs[at].face.snapshot();
        match self {
            Act::New => What::NewChannel(channel),
            Act::Dial { by, string } => {
                What::DialBegin { caller: by.map(other), dest: channel, dial_string: string.as_bytes() }
            }
            Act::DialEnd { by, status, forward } => What::DialEnd {
                caller: by.map(other),
                dest: channel,
                status: status.as_bytes(),
                forward: forward.as_bytes(),
            },
            Act::Member { by } => What::Agent {
                caller: Some(other(*by)),
                dest: Some(channel),
                interface: name::endpoint(&leg.face.name).as_bytes(),
            },
            Act::Enter { bridge, room } => {
                What::BridgeEnter { bridge: room.bridge(bridge), channel, swap: b"" }
            }
            Act::Leave { bridge, room } => What::BridgeLeave { bridge: room.bridge(bridge), channel },
            Act::Blind { transferee, extension } => What::BlindTransfer {
                transferer: channel,
                transferee: transferee.map(other),
                extension: extension.as_bytes(),
                done: true,
            },
            Act::Attended { others } => {
                let at = |at: usize| others.get(at).copied().map(other);
                What::AttendedTransfer(AttendedTransfer {
                    first: Some(channel),
                    second: at(0),
                    transferee: at(1),
                    target: at(2),
                    local_one: None,
                    local_two: None,
                    done: true,
                })
            }
            Act::PickedUp { by } => What::Pickup { picker: other(*by), target: channel },
            Act::Parked => What::Parked { parkee: channel },
            Act::Unparked { by } => What::Unparked { parkee: channel, retriever: by.map(other) },
            Act::QueueJoin { queue } => What::QueueJoin { channel, queue: queue.as_bytes() },
            Act::QueueAbandon => What::QueueAbandon { channel, queue: b"" },
            Act::Variable { name, value } => {
                What::Variable { channel, name: name.as_bytes(), value: value.as_bytes() }
            }
            Act::Message => What::Message { channel: Some(channel), mailbox: b"", new: Some(1) },
            Act::Fax => What::Fax(channel),
            Act::Spy => What::Spy { spyer: channel },
            Act::HangupRequest { cause } => What::HangupRequest { channel, cause: *cause },
            Act::Hangup { cause } => What::Hangup { channel, cause: *cause },
        }
    }
}

impl Room {
    /// Of the bridge that the channel enters or leaves.
    pub(super) fn of(entry: &Entry) -> Self {
        if entry.extra("bridge_technology") == Some("holding_bridge") {
            return Self::Holding;
        }
        match entry.app.to_ascii_lowercase().as_str() {
            "confbridge" | "meetme" => Self::Conference,
            _ => Self::Talk,
        }
    }

    fn bridge(self, id: &str) -> Bridge<'_> {
        let (kind, technology, creator): (&[u8], &[u8], &[u8]) = match self {
            Self::Talk => (b"basic", b"", b""),
            Self::Conference => (b"base", b"softmix", b"ConfBridge"),
            Self::Holding => (b"base", b"holding_bridge", b""),
        };
        Bridge { uniqueid: id.as_bytes(), kind, technology, creator }
    }
}
