//! Whether a configuration can work: every problem at once, in words for who looks after a PBX.
//! Reads nothing but its [`Surroundings`]; asks no network.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::ami::connection::{Security, is_loopback};
use crate::config::file::{File, TlsWord};
use crate::config::surroundings::{Folder, Surroundings};
use crate::config::{Config, Hook, Log, Policy, Records, Setup};
use crate::ops::log;

mod amocrm;
mod cdr;
mod line;
mod pbx;
mod recordings;
mod records;
mod tls;
mod users;

/// One check and how it went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    pub grade: Grade,
    /// What was checked: `[[pbx]] "default"`.
    pub place: String,
    pub text: String,
    /// What to do; empty when there is nothing to do.
    pub advice: String,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Grade {
    Ok,
    /// It works, but perhaps not as meant.
    Warn,
    /// The configuration is right, and the daemon would not start as this host is now.
    Down,
    /// The daemon would not start with this configuration.
    Fail,
}

/// The environment variable with the secret of every PBX that names none.
pub const SECRET_VARIABLE: &str = "AMI2AMO_AMI_SECRET";

/// Where systemd puts what `LoadCredential=` names.
pub(super) const CREDENTIALS: &str = "/run/credentials";

/// A disk that is slow stands still for a moment now and then.
const HUNG_AFTER_MIN: Duration = Duration::from_secs(1);

/// Longest path of a Unix socket: `sun_path` holds 108 bytes with the NUL.
const SOCKET_PATH_MAX: usize = 107;

/// Checks `file`; the configuration is there when nothing failed.
pub fn examine(file: File, surroundings: &impl Surroundings) -> (Vec<Finding>, Option<Config>) {
    let mut report = Report::default();
    let pbxs = pbx::all(&file.pbx, surroundings, &mut report);
    line::all(&file.line, &line::Names::of(&file), &mut report);
    amocrm::all(&file.amocrm, &file.account, surroundings, &mut report);
    store(&file.store.dir, surroundings, &mut report);
    admin(&file.admin.socket, file.admin.listen, &mut report);
    records_file(file.records.file.as_deref(), surroundings, &mut report);
    hook(&file.hook.before_send, surroundings, &mut report);
    level("[log] level", &file.log.level, &mut report);
    if let Some(filter) = surroundings.variable(log::VARIABLE) {
        level(log::VARIABLE, &filter, &mut report);
    }
    if file.daemon.stop_timeout.duration().is_zero() {
        report.fail("[daemon]", "stop-timeout is 0s", "leave it out, or give calls some seconds: \"20s\"");
    }
    if file.store.hung_after.duration() < HUNG_AFTER_MIN {
        let why = "hung-after is so short that a slow disk is taken for a store that hangs";
        report.fail("[store]", why, "leave it out, or give the store a second at least: \"2m\"");
    }
    // Without a secret that only the service has, a PBX cannot be set up.
    let is_whole = pbxs.len() == file.pbx.len();
    if !is_whole || report.findings.iter().any(|finding| finding.grade == Grade::Fail) {
        return (report.findings, None);
    }
    let calls = Arc::new(file.judgement_to_store());
    let setup = Setup {
        pbxs,
        store_dir: file.store.dir,
        store_hung_after: file.store.hung_after.duration(),
        admin_socket: file.admin.socket,
        admin_listen: file.admin.listen,
        log: Log { filter: file.log.level, format: file.log.format },
        records: file.records.file.map(|path| Records {
            file: path,
            size_max: file.records.max_size.0,
            keep: file.records.keep,
        }),
        hook: Some(Hook { before_send: file.hook.before_send }).filter(|hook| !hook.before_send.is_empty()),
        stop_timeout: file.daemon.stop_timeout.duration(),
    };
    let policy = Policy { calls, amocrm: file.amocrm, accounts: file.account, delivery: file.delivery };
    (report.findings, Some(Config { setup, policy: Arc::new(policy) }))
}

pub use records::records;

/// A PBX that is to be reached over TLS.
#[derive(Clone, Debug)]
pub struct Encrypted {
    /// As in [`Finding`].
    pub place: String,
    pub host: String,
    pub port: u16,
    pub security: Security,
}

/// The PBXs of `file` that are to be reached over TLS, as far as they are set up rightly.
pub fn encrypted(file: &File, surroundings: &impl Surroundings) -> Vec<Encrypted> {
    let tables = file.pbx.iter().filter(|table| table.tls != TlsWord::Off);
    tables.filter_map(|table| pbx::encrypted(table, surroundings)).collect()
}

#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, grade: Grade, place: &str, text: impl Into<String>, advice: impl Into<String>) {
        let (place, text, advice) = (place.to_owned(), text.into(), advice.into());
        self.findings.push(Finding { grade, place, text, advice });
    }

    fn ok(&mut self, place: &str, text: impl Into<String>) {
        self.add(Grade::Ok, place, text, "");
    }

    fn warn(&mut self, place: &str, text: impl Into<String>, advice: impl Into<String>) {
        self.add(Grade::Warn, place, text, advice);
    }

    fn fail(&mut self, place: &str, text: impl Into<String>, advice: impl Into<String>) {
        self.add(Grade::Fail, place, text, advice);
    }
}

fn store(dir: &Path, surroundings: &impl Surroundings, report: &mut Report) {
    const PLACE: &str = "[store]";
    if !is_absolute(PLACE, "dir", dir, report) {
        return;
    }
    let shown = dir.display();
    match surroundings.folder(dir) {
        Folder::Writable => report.ok(PLACE, format!("{shown} can be written")),
        Folder::Makeable => report.ok(PLACE, format!("{shown} will be made")),
        Folder::Forbidden => {
            let advice = "make it and give it to the user that runs ami2amo";
            report.fail(PLACE, format!("{shown} cannot be written by this user"), advice);
        }
        Folder::ReadOnly => {
            let advice = "look why (dmesg), and mount it for writing";
            let text = format!("{shown} is on a file system that is mounted read-only");
            report.add(Grade::Down, PLACE, text, advice);
        }
        Folder::Kernels => {
            let text = format!("{shown} is where the kernel shows itself: no files can be kept there");
            report.fail(PLACE, text, "name a folder on a disk");
        }
        Folder::NotAFolder => report.fail(PLACE, format!("{shown} is no folder"), "name a folder of its own"),
    }
}

fn admin(socket: &Path, listen: Option<SocketAddr>, report: &mut Report) {
    const PLACE: &str = "[admin]";
    if is_absolute(PLACE, "socket", socket, report) && socket.as_os_str().len() > SOCKET_PATH_MAX {
        let text = format!("socket is longer than {SOCKET_PATH_MAX} bytes");
        report.fail(PLACE, text, "the system allows no more: choose a shorter path");
    }
    if let Some(listen) = listen.filter(|listen| !is_loopback(listen.ip())) {
        let advice = "take 127.0.0.1:9095: whoever reaches it is asked for no password; let a proxy with one, or a \
                      tunnel, stand before it for others";
        report.fail(PLACE, format!("listen {listen} can be reached from other hosts"), advice);
    }
}

/// Calls are delivered whether or not it can be written, so nothing here is a failure but a wrong path.
fn records_file(file: Option<&Path>, surroundings: &impl Surroundings, report: &mut Report) {
    const PLACE: &str = "[records]";
    let Some(file) = file else { return };
    if !is_absolute(PLACE, "file", file, report) {
        return;
    }
    let shown = file.display();
    match surroundings.folder(file.parent().unwrap_or(file)) {
        Folder::Writable | Folder::Makeable => report.ok(PLACE, format!("{shown} can be written")),
        Folder::Forbidden | Folder::ReadOnly | Folder::Kernels | Folder::NotAFolder => {
            let advice = "name a file below the store's folder, or give its folder to the user that runs ami2amo; in \
                          the service a drop-in with LogsDirectory=ami2amo makes /var/log/ami2amo";
            report.warn(PLACE, format!("{shown} cannot be written as this host is now"), advice);
        }
    }
}

/// A hook that fails costs no call, so one that is not there is a warning.
fn hook(before_send: &[String], surroundings: &impl Surroundings, report: &mut Report) {
    const PLACE: &str = "[hook]";
    let Some(program) = before_send.first() else { return };
    let path = Path::new(program);
    if !is_absolute(PLACE, "before-send", path, report) {
        return;
    }
    match surroundings.read(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {
            let advice = "calls go without it until it is there, readable and executable for the user that runs ami2amo";
            report.warn(PLACE, format!("before-send {program}: {error}"), advice);
        }
        // One that may be run and not read is fine.
        Ok(_) | Err(_) => report.ok(PLACE, format!("{program} is asked before a call is sent")),
    }
}

fn level(place: &str, filter: &str, report: &mut Report) {
    if let Err(error) = log::parse(filter) {
        report.fail(
            place,
            error.to_string(),
            "take \"info\", or \"info,ami2amo::ami=debug\" for more of one part",
        );
    }
}

fn is_absolute(place: &str, key: &str, path: &Path, report: &mut Report) -> bool {
    if !path.is_absolute() {
        let text = format!("{key} {} is a relative path", path.display());
        report.fail(place, text, "begin it with /: a daemon has no folder of its own to start from");
    }
    path.is_absolute()
}

/// A secret's file that cannot be read. What systemd gives the service is nowhere else.
fn unreadable(
    place: &str,
    key: &str,
    path: &Path,
    error: &io::Error,
    around: &impl Surroundings,
    report: &mut Report,
) {
    let missing = error.kind() == io::ErrorKind::NotFound;
    if missing && path.starts_with(CREDENTIALS) && !around.has_credentials() {
        let text = format!("{key} {} exists only inside the service, and was not checked", path.display());
        return report.warn(place, text, "systemd gives it to the service: LoadCredential= names its source");
    }
    let text = format!("cannot read {key} {}: {error}", path.display());
    report.fail(place, text, readable_advice(path));
}

fn readable_advice(path: &Path) -> String {
    format!("{} must be there and readable by the user that runs ami2amo", path.display())
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Down | Self::Fail => "fail",
        })
    }
}

/// `place: text; advice`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)?;
        if self.advice.is_empty() {
            return Ok(());
        }
        write!(f, "; {}", self.advice)
    }
}

#[cfg(test)]
mod tests;
