//! Whether a configuration can work: every problem at once, in words for who looks after a PBX.
//! Reads nothing but its [`Surroundings`]; asks no network.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::ami::connection::{self, Secret};
use crate::ami::session;
use crate::amo::client::TOKEN_VARIABLE;
use crate::amo::settings::Settings as Amo;
use crate::amo::token::Token;
use crate::call::id::PbxName;
use crate::config::file::{File, PbxTable};
use crate::config::surroundings::{Folder, Surroundings};
use crate::config::{Config, Log, Pbx, Policy, Setup};
use crate::ops::log;

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
    /// The daemon would not start.
    Fail,
}

/// The environment variable with the secret of every PBX that names none.
pub const SECRET_VARIABLE: &str = "AMI2AMO_AMI_SECRET";

/// Longest path of a Unix socket: `sun_path` holds 108 bytes with the NUL.
const SOCKET_PATH_MAX: usize = 107;

/// Pings more often than this load the PBX; less often, a dead line stays unseen for minutes.
const PING_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(1);

/// Longest AMI user name, in bytes; Asterisk's own limit is a section name of 80.
const USERNAME_MAX: usize = 80;

/// Checks `file`; the configuration is there when nothing failed.
pub fn examine(file: File, surroundings: &impl Surroundings) -> (Vec<Finding>, Option<Config>) {
    let mut report = Report::default();
    let pbxs = pbxs(&file.pbx, surroundings, &mut report);
    amocrm(&file.amocrm, surroundings, &mut report);
    store(&file.store.dir, surroundings, &mut report);
    admin(&file.admin.socket, &mut report);
    if let Err(error) = log::parse(&file.log.level) {
        report.fail("[log]", error.to_string(), "for example level = \"info\"");
    }
    if file.daemon.stop_timeout.duration().is_zero() {
        report.fail("[daemon]", "stop-timeout is 0s", "leave it out, or give calls some seconds: \"20s\"");
    }
    if report.findings.iter().any(|finding| finding.grade == Grade::Fail) {
        return (report.findings, None);
    }
    let setup = Setup {
        pbxs,
        store_dir: file.store.dir,
        admin_socket: file.admin.socket,
        log: Log { filter: file.log.level, format: file.log.format },
        stop_timeout: file.daemon.stop_timeout.duration(),
    };
    let policy = Policy { calls: Arc::new(file.calls), amocrm: file.amocrm, delivery: file.delivery };
    (report.findings, Some(Config { setup, policy: Arc::new(policy) }))
}

/// Whether `host` is this machine, as far as can be told without asking a name server.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
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

fn pbxs(tables: &[PbxTable], surroundings: &impl Surroundings, report: &mut Report) -> Vec<Pbx> {
    if tables.is_empty() {
        let advice = "add a [[pbx]] table with host, username and secret-file";
        report.fail("[[pbx]]", "there is no PBX to listen to", advice);
    }
    let mut found = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let place = format!("[[pbx]] \"{}\"", table.name);
        for other in &tables[..at] {
            name(&place, table.name.as_str(), other.name.as_str(), report);
        }
        found.extend(pbx(&place, table, surroundings, report));
    }
    found
}

/// Two names must differ so that no id of one PBX's calls, `name-uniqueid`, can be one of the
/// other's: a uniqueid may itself begin with words and '-' (`systemname` in asterisk.conf).
fn name(place: &str, name: &str, other: &str, report: &mut Report) {
    let goes_on =
        |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('-'));
    if name == other {
        let advice = "the name is part of every call's id: give each PBX its own";
        report.fail(place, "two PBXs have this name", advice);
    } else if goes_on(name, other) || goes_on(other, name) {
        let text = format!("the ids of its calls could be those of [[pbx]] \"{other}\"");
        let advice = format!(
            "an id is the name, '-' and Asterisk's uniqueid: let neither name be the other and '-' with more, \
             for example \"{}\"",
            if goes_on(name, other) { name } else { other }.replace('-', "_")
        );
        report.fail(place, text, advice);
    }
}

fn pbx(place: &str, table: &PbxTable, surroundings: &impl Surroundings, report: &mut Report) -> Option<Pbx> {
    let host = host(place, table, report);
    let username = username(place, table, report);
    let secret = secret(place, table, surroundings, report);
    if table.port == 0 {
        let advice = "manager.conf says which port it is, usually 5038";
        report.fail(place, "port is 0", advice);
    }
    if !PING_RANGE.contains(&table.ping_interval.duration()) {
        report.fail(place, "ping-interval is not within 1s to 1m", "leave it out, or take \"10s\"");
    }
    let (host, username, (secret, source)) = (host?, username?, secret?);
    let port = table.port;
    report.ok(place, format!("{host}:{port} as user \"{username}\", secret from {source}"));
    let session =
        session::Settings { username, login: table.login, ping_interval: table.ping_interval.duration() };
    let connection = connection::Settings { host, port, secret, session };
    Some(Pbx { name: PbxName::clone(&table.name), connection })
}

fn host(place: &str, table: &PbxTable, report: &mut Report) -> Option<String> {
    let Some(host) = table.host.clone() else {
        report.fail(
            place,
            "host is missing",
            "the PBX's address: host = \"127.0.0.1\" when it is this machine",
        );
        return None;
    };
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    let is_port = !host.contains("::") && host.matches(':').count() == 1;
    if host.is_empty() || !plain || is_port {
        let advice = "a name or an address alone, such as \"pbx.example.org\"; the port has a key of its own";
        report.fail(place, format!("host {host:?} is no host"), advice);
        return None;
    }
    if !is_loopback(&host) && !table.allow_plaintext {
        let advice = "run ami2amo on the PBX, or reach it through a tunnel (host = \"127.0.0.1\"), or accept that \
                      everybody between can read along: allow-plaintext = true";
        report.fail(place, format!("the connection to {host} would not be encrypted"), advice);
        return None;
    }
    if !is_loopback(&host) {
        report.warn(place, format!("the connection to {host} is not encrypted"), "allow-plaintext says so");
    }
    Some(host)
}

fn username(place: &str, table: &PbxTable, report: &mut Report) -> Option<String> {
    let advice = "the section of manager.conf that ami2amo logs in with, for example username = \"ami2amo\"";
    match &table.username {
        None => report.fail(place, "username is missing", advice),
        Some(name) if name.is_empty() || name.len() > USERNAME_MAX || name.contains(['\r', '\n', '\0']) => {
            report.fail(place, format!("username {name:?} cannot be a section of manager.conf"), advice);
        }
        Some(name) => return Some(name.clone()),
    }
    None
}

/// The secret and where it came from.
fn secret(
    place: &str,
    table: &PbxTable,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<(Secret, String)> {
    let (secret, source) = match (&table.secret, &table.secret_file) {
        (Some(_), Some(_)) => {
            report.fail(place, "secret and secret-file are both set", "keep one, better secret-file");
            return None;
        }
        (Some(secret), None) => (secret.clone(), "the configuration".to_owned()),
        (None, Some(path)) => (file_secret(place, path, surroundings, report)?, path.display().to_string()),
        (None, None) => {
            let Some(value) = surroundings.variable(SECRET_VARIABLE) else {
                let advice = format!("set secret-file, secret or the variable {SECRET_VARIABLE}");
                report.fail(place, "the secret is missing", advice);
                return None;
            };
            (Secret::new(value.into_bytes()), SECRET_VARIABLE.to_owned())
        }
    };
    if !secret.is_sendable() {
        let text = format!("the secret from {source} is empty or has a line break or NUL in it");
        report.fail(place, text, "it must be the secret of manager.conf, on one line");
        return None;
    }
    Some((secret, source))
}

fn file_secret(
    place: &str,
    path: &Path,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<Secret> {
    is_absolute(place, "secret-file", path, report).then_some(())?;
    match surroundings.read(path) {
        Ok(mut bytes) => {
            while bytes.last().is_some_and(|last| matches!(last, b'\r' | b'\n')) {
                bytes.pop();
            }
            Some(Secret::new(bytes))
        }
        Err(error) => {
            let text = format!("cannot read secret-file {}: {error}", path.display());
            report.fail(place, text, readable_advice(path));
            None
        }
    }
}

fn amocrm(amo: &Amo, surroundings: &impl Surroundings, report: &mut Report) {
    const PLACE: &str = "[amocrm]";
    match amo.check() {
        Ok(url) => {
            let rate = amo.requests_per_second;
            report.ok(PLACE, format!("{url}, at most {rate} requests a second, {} users", amo.users.len()));
        }
        Err(error) => report.fail(PLACE, error.to_string(), ""),
    }
    token(PLACE, amo, surroundings, report);
    for (extension, _) in amo.users.iter().filter(|(_, user)| **user == 0) {
        let advice = "the user's id stands in the address of his page in amoCRM's settings";
        report.fail("[amocrm.users]", format!("extension {extension} has the user 0"), advice);
    }
    if amo.default_user == Some(0) {
        report.fail(PLACE, "default-user is 0", "leave it out, or give a user's id");
    }
    if amo.users.is_empty() && amo.default_user.is_none() {
        let advice = "add lines such as 101 = 504141 to [amocrm.users], or a default-user";
        report.warn(PLACE, "no extension has a user: calls will be nobody's in amoCRM", advice);
    }
}

fn token(place: &str, amo: &Amo, surroundings: &impl Surroundings, report: &mut Report) {
    let advice = "a long-lived token is made in amoCRM, in the integration's keys and access";
    let (token, source) = match (surroundings.variable(TOKEN_VARIABLE), &amo.token_file, &amo.token) {
        (Some(value), _, _) => (Token::parse(&value).map(drop), TOKEN_VARIABLE.to_owned()),
        (None, Some(path), _) => {
            let Some(text) = file_token(place, path, surroundings, report) else { return };
            (Token::parse(&text).map(drop), path.display().to_string())
        }
        (None, None, Some(_)) => (Ok(()), "the configuration".to_owned()),
        (None, None, None) => {
            return report.fail(
                place,
                format!("the token is missing: set token-file or {TOKEN_VARIABLE}"),
                advice,
            );
        }
    };
    match token {
        Ok(()) => report.ok(place, format!("token from {source}")),
        Err(error) => report.fail(place, format!("the token from {source}: {error}"), advice),
    }
}

fn file_token(
    place: &str,
    path: &Path,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<String> {
    is_absolute(place, "token-file", path, report).then_some(())?;
    match surroundings.read(path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => {
            let text = format!("cannot read token-file {}: {error}", path.display());
            report.fail(place, text, readable_advice(path));
            None
        }
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
        Folder::ReadOnly => {
            let advice = "make it and give it to the user that runs ami2amo";
            report.fail(PLACE, format!("{shown} cannot be written by this user"), advice);
        }
        Folder::NotAFolder => report.fail(PLACE, format!("{shown} is no folder"), "name a folder of its own"),
    }
}

fn admin(socket: &Path, report: &mut Report) {
    const PLACE: &str = "[admin]";
    if is_absolute(PLACE, "socket", socket, report) && socket.as_os_str().len() > SOCKET_PATH_MAX {
        let text = format!("socket is longer than {SOCKET_PATH_MAX} bytes");
        report.fail(PLACE, text, "the system allows no more: choose a shorter path");
    }
}

fn is_absolute(place: &str, key: &str, path: &Path, report: &mut Report) -> bool {
    if !path.is_absolute() {
        let text = format!("{key} {} is a relative path", path.display());
        report.fail(place, text, "begin it with /: a daemon has no folder of its own to start from");
    }
    path.is_absolute()
}

fn readable_advice(path: &Path) -> String {
    format!("{} must be there and readable by the user that runs ami2amo", path.display())
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
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
