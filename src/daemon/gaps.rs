//! The task that fetches calls which nobody followed from the PBX's call detail records.
//!
//! ```text
//! intakes ──Gap──► waits ──► rows of that time ──► calls ──► those that are not known ──► the store
//!                    ▲                                                              │
//!                    └──── again: Asterisk may write its records late ◄─────────────┘
//! ```
//!
//! Gaps that wait are kept in the store, so that a restart does not forget them. A call is known by any of
//! its channels' uniqueids: to the store, at its end or not, or as one in progress. One that the gap cut
//! short waits in the store for [`hold`], so that the records may tell what became of it. Nothing that
//! happens here is in the way of a live call, and the records of one PBX not in that of another's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{debug, error, info, warn};

use crate::call::id::PbxName;
use crate::call::policy::Policy;
use crate::cdr::fetch::Failed;
use crate::cdr::range::Range;
use crate::clock;
use crate::config::{Cdr, Pbx};
use crate::daemon::gaps::ledger::Ledger;
use crate::daemon::gaps::search::{Repaired, Search};
use crate::daemon::gaps::waiting::{GapsV1, KeptGap, Now, Pauses, Waiting};
use crate::intake::gap::Gap;
use crate::ops::status::problem;
use crate::outbox::queue;
use crate::outbox::store::Shelf;
use crate::outbox::store::handle::Handle;
use crate::time::PbxTime;

mod late;
mod ledger;
mod search;
mod waiting;

pub use ledger::GapsByPbx;

/// Gaps of one PBX that wait for their turn; a connection that is lost more often is no gap but the rule.
pub const WAITING_MAX: usize = 64;

/// How long a call that a gap cut short is held back, unless its records are found before; see `batch-time`.
pub fn hold(cdr: &Cdr) -> Duration {
    Pauses::of(cdr.batch_time).hold()
}

/// While the store takes nothing, it is asked so often for the gaps that it has.
const RECALL_EVERY: Duration = Duration::from_secs(1);

/// Gaps of a PBX that has no records any more are kept so long after their end: as `look-back` is at most.
const LEFT_MAX: Duration = Duration::from_hours(168);

/// Records have whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);

/// No name of a PBX has this in it, so no key of one is such a key.
const KEY: &str = "!gaps";

/// Repairs the gaps of all PBXs.
pub struct GapRepair {
    store: Handle,
    sources: Vec<(PbxName, Option<Cdr>)>,
    policy: watch::Receiver<Arc<Policy>>,
    gaps: mpsc::Receiver<Gap>,
    waiting: Vec<Waiting>,
    /// Kept, of PBXs without records.
    left: Vec<KeptGap>,
    /// Searches that run, one of a PBX at most, and the gap of each.
    searches: JoinSet<anyhow::Result<Repaired>>,
    searched: BTreeMap<Id, Gap>,
    /// Gaps since the start, without and with a source.
    ledger: Ledger,
    /// Whether those that an earlier process left were taken up: nothing is delivered, and what is kept of gaps is not
    /// written, before.
    is_recalled: watch::Sender<bool>,
    /// Whether the store told nothing when the intakes began.
    is_late: bool,
    /// Until when an earlier process watched PBXs, where their intakes could not know.
    last_words: BTreeMap<PbxName, PbxTime>,
    /// How far the host's clock is ahead of each PBX's, in microseconds, once that is known.
    offsets: watch::Receiver<Arc<BTreeMap<PbxName, i64>>>,
}

impl GapRepair {
    pub fn new(
        store: Handle,
        pbxs: &[Pbx],
        policy: watch::Receiver<Arc<Policy>>,
        gaps: mpsc::Receiver<Gap>,
        offsets: watch::Receiver<Arc<BTreeMap<PbxName, i64>>>,
    ) -> Self {
        let sources = pbxs.iter().map(|pbx| (pbx.name.clone(), pbx.cdr.clone())).collect();
        let (searches, searched) = (JoinSet::new(), BTreeMap::new());
        Self {
            store,
            sources,
            policy,
            gaps,
            waiting: Vec::new(),
            left: Vec::new(),
            searches,
            searched,
            ledger: Ledger::new(),
            is_recalled: watch::channel(false).0,
            is_late: false,
            last_words: BTreeMap::new(),
            offsets,
        }
    }

    /// Whether calls are held back that gaps of an earlier process cut short.
    pub fn recalled(&self) -> watch::Receiver<bool> {
        self.is_recalled.subscribe()
    }

    /// What is told of gaps.
    pub fn told(&self) -> watch::Receiver<GapsByPbx> {
        self.ledger.watch()
    }

    /// Runs until nobody sends gaps any more, or it is dropped: what waits is kept.
    pub async fn run(mut self) {
        loop {
            self.recall().await;
            self.take_late().await;
            let idle = self.waiting.iter().filter(|waiting| !self.is_busy(&waiting.gap.pbx));
            let again = (!*self.is_recalled.borrow()).then(|| clock::mono().after(RECALL_EVERY));
            let due = idle.map(|waiting| waiting.due).chain(again).min();
            // Each branch is cancel safe: nothing is taken from a channel, a set or a clock that is left.
            tokio::select! {
                gap = self.gaps.recv() => match gap {
                    Some(gap) => self.take(gap).await,
                    None => return,
                },
                Some(ended) = self.searches.join_next_with_id() => self.ended(ended).await,
                Ok(()) = self.offsets.changed(), if !self.last_words.is_empty() => {}
                () = clock::sleep_until(due) => self.begin(),
            }
        }
    }

    fn source(&self, pbx: &PbxName) -> Option<&Cdr> {
        self.sources.iter().find(|(name, _)| name == pbx).and_then(|(_, cdr)| cdr.as_ref())
    }

    fn is_busy(&self, pbx: &PbxName) -> bool {
        self.searched.values().any(|gap| gap.pbx == *pbx)
    }

    async fn take(&mut self, gap: Gap) {
        let count = self.ledger.came(&gap);
        let (pbx, from, to, seconds) = (&gap.pbx, gap.from, gap.to, gap.length().as_secs());
        let Some(cdr) = self.source(pbx) else {
            self.ledger.unseen(pbx, Range { from, to });
            tell_unseen(&gap, count);
            return;
        };
        let pauses = Pauses::of(cdr.batch_time);
        info!(%pbx, %from, %to, seconds, count, "the PBX was not watched: calls of this time are looked for in its records");
        let earliest = PbxTime::from_micros(gap.to.micros().saturating_sub(micros_of(cdr.look_back)));
        let gap = if gap.from < earliest {
            let look_back = cdr.look_back.as_secs();
            self.ledger.unseen(pbx, Range { from, to: earliest });
            warn!(%pbx, %from, %earliest, look_back, "what lies further back than look-back is not looked for: ami2amo repair does it");
            Gap { from: earliest, ..gap }
        } else {
            gap
        };
        let mut waiting = Waiting::new(gap, pauses, now());
        let is_searched = |gap: &Gap| self.searched.values().any(|searched| searched == gap);
        self.waiting.retain(|older| is_searched(&older.gap) || !waiting.replaces(older));
        let of_pbx = |other: &Waiting| other.gap.pbx == waiting.gap.pbx;
        if self.waiting.iter().filter(|waiting| of_pbx(waiting)).count() >= WAITING_MAX
            && let Some(oldest) = self.waiting.iter().position(of_pbx)
        {
            let Waiting { gap: oldest, unread, .. } = self.waiting.remove(oldest);
            self.unseen(&oldest.pbx, &unread);
            error!(pbx = %oldest.pbx, from = %oldest.from, to = %oldest.to, "too many gaps wait: this one is not looked at any more; ami2amo repair does it");
        }
        self.waiting.push(waiting);
        self.keep().await;
    }

    /// Looks for the calls of every gap that is due, of one after the other where they are one PBX's.
    fn begin(&mut self) {
        let now = clock::mono();
        let due = self.waiting.iter().filter(|waiting| waiting.due <= now);
        let due: Vec<_> =
            due.map(|waiting| (waiting.gap.clone(), waiting.whole(), waiting.is_last_try())).collect();
        for (gap, whole, is_last) in due {
            if self.is_busy(&gap.pbx) {
                continue;
            }
            let Some(cdr) = self.source(&gap.pbx).cloned() else {
                self.waiting.retain(|waiting| waiting.gap != gap);
                continue;
            };
            let search = Search { store: self.store.clone(), policy: self.policy.clone(), is_last };
            let task = self.searches.spawn(search.repair(gap.clone(), whole, cdr));
            self.searched.insert(task.id(), gap);
        }
    }

    async fn ended(&mut self, ended: Result<(Id, anyhow::Result<Repaired>), JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(error.into())),
        };
        let Some(gap) = self.searched.remove(&id) else { return };
        // It may have made room for newer ones meanwhile.
        let Some(at) = self.waiting.iter().position(|waiting| waiting.gap == gap) else { return };
        let mut waiting = self.waiting.remove(at);
        let goes_on = waiting.tried(now());
        let is_read = outcome.as_ref().is_ok_and(|repaired| repaired.failed.is_empty());
        let held = waiting.holds;
        waiting.holds = held && !is_read;
        self.ledger.found(&gap.pbx, outcome.as_ref().map_or(0, |repaired| repaired.added));
        tell(&mut waiting, outcome, !goes_on);
        if !goes_on {
            self.unseen(&gap.pbx, &waiting.unread);
        }
        let is_through = held && !(goes_on && waiting.holds);
        if goes_on {
            self.waiting.push(waiting);
        }
        if is_through {
            self.let_go(&gap.pbx).await;
        }
        self.keep().await;
    }

    /// No try could read the records of these stretches.
    fn unseen(&self, pbx: &PbxName, unread: &[Range]) {
        let (from, to) =
            (unread.iter().map(|range| range.from).min(), unread.iter().map(|range| range.to).max());
        if let (Some(from), Some(to)) = (from, to) {
            self.ledger.unseen(pbx, Range { from, to });
        }
    }

    /// Calls of the PBX wait no longer for gaps of an earlier process, unless another one holds them.
    async fn let_go(&self, pbx: &PbxName) {
        if self.waiting.iter().any(|waiting| waiting.gap.pbx == *pbx && waiting.holds) {
            return;
        }
        let Some(hold) = self.source(pbx).map(hold) else { return };
        match self.store.let_go(pbx, hold, clock::host()).await {
            Ok(0) => {}
            Ok(calls) => {
                info!(%pbx, calls, "calls that a gap cut short are in no record: they go as they were seen");
            }
            Err(error) => {
                warn!(%pbx, %error, "calls that a gap cut short cannot be let go: they wait until their time is over");
            }
        }
    }

    /// Takes up the gaps that an earlier process left, once the store has told them, and holds calls back again which
    /// they cut short: while it was away, their time to be told by the records may have passed.
    pub async fn recall(&mut self) {
        if *self.is_recalled.borrow() {
            return;
        }
        let Ok(kept) = self.kept().await else {
            self.is_late = true;
            return;
        };
        if self.is_late && !self.read_last_words().await {
            return;
        }
        let mut gaps = Vec::new();
        if let Some(kept) = kept {
            match serde_json::from_slice(&kept) {
                Ok(GapsV1 { gaps: kept, .. }) => gaps = kept,
                Err(error) => tell_lost(&error),
            }
        }
        let is_nothing_kept = gaps.is_empty();
        for kept in gaps {
            if let Some(cdr) = self.source(&kept.pbx) {
                let pauses = Pauses::of(cdr.batch_time);
                self.waiting.push(Waiting::recalled(kept, pauses, now()));
            } else {
                self.leave(kept);
            }
        }
        self.ledger.wait(&self.waiting);
        self.hold_again().await;
        self.is_recalled.send_replace(true);
        if !(self.waiting.is_empty() && is_nothing_kept) {
            // Those that came meanwhile, and how often each was recalled.
            self.keep().await;
        }
    }

    /// The table may be missing by mistake: the gap is kept for when it is there again, as long as a search may look back.
    fn leave(&mut self, kept: KeptGap) {
        let (pbx, from, to) = (&kept.pbx, kept.from, kept.to);
        warn!(%pbx, %from, %to, "a gap waits whose PBX has no records any more, or another name: its calls are not looked for before there is a table [pbx.cdr] of it again; ami2amo repair needs one, too");
        if kept.is_unread() {
            self.ledger.unseen(pbx, Range { from, to });
        }
        if to.after(LEFT_MAX) > PbxTime::from_micros(clock::host().micros()) {
            self.left.push(kept);
        }
    }

    /// # Errors
    /// When the store takes nothing now.
    async fn kept(&self) -> Result<Option<Vec<u8>>, queue::Error> {
        // A store that failed may have been opened again since; then it tells them if it is asked once more.
        let mut kept = self.store.get(Shelf::Inflight, KEY).await;
        if kept.is_err() && self.store.failure().is_none() {
            kept = self.store.get(Shelf::Inflight, KEY).await;
        }
        match kept {
            Err(error) if self.store.failure().is_none() && !self.store.is_over() => {
                tell_lost(&error);
                Ok(None)
            }
            kept => kept,
        }
    }

    async fn hold_again(&self) {
        let pbxs: BTreeSet<_> =
            self.waiting.iter().filter(|waiting| waiting.holds).map(|waiting| &waiting.gap.pbx).collect();
        for pbx in pbxs {
            let Some(hold) = self.source(pbx).map(hold) else { continue };
            let now = clock::host();
            match self.store.hold_again(pbx, now.after(hold), now).await {
                Ok(0) => {}
                Ok(calls) => {
                    info!(%pbx, calls, "calls that a gap cut short wait for the PBX's records again");
                }
                Err(error) => {
                    warn!(%pbx, %error, "calls that a gap cut short cannot be held back: they go as they were seen");
                }
            }
        }
    }

    async fn keep(&self) {
        self.ledger.wait(&self.waiting);
        if !*self.is_recalled.borrow() {
            return warn!(
                "the gaps that wait cannot be kept before those are read that waited at the last end: the store takes nothing"
            );
        }
        let now = now();
        let waiting = self.waiting.iter().map(|waiting| waiting.kept(now));
        let kept = GapsV1 { v: 1, gaps: waiting.chain(self.left.iter().cloned()).collect() };
        let done = if kept.gaps.is_empty() {
            self.store.remove(Shelf::Inflight, KEY).await
        } else {
            let Ok(json) = serde_json::to_vec(&kept) else { return };
            self.store.put(Shelf::Inflight, KEY, json).await
        };
        if let Err(error) = done {
            warn!(%error, "the gaps that wait cannot be kept: a restart forgets them");
        }
    }
}

fn tell_lost(error: &dyn std::fmt::Display) {
    warn!(%error, "gaps that waited at the last end cannot be read: ami2amo repair looks for their calls");
}

/// A longer one is a trouble of which the herald tells, with what to do.
fn tell_unseen(gap: &Gap, count: u64) {
    const WORDS: &str = "the PBX was not watched: calls that began and ended in this time are not known; \
                         with a table [pbx.cdr] ami2amo fetches them from the PBX's records (docs/cdr.md)";
    let (Gap { pbx, from, to }, seconds) = (gap, gap.length().as_secs());
    if gap.length() < problem::UNSEEN_MIN {
        warn!(%pbx, %from, %to, seconds, count, "{WORDS}");
    } else {
        debug!(%pbx, %from, %to, seconds, count, "{WORDS}");
    }
}

fn tell(waiting: &mut Waiting, outcome: anyhow::Result<Repaired>, is_last: bool) {
    let (whole, attempt) = (waiting.whole(), waiting.tries);
    let Repaired { added, failed } = match outcome {
        Ok(repaired) => repaired,
        Err(error) => return tell_failure(waiting, whole, &error, is_last),
    };
    waiting.added += added;
    waiting.read_all_but(&failed.iter().map(|failed| failed.range).collect::<Vec<_>>());
    let Gap { pbx, from, to } = &waiting.gap;
    let calls = waiting.added;
    if added > 0 {
        info!(%pbx, %from, %to, added, attempt, "calls that nobody followed were taken from the PBX's records");
    } else if !failed.iter().any(|failed| failed.range.from <= *from && failed.range.to >= *to) {
        debug!(%pbx, %from, %to, attempt, "no call is in the PBX's records that is not known");
    }
    if is_last && failed.is_empty() {
        info!(%pbx, %from, %to, calls, "the gap is repaired");
    }
    for Failed { range, error } in failed {
        tell_failure(waiting, range, &error.into(), is_last);
    }
}

/// What an earlier try read lacks no more than what was written since.
fn tell_failure(waiting: &Waiting, range: Range, error: &anyhow::Error, is_last: bool) {
    let (pbx, Range { from, to }) = (&waiting.gap.pbx, range);
    if !is_last {
        return warn!(%pbx, %from, %to, "calls that nobody followed cannot be looked for yet: {error:#}; it is tried again");
    }
    let mut unread = waiting.unread.iter().filter_map(|unread| unread.meet(range)).peekable();
    if unread.peek().is_none() {
        warn!(%pbx, %from, %to, "records could be read before, and cannot be now: {error:#}; calls are missing only if their records were written since: ami2amo repair fetches them");
    }
    for Range { from, to } in unread {
        error!(%pbx, %from, %to, "calls that nobody followed are missing: {error:#}; once it is mended, ami2amo repair fetches them");
    }
}

fn now() -> Now {
    Now { host: clock::host(), mono: clock::mono() }
}

fn micros_of(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
