//! The connection over a pipe in memory, with paused time.

use tokio::io::DuplexStream;

use super::*;
use crate::ami::session::Login;
use crate::ami::session::action::Credentials as _;

fn settings(login: Login) -> Settings {
    let session =
        session::Settings { username: "ami2amo".to_owned(), login, ping_interval: Duration::from_secs(10) };
    Settings {
        host: "127.0.0.1".to_owned(),
        port: 5038,
        security: Security::Loopback,
        secret: Secret::new(b"s3cret".to_vec()),
        session,
    }
}

fn pair(login: Login) -> (Connection<DuplexStream>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(4096);
    (Connection::new(ours, &settings(login)), theirs)
}

/// Runs the connection until it has nothing more to do at once; returns the events.
async fn turn(connection: &mut Connection<DuplexStream>) -> Result<Vec<String>, Error> {
    let mut events = Vec::new();
    connection.wait().await?;
    connection.handle(|frame| {
        events.push(String::from_utf8_lossy(frame.header("Event").unwrap()).into_owned());
    })?;
    Ok(events)
}

async fn read_block(theirs: &mut DuplexStream) -> String {
    let mut block = String::new();
    while !block.ends_with("\r\n\r\n") {
        block.push(char::from(theirs.read_u8().await.unwrap()));
    }
    block
}

#[test]
fn the_digest_is_lower_case_hex_over_challenge_and_secret() {
    let credentials =
        |secret: &[u8]| Credentials { username: String::new(), secret: Secret::new(secret.to_vec()) };
    // md5("117735131" "lab") and md5("42" cp1251 "пароль"), by md5sum.
    assert_eq!(credentials(b"lab").digest(b"117735131"), "f6b496771356361fd6f72c043979bbe1");
    assert_eq!(credentials(b"\xef\xe0\xf0\xee\xeb\xfc").digest(b"42"), "0f8d6cfdf13ad761f1acc1e930cb5d0c");
}

#[test]
fn a_secret_is_not_shown() {
    assert!(!format!("{:?}", settings(Login::Plain)).contains("s3cret"));
}

#[test]
fn a_secret_with_a_line_break_cannot_be_sent() {
    for bad in [&b""[..], b"a\r", b"a\nb", b"a\0"] {
        assert!(!Secret::new(bad.to_vec()).is_sendable());
    }
    assert!(Secret::new(b"\xef p:=".to_vec()).is_sendable());
}

#[tokio::test(start_paused = true)]
async fn a_login_is_carried_to_the_pbx_and_events_back() {
    let (mut connection, mut theirs) = pair(Login::Plain);
    theirs.write_all(b"Asterisk Call Manager/11.0.0\r\n").await.unwrap();
    turn(&mut connection).await.unwrap();
    let pbx = async {
        let login = read_block(&mut theirs).await;
        assert!(login.contains("Secret: s3cret\r\n"), "{login}");
        theirs
            .write_all(
                b"Response: Success\r\nActionID: 1\r\n\r\nEvent: FullyBooted\r\n\r\n\
                  Event: Hangup\r\nUniqueid: 1.1\r\n\r\n",
            )
            .await
            .unwrap();
    };
    let (events, ()) = tokio::join!(turn(&mut connection), pbx);
    assert_eq!(events.unwrap(), ["FullyBooted", "Hangup"]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_is_told_apart_by_its_moment() {
    let (mut connection, theirs) = pair(Login::Plain);
    drop(theirs);
    let error = turn(&mut connection).await.unwrap_err();
    assert!(matches!(error, Error::Session(session::Error::Refused)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_greets_ends_by_itself() {
    let (mut connection, _theirs) = pair(Login::Plain);
    let error = turn(&mut connection).await.unwrap_err();
    assert!(matches!(error, Error::Session(session::Error::NoBanner)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn noise_is_no_greeting() {
    let (mut connection, mut theirs) = pair(Login::Plain);
    theirs.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n\0\xff\xfe").await.unwrap();
    let error = loop {
        if let Err(error) = turn(&mut connection).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Session(session::Error::NoBanner)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_good_bye_ends_in_a_second_though_nobody_answers() {
    let (mut connection, mut theirs) = pair(Login::Plain);
    theirs
        .write_all(b"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nEvent: FullyBooted\r\n\r\n")
        .await
        .unwrap();
    turn(&mut connection).await.unwrap();
    let start = clock::mono();
    connection.log_off(|_| {}).await;
    assert!(clock::mono().since(start) <= LOGOFF_WAIT);
}

#[tokio::test]
async fn a_closed_port_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = Settings { port: free.port(), ..settings(Login::Plain) };
    let Err(error) = open(&settings).await else { panic!("nobody listens there") };
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    assert_eq!(error.retry(), Retry::Soon);
}

#[tokio::test]
async fn plaintext_stays_on_this_host_whatever_a_name_stands_for() {
    for host in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
        let settings = Settings { host: host.to_owned(), ..settings(Login::Plain) };
        let Err(error) = open(&settings).await else { panic!("it must not be tried") };
        assert!(matches!(error, Error::Exposed { .. }), "{error}");
        assert_eq!(error.retry(), Retry::Late);
        assert!(error.to_string().contains("tls"), "{error}");
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "::ffff:127.0.0.1", "localhost"] {
        assert!(reach(host, port, &Security::Loopback).await.is_ok(), "{host}");
    }
}
