//! PBXs that mean harm, beside one that works: the real daemon stays small, and the calls of the one
//! that works arrive while the others do what they can.
//!
//! `AMI2AMO_LONG=1` takes the sizes of a real attack: a gigabyte a piece, a minute of events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use daemon::{Daemon, Host, LIMIT, missed_call};
use fake_ami::{FakeAmi, Script, feed};
use fake_amo::{FakeAmo, Options};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;

/// The bar of the design, in KiB.
const MEMORY_KIB: u64 = 64 << 10;

/// As Asterisk's `ast_tls_cert` makes it.
const CERTIFICATE: &str = include_str!("samples/tls/asterisk.pem");

/// Events of one piece of a flood, sent ten times a second.
const EVENTS_A_PIECE: usize = 10_000;

/// How much is sent of each attack.
struct Size {
    bytes: usize,
    seconds: usize,
}

fn size() -> Size {
    match std::env::var_os("AMI2AMO_LONG") {
        Some(_) => Size { bytes: 1 << 30, seconds: 60 },
        None => Size { bytes: 64 << 20, seconds: 2 },
    }
}

/// What is sent behind a login, over and over.
#[derive(Clone, Copy, Debug)]
struct Attack {
    name: &'static str,
    /// Sent once before.
    head: &'static str,
    /// The piece of this number.
    piece: fn(usize) -> Vec<u8>,
    /// Sent once behind: the stream is in step again.
    tail: &'static str,
    /// Pieces a second; as fast as they are taken when there is none.
    pace: Option<usize>,
}

/// One after the other on the same connection: what follows shows that the stream is in step.
const ATTACKS: [Attack; 9] = [
    Attack {
        name: "a line without end",
        head: "Event: Newchannel\r\nChannel: ",
        piece: |_| vec![b'x'; 64 << 10],
        tail: "\r\n\r\n",
        pace: None,
    },
    Attack {
        name: "bytes without a line",
        head: "",
        piece: |number| vec![b' ' ^ u8::try_from(number % 200).unwrap_or_default() | 0x10; 64 << 10],
        tail: "\r\n\r\n",
        pace: None,
    },
    Attack {
        name: "a block without end",
        head: "Event: Newchannel\r\n",
        piece: |number| format!("Header{number}: {}\r\n", "x".repeat(500)).repeat(128).into_bytes(),
        tail: "\r\n",
        pace: None,
    },
    Attack {
        name: "a reply without end",
        head: "Response: Follows\r\nActionID: 4\r\n",
        piece: |_| format!("{}\n\n", "no end of this command's output ".repeat(16)).repeat(128).into_bytes(),
        tail: "--END COMMAND--\r\n\r\n",
        pace: None,
    },
    Attack {
        name: "a list without end",
        head: "Response: Success\r\nActionID: 4\r\nEventList: start\r\n\r\n",
        piece: |number| {
            let item = |at: usize| {
                format!(
                    "Event: CoreShowChannel\r\nActionID: {}\r\nChannel: PJSIP/t-{at:08x}\r\nUniqueid: 1.{}\r\n\r\n",
                    at % 16,
                    at % 1000,
                )
            };
            (0..500).map(|at| item(number * 500 + at)).collect::<String>().into_bytes()
        },
        tail: "",
        pace: None,
    },
    Attack {
        name: "forged headers",
        head: "",
        piece: |number| {
            // A caller's number that breaks its line, an event in an event, two of every header.
            let forged = |at: usize| {
                format!(
                    "Event: Newchannel\r\nUniqueid: 2.{at}\r\nLinkedid: 2.{at}\r\nChannel: PJSIP/a-1\r\nCallerIDNum: 1\
                     \r\nUniqueid: 1795339565.1\r\nLinkedid: 1795339565.1\r\nEvent: Hangup\r\nCause: 16\r\n\
                     Uniqueid: 1795339565.1\r\nResponse: Goodbye\r\nActionID: {at}\r\nChallenge: x\0y\r\n\r\n",
                    at = at % 4000,
                )
            };
            (0..200).map(|at| forged(number * 200 + at)).collect::<String>().into_bytes()
        },
        tail: "",
        pace: None,
    },
    Attack {
        name: "tiny events",
        head: "",
        piece: |_| {
            "Event: Hangup\r\n\r\nEvent: Hold\r\n\r\nEvent: X\r\n\r\n\r\n\r\n"
                .repeat(EVENTS_A_PIECE / 3)
                .into_bytes()
        },
        tail: "",
        pace: Some(10),
    },
    Attack {
        name: "events of few channels",
        head: "",
        piece: |number| {
            let event = |at: usize| {
                let name = ["Newstate", "Hangup", "Newchannel", "BridgeEnter", "DialBegin"][at % 5];
                format!(
                    "Event: {name}\r\nUniqueid: 3.{}\r\nLinkedid: 3.1\r\nBridgeUniqueid: b\r\n\r\n",
                    at % 997
                )
            };
            (0..EVENTS_A_PIECE).map(|at| event(number * EVENTS_A_PIECE + at)).collect::<String>().into_bytes()
        },
        tail: "",
        pace: Some(10),
    },
    Attack {
        name: "invented calls",
        head: "",
        piece: |number| (0..5).flat_map(|at| missed_call(&format!("4.{}", number * 5 + at))).collect(),
        tail: "",
        pace: Some(10),
    },
];

/// A listener on loopback, and what it does with each connection.
async fn serve<F: Future<Output = std::io::Result<()>> + Send + 'static>(
    handle: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // What becomes of it is the daemon's affair.
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// Lets anybody in, whoever he says he is, then answers nothing and sends what it is given.
async fn let_in_and_send<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    pieces: Arc<tokio::sync::Mutex<mpsc::Receiver<Vec<u8>>>>,
) -> std::io::Result<()> {
    let (reading, mut writing) = tokio::io::split(stream);
    let mut lines = BufReader::new(reading).lines();
    writing.write_all(b"Asterisk Call Manager/11.0.0\r\n").await?;
    let (mut action, mut id) = (String::new(), String::new());
    let mut is_in = false;
    while !is_in {
        let line = lines.next_line().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        match line.split_once(": ") {
            Some(("Action", value)) => value.clone_into(&mut action),
            Some(("ActionID", value)) => value.clone_into(&mut id),
            Some(_) => {}
            None => {
                let reply = format!("Response: Success\r\nActionID: {id}\r\nChallenge: 7\r\n\r\n");
                writing.write_all(reply.as_bytes()).await?;
                writing.flush().await?;
                is_in = action == "Login";
            }
        }
    }
    // What the daemon sends is read, so that it is never the one who waits.
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let mut pieces = pieces.lock().await;
    while let Some(bytes) = pieces.recv().await {
        writing.write_all(&bytes).await?;
        writing.flush().await?;
    }
    reading.abort();
    Ok(())
}

/// Shows a certificate that rustls itself would not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn acceptor() -> TlsAcceptor {
    let key = PrivateKeyDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let shows = Shows(Arc::new(CertifiedKey::new(vec![certificate], key)));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shows));
    TlsAcceptor::from(Arc::new(config))
}

fn fingerprint() -> String {
    use sha2::Digest as _;
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let digest = sha2::Sha256::digest(&certificate);
    digest.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// A table of the configuration.
fn table(name: &str, port: u16, keys: &str) -> String {
    format!(
        "[[pbx]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nport = {port}\nusername = \"u\"\nsecret = \"s\"\n{keys}\n"
    )
}

/// Nobody here reads what it tells systemd, which is much when links go up and down.
fn start(host: &Host) -> Daemon {
    let mut command = host.command();
    command.env("AMI2AMO_LOG", "info").env_remove("NOTIFY_SOCKET");
    Daemon::start(command)
}

/// The highest resident memory so far, in KiB.
fn peak_kib(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // Unoptimized, the program itself is eight times as large as the one that is installed, and is mapped.
    let program = if cfg!(debug_assertions) { kib("RssFile:") } else { 0 };
    kib("VmHWM:") - program
}

async fn delivered(amo: &FakeAmo, uniq: &str) {
    let arrived = |calls: &[fake_amo::Note]| calls.iter().any(|call| call.uniq() == uniq);
    let waited = tokio::time::timeout(LIMIT, amo.wait_for(|state| arrived(&state.notes))).await;
    assert!(waited.is_ok(), "{uniq} should be delivered: {:?}", amo.calls());
}

/// Sends an attack until it has its size and `enough` says so.
async fn attack(attack: Attack, size: &Size, pieces: &mpsc::Sender<Vec<u8>>, enough: &watch::Receiver<bool>) {
    pieces.send(attack.head.as_bytes().to_vec()).await.unwrap();
    let (mut sent, mut count) = (0, 0);
    let mut tick =
        attack.pace.map(|pace| tokio::time::interval(Duration::from_secs(1) / u32::try_from(pace).unwrap()));
    while !*enough.borrow() || attack.pace.map_or(sent < size.bytes, |pace| count < pace * size.seconds) {
        if let Some(tick) = &mut tick {
            tick.tick().await;
        }
        let piece = (attack.piece)(count);
        (sent, count) = (sent + piece.len(), count + 1);
        pieces.send(piece).await.unwrap();
    }
    pieces.send(attack.tail.as_bytes().to_vec()).await.unwrap();
}

/// The calls of the PBX that works arrive while `pieces` attack; both name their calls alike.
async fn withstand(
    amo: &FakeAmo,
    good: &mpsc::Sender<Vec<u8>>,
    pieces: &mpsc::Sender<Vec<u8>>,
    bad: &str,
    daemon: &mut Daemon,
) {
    let size = size();
    for (number, each) in ATTACKS.into_iter().enumerate() {
        let (told, enough) = watch::channel(false);
        let uniqueid = format!("1795339565.{}", number + 1);
        let call = async {
            good.send(missed_call(&uniqueid)).await.unwrap();
            delivered(amo, &format!("default-{uniqueid}")).await;
            told.send_replace(true);
        };
        let begun = std::time::Instant::now();
        reading(daemon, async { tokio::join!(attack(each, &size, pieces, &enough), call) }).await;
        let peak = peak_kib(daemon);
        println!("{bad}: {}: {:.1} s, {} MiB", each.name, begun.elapsed().as_secs_f32(), peak >> 10);
        assert!(peak < MEMORY_KIB, "{}: {peak} KiB", each.name);
        // The same call at the PBX that attacked: its stream is in step again, and it is another call.
        pieces.send(missed_call(&uniqueid)).await.unwrap();
    }
    for number in 1..=ATTACKS.len() {
        let uniq = format!("{bad}-1795339565.{number}");
        reading(daemon, delivered(amo, &uniq)).await;
    }
}

/// Does `work` while somebody reads the log: thousands of lines would fill a pipe that nobody empties.
async fn reading<T>(daemon: &mut Daemon, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            line = daemon.next_line() => assert!(line.is_some(), "it ended by itself"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_pbx_costs_neither_memory_nor_the_calls_of_another() {
    let amo = fake_amo::start(Options::default()).await;
    let (good, step) = feed(4);
    let ami = FakeAmi::start(Script { steps: vec![step], ..Script::default() }).await;
    let (pieces, queue) = mpsc::channel(4);
    let queue = Arc::new(tokio::sync::Mutex::new(queue));
    let flood = serve(move |stream| let_in_and_send(stream, Arc::clone(&queue))).await;
    // Those that never come as far as a login.
    let endless = serve(|mut stream| async move {
        loop {
            stream.write_all(&vec![b'A'; 64 << 10]).await?;
        }
    })
    .await;
    let slow = serve(|mut stream| async move {
        for byte in b"Asterisk Call Manager/11.0.0".iter().cycle() {
            stream.write_all(&[*byte]).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    })
    .await;
    let garbage = serve(|mut stream| async move {
        // A handshake record of the greatest length, and noise for ever.
        stream.write_all(b"\x16\x03\x03\xff\xff").await?;
        loop {
            stream.write_all(&[0xa5; 16 << 10]).await?;
        }
    })
    .await;
    let pin = format!("tls = \"pin\"\ntls-fingerprint = {:?}", fingerprint());
    let tables = [
        table("flood", flood.port(), ""),
        table("endless", endless.port(), ""),
        table("slow", slow.port(), ""),
        table("garbage", garbage.port(), &pin),
        table("slow_tls", slow.port(), &pin),
    ];
    let host = Host::with_amo(ami.port(), &tables.concat(), &amo.base_url(), &Options::default().token);
    let mut daemon = start(&host);
    daemon.logs("amoCRM answers").await;
    withstand(&amo, &good, &pieces, "flood", &mut daemon).await;
    let calls = amo.calls();
    assert!(calls.iter().all(|call| call.phone() == "+79161234568"), "{calls:?}");
    let log = daemon.stopped().await;
    assert!(!log.contains("panic"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_pbx_is_no_worse_over_tls() {
    let amo = fake_amo::start(Options::default()).await;
    let (good, step) = feed(4);
    let ami = FakeAmi::start(Script { steps: vec![step], ..Script::default() }).await;
    let (pieces, queue) = mpsc::channel(4);
    let (queue, acceptor) = (Arc::new(tokio::sync::Mutex::new(queue)), acceptor());
    let flood = serve(move |stream| {
        let (queue, acceptor) = (Arc::clone(&queue), acceptor.clone());
        async move { let_in_and_send(acceptor.accept(stream).await?, queue).await }
    })
    .await;
    let pin = format!("tls = \"pin\"\ntls-fingerprint = {:?}", fingerprint());
    let tables = table("flood", flood.port(), &pin);
    let host = Host::with_amo(ami.port(), &tables, &amo.base_url(), &Options::default().token);
    let mut daemon = start(&host);
    daemon.logs("amoCRM answers").await;
    withstand(&amo, &good, &pieces, "flood", &mut daemon).await;
    let log = daemon.stopped().await;
    assert!(!log.contains("panic"), "{log}");
}
