//! Pure: shadow mode: nothing is posted, made or changed. Calls are at their end when they come; a while
//! after, they are compared with the call notes of amoCRM, many in one look.
//!
//! ```text
//!  begin ─► take calls up ─► read the notes of their time ─► keep what was found ─► rest
//! ```
//!
//! A note that is of none of the calls is a stranger, as soon as every call of its time was compared.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use crate::amo::calls;
use crate::amo::feed::{FeedNote, SOURCE_MAX};
use crate::amo::limits::Limits;
use crate::amo::notes::Window;
use crate::outbox::compare::{self, Compared, Ours, Stranger};
use crate::outbox::courier::effect::{Effect, Now, ReadBack, Unread};
use crate::outbox::courier::step::Step;
use crate::outbox::courier::telling::Teller;
use crate::outbox::courier::{Courier, REST_MAX};
use crate::outbox::errand::Kind;
use crate::outbox::queue::{Item, Seq};
use crate::time::{HostTime, MonoTime};

/// How shadow mode stands.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    /// Nothing is looked for before.
    next_at: MonoTime,
    /// Notes that were stored before are told apart, in amoCRM's seconds.
    swept_to: Option<i64>,
    /// Notes that were found to be of a call, and when they were stored: no other call has them.
    matched: BTreeMap<u64, i64>,
}

/// What is done next.
#[derive(Debug)]
pub(super) enum Stage {
    Choose { until: HostTime },
    Read(Survey),
    Keep { found: Vec<(Seq, Compared)>, strangers: Vec<Stranger>, is_last: bool },
}

/// Calls that are compared in one look.
#[derive(Debug)]
pub(super) struct Survey {
    calls: Vec<Call>,
    window: Window,
    /// Every call that came before this moment is among them, or was compared before.
    whole_to: Option<i64>,
}

/// One of them. Without a number nothing can be of it.
#[derive(Debug)]
struct Call {
    seq: Seq,
    ours: Option<Ours>,
}

/// Calls of one look: as many as a page of notes holds.
const CALLS_MAX: usize = 250;
/// Looks are no closer than this: each costs a request for every kind of entity, at least.
const LOOK_MIN: Duration = Duration::from_millis(500);
/// Before the first call of a look and after the last: clocks are set, and some notes are early.
const MARGIN_S: i64 = 120;
/// The longest time of which strangers are told, where amoCRM was away for days.
const SWEPT_FOR_S: i64 = 12 * 3600;
/// Calls of this time are looked for in all notes since, for some are changed later.
const NEAR_S: i64 = 6 * 3600;
/// Notes that are remembered, and for how long.
const MATCHED_MAX: usize = 20_000;
const MATCHED_FOR_S: i64 = 48 * 3600;

impl Stage {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Choose { until } => Effect::Uncompared { limit: CALLS_MAX, until: *until },
            Self::Read(survey) => Effect::ReadFeed { window: survey.window },
            Self::Keep { found, strangers, .. } => {
                Effect::NoteCompared { found: found.clone(), strangers: strangers.clone() }
            }
        }
    }
}

impl Courier {
    /// The head of the round in shadow mode.
    pub(super) fn begin_shadow(&mut self, now: Now) -> Effect {
        let here = by_amo(now.host, now);
        let oldest = here.saturating_sub(SWEPT_FOR_S);
        self.shadow.swept_to = Some(self.shadow.swept_to.unwrap_or(here).max(oldest));
        if now.mono < self.shadow.next_at {
            return Effect::Wait { until: self.shadow.next_at.min(now.mono.after(REST_MAX)) };
        }
        let until = now.host.before(self.rules.amo.compare_after.duration());
        let stage = Stage::Choose { until };
        let effect = stage.effect();
        self.step = Step::Compare(stage);
        effect
    }

    /// Calls came up whose time is over.
    pub(super) fn uncompared(&mut self, items: &[Item], now: Now) {
        let Step::Compare(Stage::Choose { until }) = mem::take(&mut self.step) else { return };
        let calls: Vec<Call> = items.iter().map(|item| Call::of(item, &self.teller(now))).collect();
        let swept_to = self.shadow.swept_to.unwrap_or_default();
        let after = i64::try_from(self.rules.amo.compare_after.duration().as_secs()).unwrap_or(i64::MAX);
        self.step = Step::Compare(Stage::Read(Survey::of(calls, swept_to, by_amo(until, now), after, now)));
    }

    /// The notes of their time were read.
    pub(super) fn fed(&mut self, read: ReadBack<Vec<FeedNote>>, now: Now) {
        let Step::Compare(Stage::Read(survey)) = mem::take(&mut self.step) else { return };
        match read.read(&self.rules.delivery) {
            Ok(notes) => {
                self.reads.answered(Kind::Post);
                self.health.answered_and_idle();
                self.step = Step::Compare(self.shadow.compare(&survey, notes, &self.own_sources(), now));
            }
            Err(unread) => {
                let Unread { pause, signal, .. } = self.not_read(Kind::Post, unread);
                self.shadow.next_at = now.mono.after(pause.max(LOOK_MIN));
                if let Some(signal) = signal {
                    self.learn(signal, now);
                }
            }
        }
    }

    /// What was found is kept, of this look or of the one for duplicates.
    pub(super) fn noted(&mut self, now: Now) {
        self.watch.noted();
        let Step::Compare(Stage::Keep { is_last, .. }) = &self.step else { return };
        if *is_last {
            let pause = self.rules.amo.compare_after.duration() / 2;
            self.shadow.next_at = now.mono.after(pause.max(LOOK_MIN));
        }
        self.step = Step::Begin;
    }

    /// By what our own notes are known.
    fn own_sources(&self) -> [String; 2] {
        [calls::cut(self.rules.amo.source.as_str(), SOURCE_MAX), Limits::SOURCE.to_owned()]
    }
}

impl Call {
    fn of(item: &Item, teller: &Teller<'_>) -> Self {
        Self { seq: item.seq, ours: ours(item, teller) }
    }
}

/// A call as it would be told, or was; `None` where there is nothing to tell.
pub(super) fn ours(item: &Item, teller: &Teller<'_>) -> Option<Ours> {
    let record = &item.call.record;
    let (entry, who) = teller.entry(item, 0).ok()?;
    let from = entry.created_at?;
    // Files are not looked for here.
    let has_link =
        entry.link.is_some() || (record.recording.is_some() && teller.rules.amo.recording_url.is_some());
    Some(Ours {
        seq: item.seq,
        uniq: entry.uniq,
        phone: entry.phone,
        inbound: entry.direction == "inbound",
        from,
        to: teller.clocks(record).told(record.ended_at).max(from),
        duration: entry.duration,
        status: entry.call_status,
        user: who.user,
        has_link,
    })
}

impl Survey {
    /// Of calls that came before `until`. Where there are more of them than one look takes, and they are old, notes are
    /// read up to the end of these only, so that a backlog of days is not read again and again.
    fn of(calls: Vec<Call>, swept_to: i64, until: i64, compare_after_s: i64, now: Now) -> Self {
        let here = by_amo(now.host, now);
        let is_last = calls.len() < CALLS_MAX;
        let begin = calls.iter().filter_map(|call| call.ours.as_ref()).map(|ours| ours.from).min();
        let end = calls.iter().filter_map(|call| call.ours.as_ref()).map(|ours| ours.to).max();
        let (from, to) = match begin.unwrap_or(here) {
            begin if is_last => (begin.min(swept_to), here),
            begin if here.saturating_sub(begin) <= NEAR_S => (begin, here),
            begin => (begin, end.unwrap_or(here).saturating_add(compare_after_s).min(here)),
        };
        let window = Window { from: from.saturating_sub(MARGIN_S).max(0), to: to.saturating_add(MARGIN_S) };
        Self { calls, window, whole_to: is_last.then_some(until) }
    }
}

fn by_amo(at: HostTime, now: Now) -> i64 {
    HostTime::from_micros(at.micros().saturating_add(now.amo_ahead)).seconds()
}

impl Shadow {
    fn compare(&mut self, survey: &Survey, notes: Vec<FeedNote>, own: &[String], now: Now) -> Stage {
        let notes: Vec<FeedNote> =
            notes.into_iter().filter(|note| !self.matched.contains_key(&note.id)).collect();
        let ours: Vec<Ours> = survey.calls.iter().filter_map(|call| call.ours.clone()).collect();
        let pairs = compare::pair(&ours, &notes);
        let mut found: Vec<(Seq, Compared)> = survey
            .calls
            .iter()
            .filter(|call| call.ours.is_none())
            .map(|call| (call.seq, Compared::beside(&[], now.host)))
            .collect();
        for (call, places) in ours.iter().zip(&pairs.of_call) {
            let of_call: Vec<&FeedNote> = places.iter().map(|place| &notes[*place]).collect();
            self.matched.extend(of_call.iter().map(|note| (note.id, note.stored_at)));
            found.push((call.seq, Compared::new(call, &of_call, now.host)));
        }
        let from = self.swept_to.unwrap_or_default();
        let to = survey.whole_to.unwrap_or(from).max(from);
        let strangers = pairs.strangers.iter().map(|place| &notes[*place]);
        let strangers = strangers
            .filter(|note| (from..to).contains(&note.stored_at) && !own.contains(&note.source))
            .map(Stranger::from)
            .collect();
        self.swept_to = Some(to);
        self.forget(to);
        Stage::Keep { found, strangers, is_last: survey.whole_to.is_some() }
    }

    fn forget(&mut self, to: i64) {
        self.matched.retain(|_, stored_at| *stored_at >= to.saturating_sub(MATCHED_FOR_S));
        while self.matched.len() > MATCHED_MAX {
            self.matched.pop_first();
        }
    }
}
