//! The `[[pbx]]` tables: whom to connect to, and with which secret.

use std::path::Path;
use std::time::Duration;

use crate::ami::connection::{self, Secret};
use crate::ami::session;
use crate::call::id::PbxName;
use crate::config::Pbx;
use crate::config::check::{Encrypted, Report, SECRET_VARIABLE, cdr, is_absolute, tls, unreadable};
use crate::config::file::PbxTable;
use crate::config::surroundings::Surroundings;

/// Pings more often than this load the PBX; less often, a dead line stays unseen for minutes.
const PING_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(1);

/// Longest AMI user name, in bytes; Asterisk's own limit is a section name of 80.
const USERNAME_MAX: usize = 80;

pub(super) fn all(tables: &[PbxTable], surroundings: &impl Surroundings, report: &mut Report) -> Vec<Pbx> {
    if tables.is_empty() {
        let advice = "add a [[pbx]] table with host, username and secret-file";
        report.fail("[[pbx]]", "there is no PBX to listen to", advice);
    }
    names(tables, report);
    let mut found = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let place = place(table);
        for other in &tables[..at] {
            if table.host.is_some() && (&table.host, table.port()) == (&other.host, other.port()) {
                let text = format!("it has the host and port of [[pbx]] \"{}\"", other.name);
                report.warn(&place, text, "is it the same PBX? Then each of its calls is posted twice");
            }
        }
        found.extend(pbx(&place, table, surroundings, report));
    }
    found
}

/// Checks that calls of one PBX cannot be taken for those of another.
pub(super) fn names(tables: &[PbxTable], report: &mut Report) {
    for (at, table) in tables.iter().enumerate() {
        for other in &tables[..at] {
            name(&place(table), table.name.as_str(), other.name.as_str(), report);
        }
    }
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

/// What of a table is needed to look at the PBX's certificate; its faults are told by [`all`].
pub(super) fn encrypted(table: &PbxTable, surroundings: &impl Surroundings) -> Option<Encrypted> {
    let (place, mut report) = (place(table), Report::default());
    let host = host(&place, table, &mut report)?;
    let security = tls::security(&place, &host, table, surroundings, &mut report)?;
    Some(Encrypted { place, host, port: table.port(), security })
}

fn place(table: &PbxTable) -> String {
    format!("[[pbx]] \"{}\"", table.name)
}

fn pbx(place: &str, table: &PbxTable, surroundings: &impl Surroundings, report: &mut Report) -> Option<Pbx> {
    let host = host(place, table, report);
    let security = host.as_deref().and_then(|host| tls::security(place, host, table, surroundings, report));
    let username = username(place, table, report);
    let secret = secret(place, table, surroundings, report);
    if table.port == Some(0) {
        let advice = "manager.conf says which port it is, usually 5038, or 5039 for TLS";
        report.fail(place, "port is 0", advice);
    }
    if !PING_RANGE.contains(&table.ping_interval.duration()) {
        report.fail(place, "ping-interval is not within 1s to 1m", "leave it out, or take \"10s\"");
    }
    let (host, security, username, (secret, source)) = (host?, security?, username?, secret?);
    let port = table.port();
    report.ok(place, format!("{host}:{port} as user \"{username}\", secret from {source}"));
    let session =
        session::Settings { username, login: table.login, ping_interval: table.ping_interval.duration() };
    let connection = connection::Settings { host, port, security, secret, session };
    let cdr = match &table.cdr {
        Some(cdr) => Some(cdr::table(&table.name, cdr, surroundings, report)?),
        None => None,
    };
    Some(Pbx { name: PbxName::clone(&table.name), renamed_from: table.renamed_from.clone(), connection, cdr })
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
        (None, Some(path)) => {
            (file_secret(place, "secret-file", path, surroundings, report)?, path.display().to_string())
        }
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

pub(super) fn file_secret(
    place: &str,
    key: &str,
    path: &Path,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<Secret> {
    is_absolute(place, key, path, report).then_some(())?;
    match surroundings.read(path) {
        Ok(mut bytes) => {
            while bytes.last().is_some_and(|last| matches!(last, b'\r' | b'\n')) {
                bytes.pop();
            }
            Some(Secret::new(bytes))
        }
        Err(error) => {
            unreadable(place, key, path, &error, surroundings, report);
            None
        }
    }
}
