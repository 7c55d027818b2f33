//! Looking into the store beside a daemon that may be running.
//!
//! The store is opened only when nobody holds it, and only by the user that it belongs to: files that
//! root makes in it the daemon could not write. It is closed again before anything is printed. In all
//! other cases the journal is read, for which nothing needs to be held.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::call::id::AccountId;
use crate::clock;
use crate::ops::words::looking::Obstacle;
use crate::outbox::courier::manner::Known;
use crate::outbox::search::Wanted;
use crate::outbox::store::search::{Search, holder, search_journal};
use crate::outbox::store::{Error, Shelf, Store};

/// What was found, and why it may not be the latest.
#[derive(Debug)]
pub struct Looked {
    pub search: Search,
    pub obstacle: Option<Obstacle>,
    /// How the accounts of these calls answer a batch in which they refuse some, as far as that is known.
    pub manners: BTreeMap<AccountId, Known>,
}

/// Looks for calls in the store `dir`.
///
/// # Errors
/// When neither store nor journal can be read.
pub fn look(dir: &Path, wanted: &Wanted) -> anyhow::Result<Looked> {
    let owner = match fs::metadata(dir.join("queue")) {
        Ok(meta) => meta.uid(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Looked { search: Search::default(), obstacle: None, manners: BTreeMap::new() });
        }
        Err(error) => return Err(error).with_context(|| unreadable(dir)),
    };
    let held = holder(dir).with_context(|| unreadable(dir))?;
    let opened = match held {
        Some(pid) => Err(Obstacle::Held(pid)),
        None if owner != own_user() => Err(Obstacle::Foreign(owner)),
        None => open(dir),
    };
    match opened {
        Ok(store) => {
            let search = store.search(wanted).context("cannot read the store")?;
            let manners = manners(&store, &search);
            Ok(Looked { search, obstacle: None, manners })
        }
        Err(obstacle) => {
            let search = search_journal(dir, wanted).with_context(|| unreadable(dir))?;
            Ok(Looked { search, obstacle: Some(obstacle), manners: BTreeMap::new() })
        }
    }
}

/// What cannot be read is left out: it is beside what was asked for.
fn manners(store: &Store, search: &Search) -> BTreeMap<AccountId, Known> {
    let accounts: BTreeSet<&AccountId> =
        search.found.iter().map(|found| &found.call.record.account).collect();
    let known = |account: &AccountId| {
        let kept = store.get(Shelf::Manners, account.as_str()).ok()??;
        Some((account.clone(), Known::read(&kept)?))
    };
    accounts.into_iter().filter_map(known).collect()
}

fn open(dir: &Path) -> Result<Store, Obstacle> {
    Store::open_unrepaired(dir, clock::host()).map_err(|error| match error {
        Error::Locked { holder, .. } => Obstacle::Held(holder.unwrap_or(0)),
        Error::Permission { .. }
        | Error::ReadOnly { .. }
        | Error::Full { .. }
        | Error::Damaged { .. }
        | Error::Stuck { .. }
        | Error::Newer { .. }
        | Error::Io { .. } => Obstacle::Fault(format!("{:#}", anyhow::Error::new(error))),
    })
}

pub(super) fn unreadable(dir: &Path) -> String {
    format!("cannot read the store {}: ask as root or as the user that runs ami2amo", dir.display())
}

/// The user that this process acts as.
#[expect(unsafe_code, reason = "std does not say who runs the process")]
pub(super) fn own_user() -> u32 {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}
