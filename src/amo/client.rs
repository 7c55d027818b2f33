//! HTTP to amoCRM: one account's connection, run by that account's courier task.
//!
//! Guarantees: every request waits for its turn in the [`Pace`] that the whole process shares; no
//! request is ever repeated by itself, neither by the HTTP library nor after a redirect; a failure
//! says whether the request can have reached amoCRM; no more than a megabyte of an answer is
//! held. Dropping the future of a POST leaves its outcome unknown.

mod aside;
mod authorize;
mod errands;
mod feed;
pub mod granter;
mod http;
pub mod keeper;
pub mod line;
mod people;
mod resolver;
pub mod safe;
pub mod tending;
pub mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderValue};

use crate::amo::answer::{Account, Reply};
use crate::amo::client::keeper::TokenKeeper;
use crate::amo::client::line::{Line, Question, Quiet};
use crate::amo::client::safe::PairFile;
use crate::amo::client::tending::Tending;
use crate::amo::notes::{self, ACCOUNT_PATH, CALLS_PATH, KINDS, Kind, Note, PAGES_MAX, Page, Probe, Window};
use crate::amo::pace::Pace;
use crate::amo::settings::oauth::OAuth;
use crate::amo::settings::{self, Settings};
use crate::amo::token::pair::Pair;
use crate::amo::token::{self, Token};
use crate::time::{HostTime, MonoTime};

/// One account's connection.
#[derive(Debug)]
pub struct Client {
    line: Arc<Line>,
    keeper: TokenKeeper,
    /// Shadow mode: nothing but questions goes out.
    is_silent: AtomicBool,
}

/// Where the token comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TokenSource {
    /// Read at the first request and again when amoCRM refuses what it held.
    File(PathBuf),
    /// From the configuration or the environment: another one needs a restart.
    Given(Token),
}

/// The clocks, which only `crate::clock` reads; tests bring their own.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub host: fn() -> HostTime,
    pub mono: fn() -> MonoTime,
}

/// What came of a request that was not answered.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// There is no token to send; the request was not made.
    #[error("{0}")]
    NoToken(String),
    /// amoCRM has asked for quiet, or shadow mode keeps it; the request was not made.
    #[error("amoCRM has asked for quiet")]
    Quiet,
    /// The request never left: no address, no connection, no TLS.
    #[error("{0}")]
    NotSent(String),
    /// The request left, or part of it; what amoCRM did with it is unknown.
    #[error("{0}")]
    Unknown(String),
}

/// What a question brought; of stored calls, where nothing else is said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Looked<T = BTreeMap<String, Note>> {
    /// Every place was searched; what is not here was not listed.
    Found(T),
    /// amoCRM does not answer this account's questions; nothing is proved.
    Refused { account: Account, words: String },
    /// The account answers, but what was asked for cannot be read; nothing is proved.
    Unreadable(String),
    /// No answer came.
    Failed(Failure),
}

/// Whether another token was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Renewal {
    /// It was not tried yet.
    Another,
    /// The same as before.
    Same,
    /// None, for this reason.
    Absent(String),
    /// amoCRM was asked for one and did not answer, or not yet.
    Later(String),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Settings(#[from] settings::Error),
    #[error("there is no amoCRM token: set token-file in [amocrm], or {TOKEN_VARIABLE} in the environment")]
    NoToken,
    #[error("{TOKEN_VARIABLE} in the environment")]
    Variable(#[source] token::Error),
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("ca-file {}: {reason}", path.display())]
    CaFile { path: PathBuf, reason: String },
    #[error("cannot set up HTTP")]
    Http(#[from] reqwest::Error),
}

/// The environment variable that may hold the token.
pub const TOKEN_VARIABLE: &str = "AMI2AMO_AMOCRM_TOKEN";

impl TokenSource {
    /// Chooses among the settings and `variable`, the value of [`TOKEN_VARIABLE`]; the environment
    /// wins, as systemd and containers expect.
    ///
    /// # Errors
    /// When there is none, or the variable holds no token.
    pub fn choose(settings: &Settings, variable: Option<&str>) -> Result<Self, Error> {
        if let Some(text) = variable {
            return Ok(Self::Given(Token::parse(text).map_err(Error::Variable)?));
        }
        match (&settings.token_file, &settings.token) {
            (Some(path), _) => Ok(Self::File(path.clone())),
            (None, Some(secret)) => Ok(Self::Given(secret.token().map_err(settings::Error::Token)?)),
            (None, None) => Err(Error::NoToken),
        }
    }
}

impl Client {
    /// Sets up TLS and HTTP; connects to nothing and reads no file.
    ///
    /// # Errors
    /// When the settings do not allow a connection.
    pub fn new(
        settings: &Settings,
        keeper: impl Into<TokenKeeper>,
        pace: Arc<Mutex<Pace>>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let line = Arc::new(open(settings, pace, clock)?);
        Ok(Self { line, keeper: keeper.into(), is_silent: AtomicBool::new(settings.is_shadow()) })
    }

    /// From here on nothing is posted, made or changed, or it is again. What has left already is not called back.
    pub fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Until when the token works, where only a person can renew it and it says so.
    pub fn token_ends_at(&self) -> Option<HostTime> {
        self.keeper.ends_at()
    }

    /// What has to run beside the requests of this account, if anything.
    pub fn tending(&self) -> Option<Tending> {
        self.keeper.tending(&self.line)
    }

    /// Posts one batch.
    ///
    /// # Errors
    /// When no answer came; [`Failure`] tells whether the calls can have been stored.
    pub async fn post_calls(&self, body: Vec<u8>) -> Result<Reply, Failure> {
        self.exchange(Method::POST, CALLS_PATH, Some(body), Quiet::GiveUp).await
    }

    /// Asks for the account: the cheapest question that needs a valid token and a paid account.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn account(&self) -> Result<Probe, Failure> {
        self.get(ACCOUNT_PATH).await.map(|reply| notes::read_account(&reply))
    }

    /// Looks for calls, by their `uniq`, that were posted at `since` or later.
    pub async fn find_notes(&self, wanted: &BTreeSet<String>, since: HostTime) -> Looked {
        let reply = match self.get(ACCOUNT_PATH).await {
            Ok(reply) => reply,
            Err(failure) => return Looked::Failed(failure),
        };
        let probe = notes::read_account(&reply);
        if probe.account != Account::Fine {
            return Looked::Refused { account: probe.account, words: probe.words };
        }
        let now = self.line.now();
        let ahead = reply.date.map_or(0, |theirs| theirs.micros().saturating_sub(now.micros()));
        let window = Window::new(since, now, ahead);
        let mut found = BTreeMap::new();
        for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Customer || probe.customers) {
            if let Err(ended) = self.find_on(kind, window, wanted, &mut found).await {
                return ended;
            }
            if found.len() == wanted.len() {
                break;
            }
        }
        Looked::Found(found)
    }

    /// Looks for another token, after amoCRM refused it or while it is missing.
    pub async fn renew_token(&self) -> Renewal {
        self.keeper.renew(&self.line).await
    }

    /// When amoCRM's last "stop" ends, for all that share the pace; in the past when it is over.
    pub fn open_at(&self) -> MonoTime {
        self.line.open_at()
    }

    /// How far amoCRM's clock is ahead of ours, in microseconds, by the last answer that told it.
    pub fn ahead(&self) -> i64 {
        self.line.ahead()
    }

    /// Reads the pages of one kind of entity until all is found; the error is what to return.
    async fn find_on(
        &self,
        kind: Kind,
        window: Window,
        wanted: &BTreeSet<String>,
        found: &mut BTreeMap<String, Note>,
    ) -> Result<(), Looked> {
        for page in 1..=PAGES_MAX {
            let reply = self.get(&notes::path(kind, window, page)).await.map_err(Looked::Failed)?;
            match notes::read(&reply, kind, wanted) {
                Page::Notes { found: here, more } => {
                    found.extend(here);
                    if !more || found.len() == wanted.len() {
                        return Ok(());
                    }
                }
                Page::Unread { account, words } => return Err(unread(account, words)),
            }
        }
        Err(Looked::Unreadable(format!("more than {PAGES_MAX} pages of notes on {}", kind.plural())))
    }

    async fn get(&self, path: &str) -> Result<Reply, Failure> {
        self.exchange(Method::GET, path, None, Quiet::Wait).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        quiet: Quiet,
    ) -> Result<Reply, Failure> {
        if method != Method::GET && self.is_silent.load(Ordering::Relaxed) {
            return Err(Failure::Quiet);
        }
        let token = self.keeper.token(&self.line).await?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| Failure::NoToken("the token cannot stand in a header".to_owned()))?;
        let secret = Some((AUTHORIZATION, bearer));
        let reply = self.line.ask(Question { method, path: path.to_owned(), body, quiet, secret }).await?;
        match reply.status {
            401 => self.keeper.refuse(&token, self.line.now()),
            200..=299 => self.keeper.accept(&token),
            _ => {}
        }
        Ok(reply)
    }
}

/// Exchanges the code that a person got by letting the integration into the account, and writes the
/// tokens to `file`, from where a daemon takes them.
///
/// # Errors
/// When the settings do not allow a connection; in words, when there are no tokens after it.
pub async fn authorize(
    settings: &Settings,
    app: &OAuth,
    code: &Token,
    file: &PairFile,
    pace: Arc<Mutex<Pace>>,
    clock: Clock,
) -> Result<Result<Pair, String>, Error> {
    let line = open(settings, pace, clock)?;
    Ok(authorize::authorize(&line, app, code, file).await)
}

fn open(settings: &Settings, pace: Arc<Mutex<Pace>>, clock: Clock) -> Result<Line, Error> {
    let base_url = settings.check()?.clone();
    let per_second = settings.requests_per_second;
    if per_second > settings::PER_SECOND_MAX {
        tracing::warn!(per_second, %base_url, "the pace is above amoCRM's limit: fit for a test on this machine only");
    }
    Ok(Line::new(http::client(settings)?, base_url, pace, clock))
}

/// What concerns all requests of the account holds it, the rest concerns only what was asked for.
fn unread<T>(account: Account, words: String) -> Looked<T> {
    match account {
        Account::Unauthorized | Account::Banned | Account::TooMany { .. } => {
            Looked::Refused { account, words }
        }
        Account::Fine | Account::Unpaid | Account::Forbidden | Account::ServerTrouble | Account::NotAmo => {
            Looked::Unreadable(words)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = Settings { token_file: Some("/t".into()), ..Settings::default() };
        assert_eq!(TokenSource::choose(&file, None).unwrap(), TokenSource::File("/t".into()));
        let given = TokenSource::Given(Token::parse("abc").unwrap());
        assert_eq!(TokenSource::choose(&file, Some("abc\n")).unwrap(), given);
        assert!(matches!(TokenSource::choose(&file, Some("")), Err(Error::Variable(_))));
        assert!(matches!(TokenSource::choose(&Settings::default(), None), Err(Error::NoToken)));
    }
}
