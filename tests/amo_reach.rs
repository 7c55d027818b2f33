//! How amoCRM is reached: a real TLS server with an authority of its own, a proxy, connections in turn.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ami2amo::amo::answer::Account;
use ami2amo::amo::client::{Client, Clock, Error, Failure, TokenSource};
use ami2amo::amo::pace::Pace;
use ami2amo::amo::settings::Settings;
use ami2amo::clock;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/web-tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("samples/web-tls/server.pem");
const KEY: &[u8] = include_bytes!("samples/web-tls/server.key");

/// What came to a server: first lines of requests, and the headers that matter.
type Seen = Arc<Mutex<Vec<String>>>;

fn client(more: &Value) -> Result<Client, Error> {
    let mut settings =
        json!({"token": "very.secret.token", "request-timeout": "5s", "requests-per-second": 1000});
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    let settings: Settings = serde_json::from_value(settings).unwrap();
    let pace = Arc::new(Mutex::new(Pace::new(1000)));
    let source = TokenSource::choose(&settings, None).unwrap();
    Client::new(&settings, source, pace, Clock { host: clock::host, mono: clock::mono })
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Reads a request's head; `None` when the other end is gone.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<String>> {
    let mut reader = BufReader::with_capacity(1, stream); // one by one: what follows is not ours
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => return Some(lines),
            line => lines.push(line.to_owned()),
        }
    }
}

/// Answers every request on a connection as an account does.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: Seen) {
    const BODY: &str = r#"{"id":28805383}"#;
    while let Some(lines) = head(&mut stream).await {
        seen.lock().unwrap().push(lines[0].clone());
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A TLS server that is known by the sample certificate.
async fn tls_server() -> (SocketAddr, Seen) {
    let (listener, seen) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Seen::default());
    let (addr, shared) = (listener.local_addr().unwrap(), Arc::clone(&seen));
    let acceptor = acceptor();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&shared));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, seen).await;
                }
            });
        }
    });
    (addr, seen)
}

/// A proxy that carries TLS (CONNECT) and lets in who has `login`, if it asks for one.
async fn proxy(login: Option<&'static str>) -> (SocketAddr, Seen) {
    let (listener, seen) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Seen::default());
    let (addr, shared) = (listener.local_addr().unwrap(), Arc::clone(&seen));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(carry(stream, login, Arc::clone(&shared)));
        }
    });
    (addr, seen)
}

async fn carry(mut stream: TcpStream, login: Option<&str>, seen: Seen) {
    let Some(lines) = head(&mut stream).await else { return };
    seen.lock().unwrap().push(lines[0].clone());
    let given = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
    });
    if login.is_some() && given != login {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(refusal).await.unwrap();
        return;
    }
    let target = lines[0].split(' ').nth(1).unwrap();
    let mut there = TcpStream::connect(target).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
}

async fn works(client: &Client) -> bool {
    client.account().await.is_ok_and(|probe| probe.account == Account::Fine)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_believed_when_ca_file_names_it() {
    let (addr, seen) = tls_server().await;
    let url = format!("https://{addr}");
    let failed = client(&json!({"base-url": url})).unwrap().account().await;
    assert!(matches!(failed, Err(Failure::NotSent(_))), "{failed:?}");
    let client = client(&json!({"base-url": url, "ca-file": CA})).unwrap();
    assert!(works(&client).await && works(&client).await);
    assert_eq!(*seen.lock().unwrap(), ["GET /api/v4/account HTTP/1.1"; 2]);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_believed() {
    let (addr, seen) = tls_server().await;
    let url = format!("https://127.0.0.2:{}", addr.port());
    let listener = TcpListener::bind(("127.0.0.2", addr.port())).await.unwrap();
    let acceptor = acceptor();
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(stream) = acceptor.accept(stream).await {
            serve(stream, shared).await;
        }
    });
    let failed = client(&json!({"base-url": url, "ca-file": CA})).unwrap().account().await;
    assert!(matches!(failed, Err(Failure::NotSent(_))), "{failed:?}");
    assert_eq!(*seen.lock().unwrap(), Vec::<String>::new(), "no token went there");
}

#[tokio::test]
async fn a_ca_file_that_is_not_there_is_told_at_the_start() {
    let failed = client(&json!({"base-url": "https://127.0.0.1:9", "ca-file": "/nowhere/ca.pem"}));
    let said = failed.unwrap_err().to_string();
    assert!(said.starts_with("ca-file /nowhere/ca.pem: No such file"), "{said}");
}

#[tokio::test]
async fn a_proxy_carries_tls_to_the_account_and_sees_no_token() {
    let ((addr, seen), (proxy, asked)) = (tls_server().await, proxy(None).await);
    let settings =
        json!({"base-url": format!("https://{addr}"), "ca-file": CA, "proxy": format!("http://{proxy}/")});
    assert!(works(&client(&settings).unwrap()).await);
    assert_eq!(*asked.lock().unwrap(), [format!("CONNECT {addr} HTTP/1.1")]);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_asks_who_we_are_is_told() {
    // "me:hidden" in Base64.
    let ((addr, _), (proxy, asked)) = (tls_server().await, proxy(Some("Basic bWU6aGlkZGVu")).await);
    let settings =
        |proxy: String| json!({"base-url": format!("https://{addr}"), "ca-file": CA, "proxy": proxy});
    assert!(works(&client(&settings(format!("http://me:hidden@{proxy}"))).unwrap()).await);
    let failed = client(&settings(format!("http://me:wrong@{proxy}"))).unwrap().account().await;
    let Err(Failure::NotSent(words)) = &failed else { panic!("nothing was sent: {failed:?}") };
    assert!(!words.contains("wrong"), "{words}");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_proxy_that_is_away_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    drop(listener);
    let settings = json!({"base-url": "https://example.amocrm.ru", "proxy": format!("http://{proxy}"),
        "requests-per-second": 5});
    let failed = client(&settings).unwrap().post_calls(b"[]".to_vec()).await;
    assert!(matches!(failed, Err(Failure::NotSent(_))), "{failed:?}");
}

#[tokio::test]
async fn a_name_is_reached_when_ipv4_is_preferred() {
    let (addr, seen) = tls_server().await;
    let url = format!("https://localhost:{}", addr.port());
    let settings = json!({"base-url": url, "ca-file": CA, "prefer-ipv4": true});
    assert!(works(&client(&settings).unwrap()).await);
    assert_eq!(seen.lock().unwrap().len(), 1);
}
