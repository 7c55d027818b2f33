//! `ami2amo check` at PBXs with TLS: which certificate they show, and whether it is trusted. Nothing is
//! sent to them but what TLS needs.

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::ami::connection;
use crate::ami::connection::tls::{self, verifier::Refusal};
use crate::config::check::{Encrypted, Finding, Grade};

/// Looks at the certificate of each PBX, one after the other.
pub(super) fn look(pbxs: Vec<Encrypted>) -> anyhow::Result<Vec<Finding>> {
    if pbxs.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    Ok(pbxs.into_iter().map(|pbx| runtime.block_on(look_at(pbx))).collect())
}

async fn look_at(pbx: Encrypted) -> Finding {
    let Encrypted { place, host, port, security } = pbx;
    match connection::reach(&host, port, &security).await {
        Ok(stream) => {
            let (version, seen) = match stream.certificate() {
                Some((version, fingerprint)) => (version, fingerprint.to_string()),
                None => ("no TLS", "none".to_owned()),
            };
            let text = format!("{host}:{port} speaks {version}, and its certificate is trusted: {seen}");
            Finding { grade: Grade::Ok, place, text, advice: String::new() }
        }
        Err(error) => {
            let (grade, advice) = judged(&error);
            Finding { grade, place, text: format!("{:#}", anyhow::Error::new(error)), advice }
        }
    }
}

/// A certificate that is wrong is a fault of the configuration or worse; a PBX that is away is neither.
fn judged(error: &connection::Error) -> (Grade, String) {
    let away = "the PBX may be away; its certificate was not seen";
    let connection::Error::Tls { source, .. } = error else { return (Grade::Warn, away.to_owned()) };
    match source {
        tls::Error::Refused(refusal) => (Grade::Fail, comparison(refusal)),
        tls::Error::NoProof | tls::Error::NotTls => (Grade::Fail, String::new()),
        tls::Error::Closed | tls::Error::Timeout | tls::Error::Failed(_) => (Grade::Warn, away.to_owned()),
    }
}

/// How to find out whether the certificate that was seen is the PBX's own.
fn comparison(refusal: &Refusal) -> String {
    format!(
        "on the PBX, `openssl x509 -noout -fingerprint -sha256 -in FILE` with manager.conf's tlscertfile must print \
         the same; then tls-fingerprint = \"{}\"",
        refusal.seen
    )
}
