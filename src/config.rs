//! The configuration: one TOML file, read at start and again at SIGHUP. [`File`] is what it says, [`Config`] what it
//! means once every check has passed.
//!
//! Each room has its own settings; this one gathers them, so that the file has one shape and one
//! list of problems. A change of [`Setup`] needs a restart; [`Policy`] is handed around as a whole
//! and can be swapped while the daemon runs.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::ami::connection;
use crate::amo::settings::Settings as Amo;
use crate::call::id::{AccountId, PbxName};
use crate::call::policy::Policy as Calls;
use crate::cdr::source::Source;
use crate::cdr::source::events::Events;
use crate::config::check::{Finding, Grade};
use crate::config::file::File;
use crate::config::surroundings::{Host, Surroundings};
use crate::ops::log::Format;
use crate::outbox::policy::Policy as Delivery;

pub mod check;
pub mod fault;
pub mod file;
pub mod reload;
pub mod size;
pub mod surroundings;

/// A configuration that passed its checks.
#[derive(Clone, Debug)]
pub struct Config {
    pub setup: Setup,
    pub policy: Arc<Policy>,
}

/// Sockets, paths and credentials: read once.
#[derive(Clone, Debug)]
pub struct Setup {
    pub pbxs: Vec<Pbx>,
    pub store_dir: PathBuf,
    pub admin_socket: PathBuf,
    /// Where metrics and health checks are served over TCP; always of this host alone.
    pub admin_listen: Option<SocketAddr>,
    pub log: Log,
    /// Where a line of each call that ended goes.
    pub records: Option<Records>,
    /// Who is asked before a call is sent.
    pub hook: Option<Hook>,
    /// Longest orderly shutdown.
    pub stop_timeout: Duration,
    /// The store comes to no end for so long though its disk works: the daemon begins anew.
    pub store_hung_after: Duration,
}

#[derive(Clone, Debug)]
pub struct Pbx {
    pub name: PbxName,
    /// Its name until now, where that was changed on purpose.
    pub renamed_from: Option<PbxName>,
    pub connection: connection::Settings,
    /// Where calls are found that nobody followed.
    pub cdr: Option<Cdr>,
}

/// The call detail records of a PBX.
#[derive(Clone, Debug, PartialEq)]
pub struct Cdr {
    pub source: Source,
    /// Where its channel events are.
    pub cel: Option<Events>,
    /// What lies further back is not looked for.
    pub look_back: Duration,
    /// How long after a call its record may be written.
    pub batch_time: Duration,
}

/// The file of records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Records {
    pub file: PathBuf,
    /// Most bytes of one file; `None` when somebody else turns it.
    pub size_max: Option<u64>,
    /// Most files that are kept, the newest among them.
    pub keep: NonZeroUsize,
}

/// A program that is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hook {
    /// Its path and its arguments.
    pub before_send: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub filter: String,
    pub format: Format,
}

/// How calls are judged and delivered. The connection to amoCRM (address, token, pace, time-outs)
/// stands in the same table of the file, but is read once too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub calls: Arc<Calls>,
    /// The account of every call that no line gives to another.
    pub amocrm: Amo,
    pub accounts: Vec<Amo>,
    pub delivery: Delivery,
}

impl Policy {
    /// Every account, the default one first.
    pub fn all_accounts(&self) -> impl Iterator<Item = &Amo> {
        std::iter::once(&self.amocrm).chain(&self.accounts)
    }

    /// The account of this name, if it is configured.
    pub fn account(&self, name: &AccountId) -> Option<&Amo> {
        self.all_accounts().find(|account| account.name == *name)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot read the configuration {path}: name another file with --config, or begin with the example \
         that comes with ami2amo"
    )]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the configuration {path} is not UTF-8 text")]
    NotText { path: PathBuf },
    /// Says file, line, column and what to do in several lines.
    #[error("{0}")]
    Malformed(fault::Fault),
    /// What [`check::examine`] found.
    #[error("{}", problems(path, findings))]
    Wrong { path: PathBuf, findings: Vec<Finding> },
}

/// Reads and checks a configuration; warnings come back beside it.
///
/// # Errors
/// When the file cannot be read, has a mistake in its form, or says something that cannot be.
pub fn load(path: &Path) -> Result<(Config, Vec<Finding>), Error> {
    let host = Host::Start;
    let (findings, config) = check::examine(read(path, &host)?, &host);
    match config {
        Some(config) => Ok((config, findings)),
        None => Err(Error::Wrong { path: path.to_owned(), findings }),
    }
}

/// Reads a configuration's form; what it says is for [`check::examine`].
///
/// # Errors
/// When the file cannot be read or has a mistake in its form.
pub fn read(path: &Path, surroundings: &impl Surroundings) -> Result<File, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let bytes = surroundings.read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::NotText { path: path.to_owned() })?;
    toml::from_str(&text).map_err(|error| Error::Malformed(fault::Fault::new(path, &text, &error)))
}

fn problems(path: &Path, findings: &[Finding]) -> String {
    let failed: Vec<_> = findings.iter().filter(|finding| finding.grade == Grade::Fail).collect();
    let mut text = match failed.len() {
        1 => format!("{}: one problem", path.display()),
        count => format!("{}: {count} problems", path.display()),
    };
    for finding in failed {
        text.push_str("\n  ");
        text.push_str(&finding.to_string());
    }
    text
}
