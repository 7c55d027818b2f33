//! Reading and writing of the trees in which no calls are, and of any tree by key.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tracing::error;

use crate::call::id::PbxName;
use crate::outbox::queue::Error;
use crate::outbox::store::frame::Frame;
use crate::outbox::store::pbxs::Place;
use crate::outbox::store::trees::{Change, Tree};
use crate::outbox::store::value;
use crate::outbox::store::{Shelf, Store, frame};

/// Where the names of the PBXs lie in `meta`.
pub(super) const PBX_NAMES: &[u8] = b"pbx";

/// The PBXs whose calls the store ever had.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Pinned {
    v: u32,
    names: BTreeSet<PbxName>,
    #[serde(default)]
    places: BTreeMap<PbxName, Place>,
}

/// A value of a shelf that was found in the ruins of a database.
#[derive(Debug)]
pub(super) struct Shelved {
    pub shelf: Shelf,
    pub key: String,
    pub value: Vec<u8>,
}

impl Pinned {
    pub fn add(&mut self, other: Self) {
        self.names.extend(other.names);
        self.places.extend(other.places);
    }

    pub fn names(&self) -> Vec<PbxName> {
        self.names.iter().cloned().collect()
    }
}

impl Shelved {
    /// A value that [`Store::place`] framed; `None` when it is another's.
    pub fn read(frame: Frame<'_>) -> Option<Self> {
        let key = std::str::from_utf8(frame.key).ok()?;
        let read = |shelf: Shelf| {
            let key = key.strip_prefix(shelf.mark())?.to_owned();
            Some(Self { shelf, key, value: frame.payload.to_vec() })
        };
        [Shelf::Inflight, Shelf::Tokens, Shelf::Manners, Shelf::Tasks, Shelf::Pauses, Shelf::Strangers]
            .into_iter()
            .find_map(read)
    }
}

impl Shelf {
    /// What the keys of its frames begin with, and no name of a PBX: in the ruins of a database nothing
    /// else says to which shelf a value belongs.
    fn mark(self) -> &'static str {
        match self {
            Self::Inflight => "inflight/",
            Self::Tokens => "tokens/",
            Self::Manners => "manners/",
            Self::Tasks => "tasks/",
            Self::Pauses => "pauses/",
            Self::Strangers => "strangers/",
        }
    }

    /// The key in its tree. `meta` has other values, so there the mark is part of it.
    fn tree_key(self, key: &str) -> Vec<u8> {
        match self {
            Self::Inflight | Self::Tokens => key.as_bytes().to_vec(),
            Self::Manners | Self::Tasks | Self::Pauses | Self::Strangers => self.frame_key(key),
        }
    }

    pub(super) fn frame_key(self, key: &str) -> Vec<u8> {
        [self.mark(), key].concat().into_bytes()
    }
}

impl Store {
    pub(super) fn place(&mut self, shelf: Shelf, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        self.alive()?;
        let mut change = Change::default();
        match value {
            Some(value) => {
                change.put(shelf.tree(), shelf.tree_key(key), frame::encode(&shelf.frame_key(key), value));
            }
            None => change.remove(shelf.tree(), shelf.tree_key(key)),
        }
        self.write(&change)
    }

    pub(super) fn fetch(&self, shelf: Shelf, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.alive()?;
        let Some(bytes) = self.read(shelf.tree(), &shelf.tree_key(key))? else { return Ok(None) };
        match frame::decode(&bytes) {
            Ok(frame) => Ok(Some(frame.payload.to_vec())),
            Err(error) => Err(Error::Store(format!("{key} in {shelf:?} cannot be read: {error}"))),
        }
    }

    /// Values that belong together, in one change.
    pub(super) fn place_all(
        &mut self,
        shelf: Shelf,
        values: &[(String, Option<Vec<u8>>)],
    ) -> Result<(), Error> {
        self.alive()?;
        let mut change = Change::default();
        for (key, value) in values {
            match value {
                Some(value) => {
                    let framed = frame::encode(&shelf.frame_key(key), value);
                    change.put(shelf.tree(), shelf.tree_key(key), framed);
                }
                None => change.remove(shelf.tree(), shelf.tree_key(key)),
            }
        }
        self.write(&change)
    }

    pub(super) fn fetch_all(&self, shelf: Shelf, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.alive()?;
        let begin = shelf.tree_key("").len();
        let mut values = Vec::new();
        for key in self.trees.keys_from(shelf.tree(), &shelf.tree_key(prefix)) {
            let key = key.map_err(|error| self.fail("the database cannot be read", error))?;
            let name = String::from_utf8_lossy(&key[begin..]).into_owned();
            let Some(bytes) = self.read(shelf.tree(), &key)? else { continue };
            match frame::decode(&bytes) {
                Ok(frame) => values.push((name, frame.payload.to_vec())),
                Err(error) => error!(key = name, ?shelf, %error, "a value cannot be read"),
            }
        }
        Ok(values)
    }

    pub(super) fn pin(&mut self, names: &[PbxName]) -> Result<Vec<PbxName>, Error> {
        self.alive()?;
        let mut pinned: Pinned = self.meta(PBX_NAMES)?.unwrap_or_default();
        let gone = pinned.names.iter().filter(|known| !names.contains(known)).cloned().collect();
        pinned.v = value::VERSION;
        pinned.names.extend(names.iter().cloned());
        let mut change = Change::default();
        change.put(Tree::Meta, PBX_NAMES, self.encoded(PBX_NAMES, &pinned)?);
        self.write(&change)?;
        Ok(gone)
    }

    /// Where the PBXs were reached.
    pub(super) fn places(&self) -> Result<BTreeMap<PbxName, Place>, Error> {
        let pinned: Pinned = self.meta(PBX_NAMES)?.unwrap_or_default();
        Ok(pinned.places)
    }

    pub(super) fn pin_places(&mut self, places: BTreeMap<PbxName, Place>) -> Result<(), Error> {
        let mut pinned: Pinned = self.meta(PBX_NAMES)?.unwrap_or_default();
        pinned.places = places;
        let mut change = Change::default();
        change.put(Tree::Meta, PBX_NAMES, self.encoded(PBX_NAMES, &pinned)?);
        self.write(&change)
    }

    /// The names of all PBXs that the store ever had calls of.
    pub(super) fn pinned(&self) -> Result<Vec<PbxName>, Error> {
        let pinned: Pinned = self.meta(PBX_NAMES)?.unwrap_or_default();
        Ok(pinned.names.into_iter().collect())
    }

    /// Reads a value of `meta`; a damaged one is as good as none, for all of them can be made anew.
    pub(super) fn meta<T: for<'a> Deserialize<'a>>(&self, key: &[u8]) -> Result<Option<T>, Error> {
        let Some(bytes) = self.read(Tree::Meta, key)? else { return Ok(None) };
        let payload = frame::decode(&bytes).map_err(value::Error::from);
        match payload.and_then(|frame| Ok(serde_json::from_slice(frame.payload)?)) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let key = String::from_utf8_lossy(key);
                error!(%key, %error, "a value of the store's own cannot be read");
                Ok(None)
            }
        }
    }

    pub(super) fn encoded(&self, key: &[u8], value: &impl Serialize) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_vec(value).map_err(|error| self.fail("a value has no JSON", error))?;
        Ok(frame::encode(key, &json))
    }

    pub(super) fn read(&self, tree: Tree, key: &[u8]) -> Result<Option<sled::IVec>, Error> {
        self.trees.get(tree, key).map_err(|error| self.fail("the database cannot be read", error))
    }

    pub(super) fn write(&mut self, change: &Change) -> Result<(), Error> {
        self.dirty = true;
        self.trees.commit(change).map_err(|error| self.fail("the database cannot be written", error))
    }
}
