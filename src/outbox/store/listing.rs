//! Lists of calls, read a few at a time between the groups of the store's thread: whoever looks through
//! 200,000 calls keeps nobody waiting who stores one.

use memchr::memmem::Finder;

use crate::outbox::filter::Filter;
use crate::outbox::queue::{Error, Item, Phase, Seq};
use crate::outbox::store::Store;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::trees::{Tree, number_prefix, seq_of};
use crate::outbox::store::value::{Head, Stored};

/// Calls that are read at one go: a few milliseconds.
const AT_ONCE: usize = 256;

/// A number that more calls have is found by looking at calls.
const NUMBERED_MAX: usize = 10_000;

/// A look through the calls, the newest first, that goes on where it stopped. What is kept of each call
/// that fits is what `keep` makes of it.
#[derive(Debug)]
pub struct Look<T> {
    filter: Filter,
    limit: usize,
    keep: fn(Item) -> T,
    /// The digits by which calls are found before any tree is read.
    number: Option<String>,
    /// Calls that have them, the newest last, and are still to be read.
    numbered: Vec<Seq>,
    /// Trees that are still to be read; the last one is being read.
    trees: Vec<Tree>,
    /// Where reading of each begins.
    end: Option<Seq>,
    /// Where in it.
    before: Option<Seq>,
    /// Calls of it that were found.
    of_tree: usize,
    found: Vec<(Seq, T)>,
    more: bool,
    unreadable: u64,
}

/// What was found.
#[derive(Debug)]
pub struct Listing<T> {
    /// The newest last.
    pub found: Vec<T>,
    /// There are older ones.
    pub more: bool,
    /// Calls that cannot be read and may be meant.
    pub unreadable: u64,
}

impl<T> Look<T> {
    /// A look for at most `limit` calls, the newest.
    pub fn new(filter: Filter, limit: usize, keep: fn(Item) -> T) -> Self {
        let mut trees: Vec<Tree> =
            Phase::ALL.into_iter().filter(|phase| filter.has_phase(*phase)).map(Tree::of).collect();
        trees.sort_unstable();
        trees.dedup();
        Self {
            number: filter.number(),
            filter,
            limit,
            keep,
            numbered: Vec::new(),
            trees,
            end: None,
            before: None,
            of_tree: 0,
            found: Vec::new(),
            more: false,
            unreadable: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.trees.is_empty() && self.numbered.is_empty()
    }

    /// Takes a call; `false` when there are as many as are wanted.
    fn take(&mut self, seq: Seq, item: Item) -> bool {
        if self.of_tree == self.limit {
            self.more = true;
            return false;
        }
        self.of_tree += 1;
        self.found.push((seq, (self.keep)(item)));
        true
    }

    fn leave_tree(&mut self) {
        self.trees.pop();
        (self.before, self.of_tree) = (self.end, 0);
    }

    fn listing(mut self) -> Listing<T> {
        self.found.sort_by_key(|(seq, _)| *seq);
        self.found.dedup_by_key(|(seq, _)| *seq);
        let surplus = self.found.len().saturating_sub(self.limit);
        let found = self.found.into_iter().skip(surplus).map(|(_, call)| call).collect();
        Listing { found, more: self.more || surplus > 0, unreadable: self.unreadable }
    }
}

impl Store {
    /// Looks through all calls.
    ///
    /// # Errors
    /// When the store failed.
    pub fn look_through<T>(&self, mut look: Look<T>) -> Result<Listing<T>, Error> {
        while !look.is_over() {
            self.look_on(&mut look)?;
        }
        Ok(look.listing())
    }

    /// Looks at some more calls.
    fn look_on<T>(&self, look: &mut Look<T>) -> Result<(), Error> {
        self.alive()?;
        if let Some(number) = look.number.take() {
            return self.begin_with_number(look, &number);
        }
        if !look.numbered.is_empty() {
            self.read_numbered(look);
            return Ok(());
        }
        let Some(tree) = look.trees.last().copied() else { return Ok(()) };
        let mark = look.filter.mark();
        let mark = mark.as_ref().map(Finder::new);
        let mut read = 0;
        for entry in self.trees.newest(tree, look.before).take(AT_ONCE) {
            let (key, bytes) = entry.map_err(|error| self.fail("the database cannot be read", error))?;
            let Some(seq) = seq_of(&key) else { continue };
            (read, look.before) = (read + 1, Some(seq));
            let Ok((_, head)) = Head::decode(&bytes) else {
                look.unreadable += u64::from(tree == Tree::Dead);
                continue;
            };
            // The older ones behind it may be newer calls: an import and the journal bring them in later.
            if look.filter.is_past(&head.slip) {
                continue;
            }
            let may_be = tree == Tree::Dead || look.filter.fits_slip(&head.slip);
            if !may_be || mark.as_ref().is_some_and(|mark| mark.find(&bytes).is_none()) {
                continue;
            }
            let Some(item) = self.listed(tree, seq, &bytes, &look.filter) else { continue };
            if !look.take(seq, item) {
                look.leave_tree();
                return Ok(());
            }
        }
        if read < AT_ONCE {
            look.leave_tree();
        }
        Ok(())
    }

    /// Finds the calls whose numbers end with these digits. Those that were stored before numbers were noted
    /// are left to the look through the trees, and so are numbers that very many calls have: it finds some
    /// soon.
    fn begin_with_number<T>(&self, look: &mut Look<T>, number: &str) -> Result<(), Error> {
        let mut seqs = Vec::new();
        for key in self.trees.keys_from(Tree::Ids, &number_prefix(number)).take(NUMBERED_MAX + 1) {
            let key = key.map_err(|error| self.fail("the database cannot be read", error))?;
            seqs.extend(seq_of(&key));
        }
        if seqs.len() > NUMBERED_MAX {
            return Ok(());
        }
        seqs.sort_unstable();
        seqs.dedup();
        look.numbered = seqs;
        (look.end, look.before) = (Some(self.numbered_from), Some(self.numbered_from));
        if self.numbered_from == Seq(0) {
            look.trees.clear();
        }
        Ok(())
    }

    fn read_numbered<T>(&self, look: &mut Look<T>) {
        for _ in 0..AT_ONCE {
            let Some(seq) = look.numbered.pop() else { break };
            // A key may outlive its call where an older program forgot it.
            let Ok(Some((_, stored))) = self.load(seq) else { continue };
            if !look.filter.is_past(stored.slip()) && look.filter.fits_slip(stored.slip()) {
                let item = stored.into_item().ok().filter(|item| look.filter.fits(&item.call.record));
                if item.is_some_and(|item| !look.take(seq, item)) {
                    look.numbered.clear();
                }
            }
        }
        if look.numbered.is_empty() {
            look.of_tree = 0;
        }
    }

    /// The call, if it is meant. What could not be read once lies among the dead in the state that it had.
    pub(super) fn listed(&self, tree: Tree, seq: Seq, bytes: &[u8], filter: &Filter) -> Option<Item> {
        let stored = match tree {
            Tree::Dead => self.load(seq).ok().flatten().map(|(_, stored)| stored)?,
            Tree::Outbox | Tree::History | Tree::Meta | Tree::Inflight | Tree::Ids | Tree::Tokens => {
                Stored::decode(bytes).ok()?
            }
        };
        let is_meant = filter.fits_slip(stored.slip());
        stored.into_item().ok().filter(|item| is_meant && filter.fits(&item.call.record))
    }
}

impl Handle {
    /// As [`Store::look_through`]; others get their turn in between.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn look_through<T: Send + 'static>(&self, mut look: Look<T>) -> Result<Listing<T>, Error> {
        while !look.is_over() {
            look = self
                .ask(move |store| {
                    store.look_on(&mut look)?;
                    Ok(look)
                })
                .await?;
        }
        Ok(look.listing())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::call::record::FinishedCall;
    use crate::outbox::queue::contract::{at, call, sent, settlement};
    use crate::outbox::queue::{Queue as _, State};
    use crate::outbox::store::draft::LEDGER;
    use crate::outbox::store::frame;
    use crate::outbox::store::history::Limits;
    use crate::outbox::store::trees::Change;

    fn ids(listing: &Listing<String>) -> Vec<&str> {
        listing.found.iter().map(String::as_str).collect()
    }

    #[expect(clippy::needless_pass_by_value, reason = "a look hands its calls over")]
    fn keep(item: Item) -> String {
        item.call.record.call_id.to_string()
    }

    fn states(states: &[Phase]) -> Filter {
        Filter { states: states.iter().copied().collect(), ..Filter::default() }
    }

    /// Many calls: every tenth is dead, every seventh of the others waits, the rest is delivered.
    fn store(count: u32) -> (Store, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), at(0)).unwrap();
        store.enqueue((0..count).map(call).collect(), at(0)).unwrap();
        let ended: Vec<(Seq, State)> = (0..count)
            .filter(|n| n % 10 == 0 || n % 7 != 0)
            .map(|n| {
                let dead = State::Dead { reason: "no such user".to_owned(), at: at(1) };
                (Seq(u64::from(n)), if n % 10 == 0 { dead } else { sent(at(1)) })
            })
            .collect();
        store.intend(&ended.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), at(1)).unwrap();
        let settled = ended.into_iter().map(|(seq, state)| settlement(seq, state, at(1))).collect();
        store.settle(settled, at(1)).unwrap();
        (store, dir)
    }

    #[test]
    fn the_newest_are_listed_and_the_newest_of_them_last() {
        let (store, _dir) = store(30);
        let listing = store.look_through(Look::new(states(&[Phase::Dead]), 50, keep)).unwrap();
        assert_eq!(ids(&listing), ["default-0.1", "default-10.1", "default-20.1"]);
        assert!(!listing.more);
        let listing = store.look_through(Look::new(states(&[Phase::Dead, Phase::Pending]), 3, keep)).unwrap();
        assert_eq!(ids(&listing), ["default-20.1", "default-21.1", "default-28.1"]);
        assert!(listing.more);
        let listing = store.look_through(Look::new(Filter::default(), 2, keep)).unwrap();
        assert_eq!(ids(&listing), ["default-28.1", "default-29.1"]);
        let none = Filter { extension: Some("999".to_owned()), ..Filter::default() };
        assert_eq!(ids(&store.look_through(Look::new(none, 2, keep)).unwrap()), [""; 0]);
    }

    fn phone(digits: &str) -> Filter {
        Filter { phone: Some(digits.to_owned()), ..Filter::default() }
    }

    fn with_phone(n: u32, phone: &str) -> FinishedCall {
        let mut call = call(n);
        call.record.phone = Some(phone.to_owned());
        (call.record.phone_e164, call.record.phone_raw) = (None, Some(phone.to_owned()));
        call
    }

    #[test]
    fn a_call_is_found_by_its_number_without_a_look_at_the_others() {
        let (mut store, _dir) = store(10);
        let own = "79031112233";
        let new =
            vec![with_phone(100, own), with_phone(101, "+7 903 111-22-33"), with_phone(102, "79990002233")];
        store.enqueue(new, at(0)).unwrap();
        for asked in ["89031112233", "1112233"] {
            let mut look = Look::new(phone(asked), 9, keep);
            store.look_on(&mut look).unwrap();
            assert_eq!((look.trees.len(), look.numbered.len()), (0, 2), "{asked}");
            assert_eq!(ids(&store.look_through(look).unwrap()), ["default-100.1", "default-101.1"]);
        }
        let listing = store.look_through(Look::new(phone("2233"), 2, keep)).unwrap();
        assert_eq!((ids(&listing), listing.more), (vec!["default-101.1", "default-102.1"], true));
        let none =
            store.look_through(Look::new(Filter { states: [Phase::Dead].into(), ..phone(own) }, 9, keep));
        assert_eq!(ids(&none.unwrap()), [""; 0]);
    }

    #[test]
    fn a_call_that_came_in_late_hides_no_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), at(0)).unwrap();
        let own = "79031112233";
        let mut new = with_phone(1, own);
        let old_at = new.record.started_at.to_host(0);
        new.record.started_at = new.record.started_at.after(Duration::from_hours(72));
        let from = new.record.started_at;
        store.enqueue(vec![new], from.to_host(0)).unwrap();
        // As one of another store, or of the journal.
        store.enqueue(vec![with_phone(2, own)], old_at).unwrap();
        for phone in [None, Some(own.to_owned())] {
            let filter = Filter { from: Some(from), phone, ..Filter::default() };
            let listing = store.look_through(Look::new(filter.clone(), 9, keep)).unwrap();
            assert_eq!(ids(&listing), ["default-1.1"], "{filter:?}");
        }
    }

    #[test]
    fn calls_that_an_older_program_stored_are_found_by_a_look_at_them() {
        let (mut store, dir) = store(0);
        store.enqueue(vec![with_phone(1, "79031112233")], at(0)).unwrap();
        // As one that notes no numbers leaves it.
        let keys: Vec<_> = store.trees.keys_from(Tree::Ids, b"n").map(Result::unwrap).collect();
        assert_eq!(keys.len(), 1);
        let mut change = Change::default();
        for key in &keys {
            change.remove(Tree::Ids, key);
        }
        let ledger = store.read(Tree::Meta, LEDGER).unwrap().unwrap();
        let mut ledger: serde_json::Value =
            serde_json::from_slice(frame::decode(&ledger).unwrap().payload).unwrap();
        assert!(ledger.as_object_mut().unwrap().remove("numbered_from").is_some());
        change.put(Tree::Meta, LEDGER, frame::encode(LEDGER, ledger.to_string().as_bytes()));
        store.write(&change).unwrap();
        store.persist().unwrap();
        drop(store);
        let mut store = Store::open(dir.path(), at(1)).unwrap();
        store.enqueue(vec![with_phone(2, "79031112233")], at(1)).unwrap();
        for _ in ["as it is", "opened again"] {
            let listing = store.look_through(Look::new(phone("79031112233"), 9, keep)).unwrap();
            assert_eq!(ids(&listing), ["default-1.1", "default-2.1"]);
            drop(store);
            store = Store::open(dir.path(), at(2)).unwrap();
        }
    }

    #[test]
    fn a_call_that_is_forgotten_leaves_no_number() {
        let (mut store, _dir) = store(30);
        let numbers = |store: &Store| store.trees.keys_from(Tree::Ids, b"n").count();
        assert!(numbers(&store) >= 30);
        store.sweep(Limits { age: Duration::MAX, count: 0 }, at(9)).unwrap();
        let left = store.stats().unwrap().by_phase;
        let waiting = left[&Phase::Pending] + left[&Phase::Dead];
        assert_eq!(numbers(&store) as u64, waiting);
    }

    #[tokio::test]
    async fn a_long_look_is_made_of_short_ones() {
        let count = u32::try_from(AT_ONCE).unwrap() * 2 + 10;
        let (store, _dir) = store(count);
        let here = store.look_through(Look::new(Filter::default(), usize::MAX, keep)).unwrap();
        assert_eq!(here.found.len(), count as usize);
        let handle = store.spawn(|| at(0)).unwrap();
        let there = handle.look_through(Look::new(Filter::default(), usize::MAX, keep)).await.unwrap();
        assert_eq!(there.found, here.found);
        handle.close().await.unwrap();
    }
}
