//! The line to one account: its address, HTTP, and the pace that the process shares.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};

use crate::amo::answer::{self, Account, Reply, json_object};
use crate::amo::client::{Clock, Failure, http};
use crate::amo::pace::{Pace, Purpose};
use crate::amo::settings::BaseUrl;
use crate::time::{HostTime, MonoTime};

/// One account's line. Every request of the account leaves through [`ask`](Self::ask), and none of
/// them twice.
#[derive(Debug)]
pub struct Line {
    http: reqwest::Client,
    /// The account's address; another one after the account has moved.
    base_url: Mutex<BaseUrl>,
    pace: Arc<Mutex<Pace>>,
    clock: Clock,
    /// How far amoCRM's clock is ahead of ours, in microseconds, by its last answer.
    ahead: AtomicI64,
}

/// A request, before it has its address.
#[derive(Debug)]
pub(super) struct Question {
    pub method: Method,
    pub path: String,
    pub body: Option<Vec<u8>>,
    /// What is done when amoCRM has asked for quiet.
    pub quiet: Quiet,
    /// A header whose value is a secret.
    pub secret: Option<(HeaderName, HeaderValue)>,
}

/// What a request does while amoCRM wants no requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Quiet {
    /// It waits for its turn.
    Wait,
    /// It is not made: of many that wait, one is enough to try whether the quiet is over.
    GiveUp,
}

impl Question {
    fn purpose(&self) -> Purpose {
        if self.method == Method::GET { Purpose::of_reading(&self.path) } else { Purpose::Account }
    }
}

impl Line {
    pub(super) fn new(
        http: reqwest::Client,
        base_url: BaseUrl,
        pace: Arc<Mutex<Pace>>,
        clock: Clock,
    ) -> Self {
        Self { http, base_url: Mutex::new(base_url), pace, clock, ahead: AtomicI64::new(0) }
    }

    pub(super) fn now(&self) -> HostTime {
        (self.clock.host)()
    }

    pub(super) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    pub(super) fn base_url(&self) -> BaseUrl {
        lock(&self.base_url).clone()
    }

    /// From here on the account is at this address.
    pub(super) fn move_to(&self, base_url: BaseUrl) {
        *lock(&self.base_url) = base_url;
    }

    /// When amoCRM's last "stop" ends, for all that share the pace; in the past when it is over.
    pub(super) fn open_at(&self) -> MonoTime {
        lock(&self.pace).open_at()
    }

    /// Sends a request to the account when the pace lets it go.
    pub(super) async fn ask(&self, question: Question) -> Result<Reply, Failure> {
        let base_url = self.base_url();
        self.ask_at(&base_url, question).await
    }

    /// As [`ask`](Self::ask), at another address.
    pub(super) async fn ask_at(&self, base_url: &BaseUrl, question: Question) -> Result<Reply, Failure> {
        let path = question.path.clone();
        let (quiet, purpose) = (question.quiet, question.purpose());
        let request = self.request(base_url, question);
        self.turn(quiet).await?;
        let response = request.send().await.map_err(http::failure)?;
        let arrived = self.now();
        let reply = http::reply(response, arrived).await;
        self.learn(&reply, purpose, arrived);
        tracing::debug!(
            status = reply.status,
            trace = reply.trace,
            bytes = reply.body.len(),
            path,
            "amoCRM answered"
        );
        Ok(reply)
    }

    fn request(&self, base_url: &BaseUrl, question: Question) -> RequestBuilder {
        let url = format!("{base_url}{}", question.path);
        let mut request = self.http.request(question.method, url);
        request = request.header(ACCEPT, "application/hal+json, application/json");
        if let Some((name, mut value)) = question.secret {
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        match question.body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body),
            None => request,
        }
    }

    /// Waits until the pace lets this request go.
    async fn turn(&self, quiet: Quiet) -> Result<(), Failure> {
        loop {
            let now = (self.clock.mono)();
            // The guard is a temporary: it is gone before the sleep.
            let taken = lock(&self.pace).take(now);
            match taken {
                Ok(()) => return Ok(()),
                Err(_) if quiet == Quiet::GiveUp && self.open_at() > now => return Err(Failure::Quiet),
                Err(later) => tokio::time::sleep(later.since(now)).await,
            }
        }
    }

    /// `arrived` is when the reply's head came; its body may have been long under way.
    fn learn(&self, reply: &Reply, purpose: Purpose, arrived: HostTime) {
        // What answers otherwise may be a gateway, with a clock of its own.
        if let (200..=299, Some(theirs)) = (reply.status, reply.date) {
            self.ahead.store(theirs.micros().saturating_sub(arrived.micros()), Ordering::Relaxed);
        }
        let now = (self.clock.mono)();
        let mut pace = lock(&self.pace);
        match reply.status {
            429 => {
                pace.too_many(now, retry_after_of(reply), fastrand::f64());
                let pause = pace.open_at().since(now);
                tracing::warn!(?pause, "amoCRM got too many requests: everything pauses");
            }
            403 if json_object(&reply.body).is_none() => {
                pace.banned(now, purpose);
                let pause = pace.open_at().since(now);
                tracing::warn!(
                    ?pause,
                    "a 403 page in place of amoCRM's answer may be a ban: everything pauses"
                );
            }
            _ => pace.passed(now),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base_url().fmt(f)
    }
}

/// A poisoned lock still guards a whole value: each is changed in one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
