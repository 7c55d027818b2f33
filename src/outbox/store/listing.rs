//! Lists of calls, read a few at a time between the groups of the store's thread: whoever looks through
//! 200,000 calls keeps nobody waiting who stores one.

use memchr::memmem::Finder;

use crate::outbox::filter::Filter;
use crate::outbox::queue::{Error, Item, Phase, Seq};
use crate::outbox::store::Store;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::trees::{Tree, seq_of};
use crate::outbox::store::value::{Head, Stored};

/// Calls that are read at one go: a few milliseconds.
const AT_ONCE: usize = 256;

/// A look through the calls, the newest first, that goes on where it stopped. What is kept of each call
/// that fits is what `keep` makes of it.
#[derive(Debug)]
pub struct Look<T> {
    filter: Filter,
    limit: usize,
    keep: fn(Item) -> T,
    /// Trees that are still to be read; the last one is being read.
    trees: Vec<Tree>,
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
            filter,
            limit,
            keep,
            trees,
            before: None,
            of_tree: 0,
            found: Vec::new(),
            more: false,
            unreadable: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.trees.is_empty()
    }

    fn leave_tree(&mut self) {
        self.trees.pop();
        (self.before, self.of_tree) = (None, 0);
    }

    fn listing(mut self) -> Listing<T> {
        self.found.sort_unstable_by_key(|(seq, _)| *seq);
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
            if look.filter.is_past(&head.slip) {
                look.leave_tree();
                return Ok(());
            }
            let may_be = tree == Tree::Dead || look.filter.fits_slip(&head.slip);
            if !may_be || mark.as_ref().is_some_and(|mark| mark.find(&bytes).is_none()) {
                continue;
            }
            let Some(item) = self.listed(tree, seq, &bytes, &look.filter) else { continue };
            if look.of_tree == look.limit {
                look.more = true;
                look.leave_tree();
                return Ok(());
            }
            look.of_tree += 1;
            look.found.push((seq, (look.keep)(item)));
        }
        if read < AT_ONCE {
            look.leave_tree();
        }
        Ok(())
    }

    /// The call, if it is meant. What could not be read once lies among the dead in the state that it had.
    fn listed(&self, tree: Tree, seq: Seq, bytes: &[u8], filter: &Filter) -> Option<Item> {
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
    use super::*;
    use crate::outbox::queue::contract::{at, call, sent, settlement};
    use crate::outbox::queue::{Queue as _, State};

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
