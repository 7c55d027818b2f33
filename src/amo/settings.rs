//! Pure: the `[amocrm]` table of the configuration. Every key has a default but `base-url` and the
//! token, which only what really talks to amoCRM needs.

pub mod callback;
pub mod manner;
pub mod unknown;

// Addresses as `core` has them: values, without the sockets of `std::net`.
use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::amo::recording::{LinkTemplate, SearchTemplate};
use crate::amo::result::Results;
use crate::amo::settings::callback::CallbackTask;
use crate::amo::settings::manner::Delivery;
use crate::amo::settings::oauth::OAuth;
use crate::amo::settings::proxy::ProxyUrl;
use crate::amo::settings::unknown::Unknown;
use crate::amo::token::{self, Secret};
use crate::call::id::AccountId;
use crate::call::line::Language;
use crate::time::span::Span;

pub mod oauth;
pub mod proxy;

/// The `[amocrm]` table. `base_url` to `prefer_ipv4` belong to the connection and are read
/// once; the rest says how a call is written and may change while the daemon runs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The account's name, by which its calls wait in the outbox; `[amocrm]` is always `default`.
    pub name: AccountId,
    /// The account's own address; amoCRM does not answer for an account at a common one.
    pub base_url: Option<BaseUrl>,
    /// Where the long-lived token stands; read again when amoCRM refuses it.
    pub token_file: Option<PathBuf>,
    /// The long-lived token itself; a file is better.
    #[serde(skip_serializing)]
    pub token: Option<Secret>,
    /// In place of a long-lived token: an integration that asks for tokens.
    pub oauth: Option<OAuth>,
    /// Requests in a second for everything the process sends: 1 to 7, more only towards loopback.
    pub requests_per_second: u32,
    /// Longest wait for TCP and TLS.
    pub connect_timeout: Span,
    /// Longest wait for a whole answer. A short one makes outcomes unknown that were none.
    pub request_timeout: Span,
    /// Lets the token travel unencrypted to another host.
    pub allow_plain_http: bool,
    /// Everything goes through this proxy.
    pub proxy: Option<ProxyUrl>,
    /// Certificates (PEM) that are trusted beside the web's and this system's: those of a proxy that
    /// looks into TLS.
    pub ca_file: Option<PathBuf>,
    /// IPv4 addresses are tried first.
    pub prefer_ipv4: bool,

    /// Whether calls are posted, or only compared with what another connector wrote.
    pub delivery: Delivery,
    /// How long after a call came another connector's note of it is looked for.
    pub compare_after: Span,
    /// Whether it is noticed that others write notes of our calls, too.
    pub notice_duplicates: bool,
    /// The `source` of every call: the name of the integration.
    pub source: Text,
    /// amoCRM user of calls whose extension is in no line of `users`.
    pub default_user: Option<u64>,
    /// Extension → amoCRM user.
    pub users: BTreeMap<String, u64>,
    /// What is done for numbers that amoCRM does not know.
    pub unknown: Unknown,
    /// Extension → name, for [`Unmapped::Text`].
    pub names: BTreeMap<String, String>,
    /// What stands for an extension that no user is known for.
    pub unmapped: Unmapped,
    /// [`Unmapped::Text`] with `{extension}` and `{name}` in it; unset, by the language.
    pub extension_text: Option<Text>,
    /// The task to call back after a missed call.
    pub callback_task: CallbackTask,
    /// Which of the record's lengths becomes `duration`.
    pub duration: Length,
    /// The language of `call_result`, where the line of the call has none.
    pub language: Language,
    /// Own words for outcomes, before those of `language`.
    pub results: Results,
    /// Where recordings are heard: `https://pbx.example.org/rec/{file}`.
    pub recording_url: Option<LinkTemplate>,
    /// The folder in which recordings are looked for; unset, the address is made of the name that
    /// the PBX told. `{pbx}` stands for the PBX's name.
    pub recording_root: Option<PathBuf>,
    /// Where a recording lies below its folder that the PBX named otherwise, or not at all.
    pub recording_search: Option<SearchTemplate>,
    /// How long a call waits, after it came, for a recording that is not there yet.
    pub recording_wait: Span,
    /// How long the link of a call that was posted without one may come later.
    pub recording_late: Span,
    /// Where messages that callers left are heard.
    pub voicemail_url: Option<LinkTemplate>,
    /// The folder in which their files are looked for.
    pub voicemail_root: Option<PathBuf>,
}

/// What `call_responsible` says when the extension has no user and there is no default user, and what
/// `call_result` adds of such an extension.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unmapped {
    /// The extension with its name, as people read it.
    #[default]
    Text,
    /// The bare extension. amoCRM may take it for the phone of a user.
    Extension,
    /// Nothing.
    Omit,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// From the first moment with an employee to the last.
    #[default]
    Talk,
    /// Without the time in which no employee was on the line.
    Bridged,
}

/// `https://example.amocrm.ru`: scheme, host and perhaps a port, nothing behind them.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl {
    text: String,
    encrypted: bool,
    loopback: bool,
}

/// A text of 1 to 255 characters that is not blank; amoCRM refuses blank ones.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(String);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("base-url {:?} must look like \"https://example.amocrm.ru\": scheme and host, no path", without_login(.0))]
    BaseUrl(String),
    #[error("a text of 1 to {TEXT_MAX} characters is needed")]
    Text,
    #[error("base-url is missing: the address of your account, like \"https://example.amocrm.ru\"")]
    NoBaseUrl,
    #[error("the token would travel unencrypted to {0}: use https, or say allow-plain-http = true")]
    PlainHttp(String),
    #[error(
        "requests-per-second = {0}: amoCRM blocks accounts above {PER_SECOND_MAX}, and 0 would send nothing"
    )]
    Pace(u32),
    #[error("token and token-file are both set: keep one, better the file")]
    TwoTokens,
    #[error("token in [amocrm]")]
    Token(#[source] token::Error),
    #[error("[amocrm.oauth] stands beside {0}: an account has one or the other")]
    TwoWays(&'static str),
    #[error("[amocrm.oauth] has no secret key: set client-secret-file")]
    NoClientSecret,
    #[error("client-secret and client-secret-file are both set in [amocrm.oauth]: keep one, better the file")]
    TwoClientSecrets,
    #[error("client-secret in [amocrm.oauth]")]
    ClientSecret(#[source] token::Error),
    #[error(
        "redirect-uri {0:?} in [amocrm.oauth] must be the address that is registered with the integration"
    )]
    RedirectUri(String),
    #[error("proxy {0:?} must look like \"http://proxy.example.org:3128\"")]
    Proxy(String),
    #[error("connect-timeout and request-timeout must be longer than 0s")]
    NoTime,
}

/// amoCRM's own limit; above it answers become 429 and then the account is blocked.
pub const PER_SECOND_MAX: u32 = 7;
/// What the names of amoCRM's own hosts end with.
const DOMAINS: [&str; 3] = [".amocrm.ru", ".amocrm.com", ".kommo.com"];
/// Nothing is documented; 255 characters is what every column of that kind holds.
pub const TEXT_MAX: usize = 255;

impl Settings {
    /// Checks what no single key can: the address and how it fits the other keys.
    ///
    /// # Errors
    /// When amoCRM could not be talked to with these settings, or should not.
    pub fn check(&self) -> Result<&BaseUrl, Error> {
        let url = self.base_url.as_ref().ok_or(Error::NoBaseUrl)?;
        if !url.encrypted && !url.loopback && !self.allow_plain_http {
            return Err(Error::PlainHttp(url.text.clone()));
        }
        let within = (1..=PER_SECOND_MAX).contains(&self.requests_per_second);
        if !within && (self.requests_per_second == 0 || !url.loopback) {
            return Err(Error::Pace(self.requests_per_second));
        }
        if self.token.is_some() && self.token_file.is_some() {
            return Err(Error::TwoTokens);
        }
        if let Some(secret) = &self.token {
            secret.token().map_err(Error::Token)?;
        }
        if let Some(proxy) = &self.proxy {
            proxy.check()?;
        }
        if let Some(oauth) = &self.oauth {
            oauth.check()?;
            let beside = [("token-file", self.token_file.is_some()), ("token", self.token.is_some())];
            if let Some((key, _)) = beside.into_iter().find(|(_, is_set)| *is_set) {
                return Err(Error::TwoWays(key));
            }
        }
        if self.connect_timeout == Span::default() || self.request_timeout == Span::default() {
            return Err(Error::NoTime);
        }
        Ok(url)
    }

    /// The keys of the connection in which these settings and `other` differ.
    pub fn connection_differences(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            ("base-url", self.base_url != other.base_url),
            ("token-file", self.token_file != other.token_file),
            ("token", self.token != other.token),
            ("oauth", self.oauth != other.oauth),
            ("requests-per-second", self.requests_per_second != other.requests_per_second),
            ("connect-timeout", self.connect_timeout != other.connect_timeout),
            ("request-timeout", self.request_timeout != other.request_timeout),
            ("allow-plain-http", self.allow_plain_http != other.allow_plain_http),
            ("proxy", self.proxy != other.proxy),
            ("ca-file", self.ca_file != other.ca_file),
            ("prefer-ipv4", self.prefer_ipv4 != other.prefer_ipv4),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// These settings with the connection of `other`, which is made once.
    #[must_use]
    pub fn with_connection_of(self, other: &Self) -> Self {
        Self {
            base_url: other.base_url.clone(),
            token_file: other.token_file.clone(),
            token: other.token.clone(),
            oauth: other.oauth.clone(),
            requests_per_second: other.requests_per_second,
            connect_timeout: other.connect_timeout,
            request_timeout: other.request_timeout,
            allow_plain_http: other.allow_plain_http,
            proxy: other.proxy.clone(),
            ca_file: other.ca_file.clone(),
            prefer_ipv4: other.prefer_ipv4,
            ..self
        }
    }

    /// Whether nothing of the account is to be posted, made or changed.
    pub fn is_shadow(&self) -> bool {
        self.delivery == Delivery::Shadow
    }

    /// The users that are named, each with where: an extension, or the key of the default.
    pub fn named_users(&self) -> impl Iterator<Item = (&str, u64)> {
        let default = self.default_user.map(|user| ("default-user", user));
        self.users.iter().map(|(extension, user)| (extension.as_str(), *user)).chain(default)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: AccountId::default(),
            base_url: None,
            token_file: None,
            token: None,
            oauth: None,
            requests_per_second: 5,
            connect_timeout: Span::from_secs(5),
            request_timeout: Span::from_secs(30),
            allow_plain_http: false,
            proxy: None,
            ca_file: None,
            prefer_ipv4: false,
            delivery: Delivery::default(),
            compare_after: Span::from_secs(600),
            notice_duplicates: true,
            source: Text("ami2amo".to_owned()),
            default_user: None,
            users: BTreeMap::new(),
            unknown: Unknown::default(),
            names: BTreeMap::new(),
            unmapped: Unmapped::default(),
            extension_text: None,
            callback_task: CallbackTask::default(),
            duration: Length::default(),
            language: Language::default(),
            results: Results::new(),
            recording_url: None,
            recording_root: None,
            recording_search: None,
            recording_wait: Span::from_secs(5),
            recording_late: Span::from_hours(24),
            voicemail_url: None,
            voicemail_root: None,
        }
    }
}

impl BaseUrl {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the host is this machine, where no rule of amoCRM needs to be kept.
    pub const fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The address of another host that speaks for the same account: one of amoCRM's own, or of
    /// this machine where the account's is. `None` for a host that must not be given a token.
    pub fn sibling(&self, host: &str) -> Option<Self> {
        let scheme = if self.encrypted { "https" } else { "http" };
        let sibling = Self::try_from(format!("{scheme}://{host}")).ok()?;
        let is_amo = DOMAINS.iter().any(|domain| sibling.text.to_ascii_lowercase().ends_with(domain));
        ((is_amo && self.encrypted) || (self.loopback && sibling.loopback)).then_some(sibling)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let trimmed = text.trim_end_matches('/');
        let Some((encrypted, authority)) = split_scheme(trimmed) else { return Err(Error::BaseUrl(text)) };
        let Some(host) = host_of(authority) else { return Err(Error::BaseUrl(text)) };
        Ok(Self { encrypted, loopback: is_loopback(host), text: trimmed.to_owned() })
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.text
    }
}

impl Text {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Text {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        if text.trim().is_empty() || text.chars().count() > TEXT_MAX {
            return Err(Error::Text);
        }
        Ok(Self(text))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

/// Whether the address is `https`, and what follows the scheme.
fn split_scheme(url: &str) -> Option<(bool, &str)> {
    match url.split_once("://")? {
        ("https", rest) => Some((true, rest)),
        ("http", rest) => Some((false, rest)),
        _ => None,
    }
}

/// An address as it may be shown.
pub(super) fn without_login(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (_, host))) => format!("{scheme}://…@{host}"),
        None => url.to_owned(),
    }
}

/// The host of `host`, `host:port` or `[v6]:port`; nothing else may stand there.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (named(host)?, Some(port)),
            None => (named(authority)?, None),
        },
    };
    match port {
        Some(port) => port.parse::<u16>().ok().map(|_| host),
        None => Some(host),
    }
}

fn named(host: &str) -> Option<&str> {
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    (plain && !host.is_empty()).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;
