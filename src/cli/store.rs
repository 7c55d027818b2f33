//! Looking into the store beside a daemon that may be running.
//!
//! The store is opened only when nobody holds it, and only by the user that it belongs to: files that
//! root makes in it the daemon could not write. It is closed again before anything is printed. In all
//! other cases the journal is read, for which nothing needs to be held.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tracing::warn;

use crate::call::id::AccountId;
use crate::clock;
use crate::ops::words::looking::Obstacle;
use crate::outbox::courier::manner::Known;
use crate::outbox::search::Wanted;
use crate::outbox::store::search::{Search, holder, search_journal};
use crate::outbox::store::{Error, Store};

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
    let Some(owner) = owner(dir)? else {
        return Ok(Looked { search: Search::default(), obstacle: None, manners: BTreeMap::new() });
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
            // It is beside what was asked for.
            let manners = store.manners().unwrap_or_default();
            Ok(Looked { search, obstacle: None, manners })
        }
        Err(obstacle) => {
            let search = search_journal(dir, wanted).with_context(|| unreadable(dir))?;
            Ok(Looked { search, obstacle: Some(obstacle), manners: BTreeMap::new() })
        }
    }
}

/// Whose the store in `dir` is; `None` when there is none.
///
/// # Errors
/// When it may not be looked at.
pub(super) fn owner(dir: &Path) -> anyhow::Result<Option<u32>> {
    match fs::metadata(dir.join("queue")) {
        Ok(meta) => Ok(Some(meta.uid())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| unreadable(dir)),
    }
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

/// A store that root uses in place of its owner.
#[derive(Debug)]
pub(super) struct Lent {
    dir: PathBuf,
    owner: u32,
    group: u32,
}

impl Lent {
    /// `None` when root itself owns the folder, or nobody made it yet.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        let meta = fs::metadata(dir).ok().filter(|meta| meta.uid() != 0)?;
        Some(Self { dir: dir.to_owned(), owner: meta.uid(), group: meta.gid() })
    }

    fn give_back(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let (path, meta) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            if meta.is_dir() {
                self.give_back(&path)?;
            }
            // A file with a second name may be another one's.
            if meta.uid() == 0 && (meta.is_dir() || meta.nlink() == 1) {
                lchown(&path, Some(self.owner), Some(self.group))?;
            }
        }
        Ok(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Err(error) = self.give_back(&self.dir) {
            let (dir, owner) = (self.dir.display(), self.owner);
            warn!(%error, "files in {dir} belong to root now, and the daemon could not write them: chown -R {owner} {dir}");
        }
    }
}
