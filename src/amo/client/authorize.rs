//! The first tokens of an account, for a code that a person brought.

use std::time::Duration;

use crate::amo::client::granter::{question, secret};
use crate::amo::client::line::Line;
use crate::amo::client::safe::PairFile;
use crate::amo::settings::oauth::OAuth;
use crate::amo::token::Token;
use crate::amo::token::oauth::{self, Given, Grant};
use crate::amo::token::pair::Pair;

/// Exchanges a code that a person brought for a first pair, and writes it to `file`.
///
/// # Errors
/// In words, when there is no pair after it.
pub(super) async fn authorize(
    line: &Line,
    app: &OAuth,
    code: &Token,
    file: &PairFile,
) -> Result<Pair, String> {
    let base_url = line.base_url();
    let last = file.read().ok().flatten().map(|pair| pair.serial);
    let secret = secret(app).await?;
    let reply = line.ask(question(oauth::body(app, &secret, Grant::Code(code)))).await;
    let given = oauth::read(&reply.map_err(|failure| failure.to_string())?);
    let (access, refresh, expires_in_s) = match given {
        Given::Pair { access, refresh, expires_in_s } => (access, refresh, expires_in_s),
        Given::Refused(words) => {
            return Err(format!(
                "amoCRM refuses the code ({words}): it works once and for 20 minutes, and client-id, the secret key \
                 and redirect-uri must be those of its integration"
            ));
        }
        Given::NotHere(words) => return Err(format!("{base_url} is no account ({words}): check base-url")),
        Given::Later(words) | Given::Lost(words) => return Err(words),
    };
    let now = line.now();
    let pair = Pair {
        serial: Pair::next_serial(last, now),
        access,
        refresh,
        obtained_at: now,
        expires_at: now.after(Duration::from_secs(expires_in_s)),
        client_id: app.client_id.as_str().to_owned(),
        configured: base_url.as_str().to_owned(),
        base_url: base_url.as_str().to_owned(),
    };
    file.write(&pair)?;
    Ok(pair)
}
