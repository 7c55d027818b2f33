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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{error, info, warn};

use crate::call::id::PbxName;
use crate::call::policy::Policy;
use crate::cdr::fetch::Failed;
use crate::clock;
use crate::config::{Cdr, Pbx};
use crate::daemon::gaps::search::{Repaired, Search};
use crate::daemon::gaps::waiting::{GapsV1, Now, Pauses, Waiting};
use crate::intake::gap::Gap;
use crate::outbox::store::Shelf;
use crate::outbox::store::handle::Handle;
use crate::time::PbxTime;

mod search;
mod waiting;

/// Gaps of one PBX that wait for their turn; a connection that is lost more often is no gap but the rule.
pub const WAITING_MAX: usize = 64;

/// How long a call that a gap cut short is held back, unless its records are found before; see `batch-time`.
pub fn hold(cdr: &Cdr) -> Duration {
    Pauses::of(cdr.batch_time).hold()
}

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
    /// Searches that run, one of a PBX at most, and the gap of each.
    searches: JoinSet<anyhow::Result<Repaired>>,
    searched: BTreeMap<Id, Gap>,
    /// Gaps since the start, without and with a source.
    count: u64,
}

impl GapRepair {
    pub fn new(
        store: Handle,
        pbxs: &[Pbx],
        policy: watch::Receiver<Arc<Policy>>,
        gaps: mpsc::Receiver<Gap>,
    ) -> Self {
        let sources = pbxs.iter().map(|pbx| (pbx.name.clone(), pbx.cdr.clone())).collect();
        let (searches, searched) = (JoinSet::new(), BTreeMap::new());
        Self { store, sources, policy, gaps, waiting: Vec::new(), searches, searched, count: 0 }
    }

    /// Runs until nobody sends gaps any more, or it is dropped: what waits is kept.
    pub async fn run(mut self) {
        self.recall().await;
        loop {
            let idle = self.waiting.iter().filter(|waiting| !self.is_busy(&waiting.gap.pbx));
            let due = idle.map(|waiting| waiting.due).min();
            // Each branch is cancel safe: nothing is taken from a channel, a set or a clock that is left.
            tokio::select! {
                gap = self.gaps.recv() => match gap {
                    Some(gap) => self.take(gap).await,
                    None => return,
                },
                Some(ended) = self.searches.join_next_with_id() => self.ended(ended).await,
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
        self.count += 1;
        let (pbx, from, to, seconds, count) =
            (&gap.pbx, gap.from, gap.to, gap.length().as_secs(), self.count);
        let Some(cdr) = self.source(pbx) else {
            warn!(
                %pbx, %from, %to, seconds, count,
                "the PBX was not watched: calls that began and ended in this time are not known; \
                 with a table [pbx.cdr] ami2amo fetches them from the PBX's records (docs/cdr.md)"
            );
            return;
        };
        let pauses = Pauses::of(cdr.batch_time);
        info!(%pbx, %from, %to, seconds, count, "the PBX was not watched: calls of this time are looked for in its records");
        let earliest = PbxTime::from_micros(gap.to.micros().saturating_sub(micros_of(cdr.look_back)));
        let gap = if gap.from < earliest {
            let look_back = cdr.look_back.as_secs();
            warn!(%pbx, %from, %earliest, look_back, "what lies further back than look-back is not looked for: ami2amo repair does it");
            Gap { from: earliest, ..gap }
        } else {
            gap
        };
        let of_pbx = |waiting: &Waiting| waiting.gap.pbx == gap.pbx;
        if self.waiting.iter().filter(|waiting| of_pbx(waiting)).count() >= WAITING_MAX
            && let Some(oldest) = self.waiting.iter().position(of_pbx)
        {
            let oldest = self.waiting.remove(oldest).gap;
            error!(pbx = %oldest.pbx, from = %oldest.from, to = %oldest.to, "too many gaps wait: this one is not looked at any more; ami2amo repair does it");
        }
        self.waiting.push(Waiting::new(gap, pauses, now()));
        self.keep().await;
    }

    /// Looks for the calls of every gap that is due, of one after the other where they are one PBX's.
    fn begin(&mut self) {
        let now = clock::mono();
        let due: Vec<Gap> = self
            .waiting
            .iter()
            .filter(|waiting| waiting.due <= now)
            .map(|waiting| waiting.gap.clone())
            .collect();
        for gap in due {
            if self.is_busy(&gap.pbx) {
                continue;
            }
            let Some(cdr) = self.source(&gap.pbx).cloned() else {
                self.waiting.retain(|waiting| waiting.gap != gap);
                continue;
            };
            let search = Search { store: self.store.clone(), policy: self.policy.clone() };
            let task = self.searches.spawn(search.repair(gap.clone(), cdr));
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
        tell(&mut waiting, outcome, !goes_on);
        if goes_on {
            self.waiting.push(waiting);
        }
        self.keep().await;
    }

    /// Takes up the gaps that an earlier process left.
    async fn recall(&mut self) {
        let kept = match self.store.get(Shelf::Inflight, KEY).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return,
            Err(error) => return warn!(%error, "gaps that waited at the last end cannot be read"),
        };
        let Ok(GapsV1 { gaps, .. }) = serde_json::from_slice(&kept) else {
            return warn!(
                "gaps that waited at the last end cannot be read: ami2amo repair looks for their calls"
            );
        };
        for kept in gaps {
            if let Some(cdr) = self.source(&kept.pbx) {
                let pauses = Pauses::of(cdr.batch_time);
                self.waiting.push(Waiting::recalled(kept, pauses, now()));
            } else {
                let (pbx, from, to) = (kept.pbx, kept.from, kept.to);
                warn!(%pbx, %from, %to, "a gap waited whose PBX has no records any more, or another name: its calls are not looked for; ami2amo repair does it");
            }
        }
    }

    async fn keep(&self) {
        let now = now();
        let kept = GapsV1 { v: 1, gaps: self.waiting.iter().map(|waiting| waiting.kept(now)).collect() };
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

fn tell(waiting: &mut Waiting, outcome: anyhow::Result<Repaired>, is_last: bool) {
    let Gap { pbx, from, to } = &waiting.gap;
    let Repaired { added, failed } = match outcome {
        Ok(repaired) => repaired,
        Err(error) => return tell_failure(pbx, *from, *to, &error, is_last),
    };
    waiting.added += added;
    let (calls, attempt) = (waiting.added, waiting.tries);
    let is_read = !failed.iter().any(|failed| failed.range.from <= *from && failed.range.to >= *to);
    if added > 0 || waiting.tries == 1 && is_read {
        info!(%pbx, %from, %to, added, attempt, "calls that nobody followed were taken from the PBX's records");
    }
    if is_last && failed.is_empty() {
        info!(%pbx, %from, %to, calls, "the gap is repaired");
    }
    for Failed { range, error } in failed {
        tell_failure(pbx, range.from, range.to, &error.into(), is_last);
    }
}

fn tell_failure(pbx: &PbxName, from: PbxTime, to: PbxTime, error: &anyhow::Error, is_last: bool) {
    if is_last {
        error!(%pbx, %from, %to, "calls that nobody followed are missing: {error:#}; once it is mended, ami2amo repair fetches them");
    } else {
        warn!(%pbx, %from, %to, "calls that nobody followed cannot be looked for yet: {error:#}; it is tried again");
    }
}

fn now() -> Now {
    Now { host: clock::host(), mono: clock::mono() }
}

fn micros_of(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
