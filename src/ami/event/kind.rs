//! Pure: which events there are, for those who count them.

use crate::ami::event::What;

/// Names of the kinds, as metrics have them; [`What::kind`] is a place in it.
pub const KINDS: [&str; 28] = [
    "new-channel",
    "channel-changed",
    "hangup",
    "hangup-request",
    "dial-begin",
    "dial-end",
    "bridge-enter",
    "bridge-leave",
    "bridge-destroy",
    "local-bridge",
    "blind-transfer",
    "attended-transfer",
    "pickup",
    "parking",
    "hold",
    "unhold",
    "queue-join",
    "queue-abandon",
    "agent",
    "variable",
    "message",
    "recording-stopped",
    "fax",
    "spy",
    "cdr",
    "user",
    "system",
    "list-item",
];

impl What<'_> {
    /// The place of its kind in [`KINDS`].
    pub fn kind(&self) -> usize {
        match self {
            Self::NewChannel(_) => 0,
            Self::ChannelChanged(_) => 1,
            Self::Hangup { .. } => 2,
            Self::HangupRequest { .. } => 3,
            Self::DialBegin { .. } => 4,
            Self::DialEnd { .. } => 5,
            Self::BridgeEnter { .. } => 6,
            Self::BridgeLeave { .. } => 7,
            Self::BridgeDestroy { .. } => 8,
            Self::LocalBridge { .. } => 9,
            Self::BlindTransfer { .. } => 10,
            Self::AttendedTransfer(_) => 11,
            Self::Pickup { .. } => 12,
            Self::Parked { .. } | Self::Unparked { .. } | Self::ParkingEnded { .. } => 13,
            Self::Hold(_) => 14,
            Self::Unhold(_) => 15,
            Self::QueueJoin { .. } => 16,
            Self::QueueAbandon { .. } => 17,
            Self::Agent { .. } => 18,
            Self::Variable { .. } => 19,
            Self::Message { .. } => 20,
            Self::RecordingStopped(_) => 21,
            Self::Fax(_) => 22,
            Self::Spy { .. } => 23,
            Self::Cdr(_) => 24,
            Self::User { .. } => 25,
            Self::FullyBooted { .. } | Self::Shutdown => 26,
            Self::Hint { .. } | Self::List(_) => 27,
        }
    }
}
