//! Pure: what has to be done in amoCRM before a call can be posted there, as the outbox keeps it.
//!
//! amoCRM refuses a call whose number it does not know. Such a call is parked, and its errand says
//! what is made for it first; what is made, and what was made, outlives the process.

use serde::{Deserialize, Serialize};

use crate::time::HostTime;

/// The errand of one call. The default one is that of a call that is simply posted.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Errand {
    /// What the next POST with this call makes; without it the call itself is posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub make: Option<Make>,
    /// Nothing is made for this call again: it was made, or must not be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
    /// The open item in Incoming leads with the number of this call: the call waits for what a
    /// person makes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// When that item was first missing from the list: accepted or declined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<HostTime>,
    /// The contact that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<u64>,
    /// The lead that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead: Option<u64>,
}

/// What can be made for a number that amoCRM does not know.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Make {
    /// An item in Incoming leads (Неразобранное).
    Unsorted,
    Contact,
    /// A lead of the contact that was made before.
    Lead,
}

impl Errand {
    /// Whether the call is simply posted, as every call is at first.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
