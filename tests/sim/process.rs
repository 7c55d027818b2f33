//! The daemon as one process: what the intake's task, the store's handle and the supervisor do, and
//! nothing that they decide. It starts, lives, and dies at any step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ami2amo::ami::wire::{Kind, Splitter, Step};
use ami2amo::amo::pace::Pace;
use ami2amo::amo::token::Life;
use ami2amo::call::checkpoint::Change;
use ami2amo::call::id::{AccountId, CallId, PbxName};
use ami2amo::call::policy::Policy;
use ami2amo::call::record::{FinishedCall, Source};
use ami2amo::intake::reader::Reader;
use ami2amo::intake::task::pbx_now::PbxNow;
use ami2amo::outbox::courier::Courier;
use ami2amo::outbox::queue::Queue as _;

use crate::carrier::{Doing, Plan};
use crate::coverage::{Moment, Point};
use crate::disk::{Answer, Command, Left};
use crate::mutants::Mutant;
use crate::scenes::{MILLI, SECOND};
use crate::world::{World, mono_time, pbx_time, restart_after, world_time};

/// Calls in progress are written down this often.
const KEEP_EVERY: u64 = SECOND;
/// Most values in one write; and where the PBX is so large that a write never holds all.
const KEEP_MAX: usize = 1024;
const KEEP_FEW: usize = 3;
/// Refused calls are offered again after this.
const OFFER_AGAIN: u64 = 100 * MILLI;

/// How often in a thousand the process dies while calls are on their way to the store.
const DEATHS_IN_ENQUEUE: u64 = 60;

pub struct Process {
    pub number: u32,
    pub reader: Reader,
    clock: Option<PbxNow>,
    splitter: Splitter,
    buffer: Vec<u8>,
    pub connect_at: Option<u64>,
    connections: u32,
    /// For [`Mutant::HangupForgotten`].
    forgets: bool,
    backlog: VecDeque<FinishedCall>,
    /// Enqueues that the store has not answered.
    unanswered: usize,
    pub offer_at: Option<u64>,
    keep_at: u64,
    /// Changes that are to be written, again when the store failed.
    changes: Vec<Change>,
    /// Events that came since the last write.
    pub delivered: Vec<(usize, usize)>,
    /// A write is under way, and so many of these events are in it.
    written: Option<usize>,
    pub courier: Courier,
    /// The clocks' difference is known, and was when the calls were written that are about to be posted.
    pub measured: bool,
    pub writes_by_measure: bool,
    pub pace: Pace,
    pub life: Life,
    pub doing: Doing,
    pub plan: Plan,
}

impl Process {
    /// When a deadline of a call is due.
    pub fn calls_due(&self) -> Option<u64> {
        let (due, now) = self.reader.poll_timeout().zip(self.clock)?;
        Some(world_time(now.when(due)))
    }

    pub fn keep_due(&self) -> Option<u64> {
        let is_due = self.written.is_none() && (!self.changes.is_empty() || self.reader.has_changes());
        is_due.then_some(self.keep_at)
    }

    /// Nothing of a call is anywhere but in the store.
    pub fn is_at_rest(&self) -> bool {
        let is_written = self.written.is_none() && self.changes.is_empty() && !self.reader.has_changes();
        self.backlog.is_empty() && self.unanswered == 0 && is_written && self.reader.stats().open == 0
    }

    pub fn connected(&mut self, ahead: i64, mutant: Option<Mutant>) {
        (self.splitter, self.buffer, self.connect_at) = (Splitter::new(), Vec::new(), None);
        self.connections += 1;
        self.forgets = self.connections > 1 || self.number > 1;
        self.reader.handle_connected();
        self.measured = true;
        if mutant != Some(Mutant::OffsetForgotten) {
            self.courier.set_offsets(BTreeMap::from([(PbxName::default(), ahead)]));
        }
    }

    /// Values that come back are old by now; what was removed is to be removed still.
    fn take_back(&mut self, changes: Vec<Change>) {
        if changes.iter().any(|change| change.value.is_some()) {
            self.reader.keep_all();
        }
        let removed = changes.into_iter().filter(|change| change.value.is_none());
        self.changes = removed.chain(self.changes.drain(..)).collect();
    }

    pub fn read(&mut self, bytes: &[u8], now: u64, mutant: Option<Mutant>) {
        self.buffer.extend_from_slice(bytes);
        let mut used_up = 0;
        loop {
            match self.splitter.next(&self.buffer[used_up..]) {
                Step::Frame { frame, used } => {
                    used_up += used;
                    let hangup = frame.kind == Kind::Event && frame.header("Event") == Some(b"Hangup");
                    if mutant == Some(Mutant::HangupForgotten) && hangup && std::mem::take(&mut self.forgets)
                    {
                        continue;
                    }
                    self.reader.handle_frame(&frame, Some(pbx_time(now)));
                }
                Step::Skip { used } => used_up += used,
                Step::More => break,
            }
        }
        self.buffer.drain(..used_up);
        let last = self.reader.stats().last;
        if let Some(event) = last.filter(|last| self.clock.map(PbxNow::event) != Some(*last)) {
            self.clock = Some(PbxNow::new(event, mono_time(now)));
        }
    }
}

impl World {
    pub fn start(&mut self) {
        self.start_at = None;
        self.processes += 1;
        let mut reader = Reader::new(PbxName::default(), Source::Ami, Arc::new(Policy::default()));
        reader.keep_changes();
        if self.mutant != Some(Mutant::CheckpointNotRead) {
            let restored = reader.restore(self.store.restored());
            self.note(|| format!("the process starts, {restored} calls go on"));
        }
        let pause = self.dice.between(50 * MILLI, SECOND);
        let seed = self.dice.roll();
        let mut rules = (*self.rules).clone();
        if self.mutant == Some(Mutant::AbsentTooSoon) {
            rules.delivery.note_lag = ami2amo::time::span::Span::from_secs(1);
            rules.amo.request_timeout = ami2amo::time::span::Span::from_secs(1);
        }
        self.process = Some(Process {
            number: self.processes,
            reader,
            clock: None,
            splitter: Splitter::new(),
            buffer: Vec::new(),
            connect_at: Some(self.now + pause),
            connections: 0,
            forgets: false,
            backlog: VecDeque::new(),
            unanswered: 0,
            offer_at: None,
            keep_at: self.now + KEEP_EVERY,
            changes: Vec::new(),
            delivered: Vec::new(),
            written: None,
            courier: Courier::new(AccountId::default(), Arc::new(rules), seed),
            measured: false,
            writes_by_measure: false,
            pace: Pace::new(self.rules.amo.requests_per_second),
            life: Life::default(),
            doing: Doing::Poll(self.now + MILLI),
            plan: Plan::default(),
        });
    }

    /// The process is killed, or the machine loses its power.
    pub fn crash(&mut self, why: &str) {
        self.crash_at = None;
        let Some(process) = self.process.take() else { return };
        if let Doing::Flying { post, .. } = &process.doing {
            self.amo.cut_off(*post, self.now);
        }
        self.amo.unsend(self.now);
        for (call, index) in &process.delivered {
            self.seen[*call][*index] = false;
        }
        let left = self.store.crash();
        self.note(|| format!("the process dies {why}, its open group left {left:?}"));
        self.tell_coverage(&process, left);
        self.pbx.disconnect();
        let healthy = self.now >= self.healthy_at;
        self.start_at = Some(self.now + if healthy { 2 * SECOND } else { restart_after(&mut self.dice) });
    }

    /// Where the calls stood in which this crash came.
    fn tell_coverage(&mut self, process: &Process, left: Left) {
        for (call, truth) in self.truths.iter().enumerate() {
            let seen = self.seen[call].iter().filter(|seen| **seen).count()
                + process.delivered.iter().filter(|(of, _)| *of == call).count();
            let is_ours = |id: &CallId| truth.channels.iter().any(|channel| id.as_str().ends_with(channel));
            let waits = process.backlog.iter().any(|waiting| is_ours(&waiting.record.call_id));
            let moment = if self.durable.iter().any(is_ours) {
                Moment::Durable
            } else if waits || (process.unanswered > 0 && seen >= truth.events) {
                Moment::OnItsWay
            } else if seen >= truth.events {
                Moment::Ended
            } else if truth.answer.as_ref().is_some_and(|answer| seen >= answer.told) {
                Moment::Talking
            } else if seen > 0 {
                Moment::Ringing
            } else {
                Moment::NotBegun
            };
            self.coverage.crashed(moment, left);
        }
    }

    /// An end in order: what is known is written down first.
    pub fn stop(&mut self) {
        let Some(process) = &mut self.process else { return };
        let quiet = process.backlog.is_empty() && process.unanswered == 0 && process.written.is_none();
        if !quiet
            || !process.courier.may_stop()
            || !self.store.is_idle()
            || !matches!(process.doing, Doing::Wait(_))
        {
            return;
        }
        self.note(|| "the process ends in order".to_owned());
        let process = self.process.as_mut().expect("it was there a moment ago");
        let mut changes = std::mem::take(&mut process.changes);
        changes.extend(process.reader.take_changes(usize::MAX));
        process.delivered.clear();
        self.store.send(Command::Keep(changes));
        self.store.begin(self.now, self.clock.host(self.now));
        self.store.finish(0);
        self.process = None;
        self.pbx.disconnect();
        self.start_at = Some(self.now + restart_after(&mut self.dice));
    }

    /// Lets deadlines fire and takes the calls that ended.
    pub fn collect(&mut self) {
        let (now, mutant) = (self.now, self.mutant);
        let Some(process) = &mut self.process else { return };
        if let Some(known) = process.clock {
            process.reader.handle_timeout(known.now(mono_time(now)));
        }
        let mut ended = Vec::new();
        while let Some(call) = process.reader.poll_finished() {
            ended.push(call);
        }
        if ended.is_empty() {
            return;
        }
        for call in &ended {
            self.note(|| format!("ended: {} {:?}", call.record.call_id, call.record.outcome));
        }
        let process = self.process.as_mut().expect("it was there a moment ago");
        process.backlog.extend(ended);
        if mutant == Some(Mutant::CheckpointRemovedFirst) {
            process.offer_at = Some(now + 300 * MILLI);
            process.keep_at = now;
            self.keep();
        } else if process.offer_at.is_none() {
            self.offer();
        }
    }

    pub fn offer(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.offer_at = None;
        if process.backlog.is_empty() {
            return;
        }
        let mut calls: Vec<FinishedCall> = process.backlog.drain(..).collect();
        // A call's last word and the removal of what was kept of it go in one piece.
        let mut changes = std::mem::take(&mut process.changes);
        changes.extend(process.reader.take_ended());
        process.unanswered += 1;
        if self.mutant == Some(Mutant::TakenInTwice) {
            for call in &mut calls {
                if self.store.queue().find(&call.record.call_id).expect("the model answers").is_some() {
                    call.record.call_id = CallId::from_text(format!("{}~9", call.record.call_id));
                }
            }
        }
        if self.mutant == Some(Mutant::CheckpointStays) {
            changes.retain(|change| change.value.is_some());
        }
        self.store.send(Command::Enqueue(calls, changes));
        if self.now < self.healthy_at && self.dice.chance(DEATHS_IN_ENQUEUE) {
            self.crash_at = Some(self.now + self.dice.between(1, 300));
        }
    }

    /// Writes calls in progress down: after the calls that ended are durable, whose values go.
    pub fn keep(&mut self) {
        let (now, mutant) = (self.now, self.mutant);
        let limit = if self.small_writes { KEEP_FEW } else { KEEP_MAX };
        let Some(process) = &mut self.process else { return };
        process.keep_at = now + KEEP_EVERY;
        let first = mutant == Some(Mutant::CheckpointRemovedFirst);
        if !first && !process.backlog.is_empty() {
            process.keep_at = now + 20 * MILLI;
            return;
        }
        process.changes.extend(process.reader.take_changes(limit));
        process.written = Some(if process.reader.has_changes() { 0 } else { process.delivered.len() });
        let mut changes = std::mem::take(&mut process.changes);
        match mutant {
            Some(Mutant::CheckpointStays) => changes.retain(|change| change.value.is_some()),
            Some(Mutant::CheckpointWithoutTalk) => changes.iter_mut().for_each(without_talk),
            _ => {}
        }
        self.store.send(Command::Keep(changes));
    }

    /// A group of the store is answered.
    pub fn store_done(&mut self) {
        let failures = self.store.failures;
        for answer in self.store.finish(self.now) {
            match answer {
                Answer::Enqueued(calls, changes, outcome) => self.enqueued(calls, changes, outcome.is_ok()),
                Answer::Kept(changes, outcome) => self.kept(changes, outcome.is_ok()),
                Answer::Courier(told) => self.told(told),
            }
            if self.process.is_none() {
                return;
            }
        }
        if self.store.failures > failures {
            self.note(|| "the disk is full".to_owned());
            if !self.reopens {
                self.crash("because its store failed");
            }
        }
    }

    fn enqueued(&mut self, calls: Vec<FinishedCall>, changes: Vec<Change>, is_done: bool) {
        let Some(process) = &mut self.process else { return };
        process.unanswered -= 1;
        if is_done {
            self.durable.extend(calls.into_iter().map(|call| call.record.call_id));
            // A courier that rests hears of arrivals.
            self.arrived();
        } else if self.mutant != Some(Mutant::RefusedCallsDropped) {
            process.backlog.extend(calls);
            process.take_back(changes);
            process.offer_at = Some(self.now + OFFER_AGAIN);
        }
    }

    fn kept(&mut self, changes: Vec<Change>, is_done: bool) {
        let Some(process) = &mut self.process else { return };
        let written = process.written.take().unwrap_or(0);
        if is_done {
            process.delivered.drain(..written);
        } else {
            process.take_back(changes);
        }
    }

    /// The crash that was planned for the moment in which a group is open.
    pub fn crash_in_group(&mut self) {
        let Some(process) = &self.process else { return };
        let is_planned = process.plan.point != Point::None && process.plan.group == Some(process.plan.point);
        if is_planned && self.store.done_at.is_some() {
            self.crash_as_planned();
        }
    }
}

/// What [`Mutant::CheckpointWithoutTalk`] writes.
fn without_talk(change: &mut Change) {
    if let (true, Some(json)) = (change.key.starts_with("c/"), &mut change.value) {
        let mut value: serde_json::Value = serde_json::from_slice(json).expect("a checkpoint is JSON");
        let fields = value.as_object_mut().expect("an object");
        fields.remove("stays");
        fields.remove("in_bridge");
        *json = serde_json::to_vec(&value).expect("JSON");
    }
}
