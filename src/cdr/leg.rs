//! Pure: a channel as records tell it.

use crate::ami::event::Channel;

/// What a channel's events say of it, as far as its records know.
#[derive(Clone, Debug, Default)]
pub(super) struct Face {
    pub name: String,
    pub id: String,
    pub linkedid: String,
    pub number: String,
    pub exten: String,
    pub context: String,
    pub account: String,
    /// The PBX made it.
    pub called: bool,
}

impl Face {
    /// The channel as the event of its beginning has it.
    pub fn snapshot(&self) -> Channel<'_> {
        const DOWN: u8 = 0;
        const RING: u8 = 4;
        Channel {
            name: self.name.as_bytes(),
            uniqueid: self.id.as_bytes(),
            linkedid: self.linkedid.as_bytes(),
            state: Some(if self.called { DOWN } else { RING }),
            number: self.number.as_bytes(),
            context: self.context.as_bytes(),
            exten: self.exten.as_bytes(),
            account: self.account.as_bytes(),
            priority: b"",
        }
    }
}
