//! Pure: the `[amocrm.callback-task]` table: the task to call back after a missed call.

use serde::{Deserialize, Serialize};

use crate::amo::settings::{Language, Text};
use crate::time::span::Span;

/// The `[amocrm.callback-task]` table.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CallbackTask {
    /// A missed call of somebody whom amoCRM knows makes a task, which a later talk with him closes.
    pub make: bool,
    /// The id of its type; 1 is the call of every account.
    pub kind: u64,
    /// What is to be done; [`PLACES`] stand for what they say. Unset, by the account's language.
    pub text: Option<Text>,
    /// What is written under a task that a talk closed. Unset, by the account's language.
    pub result: Option<Text>,
    /// When it is to be done, counted from its making.
    pub deadline: Span,
    /// Whose it is.
    pub responsible: Assignee,
}

/// Whose the task is. Where that is nobody, or nobody who works there, it is of the user whom the call
/// is booked on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assignee {
    /// The owner of the contact, company, lead or customer that has the call.
    #[default]
    Owner,
    /// The user whom the call is booked on.
    Call,
    /// This one.
    User(u64),
}

/// The places of [`CallbackTask::text`] and [`CallbackTask::result`].
pub const PLACES: [&str; 3] = ["phone", "line", "did"];

impl CallbackTask {
    /// The template of a task's text.
    pub fn text(&self, language: Language) -> &str {
        self.text.as_ref().map_or(
            match language {
                Language::Ru => "Перезвонить {phone}: пропущенный звонок",
                Language::En => "Call {phone} back: missed call",
            },
            Text::as_str,
        )
    }

    /// The template of what is written under a task that a talk closed.
    pub fn result(&self, language: Language) -> &str {
        self.result.as_ref().map_or(
            match language {
                Language::Ru => "Поговорили",
                Language::En => "Talked",
            },
            Text::as_str,
        )
    }
}

impl Default for CallbackTask {
    fn default() -> Self {
        Self {
            make: false,
            kind: 1,
            text: None,
            result: None,
            deadline: Span::from_hours(1),
            responsible: Assignee::Owner,
        }
    }
}

/// The first `{place}` of a template that is none of `known`.
pub fn unknown_place<'t>(template: &'t str, known: &[&str]) -> Option<&'t str> {
    let places = template.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    places.map(|(place, _)| place).find(|place| !known.contains(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_place_is_found() {
        assert_eq!(unknown_place("{phone} {line}", &PLACES), None);
        assert_eq!(unknown_place("{phone} {nmae}", &PLACES), Some("nmae"));
        assert_eq!(unknown_place("no place, {half", &PLACES), None);
    }

    #[test]
    fn the_responsible_is_a_word_or_a_user() {
        let read = |text: &str| toml::from_str::<CallbackTask>(text).map(|task| task.responsible);
        assert_eq!(read("responsible = \"call\"").unwrap(), Assignee::Call);
        assert_eq!(read("responsible = { user = 7 }").unwrap(), Assignee::User(7));
        assert!(read("responsible = \"nobody\"").is_err());
    }

    #[test]
    fn nothing_is_made_unless_the_configuration_says_so() {
        assert!(!CallbackTask::default().make);
    }
}
