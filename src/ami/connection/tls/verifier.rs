//! Whether the certificate that a PBX shows is the one that is meant: by its fingerprint, or by an
//! authority that vouches for it. Either way the PBX must show that it has the certificate's key.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use crate::ami::connection::tls::certificate::Certificate;
use crate::ami::connection::tls::fingerprint::Fingerprint;
use crate::ami::session::printable;

/// A certificate that is not trusted, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}; the fingerprint that the PBX shows is {seen}")]
pub struct Refusal {
    pub seen: Fingerprint,
    pub reason: Reason,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Reason {
    #[error(
        "no fingerprint is pinned: compare the following one with the PBX's own certificate file, and put it into \
         tls-fingerprint"
    )]
    NoPin,
    #[error(
        "its certificate is not the pinned one: it was made anew, or somebody stands between; pin the following one \
         only when the PBX's own certificate file has it"
    )]
    OtherPin,
    #[error("what it shows is no X.509 certificate")]
    Unreadable,
    #[error(
        "its RSA key has {0} bits, and less than 2048 are not safe: make a new certificate, for example by \
         ast_tls_cert -b 2048"
    )]
    ShortKey(usize),
    #[error(
        "its certificate is of X.509 version {0}, as Asterisk's ast_tls_cert makes it, and authorities vouch for \
         version 3 only: pin its fingerprint (tls = \"pin\"), or make one with a subjectAltName"
    )]
    OldVersion(u8),
    #[error(
        "its certificate was issued by nobody in {0}: name the authority's certificate in tls-ca-file, or pin the \
         fingerprint (tls = \"pin\")"
    )]
    UnknownIssuer(&'static str),
    #[error("its certificate has expired at {0}: make a new one")]
    Expired(Timestamp),
    #[error("its certificate counts from {0} on: is this host's clock right?")]
    NotYet(Timestamp),
    #[error(
        "its certificate names the host as CN {0:?} only, which does not count any more: make one with a \
         subjectAltName, or pin the fingerprint (tls = \"pin\")"
    )]
    CommonNameOnly(String),
    #[error(
        "its certificate is for {presented}, not for {expected}: name the right one in tls-name, or pin the \
         fingerprint (tls = \"pin\")"
    )]
    OtherName { expected: String, presented: String },
    #[error(
        "its certificate is that of an authority, which no server may show (`openssl req -x509` makes such ones): \
         pin the fingerprint (tls = \"pin\")"
    )]
    Authority,
    #[error("its certificate is not trusted ({0}): pin the fingerprint (tls = \"pin\") if it is the PBX's")]
    Other(String),
}

/// Trusts the certificates that are pinned, whatever stands in them.
#[derive(Debug)]
pub(super) struct ByPin {
    pub pins: Vec<Fingerprint>,
    pub algorithms: WebPkiSupportedAlgorithms,
}

/// Trusts what an authority vouches for.
#[derive(Debug)]
pub(super) struct ByAuthority {
    pub inner: Arc<WebPkiServerVerifier>,
    /// What the authorities are, for errors.
    pub whose: &'static str,
}

/// Shorter RSA keys can be broken, and the crypto library takes none.
const RSA_BITS_MIN: usize = 2048;

/// Most names of a certificate that an error repeats.
const NAMES_MAX: usize = 8;

impl ServerCertVerifier for ByPin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = Fingerprint::of(end_entity);
        let reason = match Certificate::read(end_entity) {
            None => Reason::Unreadable,
            Some(_) if self.pins.is_empty() => Reason::NoPin,
            Some(_) if !self.pins.contains(&seen) => Reason::OtherPin,
            Some(certificate) => match certificate.rsa_bits() {
                Some(bits @ ..RSA_BITS_MIN) => Reason::ShortKey(bits),
                _ => return Ok(ServerCertVerified::assertion()),
            },
        };
        Err(refused(seen, reason))
    }

    /// As rustls does it, for certificates that it does not read.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = Certificate::read(cert).ok_or(CertificateError::BadEncoding)?;
        let known = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
        let mut fitting = known.into_iter().flat_map(|(_, algorithms)| algorithms.iter());
        let algorithm = fitting.find(|it| *it.public_key_alg_id() == *certificate.key_algorithm);
        let algorithm = algorithm.ok_or(CertificateError::BadSignature)?;
        let verified = algorithm.verify_signature(certificate.key, message, dss.signature());
        verified.map_err(|_| CertificateError::BadSignature)?;
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = Certificate::read(cert).ok_or(CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.key_info);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for ByAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| {
            let Error::InvalidCertificate(error) = error else { return error };
            refused(Fingerprint::of(end_entity), self.reason(end_entity, server_name, &error))
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ByAuthority {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library has many reasons, and may add some")]
    fn reason(&self, shown: &[u8], name: &ServerName<'_>, error: &CertificateError) -> Reason {
        let Some(certificate) = Certificate::read(shown) else { return Reason::Unreadable };
        if certificate.version < 3 {
            return Reason::OldVersion(certificate.version);
        }
        let common_name = certificate.common_name.map(printable);
        match error {
            CertificateError::UnknownIssuer => Reason::UnknownIssuer(self.whose),
            CertificateError::ExpiredContext { not_after, .. } => Reason::Expired(moment(*not_after)),
            CertificateError::NotValidYetContext { not_before, .. } => Reason::NotYet(moment(*not_before)),
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                Reason::CommonNameOnly(common_name.unwrap_or_default())
            }
            CertificateError::NotValidForNameContext { presented, .. } => Reason::OtherName {
                expected: name.to_str().into_owned(),
                presented: presented
                    .iter()
                    .take(NAMES_MAX)
                    .map(|name| printable(name.as_bytes()))
                    .collect::<Vec<_>>()
                    .join(", "),
            },
            // The library has no variant of its own for it.
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => Reason::Authority,
            other => Reason::Other(printable(other.to_string().as_bytes())),
        }
    }
}

fn moment(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|at| Timestamp::from_second(at).ok())
        .unwrap_or(Timestamp::MAX)
}

fn refused(seen: Fingerprint, reason: Reason) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Refusal { seen, reason }))))
}
