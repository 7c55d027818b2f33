//! A dumb Asterisk on loopback: it greets, checks a login, and plays bytes. What it does wrong is
//! chosen by its [`Script`]; it knows nothing of calls.

#![allow(dead_code, reason = "each test and the sandbox use a part")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use md5::{Digest as _, Md5};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// What the server does with each connection.
#[derive(Clone, Debug)]
pub struct Script {
    pub banner: &'static str,
    pub username: String,
    pub secret: Vec<u8>,
    /// The answer to a right login; `None` accepts it.
    pub refusal: Option<&'static str>,
    pub answers_pings: bool,
    /// The user may ask for lists, which hold these hints and nothing else; `None`: he may not.
    pub hints: Option<Vec<(&'static str, &'static str)>>,
    pub clock: Clock,
    /// Sent one after the other when the client has logged in.
    pub steps: Vec<Step>,
}

/// What it says that time is, when it is pinged.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// This host's time.
    Host,
    /// This host's time and so many seconds.
    Off(f64),
    /// The latest `Timestamp` that was sent; at first this one, in seconds, or none where it is 0.
    Sent(f64),
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Bytes at once.
    Send(Vec<u8>),
    /// Bytes in slices, a pause after each.
    Pace { bytes: Vec<u8>, slice: usize, pause: Duration },
    /// The first of a connection waits for the first [`FakeAmi::go_on`], the second for the second.
    Hold,
    /// Bytes as the test hands them over, until it hands over no more.
    Feed(Feed),
    /// Closes the connection, without a word.
    Cut,
}

/// The far end of a [`feed`]; the connections that have it in their script take turns.
#[derive(Clone, Debug)]
pub struct Feed(Arc<tokio::sync::Mutex<mpsc::Receiver<Vec<u8>>>>);

/// The running server; it ends when this is dropped.
#[derive(Debug)]
pub struct FakeAmi {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// What happened so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    pub connections: usize,
    pub logins: usize,
    pub refused: usize,
    pub pings: usize,
    pub log_offs: usize,
    /// Connections that have played all their steps.
    pub played: usize,
    /// The longest that a client let one write wait.
    pub slowest_write: Duration,
    /// Names of all actions, in order.
    pub actions: Vec<String>,
}

#[derive(Debug)]
struct State {
    script: Mutex<Script>,
    seen: watch::Sender<Seen>,
    /// How many holds may pass.
    passes: watch::Sender<usize>,
    /// The latest `Timestamp` that was sent, in seconds.
    sent: Mutex<f64>,
}

/// The challenge of every MD5 login; Asterisk's are random digits.
const CHALLENGE: &str = "117735131";

impl Default for Script {
    fn default() -> Self {
        Self {
            banner: "Asterisk Call Manager/11.0.0\r\n",
            username: "ami2amo".to_owned(),
            secret: b"s3cret".to_vec(),
            refusal: None,
            answers_pings: true,
            hints: None,
            clock: Clock::Sent(1_795_339_565.437_709),
            steps: Vec::new(),
        }
    }
}

/// A [`Step::Feed`] of at most `limit` pieces under way.
pub fn feed(limit: usize) -> (mpsc::Sender<Vec<u8>>, Step) {
    let (pieces, receiver) = mpsc::channel(limit);
    (pieces, Step::Feed(Feed(Arc::new(tokio::sync::Mutex::new(receiver)))))
}

impl FakeAmi {
    /// Listens on a free port of loopback.
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        Self::listen(listener, script)
    }

    /// As [`Self::start`], with so small a buffer that a client which does not read is felt at once.
    pub fn start_narrow(script: Script, send_buffer: u32) -> Self {
        let socket = TcpSocket::new_v4().expect("there is a socket");
        socket.set_send_buffer_size(send_buffer).expect("the kernel takes any size");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has free ports");
        // What it accepts has the listener's buffer.
        Self::listen(socket.listen(16).expect("a bound socket listens"), script)
    }

    fn listen(listener: TcpListener, script: Script) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            script: Mutex::new(script),
            seen: watch::channel(Seen::default()).0,
            passes: watch::channel(0).0,
            sent: Mutex::new(0.0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The script of the connections to come.
    pub fn set_script(&self, script: Script) {
        *self.state.script.lock().expect("no holder panics") = script;
    }

    /// Lets one more [`Step::Hold`] of each connection pass.
    pub fn go_on(&self) {
        self.state.passes.send_modify(|passes| *passes += 1);
    }

    pub fn seen(&self) -> Seen {
        self.state.seen.borrow().clone()
    }

    /// Waits until `predicate` holds for what happened.
    pub async fn wait_for(&self, limit: Duration, predicate: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.state.seen.subscribe();
        // What is waited for is held while it is looked at: who looks twice at a time may wait for ever.
        let is_seen = tokio::time::timeout(limit, seen.wait_for(|seen| predicate(seen))).await.is_ok();
        assert!(is_seen, "not seen within {limit:?}: {:?}", self.seen());
        self.seen()
    }
}

impl Drop for FakeAmi {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    fn see(&self, change: impl FnOnce(&mut Seen)) {
        self.seen.send_modify(change);
    }

    /// The PBX's time of now, in seconds.
    fn clock(&self, script: &Script) -> f64 {
        let host = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        match script.clock {
            Clock::Host => host().as_secs_f64(),
            Clock::Off(seconds) => host().as_secs_f64() + seconds,
            Clock::Sent(dawn) => self.sent.lock().expect("no holder panics").max(dawn),
        }
    }

    /// Notes the latest time in what is sent.
    fn sends(&self, bytes: &[u8]) {
        const KEY: &[u8] = b"\nTimestamp: ";
        let Some(at) = bytes.windows(KEY.len()).rposition(|window| window == KEY) else { return };
        let digits =
            bytes[at + KEY.len()..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
        let text = String::from_utf8(digits.copied().collect()).expect("digits are text");
        let mut sent = self.sent.lock().expect("no holder panics");
        *sent = text.parse().map_or(*sent, |told: f64| told.max(*sent));
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        state.see(|seen| seen.connections += 1);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let script = state.script.lock().expect("no holder panics").clone();
            // A client that goes away is no matter of ours.
            drop(serve(stream, &script, &state).await);
        });
    }
}

async fn serve(mut stream: TcpStream, script: &Script, state: &State) -> std::io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut reading = BufReader::new(reading);
    writing.write_all(script.banner.as_bytes()).await?;
    loop {
        let block = read_block(&mut reading).await?;
        let (reply, verdict) = answer(&block, script, state);
        writing.write_all(&reply).await?;
        match verdict {
            Verdict::GoOn => {}
            Verdict::Close => return Ok(()),
            Verdict::LoggedIn => break,
        }
    }
    // Steps and answers share the connection as they do in Asterisk.
    let (steps, mut outgoing) = mpsc::channel::<Vec<u8>>(16);
    let playing = play(script, state, steps.clone());
    let answering = async {
        loop {
            let block = read_block(&mut reading).await?;
            let (reply, verdict) = answer(&block, script, state);
            if !reply.is_empty() {
                drop(steps.send(reply).await);
            }
            if verdict == Verdict::Close {
                drop(steps.send(Vec::new()).await);
                // The order to close is carried out behind the reply.
                return std::future::pending::<std::io::Result<()>>().await;
            }
        }
    };
    let writing = async {
        while let Some(bytes) = outgoing.recv().await {
            if bytes.is_empty() {
                return writing.shutdown().await;
            }
            state.sends(&bytes);
            let begun = Instant::now();
            writing.write_all(&bytes).await?;
            let took = begun.elapsed();
            state.seen.send_if_modified(|seen| {
                let slower = took > seen.slowest_write;
                seen.slowest_write = seen.slowest_write.max(took);
                slower
            });
        }
        Ok(())
    };
    tokio::select! {
        ended = answering => ended,
        ended = writing => ended,
        () = async { playing.await; std::future::pending().await } => Ok(()),
    }
}

/// An empty message is the order to close.
async fn play(script: &Script, state: &State, out: mpsc::Sender<Vec<u8>>) {
    let mut holds = 0;
    for step in &script.steps {
        match step {
            Step::Send(bytes) => drop(out.send(bytes.clone()).await),
            Step::Pace { bytes, slice, pause } => {
                for slice in bytes.chunks(*slice) {
                    drop(out.send(slice.to_vec()).await);
                    tokio::time::sleep(*pause).await;
                }
            }
            Step::Hold => {
                let mut passes = state.passes.subscribe();
                holds += 1;
                drop(passes.wait_for(|passes| *passes >= holds).await);
            }
            Step::Feed(Feed(pieces)) => {
                let mut pieces = pieces.lock().await;
                while let Some(bytes) = pieces.recv().await {
                    drop(out.send(bytes).await);
                }
            }
            Step::Cut => {
                state.see(|seen| seen.played += 1);
                drop(out.send(Vec::new()).await);
                return;
            }
        }
    }
    state.see(|seen| seen.played += 1);
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    GoOn,
    LoggedIn,
    Close,
}

fn answer(block: &[(String, Vec<u8>)], script: &Script, state: &State) -> (Vec<u8>, Verdict) {
    let get = |key: &str| {
        let found = block.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let action = String::from_utf8_lossy(&get("Action")).into_owned();
    let id = String::from_utf8_lossy(&get("ActionID")).into_owned();
    state.see(|seen| seen.actions.push(action.clone()));
    let reply =
        |word: &str, rest: &str| format!("Response: {word}\r\nActionID: {id}\r\n{rest}\r\n").into_bytes();
    match action.as_str() {
        "Challenge" => (reply("Success", &format!("Challenge: {CHALLENGE}\r\n")), Verdict::GoOn),
        "Login" if !knows_secret(&get("Username"), &get("Secret"), &get("Key"), script) => {
            state.see(|seen| seen.refused += 1);
            (reply("Error", "Message: Authentication failed\r\n"), Verdict::Close)
        }
        "Login" => log_in(&reply, script, state),
        "Ping" if !script.answers_pings => (Vec::new(), Verdict::GoOn),
        "Ping" => {
            state.see(|seen| seen.pings += 1);
            let clock = state.clock(script);
            let clock = if clock > 0.0 { format!("Timestamp: {clock:.6}\r\n") } else { String::new() };
            (reply("Success", &format!("Ping: Pong\r\n{clock}")), Verdict::GoOn)
        }
        "CoreSettings" => {
            (reply("Success", "AMIversion: 11.0.0\r\nAsteriskVersion: 22.10.1\r\n"), Verdict::GoOn)
        }
        "Logoff" => {
            state.see(|seen| seen.log_offs += 1);
            (reply("Goodbye", "Message: Thanks for all the fish.\r\n"), Verdict::Close)
        }
        _ => match &script.hints {
            Some(hints) => (list(&action, &id, hints), Verdict::GoOn),
            None => (reply("Error", "Message: Permission denied\r\n"), Verdict::GoOn),
        },
    }
}

fn list(action: &str, id: &str, hints: &[(&str, &str)]) -> Vec<u8> {
    let end = match action {
        "Status" => "StatusComplete",
        "CoreShowChannels" => "CoreShowChannelsComplete",
        "BridgeList" => "BridgeListComplete",
        "ExtensionStateList" => "ExtensionStateListComplete",
        _ => {
            let start = "CoreStartupDate: 2026-11-22\r\nCoreStartupTime: 09:13:11\r\n";
            return format!("Response: Success\r\nActionID: {id}\r\n{start}\r\n").into_bytes();
        }
    };
    let hints = if action == "ExtensionStateList" { hints } else { &[] };
    let mut text = format!("Response: Success\r\nActionID: {id}\r\nEventList: start\r\n\r\n");
    for (exten, hint) in hints {
        text += &format!(
            "Event: ExtensionStatus\r\nActionID: {id}\r\nExten: {exten}\r\nContext: ext-local\r\nHint: {hint}\r\n\
             Status: 0\r\nStatusText: Idle\r\n\r\n"
        );
    }
    let items = hints.len();
    text += &format!("Event: {end}\r\nActionID: {id}\r\nEventList: Complete\r\nListItems: {items}\r\n\r\n");
    text.into_bytes()
}

fn log_in(reply: &impl Fn(&str, &str) -> Vec<u8>, script: &Script, state: &State) -> (Vec<u8>, Verdict) {
    if let Some(message) = script.refusal {
        state.see(|seen| seen.refused += 1);
        return (reply("Error", &format!("Message: {message}\r\n")), Verdict::Close);
    }
    state.see(|seen| seen.logins += 1);
    let mut accepted = reply("Success", "Message: Authentication accepted\r\n");
    accepted
        .extend_from_slice(b"Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n");
    (accepted, Verdict::LoggedIn)
}

fn knows_secret(username: &[u8], secret: &[u8], key: &[u8], script: &Script) -> bool {
    let digest = Md5::new().chain_update(CHALLENGE).chain_update(&script.secret).finalize();
    let digest = format!("{:032x}", u128::from_be_bytes(digest.into()));
    username == script.username.as_bytes() && (secret == script.secret || key == digest.as_bytes())
}

/// The headers of one action.
async fn read_block(
    reading: &mut (impl tokio::io::AsyncBufRead + Unpin),
) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = Vec::new();
        // An action's lines are at most 1024 bytes, and so is what is read here.
        (&mut *reading).take(1025).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        while line.last().is_some_and(|last| matches!(last, b'\r' | b'\n')) {
            line.pop();
        }
        if line.is_empty() {
            return Ok(headers);
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len() - 1);
        let value = line[colon + 1..].trim_ascii().to_vec();
        headers.push((String::from_utf8_lossy(&line[..colon]).into_owned(), value));
    }
}
