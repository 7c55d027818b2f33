//! Pure: the shape of the configuration file. Keys are kebab-case, unknown ones are refused, and
//! the comments of `config/ami2amo.toml` explain each, those of `config/ami2amo.ru.toml` in Russian.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::ami::connection::Secret;
use crate::ami::connection::tls::fingerprint::Fingerprint;
use crate::ami::session::Login;
use crate::amo::settings::Settings as Amo;
use crate::call::id::PbxName;
use crate::call::line::Line;
use crate::call::policy::Policy as Calls;
use crate::config::size::SizeMax;
use crate::ops::log::Format;
use crate::outbox::policy::Policy as Delivery;
use crate::time::span::Span;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    pub pbx: Vec<PbxTable>,
    pub amocrm: Amo,
    /// Further accounts.
    pub account: Vec<Amo>,
    /// Our lines, the first that fits a call first.
    pub line: Vec<Line>,
    pub calls: Calls,
    pub delivery: Delivery,
    pub store: StoreTable,
    pub admin: AdminTable,
    pub log: LogTable,
    pub records: RecordsTable,
    pub hook: HookTable,
    pub daemon: DaemonTable,
}

/// `[[pbx]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PbxTable {
    pub name: PbxName,
    pub renamed_from: Option<PbxName>,
    pub host: Option<String>,
    /// See [`PbxTable::port`].
    pub port: Option<u16>,
    pub username: Option<String>,
    #[serde(deserialize_with = "secret")]
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
    #[serde(deserialize_with = "login")]
    pub login: Login,
    pub ping_interval: Span,
    pub tls: TlsWord,
    #[serde(deserialize_with = "one_or_more")]
    pub tls_fingerprint: Vec<Fingerprint>,
    pub tls_ca_file: Option<PathBuf>,
    pub tls_name: Option<String>,
    pub allow_plaintext: bool,
    pub cdr: Option<CdrTable>,
}

/// `[pbx.cdr]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CdrTable {
    pub kind: CdrKind,
    pub path: Option<PathBuf>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub socket: Option<PathBuf>,
    pub user: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    pub database: Option<String>,
    pub table: Option<String>,
    pub cel: Option<String>,
    #[serde(default = "look_back")]
    pub look_back: Span,
    #[serde(default = "batch_time")]
    pub batch_time: Span,
}

/// Where call detail records are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CdrKind {
    Csv,
    Mysql,
    Postgres,
    Sqlite,
}

/// How a PBX is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsWord {
    #[default]
    Off,
    /// By the fingerprint of its certificate.
    Pin,
    /// By an authority that vouches for its certificate.
    Ca,
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoreTable {
    pub dir: PathBuf,
    /// The store comes to no end for so long though its disk works: ami2amo begins anew.
    pub hung_after: Span,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdminTable {
    pub socket: PathBuf,
    /// Where metrics and health checks are served, too.
    pub listen: Option<SocketAddr>,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogTable {
    pub level: String,
    pub format: Format,
}

/// `[records]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecordsTable {
    /// None are written without it.
    pub file: Option<PathBuf>,
    pub max_size: SizeMax,
    pub keep: NonZeroUsize,
}

/// `[hook]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HookTable {
    /// A program and its arguments; nobody is asked without it.
    pub before_send: Vec<String>,
}

/// `[daemon]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DaemonTable {
    pub stop_timeout: Span,
}

impl File {
    /// By what calls are judged: the `[calls]` table and the lines.
    pub fn judgement(&self) -> Calls {
        Calls { lines: self.line.clone(), ..self.calls.clone() }
    }

    /// As [`Self::judgement`], for calls that are stored: those of accounts in shadow mode are not sent.
    pub fn judgement_to_store(&self) -> Calls {
        let accounts = std::iter::once(&self.amocrm).chain(&self.account);
        let shadowed = accounts.filter(|account| account.is_shadow()).map(|account| account.name.clone());
        Calls { shadowed: shadowed.collect(), ..self.judgement() }
    }
}

/// Asterisk's port when manager.conf names none.
pub const AMI_PORT: u16 = 5038;
/// And when it is for TLS.
pub const AMI_TLS_PORT: u16 = 5039;

impl PbxTable {
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            TlsWord::Off => AMI_PORT,
            TlsWord::Pin | TlsWord::Ca => AMI_TLS_PORT,
        })
    }
}

impl Default for PbxTable {
    fn default() -> Self {
        Self {
            name: PbxName::default(),
            renamed_from: None,
            host: None,
            port: None,
            username: None,
            secret: None,
            secret_file: None,
            login: Login::default(),
            ping_interval: Span::from_secs(10),
            tls: TlsWord::default(),
            tls_fingerprint: Vec::new(),
            tls_ca_file: None,
            tls_name: None,
            allow_plaintext: false,
            cdr: None,
        }
    }
}

impl Default for StoreTable {
    fn default() -> Self {
        Self { dir: PathBuf::from("/var/lib/ami2amo"), hung_after: Span::from_secs(120) }
    }
}

impl Default for AdminTable {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/ami2amo/ctl.sock"), listen: None }
    }
}

impl Default for LogTable {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::default() }
    }
}

impl Default for RecordsTable {
    fn default() -> Self {
        Self { file: None, max_size: SizeMax(Some(100 << 20)), keep: NonZeroUsize::MIN.saturating_add(9) }
    }
}

impl Default for DaemonTable {
    fn default() -> Self {
        Self { stop_timeout: Span::from_secs(20) }
    }
}

fn look_back() -> Span {
    Span::from_hours(24)
}

/// `time` of `cdr.conf`, where nothing else is said.
fn batch_time() -> Span {
    Span::from_secs(300)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(Secret::new(text.into_bytes())))
}

/// One, or a list, so that a certificate can be rolled.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Fingerprint>, D::Error> {
    struct OneOrMore;

    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<Fingerprint>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a fingerprint such as \"sha256:…\", or a list of them")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.parse().map_err(E::custom)?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(OneOrMore)
}

fn login<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Login, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Word {
        Challenge,
        Plain,
    }
    Ok(match Word::deserialize(deserializer)? {
        Word::Challenge => Login::Challenge,
        Word::Plain => Login::Plain,
    })
}
