//! The journal, as journald takes lines from programs: each with its fields, over a socket (`entry`).
//!
//! It never blocks: what journald does not take at once waits in a short queue and is sent when it takes again; what
//! finds no room there is counted, and the count is told then. Where the socket cannot be had, lines go to standard
//! error, which the journal reads as well, without fields; a thread writes them there (`pipe`), as it may be read by nobody.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::ops::log::entry::Entry;
use crate::ops::log::fields::Fields;
use crate::ops::log::pipe::Pipe;
use crate::time::MonoTime;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Another socket, for tests.
const VARIABLE: &str = "AMI2AMO_JOURNAL";

/// As which program the journal knows us.
const IDENTIFIER: &str = "ami2amo";

/// Bytes of lines that wait for a journal that takes none: some 500 lines, more than a busy minute at `info`.
const WAITING_MAX: usize = 256 << 10;

/// When it is tried again whether the journal takes lines: at growing distances.
const AGAIN_FIRST: Duration = Duration::from_millis(50);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// How long the end of the program waits for a journal that takes none.
const FAREWELL: Duration = Duration::from_millis(500);

/// The layer that sends lines to the journal.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    wire: Arc<Mutex<Wire>>,
    /// Told when lines wait.
    stirred: Arc<Notify>,
    /// Standard error by a thread of its own, once a line went there; `None` inside when the system had none. A
    /// command that ends by itself writes there itself.
    errors: Option<Arc<OnceLock<Option<Pipe>>>>,
}

#[derive(Debug)]
struct Wire {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    lost: u64,
    again: Option<(MonoTime, Duration)>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sent {
    Taken,
    Later,
    /// There is no journal to be reached.
    Nowhere,
}

impl Journal {
    pub fn new(stirred: Arc<Notify>) -> Self {
        let path = std::env::var_os(VARIABLE).map_or_else(|| SOCKET.into(), PathBuf::from);
        Self::at(path, stirred)
    }

    fn at(path: PathBuf, stirred: Arc<Notify>) -> Self {
        Self { wire: Arc::new(Mutex::new(Wire::new(path))), stirred, errors: None }
    }

    /// One that no reader of standard error holds up either, for who calls [`Self::finish`] at the end.
    pub fn patient(self) -> Self {
        Self { errors: Some(Arc::default()), ..self }
    }

    /// When it is to be tried again whether the journal takes what waits.
    pub fn due(&self) -> Option<MonoTime> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner).again.map(|(at, _)| at)
    }

    /// Tries it.
    pub fn try_again(&self, now: MonoTime) {
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        if wire.again.is_some_and(|(at, _)| at <= now) {
            wire.drain(now);
        }
    }

    /// Sends what waits, for as long as the program's end may take.
    pub fn finish(&self) {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner).finish();
        if let Some(Some(errors)) = self.errors.as_ref().and_then(|errors| errors.get()) {
            errors.finish();
        }
    }

    fn send(&self, level: Level, text: &str, entry: Entry) {
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = wire.send(entry.into_bytes(), clock::mono());
        drop(wire);
        match sent {
            Sent::Taken => {}
            Sent::Later => self.stirred.notify_one(),
            Sent::Nowhere => self.say(&plain(level, text)),
        }
    }

    /// Says a line on standard error. One that is closed, or has no thread, leaves nobody to tell.
    fn say(&self, line: &str) {
        let Some(errors) = &self.errors else { return drop(io::stderr().write_all(line.as_bytes())) };
        let errors = errors.get_or_init(|| Pipe::start(io::stderr()).ok()).clone();
        drop(errors.map(|mut errors| errors.write_all(line.as_bytes())));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let fields = Fields::of(event, &context);
        let text = fields.text();
        let mut entry = Entry::default();
        entry.add("PRIORITY", &priority(*metadata.level()).to_string());
        entry.add("SYSLOG_IDENTIFIER", IDENTIFIER);
        entry.add("MESSAGE", &text);
        entry.add("TARGET", metadata.target());
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            entry.add("CODE_FILE", file);
            entry.add("CODE_LINE", &line.to_string());
        }
        for (name, value) in &fields.named {
            entry.add(name, value);
        }
        self.send(*metadata.level(), &text, entry);
    }
}

impl Wire {
    fn new(path: PathBuf) -> Self {
        let mut wire =
            Self { path, socket: None, waiting: VecDeque::new(), waiting_bytes: 0, lost: 0, again: None };
        wire.socket = wire.connect().ok();
        wire
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    fn send(&mut self, entry: Vec<u8>, now: MonoTime) -> Sent {
        let again = self.again;
        if !self.waiting.is_empty() {
            self.drain(now);
        }
        if self.waiting.is_empty() {
            match self.put(&entry) {
                Ok(()) => {
                    self.tell_lost();
                    return Sent::Taken;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Sent::Nowhere,
            }
        }
        if self.waiting_bytes + entry.len() > WAITING_MAX {
            self.lost += 1;
        } else {
            self.waiting_bytes += entry.len();
            self.waiting.push_back(entry);
        }
        // A line that comes meanwhile moves nothing.
        self.again = Some(again.unwrap_or((now.after(AGAIN_FIRST), AGAIN_FIRST)));
        Sent::Later
    }

    /// Sends what waits, in its order, as far as the journal takes it. One that is gone gets no more.
    fn drain(&mut self, now: MonoTime) {
        let pause = self.again.map_or(AGAIN_FIRST, |(_, pause)| (pause * 2).min(AGAIN_MAX));
        while let Some(entry) = self.waiting.pop_front() {
            match self.put(&entry) {
                Ok(()) => self.waiting_bytes -= entry.len(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.waiting.push_front(entry);
                    self.again = Some((now.after(pause), pause));
                    return;
                }
                Err(_) => {
                    self.waiting_bytes -= entry.len();
                    self.lost += 1;
                }
            }
        }
        self.again = None;
        self.tell_lost();
    }

    fn tell_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        let text = format!("{} lines of the log are lost: the journal did not take them in time", self.lost);
        let mut entry = Entry::default();
        entry.add("PRIORITY", "4");
        entry.add("SYSLOG_IDENTIFIER", IDENTIFIER);
        entry.add("MESSAGE", &text);
        entry.add("LOST", &self.lost.to_string());
        if self.put(&entry.into_bytes()).is_ok() {
            self.lost = 0;
        }
    }

    /// A journal that was begun anew is connected with again, once.
    fn put(&mut self, entry: &[u8]) -> io::Result<()> {
        let is_gone = |error: &io::Error| error.kind() != io::ErrorKind::WouldBlock;
        if let Some(socket) = &self.socket {
            match socket.send(entry) {
                Err(error) if is_gone(&error) => {}
                sent => return sent.map(drop),
            }
        }
        self.socket = None;
        let socket = self.connect()?;
        self.socket.insert(socket).send(entry).map(drop)
    }

    fn finish(&mut self) {
        let Some(socket) = self.socket.as_ref().filter(|_| !self.waiting.is_empty()) else { return };
        let waits = socket.set_write_timeout(Some(FAREWELL)).and_then(|()| socket.set_nonblocking(false));
        let end = clock::mono().after(FAREWELL);
        while waits.is_ok() && clock::mono() < end && !self.waiting.is_empty() {
            let Some(entry) = self.waiting.front() else { return };
            if socket.send(entry).is_err() {
                return;
            }
            self.waiting.pop_front();
        }
    }
}

/// The line as a journal takes it that reads standard error: with its priority in front (sd-daemon(3)).
fn plain(level: Level, text: &str) -> String {
    format!("<{}>{}\n", priority(level), text.replace('\n', " "))
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests;
