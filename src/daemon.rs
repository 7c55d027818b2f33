//! The daemon: wiring, supervision, the order in which things end.
//!
//! ```text
//!  thread "intake"          thread "store"          main thread
//!  one task per PBX ──────► the outbox ◄──────────► couriers ──► amoCRM, one for each account
//!                                                   signals, systemd, status
//! ```
//!
//! READY is told when the store is open and the tasks run; the peers may be away. The end goes with
//! the stream: the intakes stop and hand over what they have, the couriers finish their requests, the
//! store closes. A store that fails ends nothing: it is opened anew, and calls wait. Each stage has its share of one deadline, so a stage that hangs does not cost the
//! next ones their turn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::call::id::{AccountId, PbxName};
use crate::call::policy::Policy as Calls;
use crate::clock;
use crate::config::{Pbx, Policy, Setup};
use crate::daemon::admin::Admin;
use crate::daemon::crew::Crew;
use crate::daemon::delivery::{Delivery, stop_couriers};
use crate::daemon::gaps::GapRepair;
use crate::daemon::hook::{Bell, Hook};
use crate::daemon::outlet::{Door, Outlet};
use crate::daemon::overview::{Overview, Watched};
use crate::daemon::policies::Policies;
use crate::daemon::records::Records;
use crate::daemon::reload::Reloader;
use crate::daemon::stages::Stages;
use crate::daemon::systemd::Notifier;
use crate::intake::gap::Gap;
use crate::intake::revive;
use crate::intake::task::pulse::Pulse;
use crate::intake::task::{Intake, Kept, Link, Way, inquiry};
use crate::ops::hook::HookStatus;
use crate::ops::log::control::Control;
use crate::outbox::courier::Rules;
use crate::outbox::queue;
use crate::outbox::store::error;
use crate::outbox::store::handle::Handle;

pub mod admin;
pub mod crew;
pub mod delivery;
pub mod gaps;
mod herald;
pub mod hook;
pub(crate) mod memory;
pub mod outlet;
pub mod overview;
pub mod policies;
mod records;
pub mod reload;
pub mod stages;
pub mod systemd;
pub mod tokens;

/// Runs until `stop`, then shuts down in order. What comes through `policies` judges calls from then
/// on; the connections that are part of it are those of its first value.
///
/// # Errors
/// When a part cannot start, when one fails while running, and when the shutdown does not come to
/// its end in time.
pub async fn run(
    setup: Setup,
    policies: Policies,
    reloader: Option<Reloader>,
    store: Handle,
    notifier: Notifier,
    log: Control,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Policies { whole: policy, calls } = policies;
    let start = Arc::clone(&policy.borrow());
    let records = begin_records(&setup, &store)?;
    let (gaps, gaps_reader) = mpsc::channel(gaps::WAITING_MAX);
    let ways = Ways::new(store.clone(), calls.clone(), setup.store_dir.join("poison"), gaps);
    let offsets = ways.offsets.subscribe();
    let mut repair = GapRepair::new(store.clone(), &setup.pbxs, calls, gaps_reader, offsets);
    // Before anything is delivered: it may have to wait for a record.
    repair.recall().await;
    let bell = setup.hook.as_ref().map(|_| Bell::default());
    let outlet = Outlet::new(store.clone(), repair.recalled()).ringing(bell.clone());
    let mut couriers = Delivery::start(&start, &setup.store_dir, &outlet, &ways.offsets)?;
    let (intakes, pbxs) = ways.intakes(&setup.pbxs, &repair).await?;
    let (hook, hook_status) = begin_hook(&setup, &couriers, &outlet, repair.recalled(), bell).unzip();
    let overview = Overview {
        started_at: clock::host(),
        pbxs,
        accounts: couriers.watched(&start),
        offsets: ways.offsets.subscribe(),
        gaps: repair.told(),
        store: store.clone(),
        store_hung_after: setup.store_hung_after,
        disk: overview::Disk::default(),
        log: log.clone(),
        reloader,
        hook: hook_status,
        records: records.as_ref().map(Records::clerk),
    };
    let crew = Crew::start(intakes, ways.stop, ways.cut);
    let mut crew = crew.context("cannot start the intake's thread")?;
    let mut duties = notifier.on_duty(&overview, crew.runtime()).await;
    open_to_people(&setup, overview, &mut duties).await;
    duties.spawn(hand_on(policy, couriers.rules.clone()));
    duties.spawn(repair.run());
    duties.spawn(log.keep());
    let mut asking: JoinSet<()> = hook.map(Hook::run).into_iter().collect();
    info!(
        pbxs = setup.pbxs.len(),
        accounts = couriers.rules.len(),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );

    let cause = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = crew.ended() => Err(ended.err().unwrap_or_else(|| anyhow!("the intake ended by itself"))),
        ended = couriers.tasks.join_next() => Err(anyhow!("a courier ended by itself: {ended:?}")),
        // Calls would wait for it for ever.
        Some(ended) = asking.join_next() => Err(anyhow!("the hook ended by itself: {ended:?}")),
        reason = store.failed() => Err(store_failed(&reason, &setup.store_dir)),
    };
    notifier.stopping();
    let ended = shut_down(&setup, crew, couriers, store, records).await;
    drop((duties, asking));
    cause.and(ended)
}

/// Lets people and monitoring ask, where that can be. Calls are followed and delivered all the same.
async fn open_to_people(setup: &Setup, overview: Overview, duties: &mut JoinSet<()>) {
    if let Some(address) = setup.admin_listen {
        duties.spawn(admin::watch_port(address, overview.clone()));
    }
    match Admin::bind(&setup.admin_socket).await {
        Ok(admin) => drop(duties.spawn(admin.run(overview))),
        Err(error) => {
            let socket = setup.admin_socket.display();
            error!(%socket, %error, "no admin socket: `ami2amo status` will find nobody; see [admin] socket");
        }
    }
}

/// The hook, where one is configured, and how it fares.
fn begin_hook(
    setup: &Setup,
    couriers: &Delivery,
    outlet: &Outlet,
    is_open: watch::Receiver<bool>,
    bell: Option<Bell>,
) -> Option<(Hook, watch::Receiver<HookStatus>)> {
    let program = &setup.hook.as_ref()?.before_send;
    let rules = couriers.rules.iter().map(|(name, rules)| (name.clone(), rules.subscribe()));
    Some(Hook::new(program, outlet.store().clone(), rules.collect(), is_open, bell?))
}

/// The file of records, where one is configured; it hears of every call that ends from here on.
fn begin_records(setup: &Setup, store: &Handle) -> anyhow::Result<Option<Records>> {
    let Some(settings) = &setup.records else { return Ok(None) };
    let records = Records::start(settings).context("cannot start the thread of [records]")?;
    let clerk = records.clerk();
    store.hear_ends(move |item| clerk.take(&item));
    Ok(Some(records))
}

/// What all intakes share.
struct Ways {
    store: Handle,
    policy: watch::Receiver<Arc<Calls>>,
    offsets: watch::Sender<Arc<BTreeMap<PbxName, i64>>>,
    stop: CancellationToken,
    cut: CancellationToken,
    poison: PathBuf,
    gaps: mpsc::Sender<Gap>,
}

impl Ways {
    fn new(
        store: Handle,
        policy: watch::Receiver<Arc<Calls>>,
        poison: PathBuf,
        gaps: mpsc::Sender<Gap>,
    ) -> Self {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        Self { store, policy, offsets: watch::channel(Arc::default()).0, stop, cut, poison, gaps }
    }

    /// The intake of each PBX, and what is seen of it.
    async fn intakes(&self, pbxs: &[Pbx], repair: &GapRepair) -> anyhow::Result<(Vec<Intake>, Vec<Watched>)> {
        let mut intakes = Vec::new();
        for pbx in pbxs {
            let intake = self.intake(pbx, repair.recalled()).await;
            intakes.push(intake.context("cannot read the calls in progress")?);
        }
        Ok(intakes.into_iter().unzip())
    }

    /// The intake of one PBX, and what is seen of it.
    async fn intake(
        &self,
        pbx: &Pbx,
        is_open: watch::Receiver<bool>,
    ) -> Result<(Intake, Watched), queue::Error> {
        let kept = match self.store.failure() {
            None => self.store.checkpoints(&pbx.name).await?,
            // The calls are followed all the same: those of now must not wait for those of before.
            Some(reason) => {
                error!(pbx = %pbx.name, reason, "calls that were in progress at the last end cannot be read: what they did before is lost");
                Kept::new()
            }
        };
        let policy = Arc::clone(&self.policy.borrow());
        let reader = revive::reader(&pbx.name, &policy, &kept);
        let hold = pbx.cdr.as_ref().map_or(Duration::ZERO, gaps::hold);
        let sink = Box::new(Door::new(self.store.clone(), pbx.name.clone(), hold, is_open));
        let (link, links) = watch::channel(Link::Connecting);
        let pulse: Arc<Pulse> = Arc::default();
        let (inquiry, asks) = inquiry::channel();
        let way = Way {
            link,
            policy: self.policy.clone(),
            offsets: self.offsets.clone(),
            stop: self.stop.clone(),
            cut: self.cut.clone(),
            poison: self.poison.clone(),
            gaps: self.gaps.clone(),
            pulse: Arc::clone(&pulse),
            asks,
        };
        let intake = Intake::new(pbx.name.clone(), pbx.connection.clone(), reader, way, sink);
        Ok((intake, Watched { name: pbx.name.clone(), link: links, pulse, inquiry }))
    }
}

/// Hands the rules of each new policy to the couriers; ends with whoever reads the configuration.
async fn hand_on(
    mut policy: watch::Receiver<Arc<Policy>>,
    rules: BTreeMap<AccountId, watch::Sender<Arc<Rules>>>,
) {
    while policy.changed().await.is_ok() {
        let policy = Arc::clone(&policy.borrow_and_update());
        for account in policy.all_accounts() {
            if let Some(rules) = rules.get(&account.name) {
                rules.send_replace(Arc::new(delivery::rules_of(account, &policy)));
            }
        }
    }
}

/// The daemon ends for it: a store that failed is opened anew by its thread, but for one that will never
/// open.
fn store_failed(reason: &str, dir: &Path) -> anyhow::Error {
    let (advice, dir) = (error::advice(reason), dir.display());
    anyhow!(
        "the store in {dir} failed: {reason}: {advice} and start ami2amo again; what it had stored is kept"
    )
}

async fn shut_down(
    setup: &Setup,
    crew: Crew,
    couriers: Delivery,
    store: Handle,
    records: Option<Records>,
) -> anyhow::Result<()> {
    let limit_s = setup.stop_timeout.as_secs_f32();
    info!(limit_s, "stopping");
    let stages = Stages::new(setup.stop_timeout);
    let intake = stages.run("the intake to hand over its calls", 2, crew.stop()).await;
    let delivery = stages.run("the couriers to finish their requests", 3, stop_couriers(couriers)).await;
    let closed = stages.run("the store to close", 4, store.close()).await;
    if let Some(records) = records {
        // They are lines of calls that are safe: a disk that hangs is no failure of the daemon.
        let written = spawn_blocking(|| records.close());
        drop(stages.run("the file of records", 4, written).await);
    }
    let unfinished: Vec<_> = [
        intake.map(|ended| ended.context("the intake")),
        delivery.map(|ended| ended.context("a courier")),
        closed.map(|ended| ended.context("the store")),
    ]
    .into_iter()
    .filter_map(|stage| stage.unwrap_or_else(Err).err())
    .collect();
    for failure in &unfinished {
        error!("not stopped in order: {failure:#}");
    }
    if !unfinished.is_empty() {
        bail!("the shutdown did not come to its end");
    }
    info!("stopped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ami::connection::{Secret, Security, Settings};
    use crate::ami::session;
    use crate::outbox::store::Store;
    use crate::outbox::store::{self, rest};

    #[tokio::test]
    async fn a_store_that_waits_for_room_holds_no_intake_up() {
        let dir = tempfile::tempdir().unwrap();
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let full = store::Error::Full { path: dir.path().to_owned(), source: full };
        let handle = Store::spawn_waiting(dir.path(), &full, clock::host, rest::IDLE).unwrap();
        let ways = Ways::new(
            handle.clone(),
            watch::channel(Arc::default()).1,
            dir.path().to_owned(),
            mpsc::channel(1).0,
        );
        let session = session::Settings {
            username: "ami2amo".to_owned(),
            login: session::Login::Plain,
            ping_interval: Duration::from_secs(10),
        };
        let secret = Secret::new(b"s".to_vec());
        let connection =
            Settings { host: "127.0.0.1".to_owned(), port: 9, security: Security::Loopback, secret, session };
        assert!(
            ways.intake(
                &Pbx { name: PbxName::default(), renamed_from: None, connection, cdr: None },
                watch::channel(false).1
            )
            .await
            .is_ok()
        );
        // Closed while it waits: it says so.
        assert!(handle.close().await.is_err());
    }
}
