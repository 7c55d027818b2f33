//! Where the connection to a PBX stands, as others are told.

/// Where the connection to a PBX stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Link {
    /// Not connected yet.
    Connecting,
    /// Logged in; events flow.
    Up { asterisk_version: Option<String> },
    /// Not connected, and why not.
    Down { reason: String },
    /// The PBX is there and lets the user not in.
    Refused { reason: String },
    /// Connected but not read: calls wait for the store in vain.
    Stopped,
}
