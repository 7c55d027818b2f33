//! Whose certificates are believed: the web's authorities as Mozilla lists them, those of this
//! system, and those of `ca-file`.
//!
//! Most of a system's authorities are the web's, which are part of the program and cost no memory;
//! only the others are held.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::amo::client::Error;

/// Names the system's file, as OpenSSL and others read it.
const VARIABLE: &str = "SSL_CERT_FILE";
/// Where systems have their authorities in one file: Debian, Red Hat, SUSE, Alpine.
const SYSTEM_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// All that is believed.
///
/// # Errors
/// When `ca_file` cannot be read or holds no certificate. A system without authorities is none.
pub(super) fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Error> {
    roots_with(ca_file, system_file(std::env::var_os(VARIABLE)).as_deref())
}

/// The authorities in a PEM file's bytes.
///
/// # Errors
/// In words, when there is none, or one that cannot be believed.
pub fn authorities(pem: &[u8]) -> Result<Vec<TrustAnchor<'static>>, String> {
    let mut anchors = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("it is no PEM file: {error}"))?;
        anchors
            .push(anchor(certificate).map_err(|error| format!("a certificate in it is of no use: {error}"))?);
    }
    if anchors.is_empty() {
        return Err("it holds no certificate (a block that begins with BEGIN CERTIFICATE)".to_owned());
    }
    Ok(anchors)
}

fn roots_with(ca_file: Option<&Path>, system: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = system {
        match std::fs::read(path) {
            Ok(pem) => {
                // One that nobody can use is not worth the others.
                let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
                add(&mut roots, certificates.filter_map(|certificate| anchor(certificate).ok()));
            }
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "the system's authorities cannot be read");
            }
        }
    }
    if let Some(path) = ca_file {
        let unusable = |reason| Error::CaFile { path: path.to_owned(), reason };
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        add(&mut roots, authorities(&pem).map_err(unusable)?);
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, anchors: impl IntoIterator<Item = TrustAnchor<'static>>) {
    for anchor in anchors {
        if !roots.roots.contains(&anchor) {
            roots.roots.push(anchor);
        }
    }
}

fn anchor(certificate: CertificateDer<'_>) -> Result<TrustAnchor<'static>, rustls::Error> {
    let mut one = RootCertStore::empty();
    one.add(certificate)?;
    one.roots.pop().ok_or(rustls::Error::General("it is no authority".to_owned()))
}

fn system_file(variable: Option<OsString>) -> Option<PathBuf> {
    match variable {
        Some(path) => Some(path.into()),
        None => SYSTEM_FILES.iter().map(PathBuf::from).find(|path| path.exists()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/web-tls/ca.pem");

    fn count(ca_file: Option<&Path>, system: Option<&Path>) -> usize {
        roots_with(ca_file, system).unwrap().len()
    }

    #[test]
    fn what_the_system_and_the_file_believe_is_added_once() {
        let own = Path::new(OWN);
        let web = count(None, None);
        assert!(web > 100, "{web}");
        assert_eq!(count(Some(own), None), web + 1);
        assert_eq!(count(None, Some(own)), web + 1);
        assert_eq!(count(Some(own), Some(own)), web + 1);
    }

    #[test]
    fn a_system_without_authorities_is_no_fault() {
        let web = count(None, None);
        assert_eq!(count(None, Some(Path::new("/nowhere"))), web);
        assert_eq!(count(None, Some(Path::new(env!("CARGO_MANIFEST_DIR")))), web);
    }

    #[test]
    fn a_ca_file_that_is_of_no_use_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let said = || roots_with(Some(&path), None).unwrap_err().to_string();
        assert!(said().contains("No such file"), "{}", said());
        std::fs::write(&path, "no certificate").unwrap();
        assert!(said().contains("it holds no certificate"), "{}", said());
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(said().contains("of no use"), "{}", said());
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n").unwrap();
        assert!(said().contains("it is no PEM file"), "{}", said());
    }

    #[test]
    fn the_systems_file_is_named_by_the_environment_or_found() {
        assert_eq!(system_file(Some("/x".into())), Some(PathBuf::from("/x")));
        assert!(system_file(None).is_none_or(|path| path.exists()));
    }
}
