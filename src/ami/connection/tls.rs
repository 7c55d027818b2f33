//! TLS towards a PBX: 1.3 or 1.2, and a certificate that is known by its fingerprint or vouched for by
//! an authority. It runs in the intake's task, as all of the connection.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ami::connection::tls::fingerprint::Fingerprint;
use crate::ami::connection::tls::verifier::{ByAuthority, ByPin, Refusal};
use crate::ami::session::Retry;

pub mod certificate;
pub mod fingerprint;
pub mod verifier;

/// How one PBX is known.
#[derive(Clone, Debug)]
pub struct Tls {
    trust: Trust,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

/// Whose word counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trust {
    /// The certificate is one of these.
    Pins(Vec<Fingerprint>),
    /// An authority of this file vouches for it.
    File { path: PathBuf, authorities: Vec<CertificateDer<'static>> },
    /// One of the public authorities does.
    Public,
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{0:?} can be no name in a certificate")]
    Name(String),
    #[error("there is no certificate in it, or a damaged one")]
    NoAuthority,
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
}

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(Refusal),
    #[error(
        "the PBX does not speak TLS at this port: is it tlsbindaddr's of manager.conf, usually 5039, with \
         tlsenable = yes?"
    )]
    NotTls,
    #[error(
        "the PBX cannot show that the certificate's key is its own: somebody shows a certificate that is not his"
    )]
    NoProof,
    #[error(
        "the PBX closed the connection while TLS began: its log may say why (a certificate file, tlscipher)"
    )]
    Closed,
    #[error("TLS did not come about within {} s", HANDSHAKE_WAIT.as_secs())]
    Timeout,
    #[error("TLS did not come about")]
    Failed(#[source] io::Error),
}

/// Longest handshake. Asterisk does it in a thread per session, with a time-out of its own.
pub(super) const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

impl Tls {
    /// `name` is what the certificate must be for, a host or an address; with a pin it is only told to
    /// the server.
    ///
    /// # Errors
    /// When the name can stand in no certificate, or the authorities are none.
    pub fn new(trust: Trust, name: &str) -> Result<Self, SetupError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| SetupError::Name(name.to_owned()))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(SetupError::Library)?;
        let builder = builder.dangerous();
        let builder = match &trust {
            Trust::Pins(pins) => {
                let algorithms = provider.signature_verification_algorithms;
                builder.with_custom_certificate_verifier(Arc::new(ByPin { pins: pins.clone(), algorithms }))
            }
            Trust::File { authorities, .. } => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(authorities.iter().cloned());
                let by = by_authority(roots, provider, "tls-ca-file")?;
                builder.with_custom_certificate_verifier(Arc::new(by))
            }
            Trust::Public => {
                let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
                let by = by_authority(roots, provider, "the public authorities")?;
                builder.with_custom_certificate_verifier(Arc::new(by))
            }
        };
        let mut config = builder.with_no_client_auth();
        // A connection lasts for weeks: nothing is saved, and each shows its certificate.
        config.resumption = Resumption::disabled();
        Ok(Self { trust, name, config: Arc::new(config) })
    }

    /// Whether `other` trusts the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.trust == other.trust && self.name == other.name
    }

    /// Agrees on TLS over a connection that was just opened.
    ///
    /// # Errors
    /// When the PBX does not show what it must, or nothing comes about within ten seconds.
    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let shaking = connector.connect(self.name.clone(), stream);
        let shaken = tokio::time::timeout(HANDSHAKE_WAIT, shaking).await.map_err(|_| Error::Timeout)?;
        shaken.map_err(Error::from_handshake)
    }
}

impl Trust {
    /// The authorities whose certificates stand in a PEM file.
    ///
    /// # Errors
    /// When there is none, or one is damaged.
    pub fn from_pem(path: PathBuf, pem: &[u8]) -> Result<Self, SetupError> {
        let authorities: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let authorities = authorities.map_err(|_| SetupError::NoAuthority)?;
        if authorities.is_empty() {
            return Err(SetupError::NoAuthority);
        }
        Ok(Self::File { path, authorities })
    }
}

impl Error {
    /// How soon a new try makes sense.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused(_) | Self::NoProof => Retry::Late,
            Self::NotTls | Self::Closed | Self::Timeout | Self::Failed(_) => Retry::Soon,
        }
    }

    fn from_handshake(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        let Some(reason) = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>()) else {
            return Self::Failed(error);
        };
        if let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = reason
            && let Some(refusal) = other.0.downcast_ref::<Refusal>()
        {
            return Self::Refused(refusal.clone());
        }
        if *reason == rustls::Error::InvalidCertificate(CertificateError::BadSignature) {
            return Self::NoProof;
        }
        if *reason == rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) {
            return Self::NotTls;
        }
        Self::Failed(error)
    }
}

fn by_authority(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    whose: &'static str,
) -> Result<ByAuthority, SetupError> {
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(ByAuthority { inner: inner.map_err(|_| SetupError::NoAuthority)?, whose })
}

#[cfg(test)]
mod tests;
