//! `ami2amo run`: reads the configuration, opens the store, runs the daemon until a signal.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::check::Grade;
use crate::config::{self, Config, Pbx, Setup};
use crate::daemon::policies;
use crate::daemon::reload::Reloading;
use crate::daemon::systemd::Notifier;
use crate::ops::log::control::Control;
use crate::ops::log::{self, Format};
use crate::outbox::store::handle::Handle;
use crate::outbox::store::log_key;
use crate::outbox::store::pbxs::{self, Configured};
use crate::outbox::store::{Error, Opened, Store, rest};
use crate::{clock, daemon, pseudonym};

/// Runs the daemon with the configuration `path`.
///
/// # Errors
/// When the configuration is wrong, a part cannot start, or the daemon fails.
pub fn run(path: &Path, log_format: Option<Format>) -> anyhow::Result<()> {
    let (config, findings) = config::load(path)?;
    // Both passed their check.
    let filter = std::env::var(log::VARIABLE).unwrap_or_else(|_| config.setup.log.filter.clone());
    let format = log_format.unwrap_or(config.setup.log.format);
    let control = log::init_daemon(&filter, format).context("cannot set up logging")?;
    for finding in findings.iter().filter(|finding| finding.grade == Grade::Warn) {
        warn!("{finding}");
    }
    let store = Notifier::while_starting(|| open_store(&config.setup));
    let ended = store.and_then(|store| run_with(path, config, store, control.clone()));
    control.finish();
    ended
}

/// From here on lines of a number are found by its name.
fn name_numbers(setup: &Setup) {
    match log_key::read_or_make(&setup.store_dir) {
        Ok(key) => pseudonym::set(key),
        Err(error) => {
            let error = anyhow::Error::new(error);
            warn!("lines of a number cannot be searched by PHONE_HASH: {error:#}");
        }
    }
}

fn run_with(path: &Path, config: Config, store: Handle, log: Control) -> anyhow::Result<()> {
    name_numbers(&config.setup);
    // One thread does all but the intake and the store: what it does is small, and memory is kept small.
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(path, config, store, log));
    // A file of records on a server that is gone is waited for by a thread that nobody can end.
    runtime.shutdown_background();
    ended
}

async fn serve(path: &Path, config: Config, store: Handle, log: Control) -> anyhow::Result<()> {
    let (stop, hangup) = (CancellationToken::new(), Arc::new(Notify::new()));
    let (sender, policies) = policies::channel(Arc::clone(&config.policy));
    let setup = config.setup.clone();
    let signals = Signals::catch().context("cannot catch signals")?;
    let mut listening = JoinSet::new();
    listening.spawn(signals.listen(stop.clone(), Arc::clone(&hangup)));
    let (reloading, reloader) = Reloading::new(path.to_owned(), config, sender);
    listening.spawn(reloading.run(hangup));
    let notifier = Notifier::from_environment();
    daemon::run(setup, policies, Some(reloader), store, notifier, log, stop).await
}

fn open_store(setup: &Setup) -> anyhow::Result<Handle> {
    let dir = setup.store_dir.display();
    let mut store = match Store::open(&setup.store_dir, clock::host()) {
        Err(error @ Error::Full { .. }) => return wait_for_room(setup, &error),
        store => store.with_context(|| format!("cannot open the store in {dir}"))?,
    };
    let opened = store.opened();
    if opened != Opened::default() {
        warn!(?opened, "the store was repaired: what it had lost was put back");
    }
    match store.admit(&configured(setup), clock::host()) {
        Ok(()) => {}
        Err(pbxs::Error::Store(error)) => {
            return Err(error).with_context(|| format!("cannot write to the store in {dir}"));
        }
        Err(wrong @ (pbxs::Error::Renamed { .. } | pbxs::Error::Both { .. })) => return Err(wrong.into()),
    }
    store.spawn_resting(clock::host, rest::IDLE).context("cannot start the store's thread")
}

/// The PBXs as the store is to know them.
fn configured(setup: &Setup) -> Vec<Configured> {
    let known = |Pbx { name, renamed_from, connection, .. }: &Pbx| Configured {
        name: name.clone(),
        address: format!("{}:{}", connection.host.to_ascii_lowercase(), connection.port),
        renamed_from: renamed_from.clone(),
    };
    setup.pbxs.iter().map(known).collect()
}

/// On a full disk the calls are followed all the same: they wait in memory until there is room.
fn wait_for_room(setup: &Setup, error: &Error) -> anyhow::Result<Handle> {
    let handle = Store::spawn_waiting(&setup.store_dir, error, clock::host, rest::IDLE);
    handle.with_context(|| format!("cannot open the store in {}", setup.store_dir.display()))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Cancels `stop` at SIGTERM or SIGINT, notifies `hangup` at SIGHUP. All three are cancel safe.
    async fn listen(mut self, stop: CancellationToken, hangup: Arc<Notify>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => hangup.notify_one(),
            }
        }
        stop.cancel();
    }
}
