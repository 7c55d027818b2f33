//! What people do about stored calls, and about delivery as a whole: durable, as all that the store does.

use std::collections::BTreeMap;

use tracing::{info, warn};

use crate::call::id::{AccountId, CallId, PbxName};
use crate::call::phone::Private;
use crate::outbox::courier::manner::Known;
use crate::outbox::queue::{Error, Phase, Stats};
use crate::outbox::schedule::Turn;
use crate::outbox::schedule::person::{Deed, Intervention, Pause, Verdict};
use crate::outbox::schedule::waiting::AccountWaiting;
use crate::outbox::search::Wanted;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::search::Search;
use crate::outbox::store::{Shelf, Store};
use crate::pseudonym;
use crate::time::HostTime;

/// What the store knows of delivery as a whole.
#[derive(Clone, Debug)]
pub struct Overall {
    pub stats: Stats,
    pub waiting: Vec<AccountWaiting>,
    pub pauses: BTreeMap<AccountId, Pause>,
    pub manners: BTreeMap<AccountId, Known>,
}

impl Store {
    /// Does what a person wants about each of these calls; one verdict for each.
    ///
    /// # Errors
    /// When the store failed.
    pub fn intervene(
        &mut self,
        what: &Intervention,
        calls: &[CallId],
        now: HostTime,
    ) -> Result<Vec<Verdict>, Error> {
        let verdicts = self.step_in(what, calls, now)?;
        self.persist()?;
        Ok(verdicts)
    }

    /// Stops delivery to an account, or lets it go on, because of `word`; whether that is news.
    ///
    /// # Errors
    /// When the store failed.
    pub fn pause(&mut self, account: &AccountId, stop: bool, word: &Pause) -> Result<bool, Error> {
        let is_news = self.set_pause(account, stop, word)?;
        self.persist()?;
        Ok(is_news)
    }

    /// The accounts to which delivery stands still.
    ///
    /// # Errors
    /// When the store failed.
    pub fn pauses(&self) -> Result<BTreeMap<AccountId, Pause>, Error> {
        let kept = self.fetch_all(Shelf::Pauses, "")?;
        let read = |(name, bytes): (String, Vec<u8>)| {
            Some((AccountId::new(name).ok()?, serde_json::from_slice(&bytes).ok()?))
        };
        Ok(kept.into_iter().filter_map(read).collect())
    }

    /// How accounts answer a batch in which they refuse some calls, as far as that is known.
    ///
    /// # Errors
    /// When the store failed.
    pub fn manners(&self) -> Result<BTreeMap<AccountId, Known>, Error> {
        let kept = self.fetch_all(Shelf::Manners, "")?;
        let read =
            |(name, bytes): (String, Vec<u8>)| Some((AccountId::new(name).ok()?, Known::read(&bytes)?));
        Ok(kept.into_iter().filter_map(read).collect())
    }

    fn step_in(
        &mut self,
        what: &Intervention,
        calls: &[CallId],
        now: HostTime,
    ) -> Result<Vec<Verdict>, Error> {
        self.begin(now)?;
        let mut verdicts = Vec::with_capacity(calls.len());
        for id in calls {
            let verdict = self.step_into(what, id, now)?;
            if verdict != Verdict::Done {
                let (deed, by, why) = (what.deed, &what.by, what.why.as_deref());
                info!(call_id = %id, ?deed, by, why, ?verdict, "a person stepped in");
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    fn step_into(&mut self, what: &Intervention, id: &CallId, now: HostTime) -> Result<Verdict, Error> {
        let Some(seq) = self.seq_of_call(id)? else { return Ok(Verdict::Absent) };
        let (tree, stored) = match self.load(seq) {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return Ok(Verdict::Absent),
            Err(error) => return self.alive().map(|()| Verdict::Unreadable).map_err(|_| error),
        };
        let mut slip = stored.slip().clone();
        let from = slip.state.phase();
        if what.deed == Deed::Retry && stored.is_forgotten() && from == Phase::Expired {
            return Ok(Verdict::Forgotten);
        }
        let verdict = slip.intervene(what, now)?;
        if verdict != Verdict::Done {
            return Ok(verdict);
        }
        if from == Phase::Dead && slip.state.phase() == Phase::Pending {
            // Its line may be of a day that is about to leave the journal.
            self.note_enter(&stored)?;
        }
        let done =
            Done { what, id, pbx: slip.pbx.clone(), account: slip.account.clone(), to: slip.state.phase() };
        let phone = stored.call().ok().and_then(|call| call.record.phone);
        self.turn(self.draft(), vec![Turn { from, slip }], BTreeMap::from([(seq, (tree, stored))]))?;
        self.news = true;
        done.tell(&Private::new(phone.as_deref()));
        Ok(Verdict::Done)
    }

    fn set_pause(&mut self, account: &AccountId, stop: bool, word: &Pause) -> Result<bool, Error> {
        if self.pauses()?.contains_key(account) == stop {
            return Ok(false);
        }
        let value = stop.then(|| serde_json::to_vec(word)).transpose();
        let value = value.map_err(|error| self.fail("a value has no JSON", error))?;
        self.place(Shelf::Pauses, account.as_str(), value.as_deref())?;
        let Pause { by, why, .. } = word;
        let why = why.as_deref();
        if stop {
            warn!(%account, by, why, "delivery was paused: calls wait until `ami2amo resume`");
        } else {
            info!(%account, by, why, "delivery goes on");
        }
        self.news = true;
        Ok(true)
    }
}

/// What a person did about a call.
struct Done<'a> {
    what: &'a Intervention,
    id: &'a CallId,
    pbx: PbxName,
    account: AccountId,
    to: Phase,
}

impl Done<'_> {
    /// The line has all by which the call's others are found.
    fn tell(&self, number: &Private) {
        let Self { what, id, pbx, account, to } = self;
        let (deed, by, why) = (what.deed, &what.by, what.why.as_deref());
        let (phone, phone_hash, verdict) = (number.masked(), pseudonym::of(number.whole()), Verdict::Done);
        info!(
            call_id = %id, ?deed, by, why, ?verdict, %pbx, %account, state = to.name(), phone, phone_hash,
            "a person stepped in"
        );
    }
}

impl Handle {
    /// As [`Store::intervene`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn intervene(
        &self,
        what: Intervention,
        calls: Vec<CallId>,
        now: HostTime,
    ) -> Result<Vec<Verdict>, Error> {
        self.ask(move |store| store.step_in(&what, &calls, now)).await
    }

    /// As [`Store::pause`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn pause(&self, account: AccountId, stop: bool, word: Pause) -> Result<bool, Error> {
        self.ask(move |store| store.set_pause(&account, stop, &word)).await
    }

    /// Whether delivery to an account stands still.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn is_paused(&self, account: &AccountId) -> Result<bool, Error> {
        Ok(self.get(Shelf::Pauses, account.as_str()).await?.is_some())
    }

    /// The ledger, what waits, and where delivery stands still.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn overview(&self) -> Result<Overall, Error> {
        self.ask(|store| {
            let (stats, waiting) = (store.count()?, store.schedule.waiting());
            Ok(Overall { stats, waiting, pauses: store.pauses()?, manners: store.manners()? })
        })
        .await
    }

    /// As [`Store::manners`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn manners(&self) -> Result<BTreeMap<AccountId, Known>, Error> {
        self.ask(|store| store.manners()).await
    }

    /// As [`Store::search`], for calls by name: for numbers it would keep others waiting.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn find_named(&self, name: String) -> Result<Search, Error> {
        self.ask(move |store| store.search(&Wanted::Named(name))).await
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::outbox::queue::contract::{account, at, balances, call, settlement};
    use crate::outbox::queue::{Queue as _, Seq, State};

    fn what(deed: Deed) -> Intervention {
        Intervention { deed, by: "anna (uid 7)".to_owned(), why: None }
    }

    fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path(), at(9)).unwrap()
    }

    fn dead(store: &mut Store) {
        store.enqueue(vec![call(1), call(2)], at(0)).unwrap();
        store.intend(&[Seq(0)], at(0)).unwrap();
        let dead = State::Dead { reason: "no such user".to_owned(), at: at(1) };
        store.settle(vec![settlement(Seq(0), dead, at(1))], at(1)).unwrap();
    }

    #[test]
    fn what_a_person_did_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let id = call(1).record.call_id;
        let absent = CallId::from_text("default-9.9");
        let mut store = open(&dir);
        dead(&mut store);
        let done = store.intervene(&what(Deed::Drop), &[id.clone(), absent], at(2)).unwrap();
        assert_eq!(done, [Verdict::Done, Verdict::Absent]);
        drop(store);
        let mut store = open(&dir);
        assert_eq!(store.opened(), crate::outbox::store::Opened::default());
        assert_eq!(store.find(&id).unwrap().unwrap().state.phase(), Phase::Expired);
        assert!(balances(&store.stats().unwrap()), "{:?}", store.stats());
        assert_eq!(store.intervene(&what(Deed::Drop), from_ref(&id), at(3)).unwrap(), [Verdict::GivenUp]);
        assert_eq!(store.intervene(&what(Deed::Retry), from_ref(&id), at(3)).unwrap(), [Verdict::Done]);
        drop(store);
        let mut store = open(&dir);
        assert_eq!(store.opened(), crate::outbox::store::Opened::default());
        let leased = store.lease(&account(), 9, at(3)).unwrap();
        assert_eq!(leased.iter().map(|item| item.seq).collect::<Vec<_>>(), [Seq(0), Seq(1)]);
        assert!(balances(&store.stats().unwrap()), "{:?}", store.stats());
    }

    #[test]
    fn a_dead_call_that_is_taken_up_again_is_in_the_journal_of_that_day() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        dead(&mut store);
        let (id, later) = (call(1).record.call_id, at(40 * 86_400));
        assert_eq!(store.intervene(&what(Deed::Retry), from_ref(&id), later).unwrap(), [Verdict::Done]);
        drop(store);
        std::fs::remove_dir_all(dir.path().join("queue")).unwrap();
        for day in std::fs::read_dir(dir.path().join("journal")).unwrap() {
            let path = day.unwrap().path();
            let is_today = later.to_string().starts_with(path.file_stem().unwrap().to_str().unwrap());
            if !is_today {
                std::fs::remove_file(path).unwrap();
            }
        }
        let mut store = Store::open(dir.path(), later).unwrap();
        assert_eq!(store.find(&id).unwrap().map(|item| item.state), Some(State::Pending));
    }

    #[test]
    fn a_pause_outlives_the_process_and_is_news_once() {
        let dir = tempfile::tempdir().unwrap();
        let pause = Pause { at: at(1), by: "anna".to_owned(), why: Some("migration".to_owned()) };
        let mut store = open(&dir);
        assert!(store.pause(&account(), true, &pause).unwrap());
        assert!(!store.pause(&account(), true, &pause).unwrap());
        drop(store);
        let mut store = open(&dir);
        assert_eq!(store.pauses().unwrap(), BTreeMap::from([(account(), pause.clone())]));
        assert!(
            store.pause(&account(), false, &pause).unwrap()
                && !store.pause(&account(), false, &pause).unwrap()
        );
        assert_eq!(store.pauses().unwrap(), BTreeMap::new());
    }
}
