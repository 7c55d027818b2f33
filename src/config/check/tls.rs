//! How the way to a PBX is protected: `tls`, its keys, and `allow-plaintext`.

use std::net::IpAddr;
use std::path::Path;

use crate::ami::connection::tls::{Tls, Trust};
use crate::ami::connection::{self, Security};
use crate::config::check::{Report, is_absolute, readable_advice};
use crate::config::file::{PbxTable, TlsWord};
use crate::config::surroundings::Surroundings;

pub(super) fn security(
    place: &str,
    host: &str,
    table: &PbxTable,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<Security> {
    has_no_idle_key(place, table, report).then_some(())?;
    match table.tls {
        TlsWord::Off => plain(place, host, table, report),
        TlsWord::Pin => {
            if table.tls_fingerprint.is_empty() {
                let advice =
                    "ami2amo check shows the certificate's fingerprint; docs/tls.md says where to compare it";
                report.warn(place, "no tls-fingerprint is set: no certificate of the PBX is trusted", advice);
            }
            encrypted(place, Trust::Pins(table.tls_fingerprint.clone()), host, report)
        }
        TlsWord::Ca => {
            let trust = match &table.tls_ca_file {
                Some(path) => authorities(place, path, surroundings, report)?,
                None => Trust::Public,
            };
            encrypted(place, trust, table.tls_name.as_deref().unwrap_or(host), report)
        }
    }
}

/// Whether every key of the table that is about TLS has something to say: who sets one believes that it
/// protects him.
fn has_no_idle_key(place: &str, table: &PbxTable, report: &mut Report) -> bool {
    let (pinned, file, name) =
        (!table.tls_fingerprint.is_empty(), table.tls_ca_file.is_some(), table.tls_name.is_some());
    let idle: &[(bool, &str, &str)] = match table.tls {
        TlsWord::Off => {
            &[(pinned, "tls-fingerprint", "pin"), (file, "tls-ca-file", "ca"), (name, "tls-name", "ca")]
        }
        TlsWord::Pin => &[(file, "tls-ca-file", "ca"), (name, "tls-name", "ca")],
        TlsWord::Ca => &[(pinned, "tls-fingerprint", "pin")],
    };
    let mut set = idle.iter().filter(|(is_set, _, _)| *is_set);
    let Some((_, key, word)) = set.next() else { return true };
    report.fail(
        place,
        format!("{key} is set, and counts only with tls = \"{word}\""),
        format!("set tls = \"{word}\", or leave {key} out"),
    );
    false
}

fn plain(place: &str, host: &str, table: &PbxTable, report: &mut Report) -> Option<Security> {
    if table.allow_plaintext {
        if !is_loopback(host) {
            report.warn(
                place,
                format!("the connection to {host} is not encrypted"),
                "allow-plaintext says so",
            );
        }
        return Some(Security::Plaintext);
    }
    if is_loopback(host) {
        return Some(Security::Loopback);
    }
    let advice = "set tls = \"pin\" (docs/tls.md), or run ami2amo on the PBX, or reach it through a tunnel \
                  (host = \"127.0.0.1\"), or accept that everybody between can read along: allow-plaintext = true";
    report.fail(place, format!("the connection to {host} would not be encrypted"), advice);
    None
}

fn encrypted(place: &str, trust: Trust, name: &str, report: &mut Report) -> Option<Security> {
    match Tls::new(trust, name) {
        Ok(tls) => Some(Security::Tls(tls)),
        Err(error) => {
            let advice = "tls-name must be a name or an address that is in the certificate";
            report.fail(place, format!("TLS cannot be set up: {error}"), advice);
            None
        }
    }
}

fn authorities(
    place: &str,
    path: &Path,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<Trust> {
    is_absolute(place, "tls-ca-file", path, report).then_some(())?;
    let shown = path.display();
    let pem = surroundings.read(path).map_err(|error| {
        report.fail(place, format!("cannot read tls-ca-file {shown}: {error}"), readable_advice(path));
    });
    let trust = Trust::from_pem(path.to_owned(), &pem.ok()?).map_err(|error| {
        let advice = "it must hold the authority's certificate in PEM form (-----BEGIN CERTIFICATE-----)";
        report.fail(place, format!("tls-ca-file {shown} is of no use: {error}"), advice);
    });
    trust.ok()
}

/// Whether `host` is this machine, as far as can be told without asking a name server; where it is
/// not, that is found when it is looked up.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(connection::is_loopback)
}
