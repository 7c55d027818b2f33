//! Pure: what a call record shall say. Every key has a default.

use serde::{Deserialize, Serialize};

use crate::call::record::Outcome;

/// The `[calls]` table of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    pub responsible: Responsible,
    pub statuses: Statuses,
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
