//! The OAuth tokens of one account: brings them up to date before a request needs them.
//!
//! Guarantees: one exchange at a time, whoever asks; an exchange that began comes to its end, also
//! when who asked for it is gone; a pair that came back is durable before its first use; what lies
//! in file and store is read again before amoCRM is asked, so that a pair that `ami2amo auth` wrote
//! is taken. A process that is killed between an exchange and its answer may have spent the pair.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use tracing::{error, info, warn};

use crate::amo::client::Failure;
use crate::amo::client::keeper::read_token;
use crate::amo::client::line::{Line, Question, Quiet, lock};
use crate::amo::client::safe::{PairFile, Safe};
use crate::amo::settings::BaseUrl;
use crate::amo::settings::oauth::OAuth;
use crate::amo::token::Token;
use crate::amo::token::oauth::{self, DOMAIN_PATH, Given, Grant, REFRESH_HEADER, TOKEN_PATH};
use crate::amo::token::pair::{Life, Pair, Step};
use crate::call::id::AccountId;
use crate::time::HostTime;

/// The tokens of one account.
#[derive(Debug)]
pub struct Granter {
    account: AccountId,
    app: OAuth,
    /// The account's address in the configuration.
    configured: BaseUrl,
    file: PairFile,
    safe: Option<Arc<dyn Safe>>,
    life: Mutex<Life>,
    desk: tokio::sync::Mutex<Desk>,
}

/// What who holds the lock works with.
#[derive(Debug, Default)]
struct Desk {
    /// What lies in the safe is known.
    safe_read: bool,
    /// A pair that came back and is nowhere kept yet: not to be used, and the only one.
    unkept: Option<Pair>,
    /// The secret key with which the pair came to its end.
    over_with: Option<Token>,
    /// An answer was lost since the last pair came.
    lost: bool,
    /// An exchange failed while the old token still works: not to be tried before.
    rest_until: HostTime,
}

/// What a person does about tokens that are missing or over.
pub const ADVICE: &str = "grant the integration access in amoCRM and give its code to `ami2amo auth --code CODE` within 20 minutes";

/// How often one pair is exchanged when answers are lost: the first one may not have arrived.
const TRIES: u32 = 2;
/// The rest after an exchange failed that was not urgent.
pub(super) const REST: Duration = Duration::from_mins(1);
impl Granter {
    pub fn new(
        account: AccountId,
        app: OAuth,
        configured: BaseUrl,
        file: PairFile,
        safe: Option<Arc<dyn Safe>>,
    ) -> Self {
        let (life, desk) = Default::default();
        Self { account, app, configured, file, safe, life, desk }
    }

    /// The token for a request that leaves now, brought up to date where needed.
    pub(super) async fn token(self: &Arc<Self>, line: &Arc<Line>) -> Result<Token, Failure> {
        if let Step::Send(token) = lock(&self.life).step(line.now()) {
            return Ok(token);
        }
        self.bring_up(line).await
    }

    /// Brings the tokens up to date. It comes to its end when it is dropped, too: an exchange whose
    /// answer nobody reads would spend the pair.
    pub(super) async fn bring_up(self: &Arc<Self>, line: &Arc<Line>) -> Result<Token, Failure> {
        let (granter, line) = (Arc::clone(self), Arc::clone(line));
        let work = tokio::spawn(async move {
            let mut desk = granter.desk.lock().await;
            granter.work(&mut desk, &line).await
        });
        work.await.unwrap_or_else(|ended| Err(Failure::NotSent(format!("cannot renew the token: {ended}"))))
    }

    pub(super) fn refuse(&self, token: &Token, now: HostTime) {
        lock(&self.life).refuse(token, now);
    }

    pub(super) fn accept(&self, token: &Token) {
        lock(&self.life).accept(token);
    }

    /// The access token in use, whatever is known of it.
    pub(super) fn in_use(&self) -> Option<Token> {
        lock(&self.life).pair().map(|pair| pair.access.clone())
    }

    /// When the tokens should be exchanged.
    pub(super) fn due_at(&self) -> Option<HostTime> {
        lock(&self.life).pair().map(Pair::due_at)
    }

    /// Waits until no exchange is under way.
    pub(super) async fn at_rest(&self) {
        drop(self.desk.lock().await);
    }

    async fn work(&self, desk: &mut Desk, line: &Line) -> Result<Token, Failure> {
        self.keep_what_is_left(desk, line).await?;
        let words = self.look(desk, line).await.err();
        self.revive(desk).await;
        let step = lock(&self.life).step(line.now());
        match step {
            Step::Send(token) => Ok(token),
            Step::Grant => {
                let words = words.unwrap_or_else(|| "the integration has no access yet".to_owned());
                Err(Failure::NoToken(format!("{words}: {ADVICE}")))
            }
            Step::Over(words) => Err(Failure::NoToken(format!("{words}: {ADVICE}"))),
            Step::Exchange { meanwhile: Some(token), .. } if line.now() < desk.rest_until => Ok(token),
            Step::Exchange { pair, meanwhile } => match (self.exchange(desk, line, &pair).await, meanwhile) {
                (Err(failure), Some(token)) => {
                    desk.rest_until = line.now().after(REST);
                    warn!(account = %self.account, reason = %failure, "the amoCRM token cannot be refreshed yet: the old one still works");
                    Ok(token)
                }
                (outcome, _) => outcome,
            },
        }
    }

    /// Takes a pair that somebody else wrote, and puts it where it is missing.
    ///
    /// # Errors
    /// With words on what is there and cannot be used.
    async fn look(&self, desk: &mut Desk, line: &Line) -> Result<(), String> {
        let file = self.file.clone();
        let reading = tokio::task::spawn_blocking(move || file.read());
        let found = reading.await.unwrap_or_else(|ended| Err(ended.to_string()));
        let stored = self.fetch(desk).await;
        let (in_file, in_safe) = (serial(found.as_ref()), serial(stored.as_ref()));
        let mut problem = None;
        for found in [found, stored] {
            match found.and_then(|pair| pair.map(|pair| self.fits(pair)).transpose()) {
                Ok(Some(pair)) => self.take(pair, line),
                Ok(None) => {}
                Err(words) => problem = Some(words),
            }
        }
        let known = lock(&self.life).pair().cloned();
        if let Some(pair) = known {
            if in_file < Some(pair.serial) {
                self.tell(self.write(pair.clone()).await);
            }
            if desk.safe_read && in_safe < Some(pair.serial) {
                let kept = self.keep(&pair).await;
                desk.safe_read = kept.is_ok();
                self.tell(kept);
            }
        }
        problem.map_or(Ok(()), Err)
    }

    /// What lies in the safe. It is asked until it answered once; from then on it holds what we put there.
    async fn fetch(&self, desk: &mut Desk) -> Result<Option<Pair>, String> {
        let Some(safe) = self.safe.as_ref() else { return Ok(None) };
        if desk.safe_read {
            return Ok(lock(&self.life).pair().cloned());
        }
        let bytes = safe.fetch(&self.account).await?;
        desk.safe_read = true;
        let read = bytes.map(|bytes| Pair::read(&bytes)).transpose();
        read.map_err(|error| format!("the tokens in the store: {error}"))
    }

    fn fits(&self, pair: Pair) -> Result<Pair, String> {
        if pair.client_id == self.app.client_id.as_str() {
            return Ok(pair);
        }
        Err("the tokens that are kept were given to another integration".to_owned())
    }

    /// Begins to use a pair that is kept somewhere.
    fn take(&self, pair: Pair, line: &Line) {
        let base_url = self.address(&pair);
        let until = pair.expires_at;
        if lock(&self.life).offer(pair) {
            if base_url != line.base_url() {
                warn!(account = %self.account, %base_url, "the account is at another address: base-url should be changed");
            }
            line.move_to(base_url);
            info!(account = %self.account, %until, "an amoCRM token is in use");
        }
    }

    /// Where the account is: what a person wrote counts when he wrote it after the pair was given.
    fn address(&self, pair: &Pair) -> BaseUrl {
        if pair.configured != self.configured.as_str() {
            return self.configured.clone();
        }
        let host = pair.base_url.split_once("://").map_or("", |(_, host)| host);
        self.configured.sibling(host).unwrap_or_else(|| self.configured.clone())
    }

    /// Exchanges `pair`.
    async fn exchange(&self, desk: &mut Desk, line: &Line, pair: &Pair) -> Result<Token, Failure> {
        let secret = self.secret().await.map_err(Failure::NoToken)?;
        let mut base_url = line.base_url();
        let (mut tries, mut has_moved) = (TRIES, false);
        loop {
            tries -= 1;
            let question = question(oauth::body(&self.app, &secret, Grant::Refresh(&pair.refresh)));
            let given = line.ask_at(&base_url, question).await.map(|reply| oauth::read(&reply));
            match given {
                Ok(Given::Pair { access, refresh, expires_in_s }) => {
                    let next = self.next(pair, access, refresh, expires_in_s, &base_url, line.now());
                    desk.lost = false;
                    desk.unkept = Some(next.clone());
                    self.keep_what_is_left(desk, line).await?;
                    return Ok(next.access);
                }
                Ok(given @ (Given::Refused(_) | Given::NotHere(_))) if !has_moved => {
                    let Some(moved) = self.look_for_account(line, &base_url, pair).await? else {
                        return Err(self.refused(desk, pair, secret, given));
                    };
                    (base_url, has_moved, tries) = (moved, true, TRIES);
                }
                Ok(given @ (Given::Refused(_) | Given::NotHere(_))) => {
                    return Err(self.refused(desk, pair, secret, given));
                }
                Ok(Given::Later(words)) | Err(Failure::NotSent(words)) => return Err(not_refreshed(&words)),
                Err(failure @ (Failure::NoToken(_) | Failure::Quiet)) => return Err(failure),
                Ok(Given::Lost(words)) | Err(Failure::Unknown(words)) => {
                    desk.lost = true;
                    if tries == 0 {
                        return Err(not_refreshed(&words));
                    }
                }
            }
        }
    }

    fn next(
        &self,
        last: &Pair,
        access: Token,
        refresh: Token,
        expires_in_s: u64,
        base_url: &BaseUrl,
        now: HostTime,
    ) -> Pair {
        Pair {
            serial: Pair::next_serial(Some(last.serial), now),
            access,
            refresh,
            obtained_at: now,
            expires_at: now.after(Duration::from_secs(expires_in_s)),
            client_id: self.app.client_id.as_str().to_owned(),
            configured: self.configured.as_str().to_owned(),
            base_url: base_url.as_str().to_owned(),
        }
    }

    /// amoCRM does not know the pair, or the account is not at its address: asks where it is, as the
    /// documentation says. `None` when it is where we asked, or nobody tells.
    async fn look_for_account(
        &self,
        line: &Line,
        base_url: &BaseUrl,
        pair: &Pair,
    ) -> Result<Option<BaseUrl>, Failure> {
        let domain = oauth::claims(&pair.access).api_domain;
        let Some(api) = domain.and_then(|host| base_url.sibling(&host)) else { return Ok(None) };
        let secret = header_value(&pair.refresh)?;
        let question = Question {
            method: Method::GET,
            path: DOMAIN_PATH.to_owned(),
            body: None,
            quiet: Quiet::Wait,
            secret: Some((HeaderName::from_static(REFRESH_HEADER), secret)),
        };
        let reply =
            line.ask_at(&api, question).await.map_err(|failure| not_refreshed(&failure.to_string()))?;
        let moved = oauth::read_domain(&reply).and_then(|host| base_url.sibling(&host));
        Ok(moved.filter(|moved| moved != base_url))
    }

    fn refused(&self, desk: &mut Desk, pair: &Pair, secret: Token, given: Given) -> Failure {
        let words = match given {
            Given::Refused(words) => words,
            Given::NotHere(words) => return not_refreshed(&words),
            Given::Later(words) | Given::Lost(words) => return not_refreshed(&words),
            Given::Pair { .. } => return not_refreshed("a pair came"),
        };
        let spent = if desk.lost { ", perhaps spent by an exchange whose answer was lost" } else { "" };
        let words = format!("amoCRM does not refresh the token any more{spent}: {words}");
        desk.over_with = Some(secret);
        lock(&self.life).end(pair.serial, words.clone());
        Failure::NoToken(format!("{words}: {ADVICE}"))
    }

    /// Keeps a pair that is nowhere kept, and begins to use it. One place of the two is enough to begin.
    async fn keep_what_is_left(&self, desk: &mut Desk, line: &Line) -> Result<(), Failure> {
        let Some(pair) = desk.unkept.clone() else { return Ok(()) };
        let (written, kept) = (self.write(pair.clone()).await, self.keep(&pair).await);
        let kept = if self.safe.is_some() { kept } else { written.clone() };
        if let (Err(file), Err(_)) = (&written, &kept) {
            error!(account = %self.account, reason = file, "new amoCRM tokens can be kept nowhere: nothing is sent until they are");
            return Err(Failure::NotSent(format!("the new token is not used before it is kept: {file}")));
        }
        self.tell(written);
        self.tell(kept);
        desk.unkept = None;
        self.take(pair, line);
        Ok(())
    }

    async fn write(&self, pair: Pair) -> Result<(), String> {
        let file = self.file.clone();
        let writing = tokio::task::spawn_blocking(move || file.write(&pair));
        writing.await.unwrap_or_else(|ended| Err(ended.to_string()))
    }

    async fn keep(&self, pair: &Pair) -> Result<(), String> {
        match &self.safe {
            Some(safe) => safe.keep(&self.account, pair.to_json()).await,
            None => Ok(()),
        }
    }

    fn tell(&self, kept: Result<(), String>) {
        if let Err(reason) = kept {
            error!(account = %self.account, reason, "amoCRM tokens are kept in one place instead of two");
        }
    }

    /// A wrong secret key looks like a spent token: another key is tried.
    async fn revive(&self, desk: &mut Desk) {
        let Some(old) = &desk.over_with else { return };
        if self.secret().await.is_ok_and(|secret| secret != *old) {
            desk.over_with = None;
            lock(&self.life).revive();
        }
    }

    async fn secret(&self) -> Result<Token, String> {
        secret(&self.app).await
    }
}

/// A request to the token end point.
pub(super) fn question(body: Vec<u8>) -> Question {
    let path = TOKEN_PATH.to_owned();
    Question { method: Method::POST, path, body: Some(body), quiet: Quiet::Wait, secret: None }
}

/// A token as the value of a header.
fn header_value(token: &Token) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(token.expose())
        .map_err(|_| Failure::NoToken("the token cannot stand in a header".to_owned()))
}

/// The integration's secret key.
pub(super) async fn secret(app: &OAuth) -> Result<Token, String> {
    match (&app.client_secret, &app.client_secret_file) {
        (Some(secret), _) => secret.token().map_err(|error| format!("client-secret: {error}")),
        (None, Some(path)) => read_token(path.clone()).await,
        (None, None) => Err("[amocrm.oauth] has no secret key".to_owned()),
    }
}

fn serial(found: Result<&Option<Pair>, &String>) -> Option<u64> {
    found.ok().and_then(|pair| pair.as_ref()).map(|pair| pair.serial)
}

fn not_refreshed(words: &str) -> Failure {
    Failure::NotSent(format!("the token cannot be refreshed: {words}"))
}
