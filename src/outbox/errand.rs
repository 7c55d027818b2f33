//! Pure: what has to be done in amoCRM before a call can be posted there, as the outbox keeps it.
//!
//! amoCRM refuses a call whose number it does not know. Such a call is parked, and its errand says
//! what is made for it first; what is made, and what was made, outlives the process.

use serde::{Deserialize, Serialize};

use crate::time::HostTime;

/// The errand of one call. The default one is that of a call that is simply posted.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
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
    /// When something was made for the call. amoCRM's search may lag behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_at: Option<HostTime>,
    /// amoCRM refused what was to be made; it is only looked up whether it is there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// The contact gets a lead.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wants_lead: bool,
    /// amoCRM wants a link even where there is no recording.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub needs_link: bool,
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

/// What comes next for a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It is posted.
    Post,
    /// The open items of Incoming leads are read.
    List,
    /// Contacts with its number are searched for.
    Search,
}

impl Errand {
    /// What comes next for a call that waits.
    pub fn kind(&self) -> Kind {
        match (self.make, &self.against) {
            (Some(Make::Unsorted), _) | (None, Some(_)) => Kind::List,
            (Some(Make::Contact | Make::Lead), _) => Kind::Search,
            (None, None) => Kind::Post,
        }
    }

    /// By what a POST is settled whose outcome is unknown; [`Kind::Post`] is one of the call itself.
    pub fn read_back(&self) -> Kind {
        match self.make {
            None => Kind::Post,
            Some(Make::Unsorted) => Kind::List,
            Some(Make::Contact | Make::Lead) => Kind::Search,
        }
    }

    /// Whether the call is simply posted, as every call is at first.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
