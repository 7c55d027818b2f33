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
use std::task::Poll;
use std::{process, thread};

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
#[derive(Clone, Debug)]
struct Owned {
    dir: PathBuf,
    owner: u32,
    group: u32,
}

/// A store that root uses in place of its owner: dropped, or ended by a signal, it gives back what root made there.
#[derive(Debug)]
pub(super) struct Lent(Owned);

/// What ends a command from outside, and leaves it the time to give back.
const ENDS: [SignalKind; 3] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];

impl Lent {
    /// `None` when root itself owns the folder, or nobody made it yet.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        let meta = fs::metadata(dir).ok().filter(|meta| meta.uid() != 0)?;
        let owned = Owned { dir: dir.to_owned(), owner: meta.uid(), group: meta.gid() };
        if let Err(error) = owned.give_back_at_a_signal() {
            warn!(%error, "do not interrupt this: files of the store would be left to root");
        }
        Some(Self(owned))
    }
}

impl Owned {
    /// From here on a signal that ends this process is obeyed by a thread of its own, which gives back before.
    fn give_back_at_a_signal(&self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let kinds = ENDS.into_iter().filter(|kind| !is_ignored(*kind));
        let mut signals: Vec<_> = kinds.map(|kind| Ok((kind, signal(kind)?))).collect::<io::Result<_>>()?;
        drop(entered);
        let owned = self.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let kind = runtime.block_on(first(&mut signals));
            owned.give_all_back();
            process::exit(128 + kind.as_raw_value());
        })?;
        Ok(())
    }

    fn give_all_back(&self) {
        if let Err(error) = self.give_back(&self.dir) {
            let (dir, owner) = (self.dir.display(), self.owner);
            warn!(%error, "files in {dir} belong to root now, and the daemon could not write them: chown -R {owner} {dir}");
        }
    }

    /// All that can be, whatever stands in the way of one: the database makes and removes files meanwhile.
    ///
    /// # Errors
    /// What could not be given back first.
    fn give_back(&self, folder: &Path) -> io::Result<()> {
        let mut outcome = Ok(());
        for entry in fs::read_dir(folder)? {
            match entry.and_then(|entry| self.give_one_back(&entry.path())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                given => outcome = outcome.and(given),
            }
        }
        outcome
    }

    fn give_one_back(&self, path: &Path) -> io::Result<()> {
        let meta = fs::symlink_metadata(path)?;
        let within = if meta.is_dir() { self.give_back(path) } else { Ok(()) };
        // A file with a second name may be another one's.
        if meta.uid() == 0 && (meta.is_dir() || meta.nlink() == 1) {
            lchown(path, Some(self.owner), Some(self.group))?;
        }
        within
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.give_all_back();
    }
}

/// The first of them that comes.
async fn first(signals: &mut [(SignalKind, Signal)]) -> SignalKind {
    std::future::poll_fn(|context| {
        let come = signals
            .iter_mut()
            .find_map(|(kind, signal)| signal.poll_recv(context).is_ready().then_some(*kind));
        come.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Whether who began this process wants the signal ignored, as nohup does.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
