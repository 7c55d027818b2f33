//! How the daemon fares at this moment: gathered from all who know a part of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::debug;

use crate::ami::event::kind::KINDS;
use crate::amo::settings::{Settings, Unmapped as Silence};
use crate::call::id::{AccountId, PbxName};
use crate::clock;
use crate::daemon::delivery::WatchedAccount;
use crate::daemon::gaps::GapsByPbx;
use crate::daemon::records::Clerk;
use crate::daemon::reload::Reloader;
use crate::intake::task::Link;
use crate::intake::task::inquiry::Inquiry;
use crate::intake::task::pulse::Pulse;
use crate::ops::hook::HookStatus;
use crate::ops::log::control::Control;
use crate::ops::status::{
    AccountStatus, CallsOf, Foreign, LinkStatus, MixedBatches, OutboxStatus, PbxStatus, Status, StoreStatus,
    Unmapped, VERSION, problem,
};
use crate::outbox::courier::watch::{Foreigner, Foreigners};
use crate::outbox::store::error::HANGS;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::hung::Watch;
use crate::outbox::store::person::Overall;
use crate::outbox::store::space;
use crate::time::{HostTime, MonoTime};

/// How long the store may take to answer before it counts as one that does not.
const STORE_MAX: Duration = Duration::from_secs(2);

/// An intake without a turn for so long hangs: three of its turns.
const STUCK: Duration = Duration::from_secs(30);

/// What the store said is asked for again after this, whatever happened: it also ages its history.
const MEMO_MAX: Duration = Duration::from_mins(10);

/// What the store said last, and when.
#[derive(Debug, Default)]
pub struct Memo(Option<(MonoTime, Overall)>);

/// All who know a part of how the daemon fares.
#[derive(Clone, Debug)]
pub struct Overview {
    pub started_at: HostTime,
    pub pbxs: Vec<Watched>,
    pub accounts: BTreeMap<AccountId, WatchedAccount>,
    /// How far this host's clock is ahead of each PBX's, in microseconds.
    pub offsets: watch::Receiver<Arc<BTreeMap<PbxName, i64>>>,
    pub gaps: watch::Receiver<GapsByPbx>,
    pub store: Handle,
    /// A store that comes to no end for so long hangs.
    pub store_hung_after: Duration,
    pub disk: Disk,
    pub log: Control,
    /// Who reads the configuration again, where somebody does.
    pub reloader: Option<Reloader>,
    /// How the hook fares, where there is one.
    pub hook: Option<watch::Receiver<HookStatus>>,
    /// Who writes the file of records, where one is written.
    pub records: Option<Clerk>,
}

/// The eye on the store's disk: it may hang for ever, as one of another host does, and one thread at most then waits
/// for it.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Semaphore>);

impl Default for Disk {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Disk {
    /// What `look` returns; `None` when the disk does not answer in time.
    async fn ask<T: Send + 'static>(&self, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let looking = async {
            let turn = Arc::clone(&self.0).acquire_owned().await.ok()?;
            let looked = spawn_blocking(move || {
                let _turn = turn;
                look()
            });
            looked.await.ok()
        };
        timeout(STORE_MAX, looking).await.ok().flatten()
    }
}

/// What is seen of one PBX's intake.
#[derive(Clone, Debug)]
pub struct Watched {
    pub name: PbxName,
    pub link: watch::Receiver<Link>,
    pub pulse: Arc<Pulse>,
    pub inquiry: Inquiry,
}

impl Overview {
    /// How the daemon fares now. It waits for nobody but the store and its disk, two seconds for each.
    pub async fn status(&self) -> Status {
        self.gather(self.known().await).await
    }

    /// As [`Self::status`]; unless there is `news`, what the store said last is told again: it may rest, and is left to.
    pub async fn status_since(&self, memo: &mut Memo, news: bool) -> Status {
        let now = clock::mono();
        let kept = memo
            .0
            .take()
            .filter(|(at, _)| !news && now.since(*at) < MEMO_MAX && self.store.failure().is_none());
        let known = match kept {
            Some((at, known)) => {
                memo.0 = Some((at, known.clone()));
                Ok(known)
            }
            None => self.known().await.inspect(|known| memo.0 = Some((now, known.clone()))),
        };
        self.gather(known).await
    }

    /// # Errors
    /// Why the store says nothing.
    async fn known(&self) -> Result<Overall, String> {
        let asked = timeout(STORE_MAX, self.store.overview()).await;
        asked.map_err(|_| hangs())?.map_err(|error| error.to_string())
    }

    async fn gather(&self, known: Result<Overall, String>) -> Status {
        let (known, silent) = match known {
            Ok(known) => (Some(known), None),
            Err(silent) => (None, Some(silent)),
        };
        let dir = self.store.dir().to_owned();
        let sizes = self.disk.ask(move || sizes(&dir)).await;
        let silent = silent.or_else(|| sizes.is_none().then(hangs));
        let (bytes, free_bytes) = sizes.unwrap_or_default();
        let mut status = Status {
            v: VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            now: clock::host(),
            pbxs: self.pbxs.iter().map(|pbx| self.pbx(pbx)).collect(),
            accounts: self.accounts.keys().map(|name| self.account(name, known.as_ref())).collect(),
            outbox: known.as_ref().map(|known| OutboxStatus::from(&known.stats)).unwrap_or_default(),
            store: StoreStatus {
                dir: self.store.dir().display().to_string(),
                failure: self.store.failure().or(silent),
                bytes,
                free_bytes,
            },
            reload: self.reloader.as_ref().and_then(Reloader::last),
            hook: self.hook.as_ref().map(|hook| hook.borrow().clone()),
            records: self.records.as_ref().map(Clerk::status),
            problems: Vec::new(),
        };
        status.problems = problem::problems(&status);
        status
    }

    /// Gives the store up when it comes to no end though its disk works all the time: another process begins anew. One
    /// whose disk hangs is waited for: it would hang again, and what waits in memory would be lost.
    pub async fn mind_store(&self, watch: &mut Watch) {
        if watch.look(&self.store, clock::mono()).is_zero() {
            return;
        }
        let dir = self.store.dir().to_owned();
        match self.disk.ask(move || writes(&dir)).await {
            Some(Ok(())) => {
                let lasts = watch.look(&self.store, clock::mono());
                if !lasts.is_zero() && lasts >= self.store_hung_after {
                    let seconds = lasts.as_secs();
                    self.store.give_up(&format!("it has {HANGS} for {seconds} s, though its disk works"));
                }
                return;
            }
            Some(Err(error)) => debug!(%error, "the store comes to no end, and its disk takes nothing"),
            None => debug!("the store comes to no end, and its disk hangs"),
        }
        watch.forgive();
    }

    /// Why the daemon makes no progress and should be begun anew; `None` as long as every intake has its turns.
    /// The store is minded by [`Self::mind_store`].
    pub fn stuck(&self) -> Option<String> {
        let now = clock::mono();
        let is_stuck = |pbx: &&Watched| pbx.pulse.turned().is_some_and(|turned| now.since(turned) > STUCK);
        let stuck = self.pbxs.iter().find(is_stuck)?;
        Some(format!("the intake of PBX {} had no turn for {} s", stuck.name, STUCK.as_secs()))
    }

    fn pbx(&self, watched: &Watched) -> PbxStatus {
        let Watched { name, link, pulse, .. } = watched;
        let beat = pulse.look();
        let offset = self.offsets.borrow().get(name).copied();
        PbxStatus {
            name: name.clone(),
            link: LinkStatus::from(&*link.borrow()),
            open: beat.open,
            finished: beat.finished,
            events: beat.events,
            last_event_at: beat.last_event,
            // Without a comparison of the clocks it would be their difference.
            lag_ms: offset.and(beat.last_event).map(|_| beat.lag / 1000),
            host_ahead_ms: offset.map(|micros| micros / 1000),
            backlog: beat.backlog,
            events_by_kind: KINDS
                .iter()
                .zip(beat.kinds)
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| ((*kind).to_owned(), count))
                .collect(),
            calls: pulse
                .tally()
                .calls
                .into_iter()
                .map(|((direction, outcome), calls)| CallsOf { direction, outcome, calls })
                .collect(),
            timestamps: beat.timestamps,
            gaps: self.gaps.borrow().get(name).cloned().unwrap_or_default(),
        }
    }

    fn account(&self, name: &AccountId, known: Option<&Overall>) -> AccountStatus {
        let WatchedAccount { standing, address, seen, rules } = &self.accounts[name];
        let lately = seen.as_ref().map(|seen| seen.lately.borrow().clone()).unwrap_or_default();
        let waiting = known.and_then(|known| known.waiting.iter().find(|waiting| waiting.account == *name));
        AccountStatus {
            name: name.clone(),
            address: address.clone(),
            standing: standing.borrow().clone(),
            waiting: waiting.map(|waiting| waiting.by_phase.clone()).unwrap_or_default(),
            oldest_at: waiting.and_then(|waiting| waiting.oldest),
            last_sent_at: lately.sent_at,
            last_error: lately.error,
            token_ends_at: seen.as_ref().and_then(|seen| seen.client.token_ends_at()),
            late_links: seen.as_ref().map(|seen| *seen.late_links.borrow()).unwrap_or_default(),
            paused: known.and_then(|known| known.pauses.get(name).cloned()),
            parked_since: waiting.and_then(|waiting| waiting.oldest_parked),
            unmapped: rules
                .as_ref()
                .map(|rules| self.unmapped(name, &rules.borrow().amo))
                .unwrap_or_default(),
            verdicts: lately.verdicts,
            shadow: rules.as_ref().is_some_and(|rules| rules.borrow().amo.is_shadow()),
            foreign: seen.as_ref().map(|seen| foreign(&seen.foreigners.borrow())).unwrap_or_default(),
            mixed_batches: known.and_then(|known| known.manners.get(name).copied()).map(MixedBatches::from),
        }
    }

    fn unmapped(&self, account: &AccountId, settings: &Settings) -> Vec<Unmapped> {
        let mut counted = BTreeMap::new();
        for ((_, extension), calls) in
            self.pbxs.iter().flat_map(|pbx| pbx.pulse.tally().extensions).filter(|((of, _), _)| of == account)
        {
            *counted.entry(extension).or_default() += calls;
        }
        unmapped(counted, settings)
    }
}

fn foreign(known: &Foreigners) -> Vec<Foreign> {
    let of = |(source, known): (&String, &Foreigner)| {
        let Foreigner { notes, last_at, calls } = known.clone();
        Foreign { source: source.clone(), notes, last_at, calls }
    };
    known.0.iter().map(of).collect()
}

/// Extensions of calls that `settings` map to nobody, though something shall be said of them.
fn unmapped(counted: BTreeMap<String, u64>, settings: &Settings) -> Vec<Unmapped> {
    if settings.unmapped == Silence::Omit {
        return Vec::new();
    }
    let strangers = counted.into_iter().filter(|(extension, _)| !settings.users.contains_key(extension));
    let mut strangers: Vec<_> = strangers.map(|(extension, calls)| Unmapped { extension, calls }).collect();
    strangers.sort_by_key(|known| std::cmp::Reverse(known.calls));
    strangers
}

impl From<&Link> for LinkStatus {
    fn from(link: &Link) -> Self {
        match link {
            Link::Connecting => Self::Connecting,
            Link::Up { asterisk_version } => Self::Up { asterisk: asterisk_version.clone() },
            Link::Down { reason } => Self::Down { reason: reason.clone() },
            Link::Refused { reason } => Self::Refused { reason: reason.clone() },
            Link::Stopped => Self::NotRead,
        }
    }
}

fn hangs() -> String {
    format!("it did not answer within {} s: its disk is very slow, or hangs", STORE_MAX.as_secs())
}

/// Writes something that is durable before it returns, and removes it. It blocks as long as the disk does.
fn writes(dir: &Path) -> io::Result<()> {
    let path = dir.join("probe");
    let mut file = File::create(&path)?;
    file.write_all(b"is this disk alive?\n")?;
    file.sync_all()?;
    fs::remove_file(path)
}

/// The bytes of the store in `dir`, and those that are free on its disk. It blocks as long as the disk does.
fn sizes(dir: &Path) -> (u64, Option<u64>) {
    (fs::metadata(dir.join("queue/db")).map_or(0, |meta| meta.len()), space::free(dir).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, mpsc};

    use crate::intake::task::inquiry;
    use crate::outbox::store::fsync::{Fsync, Target};
    use crate::outbox::store::{Shelf, Store};

    #[tokio::test]
    async fn a_disk_that_hangs_holds_one_thread_and_nobody_who_asks() {
        let (disk, looks) = (Disk::default(), Arc::new(()));
        let (go_on, waits) = mpsc::sync_channel::<()>(0);
        let look = Arc::clone(&looks);
        let hung = disk.ask(move || {
            let waited = waits.recv();
            drop(look);
            waited
        });
        let look = Arc::clone(&looks);
        let second = disk.ask(move || drop(look));
        let (hung, second) = tokio::join!(hung, second);
        assert_eq!((hung, second), (None, None));
        assert_eq!(Arc::strong_count(&looks), 2, "the second one did not begin");
        drop(go_on);
        assert_eq!(disk.ask(|| 7).await, Some(7));
    }

    fn watched(name: &str) -> Watched {
        let name = PbxName::new(name).unwrap();
        let (pulse, link) = (Arc::new(Pulse::default()), watch::channel(Link::Connecting).1);
        Watched { name, link, pulse, inquiry: inquiry::channel().0 }
    }

    fn overview(store: Store, pbxs: Vec<Watched>) -> Overview {
        Overview {
            started_at: clock::host(),
            pbxs,
            accounts: BTreeMap::new(),
            offsets: watch::channel(Arc::default()).1,
            gaps: watch::channel(GapsByPbx::new()).1,
            store: store.spawn(clock::host).unwrap(),
            store_hung_after: Duration::ZERO,
            disk: Disk::default(),
            log: Control::idle("info"),
            reloader: None,
            hook: None,
            records: None,
        }
    }

    /// From the moment on that it has one, its syncs wait until the other end is gone.
    #[derive(Clone, Default)]
    struct Still(Arc<Mutex<Option<mpsc::Receiver<()>>>>);

    impl Fsync for Still {
        fn sync(&mut self, _target: Target, _file: &File) -> io::Result<()> {
            let still = self.0.lock().unwrap().take();
            still.map(|still| still.recv());
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_intake_without_a_turn_for_half_a_minute_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), clock::host()).unwrap();
        let overview = overview(store, vec![watched("msk"), watched("spb")]);
        let [msk, spb] = [0, 1].map(|place| Arc::clone(&overview.pbxs[place].pulse));
        tokio::time::advance(STUCK * 2).await;
        assert_eq!(overview.stuck(), None, "neither has begun");
        msk.turn();
        spb.turn();
        tokio::time::advance(STUCK).await;
        assert_eq!(overview.stuck(), None);
        msk.turn();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(overview.stuck().as_deref(), Some("the intake of PBX spb had no turn for 30 s"));
        spb.turn();
        assert_eq!(overview.stuck(), None);
    }

    #[tokio::test]
    async fn a_store_is_given_up_only_while_its_disk_works() {
        let dir = tempfile::tempdir().unwrap();
        let (path, still) = (dir.path().join("store"), Still::default());
        let store = Store::open_with(&path, clock::host(), Box::new(still.clone())).unwrap();
        let overview = overview(store, Vec::new());
        let (go_on, gone) = mpsc::sync_channel::<()>(1);
        *still.0.lock().unwrap() = Some(gone);
        let mut watch = Watch::default();
        let work = overview.store.put(Shelf::Manners, "a", b"b".to_vec());
        let (work, ()) = tokio::join!(timeout(Duration::from_secs(30), work), async {
            while watch.look(&overview.store, clock::mono()).is_zero() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let away = dir.path().join("away");
            fs::rename(&path, &away).unwrap();
            overview.mind_store(&mut watch).await;
            assert!(!overview.store.is_given_up(), "nothing can be written there");
            fs::rename(&away, &path).unwrap();
            overview.mind_store(&mut watch).await;
            let reason = overview.store.failure().unwrap();
            assert!(reason.contains("though its disk works"), "{reason}");
            assert!(!path.join("probe").exists());
        });
        drop(go_on);
        assert!(matches!(work, Ok(Err(_))), "{work:?}");
    }
}
