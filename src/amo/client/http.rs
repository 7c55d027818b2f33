//! HTTP and TLS as the client needs them: set up, read within bounds, and told apart when broken.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use crate::amo::answer::Reply;
use crate::amo::client::resolver::Ipv4First;
use crate::amo::client::{Error, Failure, trust};
use crate::amo::settings::Settings;
use crate::time::HostTime;

/// Most bytes of an answer that are held: 50 calls are 20 KB, 250 notes are 300 KB.
pub const BODY_MAX: usize = 1 << 20;
/// Servers in front of amoCRM close idle connections after a minute or so. One that is closed
/// while we write makes an outcome unknown, so ours are closed well before.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Connections that are kept: one for each request that may be under way at once.
const CONNECTIONS: usize = 4;
/// TLS sessions that are remembered: one host needs few.
const TLS_SESSIONS: usize = 4;
const TRACE: HeaderName = HeaderName::from_static("x-request-id");

/// A client that repeats nothing, follows nothing, and asks no proxy but the configured one.
pub(super) fn client(settings: &Settings) -> Result<reqwest::Client, Error> {
    client_with(settings, IDLE_MAX)
}

fn client_with(settings: &Settings, idle_max: Duration) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(settings.ca_file.as_deref())?)
        .user_agent(concat!("ami2amo/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(settings.connect_timeout.duration())
        .timeout(settings.request_timeout.duration())
        .pool_idle_timeout(idle_max)
        .pool_max_idle_per_host(CONNECTIONS);
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.expose()).map_err(proxy_unusable)?);
    }
    if settings.prefer_ipv4 {
        builder = builder.dns_resolver(Arc::new(Ipv4First));
    }
    Ok(builder.build()?)
}

/// The error may repeat the address, which may hold a password.
fn proxy_unusable(error: reqwest::Error) -> Error {
    Error::Http(error.without_url())
}

/// TLS by rustls and ring. A machine beside a PBX often has no fresh authorities of its own, so the
/// web's are part of the program.
fn tls(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, Error> {
    let roots = trust::roots(ca_file)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::in_memory_sessions(TLS_SESSIONS);
    Ok(config)
}

/// Only an error while connecting proves that nothing was sent.
pub(super) fn failure(error: reqwest::Error) -> Failure {
    let certain = error.is_connect() || error.is_dns() || error.is_builder();
    let timed_out = error.is_timeout();
    let text = if timed_out { "timed out".to_owned() } else { innermost(&error.without_url()) };
    if certain {
        return Failure::NotSent(format!("cannot connect: {text}"));
    }
    Failure::Unknown(format!("no answer: {text}"))
}

/// The last cause says what happened ("connection refused"); those above it only where.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Reads as much of the answer as comes and is allowed: what is missing makes the body unreadable,
/// and that is judged where bodies are judged.
pub(super) async fn reply(mut response: Response, now: HostTime) -> Reply {
    let mut reply = Reply {
        status: response.status().as_u16(),
        retry_after: header(response.headers(), &RETRY_AFTER).and_then(|text| retry_after(text, now)),
        date: header(response.headers(), &DATE).and_then(http_date),
        trace: header(response.headers(), &TRACE).map(|text| text.chars().take(64).collect()),
        body: Vec::new(),
    };
    while let Ok(Some(chunk)) = response.chunk().await {
        if reply.body.len() + chunk.len() > BODY_MAX {
            break;
        }
        reply.body.extend_from_slice(&chunk);
    }
    reply
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Seconds, or the moment itself.
fn retry_after(text: &str, now: HostTime) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => http_date(text).map(|at| at.since(now)),
    }
}

fn http_date(text: &str) -> Option<HostTime> {
    let at = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(HostTime::from_micros(at.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each request on one connection, and tells when that connection was closed by the other end.
    async fn closed_by_peer(listener: tokio::net::TcpListener) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes).await.unwrap() > 0 {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_before_the_server_does_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let closed = tokio::spawn(closed_by_peer(listener));
        let client = client_with(&Settings::default(), Duration::from_millis(100)).unwrap();
        client.get(&url).send().await.unwrap().text().await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), closed).await.expect("it is closed").unwrap();
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_not_repeated() {
        let settings =
            |proxy: &str| serde_json::from_str::<Settings>(&format!("{{\"proxy\":\"{proxy}\"}}")).unwrap();
        assert!(client(&settings("http://me:hidden@127.0.0.1:3128")).is_ok());
        let said = format!("{:?}", client(&settings("http://me:hidden@[")).unwrap_err());
        assert!(!said.contains("hidden"), "{said}");
    }

    #[test]
    fn http_dates_are_read() {
        let at = http_date("Sun, 22 Nov 2026 09:13:11 GMT");
        assert_eq!(at, Some(HostTime::from_micros(1_795_338_791_000_000)));
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_moment() {
        let now = HostTime::from_micros(1_795_338_791_000_000);
        assert_eq!(retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("Sun, 22 Nov 2026 09:14:11 GMT", now), Some(Duration::from_mins(1)));
        assert_eq!(retry_after("Sun, 22 Nov 2026 09:12:11 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
