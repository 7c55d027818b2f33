//! Pure: the shape of the configuration file. Keys are kebab-case, unknown ones are refused, and
//! the comments of `config/ami2amo.toml` explain each.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::ami::connection::Secret;
use crate::ami::session::Login;
use crate::amo::settings::Settings as Amo;
use crate::call::id::PbxName;
use crate::call::line::Line;
use crate::call::policy::Policy as Calls;
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
    pub daemon: DaemonTable,
}

/// `[[pbx]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PbxTable {
    pub name: PbxName,
    pub host: Option<String>,
    pub port: u16,
    pub username: Option<String>,
    #[serde(deserialize_with = "secret")]
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
    #[serde(deserialize_with = "login")]
    pub login: Login,
    pub ping_interval: Span,
    pub allow_plaintext: bool,
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoreTable {
    pub dir: PathBuf,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdminTable {
    pub socket: PathBuf,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogTable {
    pub level: String,
    pub format: Format,
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
}

/// Asterisk's port when manager.conf names none.
pub const AMI_PORT: u16 = 5038;

impl Default for PbxTable {
    fn default() -> Self {
        Self {
            name: PbxName::default(),
            host: None,
            port: AMI_PORT,
            username: None,
            secret: None,
            secret_file: None,
            login: Login::default(),
            ping_interval: Span::from_secs(10),
            allow_plaintext: false,
        }
    }
}

impl Default for StoreTable {
    fn default() -> Self {
        Self { dir: PathBuf::from("/var/lib/ami2amo") }
    }
}

impl Default for AdminTable {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/ami2amo/ctl.sock") }
    }
}

impl Default for LogTable {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::default() }
    }
}

impl Default for DaemonTable {
    fn default() -> Self {
        Self { stop_timeout: Span::from_secs(20) }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(Secret::new(text.into_bytes())))
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
