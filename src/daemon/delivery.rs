//! The couriers: one task for each amoCRM account, on the main thread's runtime. They share the
//! store, and what the process may send in a second; nothing else, so that an account which is
//! refused, banned or slow disturbs no other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::amo::client::{Client, Clock, TOKEN_VARIABLE};
use crate::amo::pace::{Common, Pace};
use crate::amo::settings::{BaseUrl, PER_SECOND_MAX, Settings};
use crate::call::id::{AccountId, PbxName};
use crate::clock;
use crate::config::Policy;
use crate::daemon::outlet::{Lately, Outlet};
use crate::daemon::tokens;
use crate::outbox::courier::Rules;
use crate::outbox::courier::sound::LateLinks;
use crate::outbox::courier::standing::Standing;
use crate::outbox::courier::task::{Sounds, Task};
use crate::outbox::courier::watch::Foreigners;
use crate::outbox::finder::Finder;
use crate::outbox::store::handle::Handle;

/// The running couriers.
#[derive(Debug)]
pub struct Delivery {
    /// Those that send, one an account, and those that keep tokens fresh; they are aborted when the set is dropped.
    pub tasks: JoinSet<()>,
    /// Swapped on reload.
    pub rules: BTreeMap<AccountId, watch::Sender<Arc<Rules>>>,
    /// Where each account stands.
    pub standings: BTreeMap<AccountId, watch::Receiver<Standing>>,
    /// What else is seen of each account.
    seen: BTreeMap<AccountId, Seen>,
    finder: Finder,
    stop: CancellationToken,
}

/// What is seen of one account.
#[derive(Clone, Debug)]
pub struct WatchedAccount {
    pub standing: watch::Receiver<Standing>,
    pub address: Option<String>,
    pub seen: Option<Seen>,
    /// By what its calls are judged now.
    pub rules: Option<watch::Receiver<Arc<Rules>>>,
}

/// What else is seen of one.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Knows until when the token works.
    pub client: Arc<Client>,
    pub lately: watch::Receiver<Lately>,
    /// Links that were added to notes later, or given up.
    pub late_links: watch::Receiver<LateLinks>,
    /// Who else writes notes of the calls that are posted.
    pub foreigners: watch::Receiver<Foreigners>,
}

impl Delivery {
    /// Starts a courier for every account of `policy`.
    ///
    /// # Errors
    /// When an account has no token, or HTTP cannot be set up.
    pub fn start(
        policy: &Policy,
        store_dir: &Path,
        outlet: &Outlet,
        offsets: &watch::Sender<Arc<BTreeMap<PbxName, i64>>>,
    ) -> anyhow::Result<Self> {
        let mut delivery = Self {
            tasks: JoinSet::new(),
            rules: BTreeMap::new(),
            standings: BTreeMap::new(),
            seen: BTreeMap::new(),
            finder: Finder::default(),
            stop: CancellationToken::new(),
        };
        let common = Common::begun(PER_SECOND_MAX, clock::mono());
        let variable = std::env::var(TOKEN_VARIABLE).ok();
        for account in policy.all_accounts() {
            // The variable is the token of the account that needs no name.
            let variable = variable.as_deref().filter(|_| account.name == AccountId::default());
            let client = client(account, variable, &common, store_dir, outlet.store());
            let client = client.with_context(|| format!("the amoCRM account \"{}\"", account.name))?;
            delivery.add(client, rules_of(account, policy), outlet, offsets.subscribe());
        }
        Ok(delivery)
    }

    /// What is seen of each account.
    pub fn watched(&self, policy: &Policy) -> BTreeMap<AccountId, WatchedAccount> {
        let address = |name: &AccountId| policy.account(name)?.base_url.as_ref().map(ToString::to_string);
        let watched = |(name, standing): (&AccountId, &watch::Receiver<Standing>)| {
            let seen = self.seen.get(name).cloned();
            let rules = self.rules.get(name).map(watch::Sender::subscribe);
            (name.clone(), WatchedAccount { standing: standing.clone(), address: address(name), seen, rules })
        };
        self.standings.iter().map(watched).collect()
    }

    fn add(
        &mut self,
        client: Client,
        rules: Rules,
        outlet: &Outlet,
        offsets: watch::Receiver<Arc<BTreeMap<PbxName, i64>>>,
    ) {
        let account = rules.amo.name.clone();
        let (rules, rules_reader) = watch::channel(Arc::new(rules));
        let (standing, standing_reader) = watch::channel(Standing::Starting);
        let (links, late_links) = watch::channel(LateLinks::default());
        let (foreigners, foreigners_reader) = watch::channel(Foreigners::default());
        let tending = client.tending();
        let client = Arc::new(client);
        let outlet = outlet.of_account();
        self.seen.insert(
            account.clone(),
            Seen {
                client: Arc::clone(&client),
                lately: outlet.lately(),
                late_links,
                foreigners: foreigners_reader,
            },
        );
        let arrivals = Arc::new(Notify::new());
        tokio::spawn(announce(outlet.store().news(), Arc::clone(&arrivals)));
        let task = Task {
            account: account.clone(),
            outbox: outlet,
            client,
            clock: CLOCK,
            rules: rules_reader,
            offsets,
            arrivals,
            sounds: Sounds { finder: self.finder.clone(), utc_offset: clock::utc_offset, links },
            foreigners,
            standing,
            stop: self.stop.clone(),
        };
        self.tasks.spawn(task.run());
        if let Some(tending) = tending {
            self.tasks.spawn(tending.run(self.stop.clone()));
        }
        self.rules.insert(account.clone(), rules);
        self.standings.insert(account, standing_reader);
    }
}

const CLOCK: Clock = Clock { host: clock::host, mono: clock::mono };

fn client(
    account: &Settings,
    variable: Option<&str>,
    common: &Common,
    store_dir: &Path,
    store: &Handle,
) -> anyhow::Result<Client> {
    let keeper = tokens::keeper(&account.name, account, variable, store_dir, store.clone())?;
    let pace = Pace::new(account.requests_per_second).begun(clock::mono());
    // On this machine no rule of amoCRM needs to be kept.
    let is_near = account.base_url.as_ref().is_some_and(BaseUrl::is_loopback);
    let pace = if is_near { pace } else { pace.within(common) };
    Client::new(account, keeper, Arc::new(Mutex::new(pace)), CLOCK).context("cannot talk to amoCRM")
}

/// By what the courier of `account` judges.
pub fn rules_of(account: &Settings, policy: &Policy) -> Rules {
    Rules { amo: account.clone(), delivery: policy.delivery.clone() }
}

/// Stops the couriers and waits for them. Dropped before its end, it cuts them off: what was under
/// way has its intent in the store and is looked up at the next start.
///
/// # Errors
/// When one of them panicked.
pub async fn stop_couriers(mut delivery: Delivery) -> Result<(), JoinError> {
    delivery.stop.cancel();
    let mut outcome = Ok(());
    while let Some(ended) = delivery.tasks.join_next().await {
        outcome = outcome.and(ended);
    }
    outcome
}

/// Wakes a courier when calls came; ends with the store.
async fn announce(mut news: watch::Receiver<u64>, arrivals: Arc<Notify>) {
    while news.changed().await.is_ok() {
        arrivals.notify_one();
    }
}
