//! Pure: a pair of OAuth tokens as it is kept, and its life.
//!
//! ```text
//!  missing ─offer─► fresh ─accept─► proved ─refuse, or near its end─► due ─offer the next pair─► fresh
//!                     │                                              ▲ │
//!                     ├─refuse, the first time───────────────────────┘ └─end─► over, until another pair
//!                     └─refuse, as the pair before─► refused: asked again slowly
//! ```
//!
//! amoCRM exchanges a refresh token once. Who exchanges it and loses what came back has to ask the
//! user for access anew, so a pair is kept before it is used, and the pair with the higher serial
//! is the one that counts, wherever it lies.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::amo::token::{Error, Token};
use crate::time::HostTime;

/// Two tokens that were given together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pair {
    /// Grows with each pair of an account, over restarts and over a clock that is set back.
    pub serial: u64,
    pub access: Token,
    pub refresh: Token,
    pub obtained_at: HostTime,
    /// Of the access token.
    pub expires_at: HostTime,
    /// The integration that it was given to.
    pub client_id: String,
    /// The account's address in the configuration when it was given.
    pub configured: String,
    /// Where the account was then: another address when it had moved.
    pub base_url: String,
}

/// A pair as JSON: the only form in which the tokens leave the process's memory.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Kept {
    v: u32,
    serial: u64,
    access_token: String,
    refresh_token: String,
    obtained_at: HostTime,
    expires_at: HostTime,
    client_id: String,
    configured: String,
    base_url: String,
}

/// Why a kept pair cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it is no pair of tokens")]
    Form(#[from] serde_json::Error),
    #[error("it was written by a later version ({0})")]
    Version(u32),
    #[error("one of its tokens is none")]
    Token(#[from] Error),
}

/// The pair of one account and what is known of it.
#[derive(Clone, Debug, Default)]
pub struct Life {
    pair: Option<Pair>,
    access: Access,
    /// The pair before was refused without ever having worked.
    barren: bool,
    over: Option<String>,
}

/// What amoCRM said to the access token.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Access {
    #[default]
    Fresh,
    Proved,
    /// It had worked before.
    Ended,
    /// It never worked.
    Barren,
}

/// What a request needs first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// No pair was ever given.
    Grant,
    /// Nothing: this token is to be sent.
    Send(Token),
    /// The pair is to be exchanged; until that has worked, `meanwhile` may be sent.
    Exchange { pair: Pair, meanwhile: Option<Token> },
    /// amoCRM will never exchange this pair, for this reason: a person must grant access anew.
    Over(String),
}

/// The form of a kept pair.
const VERSION: u32 = 1;
/// The part of its life after which an access token is exchanged, and the longest time that this is
/// before its end: of a day, an hour. A request has to arrive before the end, and an exchange that
/// fails needs time to be tried again.
const REST_PART: u32 = 4;
const REST_MAX: Duration = Duration::from_hours(1);
/// The second token in a row that was refused without ever having worked is no older than this when it
/// is tried again instead of exchanged: amoCRM gives tokens out and refuses them for reasons that
/// another exchange does not mend.
const REFUSED_FRESH: Duration = Duration::from_hours(1);
/// amoCRM forgets a refresh token that was not used for three months.
const UNUSED_MAX: Duration = Duration::from_hours(24 * 90);

impl Pair {
    /// As it is kept.
    pub fn to_json(&self) -> Vec<u8> {
        let kept = Kept {
            v: VERSION,
            serial: self.serial,
            access_token: self.access.expose().to_owned(),
            refresh_token: self.refresh.expose().to_owned(),
            obtained_at: self.obtained_at,
            expires_at: self.expires_at,
            client_id: self.client_id.clone(),
            configured: self.configured.clone(),
            base_url: self.base_url.clone(),
        };
        serde_json::to_vec(&kept).expect("texts and numbers have a form in JSON")
    }

    /// # Errors
    /// When the bytes are no pair that this version can read.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let kept: Kept = serde_json::from_slice(bytes)?;
        if kept.v > VERSION {
            return Err(Unreadable::Version(kept.v));
        }
        Ok(Self {
            serial: kept.serial,
            access: Token::parse(&kept.access_token)?,
            refresh: Token::parse(&kept.refresh_token)?,
            obtained_at: kept.obtained_at,
            expires_at: kept.expires_at,
            client_id: kept.client_id,
            configured: kept.configured,
            base_url: kept.base_url,
        })
    }

    /// The serial of the pair that comes after the one with `last`. It is about the time, so that
    /// a pair that is given anew wins over one that was forgotten somewhere.
    pub fn next_serial(last: Option<u64>, now: HostTime) -> u64 {
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        last.map_or(0, |last| last.saturating_add(1)).max(seconds)
    }

    /// When the access token should be exchanged.
    pub fn due_at(&self) -> HostTime {
        let life = self.expires_at.since(self.obtained_at);
        self.expires_at.before((life / REST_PART).min(REST_MAX))
    }

    /// When amoCRM forgets the refresh token, unless it is used before.
    pub fn forgotten_at(&self) -> HostTime {
        self.obtained_at.after(UNUSED_MAX)
    }
}

impl Life {
    pub fn pair(&self) -> Option<&Pair> {
        self.pair.as_ref()
    }

    /// Takes a pair that was found or given; says whether it is a newer one.
    pub fn offer(&mut self, pair: Pair) -> bool {
        if self.pair.as_ref().is_some_and(|known| known.serial >= pair.serial) {
            return false;
        }
        let barren = self.access == Access::Barren;
        *self = Self { pair: Some(pair), access: Access::Fresh, barren, over: None };
        true
    }

    /// amoCRM answered 401 to `token`.
    pub fn refuse(&mut self, token: &Token, now: HostTime) {
        let Some(pair) = self.pair.as_mut().filter(|pair| pair.access == *token) else { return };
        self.access = match self.access {
            Access::Proved | Access::Ended => Access::Ended,
            Access::Fresh | Access::Barren => Access::Barren,
        };
        let in_a_row = self.barren && self.access == Access::Barren;
        if !in_a_row || now.since(pair.obtained_at) >= REFUSED_FRESH {
            pair.expires_at = pair.expires_at.min(now);
        }
    }

    /// amoCRM accepted `token`.
    pub fn accept(&mut self, token: &Token) {
        if self.pair.as_ref().is_some_and(|pair| pair.access == *token) {
            self.access = Access::Proved;
        }
    }

    /// amoCRM will not exchange the pair with this serial, for this reason.
    pub fn end(&mut self, serial: u64, reason: String) {
        if self.pair.as_ref().is_some_and(|pair| pair.serial == serial) {
            self.over = Some(reason);
        }
    }

    /// The reason is gone: another secret is configured.
    pub fn revive(&mut self) {
        self.over = None;
    }

    /// What a request at `now` needs.
    pub fn step(&self, now: HostTime) -> Step {
        let Some(pair) = &self.pair else { return Step::Grant };
        let works = matches!(self.access, Access::Fresh | Access::Proved) && now < pair.expires_at;
        match &self.over {
            // Nothing can be exchanged, and what there is works to its end.
            Some(_) if works => Step::Send(pair.access.clone()),
            Some(reason) => Step::Over(reason.clone()),
            None if now < pair.due_at() => Step::Send(pair.access.clone()),
            None => Step::Exchange { pair: pair.clone(), meanwhile: works.then(|| pair.access.clone()) },
        }
    }
}

/// Tells whose it is and shows no token.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: HostTime = HostTime::from_micros(1_795_338_791_000_000);
    const HOUR: Duration = Duration::from_hours(1);

    fn pair(serial: u64, obtained_at: HostTime) -> Pair {
        Pair {
            serial,
            access: Token::parse(&format!("access{serial}")).unwrap(),
            refresh: Token::parse(&format!("refresh{serial}")).unwrap(),
            obtained_at,
            expires_at: obtained_at.after(HOUR * 24),
            client_id: "id".to_owned(),
            configured: "https://a.amocrm.ru".to_owned(),
            base_url: "https://a.amocrm.ru".to_owned(),
        }
    }

    fn life(pair: Pair) -> Life {
        let mut life = Life::default();
        assert!(life.offer(pair));
        life
    }

    fn sends(life: &Life, now: HostTime, expected: &str) {
        assert_eq!(life.step(now), Step::Send(Token::parse(expected).unwrap()));
    }

    fn exchanges(life: &Life, now: HostTime) -> Option<Token> {
        let Step::Exchange { meanwhile, .. } = life.step(now) else { panic!("{:?}", life.step(now)) };
        meanwhile
    }

    #[test]
    fn a_kept_pair_is_read_as_it_was_written() {
        assert_eq!(Pair::read(&pair(7, NOW).to_json()).unwrap(), pair(7, NOW));
        assert!(matches!(Pair::read(b"{}"), Err(Unreadable::Form(_))));
        let later = String::from_utf8(pair(7, NOW).to_json()).unwrap().replace("\"v\":1", "\"v\":2");
        assert!(matches!(Pair::read(later.as_bytes()), Err(Unreadable::Version(2))));
        let empty = String::from_utf8(pair(7, NOW).to_json()).unwrap().replace("refresh7", " ");
        assert!(matches!(Pair::read(empty.as_bytes()), Err(Unreadable::Token(Error::Empty))));
    }

    #[test]
    fn a_pair_is_never_printed() {
        let said = format!("{:?} {:?} {:?}", pair(7, NOW), life(pair(7, NOW)), life(pair(7, NOW)).step(NOW));
        assert!(!said.contains("access7") && !said.contains("refresh7"), "{said}");
    }

    #[test]
    fn without_a_pair_access_must_be_granted() {
        assert_eq!(Life::default().step(NOW), Step::Grant);
    }

    #[test]
    fn a_token_of_a_day_is_exchanged_an_hour_before_its_end() {
        let life = life(pair(1, NOW));
        sends(&life, NOW.after(HOUR * 23).before(Duration::from_secs(1)), "access1");
        assert!(exchanges(&life, NOW.after(HOUR * 23)).is_some(), "it still works");
        assert_eq!(exchanges(&life, NOW.after(HOUR * 24)), None, "it works no more");
        let short = Pair { expires_at: NOW.after(Duration::from_mins(20)), ..pair(1, NOW) };
        assert_eq!(short.due_at(), NOW.after(Duration::from_mins(15)));
    }

    #[test]
    fn a_token_that_worked_is_exchanged_when_it_is_refused() {
        let mut life = life(pair(1, NOW));
        let access = pair(1, NOW).access;
        life.accept(&access);
        life.refuse(&access, NOW);
        assert_eq!(exchanges(&life, NOW), None);
    }

    #[test]
    fn a_token_that_is_new_and_refused_is_exchanged_once_and_then_an_hour_later() {
        let mut life = life(pair(1, NOW));
        life.refuse(&pair(1, NOW).access, NOW);
        assert_eq!(exchanges(&life, NOW), None);
        assert!(life.offer(pair(2, NOW)));
        let access = pair(2, NOW).access;
        life.refuse(&access, NOW.after(HOUR / 2));
        sends(&life, NOW.after(HOUR / 2), "access2");
        life.refuse(&access, NOW.after(HOUR));
        assert_eq!(exchanges(&life, NOW.after(HOUR)), None);
        assert!(life.offer(pair(3, NOW)));
        life.accept(&pair(3, NOW).access);
        assert!(life.offer(pair(4, NOW)));
        life.refuse(&pair(4, NOW).access, NOW);
        assert_eq!(exchanges(&life, NOW), None, "the row ended with one that worked");
    }

    #[test]
    fn a_late_refusal_does_not_spoil_the_next_pair() {
        let mut life = life(pair(1, NOW));
        assert!(life.offer(pair(2, NOW)));
        life.refuse(&pair(1, NOW).access, NOW);
        life.end(1, "late".to_owned());
        sends(&life, NOW, "access2");
    }

    #[test]
    fn the_pair_with_the_higher_serial_counts() {
        let mut life = life(pair(5, NOW));
        assert!(!life.offer(pair(5, NOW)) && !life.offer(pair(4, NOW)));
        sends(&life, NOW, "access5");
        assert!(life.offer(pair(6, NOW.before(HOUR))));
    }

    #[test]
    fn serials_grow_with_time_and_when_the_clock_is_set_back() {
        assert_eq!(Pair::next_serial(None, NOW), 1_795_338_791);
        assert_eq!(Pair::next_serial(Some(5), NOW), 1_795_338_791);
        assert_eq!(Pair::next_serial(Some(1_795_338_791), NOW.before(HOUR)), 1_795_338_792);
        assert_eq!(Pair::next_serial(None, HostTime::from_micros(-1)), 0);
    }

    #[test]
    fn what_is_over_works_to_its_end_and_then_waits_for_a_person() {
        let mut life = life(pair(1, NOW));
        life.end(1, "Token has been revoked".to_owned());
        sends(&life, NOW.after(HOUR * 23 + HOUR / 2), "access1");
        let over = Step::Over("Token has been revoked".to_owned());
        assert_eq!(life.step(NOW.after(HOUR * 24)), over);
        assert!(life.offer(pair(2, NOW.after(HOUR * 25))));
        sends(&life, NOW.after(HOUR * 25), "access2");
    }
}
