//! Pure: results in English.

use crate::call::record::Outcome;

pub(super) const fn template(outcome: Outcome, outbound: bool) -> &'static str {
    match (outcome, outbound) {
        (Outcome::Answered, false) => {
            "Answered[ by {who}][ after {wait}][, together with {with}][, passed to {then}]"
        }
        (Outcome::Answered, true) => {
            "Talked[, called by {who}][, answered after {wait}][, together with {with}][, passed to {then}]"
        }
        (Outcome::Voicemail, false) => "The customer left a voice message[, rang {rang}]",
        (Outcome::Voicemail, true) => "An answering machine picked up[, called by {who}]",
        (Outcome::Unavailable, false) => "The employee was unavailable[: {rang}]",
        (Outcome::Unavailable, true) => "The customer was unavailable[, called by {who}]",
        (Outcome::WrongNumber, false) => "Wrong number",
        (Outcome::WrongNumber, true) => "Wrong number[, called by {who}]",
        (Outcome::NoAnswer, false) => "Nobody answered[ for {wait}][, rang {rang}]",
        (Outcome::NoAnswer, true) => "The customer did not answer[ for {wait}][, called by {who}]",
        (Outcome::Cancelled, false) => "The customer hung up before an answer[ after {wait}][, rang {rang}]",
        (Outcome::Cancelled, true) => "The employee cancelled the call[ after {wait}][, called by {who}]",
        (Outcome::Abandoned, _) => {
            "The customer hung up before reaching an employee[ after {wait}][, queue {queue}]"
        }
        (Outcome::Declined, false) => "The employee declined the call[: {rang}]",
        (Outcome::Declined, true) => "The customer declined the call[, called by {who}]",
        (Outcome::Congestion, false) => "The call could not be connected",
        (Outcome::Congestion, true) => "The call could not be connected[, called by {who}]",
        (Outcome::Busy, false) => "The employee was busy[: {rang}]",
        (Outcome::Busy, true) => "The customer was busy[, called by {who}]",
        (Outcome::Fax, _) => "Fax",
    }
}
