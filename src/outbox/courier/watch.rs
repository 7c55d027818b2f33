//! Pure: whether others write notes of the calls that we post: the stock widget, the telephony provider's own
//! integration. One look now and then beside the calls, at the kinds of entity on which ours landed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::amo::calls;
use crate::amo::feed::{FeedNote, SOURCE_MAX};
use crate::amo::limits::Limits;
use crate::amo::notes::{KINDS, Kind, Window};
use crate::amo::settings::Settings;
use crate::call::id::CallId;
use crate::outbox::compare::{self, Compared, Ours};
use crate::outbox::courier::Courier;
use crate::outbox::courier::aside::{self, Question};
use crate::outbox::courier::effect::{Effect, Now, ReadBack};
use crate::outbox::courier::shadow::ours;
use crate::outbox::courier::standing::Signal;
use crate::outbox::courier::telling::Teller;
use crate::outbox::queue::{Item, Seq, Settlement, State};
use crate::time::{HostTime, MonoTime};

/// Who else writes, since the start, by source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Foreigners(pub BTreeMap<String, Foreigner>);

/// One of them.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct Foreigner {
    /// Notes of calls that we posted, too.
    pub notes: u64,
    /// When the last one was found.
    pub last_at: HostTime,
    /// The first calls of which it wrote.
    pub calls: Vec<CallId>,
}

/// The look.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Calls that were delivered lately, the oldest first.
    recent: VecDeque<Delivered>,
    /// Those about which is asked.
    asked: usize,
    /// Nothing is asked before.
    next_at: MonoTime,
    /// What was found, and is not kept yet.
    found: Vec<(Seq, Compared)>,
    foreigners: Foreigners,
    /// Sources that are new.
    news: BTreeSet<String>,
}

/// A call that was delivered.
#[derive(Debug)]
pub(super) struct Delivered {
    call_id: CallId,
    ours: Ours,
    /// On what it landed.
    kind: Kind,
    source: String,
    at: HostTime,
}

/// Sources that are told apart; the others are one.
pub const SOURCES_MAX: usize = 8;
/// What the others are called.
pub const OTHERS: &str = "other";
/// Calls that are named.
const EXAMPLES: usize = 2;
/// Calls of one look: it tells who writes, and needs not all of them.
const RECENT_MAX: usize = 500;
/// Before the first call and after the last.
const MARGIN_S: i64 = 120;
/// Looks are no closer than this.
const LOOK_MIN: Duration = Duration::from_secs(1);

impl Delivered {
    /// A call that came to its end so; `None` where that is another end, or nobody wants to know.
    pub(super) fn of(item: &Item, settlement: &Settlement, teller: &Teller<'_>) -> Option<Self> {
        let State::Sent { entity, .. } = &settlement.state else { return None };
        let settings = &teller.rules.amo;
        let is = |kind: &Kind| entity.as_ref().is_some_and(|entity| kind.is_named(&entity.kind));
        let record = &item.call.record;
        let own = record.line.source.as_deref().map(|source| calls::cut(source.trim(), SOURCE_MAX));
        settings.notice_duplicates.then_some(())?;
        Some(Self {
            call_id: record.call_id.clone(),
            ours: ours(item, teller)?,
            kind: KINDS.into_iter().find(is)?,
            source: own.unwrap_or_else(|| calls::cut(settings.source.as_str(), SOURCE_MAX)),
            at: teller.now,
        })
    }
}

impl Watch {
    /// A call was delivered.
    pub(super) fn heed(&mut self, delivered: Delivered) {
        if self.recent.len() < RECENT_MAX {
            self.recent.push_back(delivered);
        }
    }

    /// When there is something to ask.
    pub(super) fn due(&self, settings: &Settings, now: Now) -> Option<MonoTime> {
        let first = self.recent.front().filter(|_| settings.notice_duplicates && !settings.is_shadow())?;
        let ripe = first.at.after(settings.compare_after.duration()).since(now.host);
        Some(self.next_at.max(now.mono.after(ripe)))
    }

    pub(super) fn question(&mut self, settings: &Settings, now: Now) -> Option<Question> {
        self.due(settings, now).filter(|due| *due <= now.mono)?;
        let until = now.host.before(settings.compare_after.duration());
        let ripe: Vec<&Delivered> = self.recent.iter().take_while(|call| call.at <= until).collect();
        let from = ripe.iter().map(|call| call.ours.from).min()?;
        let to = ripe.iter().map(|call| call.ours.to).max()?;
        let kinds = KINDS.into_iter().filter(|kind| ripe.iter().any(|call| call.kind == *kind));
        let (kinds, asked): (Vec<Kind>, usize) = (kinds.collect(), ripe.len());
        self.asked = asked;
        let compare_after = i64::try_from(settings.compare_after.duration().as_secs()).unwrap_or(i64::MAX);
        let window = Window {
            from: from.saturating_sub(MARGIN_S).max(0),
            to: to.saturating_add(compare_after).saturating_add(MARGIN_S),
        };
        Some(Question::Foreign { kinds, window })
    }

    /// Takes in what others wrote.
    pub(super) fn told(
        &mut self,
        read: ReadBack<Vec<FeedNote>>,
        settings: &Settings,
        now: Now,
    ) -> Option<Signal> {
        self.next_at = now.mono.after((settings.compare_after.duration() * 3 / 2).max(LOOK_MIN));
        let signal = aside::signal(&read);
        if let ReadBack::Complete(notes) = read {
            let asked = self.asked.min(self.recent.len());
            let calls: Vec<Delivered> = self.recent.drain(..asked).collect();
            self.compare(&calls, notes, settings, now.host);
        }
        signal
    }

    fn compare(&mut self, calls: &[Delivered], notes: Vec<FeedNote>, settings: &Settings, now: HostTime) {
        let own: BTreeSet<&str> = calls.iter().map(|call| call.ours.uniq.as_str()).collect();
        let configured = calls::cut(settings.source.as_str(), SOURCE_MAX);
        let mut sources: BTreeSet<&str> = calls.iter().map(|call| call.source.as_str()).collect();
        sources.extend([configured.as_str(), Limits::SOURCE]);
        let is_own = |note: &FeedNote| {
            note.uniq.as_deref().is_some_and(|uniq| own.contains(uniq))
                || sources.contains(note.source.as_str())
        };
        let foreign: Vec<FeedNote> = notes.into_iter().filter(|note| !is_own(note)).collect();
        let ours: Vec<Ours> = calls.iter().map(|call| call.ours.clone()).collect();
        let pairs = compare::pair(&ours, &foreign);
        for (call, places) in calls.iter().zip(&pairs.of_call).filter(|(_, places)| !places.is_empty()) {
            let of_call: Vec<&FeedNote> = places.iter().map(|place| &foreign[*place]).collect();
            for note in &of_call {
                self.foreigners.count(compare::source(note), &call.call_id, now, &mut self.news);
            }
            self.found.push((call.ours.seq, Compared::beside(&of_call, now)));
        }
    }

    /// Whether something was found that is not kept yet.
    pub(super) fn owes(&self) -> bool {
        !self.found.is_empty()
    }

    /// What was found is kept.
    pub(super) fn noted(&mut self) {
        self.found.clear();
    }
}

impl Foreigners {
    fn count(&mut self, source: &str, call: &CallId, now: HostTime, news: &mut BTreeSet<String>) {
        let is_known = self.0.contains_key(source) || self.0.len() < SOURCES_MAX;
        let source = if is_known { source } else { OTHERS };
        if !self.0.contains_key(source) {
            news.insert(source.to_owned());
        }
        let known = self.0.entry(source.to_owned()).or_default();
        (known.notes, known.last_at) = (known.notes + 1, now);
        if known.calls.len() < EXAMPLES && !known.calls.contains(call) {
            known.calls.push(call.clone());
        }
    }
}

impl Courier {
    /// What the look for duplicates found, while it is not kept.
    pub(super) fn note_watched(&self) -> Option<Effect> {
        let found = &self.watch.found;
        (!found.is_empty()).then(|| Effect::NoteCompared { found: found.clone(), strangers: Vec::new() })
    }

    /// Who else writes notes of the calls that are posted, since the start.
    pub fn foreigners(&self) -> &Foreigners {
        &self.watch.foreigners
    }

    /// Those that were found since this was asked last.
    pub fn new_foreigners(&mut self) -> Vec<(String, Foreigner)> {
        let news = mem::take(&mut self.watch.news);
        let known = |source: String| Some((source.clone(), self.watch.foreigners.0.get(&source)?.clone()));
        news.into_iter().filter_map(known).collect()
    }
}
