//! Pure: one session with Asterisk's manager interface: log in, keep alive, measure the clock. It
//! takes frames and times and returns actions to send and news to tell; it reads no socket, no clock
//! and no secret.
//!
//! ```text
//!           banner          challenge        success         FullyBooted, or 5 s
//!  Banner ─────────► Challenge ─────► Login ─────────► Boot ─────────────────────► Up ──► Leaving
//!    │                   │              │                                          │
//!    └─ 1.x, silence     └── refused ───┴─ wrong secret, in use                    └─ silence
//! ```
//!
//! Everything that Asterisk may leave unanswered has a time-out, so no waiter is kept for ever.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ami::banner;
use crate::ami::session::action::{Action, Proof};
use crate::ami::session::notice::Notice;
use crate::ami::session::offset::Offset;
use crate::ami::wire::{Frame, Kind};
use crate::time::{HostTime, MonoTime, PbxTime};

pub mod action;
mod error;
pub mod notice;
pub mod offset;

pub use error::{Error, Retry};

/// Drives one connection from its first byte to its last.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    state: State,
    /// When the step of `state` must be done; meaningless in [`State::Up`].
    deadline: MonoTime,
    next_ping: MonoTime,
    /// When the last byte came.
    heard: MonoTime,
    next_id: u32,
    pending: Vec<Pending>,
    actions: VecDeque<(u32, Action)>,
    notices: VecDeque<Notice>,
    offset: Option<Offset>,
    /// The PBX's time in the last pong, until it is asked for.
    pong: Option<PbxTime>,
    next_lists: MonoTime,
    /// Lists that this user may not have, or that Asterisk does not know.
    refused: Vec<Action>,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub username: String,
    pub login: Login,
    /// Time between pings. It also bounds how long some Asterisk versions sit on finished events:
    /// they flush them after every action. 5 to 10 s is sensible.
    pub ping_interval: Duration,
}

/// How the secret is shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Login {
    /// MD5 challenge: the secret does not cross the wire.
    #[default]
    Challenge,
    /// In clear.
    Plain,
}

/// The event classes that calls are made from. `reporting` is left out on purpose: RTCP reports are
/// half of the traffic of a busy PBX. Classes that the user may not read are no error.
pub const EVENTS: &str = "system,call,agent,user,cdr,dialplan";

/// Asterisk greets at once; what greets later is not Asterisk or not alive.
const BANNER_WAIT: Duration = Duration::from_secs(10);

/// Asterisk sleeps a second before it refuses a login; a loaded one may need a few more.
const REPLY_WAIT: Duration = Duration::from_secs(15);

/// `FullyBooted` follows the login at once where the user has the class `system`.
const BOOT_WAIT: Duration = Duration::from_secs(5);

/// What there is on the PBX is listed again this often. A list is some kilobytes for each ten channels.
const LISTS_EVERY: Duration = Duration::from_mins(1);

/// Longest text of the PBX that is repeated in logs, in characters.
const TEXT_MAX: usize = 200;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Banner,
    Challenge,
    Login,
    Boot,
    Up,
    Leaving,
}

/// An action whose reply is awaited.
#[derive(Debug)]
struct Pending {
    id: u32,
    action: Action,
    sent: MonoTime,
    due: MonoTime,
}

impl Session {
    /// A session on a connection that was opened at `now`.
    pub fn new(settings: Settings, now: MonoTime) -> Self {
        Self {
            settings,
            state: State::Banner,
            deadline: now.after(BANNER_WAIT),
            next_ping: now,
            heard: now,
            next_id: 1,
            pending: Vec::new(),
            actions: VecDeque::new(),
            notices: VecDeque::new(),
            offset: None,
            pong: None,
            next_lists: now,
            refused: Vec::new(),
        }
    }

    /// Notes that bytes came, of whatever kind: the line is alive.
    pub fn handle_bytes(&mut self, now: MonoTime) {
        self.heard = now;
    }

    /// Takes one frame. `now` and `host` are the time of its arrival by both clocks.
    ///
    /// # Errors
    /// When the session is over.
    pub fn handle_frame(&mut self, frame: &Frame<'_>, now: MonoTime, host: HostTime) -> Result<(), Error> {
        match frame.kind {
            Kind::Banner => self.handle_banner(frame.block, now),
            Kind::Response => self.handle_reply(frame, now, host),
            Kind::Event => {
                self.handle_event(frame);
                Ok(())
            }
        }
    }

    /// Whether the session wants to see events too; it does until it is up.
    pub fn wants_events(&self) -> bool {
        self.state == State::Boot
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the session is over: something was awaited in vain.
    pub fn handle_timeout(&mut self, now: MonoTime) -> Result<(), Error> {
        match self.state {
            State::Banner if now >= self.deadline => return Err(Error::NoBanner),
            State::Boot if now >= self.deadline => self.go_up(Notice::BootUnconfirmed),
            State::Banner | State::Challenge | State::Login | State::Boot | State::Up | State::Leaving => {}
        }
        while let Some(at) = self.pending.iter().position(|pending| now >= pending.due) {
            let unanswered = self.pending.swap_remove(at);
            self.give_up(&unanswered, now)?;
        }
        if self.pings() && now >= self.next_ping {
            self.ping(now);
        }
        if self.pings() && now >= self.next_lists {
            self.list(now);
        }
        Ok(())
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        let step = matches!(self.state, State::Banner | State::Boot).then_some(self.deadline);
        let ping = self.pings().then_some(self.next_ping.min(self.next_lists));
        let reply = self.pending.iter().map(|pending| pending.due).min();
        [step, ping, reply].into_iter().flatten().min()
    }

    /// The next action to send, with its id.
    pub fn poll_action(&mut self) -> Option<(u32, Action)> {
        self.actions.pop_front()
    }

    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Says good-bye; nothing else is sent after it.
    pub fn log_off(&mut self, now: MonoTime) {
        if matches!(self.state, State::Boot | State::Up) {
            self.send(Action::Logoff, now);
        }
        self.state = State::Leaving;
    }

    /// What it means that the PBX closed the connection here.
    pub fn closed(&self) -> Error {
        match self.state {
            State::Banner => Error::Refused,
            State::Challenge | State::Login | State::Boot | State::Up | State::Leaving => Error::Closed,
        }
    }

    /// The difference of the clocks, once a ping was answered.
    pub fn offset(&self) -> Option<Offset> {
        self.offset
    }

    /// The PBX's time when it answered a ping, once for each: until then the connection was whole.
    pub fn poll_pong(&mut self) -> Option<PbxTime> {
        self.pong.take()
    }

    fn handle_banner(&mut self, line: &[u8], now: MonoTime) -> Result<(), Error> {
        if self.state != State::Banner {
            return Ok(());
        }
        if let Some(version) = banner::too_old(line) {
            return Err(Error::OldAsterisk { version });
        }
        self.notices.push_back(Notice::Greeted { ami_version: banner::version(line) });
        match self.settings.login {
            Login::Challenge => {
                self.state = State::Challenge;
                self.send(Action::Challenge, now);
            }
            Login::Plain => self.log_in(Proof::Secret, now),
        }
        Ok(())
    }

    fn handle_reply(&mut self, frame: &Frame<'_>, now: MonoTime, host: HostTime) -> Result<(), Error> {
        let Some(pending) = self.take_pending(frame) else { return Ok(()) };
        match &pending.action {
            Action::Challenge => self.handle_challenge(frame, now),
            Action::Login { .. } => self.handle_login(frame, now),
            Action::Ping => {
                self.handle_pong(frame, now.since(pending.sent), host);
                Ok(())
            }
            Action::CoreSettings => {
                self.handle_settings(frame);
                Ok(())
            }
            Action::CoreStatus => {
                self.handle_status(frame);
                Ok(())
            }
            Action::CoreShowChannels | Action::Status | Action::BridgeList | Action::ExtensionStateList => {
                self.handle_list(pending.action, frame);
                Ok(())
            }
            Action::Logoff => Ok(()),
        }
    }

    /// The action that a reply belongs to. Asterisk repeats the `ActionID`; some proxies do not while
    /// one logs in, when only one action can be meant.
    fn take_pending(&mut self, frame: &Frame<'_>) -> Option<Pending> {
        let at = match frame.header("ActionID") {
            Some(id) => {
                let id: u32 = std::str::from_utf8(id).ok()?.parse().ok()?;
                self.pending.iter().position(|pending| pending.id == id)?
            }
            None if matches!(self.state, State::Challenge | State::Login) => 0,
            None => return None,
        };
        (at < self.pending.len()).then(|| self.pending.swap_remove(at))
    }

    fn handle_challenge(&mut self, frame: &Frame<'_>, now: MonoTime) -> Result<(), Error> {
        match frame.header("Challenge") {
            Some(challenge) if succeeded(frame) => {
                self.log_in(Proof::Digest { challenge: challenge.to_vec() }, now);
                Ok(())
            }
            _ => Err(Error::Rejected { action: "Challenge", message: message(frame) }),
        }
    }

    fn handle_login(&mut self, frame: &Frame<'_>, now: MonoTime) -> Result<(), Error> {
        if !succeeded(frame) {
            return Err(self.refusal(frame));
        }
        self.state = State::Boot;
        self.deadline = now.after(BOOT_WAIT);
        self.notices.push_back(Notice::LoggedIn);
        self.ping(now);
        self.send(Action::CoreSettings, now);
        self.send(Action::CoreStatus, now);
        // Events are on since the login, so nothing falls between them and the lists.
        self.list(now);
        self.send(Action::ExtensionStateList, now);
        Ok(())
    }

    /// Asks for what there is: bridges first, for channels are told by them, then the channels, then what
    /// Asterisk remembers of them. The lists themselves are events.
    fn list(&mut self, now: MonoTime) {
        self.next_lists = now.after(LISTS_EVERY);
        for action in [Action::BridgeList, Action::Status, Action::CoreShowChannels] {
            if !self.refused.contains(&action) {
                self.send(action, now);
            }
        }
    }

    fn handle_list(&mut self, action: Action, frame: &Frame<'_>) {
        if !succeeded(frame) {
            self.notices.push_back(Notice::Denied { action: action.name(), message: message(frame) });
            self.refused.push(action);
        }
    }

    fn handle_status(&mut self, frame: &Frame<'_>) {
        let word = |key| frame.header(key).filter(|_| succeeded(frame)).map(printable);
        let notice = match (word("CoreStartupDate"), word("CoreStartupTime")) {
            (Some(date), Some(time)) => Notice::Started { at: format!("{date} {time}") },
            _ => Notice::Denied { action: "CoreStatus", message: message(frame) },
        };
        self.notices.push_back(notice);
    }

    fn refusal(&self, frame: &Frame<'_>) -> Error {
        let message = message(frame);
        let username = self.settings.username.clone();
        if message.eq_ignore_ascii_case("Authentication failed") {
            return Error::AuthenticationFailed { username };
        }
        if message.eq_ignore_ascii_case("Login Already In Use") {
            return Error::InUse { username };
        }
        Error::Rejected { action: "Login", message }
    }

    fn handle_pong(&mut self, frame: &Frame<'_>, round_trip: Duration, host: HostTime) {
        let Some(pbx) = frame.header("Timestamp").and_then(PbxTime::parse) else { return };
        self.pong = Some(pbx);
        let sample = Offset::measured(pbx, host, round_trip);
        self.offset = Some(self.offset.map_or(sample, |offset| offset.smoothed(sample)));
    }

    fn handle_settings(&mut self, frame: &Frame<'_>) {
        let notice = match frame.header("AsteriskVersion") {
            Some(version) if succeeded(frame) => Notice::Identified { asterisk_version: printable(version) },
            _ => Notice::Denied { action: "CoreSettings", message: message(frame) },
        };
        self.notices.push_back(notice);
    }

    /// Only `FullyBooted` matters here; it may come twice, or never.
    fn handle_event(&mut self, frame: &Frame<'_>) {
        let awaited = self.state == State::Boot;
        if awaited && frame.header("Event").is_some_and(|name| name.eq_ignore_ascii_case(b"FullyBooted")) {
            self.go_up(Notice::Booted);
        }
    }

    fn go_up(&mut self, notice: Notice) {
        self.state = State::Up;
        self.notices.push_back(notice);
    }

    fn log_in(&mut self, proof: Proof, now: MonoTime) {
        self.state = State::Login;
        self.send(Action::Login { proof, events: EVENTS }, now);
    }

    fn ping(&mut self, now: MonoTime) {
        self.next_ping = now.after(self.settings.ping_interval);
        self.send(Action::Ping, now);
    }

    fn pings(&self) -> bool {
        matches!(self.state, State::Boot | State::Up)
    }

    fn send(&mut self, action: Action, now: MonoTime) {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let wait = match action {
            Action::Ping => self.settings.ping_interval * 2,
            Action::Challenge
            | Action::Login { .. }
            | Action::CoreSettings
            | Action::CoreStatus
            | Action::CoreShowChannels
            | Action::Status
            | Action::BridgeList
            | Action::ExtensionStateList
            | Action::Logoff => REPLY_WAIT,
        };
        self.pending.push(Pending { id, action: action.clone(), sent: now, due: now.after(wait) });
        self.actions.push_back((id, action));
    }

    /// A reply did not come in time. A missing pong is the end only when nothing else came either:
    /// a line on which events flow is not cut for one lost reply.
    fn give_up(&mut self, unanswered: &Pending, now: MonoTime) -> Result<(), Error> {
        let action = unanswered.action.name();
        match unanswered.action {
            Action::Challenge | Action::Login { .. } => Err(Error::Unanswered { action }),
            Action::Ping if self.heard <= unanswered.sent => {
                Err(Error::Silent(now.since(self.heard).as_secs()))
            }
            Action::Ping
            | Action::CoreSettings
            | Action::CoreStatus
            | Action::CoreShowChannels
            | Action::Status
            | Action::BridgeList
            | Action::ExtensionStateList
            | Action::Logoff => {
                self.notices.push_back(Notice::Unanswered { action });
                Ok(())
            }
        }
    }
}

fn succeeded(frame: &Frame<'_>) -> bool {
    frame.header("Response").is_some_and(|word| word.eq_ignore_ascii_case(b"Success"))
}

fn message(frame: &Frame<'_>) -> String {
    printable(frame.header("Message").unwrap_or(b"no reason given"))
}

/// Text of the PBX as it may stand in a log: short, and no control characters.
pub(in crate::ami) fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().take(TEXT_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
