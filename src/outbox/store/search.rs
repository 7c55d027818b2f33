//! Finding the calls that a person means: in the open store, or in the journal of one that another
//! process holds. Nothing here changes a call.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::time::Duration;

use memchr::memmem::Finder;

use crate::call::id::{CallId, PbxName};
use crate::call::record::Timeline;
use crate::outbox::queue::{Error, Item};
use crate::outbox::search::{Found, Wanted};
use crate::outbox::store::trees::Tree;
use crate::outbox::store::value::Stored;
use crate::outbox::store::{Store, history, journal, lock};

/// Calls that are shown at most, the newest; a number that has more is not looked up to read them all.
const FOUND_MAX: usize = 50;

/// What was found, oldest first.
#[derive(Debug, Default)]
pub struct Search {
    pub found: Vec<Found>,
    /// Older ones that were found, too.
    pub more: usize,
}

/// How long calls are kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// After their end, in the store.
    pub history: Duration,
    /// In the journal, in days on which calls came.
    pub journal_days: usize,
}

pub const KEPT: Kept = Kept { history: history::KEPT_FOR, journal_days: journal::FILES_MAX };

impl Store {
    /// The calls that are meant, in every state.
    ///
    /// # Errors
    /// When the store failed.
    pub fn search(&self, wanted: &Wanted) -> Result<Search, Error> {
        self.alive()?;
        let mut newest = Newest::of(wanted);
        match wanted {
            Wanted::Named(name) => {
                for item in self.named(name)? {
                    newest.push(item.into());
                }
            }
            Wanted::Number(_) | Wanted::Ended { .. } => {
                for tree in [Tree::History, Tree::Dead, Tree::Outbox] {
                    self.search_tree(tree, wanted, &mut newest)?;
                }
            }
        }
        Ok(newest.search())
    }

    fn named(&self, name: &str) -> Result<Vec<Item>, Error> {
        if let Some(item) = self.look_up(&CallId::from_text(name))? {
            return Ok(vec![item]);
        }
        let mut items = Vec::new();
        for pbx in self.pbx_names()? {
            items.extend(self.look_up_uniqueid(&pbx, name)?);
        }
        Ok(items)
    }

    /// Those of the PBXs that ever were configured, and the name that one has without configuration.
    fn pbx_names(&self) -> Result<Vec<PbxName>, Error> {
        let mut names = self.pinned()?;
        if !names.contains(&PbxName::default()) {
            names.push(PbxName::default());
        }
        Ok(names)
    }

    fn search_tree(&self, tree: Tree, wanted: &Wanted, newest: &mut Newest) -> Result<(), Error> {
        let mark = Finder::new(wanted.mark());
        for entry in self.trees.iter(tree) {
            let (_, bytes) = entry.map_err(|error| self.fail("the database cannot be read", error))?;
            if mark.find(&bytes).is_none() {
                continue;
            }
            // What cannot be read cannot be meant.
            let item = Stored::decode(&bytes).ok().and_then(|stored| stored.into_item().ok());
            if let Some(item) = item.filter(|item| wanted.fits(&item.call.record)) {
                newest.push(item.into());
            }
        }
        Ok(())
    }
}

/// The process that holds the store in `dir`, if one does; 0 when it does not say which.
///
/// # Errors
/// When the lock cannot be looked at.
pub fn holder(dir: &Path) -> io::Result<Option<u32>> {
    lock::holder(dir)
}

/// The calls that are meant, as the journal of the store in `dir` has them. No lock is needed: lines
/// are only ever added, and a last one that is half written is none yet.
///
/// # Errors
/// When the journal cannot be read.
pub fn search_journal(dir: &Path, wanted: &Wanted) -> io::Result<Search> {
    let mut newest = Newest::of(wanted);
    journal::past::search(&dir.join("journal"), wanted, &mut newest)?;
    Ok(newest.search())
}

/// The newest calls by their start.
#[derive(Debug)]
pub(super) struct Newest {
    found: VecDeque<Found>,
    /// Ids of calls that came, to tell those that came before.
    ids: BTreeSet<CallId>,
    limit: usize,
    more: usize,
    /// Without what explains a call: there may be very many.
    is_brief: bool,
}

impl Newest {
    /// As many as a person can read, or all where they are to be compared.
    pub(super) fn of(wanted: &Wanted) -> Self {
        let limit = match wanted {
            Wanted::Named(_) | Wanted::Number(_) => FOUND_MAX,
            Wanted::Ended { .. } => usize::MAX,
        };
        let is_brief = matches!(wanted, Wanted::Ended { .. });
        Self { found: VecDeque::new(), ids: BTreeSet::new(), limit, more: 0, is_brief }
    }

    /// Takes a call; one that is there already is replaced.
    pub(super) fn push(&mut self, mut found: Found) {
        if self.is_brief {
            found.call.timeline = Timeline::default();
        }
        let id = &found.call.record.call_id;
        if !self.ids.insert(id.clone()) {
            self.found.retain(|known| known.call.record.call_id != *id);
        }
        let started = found.call.record.started_at;
        let place = self.found.partition_point(|known| known.call.record.started_at <= started);
        self.found.insert(place, found);
        if self.found.len() > self.limit {
            self.found.pop_front();
            self.more += 1;
        }
    }

    pub(super) fn find(&mut self, id: &str) -> Option<&mut Found> {
        self.found.iter_mut().find(|found| found.call.record.call_id.as_str() == id)
    }

    fn search(self) -> Search {
        Search { found: self.found.into(), more: self.more }
    }
}

#[cfg(test)]
mod tests;
