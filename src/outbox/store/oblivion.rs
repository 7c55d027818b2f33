//! Forgetting a person: the calls of one number lose what leads to him, in the database, its keys and the
//! journal. Counts stay. It is made of short steps, between which the store does its other work, and may be done
//! again where it was broken off.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use tracing::info;

use crate::call::id::CallId;
use crate::call::record::CallRecord;
use crate::outbox::callback;
use crate::outbox::filter::Filter;
use crate::outbox::forget::{self, Forget};
use crate::outbox::queue::{Error, Item, Phase, Seq, State};
use crate::outbox::schedule::{Turn, waits};
use crate::outbox::search::digits;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::listing::Look;
use crate::outbox::store::trees::{Tree, number_key};
use crate::outbox::store::{Shelf, Store, journal};
use crate::time::HostTime;

/// Calls that are changed in one step.
const AT_ONCE: usize = 64;

/// What was found, and what was done.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct Forgotten {
    /// Calls of the number by the state in which they were found.
    pub found: BTreeMap<Phase, u64>,
    /// Calls that lost the number.
    pub calls: u64,
    /// Calls that were left as they are, because they are being sent or wait.
    pub left: Vec<CallId>,
    /// Lines of the journal that lost it.
    pub lines: u64,
    /// Notes about tasks to call back.
    pub tasks: u64,
    /// What lies beside the store, may have the number, and is for a person to delete.
    pub elsewhere: Vec<String>,
}

/// What is kept of a call until all are found.
struct Trace {
    seq: Seq,
    phase: Phase,
    record: Box<CallRecord>,
}

impl From<Item> for Trace {
    fn from(item: Item) -> Self {
        Self { seq: item.seq, phase: item.state.phase(), record: Box::new(item.call.record) }
    }
}

impl Store {
    /// The calls of a number, as they would be found.
    ///
    /// # Errors
    /// When the store failed.
    pub fn traces(&self, number: &str) -> Result<Forgotten, Error> {
        let traces = own(self.look_through(look(number))?.found, number);
        Ok(report(&traces, &self.ground.dir))
    }

    /// Forgets a number, durably.
    ///
    /// # Errors
    /// When the store failed: what was done until then stays done, and the same order does the rest.
    pub fn forget_number(&mut self, what: &Forget, now: HostTime) -> Result<Forgotten, Error> {
        let traces = own(self.look_through(look(&what.number))?.found, &what.number);
        let mut done = report(&traces, &self.ground.dir);
        for part in traces.chunks(AT_ONCE) {
            self.forget_calls(&seqs(part), what, now, &mut done)?;
        }
        done.tasks = self.forget_tasks(&what.number)?;
        self.persist()?;
        for file in self.journal.files().map_err(|error| self.fail("the journal cannot be read", error))? {
            done.lines += self.forget_lines(&file, &what.number, now)?;
        }
        tell(what, &done);
        Ok(done)
    }

    fn forget_calls(
        &mut self,
        calls: &[Seq],
        what: &Forget,
        now: HostTime,
        done: &mut Forgotten,
    ) -> Result<(), Error> {
        self.begin(now)?;
        let mut draft = self.draft();
        let (mut turns, mut loaded) = (Vec::new(), BTreeMap::new());
        for &seq in calls {
            let Ok(Some((tree, mut stored))) = self.load(seq) else { continue };
            let Ok(mut call) = stored.call() else { continue };
            let from = stored.slip().state.phase();
            let may_go = match from {
                Phase::Pending | Phase::Parked => what.drop_waiting,
                // amoCRM may have it, or is being given it: that is settled first.
                Phase::Sending | Phase::Unknown => false,
                Phase::Sent | Phase::Unsorted | Phase::Skipped | Phase::Expired | Phase::Dead => true,
            };
            if !may_go {
                done.left.push(call.record.call_id);
                continue;
            }
            let numbers = [&call.record.phone, &call.record.phone_e164, &call.record.phone_raw];
            for number in numbers.into_iter().flatten() {
                draft.change.remove(Tree::Ids, number_key(number, seq));
            }
            forget::anonymize(&mut call, &what.number);
            stored.forget(&call).map_err(|error| self.fail("a call has no JSON", error))?;
            let mut slip = stored.slip().clone();
            if waits(from) || from == Phase::Dead {
                // Nobody can be told whose call it was any more.
                let reason = format!("its number was forgotten by {}", what.by);
                slip.state = State::Expired { reason, at: now };
            }
            forget::anonymize_slip(&mut slip, &what.number);
            done.calls += 1;
            turns.push(Turn { from, slip });
            loaded.insert(seq, (tree, stored));
        }
        if turns.is_empty() { Ok(()) } else { self.turn(draft, turns, loaded) }
    }

    /// A task that was made stays in amoCRM; what is noted of it here goes.
    fn forget_tasks(&mut self, number: &str) -> Result<u64, Error> {
        let rows = self.fetch_all(Shelf::Tasks, "")?;
        let meant = |key: &String| callback::number_of(key).is_some_and(|n| forget::is_same(n, number));
        let rows: Vec<_> =
            rows.into_iter().map(|(key, _)| key).filter(meant).map(|key| (key, None)).collect();
        self.place_all(Shelf::Tasks, &rows)?;
        self.news |= !rows.is_empty();
        self.forget_strangers(number).map(|()| rows.len() as u64)
    }

    /// Writes one file of the journal anew where it has the number; returns how many lines had it.
    fn forget_lines(&mut self, file: &Path, number: &str, now: HostTime) -> Result<u64, Error> {
        // What waits in memory goes to the file first; from then on the file is opened anew.
        self.begin(now)?;
        self.persist()?;
        let traces = journal::forget::traces(file, number);
        let (calls, damaged) = traces.map_err(|error| self.fail("the journal cannot be read", error))?;
        let mut meant = BTreeSet::new();
        for call in calls {
            // What waits must be whole there, should the database be lost.
            let waits = self.look_up(&call)?.is_some_and(|item| waits(item.state.phase()));
            meant.extend((!waits).then_some(call));
        }
        if meant.is_empty() && !damaged {
            return Ok(0);
        }
        self.journal.let_go();
        let written = journal::forget::write_anew(file, number, &meant, &mut self.fsync);
        // The old file is as it was, and the store goes on with it.
        let (new, changed) = written.map_err(|error| Error::Store(unwritten(file, &error)))?;
        let moved = journal::forget::put_in_place(&new, file, &mut self.fsync);
        moved.map_err(|error| self.fail_unsynced("the journal cannot be written anew", error))?;
        Ok(changed)
    }
}

impl Handle {
    /// As [`Store::traces`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn traces(&self, number: &str) -> Result<Forgotten, Error> {
        let traces = own(self.look_through(look(number)).await?.found, number);
        Ok(report(&traces, self.dir()))
    }

    /// As [`Store::forget_number`]; others get their turn in between.
    ///
    /// # Errors
    /// As [`Store::forget_number`].
    pub async fn forget_number(&self, what: Forget, now: HostTime) -> Result<Forgotten, Error> {
        let traces = own(self.look_through(look(&what.number)).await?.found, &what.number);
        let mut done = report(&traces, self.dir());
        for part in traces.chunks(AT_ONCE) {
            let (calls, order) = (seqs(part), what.clone());
            done = self
                .ask(move |store| {
                    store.forget_calls(&calls, &order, now, &mut done)?;
                    Ok(done)
                })
                .await?;
        }
        // Before the notes go: what a courier writes until it hears of it, it takes back then.
        self.hearers.tell(&what.number).await;
        let number = what.number.clone();
        done.tasks = self.ask(move |store| store.forget_tasks(&number)).await?;
        let files = self.ask(|store| {
            store.journal.files().map_err(|error| store.fail("the journal cannot be read", error))
        });
        for file in files.await? {
            let number = what.number.clone();
            done.lines += self.ask(move |store| store.forget_lines(&file, &number, now)).await?;
        }
        tell(&what, &done);
        Ok(done)
    }
}

fn look(number: &str) -> Look<Trace> {
    let filter = Filter { phone: Some(number.to_owned()), ..Filter::default() };
    Look::new(filter, usize::MAX, Trace::from)
}

fn own(mut traces: Vec<Trace>, number: &str) -> Vec<Trace> {
    traces.retain(|trace| forget::is_of(&trace.record, number));
    traces
}

fn seqs(traces: &[Trace]) -> Vec<Seq> {
    traces.iter().map(|trace| trace.seq).collect()
}

fn report(traces: &[Trace], dir: &Path) -> Forgotten {
    let mut report = Forgotten { elsewhere: elsewhere(dir), ..Forgotten::default() };
    for trace in traces {
        *report.found.entry(trace.phase).or_default() += 1;
    }
    report
}

/// Databases that were set aside, and what a panic left.
fn elsewhere(dir: &Path) -> Vec<String> {
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("queue.") || name.starts_with("emergency.jsonl") || is_full_folder(path, name)
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<String> = entries.filter(is_aside).map(|path| path.display().to_string()).collect();
    paths.sort_unstable();
    paths
}

fn is_full_folder(path: &Path, name: &str) -> bool {
    name == "poison" && fs::read_dir(path).is_ok_and(|mut files| files.next().is_some())
}

fn unwritten(file: &Path, error: &io::Error) -> String {
    let file = file.display();
    format!(
        "{file} cannot be written anew without the number: {error}; make room for as much on its disk, and give the same order again"
    )
}

/// Who did it is in the log, and whom he forgot is not.
fn tell(what: &Forget, done: &Forgotten) {
    let (by, digits) = (&what.by, digits(&what.number).len());
    let left = done.left.len();
    info!(by, digits, calls = done.calls, left, lines = done.lines, "a number was forgotten");
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::call::record::FinishedCall;
    use crate::outbox::errand::Sound;
    use crate::outbox::queue::contract::{account, at, balances, call, sent, settlement};
    use crate::outbox::queue::{BatchId, Enqueued, Queue as _};
    use crate::outbox::schedule::person::{Deed, Intervention, Verdict};
    use crate::outbox::store::Opened;
    use crate::outbox::store::fsync::{Fsync, Target};

    const OWN: &str = "79031112233";

    fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path(), at(9)).unwrap()
    }

    fn with_phone(n: u32, phone: &str) -> FinishedCall {
        let mut call = call(n);
        (call.record.phone, call.record.phone_e164) = (Some(phone.to_owned()), Some(format!("+{phone}")));
        call.record.phone_raw = Some(format!("8{}", phone.trim_start_matches('7')));
        call.record.recording = Some(format!("in-{phone}.wav"));
        call
    }

    /// Calls of the number: 1 sent, 2 dead, 3 pending, 4 unknown; 5 and 6 are of another, sent and pending.
    fn store(dir: &tempfile::TempDir) -> Store {
        let mut store = open(dir);
        let own = (1..5).map(|n| with_phone(n, OWN));
        store.enqueue(own.chain((5..7).map(|n| with_phone(n, "79990001122"))).collect(), at(0)).unwrap();
        store.intend(&[0, 1, 3, 4].map(Seq), at(1)).unwrap();
        let dead = State::Dead { reason: format!("no contact with +{OWN}"), at: at(2) };
        let unknown = State::Unknown { batch: BatchId(0), since: at(1), looked: 0 };
        let settled = [(0, sent(at(2))), (1, dead), (3, unknown), (4, sent(at(2)))];
        store.settle(settled.map(|(seq, state)| settlement(Seq(seq), state, at(2))).to_vec(), at(2)).unwrap();
        let rows = [(callback::key(&account(), "9031112233"), Some(b"row".to_vec()))];
        store.place_all(Shelf::Tasks, &rows).unwrap();
        store.persist().unwrap();
        store
    }

    fn order(drop_waiting: bool) -> Forget {
        Forget { number: "+7 903 111-22-33".to_owned(), by: "anna (uid 7)".to_owned(), drop_waiting }
    }

    fn id(n: u32) -> CallId {
        call(n).record.call_id
    }

    fn journal(dir: &tempfile::TempDir) -> String {
        let files = fs::read_dir(dir.path().join("journal")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn a_number_leaves_the_calls_at_their_end_and_counts_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        let before = store.stats().unwrap();
        let found = store.traces(OWN).unwrap();
        assert_eq!(found.found.values().sum::<u64>(), 4);
        let done = store.forget_number(&order(false), at(3)).unwrap();
        assert_eq!((done.calls, done.tasks, done.lines), (2, 1, 2));
        assert_eq!(done.left, [id(3), id(4)]);
        let stats = store.stats().unwrap();
        assert!(balances(&stats) && stats.ended == before.ended, "{stats:?}");
        assert_eq!((stats.by_phase[&Phase::Sent], stats.by_phase[&Phase::Expired]), (2, 1));
        for n in [1, 2] {
            let item = store.find(&id(n)).unwrap().unwrap();
            let text = serde_json::to_string(&item).unwrap();
            assert!(!text.contains("9031112233"), "{text}");
            assert_eq!(item.call.record.talk_seconds, call(n).record.talk_seconds);
        }
        let other = store.find(&id(5)).unwrap().unwrap();
        assert_eq!(other.call.record, with_phone(5, "79990001122").record);
        assert_eq!(store.traces(OWN).unwrap().found.values().sum::<u64>(), 2, "what is left is found");
        assert_eq!(store.fetch_all(Shelf::Tasks, "").unwrap(), []);
        drop(store);
        assert_eq!(open(&dir).opened(), Opened::default(), "the journal tells the same");
    }

    #[test]
    fn calls_that_wait_are_given_up_and_nothing_brings_the_number_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        let done = store.forget_number(&order(true), at(3)).unwrap();
        assert_eq!((done.calls, done.left), (3, vec![id(4)]));
        store.settle(vec![settlement(Seq(3), sent(at(4)), at(4))], at(4)).unwrap();
        let done = store.forget_number(&order(true), at(5)).unwrap();
        assert_eq!((done.calls, done.left, done.lines), (1, Vec::new(), 1));
        assert!(balances(&store.stats().unwrap()), "{:?}", store.stats());
        assert!(!journal(&dir).contains("9031112233") && journal(&dir).contains("79990001122"));
        let retry = Intervention { deed: Deed::Retry, by: "anna".to_owned(), why: None };
        assert_eq!(store.intervene(&retry, from_ref(&id(3)), at(6)).unwrap(), [Verdict::Forgotten]);
        let again = store.enqueue(vec![with_phone(1, OWN)], at(6)).unwrap();
        assert_eq!(again, [Enqueued::Known]);
        assert_eq!(store.forget_number(&order(true), at(7)).unwrap().calls, 0, "once is enough");
        drop(store);
        fs::remove_dir_all(dir.path().join("queue")).unwrap();
        let mut store = open(&dir);
        assert_eq!(store.traces(OWN).unwrap().found, BTreeMap::new());
        let waiting = store.find(&id(6)).unwrap().unwrap();
        assert_eq!(waiting.call.record.phone.as_deref(), Some("79990001122"), "others are whole");
    }

    #[test]
    fn a_link_that_comes_late_brings_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        store.forget_number(&order(false), at(3)).unwrap();
        let mut late = settlement(Seq(0), sent(at(2)), at(4));
        late.last_error = Some(format!("in-{OWN}.wav is not there"));
        late.errand.sound = Some(Sound::Found { file: format!("in-{OWN}.wav") });
        store.settle(vec![late], at(4)).unwrap();
        let item = store.find(&id(1)).unwrap().unwrap();
        assert_eq!(item.state, State::Sent { note_id: None, entity: None, at: at(2) });
        let text = serde_json::to_string(&item).unwrap();
        assert!(!text.contains("9031112233"), "{text}");
    }

    #[tokio::test]
    async fn it_is_the_same_while_the_store_works() {
        let dir = tempfile::tempdir().unwrap();
        let handle = store(&dir).spawn(|| at(9)).unwrap();
        assert_eq!(handle.traces(OWN).await.unwrap().found.values().sum::<u64>(), 4);
        let mut hearer = handle.forgotten();
        let done = handle.forget_number(order(true), at(3)).await.unwrap();
        assert_eq!((done.calls, done.left, done.lines), (3, vec![id(4)], 3));
        assert_eq!(hearer.try_recv().unwrap(), OWN);
        // Its file was written anew; what comes is written there.
        handle.enqueue(vec![with_phone(9, "79990001122")], at(4)).await.unwrap();
        handle.close().await.unwrap();
        let mut store = open(&dir);
        assert_eq!(store.opened(), Opened::default());
        assert!(store.find(&id(9)).unwrap().is_some());
    }

    /// A disk that has no room for another file.
    struct Full;

    impl Fsync for Full {
        fn sync(&mut self, target: Target, _file: &fs::File) -> io::Result<()> {
            let is_full = target == Target::Copy;
            if is_full { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
        }
    }

    #[test]
    fn a_full_disk_leaves_the_journal_as_it_was_and_the_store_at_work() {
        let dir = tempfile::tempdir().unwrap();
        drop(store(&dir));
        let mut store = Store::open_with(dir.path(), at(9), Box::new(Full)).unwrap();
        let error = store.forget_number(&order(false), at(3)).unwrap_err().to_string();
        assert!(error.contains(".jsonl cannot be written anew") && error.contains("make room"), "{error}");
        assert_eq!(fs::read_dir(dir.path().join("journal")).unwrap().count(), 1, "no other file is left");
        store.enqueue(vec![with_phone(9, "79990001122")], at(4)).unwrap();
        drop(store);
        let mut store = open(&dir);
        assert_eq!(store.opened(), Opened::default());
        assert_eq!(store.forget_number(&order(false), at(5)).unwrap().lines, 2);
        assert!(store.find(&id(9)).unwrap().is_some());
    }

    #[test]
    fn what_a_crash_left_of_a_new_file_goes_when_the_store_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        drop(store(&dir));
        let before = journal(&dir);
        fs::write(dir.path().join("journal/2026-11-22.new"), format!("+{OWN}")).unwrap();
        drop(open(&dir));
        assert_eq!(journal(&dir), before);
    }

    #[test]
    fn a_damaged_line_with_the_number_goes_and_one_without_stays() {
        let dir = tempfile::tempdir().unwrap();
        drop(store(&dir));
        let file = fs::read_dir(dir.path().join("journal")).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("what is this\n{{\"E\":\"x\",{OWN}\n{text}")).unwrap();
        let mut store = open(&dir);
        assert_eq!(store.opened().damaged_lines, 2);
        assert_eq!(store.forget_number(&order(false), at(3)).unwrap().lines, 3);
        assert!(journal(&dir).starts_with("what is this\n{\"E\":\"default-"));
    }
}
