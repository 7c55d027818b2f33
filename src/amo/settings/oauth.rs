//! Pure: `[amocrm.oauth]`, an integration that is given tokens by amoCRM's OAuth 2.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::amo::settings::{Error, Text, split_scheme};
use crate::amo::token::Secret;

/// The `[amocrm.oauth]` table: what amoCRM shows of an integration under "Keys and scopes".
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OAuth {
    pub client_id: Text,
    /// Where the integration's secret key stands.
    pub client_secret_file: Option<PathBuf>,
    /// The secret key itself; a file is better.
    #[serde(skip_serializing)]
    pub client_secret: Option<Secret>,
    /// As registered with the integration, letter by letter.
    pub redirect_uri: String,
}

impl OAuth {
    /// # Errors
    /// When the keys do not fit each other.
    pub fn check(&self) -> Result<(), Error> {
        match (&self.client_secret, &self.client_secret_file) {
            (None, None) => return Err(Error::NoClientSecret),
            (Some(_), Some(_)) => return Err(Error::TwoClientSecrets),
            (Some(secret), None) => drop(secret.token().map_err(Error::ClientSecret)?),
            (None, Some(_)) => {}
        }
        match split_scheme(&self.redirect_uri) {
            Some((_, host)) if !host.is_empty() => Ok(()),
            Some(_) | None => Err(Error::RedirectUri(self.redirect_uri.clone())),
        }
    }
}
