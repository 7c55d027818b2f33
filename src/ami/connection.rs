//! One connection to Asterisk's manager interface: carries bytes between the socket and the
//! [`Session`]. Knows no call. It lives in the intake's task; [`Connection::wait`] is cancel safe,
//! and nothing here runs while nobody waits, so a reader that stops reading stops the sender.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use md5::{Digest as _, Md5};
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::bytes::{Buf as _, BytesMut};
use tokio_util::codec::Decoder as _;

use crate::ami::codec::Codec;
use crate::ami::connection::stream::Stream;
use crate::ami::connection::tls::Tls;
use crate::ami::session::action;
use crate::ami::session::notice::Notice;
use crate::ami::session::{self, Retry, Session};
use crate::ami::wire::{Damage, Frame, Kind};
use crate::clock;
use crate::time::PbxTime;

pub mod backoff;
pub mod stream;
pub mod tap;
pub mod tls;

/// Where a PBX listens and who we are there.
#[derive(Clone, Debug)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub secret: Secret,
    pub session: session::Settings,
}

/// Who may read along on the way to a PBX.
#[derive(Clone, Debug)]
pub enum Security {
    /// Nobody can: the PBX must be on this host, whatever its name stands for when it is looked up.
    Loopback,
    /// Everybody between, which was allowed.
    Plaintext,
    /// Nobody.
    Tls(Tls),
}

/// The secret of an AMI user: any bytes but line breaks and NUL. `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

/// A live connection. `S` is a [`Stream`]; tests take a pipe.
pub struct Connection<S> {
    reading: ReadHalf<S>,
    writing: WriteHalf<S>,
    session: Session,
    credentials: Credentials,
    codec: Codec,
    input: BytesMut,
    output: BytesMut,
    /// Something was written that may wait inside of a TLS stream.
    unflushed: bool,
    /// Bytes were read since the others were last let in.
    had_turn: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot find the host {host:?}")]
    Resolve { host: String, source: io::Error },
    #[error("the host {host:?} has no address")]
    NoAddress { host: String },
    #[error("cannot connect to {at}: is Asterisk running, and manager.conf enabled and bound there?")]
    Connect { at: SocketAddr, source: io::Error },
    #[error("no connection to {host}:{port} within {} s: is a firewall between?", CONNECT_WAIT.as_secs())]
    ConnectTimeout { host: String, port: u16 },
    #[error(
        "{host} is {} today, which is another host, and the connection would not be encrypted: set tls in its \
         [[pbx]] table, or allow-plaintext = true",
        at.ip()
    )]
    Exposed { host: String, at: SocketAddr },
    #[error("no encrypted connection to {host}:{port}")]
    Tls { host: String, port: u16, source: tls::Error },
    #[error("the connection failed")]
    Io(#[source] io::Error),
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The core panicked over an event: the stream is to be begun anew.
    #[error("the connection is made anew after a panic")]
    Panicked,
    #[error("cannot send {action}")]
    Unsendable { action: &'static str, source: action::Error },
}

/// Longest wait for a TCP connection, the look-up of the name included. A host that is down does
/// not answer at all, and the kernel would try for two minutes.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Longest good-bye at shutdown: Asterisk answers Logoff at once, if it answers at all.
const LOGOFF_WAIT: Duration = Duration::from_secs(1);

/// What the kernel may hold for us. Asterisk ends a session whose socket stays full for
/// `writetimeout` (100 ms by default), so a burst must fit. The kernel caps this at its `rmem_max`.
const RECEIVE_BUFFER: u32 = 1 << 20;

/// Bytes of one read: some 150 events.
const READ_SIZE: usize = 64 << 10;

/// Connects, over TLS where the settings ask for it.
///
/// # Errors
/// When there is no connection within ten seconds, or no TLS within ten more; when the PBX shows a
/// certificate that is not trusted; when plaintext would leave this host without permission.
pub async fn open(settings: &Settings) -> Result<Connection<Stream>, Error> {
    let stream = reach(&settings.host, settings.port, &settings.security).await?;
    Ok(Connection::new(stream, settings))
}

/// Connects and says nothing: for a look at the certificate.
///
/// # Errors
/// As [`open`].
pub async fn reach(host: &str, port: u16, security: &Security) -> Result<Stream, Error> {
    let connecting = tokio::time::timeout(CONNECT_WAIT, connect(host, port, security));
    let timed_out = |_| Error::ConnectTimeout { host: host.to_owned(), port };
    let stream = connecting.await.map_err(timed_out)??;
    match security {
        Security::Loopback | Security::Plaintext => Ok(Stream::Plain(stream)),
        Security::Tls(tls) => {
            let failed = |source| Error::Tls { host: host.to_owned(), port, source };
            Ok(Stream::Tls(Box::new(tls.connect(stream).await.map_err(failed)?)))
        }
    }
}

/// Whether an address is on this host, also one that IPv6 wraps around one of IPv4.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    /// Starts a session on a stream that was just opened.
    pub fn new(stream: S, settings: &Settings) -> Self {
        let (reading, writing) = tokio::io::split(stream);
        Self {
            reading,
            writing,
            session: Session::new(settings.session.clone(), clock::mono()),
            credentials: Credentials {
                username: settings.session.username.clone(),
                secret: settings.secret.clone(),
            },
            codec: Codec::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            had_turn: false,
        }
    }

    /// Hands on variables whose names begin with `prefix`, from here on.
    pub fn set_own_variables(&mut self, prefix: &str) {
        self.codec.set_own_variables(prefix);
    }

    /// Waits until bytes came or something is due, writing what is to be written meanwhile. Cancel
    /// safe: bytes stay in the two buffers.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn wait(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.had_turn) {
            // All PBXs share a thread: one that floods us has one read, and then the others have theirs.
            tokio::task::yield_now().await;
        }
        loop {
            let deadline = self.session.poll_timeout();
            self.input.reserve(READ_SIZE);
            tokio::select! {
                // Reading goes first: what came before a deadline counts before it.
                biased;
                read = self.reading.read_buf(&mut self.input) => return match read {
                    Ok(0) => Err(self.session.closed().into()),
                    Ok(_) => {
                        self.had_turn = true;
                        self.session.handle_bytes(clock::mono());
                        Ok(())
                    }
                    Err(error) => Err(Error::Io(error)),
                },
                pushed = push(&mut self.writing, &mut self.output, &mut self.unflushed),
                    if self.unflushed || self.output.has_remaining() => pushed.map_err(Error::Io)?,
                () = clock::sleep_until(deadline) => return Ok(()),
            }
        }
    }

    /// Takes what came: replies go to the session, events to `on_event`; and does what is due.
    ///
    /// # Errors
    /// When the session is over. Events before the end have been given to `on_event`.
    pub fn handle(&mut self, mut on_event: impl FnMut(&Frame<'_>)) -> Result<(), Error> {
        let (now, host) = (clock::mono(), clock::host());
        while let Some(block) = self.codec.decode(&mut self.input).map_err(Error::Io)? {
            let frame = block.frame();
            if frame.kind != Kind::Event || self.session.wants_events() {
                self.session.handle_frame(&frame, now, host)?;
            }
            if frame.kind == Kind::Event {
                on_event(&frame);
            }
        }
        self.session.handle_timeout(now)?;
        self.render()
    }

    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.session.poll_notice()
    }

    /// As [`Session::poll_pong`].
    pub fn poll_pong(&mut self) -> Option<PbxTime> {
        self.session.poll_pong()
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What of the stream had to be dropped so far.
    pub fn damage(&self) -> Damage {
        self.codec.damage()
    }

    /// Says good-bye and waits shortly for the PBX to close. What it still sends goes to
    /// `on_event`. Errors do not matter any more. Returns whether the PBX closed in order: then it
    /// has sent all that happened.
    pub async fn log_off(mut self, mut on_event: impl FnMut(&Frame<'_>)) -> bool {
        self.session.log_off(clock::mono());
        let good_bye = async {
            self.render()?;
            loop {
                self.wait().await?;
                self.handle(&mut on_event)?;
            }
        };
        let ended: Result<Result<(), Error>, _> = tokio::time::timeout(LOGOFF_WAIT, good_bye).await;
        ended.is_ok_and(|ended| ended.is_err_and(|error| error.is_end()))
    }

    fn render(&mut self) -> Result<(), Error> {
        while let Some((id, action)) = self.session.poll_action() {
            let unsendable = |source| Error::Unsendable { action: action.name(), source };
            let request = action.render(id, &self.credentials).map_err(unsendable)?;
            self.output.extend_from_slice(request.as_bytes());
        }
        Ok(())
    }
}

impl Security {
    /// Whether `other` is the same.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Loopback, Self::Loopback) | (Self::Plaintext, Self::Plaintext) => true,
            (Self::Tls(one), Self::Tls(other)) => one.is_same(other),
            (Self::Loopback | Self::Plaintext | Self::Tls(_), _) => false,
        }
    }
}

impl Secret {
    pub fn new(secret: Vec<u8>) -> Self {
        Self(SecretSlice::from(secret))
    }

    /// Whether it can be sent: no line break and no NUL, not empty.
    pub fn is_sendable(&self) -> bool {
        let bytes = self.0.expose_secret();
        !bytes.is_empty() && !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
    }

    /// The secret itself, for whoever logs in with it.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// Whether `other` is the same secret.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl Error {
    /// Whether the PBX ended the stream in order: all that happened until then has come. A connection
    /// that is reset or silent says nothing of the time before.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Session(session::Error::Closed))
    }

    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Session(error) if error.is_refusal())
    }

    /// How soon a new try makes sense.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Session(error) => error.retry(),
            Self::Unsendable { .. } | Self::Exposed { .. } => Retry::Late,
            Self::Tls { source, .. } => source.retry(),
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Panicked
            | Self::Io(_) => Retry::Soon,
        }
    }
}

struct Credentials {
    username: String,
    secret: Secret,
}

impl action::Credentials for Credentials {
    fn username(&self) -> &str {
        &self.username
    }

    fn secret(&self) -> &[u8] {
        self.secret.0.expose_secret()
    }

    fn digest(&self, challenge: &[u8]) -> String {
        let digest =
            Md5::new().chain_update(challenge).chain_update(self.secret.0.expose_secret()).finalize();
        format!("{:032x}", u128::from_be_bytes(digest.into()))
    }
}

/// Hands on what is to be written; when nothing is left, what a TLS stream still holds of it. Cancel safe.
async fn push<W: AsyncWrite + Unpin>(
    writing: &mut W,
    output: &mut BytesMut,
    unflushed: &mut bool,
) -> io::Result<()> {
    if output.has_remaining() {
        *unflushed = true;
        writing.write_buf(output).await.map(|_bytes| ())
    } else {
        writing.flush().await?;
        *unflushed = false;
        Ok(())
    }
}

/// Tries the addresses of `host` in their order.
async fn connect(host: &str, port: u16, security: &Security) -> Result<TcpStream, Error> {
    let unknown = |source| Error::Resolve { host: host.to_owned(), source };
    let mut failure = Error::NoAddress { host: host.to_owned() };
    for at in tokio::net::lookup_host((host, port)).await.map_err(unknown)? {
        if matches!(security, Security::Loopback) && !is_loopback(at.ip()) {
            failure = Error::Exposed { host: host.to_owned(), at };
            continue;
        }
        match connect_to(at).await {
            Ok(stream) => return Ok(stream),
            Err(source) => failure = Error::Connect { at, source },
        }
    }
    Err(failure)
}

async fn connect_to(at: SocketAddr) -> io::Result<TcpStream> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.connect(at).await
}

#[cfg(test)]
mod tests;
