//! Pure: whom a call is booked on in amoCRM, and what is shown and told of an extension that has no user
//! there.
//!
//! ```text
//!  the user whom the hook names
//!   └─► the entity's owner (a missed call, where the policy says so)
//!    └─► the user of the extension ─► default-user ─► nobody
//!         each unless he is inactive, unknown, or was refused by amoCRM
//! ```
//!
//! amoCRM takes a number for a user's id and a text for a user's name or phone, so a user is always a
//! number, and an extension always a text that cannot be taken for one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::amo::calls::{Responsible, cut};
use crate::amo::result::language;
use crate::amo::settings::{Settings, TEXT_MAX, Unmapped};
use crate::amo::users::{Roster, Standing};
use crate::call::line::Language;
use crate::call::record::CallRecord;
use crate::call::why::{ResponsibleRule, Why};

/// On whom a call is booked.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Who {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<u64>,
    /// Whom the feed shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<Responsible>,
    /// The extension without a user, for the call's result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
}

impl Who {
    /// The texts in it.
    pub fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let Self { user: _, shown, told } = self;
        let shown = shown.iter_mut().filter_map(|shown| match shown {
            Responsible::User(_) => None,
            Responsible::Name(name) => Some(name),
        });
        shown.chain(told)
    }
}

/// What is known beyond the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grounds<'g> {
    pub roster: Option<&'g Roster>,
    pub refused: Option<&'g Refused>,
    /// Users that amoCRM refused for this very call.
    pub refused_here: &'g [u64],
    /// amoCRM refused a text for this very call.
    pub text_refused_here: bool,
    /// The owner of what the call will be attached to.
    pub owner: Option<u64>,
}

/// What amoCRM refused.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Refused {
    pub users: BTreeSet<u64>,
    /// A text in place of a user's id.
    pub text: bool,
}

/// What of a [`Who`] amoCRM did not like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    User(u64),
    Text,
}

/// The fields that name a user.
const FIELDS: [&str; 4] = ["call_responsible", "responsible_user_id", "created_by", "updated_by"];
/// Parts of words by which a refusal that names no field speaks of users.
const WORDS: [&str; 4] = ["user", "responsible", "пользовател", "ответственн"];

/// On whom the call is booked.
pub fn choose(record: &CallRecord, settings: &Settings, grounds: &Grounds<'_>) -> Who {
    let extension = record.responsible.as_deref().map(str::trim).filter(|extension| !extension.is_empty());
    let mapped = extension.and_then(|extension| settings.users.get(extension)).copied();
    let owner = grounds.owner.filter(|_| wants_owner(record));
    let own =
        [record.responsible_user, owner, mapped].into_iter().flatten().find(|user| grounds.allow(*user));
    let user = own.or(settings.default_user.filter(|user| grounds.allow(*user)));
    let text = extension
        .filter(|_| own.is_none())
        .and_then(|extension| text(extension, settings, language(record, settings)));
    let shown = match (user, &text) {
        (Some(user), _) => Some(Responsible::User(user)),
        (None, Some(text)) if grounds.allow_text() => Some(Responsible::Name(text.clone())),
        (None, Some(_) | None) => None,
    };
    Who { user, shown, told: text }
}

/// On whom the call is booked by the configuration alone.
pub fn configured(record: &CallRecord, settings: &Settings) -> Who {
    choose(record, settings, &Grounds::default())
}

/// Whether the call is its entity's owner's, whoever that is.
pub fn wants_owner(record: &CallRecord) -> bool {
    let by_owner = |why: &Why| matches!(why, Why::Responsible { rule: ResponsibleRule::EntityOwner, .. });
    let is_open = record.responsible.is_none() && record.responsible_user.is_none();
    is_open && record.why.iter().any(by_owner)
}

/// An extension without a user, as people read it; `None` where nothing shall be said of it.
pub fn text(extension: &str, settings: &Settings, language: Language) -> Option<String> {
    let text = match settings.unmapped {
        Unmapped::Omit => return None,
        Unmapped::Extension => extension.to_owned(),
        Unmapped::Text => {
            let name = settings.names.get(extension).map_or("", String::as_str);
            let filled =
                template(settings, language).replace("{extension}", extension).replace("{name}", name);
            // A name that is not known leaves its blank behind.
            filled.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    };
    Some(cut(&text, TEXT_MAX)).filter(|text| !text.trim().is_empty())
}

/// What the call's result says, with the extension that has no user, in `max` characters.
pub fn telling(result: Option<String>, told: Option<&str>, max: usize) -> Option<String> {
    match (result, told) {
        (Some(result), Some(told)) if says(&result, told) => Some(result),
        (Some(result), Some(told)) => {
            // The extension is short and says most: the words before it are cut.
            let room = max.saturating_sub(told.chars().count() + 2);
            Some(cut(&format!("{}, {told}", cut(&result, room)), max))
        }
        (result, None) => result,
        (None, Some(told)) => Some(cut(told, max)).filter(|text| !text.is_empty()),
    }
}

/// What of `who` a refusal speaks of, if of anything.
pub fn blamed(who: &Who, path: &str, detail: &str) -> Option<Blame> {
    let text = || match &who.shown {
        Some(Responsible::Name(_)) => Some(Blame::Text),
        Some(Responsible::User(user)) => Some(Blame::User(*user)),
        None => None,
    };
    let user = || who.user.map(Blame::User);
    match path.rsplit('.').find(|part| FIELDS.contains(part)) {
        Some("call_responsible") => text(),
        Some(_) => user(),
        None if path.is_empty() && speaks_of_users(detail) => user().or_else(text),
        None => None,
    }
}

/// As [`blamed`], where only words are left of the refusal.
pub fn blamed_in_words(who: &Who, words: &str) -> Option<Blame> {
    let path = FIELDS.into_iter().find(|field| words.contains(field))?;
    blamed(who, path, "")
}

impl Grounds<'_> {
    /// Whether this user may be named.
    pub fn allow(&self, user: u64) -> bool {
        let stands = match self.roster.map(|roster| roster.standing(user)) {
            Some(Standing::Inactive | Standing::Unknown) => false,
            Some(Standing::Active) | None => true,
        };
        let refused = self.refused.is_some_and(|refused| refused.users.contains(&user));
        stands && !refused && !self.refused_here.contains(&user)
    }

    fn allow_text(&self) -> bool {
        !self.text_refused_here && !self.refused.is_some_and(|refused| refused.text)
    }
}

fn template(settings: &Settings, language: Language) -> &str {
    match (&settings.extension_text, language) {
        (Some(own), _) => own.as_str(),
        (None, Language::Ru) => "доб. {extension} {name}",
        (None, Language::En) => "ext. {extension} {name}",
    }
}

/// Whether a text says these words, and not a longer number or word that they are a part of.
fn says(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + words.len()..).and_then(|after| after.chars().next());
        [before, after].into_iter().flatten().all(|sign| !sign.is_alphanumeric())
    })
}

fn speaks_of_users(detail: &str) -> bool {
    let detail = detail.to_lowercase();
    WORDS.iter().any(|word| detail.contains(word))
}

#[cfg(test)]
mod tests;
