//! The HTTP client: what it can prove about a request that went wrong, and what it never does.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/captured_log.rs"]
mod captured_log;
#[path = "support/fake_amo.rs"]
mod fake_amo;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ami2amo::amo::answer::{self, Account, Fate};
use ami2amo::amo::client::{Client, Clock, Failure, Looked, TokenSource};
use ami2amo::amo::pace::Pace;
use ami2amo::amo::settings::Settings;
use ami2amo::clock;
use ami2amo::time::HostTime;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use captured_log::Log;
use fake_amo::{On, Options, What, start};

fn client(base_url: &str, timeout: &str) -> Client {
    let settings: Settings =
        serde_json::from_value(json!({"base-url": base_url, "token": "very.secret.token",
        "request-timeout": timeout}))
        .unwrap();
    let pace = Arc::new(Mutex::new(Pace::new(1000)));
    let source = TokenSource::choose(&settings, None).unwrap();
    Client::new(&settings, source, pace, Clock { host, mono: clock::mono }).unwrap()
}

fn host() -> HostTime {
    HostTime::from_micros(1_795_338_791_000_000)
}

/// A server that reads one request on each connection and answers with these bytes.
async fn serves(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    addr
}

async fn posted(answer: &str) -> Result<answer::Reply, Failure> {
    let addr = serves(answer.as_bytes().to_vec()).await;
    client(&format!("http://{addr}"), "5s").post_calls(b"[]".to_vec()).await
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let failed = client(&format!("http://{addr}"), "5s").post_calls(b"[]".to_vec()).await;
    let Err(Failure::NotSent(words)) = failed else { panic!("{failed:?}") };
    assert!(words.starts_with("cannot connect: Connection refused"), "{words}");
}

/// A name with a label of 64 letters: every resolver refuses it without asking anybody.
fn no_such_host() -> String {
    format!("https://{}.invalid", "x".repeat(64))
}

#[tokio::test]
async fn an_unknown_host_proves_that_nothing_was_sent() {
    let failed = client(&no_such_host(), "5s").post_calls(b"[]".to_vec()).await;
    assert!(matches!(failed, Err(Failure::NotSent(_))), "{failed:?}");
}

#[tokio::test]
async fn a_failed_tls_handshake_proves_that_nothing_was_sent() {
    let addr = serves(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let failed = client(&format!("https://{addr}"), "5s").post_calls(b"[]".to_vec()).await;
    assert!(matches!(failed, Err(Failure::NotSent(_))), "{failed:?}");
}

#[tokio::test]
async fn a_connection_that_closes_without_an_answer_proves_nothing() {
    let failed = posted("").await;
    assert!(matches!(failed, Err(Failure::Unknown(_))), "{failed:?}");
    let failed = posted("HTTP/1.1 2").await;
    assert!(matches!(failed, Err(Failure::Unknown(_))), "{failed:?}");
    let failed = posted("SSH-2.0-OpenSSH_9.2\r\n").await;
    assert!(matches!(failed, Err(Failure::Unknown(_))), "{failed:?}");
}

#[tokio::test]
async fn a_timeout_proves_nothing() {
    let fake = start(Options { token: "very.secret.token".to_owned(), ..Options::default() }).await;
    fake.fault(On::Post, 1, What::HangAfter);
    let failed = client(&fake.base_url(), "100ms").post_calls(b"[]".to_vec()).await;
    assert_eq!(failed, Err(Failure::Unknown("no answer: timed out".to_owned())));
}

#[tokio::test]
async fn a_body_that_is_cut_keeps_its_status() {
    let reply = posted("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"_embedded\":").await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 13));
    assert_eq!(answer::read(&reply, &["0".to_owned()]).fates, [Fate::Unclear]);
    let reply =
        posted("HTTP/1.1 429 Too Many\r\ncontent-length: 100\r\nretry-after: 7\r\n\r\n<ht").await.unwrap();
    let too_many = Account::TooMany { retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(answer::read(&reply, &[]).account, too_many);
}

/// A server that sends the head of an answer, and of its body a byte at a time until nobody reads it.
async fn dribbles() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{").await.unwrap();
        let mut pause = tokio::time::interval(Duration::from_millis(5));
        loop {
            pause.tick().await;
            if stream.write_all(b" ").await.is_err() {
                return;
            }
        }
    });
    addr
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_cut_at_the_time_out() {
    let addr = dribbles().await;
    let reply = client(&format!("http://{addr}"), "100ms").post_calls(b"[]".to_vec()).await.unwrap();
    assert_eq!(reply.status, 200);
    let read = answer::read(&reply, &["0".to_owned(), "1".to_owned()]);
    assert_eq!((read.fates, read.account), (vec![Fate::Unclear; 2], Account::ServerTrouble));
}

#[tokio::test]
async fn a_post_is_not_made_while_amocrm_wants_quiet() {
    let fake = start(Options { token: "very.secret.token".to_owned(), ..Options::default() }).await;
    let client = client(&fake.base_url(), "5s");
    fake.fault(On::Account, 1, What::TooMany { retry_after: Some(300) });
    client.account().await.unwrap();
    assert_eq!(client.post_calls(b"[]".to_vec()).await, Err(Failure::Quiet));
    assert_eq!(fake.posts().len(), 0);
}

#[tokio::test]
async fn a_page_that_answers_one_question_stops_for_a_minute_and_any_other_for_five() {
    let minutes = |minutes| Duration::from_mins(minutes);
    for on in [On::Users, On::Search, On::UnsortedList, On::Account, On::Post, On::Contacts] {
        let fake = start(Options { token: "very.secret.token".to_owned(), ..Options::default() }).await;
        let client = client(&fake.base_url(), "5s");
        fake.fault(on, 1, What::Page(403));
        let (before, expected) = (
            clock::mono(),
            match on {
                On::Users | On::Search | On::UnsortedList => minutes(1),
                _ => minutes(5),
            },
        );
        match on {
            On::Users => drop(client.users().await),
            On::Search => drop(client.find_contacts("9161234568").await),
            On::UnsortedList => drop(client.open_unsorted().await),
            On::Contacts => drop(client.create("/api/v4/contacts", b"[]".to_vec()).await),
            On::Post => drop(client.post_calls(b"[]".to_vec()).await),
            _ => drop(client.account().await),
        }
        let (open_at, after) = (client.open_at(), clock::mono());
        assert!((before.after(expected)..=after.after(expected)).contains(&open_at), "{on:?} {open_at:?}");
        assert_eq!(client.post_calls(b"[]".to_vec()).await, Err(Failure::Quiet), "{on:?}");
        assert_eq!(fake.requests().last().map(|request| request.status), Some(403), "{on:?}");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_at_a_megabyte() {
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n".to_vec();
    answer.resize(3 << 20, b'x');
    let addr = serves(answer).await;
    let reply = client(&format!("http://{addr}"), "5s").post_calls(b"[]".to_vec()).await.unwrap();
    assert!(reply.body.len() <= 1 << 20, "{}", reply.body.len());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let fake = start(Options::default()).await;
    let redirect = format!(
        "HTTP/1.1 307 See\r\nlocation: {}/api/v4/calls\r\ncontent-length: 0\r\n\r\n",
        fake.base_url()
    );
    assert_eq!(posted(&redirect).await.unwrap().status, 307);
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test]
async fn a_lost_connection_is_not_tried_again_by_itself() {
    let fake = start(Options { token: "very.secret.token".to_owned(), ..Options::default() }).await;
    let client = client(&fake.base_url(), "5s");
    client.account().await.unwrap();
    fake.fault(On::Post, 1, What::ResetBefore);
    assert!(matches!(client.post_calls(b"[]".to_vec()).await, Err(Failure::Unknown(_))));
    assert_eq!(fake.posts().len(), 1);
}

#[tokio::test]
async fn a_search_by_a_clock_that_is_years_off_still_finds_the_call() {
    // This client lives in November 2026; the fake and its notes live by the machine's clock.
    let fake = start(Options { token: "very.secret.token".to_owned(), ..Options::default() }).await;
    fake.store(json!({"uniq": "default-1.1", "phone": "79161234568", "direction": "outbound"}));
    let client = client(&fake.base_url(), "5s");
    let wanted = BTreeSet::from(["default-1.1".to_owned()]);
    let looked = client.find_notes(&wanted, host().before(Duration::from_mins(1))).await;
    let Looked::Found(notes) = looked else { panic!("{looked:?}") };
    assert!(notes.contains_key("default-1.1"));
}

#[tokio::test]
async fn the_token_is_in_no_log_no_debug_text_and_no_error() {
    let (log, guard) = Log::capture(tracing::Level::TRACE);
    let fake = start(Options::default()).await;
    let client = client(&fake.base_url(), "5s");
    assert_eq!(client.account().await.unwrap().account, Account::Unauthorized);
    let failed = self::client(&no_such_host(), "5s").account().await;
    drop(guard);
    let said = format!("{}{client:?}{failed:?}", log.text());
    assert!(said.contains("amoCRM answered"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
