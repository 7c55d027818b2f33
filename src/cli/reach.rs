//! Who answers for the stored calls: the running daemon, or, when none runs, the store itself.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::call::id::AccountId;
use crate::cli::Usage;
use crate::cli::socket::{self, Error};
use crate::cli::store::{Lent, own_user, owner, unreadable};
use crate::clock;
use crate::config::surroundings::Host;
use crate::config::{self, file::File};
use crate::ops::calls::{
    Changed, Explained, Listing, Order, PauseOrder, Question, Row, VERSION, Verdicts, page,
};
use crate::ops::forget::{self, Oblivion};
use crate::ops::shadow;
use crate::ops::status::Status;
use crate::ops::transfer::{self, Arrived, Coming, PIECE, Shipped};
use crate::ops::words::Language;
use crate::outbox::schedule::person::Deed;
use crate::outbox::search::Wanted;
use crate::outbox::store::Store;
use crate::outbox::store::listing::Look;
use crate::outbox::store::search::holder;
use crate::outbox::store::transfer::Shipment;

/// The one who answers.
pub(super) enum Reach {
    Daemon(PathBuf),
    Store(Box<Own>),
}

/// The store, held by this process.
pub(super) struct Own {
    store: Store,
    accounts: Vec<AccountId>,
    /// Dropped last: gives files back that root made.
    _lent: Option<Lent>,
}

impl Reach {
    /// The daemon, when it answers. When it does not run, the store is opened, and standard error says so where a
    /// language is given.
    ///
    /// # Errors
    /// When neither can be had.
    pub fn find(config: Option<&Path>, default: &Path, language: Option<Language>) -> anyhow::Result<Self> {
        let socket = socket::path(config, default)?;
        match socket::alive(&socket) {
            Ok(()) => Ok(Self::Daemon(socket)),
            Err(Error::Down { .. }) => {
                let own = Own::open(config.unwrap_or(default))?;
                if let Some(language) = language {
                    let words = page::without_daemon(language);
                    writeln!(io::stderr(), "ami2amo: {words}").context("cannot print")?;
                }
                Ok(Self::Store(Box::new(own)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The calls that are meant.
    pub fn calls(&self, question: &Question) -> anyhow::Result<Listing> {
        match self {
            Self::Daemon(socket) => Ok(socket::get(socket, "/v1/calls", &values(question)?)?),
            Self::Store(own) => {
                let (filter, limit) = question.filter()?;
                Ok(own.store.look_through(Look::new(filter, limit, Row::from))?.into())
            }
        }
    }

    /// Whole calls by id, uniqueid or number.
    pub fn explain(&self, call: &str) -> anyhow::Result<Explained> {
        match self {
            Self::Daemon(socket) => {
                Ok(socket::get(socket, "/v1/explain", &[("call".to_owned(), call.to_owned())])?)
            }
            Self::Store(own) => {
                let search = own.store.search(&Wanted::parse(call))?;
                let mixed_batches = own.store.manners()?;
                let mixed_batches = mixed_batches.into_iter().map(|(account, known)| (account, known.into()));
                let mixed_batches = mixed_batches.collect();
                Ok(Explained { v: VERSION, found: search.found, more: search.more, mixed_batches })
            }
        }
    }

    /// How calls of shadow mode compare.
    pub fn shadow(&self, question: &shadow::Question) -> anyhow::Result<shadow::Report> {
        match self {
            Self::Daemon(socket) => Ok(socket::get(socket, "/v1/shadow", &values(question)?)?),
            Self::Store(own) => {
                let look = Look::new(question.filter(), shadow::COUNTED_MAX, shadow::Seen::from);
                let calls = own.store.look_through(look)?;
                let mut strangers = Vec::new();
                for account in &own.accounts {
                    let kept = own.store.strangers(account)?.into_iter();
                    strangers.extend(kept.map(|stranger| (account.clone(), stranger)));
                }
                Ok(shadow::report(question, calls.found, strangers, calls.more))
            }
        }
    }

    /// Does something about calls.
    pub fn intervene(&mut self, deed: Deed, order: Order) -> anyhow::Result<Verdicts> {
        match self {
            Self::Daemon(socket) => {
                let place = match deed {
                    Deed::Retry => "/v1/retry",
                    Deed::Drop => "/v1/drop",
                };
                Ok(socket::post(socket, place, &order)?)
            }
            Self::Store(own) => {
                let mut what = order.intervention(deed);
                what.by = signed(&what.by);
                let verdicts = own.store.intervene(&what, &order.calls, clock::host())?;
                Ok(Verdicts { v: VERSION, verdicts: order.calls.into_iter().zip(verdicts).collect() })
            }
        }
    }

    /// The next calls behind [`Question::after`], the oldest first.
    pub fn export(&self, question: &Question) -> anyhow::Result<Shipped> {
        match self {
            Self::Daemon(socket) => Ok(socket::get(socket, "/v1/export", &values(question)?)?),
            Self::Store(own) => {
                let Shipment { items, next } =
                    own.store.export(&question.filter()?.0, question.after, PIECE)?;
                Ok(Shipped { v: transfer::VERSION, calls: items, next })
            }
        }
    }

    /// Takes calls of another store in.
    pub fn import(&mut self, coming: Coming) -> anyhow::Result<Arrived> {
        match self {
            Self::Daemon(socket) => Ok(socket::post(socket, "/v1/import", &coming)?),
            Self::Store(own) => {
                let Coming { calls, by } = coming;
                let arrivals = own.store.import(&calls, &signed(&by), clock::host())?;
                let ids = calls.into_iter().map(|item| item.call.record.call_id);
                Ok(Arrived { v: transfer::VERSION, arrivals: ids.zip(arrivals).collect() })
            }
        }
    }

    /// Forgets a number, or says what there is of it.
    pub fn forget(&mut self, mut order: forget::Order) -> anyhow::Result<Oblivion> {
        match self {
            Self::Daemon(socket) => Ok(socket::post(socket, "/v1/forget", &order)?),
            Self::Store(own) if order.really => {
                order.by = signed(&order.by);
                Ok(own.store.forget_number(&order.into(), clock::host())?.into())
            }
            Self::Store(own) => Ok(own.store.traces(&order.number)?.into()),
        }
    }

    /// Stops delivery to an account, or lets it go on; whether that is news.
    pub fn pause(&mut self, stop: bool, mut order: PauseOrder) -> anyhow::Result<bool> {
        match self {
            Self::Daemon(socket) => {
                let place = if stop { "/v1/pause" } else { "/v1/resume" };
                Ok(socket::post::<Changed>(socket, place, &order)?.changed)
            }
            Self::Store(own) => {
                if !own.accounts.contains(&order.account) {
                    bail!(Usage(format!("there is no account {} in the configuration", order.account)));
                }
                order.by = signed(&order.by);
                Ok(own.store.pause(&order.account, stop, &order.pause(clock::host()))?)
            }
        }
    }

    /// The accounts that there are.
    pub fn accounts(&self) -> anyhow::Result<Vec<AccountId>> {
        match self {
            Self::Daemon(socket) => {
                let status: Status = socket::get(socket, "/v1/status", &[])?;
                Ok(status.accounts.into_iter().map(|account| account.name).collect())
            }
            Self::Store(own) => Ok(own.accounts.clone()),
        }
    }
}

impl Own {
    fn open(config: &Path) -> anyhow::Result<Self> {
        let file: File = config::read(config, &Host::Look)?;
        let dir = &file.store.dir;
        let Some(owner) = owner(dir)? else {
            bail!(
                "the daemon does not run, and there is no store in {}: it never ran with this configuration",
                dir.display()
            );
        };
        if let Some(pid) = holder(dir).with_context(|| unreadable(dir))? {
            let socket = file.admin.socket.display();
            bail!(
                "process {pid} holds the store {} and does not answer on {socket}: see its log for \"admin socket\" \
                 (journalctl -u ami2amo -n 50), or the [admin] socket of its configuration",
                dir.display()
            );
        }
        if owner != own_user() && own_user() != 0 {
            bail!("the store {} belongs to user {owner}: run this as root, or as that user", dir.display());
        }
        // Made before the store is opened, and dropped after it is closed.
        let lent = if own_user() == 0 { Lent::of(dir) } else { None };
        let store = Store::open_unrepaired(dir, clock::host());
        let store = store.with_context(|| format!("cannot open the store in {}", dir.display()))?;
        let accounts = std::iter::once(&file.amocrm).chain(&file.account).map(|account| account.name.clone());
        Ok(Self { store, accounts: accounts.collect(), _lent: lent })
    }
}

/// Who runs this command, as far as the environment says.
pub(super) fn who() -> String {
    let set = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    set.filter(|name| !name.is_empty()).unwrap_or_else(|| "somebody".to_owned())
}

/// With the user that the system knows.
fn signed(by: &str) -> String {
    format!("{by} (uid {})", own_user())
}

/// The question as it stands in an address.
fn values(question: &impl Serialize) -> anyhow::Result<Vec<(String, String)>> {
    let value = serde_json::to_value(question).context("a question has no JSON")?;
    let pairs = value.as_object().into_iter().flatten();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(pairs.map(|(name, value)| (name.clone(), text(value))).collect())
}
