//! The task that fetches calls which nobody followed from the PBX's call detail records.
//!
//! ```text
//! intakes ──Gap──► waits ──► rows of that time ──► calls ──► those that are not known ──► the store
//!                    ▲                                                              │
//!                    └──── again: Asterisk may write its records late ◄─────────────┘
//! ```
//!
//! Gaps that wait are kept in the store, so that a restart does not forget them. A call is known by any of
//! its channels' uniqueids: to the store, at its end or not, or as one in progress. Nothing that happens
//! here is in the way of a live call.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::call::id::PbxName;
use crate::call::policy::Policy;
use crate::call::record::FinishedCall;
use crate::cdr::calls::{CdrCall, Known, Live};
use crate::cdr::fetch::{self, Fetched};
use crate::cdr::range::Range;
use crate::clock;
use crate::config::{Cdr, Pbx};
use crate::intake::gap::Gap;
use crate::outbox::queue::Enqueued;
use crate::outbox::store::Shelf;
use crate::outbox::store::handle::Handle;
use crate::time::{MonoTime, PbxTime, micros};

/// Gaps that wait for their turn; a connection that is lost more often is no gap but the rule.
pub const WAITING_MAX: usize = 64;

/// Pauses before the tries to find a gap's calls: 5 s, 1, 5 and 15 minutes after its end. Records are
/// written when a call ends, in batches of `cdr.conf` after five minutes, and into databases that are away
/// when they come back.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(55), Duration::from_mins(4), Duration::from_mins(10)];

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
    /// Gaps since the start, without and with a source.
    count: u64,
}

/// A gap whose calls are to be looked for, once more.
struct Waiting {
    gap: Gap,
    tries: usize,
    due: MonoTime,
    /// Calls that were found so far.
    added: usize,
}

/// What is kept of the gaps that wait.
#[derive(Deserialize, Serialize)]
struct GapsV1 {
    v: u32,
    gaps: Vec<KeptGap>,
}

#[derive(Deserialize, Serialize)]
struct KeptGap {
    pbx: PbxName,
    #[serde(with = "micros")]
    from: PbxTime,
    #[serde(with = "micros")]
    to: PbxTime,
    #[serde(default)]
    tries: usize,
}

impl GapRepair {
    pub fn new(
        store: Handle,
        pbxs: &[Pbx],
        policy: watch::Receiver<Arc<Policy>>,
        gaps: mpsc::Receiver<Gap>,
    ) -> Self {
        let sources = pbxs.iter().map(|pbx| (pbx.name.clone(), pbx.cdr.clone())).collect();
        Self { store, sources, policy, gaps, waiting: Vec::new(), count: 0 }
    }

    /// Runs until nobody sends gaps any more, or it is dropped: what waits is kept.
    pub async fn run(mut self) {
        self.recall().await;
        loop {
            let due = self.waiting.iter().map(|waiting| waiting.due).min();
            tokio::select! {
                gap = self.gaps.recv() => match gap {
                    Some(gap) => self.take(gap).await,
                    None => return,
                },
                () = clock::sleep_until(due) => self.work().await,
            }
        }
    }

    fn source(&self, pbx: &PbxName) -> Option<&Cdr> {
        self.sources.iter().find(|(name, _)| name == pbx).and_then(|(_, cdr)| cdr.as_ref())
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
        info!(%pbx, %from, %to, seconds, count, "the PBX was not watched: calls of this time are looked for in its records");
        let earliest = PbxTime::from_micros(gap.to.micros().saturating_sub(micros_of(cdr.look_back)));
        let gap = if gap.from < earliest {
            let look_back = cdr.look_back.as_secs();
            warn!(%pbx, %from, %earliest, look_back, "what lies further back than look-back is not looked for: ami2amo repair does it");
            Gap { from: earliest, ..gap }
        } else {
            gap
        };
        if self.waiting.len() >= WAITING_MAX {
            let oldest = self.waiting.remove(0).gap;
            error!(pbx = %oldest.pbx, from = %oldest.from, to = %oldest.to, "too many gaps wait: this one is not looked at any more; ami2amo repair does it");
        }
        self.waiting.push(Waiting { gap, tries: 0, due: clock::mono().after(PAUSES[0]), added: 0 });
        self.keep().await;
    }

    /// Looks for the calls of every gap that is due.
    async fn work(&mut self) {
        let now = clock::mono();
        let (due, rest) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.due <= now);
        self.waiting = rest;
        let due: Vec<Waiting> = due;
        for mut waiting in due {
            let outcome = self.repair(&waiting.gap).await;
            waiting.tries += 1;
            let is_last = waiting.tries >= PAUSES.len();
            tell(&mut waiting, outcome, is_last);
            if !is_last {
                waiting.due = clock::mono().after(PAUSES[waiting.tries]);
                self.waiting.push(waiting);
            }
        }
        self.keep().await;
    }

    /// Stores the calls of a gap that are not known; returns how many.
    async fn repair(&self, gap: &Gap) -> anyhow::Result<usize> {
        let Some(cdr) = self.source(&gap.pbx) else { return Ok(0) };
        let policy = Arc::clone(&self.policy.borrow());
        let live = self.live(&gap.pbx).await?;
        let known = Known { pbx: &gap.pbx, policy: &policy, endpoints: &live.endpoints };
        let range = Range { from: gap.from, to: gap.to.after(ROUNDING) };
        let Fetched { calls, unread, unread_events } =
            fetch::calls(&cdr.source, cdr.cel.as_ref(), known, range).await?;
        for events in unread_events {
            warn!(pbx = %gap.pbx, %events, "channel events cannot be read: these calls are told from the PBX's records alone");
        }
        for file in unread {
            warn!(pbx = %gap.pbx, %file, "a file of records cannot be read: calls that stand only in it are missing; once it is mended, ami2amo repair fetches them");
        }
        // While the records were read, live calls may have come to their end.
        let live = self.live(&gap.pbx).await?;
        let mut missing: Vec<FinishedCall> = Vec::new();
        // Without ids a call that was seen cannot be known again: such count that lie wholly in the gap.
        let is_unseen = |call: &CdrCall| !call.ids.is_empty() || (call.from >= gap.from && call.to <= gap.to);
        for call in calls.into_iter().filter(is_unseen) {
            if !self.is_known(&gap.pbx, &call, &live).await? {
                missing.push(call.call);
            }
        }
        if missing.is_empty() {
            return Ok(0);
        }
        let taken = self.store.enqueue(missing, clock::host()).await?;
        Ok(taken.iter().filter(|taken| matches!(taken, Enqueued::New(_))).count())
    }

    async fn live(&self, pbx: &PbxName) -> anyhow::Result<Live> {
        Ok(Live::read(&self.store.checkpoints(pbx).await?))
    }

    async fn is_known(&self, pbx: &PbxName, call: &CdrCall, live: &Live) -> anyhow::Result<bool> {
        for id in &call.ids {
            if live.open.contains(id) || !self.store.find_uniqueid(pbx, id).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(self.store.find(&call.call.record.call_id).await?.is_some())
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
        for KeptGap { pbx, from, to, tries } in gaps {
            let tries = tries.min(PAUSES.len() - 1);
            let due = clock::mono().after(PAUSES[0]);
            if self.source(&pbx).is_some() {
                self.waiting.push(Waiting { gap: Gap { pbx, from, to }, tries, due, added: 0 });
            }
        }
    }

    async fn keep(&self) {
        let gaps = self.waiting.iter().map(|Waiting { gap: Gap { pbx, from, to }, tries, .. }| KeptGap {
            pbx: pbx.clone(),
            from: *from,
            to: *to,
            tries: *tries,
        });
        let kept = GapsV1 { v: 1, gaps: gaps.collect() };
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

fn tell(waiting: &mut Waiting, outcome: anyhow::Result<usize>, is_last: bool) {
    let Gap { pbx, from, to } = &waiting.gap;
    match outcome {
        Ok(added) => {
            waiting.added += added;
            let (calls, attempt) = (waiting.added, waiting.tries);
            if added > 0 || waiting.tries == 1 {
                info!(%pbx, %from, %to, added, attempt, "calls that nobody followed were taken from the PBX's records");
            }
            if is_last {
                info!(%pbx, %from, %to, calls, "the gap is repaired");
            }
        }
        Err(error) if is_last => {
            error!(%pbx, %from, %to, "calls that nobody followed are missing: {error:#}; once it is mended, ami2amo repair fetches them");
        }
        Err(error) => {
            warn!(%pbx, %from, %to, "calls that nobody followed cannot be looked for yet: {error:#}; it is tried again");
        }
    }
}

fn micros_of(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
