//! Pure: the life of an access token.
//!
//! ```text
//!   missing ──offer──► valid ──refuse──► refused
//!                        ▲                  │
//!                        └──offer (another)─┘
//! ```
//!
//! A long-lived token is made by a person in amoCRM and cannot be refreshed: 401 means expired or
//! revoked, until another token is offered. The life of a [`pair`] of OAuth tokens is longer.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

pub mod oauth;
pub mod pair;

/// An access token. It is never printed: `Debug` shows only that there is one.
#[derive(Clone, Eq, PartialEq)]
pub struct Token(String);

/// A token as the configuration holds it, not checked yet: a parser that refuses a value prints
/// its line, and this line must not be printed.
#[derive(Clone, Eq, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("the token is empty")]
    Empty,
    #[error("the token is longer than {TOKEN_MAX} bytes")]
    TooLong,
    #[error("the token has spaces, line breaks or other characters that no token has")]
    NotPlain,
}

/// Longest token in bytes. amoCRM's are about 1 kB; header lines of 8 kB are the common limit.
pub const TOKEN_MAX: usize = 7 << 10;

/// What is known of the token in use.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Life {
    /// None was offered yet.
    #[default]
    Missing,
    /// To be used.
    Valid(Token),
    /// amoCRM answered 401 to it.
    Refused(Token),
}

impl Token {
    /// Reads a token as people paste it: surrounding blanks and a leading `Bearer` do not matter.
    ///
    /// # Errors
    /// When nothing is left, or what is left cannot stand in a header line.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim().trim_start_matches('\u{feff}');
        let text = text.strip_prefix("Bearer ").unwrap_or(text).trim_start();
        match text {
            "" => Err(Error::Empty),
            text if text.len() > TOKEN_MAX => Err(Error::TooLong),
            text if !text.bytes().all(|b| b.is_ascii_graphic()) => Err(Error::NotPlain),
            text => Ok(Self(text.to_owned())),
        }
    }

    /// The token itself, for the `Authorization` header and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Life {
    /// The token to send, refused ones too: a token that was refused by mistake works again
    /// without a person, and the courier asks seldom.
    pub fn token(&self) -> Option<&Token> {
        match self {
            Self::Missing => None,
            Self::Valid(token) | Self::Refused(token) => Some(token),
        }
    }

    /// Takes a token that was found in the file or the environment; says whether it is a new one.
    pub fn offer(&mut self, token: Token) -> bool {
        if self.token() == Some(&token) {
            return false;
        }
        *self = Self::Valid(token);
        true
    }

    /// amoCRM answered 401 to `token`. An answer that comes after the token was replaced says
    /// nothing about the new one.
    pub fn refuse(&mut self, token: &Token) {
        if self.token() == Some(token) {
            *self = Self::Refused(token.clone());
        }
    }

    /// amoCRM accepted `token`.
    pub fn accept(&mut self, token: &Token) {
        if self.token() == Some(token) {
            *self = Self::Valid(token.clone());
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Secret {
    /// # Errors
    /// As [`Token::parse`].
    pub fn token(&self) -> Result<Token, Error> {
        Token::parse(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token::parse(text).unwrap()
    }

    #[test]
    fn a_token_is_taken_as_people_paste_it() {
        for pasted in ["abc.def", " abc.def\n", "Bearer abc.def\r\n", "\u{feff}abc.def"] {
            assert_eq!(token(pasted).expose(), "abc.def");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_without_being_shown() {
        assert_eq!(Token::parse(" \n"), Err(Error::Empty));
        assert_eq!(Token::parse("abc\ndef"), Err(Error::NotPlain));
        assert_eq!(Token::parse("токен"), Err(Error::NotPlain));
        assert_eq!(Token::parse(&"x".repeat(TOKEN_MAX + 1)), Err(Error::TooLong));
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = token("abc.def");
        assert_eq!(format!("{token:?}"), "Token(***)");
        assert_eq!(format!("{:?}", Life::Refused(token.clone())), "Refused(Token(***))");
        let secret: Secret = serde_json::from_str("\"abc.def\"").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
    }

    #[test]
    fn a_refused_token_is_replaced_by_another_one_only() {
        let mut life = Life::default();
        assert_eq!(life.token(), None);
        assert!(life.offer(token("one")));
        life.refuse(&token("one"));
        assert!(!life.offer(token("one")), "the file has not changed");
        assert_eq!(life, Life::Refused(token("one")));
        assert!(life.offer(token("two")));
        assert_eq!(life, Life::Valid(token("two")));
    }

    #[test]
    fn a_late_refusal_does_not_spoil_the_new_token() {
        let mut life = Life::Valid(token("two"));
        life.refuse(&token("one"));
        assert_eq!(life, Life::Valid(token("two")));
    }

    #[test]
    fn a_token_that_works_again_is_valid_again() {
        let mut life = Life::Refused(token("one"));
        life.accept(&token("one"));
        assert_eq!(life, Life::Valid(token("one")));
    }
}
