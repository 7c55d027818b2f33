//! Real handshakes over loopback, with certificates of every kind.

use std::net::SocketAddr;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::verifier::Reason;
use super::*;
use crate::ami::connection::Security;

/// What `ast_tls_cert` makes: version 1, the host as CN only.
const ASTERISK: &str = include_str!("../../../../tests/samples/tls/asterisk.pem");
/// Version 3, for localhost, pbx.example.org and 127.0.0.1.
const NAMED: &str = include_str!("../../../../tests/samples/tls/named.pem");
const CN_ONLY: &str = include_str!("../../../../tests/samples/tls/cn-only.pem");
const EXPIRED: &str = include_str!("../../../../tests/samples/tls/expired.pem");
const SHORT: &str = include_str!("../../../../tests/samples/tls/short.pem");
const SELF_SIGNED: &str = include_str!("../../../../tests/samples/tls/self-signed.pem");
const CA: &str = include_str!("../../../../tests/samples/tls/ca.pem");

/// Shows a certificate, whatever its key.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn pin(pem: &str) -> Trust {
    Trust::Pins(vec![Fingerprint::of(&certificate(pem))])
}

fn ca(pem: &str) -> Trust {
    Trust::from_pem("/ca.pem".into(), pem.as_bytes()).unwrap()
}

/// A PBX that greets over TLS and hangs up without TLS's good-bye.
async fn pbx(shown: &str, key: &str, version: &'static SupportedProtocolVersion) -> SocketAddr {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let shows = Shows(Arc::new(CertifiedKey::new(vec![certificate(shown)], key)));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shows));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        stream.write_all(b"Asterisk Call Manager/11.0.0\r\n").await?;
        stream.flush().await
    });
    address
}

/// What is read from the PBX, or why nothing is.
async fn heard(at: SocketAddr, trust: Trust, name: &str) -> Result<String, Error> {
    let security = Security::Tls(Tls::new(trust, name).unwrap());
    let reached = crate::ami::connection::reach("127.0.0.1", at.port(), &security).await;
    let mut stream = match reached {
        Ok(stream) => stream,
        Err(crate::ami::connection::Error::Tls { source, .. }) => return Err(source),
        Err(other) => panic!("{other}"),
    };
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    Ok(heard)
}

async fn refusal(shown: &str, trust: Trust, name: &str) -> Refusal {
    // With TLS 1.2 and 1.3 alike.
    let mut refusals = Vec::new();
    for version in [&TLS12, &TLS13] {
        match heard(pbx(shown, shown, version).await, trust.clone(), name).await {
            Err(Error::Refused(refusal)) => refusals.push(refusal),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refusals[0], refusals[1]);
    assert_eq!(refusals[0].seen, Fingerprint::of(&certificate(shown)));
    assert!(refusals[0].to_string().ends_with(&refusals[0].seen.to_string()), "{}", refusals[0]);
    refusals.remove(0)
}

#[tokio::test]
async fn a_pinned_certificate_is_trusted_whatever_stands_in_it() {
    for shown in [ASTERISK, NAMED, CN_ONLY, EXPIRED, SELF_SIGNED] {
        for version in [&TLS12, &TLS13] {
            let at = pbx(shown, shown, version).await;
            let heard = heard(at, pin(shown), "192.0.2.1").await.unwrap();
            assert_eq!(heard, "Asterisk Call Manager/11.0.0\r\n");
        }
    }
}

#[tokio::test]
async fn one_of_several_pins_is_enough() {
    let Trust::Pins(mut pins) = pin(NAMED) else { unreachable!() };
    pins.push(Fingerprint::of(&certificate(ASTERISK)));
    for shown in [NAMED, ASTERISK] {
        let at = pbx(shown, shown, &TLS13).await;
        assert!(heard(at, Trust::Pins(pins.clone()), "localhost").await.is_ok());
    }
}

#[tokio::test]
async fn who_shows_the_pinned_certificate_without_its_key_is_refused() {
    for (shown, key) in [(ASTERISK, SELF_SIGNED), (NAMED, CN_ONLY), (ASTERISK, NAMED)] {
        for version in [&TLS12, &TLS13] {
            let at = pbx(shown, key, version).await;
            let error = heard(at, pin(shown), "localhost").await.unwrap_err();
            assert!(matches!(error, Error::NoProof | Error::Failed(_)), "{error:?}");
            if shown != ASTERISK || key != NAMED {
                assert!(matches!(error, Error::NoProof), "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn another_certificate_is_refused_and_its_fingerprint_told() {
    let refusal = refusal(ASTERISK, pin(NAMED), "localhost").await;
    assert_eq!(refusal.reason, Reason::OtherPin);
}

#[tokio::test]
async fn without_a_pin_nothing_is_trusted_and_the_fingerprint_told() {
    let refusal = refusal(ASTERISK, Trust::Pins(Vec::new()), "localhost").await;
    assert_eq!(refusal.reason, Reason::NoPin);
}

#[tokio::test]
async fn a_short_key_is_named() {
    let refusal = {
        // Such a key signs nothing here: another one does, and it does not come to that.
        let at = pbx(SHORT, SELF_SIGNED, &TLS13).await;
        heard(at, pin(SHORT), "localhost").await.unwrap_err()
    };
    let Error::Refused(refusal) = refusal else { panic!("{refusal:?}") };
    assert_eq!(refusal.reason, Reason::ShortKey(1024));
}

#[tokio::test]
async fn an_authority_vouches_for_a_name() {
    for name in ["localhost", "127.0.0.1", "pbx.example.org"] {
        let at = pbx(NAMED, NAMED, &TLS13).await;
        assert!(heard(at, ca(CA), name).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn an_authority_that_does_not_vouch_says_why() {
    let other = |name: &str, presented: &str| Reason::OtherName {
        expected: name.to_owned(),
        presented: presented.to_owned(),
    };
    for (shown, trust, name, expected) in [
        (ASTERISK, ca(CA), "pbx.example.org", Reason::OldVersion(1)),
        (CN_ONLY, ca(CA), "pbx.example.org", Reason::CommonNameOnly("pbx.example.org".to_owned())),
        (EXPIRED, ca(CA), "127.0.0.1", Reason::Expired("2021-01-01T00:00:00Z".parse().unwrap())),
        (SELF_SIGNED, ca(CA), "127.0.0.1", Reason::Authority),
        (NAMED, ca(SELF_SIGNED), "localhost", Reason::UnknownIssuer("tls-ca-file")),
        (NAMED, Trust::Public, "localhost", Reason::UnknownIssuer("the public authorities")),
        (NAMED, ca(CA), "pbx", other("pbx", "x")),
    ] {
        let refusal = refusal(shown, trust, name).await;
        match (&refusal.reason, &expected) {
            (Reason::OtherName { expected, presented }, Reason::OtherName { .. }) => {
                assert_eq!(expected, "pbx");
                assert!(presented.contains("pbx.example.org"), "{presented}");
            }
            (reason, expected) => assert_eq!(reason, expected),
        }
    }
}

#[tokio::test]
async fn a_plain_manager_port_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.write_all(b"Asterisk Call Manager/11.0.0\r\n").await?;
        stream.read_u8().await
    });
    let error = heard(address, pin(ASTERISK), "localhost").await.unwrap_err();
    assert!(matches!(error, Error::NotTls), "{error:?}");
}

#[test]
fn what_is_no_authority_is_refused() {
    for pem in ["", "x", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let error = Trust::from_pem("/x".into(), pem.as_bytes()).unwrap_err();
        assert!(matches!(error, SetupError::NoAuthority), "{pem}");
    }
    assert!(matches!(Tls::new(pin(CA), "a b"), Err(SetupError::Name(_))));
}
