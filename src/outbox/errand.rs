//! Pure: what has to be done in amoCRM before a call can be posted there, as the outbox keeps it.
//!
//! amoCRM refuses a call whose number it does not know. Such a call is parked, and its errand says
//! what is made for it first; what is made, and what was made, outlives the process.

use serde::{Deserialize, Serialize};

use crate::amo::calls::Entry;
use crate::amo::limits::Limits;
use crate::amo::who::{Blame, Who};
use crate::outbox::compare::Compared;
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
    /// Users that amoCRM refused for this call: it goes without them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_users: Vec<u64>,
    /// amoCRM refused its extension as text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refused_text: bool,
    /// On whom it is booked in amoCRM, where that is not what the configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booked: Option<Who>,
    /// What amoCRM was found not to take of what is said of this call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What was posted, while its link is owed: the link goes with the same words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
    /// Where the call's sound is, when it is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound: Option<Sound>,
    /// What others wrote of the call in amoCRM, where that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// What was posted of a call beyond its record: configuration, users and owners may be others later.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Said {
    pub who: Who,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    pub source: String,
    pub duration: u64,
}

impl Said {
    /// What is made of the call now, as it was said then.
    #[must_use]
    pub fn over(&self, entry: Entry) -> Entry {
        let Self { who: _, result, source, duration } = self.clone();
        Entry { call_result: result, source, duration, ..entry }
    }
}

/// What is known of the file with the sound of a call.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Sound {
    /// It is there, below its folder: a POST has the link.
    Found { file: String },
    /// It was not there; of a delivered call the link is owed.
    Missing {
        since: HostTime,
        /// Tries since the call was delivered.
        #[serde(default, skip_serializing_if = "is_zero")]
        tries: u32,
    },
    /// The link was added to the note later.
    Added { file: String },
    /// The note stays without a link.
    GivenUp { reason: String },
    /// A later version's word: left alone.
    #[serde(other)]
    Other,
}

/// What can be made for a number that amoCRM does not know.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Make {
    /// An item in Incoming leads (Неразобранное).
    Unsorted,
    Contact,
    /// A lead of the contact that was made before.
    Lead,
}

/// What comes next for a call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// It is posted.
    Post,
    /// The open items of Incoming leads are read.
    List,
    /// Contacts with its number are searched for.
    Search,
}

/// Refused users that a call remembers, the last ones: more than may stand for one another.
const REFUSED_MAX: usize = 4;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Errand {
    /// The file with the call's sound, below its folder.
    pub fn file(&self) -> Option<&str> {
        match self.sound.as_ref()? {
            Sound::Found { file } | Sound::Added { file } => Some(file),
            Sound::Missing { .. } | Sound::GivenUp { .. } | Sound::Other => None,
        }
    }

    /// A delivered call whose link is owed.
    pub fn owes_link(&self) -> bool {
        matches!(self.sound, Some(Sound::Missing { .. }))
    }

    /// On whom the call was booked when it was posted, as far as that was kept.
    pub fn named(&self) -> Option<&Who> {
        self.said.as_ref().map(|said| &said.who).or(self.booked.as_ref())
    }

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

    /// This errand without what amoCRM refused of its call.
    #[must_use]
    pub fn without(&self, blame: Blame) -> Self {
        let mut errand = self.clone();
        match blame {
            Blame::User(user) => {
                errand.refused_users.retain(|refused| *refused != user);
                errand.refused_users.push(user);
                let more = errand.refused_users.len().saturating_sub(REFUSED_MAX);
                errand.refused_users.drain(..more);
            }
            Blame::Text => errand.refused_text = true,
        }
        errand
    }

    /// The texts of what was said of the call, of whom it was booked on, and why it has no link.
    pub fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let Self { said, booked, sound, .. } = self;
        let reason = match sound {
            Some(Sound::GivenUp { reason }) => Some(reason),
            Some(Sound::Found { .. } | Sound::Missing { .. } | Sound::Added { .. } | Sound::Other) | None => {
                None
            }
        };
        let said = said.iter_mut().flat_map(|Said { who, result, source, duration: _ }| {
            std::iter::once(source).chain(result).chain(who.texts())
        });
        said.chain(booked.iter_mut().flat_map(Who::texts)).chain(reason)
    }

    /// Whether the call is simply posted, as every call is at first.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_remembers_the_last_users_that_were_refused() {
        let refused = [7].into_iter().chain(0..20).chain([19]);
        let errand = refused.fold(Errand::default(), |errand, user| errand.without(Blame::User(user)));
        assert_eq!(errand.refused_users, [16, 17, 18, 19]);
    }

    #[test]
    fn what_was_said_is_read_as_it_was_kept_and_was_not_kept_earlier() {
        let said = Said { result: Some("Ответил 101".to_owned()), duration: 4, ..Said::default() };
        let errand = Errand { said: Some(said), ..Errand::default() };
        let kept = serde_json::to_string(&errand).unwrap();
        assert_eq!(serde_json::from_str::<Errand>(&kept).unwrap(), errand);
        let earlier = r#"{"booked":{"user":9},"sound":{"is":"missing","since":1}}"#;
        let read: Errand = serde_json::from_str(earlier).unwrap();
        assert_eq!((read.said.as_ref(), read.named().and_then(|who| who.user)), (None, Some(9)));
        assert_eq!(serde_json::to_string(&read).unwrap(), earlier);
    }
}
