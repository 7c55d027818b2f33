//! Which PBXs the store knows. A PBX's name is part of its calls' ids for ever: one that comes back
//! under another name would have each call of the past, read again from its CDR or a capture, posted
//! a second time. So the store remembers where each name was reached, and a known place with a new
//! name is refused until somebody says that he means it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::call::id::PbxName;
use crate::outbox::queue;
use crate::outbox::store::frame;
use crate::outbox::store::trees::{Change, Tree};
use crate::outbox::store::{Shelf, Store, history};
use crate::time::HostTime;

/// A PBX as the configuration has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Configured {
    pub name: PbxName,
    /// Host and port.
    pub address: String,
    /// Its name until now, where that was changed on purpose.
    pub renamed_from: Option<PbxName>,
}

/// Where a PBX was when it was last configured.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub(super) struct Place {
    address: String,
    last: HostTime,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "[[pbx]] \"{new}\": the store knows the PBX at {address} as \"{old}\", and a name is part of its calls' ids: \
         set name = \"{old}\" again; or, if it is to have the new name from here on, add renamed-from = \"{old}\" \
         (calls of before keep their ids, so none of them must be read again under the new name)"
    )]
    Renamed { old: PbxName, new: PbxName, address: String },
    #[error("[[pbx]] \"{new}\": renamed-from = \"{old}\" is the name of another [[pbx]]: leave it out")]
    Both { old: PbxName, new: PbxName },
    #[error(transparent)]
    Store(#[from] queue::Error),
}

/// Calls in progress of a PBX that is configured no more are kept as long as those that have ended.
const KEPT_FOR: Duration = history::KEPT_FOR;

impl Store {
    /// Takes note of the configured PBXs, durably. Calls in progress follow a PBX that was renamed on
    /// purpose; those of a PBX that is gone are kept for 30 days, in case it comes back.
    ///
    /// # Errors
    /// When one of them is known under another name, and when the store failed. Nothing is changed then.
    pub fn admit(&mut self, pbxs: &[Configured], now: HostTime) -> Result<(), Error> {
        let known = self.pinned()?;
        let places = self.places()?;
        for pbx in pbxs {
            let is_configured = |name: &PbxName| pbxs.iter().any(|other| other.name == *name);
            if let Some(old) = pbx.renamed_from.as_ref().filter(|old| is_configured(old)) {
                return Err(Error::Both { old: old.clone(), new: pbx.name.clone() });
            }
            let Configured { name, address, renamed_from } = pbx;
            let was = |(old, place): &(&PbxName, &Place)| place.address == *address && !is_configured(old);
            if known.contains(name) {
                continue;
            }
            if let Some((old, _)) =
                places.iter().find(was).filter(|(old, _)| Some(*old) != renamed_from.as_ref())
            {
                let (old, new, address) = (old.clone(), name.clone(), address.clone());
                return Err(Error::Renamed { old, new, address });
            }
        }
        for pbx in pbxs.iter().filter(|pbx| !known.contains(&pbx.name)) {
            if let Some(old) = &pbx.renamed_from {
                self.rename(old, &pbx.name)?;
            }
        }
        let names: Vec<_> = pbxs.iter().map(|pbx| pbx.name.clone()).collect();
        for gone in self.pin(&names)? {
            self.miss(&gone, places.get(&gone), now)?;
        }
        self.note_places(pbxs, places, now)?;
        Ok(self.persist()?)
    }

    fn note_places(
        &mut self,
        pbxs: &[Configured],
        mut places: BTreeMap<PbxName, Place>,
        now: HostTime,
    ) -> Result<(), queue::Error> {
        for Configured { name, address, renamed_from } in pbxs {
            if let Some(old) = renamed_from {
                // It is elsewhere by now: under its new name.
                places.remove(old);
            }
            places.insert(name.clone(), Place { address: address.clone(), last: now });
        }
        self.pin_places(places)
    }

    /// Gives the calls in progress of `old` to `new`.
    fn rename(&mut self, old: &PbxName, new: &PbxName) -> Result<(), queue::Error> {
        let kept = self.checkpoints(old)?;
        let mut change = Change::default();
        for (key, value) in &kept {
            let renamed = format!("{new}/{key}");
            change.put(
                Tree::Inflight,
                renamed.as_bytes(),
                frame::encode(&Shelf::Inflight.frame_key(&renamed), value),
            );
            change.remove(Tree::Inflight, format!("{old}/{key}").as_bytes());
        }
        info!(%old, %new, values = kept.len(), "a PBX was renamed: its calls in progress go on under the new name");
        if kept.is_empty() { Ok(()) } else { self.write(&change) }
    }

    /// Tells of a PBX that is configured no more, and forgets its calls in progress in the end.
    fn miss(&mut self, name: &PbxName, place: Option<&Place>, now: HostTime) -> Result<(), queue::Error> {
        let address = place.map(|place| place.address.as_str());
        let kept = self.checkpoints(name)?;
        let is_old = place.is_some_and(|place| now.since(place.last) > KEPT_FOR);
        if !is_old || kept.is_empty() {
            warn!(%name, address, calls_in_progress = kept.len(), "the store has calls of a PBX that is not configured: a name is part of its calls' ids");
            return Ok(());
        }
        let mut change = Change::default();
        for (key, _) in &kept {
            change.remove(Tree::Inflight, format!("{name}/{key}").as_bytes());
        }
        warn!(%name, address, values = kept.len(), "calls in progress of a PBX that is not configured since 30 days are forgotten");
        self.write(&change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::queue::contract::at;
    use crate::outbox::store::tests::{new, reopen};

    fn name(text: &str) -> PbxName {
        PbxName::new(text).unwrap()
    }

    fn pbx(text: &str, address: &str) -> Configured {
        Configured { name: name(text), address: address.to_owned(), renamed_from: None }
    }

    fn renamed(text: &str, address: &str, from: &str) -> Configured {
        Configured { renamed_from: Some(name(from)), ..pbx(text, address) }
    }

    #[test]
    fn a_pbx_with_another_name_is_refused_until_it_is_meant() {
        let (mut store, dir) = new();
        store.admit(&[pbx("msk", "10.0.0.1:5038"), pbx("spb", "10.0.0.2:5038")], at(0)).unwrap();
        store.put(Shelf::Inflight, "msk/c/1.1", b"{\"v\":1}").unwrap();
        let mut store = reopen(store, dir.path());
        let [new_name, spb] = [pbx("moscow", "10.0.0.1:5038"), pbx("spb", "10.0.0.2:5038")];
        for _again in 0..2 {
            let error = store.admit(&[new_name.clone(), spb.clone()], at(1)).unwrap_err();
            assert!(matches!(&error, Error::Renamed { old, .. } if old.as_str() == "msk"), "{error}");
            let advice = error.to_string();
            assert!(
                advice.contains("name = \"msk\"") && advice.contains("renamed-from = \"msk\""),
                "{advice}"
            );
        }
        assert_eq!(store.checkpoints(&name("msk")).unwrap().len(), 1, "nothing was changed");
        let meant = [renamed("moscow", "10.0.0.1:5038", "msk"), spb];
        store.admit(&meant, at(1)).unwrap();
        let mut store = reopen(store, dir.path());
        let moved = store.checkpoints(&name("moscow")).unwrap();
        assert_eq!(moved, [("c/1.1".to_owned(), b"{\"v\":1}".to_vec())]);
        assert!(store.checkpoints(&name("msk")).unwrap().is_empty());
        store.admit(&meant, at(2)).unwrap();
        store.admit(&[pbx("moscow", "10.0.0.1:5038")], at(3)).unwrap();
    }

    #[test]
    fn another_old_name_than_its_own_does_not_help() {
        let (mut store, _dir) = new();
        store.admit(&[pbx("msk", "a:1")], at(0)).unwrap();
        let error = store.admit(&[renamed("moscow", "a:1", "spb")], at(1)).unwrap_err();
        assert!(matches!(error, Error::Renamed { .. }), "{error}");
        let both = [pbx("msk", "a:1"), renamed("moscow", "a:1", "msk")];
        assert!(matches!(store.admit(&both, at(1)).unwrap_err(), Error::Both { .. }));
    }

    #[test]
    fn a_pbx_may_move_and_another_may_come() {
        let (mut store, _dir) = new();
        store.admit(&[pbx("msk", "a:1")], at(0)).unwrap();
        store.admit(&[pbx("msk", "b:1")], at(1)).unwrap();
        store.admit(&[pbx("msk", "b:1"), pbx("spb", "a:1")], at(2)).unwrap();
        store.admit(&[pbx("spb", "a:1"), pbx("msk", "a:1")], at(3)).unwrap();
    }

    #[test]
    fn calls_in_progress_of_a_pbx_that_is_gone_are_kept_for_a_month() {
        let (mut store, dir) = new();
        store.admit(&[pbx("msk", "a:1"), pbx("spb", "b:1")], at(0)).unwrap();
        store.put(Shelf::Inflight, "msk/c/1.1", b"{\"v\":1}").unwrap();
        store.put(Shelf::Inflight, "spb/c/1.1", b"{\"v\":1}").unwrap();
        let day = 24 * 3600;
        for (days, kept) in [(1, 1), (30, 1), (31, 0)] {
            store.admit(&[pbx("spb", "b:1")], at(days * day)).unwrap();
            assert_eq!(store.checkpoints(&name("msk")).unwrap().len(), kept, "after {days} days");
        }
        let store = reopen(store, dir.path());
        assert_eq!(store.checkpoints(&name("spb")).unwrap().len(), 1);
    }
}
