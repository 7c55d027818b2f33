//! Pure: look-up of a slab's entries by a byte string. It cannot be iterated, so no order of a
//! hash map can leak into behaviour.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Finds entries of a slab; the strings themselves live in the slab.
#[derive(Debug, Default)]
pub(super) struct Index {
    table: HashTable<Slot>,
    hasher: RandomState,
}

/// The hash is kept so that growing never touches the strings.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    entry: u32,
}

impl Index {
    pub(super) fn find(&self, key: &[u8], is: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        self.table
            .find(hash, |slot| slot.hash == hash && is(slot.entry as usize))
            .map(|slot| slot.entry as usize)
    }

    pub(super) fn insert(&mut self, key: &[u8], entry: usize) {
        let hash = self.hasher.hash_one(key);
        let entry = u32::try_from(entry).expect("a tracker holds fewer than four thousand million entries");
        self.table.insert_unique(hash, Slot { hash, entry }, |slot| slot.hash);
    }

    pub(super) fn remove(&mut self, key: &[u8], entry: usize) {
        let hash = self.hasher.hash_one(key);
        if let Ok(found) = self.table.find_entry(hash, |slot| slot.entry as usize == entry) {
            found.remove();
        }
    }
}
