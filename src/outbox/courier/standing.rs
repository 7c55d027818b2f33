//! Pure: where an amoCRM account stands, as people and metrics see it.
//!
//! ```text
//!   starting ──► delivering ◄──► troubled      heals by itself: network, 5xx
//!       │            ▲ │            │
//!       └────────────┼─┴────────────┤
//!                    └─── held ◄────┘          a person must act: token, payment, rights
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::amo::answer::Account;
use crate::time::HostTime;

#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "standing")]
pub enum Standing {
    /// amoCRM has not answered yet.
    Starting,
    Delivering,
    /// No answers, or none that help; tried again with growing pauses.
    Troubled {
        since: HostTime,
        words: String,
    },
    /// Nothing is delivered until a person acts; asked again slowly.
    Held {
        why: Hold,
        since: HostTime,
        words: String,
    },
}

/// What only a person can mend.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    Unauthorized,
    Unpaid,
    Forbidden,
    Banned,
    NotAmo,
}

/// What an exchange says about the account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Signal {
    Works,
    /// Too many requests: the pace has been told, and the account is fine.
    Slow,
    Trouble(String),
    Hold(Hold, String),
}

impl Standing {
    /// Whether the news is the same, whatever its words and since when.
    pub fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Starting, Self::Starting)
            | (Self::Delivering, Self::Delivering)
            | (Self::Troubled { .. }, Self::Troubled { .. }) => true,
            (Self::Held { why, .. }, Self::Held { why: other, .. }) => why == other,
            (Self::Starting | Self::Delivering | Self::Troubled { .. } | Self::Held { .. }, _) => false,
        }
    }

    /// Nothing was answered. A hold outlives it: that amoCRM is away does not mend a token.
    pub(super) fn trouble(&mut self, said: String, now: HostTime) {
        match self {
            Self::Starting | Self::Delivering => *self = Self::Troubled { since: now, words: said },
            Self::Troubled { words, .. } => *words = said,
            Self::Held { .. } => {}
        }
    }

    pub(super) fn hold(&mut self, reason: Hold, said: String, now: HostTime) {
        match self {
            Self::Held { why, words, .. } if *why == reason => *words = said,
            Self::Starting | Self::Delivering | Self::Troubled { .. } | Self::Held { .. } => {
                *self = Self::Held { why: reason, since: now, words: said };
            }
        }
    }
}

impl Signal {
    pub fn of(account: Account, words: String) -> Self {
        match account {
            Account::Fine => Self::Works,
            Account::Unauthorized => Self::Hold(Hold::Unauthorized, words),
            Account::Unpaid => Self::Hold(Hold::Unpaid, words),
            Account::Forbidden => Self::Hold(Hold::Forbidden, words),
            Account::Banned => Self::Hold(Hold::Banned, words),
            Account::TooMany { .. } => Self::Slow,
            Account::ServerTrouble => Self::Trouble(words),
            Account::NotAmo => Self::Hold(Hold::NotAmo, words),
        }
    }
}

impl Hold {
    /// What the person is asked to do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "amoCRM refuses the token, or there is none: make a new long-lived token in the \
                 integration's settings and put it into token-file; with [amocrm.oauth], let the \
                 integration into the account again and run `ami2amo auth --code CODE`"
            }
            Self::Unpaid => {
                "the amoCRM account is not paid for, or lacks the right: pay, or check the tariff"
            }
            Self::Forbidden => {
                "the token's user may not do this: check the user's rights and the account's list of addresses"
            }
            Self::Banned => "amoCRM blocks this address or account: write to amoCRM's support",
            Self::NotAmo => "this is not amoCRM's API: check base-url, and what stands between",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthorized => "unauthorized",
            Self::Unpaid => "unpaid",
            Self::Forbidden => "forbidden",
            Self::Banned => "banned",
            Self::NotAmo => "not-amo",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: HostTime = HostTime::from_micros(1);
    const LATER: HostTime = HostTime::from_micros(2);

    fn held(why: Hold) -> Standing {
        Standing::Held { why, since: NOW, words: "first".to_owned() }
    }

    #[test]
    fn the_news_is_the_kind_and_not_the_words() {
        let mut standing = held(Hold::Unpaid);
        standing.hold(Hold::Unpaid, "again".to_owned(), LATER);
        assert!(standing.is_alike(&held(Hold::Unpaid)));
        assert_eq!(standing, Standing::Held { why: Hold::Unpaid, since: NOW, words: "again".to_owned() });
        standing.hold(Hold::Banned, "worse".to_owned(), LATER);
        assert!(!standing.is_alike(&held(Hold::Unpaid)));
    }

    #[test]
    fn a_hold_outlives_trouble_and_trouble_turns_into_a_hold() {
        let mut standing = held(Hold::Banned);
        standing.trouble("timed out".to_owned(), LATER);
        assert_eq!(standing, held(Hold::Banned));
        let mut standing = Standing::Delivering;
        standing.trouble("timed out".to_owned(), NOW);
        standing.trouble("refused".to_owned(), LATER);
        assert_eq!(standing, Standing::Troubled { since: NOW, words: "refused".to_owned() });
        standing.hold(Hold::NotAmo, "404".to_owned(), LATER);
        assert!(standing.is_alike(&held(Hold::NotAmo)));
    }
}
