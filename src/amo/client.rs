//! HTTP to amoCRM: one account's connection, run by that account's courier task.
//!
//! Guarantees: every request waits for its turn in the [`Pace`] that the whole process shares; no
//! request is ever repeated by itself, neither by the HTTP library nor after a redirect; a failure
//! says whether the request can have reached amoCRM; no more than a megabyte of an answer is
//! held. Dropping the future of a POST leaves its outcome unknown.

mod errands;
mod http;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};

use crate::amo::answer::{self, Account, Reply, json_object};
use crate::amo::notes::{self, ACCOUNT_PATH, CALLS_PATH, KINDS, Kind, Note, PAGES_MAX, Page, Probe, Window};
use crate::amo::pace::Pace;
use crate::amo::settings::{self, BaseUrl, Settings};
use crate::amo::token::{self, Life, TOKEN_MAX, Token};
use crate::time::{HostTime, MonoTime};

/// One account's connection.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base_url: BaseUrl,
    source: TokenSource,
    life: Mutex<Life>,
    pace: Arc<Mutex<Pace>>,
    clock: Clock,
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
        source: TokenSource,
        pace: Arc<Mutex<Pace>>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let base_url = settings.check()?.clone();
        let per_second = settings.requests_per_second;
        if per_second > settings::PER_SECOND_MAX {
            tracing::warn!(per_second, %base_url, "the pace is above amoCRM's limit: fit for a test on this machine only");
        }
        let life = match &source {
            TokenSource::Given(token) => Life::Valid(token.clone()),
            TokenSource::File(_) => Life::Missing,
        };
        Ok(Self { http: http::client(settings)?, base_url, source, life: Mutex::new(life), pace, clock })
    }

    /// Posts one batch.
    ///
    /// # Errors
    /// When no answer came; [`Failure`] tells whether the calls can have been stored.
    pub async fn post_calls(&self, body: Vec<u8>) -> Result<Reply, Failure> {
        self.exchange(Method::POST, CALLS_PATH, Some(body)).await
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
        let now = (self.clock.host)();
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

    /// Reads the token again, after amoCRM refused it or while it is missing.
    pub async fn renew_token(&self) -> Renewal {
        let TokenSource::File(path) = &self.source else { return Renewal::Same };
        match read_token(path.clone()).await {
            Ok(token) => {
                if self.life().offer(token) {
                    Renewal::Another
                } else {
                    Renewal::Same
                }
            }
            Err(reason) => Renewal::Absent(reason),
        }
    }

    /// When amoCRM's last "stop" ends, for all that share the pace; in the past when it is over.
    pub fn open_at(&self) -> MonoTime {
        lock(&self.pace).open_at()
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
        self.exchange(Method::GET, path, None).await
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Reply, Failure> {
        let token = self.token().await?;
        let request = self.request(method, path, body, &token)?;
        self.turn().await;
        let response = request.send().await.map_err(http::failure)?;
        let reply = http::reply(response, (self.clock.host)()).await;
        self.learn(&reply, &token);
        tracing::debug!(
            status = reply.status,
            trace = reply.trace,
            bytes = reply.body.len(),
            path,
            "amoCRM answered"
        );
        Ok(reply)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        token: &Token,
    ) -> Result<RequestBuilder, Failure> {
        let mut bearer = reqwest::header::HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| Failure::NoToken("the token cannot stand in a header".to_owned()))?;
        bearer.set_sensitive(true);
        let request =
            self.http.request(method, format!("{}{path}", self.base_url)).header(AUTHORIZATION, bearer);
        let request = request.header(ACCEPT, "application/hal+json, application/json");
        Ok(match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body),
            None => request,
        })
    }

    async fn token(&self) -> Result<Token, Failure> {
        if let Some(token) = self.life().token() {
            return Ok(token.clone());
        }
        if let Renewal::Absent(reason) = self.renew_token().await {
            return Err(Failure::NoToken(reason));
        }
        self.life().token().cloned().ok_or_else(|| Failure::NoToken("there is no token".to_owned()))
    }

    /// Waits until the pace lets this request go.
    async fn turn(&self) {
        loop {
            let now = (self.clock.mono)();
            // The guard is a temporary: it is gone before the sleep.
            let taken = lock(&self.pace).take(now);
            match taken {
                Ok(()) => return,
                Err(later) => tokio::time::sleep(later.since(now)).await,
            }
        }
    }

    fn learn(&self, reply: &Reply, token: &Token) {
        let now = (self.clock.mono)();
        let mut pace = lock(&self.pace);
        match reply.status {
            429 => {
                pace.too_many(now, retry_after_of(reply), fastrand::f64());
                let pause = pace.open_at().since(now);
                tracing::warn!(?pause, "amoCRM got too many requests: everything pauses");
            }
            403 if json_object(&reply.body).is_none() => pace.banned(now),
            _ => pace.passed(),
        }
        drop(pace);
        match reply.status {
            401 => self.life().refuse(token),
            200..=299 => self.life().accept(token),
            _ => {}
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        lock(&self.life)
    }
}

/// A poisoned lock still guards a whole value: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The header, or what the body says in its place.
fn retry_after_of(reply: &Reply) -> Option<Duration> {
    match answer::account(reply, json_object(&reply.body).as_ref()) {
        Account::TooMany { retry_after } => retry_after,
        Account::Fine
        | Account::Unauthorized
        | Account::Unpaid
        | Account::Forbidden
        | Account::Banned
        | Account::ServerTrouble
        | Account::NotAmo => None,
    }
}

async fn read_token(path: PathBuf) -> Result<Token, String> {
    let reading = tokio::task::spawn_blocking(move || token_in(&path));
    reading.await.unwrap_or_else(|error| Err(format!("cannot read the token: {error}")))
}

fn token_in(path: &Path) -> Result<Token, String> {
    let unreadable = |error: std::io::Error| format!("cannot read the token in {}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    // Twice the longest token leaves room for blanks and shows a wrong file for what it is.
    file.take(2 * TOKEN_MAX as u64).read_to_string(&mut text).map_err(unreadable)?;
    Token::parse(&text).map_err(|error| format!("{} holds no token: {error}", path.display()))
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

    #[test]
    fn a_token_file_that_is_none_says_why_and_shows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(token_in(&path).unwrap_err().contains("No such file"));
        std::fs::write(&path, "very secret\n").unwrap();
        let error = token_in(&path).unwrap_err();
        assert!(error.contains("holds no token") && !error.contains("secret"), "{error}");
        std::fs::write(&path, "abc.def\n").unwrap();
        assert_eq!(token_in(&path).unwrap().expose(), "abc.def");
    }
}
