//! Pure: frames to finished calls; the daemon and `replay` run the same one.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ami::banner;
use crate::ami::event::kind::KINDS;
use crate::ami::event::{Event, ListPart, What};
use crate::ami::wire::{Frame, Kind};
use crate::call::checkpoint::{Change, Value};
use crate::call::classify::live::{self, LiveCall};
use crate::call::classify::{self, Setting};
use crate::call::facts::CallFacts;
use crate::call::id::PbxName;
use crate::call::policy::Policy;
use crate::call::record::{FinishedCall, Source, TimeSource};
use crate::call::side::Portrait;
use crate::call::tracker::glimpse::Glimpse;
use crate::call::tracker::{Findings, Tracker};
use crate::intake::clock::PbxClock;
use crate::time::PbxTime;

/// Follows the calls of one PBX.
#[derive(Debug)]
pub struct Reader {
    pbx: PbxName,
    source: Source,
    policy: Arc<Policy>,
    clock: PbxClock,
    tracker: Tracker,
    /// The connection's first event with a time is still to come.
    begins: bool,
    /// The stream is of an Asterisk that is too old: nothing of it is taken.
    too_old: Option<String>,
    finished: VecDeque<FinishedCall>,
    /// The PBX's time in the last answer to a ping that the stream shows.
    pong: Option<PbxTime>,
    /// What is being judged.
    judged: Option<CallFacts>,
    stats: Stats,
}

/// What went by; for logs and metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Events that were understood.
    pub events: u64,
    /// The same by their places in [`KINDS`].
    pub kinds: [u64; KINDS.len()],
    /// Whether the last event that should have one carried a `Timestamp`.
    pub timestamps: Option<bool>,
    /// The last event's time.
    pub last: Option<PbxTime>,
    /// Calls in progress.
    pub open: usize,
    /// Channels of calls in progress.
    pub channels: usize,
    /// Calls handed out by [`Reader::poll_finished`].
    pub finished: u64,
    /// Calls that were ended because there were too many channels.
    pub evicted: u64,
    /// What the PBX's lists told.
    pub findings: Findings,
    /// Captures from before the one that was read last, in which calls were open.
    pub out_of_order: u64,
}

impl Reader {
    pub fn new(pbx: PbxName, source: Source, policy: Arc<Policy>) -> Self {
        Self {
            pbx,
            source,
            tracker: Tracker::new(TimeSource::Event, Arc::clone(&policy)),
            policy,
            clock: PbxClock::new(),
            begins: true,
            too_old: None,
            finished: VecDeque::new(),
            pong: None,
            judged: None,
            stats: Stats::default(),
        }
    }

    /// From here on calls are judged by `policy`.
    pub fn set_policy(&mut self, policy: Arc<Policy>) {
        self.tracker.set_policy(Arc::clone(&policy));
        self.policy = policy;
    }

    /// The AMI version of the stream, when that is too old to be followed.
    pub fn too_old(&self) -> Option<&str> {
        self.too_old.as_deref()
    }

    /// What the names of the dial plan's own variables begin with: for the splitter.
    pub fn own_variables(&self) -> &str {
        &self.policy.dial_plan.variables
    }

    /// Takes one frame of the stream; replies to actions are not for here. `arrived` is the PBX
    /// time of arrival as the shell estimates it (live), used where events carry no `Timestamp`;
    /// `None` in a replay of a capture that does not tell it.
    pub fn handle_frame(&mut self, frame: &Frame<'_>, arrived: Option<PbxTime>) {
        match frame.kind {
            Kind::Event => {}
            Kind::Banner => {
                self.too_old = banner::too_old(frame.block);
                return self.handle_connected();
            }
            Kind::Response => {
                let pong = frame.header("Ping").and_then(|_| frame.header("Timestamp"));
                self.pong = pong.and_then(PbxTime::parse).or(self.pong);
                return;
            }
        }
        if self.too_old.is_some() {
            return;
        }
        if self.begins
            && let Some(at) = frame.header("Timestamp").and_then(PbxTime::parse)
        {
            if arrived.is_none() && self.clock.is_past(at) {
                self.go_back();
            }
            let at = self.clock.begin(at);
            self.begin(Some(at));
        }
        #[cfg(test)]
        panic_on(frame.header("UserEvent") == Some(b"panic"));
        let Some(event) = Event::parse(frame) else { return };
        self.stats.events += 1;
        self.stats.kinds[event.what.kind()] += 1;
        if matches!(event.what, What::NewChannel(_) | What::Hangup { .. }) {
            self.stats.timestamps = Some(event.at.is_some());
        }
        if let What::List(part) = &event.what {
            return self.take_list(part, arrived);
        }
        let at = self.clock.time_of(&event, arrived);
        if let Some(at) = self.clock.take_rewound() {
            self.tracker.rewind(at);
        }
        self.stats.last = at;
        // What has no time of its own says nothing of when the connection began.
        if self.begins && (event.at.is_some() || !matches!(event.what, What::FullyBooted { .. })) {
            self.begin(at);
        }
        self.tracker.set_time_source(self.clock.source());
        self.tracker.handle_event(&event, at.unwrap_or(PbxTime::from_micros(0)));
    }

    /// Items of a list carry no time. In a replay the answer to a ping before them does, or an event.
    fn take_list(&mut self, part: &ListPart<'_>, arrived: Option<PbxTime>) {
        let Some(at) = self.clock.told(arrived.or(self.pong)) else { return };
        if self.begins {
            self.begin(Some(at));
        }
        self.stats.last = Some(at);
        self.tracker.handle_list(part, at);
    }

    /// The PBX answered a ping when its clock showed `at`: since the connection began nothing was missed.
    pub fn handle_alive(&mut self, at: PbxTime) {
        if let Some(at) = self.clock.told(Some(at)) {
            // The answer may come before the first event: the time before the connection is still a gap.
            if self.begins {
                self.begin(Some(at));
            }
            self.tracker.handle_alive(at);
        }
    }

    /// The PBX ended the connection in order at `at`, by the time that is given to calls: until then nothing
    /// was missed.
    pub fn handle_end(&mut self, at: PbxTime) {
        self.tracker.handle_end(at);
    }

    /// Until when the PBX was watched, by its own clock; `None` before anything is known.
    pub fn watched_until(&self) -> Option<PbxTime> {
        let last = self.tracker.last_word().into_iter().chain(self.stats.last).max()?;
        Some(PbxTime::from_micros(last.micros().saturating_sub(self.clock.shift())))
    }

    /// Another connection to the PBX begins: what happened since the last event was not seen.
    pub fn handle_connected(&mut self) {
        self.begins = true;
        self.pong = None;
        self.tracker.handle_lost();
    }

    /// A capture from before the one that was read last follows: what is open there ended with it.
    fn go_back(&mut self) {
        self.stats.out_of_order += u64::from(self.tracker.open() > 0);
        self.tracker.finish();
        self.tracker.extract_all();
        self.tracker.restart();
        self.clock.restart();
    }

    fn begin(&mut self, at: Option<PbxTime>) {
        if let Some(at) = at {
            self.begins = false;
            self.tracker.handle_begin(at);
        }
    }

    /// Notes from here on what changes, for [`Reader::take_changes`].
    pub fn keep_changes(&mut self) {
        self.tracker.keep_changes();
    }

    /// What is to be written down so that calls in progress outlive the process: at most about `limit`
    /// values, the rest with the next calls. Finished calls go first: their values are removed here.
    pub fn take_changes(&mut self, limit: usize) -> Vec<Change> {
        self.tracker.take_changes(limit, self.clock.shift())
    }

    /// What is to be written together with the calls that [`Reader::poll_finished`] gave, and not before
    /// them: from then on they are in progress no more.
    pub fn take_ended(&mut self) -> Vec<Change> {
        self.tracker.take_ended()
    }

    /// What [`Reader::take_changes`] gave was lost: all of it is to be given again.
    pub fn keep_all(&mut self) {
        self.tracker.keep_all();
    }

    /// Whether [`Reader::take_changes`] has something to give.
    pub fn has_changes(&self) -> bool {
        self.tracker.has_changes()
    }

    /// Takes up what was written down before the first event; returns how many calls go on.
    pub fn restore(&mut self, values: Vec<Value>) -> usize {
        for value in &values {
            #[cfg(test)]
            panic_on(matches!(value, Value::Channel(channel) if channel.exten == "panic at the start"));
            if let Value::Stream(stream) = value {
                self.clock.restore(stream.now, stream.shift, stream.time);
                self.stats.last = Some(stream.now);
            }
        }
        let calls = self.tracker.restore(values);
        if calls == 0 && self.clock.shift() != 0 {
            // No call needs the time that the PBX had before its clock was set back: a restart heals it.
            self.tracker.restart();
            self.clock.restart();
            self.stats.last = None;
        }
        calls
    }

    /// Lets deadlines fire up to `now`.
    pub fn handle_timeout(&mut self, now: PbxTime) {
        self.tracker.handle_timeout(now);
    }

    /// When [`Reader::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<PbxTime> {
        self.tracker.poll_timeout()
    }

    /// The next call that ended, in order of end.
    pub fn poll_finished(&mut self) -> Option<FinishedCall> {
        while self.finished.is_empty() {
            let facts = self.judged.insert(self.tracker.poll_finished()?);
            #[cfg(test)]
            panic_on(facts.channels.iter().any(|channel| &*channel.exten == "panic at the end"));
            let setting = Setting { pbx: &self.pbx, source: self.source, policy: &self.policy };
            self.finished.extend(classify::classify(facts, setting));
            self.judged = None;
        }
        self.stats.finished += 1;
        self.finished.pop_front()
    }

    /// After a panic: channels of the call that was being worked on, where it was no event.
    pub fn working_on(&self) -> Vec<String> {
        let judged = self.judged.iter().flat_map(|facts| &facts.channels).filter(|channel| !channel.guest);
        let judged = judged.map(|channel| channel.uniqueid.to_string());
        judged.chain(self.tracker.working_on().map(str::to_owned)).collect()
    }

    /// Nothing that is still heard of these channels counts.
    pub fn bury<'s>(&mut self, uniqueids: impl IntoIterator<Item = &'s str>) {
        self.tracker.bury(uniqueids);
    }

    /// How far the calls' times are ahead of the PBX's clock, in microseconds.
    pub fn shift(&self) -> i64 {
        self.clock.shift()
    }

    /// At most `limit` groups of calls in progress at `now`, the newest first, from where the look before
    /// stopped on; and where the next one goes on. It changes nothing.
    pub fn glimpse(&self, before: Option<u64>, limit: usize, now: PbxTime) -> (Vec<LiveCall>, Option<u64>) {
        let setting = Setting { pbx: &self.pbx, source: self.source, policy: &self.policy };
        let Glimpse { calls, next } = self.tracker.glimpse(before, limit, now);
        (calls.iter().flat_map(|facts| live::live(facts, setting)).collect(), next)
    }

    /// The input is at its end: what is open is closed and marked partial.
    pub fn finish(&mut self) {
        self.tracker.finish();
    }

    pub fn stats(&self) -> Stats {
        Stats {
            open: self.tracker.open(),
            channels: self.tracker.channels(),
            evicted: self.tracker.evicted(),
            findings: self.tracker.findings(),
            ..self.stats
        }
    }

    /// What was seen of every endpoint so far.
    pub fn portraits(&self) -> impl Iterator<Item = Portrait> {
        self.tracker.portraits()
    }
}

/// What a test of the shell wants from the core.
#[cfg(test)]
fn panic_on(wanted: bool) {
    assert!(!wanted, "as the test wants");
}
