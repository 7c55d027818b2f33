//! Pure: what a call record shall say, and which calls are sent. Every key has a default.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::call::facts::Word;
use crate::call::id::AccountId;
use crate::call::line::Line;
use crate::call::phone;
use crate::call::record::{Direction, Outcome};
use crate::call::side::rules::Rules as Sides;
use crate::time::span::Span;

/// The `[calls]` table of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    pub responsible: Responsible,
    /// A shorter talk does not make an employee responsible, unless nobody talked longer.
    pub least_talk: Span,
    /// On whom a call is booked that several were called for and nobody answered.
    #[serde(alias = "missed-responsible")]
    pub missed: Missed,
    pub transfers: Transfers,
    pub statuses: Statuses,
    /// Own statuses for outcomes, before `statuses`.
    pub status: BTreeMap<Outcome, Status>,
    /// The number with which an anonymous caller is sent; without it he is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_phone: Option<String>,
    /// The number of an extension, `{extension}` in it, with which calls among ourselves are sent;
    /// without it they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_phone: Option<String>,
    pub send: Send,
    pub sides: Sides,
    pub numbers: phone::Rules,
    pub dial_plan: DialPlan,
    /// The `[[line]]` tables, which stand beside this one.
    #[serde(skip)]
    pub lines: Vec<Line>,
    /// Accounts whose calls are not sent but compared with what another connector writes.
    #[serde(skip)]
    pub shadowed: BTreeSet<AccountId>,
}

/// On whom a call with several employees is booked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Responsible {
    First,
    #[default]
    Last,
    Longest,
}

/// On whom a call is booked that several extensions were called for and nobody answered.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// On nobody: the account's default user.
    #[default]
    #[serde(alias = "single-rang")]
    Nobody,
    /// On the extension that was called first.
    #[serde(alias = "first-rang")]
    First,
    /// On the extension that was called last.
    #[serde(alias = "last-rang")]
    Last,
    /// On the owner of the contact that amoCRM has for the number; also where nobody was called.
    EntityOwner,
    /// On this one.
    #[serde(alias = "fixed")]
    Extension(String),
}

/// Whether a conversation with several employees is one record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transfers {
    #[default]
    OneRecord,
    /// A record for each employee who talked.
    PerAgent,
}

/// Which of amoCRM's `call_status` an outcome gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statuses {
    /// Every outcome that amoCRM can tell apart.
    #[default]
    Detailed,
    /// Talked or not: 4 and 6.
    Simple,
}

/// amoCRM's `call_status`, 1 to 7.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Status(u8);

/// The `[calls.send]` table: which calls are sent at all. What is not sent is kept with the reason.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Send {
    /// Only these directions; empty: all.
    pub directions: BTreeSet<Direction>,
    pub dids: Choice,
    pub trunks: Choice,
    /// The extension on which the call is booked.
    pub extensions: Choice,
    /// The outside number, whatever its form.
    pub numbers: Choice,
    /// Answered calls with less talk are not sent.
    pub shortest_talk: Span,
    /// Calls that nobody answered and that ended sooner are not sent.
    pub shortest_wait: Span,
}

/// A list of what is wanted and one of what is not.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Choice {
    /// Only these; empty: all.
    pub only: BTreeSet<String>,
    pub never: BTreeSet<String>,
}

/// The `[calls.dial-plan]` table: by which names the dial plan speaks to us.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DialPlan {
    /// What the names of channel variables begin with: `AMI2AMO_STATUS`, `…_RESULT`,
    /// `…_RESPONSIBLE`, `…_SEND`, `…_TENANT`.
    pub variables: String,
    /// The name of the `UserEvent` with headers `status`, `result`, `responsible`, `send`, `tenant`.
    pub event: String,
}

impl Default for DialPlan {
    fn default() -> Self {
        Self { variables: "AMI2AMO_".to_owned(), event: "ami2amo".to_owned() }
    }
}

impl DialPlan {
    /// What a channel variable of this name says.
    pub fn word(&self, variable: &[u8]) -> Option<Word> {
        match variable.strip_prefix(self.variables.as_bytes())? {
            b"STATUS" => Some(Word::Status),
            b"RESULT" => Some(Word::Result),
            b"RESPONSIBLE" => Some(Word::Responsible),
            b"SEND" => Some(Word::Send),
            b"TENANT" => Some(Word::Tenant),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0} is no call status of amoCRM: 1 left a message, 2 call back later, 3 not available, 4 talked, 5 wrong number, 6 not reached, 7 busy"
)]
pub struct NoStatus(u8);

impl Status {
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Status {
    type Error = NoStatus;

    fn try_from(number: u8) -> Result<Self, NoStatus> {
        if (1..=7).contains(&number) { Ok(Self(number)) } else { Err(NoStatus(number)) }
    }
}

impl From<Status> for u8 {
    fn from(status: Status) -> Self {
        status.0
    }
}

impl Policy {
    /// The status that amoCRM is told for an outcome.
    pub fn status_of(&self, outcome: Outcome) -> u8 {
        self.status.get(&outcome).map_or_else(|| self.statuses.of(outcome), |status| status.0)
    }
}

impl Statuses {
    /// amoCRM's number: 1 left a message, 3 not available, 4 talked, 5 wrong number, 6 not reached,
    /// 7 busy. (2, "call back later", is for the dial plan to say.)
    pub fn of(self, outcome: Outcome) -> u8 {
        match (self, outcome) {
            (_, Outcome::Answered) => 4,
            (Self::Simple, _) => 6,
            (Self::Detailed, Outcome::Voicemail) => 1,
            (Self::Detailed, Outcome::Unavailable) => 3,
            (Self::Detailed, Outcome::WrongNumber) => 5,
            (Self::Detailed, Outcome::Busy) => 7,
            (
                Self::Detailed,
                Outcome::NoAnswer
                | Outcome::Cancelled
                | Outcome::Abandoned
                | Outcome::Declined
                | Outcome::Congestion
                | Outcome::Fax,
            ) => 6,
        }
    }
}

impl Choice {
    /// Whether something called `name` is wanted; `None` has no name.
    pub fn wants(&self, name: Option<&str>) -> bool {
        self.wants_any(|listed| name == Some(listed))
    }

    /// Whether something is wanted that `is` tells the listed names of.
    pub fn wants_any(&self, is: impl Fn(&str) -> bool) -> bool {
        (self.only.is_empty() || self.only.iter().any(|listed| is(listed)))
            && !self.never.iter().any(|listed| is(listed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_written_as_a_table() {
        let policy: Policy = toml::from_str(
            "responsible = \"longest\"\nleast-talk = \"5s\"\nmissed = { extension = \"100\" }\n\
             status = { voicemail = 2 }\n[send]\ndirections = [\"inbound\"]\ndids.never = [\"74957000900\"]\n",
        )
        .unwrap();
        assert_eq!(policy.missed, Missed::Extension("100".to_owned()));
        assert_eq!((policy.status_of(Outcome::Voicemail), policy.status_of(Outcome::Busy)), (2, 7));
        assert!(!policy.send.dids.wants(Some("74957000900")) && policy.send.dids.wants(None));
        let error = toml::from_str::<Policy>("status = { voicemail = 8 }").unwrap_err().to_string();
        assert!(error.contains("8 is no call status"), "{error}");
    }

    #[test]
    fn a_choice_is_what_is_listed_and_not_excluded() {
        let choice = Choice { only: ["1".into(), "2".into()].into(), never: ["2".into()].into() };
        assert!(choice.wants(Some("1")) && !choice.wants(Some("2")) && !choice.wants(Some("3")));
        assert!(!choice.wants(None));
        assert!(Choice::default().wants(None));
    }
}
