//! The stored side of a comparison: the store, while nobody else holds it, or its journal.
//!
//! Root may open the store of the service's user, whom the system may not even know while the service is
//! stopped (`DynamicUser=`). What root makes in it is given to that user before this process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::call::id::{CallId, PbxName};
use crate::call::record::{CallRecord, FinishedCall, Skip};
use crate::cdr::calls::{CdrCall, Live};
use crate::cdr::range::Range;
use crate::cdr::truth::{self, Look, Telling};
use crate::cli::store::{Lent, own_user, unreadable};
use crate::clock;
use crate::ops::words::looking::Obstacle;
use crate::outbox::queue::{self, Enqueued, Queue as _};
use crate::outbox::search::Wanted;
use crate::outbox::store::Store;
use crate::outbox::store::search::{KEPT, Search, holder, search_journal};
use crate::time::{HostTime, PbxTime};

/// What is meant to be done with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Look,
    Enqueue,
}

/// Where stored calls are found.
pub(super) struct Stock<'d> {
    dir: &'d Path,
    access: Access,
    now: HostTime,
    /// The names that PBXs had before, by those of now.
    renamed: BTreeMap<PbxName, PbxName>,
    /// Gives files back when all is done.
    _lent: Option<Lent>,
}

enum Access {
    /// There is no store yet.
    None,
    Store,
    Journal(Obstacle),
}

/// What is stored of some time, and of calls that the records have in it.
#[derive(Debug)]
pub(super) struct Stored {
    pub records: Vec<CallRecord>,
    /// Uniqueids of calls in progress.
    pub open: BTreeSet<String>,
}

/// A call may be told with very different ends: it is looked for so far around the time.
const AROUND: Duration = Duration::from_hours(24);

impl<'d> Stock<'d> {
    /// `now` is the moment by which times are told that are so long ago.
    pub(super) fn find(
        dir: &'d Path,
        purpose: Purpose,
        now: HostTime,
        renamed: BTreeMap<PbxName, PbxName>,
    ) -> anyhow::Result<Self> {
        let owner = match fs::metadata(dir.join("queue")) {
            Ok(meta) => Some(meta.uid()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| unreadable(dir)),
        };
        let held = if owner.is_some() { holder(dir).with_context(|| unreadable(dir))? } else { None };
        let is_root = own_user() == 0;
        let may_lend = is_root && purpose == Purpose::Enqueue;
        let access = match (held, owner) {
            (Some(pid), _) => Access::Journal(Obstacle::Held(pid)),
            (None, None) => Access::None,
            (None, Some(owner)) if owner != own_user() && !may_lend => {
                Access::Journal(Obstacle::Foreign(owner))
            }
            (None, Some(_)) => Access::Store,
        };
        let lent = (may_lend && held.is_none()).then(|| Lent::of(dir)).flatten();
        let mut stock = Self { dir, access, now, renamed, _lent: lent };
        if matches!(stock.access, Access::Store)
            && let Err(error) = stock.open()
        {
            stock.access = match error.downcast_ref() {
                Some(crate::outbox::store::Error::Locked { holder, .. }) => {
                    Access::Journal(Obstacle::Held(holder.unwrap_or(0)))
                }
                Some(_) | None => Access::Journal(Obstacle::Fault(format!("{error:#}"))),
            };
        }
        Ok(stock)
    }

    /// Why the journal is read, where it is.
    pub(super) fn obstacle(&self) -> Option<&Obstacle> {
        match &self.access {
            Access::Journal(obstacle) => Some(obstacle),
            Access::None | Access::Store => None,
        }
    }

    fn open(&self) -> anyhow::Result<Store> {
        Ok(Store::open_unrepaired(self.dir, clock::host())?)
    }

    fn open_to_write(&self) -> anyhow::Result<Store> {
        let opened = Store::open(self.dir, clock::host());
        opened.with_context(|| format!("cannot open the store in {}", self.dir.display()))
    }

    /// What the daemon wrote down of the calls in progress.
    pub(super) fn live(&self, pbx: &PbxName) -> anyhow::Result<Live> {
        Ok(match self.access {
            Access::None | Access::Journal(_) => Live::default(),
            Access::Store => Live::read(&self.open()?.checkpoints(pbx)?),
        })
    }

    /// What is stored of `range`, and of `calls` whenever they ended.
    pub(super) fn stored(&self, pbx: &PbxName, range: Range, calls: &[CdrCall]) -> anyhow::Result<Stored> {
        let wide = range.widened(AROUND);
        // Calls keep the ids that they have from the PBX's name of before.
        let names: Vec<_> = [Some(pbx), self.renamed.get(pbx)].into_iter().flatten().collect();
        let wanted = |pbx: &PbxName| Wanted::Ended { pbx: pbx.clone(), from: wide.from, to: wide.to };
        let (mut records, mut open) = (Vec::new(), BTreeSet::new());
        let mut add =
            |search: Search| records.extend(search.found.into_iter().map(|found| found.call.record));
        match self.access {
            Access::None => {}
            Access::Journal(_) => {
                for name in names {
                    add(search_journal(self.dir, &wanted(name)).with_context(|| unreadable(self.dir))?);
                }
            }
            Access::Store => {
                let mut store = self.open()?;
                for name in &names {
                    add(store.search(&wanted(name)).context("cannot read the store")?);
                }
                for name in names {
                    add_by_ids(&mut store, name, calls, &mut records).context("cannot read the store")?;
                }
                open = Live::read(&store.checkpoints(pbx)?).open;
            }
        }
        Ok(Stored { records, open })
    }

    /// Calls that ended before may be forgotten.
    pub(super) fn since(&self) -> anyhow::Result<PbxTime> {
        let now = self.now;
        let days = u64::try_from(KEPT.journal_days).unwrap_or(u64::MAX);
        let since = match self.access {
            Access::None => now.before(KEPT.history),
            Access::Journal(_) => now.before(Duration::from_hours(24 * days)),
            Access::Store => self.open()?.remembers_since(now).context("cannot read the store")?,
        };
        Ok(PbxTime::from_micros(since.micros()))
    }

    /// Stores calls; returns how many were new.
    pub(super) fn enqueue(&self, calls: Vec<FinishedCall>) -> anyhow::Result<usize> {
        if calls.is_empty() {
            return Ok(0);
        }
        let mut store = self.open_to_write()?;
        let taken = store.enqueue(calls, clock::host()).context("cannot write to the store")?;
        Ok(taken.iter().filter(|taken| matches!(taken, Enqueued::New(_))).count())
    }

    /// Tells calls anew that are not sent because they were cut short, where the records want them sent; returns how
    /// many. `calls` are all that the records have of a time, of which those that ended in `range` are meant.
    pub(super) fn retell(&self, calls: &[CdrCall], stored: &Stored, range: Range) -> anyhow::Result<usize> {
        let is_half =
            |record: &&CallRecord| record.partial && !matches!(record.skip, None | Some(Skip::Shadow));
        let halves: BTreeSet<_> =
            stored.records.iter().filter(is_half).map(|record| &record.call_id).collect();
        let is_meant = |call: &&CdrCall| {
            let is_open = call.ids.iter().any(|id| stored.open.contains(id));
            halves.contains(&call.call.record.call_id)
                && (range.from..=range.to).contains(&call.to)
                && !is_open
        };
        let mut meant = calls.iter().filter(is_meant).peekable();
        if meant.peek().is_none() {
            return Ok(0);
        }
        let ids: BTreeSet<_> = calls.iter().map(|call| call.call.record.call_id.clone()).collect();
        let mut store = self.open_to_write()?;
        let mut count = 0;
        for call in meant {
            count += usize::from(retell(&mut store, &call.call, &ids).context("cannot tell a call anew")?);
        }
        Ok(count)
    }
}

fn retell(store: &mut Store, cdr: &FinishedCall, ids: &BTreeSet<CallId>) -> Result<bool, queue::Error> {
    let Some(item) = store.find(&cdr.record.call_id)? else { return Ok(false) };
    let call = match truth::tell(&[&item.call], cdr, Look { gap: NEVER, ids, is_whole: true }) {
        Telling::Anew(_, call) => call,
        Telling::Unseen(Some((_, call))) if !store.has_alongside(&cdr.record, ids)? => call,
        Telling::Known | Telling::Unseen(_) => return Ok(false),
    };
    store.tell_anew(item.seq, &call, clock::host())
}

/// What was seen of a call says by itself whether it was cut short.
const NEVER: Range = Range { from: PbxTime::from_micros(i64::MAX), to: PbxTime::from_micros(i64::MIN) };

/// Adds what is stored under an id of `calls`, whatever times it has.
fn add_by_ids(
    store: &mut Store,
    pbx: &PbxName,
    calls: &[CdrCall],
    records: &mut Vec<CallRecord>,
) -> anyhow::Result<()> {
    let mut known: BTreeSet<_> = records.iter().map(|record| record.call_id.clone()).collect();
    for call in calls {
        let mut found = Vec::new();
        for id in &call.ids {
            found.extend(store.find_uniqueid(pbx, id)?);
        }
        found.extend(store.find(&call.call.record.call_id)?);
        for item in found {
            if known.insert(item.call.record.call_id.clone()) {
                records.push(item.call.record);
            }
        }
    }
    Ok(())
}
