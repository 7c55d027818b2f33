//! Who keeps the token of one account: the one that a person made, or those that amoCRM gives out.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::amo::client::granter::Granter;
use crate::amo::client::line::{Line, lock};
use crate::amo::client::tending::Tending;
use crate::amo::client::{Failure, Renewal, TokenSource};
use crate::amo::token::{Life, TOKEN_MAX, Token, oauth};
use crate::time::HostTime;

/// The token of one account.
#[derive(Debug)]
pub struct TokenKeeper(Kind);

#[derive(Debug)]
enum Kind {
    LongLived { source: TokenSource, life: Mutex<Life> },
    Granted(Arc<Granter>),
}

impl From<TokenSource> for TokenKeeper {
    fn from(source: TokenSource) -> Self {
        let life = match &source {
            TokenSource::Given(token) => Life::Valid(token.clone()),
            TokenSource::File(_) => Life::Missing,
        };
        Self(Kind::LongLived { source, life: Mutex::new(life) })
    }
}

impl From<Granter> for TokenKeeper {
    fn from(granter: Granter) -> Self {
        Self(Kind::Granted(Arc::new(granter)))
    }
}

impl TokenKeeper {
    /// What has to run beside the account's requests, if anything.
    pub(super) fn tending(&self, line: &Arc<Line>) -> Option<Tending> {
        match &self.0 {
            Kind::LongLived { .. } => None,
            Kind::Granted(granter) => Some(Tending::new(Arc::clone(granter), Arc::clone(line))),
        }
    }

    /// The token for a request that leaves now.
    pub(super) async fn token(&self, line: &Arc<Line>) -> Result<Token, Failure> {
        match &self.0 {
            Kind::LongLived { source, life } => long_lived(source, life).await,
            Kind::Granted(granter) => granter.token(line).await,
        }
    }

    /// Until when a token works that only a person can renew, as far as it says; `None` where amoCRM
    /// renews it.
    pub(super) fn ends_at(&self) -> Option<HostTime> {
        match &self.0 {
            Kind::LongLived { life, .. } => oauth::claims(lock(life).token()?).expires_at,
            Kind::Granted(_) => None,
        }
    }

    /// Looks for another token, after amoCRM refused it or while it is missing.
    pub(super) async fn renew(&self, line: &Arc<Line>) -> Renewal {
        let granter = match &self.0 {
            Kind::LongLived { source, life } => return reread(source, life).await,
            Kind::Granted(granter) => granter,
        };
        let before = granter.in_use();
        match granter.bring_up(line).await {
            Ok(token) if before.as_ref() == Some(&token) => Renewal::Same,
            Ok(_) => Renewal::Another,
            Err(Failure::NoToken(words)) => Renewal::Absent(words),
            Err(failure @ (Failure::NotSent(_) | Failure::Unknown(_) | Failure::Quiet)) => {
                Renewal::Later(failure.to_string())
            }
        }
    }

    /// amoCRM answered 401 to `token`.
    pub(super) fn refuse(&self, token: &Token, now: HostTime) {
        match &self.0 {
            Kind::LongLived { life, .. } => lock(life).refuse(token),
            Kind::Granted(granter) => granter.refuse(token, now),
        }
    }

    /// amoCRM accepted `token`.
    pub(super) fn accept(&self, token: &Token) {
        match &self.0 {
            Kind::LongLived { life, .. } => lock(life).accept(token),
            Kind::Granted(granter) => granter.accept(token),
        }
    }
}

async fn long_lived(source: &TokenSource, life: &Mutex<Life>) -> Result<Token, Failure> {
    if let Some(token) = lock(life).token() {
        return Ok(token.clone());
    }
    if let Renewal::Absent(reason) = reread(source, life).await {
        return Err(Failure::NoToken(reason));
    }
    lock(life).token().cloned().ok_or_else(|| Failure::NoToken("there is no token".to_owned()))
}

async fn reread(source: &TokenSource, life: &Mutex<Life>) -> Renewal {
    let TokenSource::File(path) = source else { return Renewal::Same };
    match read_token(path.clone()).await {
        Ok(token) => {
            if lock(life).offer(token) {
                Renewal::Another
            } else {
                Renewal::Same
            }
        }
        Err(reason) => Renewal::Absent(reason),
    }
}

/// Reads the token or secret key in a file.
pub(super) async fn read_token(path: PathBuf) -> Result<Token, String> {
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
