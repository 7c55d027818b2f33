//! The courier task: one for each amoCRM account, on the runtime that does HTTP. It carries out
//! what [`Courier`] asks for and decides nothing.
//!
//! Guarantees: no POST leaves before its intent is durable; a call's outcome is written as soon as the
//! store takes it; the end waits for requests that are under way, up to `stop-timeout`, and what
//! is cut off then is looked up at the next start. Waiting costs a wake-up a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::amo::client::{Client, Clock, Failure, Looked, Renewal};
use crate::amo::{answer, contacts, made, unsorted};
use crate::call::id::{AccountId, PbxName};
use crate::outbox::courier::asking;
use crate::outbox::courier::effect::{
    Created, Effect, Now, Outcome, Posted, Probed, ReadBack, Ruling, Token,
};
use crate::outbox::courier::manner::{Lesson, Manner};
use crate::outbox::courier::standing::Standing;
use crate::outbox::courier::watch::Foreigners;
use crate::outbox::courier::{Courier, Rules};
use crate::outbox::errand::Make;
use crate::outbox::queue::{self, BatchId};
use crate::time::{HostTime, MonoTime};

mod compared;
mod lines;
mod outbox;
mod sounds;

pub use outbox::Outbox;
pub use sounds::Sounds;

/// The POSTs that are under way, and the question beside them.
type Air = JoinSet<Outcome>;

/// What the task works with.
#[derive(Debug)]
pub struct Task<O> {
    pub account: AccountId,
    pub outbox: O,
    pub client: Arc<Client>,
    pub clock: Clock,
    /// Swapped on reload.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// How far the host's clock is ahead of each PBX's, in microseconds.
    pub offsets: watch::Receiver<Arc<BTreeMap<PbxName, i64>>>,
    /// Notified when calls were enqueued.
    pub arrivals: Arc<Notify>,
    /// What recordings need.
    pub sounds: Sounds,
    /// Who else writes notes of the calls that are posted.
    pub foreigners: watch::Sender<Foreigners>,
    /// Where the account stands, for status, metrics and tests.
    pub standing: watch::Sender<Standing>,
    pub stop: CancellationToken,
}

impl<O: Outbox> Task<O> {
    /// Runs until `stop`, and then until the request under way is settled or `stop-timeout` ends.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        let rules = self.rules.clone();
        let deadline = async {
            stop.cancelled().await;
            let timeout = rules.borrow().delivery.stop_timeout.duration();
            tokio::time::sleep(timeout).await;
        };
        // Both branches may be dropped: what `deliver` leaves open, the intent makes good.
        tokio::select! {
            () = self.deliver() => {}
            () = deadline => warn!(account = %self.account, "a request is cut off: it is looked up at the next start"),
        }
    }

    async fn deliver(&mut self) {
        let rules = Arc::clone(&self.rules.borrow_and_update());
        self.client.set_silent(rules.amo.is_shadow());
        let mut courier = Courier::new(self.account.clone(), rules, fastrand::u64(..));
        let mut forgotten = self.outbox.forgotten();
        self.recall(&mut courier).await;
        if !self.recall_tasks(&mut courier).await {
            return;
        }
        let mut air = Air::new();
        loop {
            if self.stop.is_cancelled() {
                courier.wind_down();
                if courier.may_stop() {
                    return;
                }
            }
            self.refresh(&mut courier);
            while let Ok(number) = forgotten.try_recv() {
                courier.forget_number(&number);
            }
            let effect = courier.poll(self.now());
            if self.stop.is_cancelled() && air.is_empty() && matches!(effect, Effect::Wait { .. }) {
                return; // for a store that failed: what it does not hear of is looked up at the next start
            }
            if let Some(outcome) = self.carry_out(effect, &mut air).await {
                courier.handle(outcome, self.now());
            }
            while let Some(landed) = air.try_join_next() {
                courier.handle(landing(landed), self.now());
            }
            self.tell_lesson(&mut courier).await;
            self.tell_complaints(&mut courier);
            self.tell_words(&mut courier);
            self.tell_foreigners(&mut courier);
        }
    }

    fn now(&self) -> Now {
        Now {
            host: (self.clock.host)(),
            mono: (self.clock.mono)(),
            open_at: self.client.open_at(),
            amo_ahead: self.client.ahead(),
            utc_offset: (self.sounds.utc_offset)(),
        }
    }

    fn refresh(&mut self, courier: &mut Courier) {
        if self.rules.has_changed().unwrap_or(false) {
            let rules = Arc::clone(&self.rules.borrow_and_update());
            self.client.set_silent(rules.amo.is_shadow());
            courier.set_rules(rules);
        }
        if self.offsets.has_changed().unwrap_or(false) {
            courier.set_offsets(BTreeMap::clone(&self.offsets.borrow_and_update()));
        }
    }

    /// An effect that only asks may be dropped at the stop; a wait may be everywhere, and ends with a
    /// POST that lands.
    async fn carry_out(&self, effect: Effect, air: &mut Air) -> Option<Outcome> {
        match effect {
            Effect::Post { batch, body, request_ids } => {
                air.spawn(post(Arc::clone(&self.client), batch, body, request_ids));
                None
            }
            Effect::Ask(question) => {
                let (client, outbox, account) =
                    (Arc::clone(&self.client), self.outbox.clone(), self.account.clone());
                air.spawn(async move {
                    let later_talk =
                        async |number: &str, since| outbox.has_talk_after(&account, number, since).await;
                    Outcome::Told(asking::ask(client, question, later_talk).await)
                });
                None
            }
            Effect::Wait { until } => self.wait(until, air).await,
            Effect::Intend { .. }
            | Effect::Settle { .. }
            | Effect::Create { .. }
            | Effect::Keep { .. }
            | Effect::Amend { .. }
            | Effect::NoteCompared { .. }
            | Effect::Announce(_) => self.outcome(effect).await,
            Effect::Adopt
            | Effect::Look { .. }
            | Effect::Lease { .. }
            | Effect::NextDue
            | Effect::Probe
            | Effect::RenewToken
            | Effect::ReadBack { .. }
            | Effect::Doubts { .. }
            | Effect::ReadUnsorted
            | Effect::FindSounds { .. }
            | Effect::Owing { .. }
            | Effect::Uncompared { .. }
            | Effect::ReadFeed { .. }
            | Effect::Search { .. } => tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                outcome = self.outcome(effect) => outcome,
            },
        }
    }

    /// Does one thing; `None` when the courier needs to hear nothing of it.
    async fn outcome(&self, effect: Effect) -> Option<Outcome> {
        let now = (self.clock.host)();
        let done = match effect {
            Effect::Adopt => self.outbox.adopt(&self.account, now).await.map(|count| {
                if count > 0 {
                    warn!(account = %self.account, count, "calls were under way when the last process ended: looked up first");
                }
                Outcome::Adopted(count)
            }),
            Effect::Look { limit } => self.outbox.unknown(&self.account, limit, now).await.map(Outcome::Unknown),
            Effect::Doubts { limit } => {
                let ever = HostTime::from_micros(i64::MAX);
                self.outbox.unknown(&self.account, limit, ever).await.map(Outcome::Doubts)
            }
            Effect::Lease { limit } => self.outbox.lease(&self.account, limit, now).await.map(Outcome::Leased),
            Effect::NextDue => self.outbox.next_due(&self.account).await.map(Outcome::NextDue),
            Effect::Intend { calls } => self.outbox.intend(calls, now).await.map(Outcome::Intended),
            Effect::Settle { rulings } => self.settle(rulings, now).await.map(|()| Outcome::Settled),
            Effect::Probe => Ok(Outcome::Probed(self.probe().await)),
            Effect::RenewToken => Ok(Outcome::Token(self.renew().await)),
            Effect::ReadBack { since, uniqs } => Ok(Outcome::ReadBack(self.read_back(&uniqs, since).await)),
            Effect::ReadUnsorted => Ok(Outcome::Open(read_back(self.client.open_unsorted().await))),
            Effect::Search { number } => {
                Ok(Outcome::Searched(read_back(self.client.find_contacts(&number).await)))
            }
            Effect::Create { make, body, request_ids } => {
                Ok(Outcome::Created(self.create(make, body, &request_ids).await))
            }
            Effect::Keep { rows } => self.outbox.keep_tasks(rows).await.map(|()| Outcome::Kept),
            Effect::FindSounds { searches } => Ok(Outcome::Sounds(self.sounds.finder.find(searches).await)),
            Effect::Owing { limit } => self.outbox.owing(&self.account, limit, now).await.map(Outcome::Owing),
            Effect::Uncompared { limit, until } => {
                self.outbox.uncompared(&self.account, limit, until).await.map(Outcome::Uncompared)
            }
            Effect::ReadFeed { window } => Ok(Outcome::Feed(self.read_feed(window).await)),
            Effect::NoteCompared { found, strangers } => {
                self.outbox.note_compared(&self.account, found, strangers, now).await.map(|()| Outcome::Noted)
            }
            Effect::Amend { path, body } => {
                Ok(Outcome::Amended(sounds::amend(&self.client, &path, body).await))
            }
            Effect::Announce(standing) => {
                self.announce(standing);
                return None;
            }
            // They are carried out where the flights are known.
            Effect::Post { .. } | Effect::Wait { .. } | Effect::Ask(_) => return None,
        };
        Some(done.unwrap_or_else(|error| {
            match &error {
                queue::Error::Store(_) => {
                    error!(account = %self.account, %error, "the outbox failed: delivery pauses");
                }
                queue::Error::Absent(_) | queue::Error::Transition { .. } => {
                    info!(account = %self.account, reason = %error, "a call was changed meanwhile: what was found out about it is not kept");
                }
            }
            Outcome::StoreFailed(error)
        }))
    }

    /// All of them are cancel safe: a notification that nobody waited for is kept by `Notify`, and a
    /// landing by its set.
    async fn wait(&self, until: MonoTime, air: &mut Air) -> Option<Outcome> {
        let is_stopping = self.stop.is_cancelled();
        tokio::select! {
            Some(landed) = air.join_next() => Some(landing(landed)),
            () = self.arrivals.notified() => Some(Outcome::Arrived),
            () = tokio::time::sleep(until.since(self.now().mono)) => None,
            () = self.stop.cancelled(), if !is_stopping => None,
        }
    }

    async fn recall(&self, courier: &mut Courier) {
        match self.outbox.recall(&self.account).await {
            Ok(Some(kept)) => courier.recall(&kept),
            Ok(None) => {}
            Err(error) => {
                debug!(account = %self.account, %error, "what was learned of the account cannot be read");
            }
        }
    }

    /// Tells and keeps what was learned. Lost, it is learned again.
    async fn tell_lesson(&self, courier: &mut Courier) {
        let Some((Lesson { manner, evidence }, kept)) = courier.learned() else { return };
        let account = &self.account;
        let batches = match manner {
            Manner::Partial => "as before",
            Manner::Refused | Manner::Opaque => "of one call for a week",
        };
        info!(%account, ?manner, batches, evidence, "it was learned how amoCRM answers when it refuses a part of a batch");
        if let Err(error) = self.outbox.remember(account, kept).await {
            debug!(%account, %error, "what was learned of the account cannot be kept");
        }
    }

    /// Tells what is cut or left out of calls from here on, and counts links.
    fn tell_words(&self, courier: &mut Courier) {
        if let Some(words) = courier.refused_words() {
            warn!(account = %self.account, words, "amoCRM refuses a text of a call: from here on calls are told without it");
        }
        let links = courier.late_links();
        self.sounds.links.send_if_modified(|known| std::mem::replace(known, links) != links);
    }

    async fn settle(&self, rulings: Vec<Ruling>, now: HostTime) -> Result<(), queue::Error> {
        let settlements = rulings.iter().map(|ruling| ruling.settlement.clone()).collect();
        self.outbox.settle(settlements, now).await?;
        for ruling in &rulings {
            lines::tell(ruling);
        }
        Ok(())
    }

    async fn probe(&self) -> Probed {
        match self.client.account().await {
            Ok(probe) => Probed::Answered(probe),
            Err(Failure::NoToken(words)) => Probed::NoToken(words),
            Err(failure @ (Failure::NotSent(_) | Failure::Unknown(_) | Failure::Quiet)) => {
                Probed::Silent(failure.to_string())
            }
        }
    }

    async fn read_back(&self, uniqs: &BTreeSet<String>, since: HostTime) -> ReadBack {
        let found = read_back(self.client.find_notes(uniqs, since).await);
        if let ReadBack::Unreadable(reason) = &found {
            error!(
                account = %self.account, calls = uniqs.len(), reason,
                "calls that were perhaps stored cannot be looked up in amoCRM: they wait until the token's user may read notes"
            );
        }
        found
    }

    async fn renew(&self) -> Token {
        match self.client.renew_token().await {
            Renewal::Another => {
                info!(account = %self.account, "another amoCRM token was read");
                Token::Another
            }
            Renewal::Same => Token::Same,
            Renewal::Absent(words) => Token::Absent(words),
            Renewal::Later(words) => Token::Later(words),
        }
    }

    async fn create(&self, make: Make, body: Vec<u8>, request_ids: &[String]) -> Created {
        let (path, list) = place(make);
        match self.client.create(path, body).await {
            Ok(reply) => Created::Answered(made::read(&reply, list, request_ids)),
            Err(failure) => Created::from(failure),
        }
    }

    fn announce(&self, standing: Standing) {
        let account = &self.account;
        match &standing {
            Standing::Starting => debug!(%account, "asking amoCRM for the account"),
            Standing::Delivering if self.rules.borrow().amo.is_shadow() => {
                info!(%account, "amoCRM answers: shadow mode, nothing is posted and calls are compared");
            }
            Standing::Delivering => info!(%account, "amoCRM answers: calls are delivered"),
            // The herald tells these, with what to do.
            Standing::Troubled { words, .. } => {
                debug!(%account, reason = words, "amoCRM cannot be reached: calls wait and are tried again");
            }
            Standing::Held { why, words, .. } => {
                debug!(%account, %why, reason = words, advice = why.advice(), "delivery is held: calls wait");
            }
        }
        self.standing.send_replace(standing);
    }
}

/// Dropped before its end, its outcome is unknown.
async fn post(client: Arc<Client>, batch: BatchId, body: Vec<u8>, request_ids: Vec<String>) -> Outcome {
    let posted = match client.post_calls(body).await {
        Ok(reply) => Posted::Answered { status: reply.status, answer: answer::read(&reply, &request_ids) },
        Err(Failure::NoToken(words)) => Posted::NoToken(words),
        Err(Failure::Quiet) => Posted::Quiet,
        Err(Failure::NotSent(words)) => Posted::NotSent(words),
        Err(Failure::Unknown(words)) => Posted::Lost(words),
    };
    Outcome::Posted { batch, posted }
}

/// A POST that panicked ends the task, as everything does that panics here.
fn landing(landed: Result<Outcome, JoinError>) -> Outcome {
    landed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

pub(super) fn read_back<T>(looked: Looked<T>) -> ReadBack<T> {
    match looked {
        Looked::Found(found) => ReadBack::Complete(found),
        Looked::Refused { account, words } => ReadBack::Refused { account, words },
        Looked::Unreadable(words) => ReadBack::Unreadable(words),
        Looked::Failed(Failure::NoToken(words)) => ReadBack::NoToken(words),
        Looked::Failed(failure @ (Failure::NotSent(_) | Failure::Unknown(_) | Failure::Quiet)) => {
            ReadBack::Silent(failure.to_string())
        }
    }
}

/// Where something is made, and where the answer has it.
fn place(make: Make) -> (&'static str, &'static str) {
    match make {
        Make::Unsorted => (unsorted::PATH, unsorted::LIST),
        Make::Contact => (contacts::CONTACTS_PATH, contacts::CONTACTS),
        Make::Lead => (contacts::LEADS_PATH, contacts::LEADS),
    }
}
