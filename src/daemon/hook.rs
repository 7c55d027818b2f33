//! The hook `before-send`: a program is asked about each call before it may be sent, ahead of the couriers and for
//! several calls at a time, and its decision is stored with the call (`outbox/hook`).
//!
//! ```text
//!  due and undecided ─► asked, four at a time ─► decided, durably ─► may be leased
//!                          └─ it failed, or fails again and again: the call goes as it was
//! ```
//!
//! It fails open. A process that ends meanwhile has decided nothing: the next one asks again, and nothing was sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::amo::settings::Settings;
use crate::call::id::AccountId;
use crate::call::why::HookEffect;
use crate::clock;
use crate::daemon::hook::circuit::Circuit;
use crate::ops::hook::HookStatus;
use crate::outbox::courier::Rules;
use crate::outbox::hook;
use crate::outbox::queue::{Item, Seq};
use crate::outbox::store::handle::Handle;
use crate::outbox::store::hooked::Decision;

mod child;
mod circuit;

/// Programs that run at a time: four take at most 8 s of a call's time between them, and little of a small machine.
const AT_ONCE: usize = 4;

/// Due calls of an account that are looked at ahead of its courier: four of its requests.
const AHEAD: usize = 200;

/// Calls of one account that are taken up before those of the next have their turn.
const ROUND: usize = 16;

/// How long the store is left alone that could not do what it was asked.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What the daemon has for the hook.
#[derive(Debug)]
pub struct Hook {
    program: Arc<[String]>,
    store: Handle,
    accounts: BTreeMap<AccountId, watch::Receiver<Arc<Rules>>>,
    /// False until calls are held back that must wait for the PBX's records.
    is_open: watch::Receiver<bool>,
    bell: Bell,
    seen: watch::Sender<HookStatus>,
    circuit: Circuit,
    /// Calls that wait for their turn here, and all that were not given back yet.
    queue: VecDeque<Item>,
    taken: BTreeSet<Seq>,
    running: JoinSet<(Item, Result<hook::Answer, String>)>,
}

/// Rung where calls are met that wait for the hook.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

impl Hook {
    /// `accounts` say what would be posted of a call.
    pub fn new(
        program: &[String],
        store: Handle,
        accounts: BTreeMap<AccountId, watch::Receiver<Arc<Rules>>>,
        is_open: watch::Receiver<bool>,
        bell: Bell,
    ) -> (Self, watch::Receiver<HookStatus>) {
        // Its arguments may be secrets, and status and log are read by others.
        let shown = program.first().cloned().unwrap_or_default();
        let status = HookStatus { program: shown, ..HookStatus::default() };
        let (seen, reader) = watch::channel(status);
        let own = Self {
            program: program.into(),
            store,
            accounts,
            is_open,
            bell,
            seen,
            circuit: Circuit::default(),
            queue: VecDeque::new(),
            taken: BTreeSet::new(),
            running: JoinSet::new(),
        };
        (own, reader)
    }

    /// Asks until it is dropped; programs that run then are killed.
    pub async fn run(mut self) {
        let mut news = self.store.news();
        loop {
            if self.queue.is_empty() {
                self.look_ahead(ROUND).await;
            }
            if self.circuit.is_open(clock::mono()) {
                self.let_all_pass().await;
            }
            while self.running.len() < AT_ONCE
                && let Some(item) = self.queue.pop_front()
            {
                self.begin(item);
            }
            // All of them are cancel safe: what is missed of a bell or of news is kept, a run by its set.
            tokio::select! {
                Some(ended) = self.running.join_next() => match ended {
                    Ok((item, answer)) => self.ended(item, answer).await,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                () = self.bell.0.notified() => {}
                changed = news.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Takes calls up that are due, `most` of each account, in the order in which they will be sent.
    async fn look_ahead(&mut self, most: usize) {
        if !*self.is_open.borrow() {
            return; // the courier rings when it may lease
        }
        let accounts: Vec<AccountId> = self.accounts.keys().cloned().collect();
        for account in accounts {
            match self.waiting(&account).await {
                Ok(items) => {
                    let new = items.into_iter().filter(|item| !self.taken.contains(&item.seq)).take(most);
                    let new: Vec<Item> = new.collect();
                    self.taken.extend(new.iter().map(|item| item.seq));
                    self.queue.extend(new);
                }
                // The courier meets the same, and rings when it is over.
                Err(error) => debug!(%account, %error, "calls that wait for the hook cannot be looked up"),
            }
        }
    }

    async fn waiting(&self, account: &AccountId) -> Result<Vec<Item>, crate::outbox::queue::Error> {
        if self.store.is_paused(account).await? {
            return Ok(Vec::new());
        }
        self.store.unhooked(account, AHEAD, clock::host()).await
    }

    fn begin(&mut self, item: Item) {
        let settings: Settings = match self.accounts.get(&item.account) {
            Some(rules) => rules.borrow().amo.clone(),
            None => Settings::default(),
        };
        let question = hook::question(&item.call.record, &settings);
        let program = Arc::clone(&self.program);
        self.running.spawn(async move {
            let answer = child::ask(&program, question).await.and_then(|said| hook::answer(&said));
            (item, answer)
        });
    }

    async fn ended(&mut self, item: Item, answer: Result<hook::Answer, String>) {
        let id = item.call.record.call_id.clone();
        let (mut told, effect) = match answer {
            Ok(answer) => {
                self.circuit.worked();
                answer.apply(&item.call)
            }
            Err(reason) => {
                let effect = hook::failed(&reason);
                if let HookEffect::Failed { reason } = &effect {
                    warn!(call_id = %id, reason, "the hook failed: the call goes as it was");
                    self.circuit.failed(clock::mono(), reason);
                }
                (item.call.clone(), effect)
            }
        };
        debug!(call_id = %id, ?effect, "the hook has decided");
        self.seen.send_modify(|status| status.count(&effect));
        hook::explain(&mut told, effect);
        self.decide(vec![Decision { seq: item.seq, asked: item.call, told }]).await;
    }

    /// The hook fails again and again: calls do not wait for it.
    async fn let_all_pass(&mut self) {
        while !self.queue.is_empty() {
            let items = std::mem::take(&mut self.queue);
            let decisions = items.into_iter().map(|item| {
                self.seen.send_modify(|status| status.count(&HookEffect::Bypassed));
                let mut told = item.call.clone();
                hook::explain(&mut told, HookEffect::Bypassed);
                Decision { seq: item.seq, asked: item.call, told }
            });
            let decisions = decisions.collect();
            if !self.decide(decisions).await {
                return;
            }
            self.look_ahead(AHEAD).await;
        }
    }

    /// Stores decisions. Where that fails nothing is decided, and the calls are asked about once more.
    async fn decide(&mut self, decisions: Vec<Decision>) -> bool {
        let seqs: Vec<Seq> = decisions.iter().map(|decision| decision.seq).collect();
        let decided = self.store.decide(decisions, clock::host()).await;
        for seq in seqs {
            self.taken.remove(&seq);
        }
        let failure = self.circuit.failure();
        self.seen
            .send_if_modified(|status| std::mem::replace(&mut status.failure, failure.clone()) != failure);
        match decided {
            Ok(_) => true,
            Err(error) => {
                debug!(%error, "what the hook decided cannot be stored: it is asked again");
                clock::sleep_until(Some(clock::mono().after(STORE_PAUSE))).await;
                false
            }
        }
    }
}
