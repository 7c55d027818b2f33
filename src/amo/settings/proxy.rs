//! Pure: the address of a proxy, which may hold a password.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::amo::settings::{Error, host_of, split_scheme};

/// `http://proxy.example.org:3128`, perhaps with `login:password@`. As the configuration holds it,
/// not checked yet: a parser that refuses a value prints its line.
#[derive(Clone, Eq, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    /// # Errors
    /// When it is not scheme, host and port.
    pub fn check(&self) -> Result<(), Error> {
        let rest = split_scheme(self.expose()).map(|(_, rest)| rest);
        let authority = rest.map(|rest| rest.rsplit_once('@').map_or(rest, |(_, authority)| authority));
        authority.and_then(host_of).map(drop).ok_or_else(|| Error::Proxy(self.to_string()))
    }

    /// The address itself, with its password.
    pub fn expose(&self) -> &str {
        self.0.trim_end_matches('/')
    }
}

/// Without login and password.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme =
            split_scheme(&self.0).map_or("", |(encrypted, _)| if encrypted { "https://" } else { "http://" });
        match self.expose().rsplit_once('@') {
            Some((_, host)) => write!(f, "{scheme}…@{host}"),
            None => f.write_str(self.expose()),
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
