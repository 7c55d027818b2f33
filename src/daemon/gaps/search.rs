//! Looks for the calls of one gap in the PBX's records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::call::id::{CallId, PbxName};
use crate::call::policy::Policy;
use crate::call::record::FinishedCall;
use crate::cdr::calls::{CdrCall, Known, Live};
use crate::cdr::fetch::{self, Failed, Fetched};
use crate::cdr::range::Range;
use crate::cdr::truth::{self, Look, Telling};
use crate::clock;
use crate::config::Cdr;
use crate::intake::gap::Gap;
use crate::outbox::queue::{Enqueued, Item, Seq};
use crate::outbox::store::handle::Handle;

/// So much of a gap is looked at before what was found is stored. A call whose rows leave more than half an hour
/// between them may lie in two parts and be told by the first: the longer they are, the rarer that is.
const PART: Duration = Duration::from_hours(3);

/// After so many parts in a row of which nothing can be read none can: an hour with too many records is too much for
/// less than that.
const LOST_MAX: usize = 2;

/// What calls are looked for with.
#[derive(Clone)]
pub(super) struct Search {
    pub store: Handle,
    pub policy: watch::Receiver<Arc<Policy>>,
    /// Whether nobody looks again: records that are not written by now are not waited for.
    pub is_last: bool,
}

/// What came of a search.
#[derive(Debug)]
pub(super) struct Repaired {
    /// Calls that were stored.
    pub added: usize,
    /// Stretches of the gap whose records could not be read.
    pub failed: Vec<Failed>,
}

/// What is known of a call that the records have.
enum Place {
    Unknown,
    InProgress,
    Stored(Vec<Item>),
}

impl Search {
    /// Stores the calls of a gap that are not known, and tells those anew which it cut short. What is found of one part
    /// is stored before the next is looked at, so that a day needs no more memory than some hours.
    pub async fn repair(self, gap: Gap, whole: Range, cdr: Cdr) -> anyhow::Result<Repaired> {
        let (mut repaired, mut lost) = (Repaired { added: 0, failed: Vec::new() }, 0);
        for part in whole.parts(PART) {
            let Repaired { added, failed } = self.repair_part(&gap, &cdr, part).await?;
            repaired.added += added;
            lost = if failed.first().is_some_and(|failed| failed.range == part) { lost + 1 } else { 0 };
            join(&mut repaired.failed, failed);
            if let Some(last) = repaired.failed.last_mut().filter(|_| lost == LOST_MAX) {
                last.range.to = whole.to;
                break;
            }
        }
        Ok(repaired)
    }

    async fn repair_part(&self, gap: &Gap, cdr: &Cdr, part: Range) -> anyhow::Result<Repaired> {
        let policy = Arc::clone(&self.policy.borrow());
        let live = self.live(&gap.pbx).await?;
        let known = Known { pbx: &gap.pbx, policy: &policy, endpoints: &live.endpoints };
        let fetched = fetch::calls(&cdr.source, cdr.cel.as_ref(), known, part).await;
        tell_unread(&gap.pbx, &fetched);
        // While the records were read, live calls may have come to their end.
        let live = self.live(&gap.pbx).await?;
        let mut missing: Vec<FinishedCall> = Vec::new();
        // Without ids a call that was seen cannot be known again: such count that lie wholly in the gap.
        let is_unseen = |call: &CdrCall| !call.ids.is_empty() || (call.from >= gap.from && call.to <= gap.to);
        let calls: Vec<_> = fetched.calls.into_iter().filter(is_unseen).collect();
        let ids: BTreeSet<_> = calls.iter().map(|call| call.call.record.call_id.clone()).collect();
        for call in calls {
            match self.place(&gap.pbx, &call, &live).await? {
                Place::Unknown => missing.push(call.call),
                Place::InProgress => {}
                Place::Stored(items) => {
                    let is_unseen = self.tell_anew(&items, &call.call, &ids, gap).await?;
                    missing.extend(is_unseen.then_some(call.call));
                }
            }
        }
        let taken =
            if missing.is_empty() { Vec::new() } else { self.store.enqueue(missing, clock::host()).await? };
        let added = taken.iter().filter(|taken| matches!(taken, Enqueued::New(_))).count();
        Ok(Repaired { added, failed: fetched.failed })
    }

    async fn live(&self, pbx: &PbxName) -> anyhow::Result<Live> {
        Ok(Live::read(&self.store.checkpoints(pbx).await?))
    }

    async fn place(&self, pbx: &PbxName, call: &CdrCall, live: &Live) -> anyhow::Result<Place> {
        if call.ids.iter().any(|id| live.open.contains(id)) {
            return Ok(Place::InProgress);
        }
        let mut items: BTreeMap<Seq, Item> = BTreeMap::new();
        for id in &call.ids {
            let found = self.store.find_uniqueid(pbx, id).await?;
            items.extend(found.into_iter().map(|item| (item.seq, item)));
        }
        let found = self.store.find(&call.call.record.call_id).await?;
        items.extend(found.map(|item| (item.seq, item)));
        Ok(if items.is_empty() { Place::Unknown } else { Place::Stored(items.into_values().collect()) })
    }

    /// A call that the gap cut short waits a while for what the records have of it, all of which are `ids`. Returns
    /// whether nobody saw it, though he saw others that hang together with it.
    async fn tell_anew(
        &self,
        items: &[Item],
        cdr: &FinishedCall,
        ids: &BTreeSet<CallId>,
        gap: &Gap,
    ) -> anyhow::Result<bool> {
        let kin: Vec<_> = items.iter().map(|item| &item.call).collect();
        let gap = Range { from: gap.from, to: gap.to };
        let (at, call) = match truth::tell(&kin, cdr, Look { gap, ids, is_whole: self.is_last }) {
            Telling::Known => return Ok(false),
            Telling::Anew(at, call) => (at, *call),
            Telling::Unseen(place) => {
                if self.store.has_alongside(&cdr.record, ids).await? {
                    return Ok(false);
                }
                let Some((at, call)) = place else { return Ok(true) };
                (at, *call)
            }
        };
        let (call_id, outcome) = (call.record.call_id.clone(), call.record.outcome);
        if self.store.tell_anew(items[at].seq, call, clock::host()).await? {
            info!(%call_id, ?outcome, "a call that the gap cut short is told by the PBX's records");
        }
        Ok(false)
    }
}

/// Adds stretches that could not be read; what follows on the last one makes it longer.
fn join(failed: &mut Vec<Failed>, more: Vec<Failed>) {
    for next in more {
        match failed
            .last_mut()
            .filter(|last| last.range.to.after(Duration::from_micros(1)) == next.range.from)
        {
            Some(last) => last.range.to = next.range.to,
            None => failed.push(next),
        }
    }
}

fn tell_unread(pbx: &PbxName, fetched: &Fetched) {
    for events in &fetched.unread_events {
        warn!(%pbx, %events, "channel events cannot be read: these calls are told from the PBX's records alone");
    }
    for file in &fetched.unread {
        warn!(%pbx, %file, "a file of records cannot be read: calls that stand only in it are missing; once it is mended, ami2amo repair fetches them");
    }
    if fetched.unusable > 0 {
        let unusable = fetched.unusable;
        warn!(%pbx, unusable, "records around this time cannot be read: calls of theirs are not found (ami2amo check)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdr::source::Error;
    use crate::time::PbxTime;

    #[test]
    fn stretches_that_cannot_be_read_are_told_as_one_where_they_follow_each_other() {
        let failed = |from, to| {
            let [from, to] = [from, to].map(PbxTime::from_micros);
            Failed { range: Range { from, to }, error: Error::TooMany { at: from } }
        };
        let mut all = Vec::new();
        for more in [vec![failed(0, 9)], vec![failed(10, 19), failed(25, 29)], vec![], vec![failed(40, 49)]] {
            join(&mut all, more);
        }
        let ranges = all.iter().map(|failed| (failed.range.from.micros(), failed.range.to.micros()));
        assert_eq!(ranges.collect::<Vec<_>>(), [(0, 19), (25, 29), (40, 49)]);
    }
}
