//! Checkpoints of calls in progress: `<pbx>/<key>` in the tree `inflight`, the keys being those of
//! `call::checkpoint`.

use tracing::error;

use crate::call::checkpoint;
use crate::call::id::PbxName;
use crate::call::record::CallRecord;
use crate::outbox::queue::Error;
use crate::outbox::store::trees::{Change, Tree};
use crate::outbox::store::{Shelf, Store, frame};

impl Change {
    /// Adds what changed of the calls in progress of `pbx`.
    pub(super) fn keep(&mut self, pbx: &PbxName, changes: &[checkpoint::Change]) {
        for checkpoint::Change { key, value } in changes {
            let key = stored_key(pbx, key);
            match value {
                Some(value) => {
                    let framed = frame::encode(&Shelf::Inflight.frame_key(&key), value);
                    self.put(Tree::Inflight, key.as_bytes(), framed);
                }
                None => self.remove(Tree::Inflight, key.as_bytes()),
            }
        }
    }
}

impl Store {
    /// What was kept of the calls in progress of `pbx`, by key. A value that is damaged is told and
    /// stays where it is.
    ///
    /// # Errors
    /// When the store failed.
    pub fn checkpoints(&self, pbx: &PbxName) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.alive()?;
        let prefix = stored_key(pbx, "");
        let mut kept = Vec::new();
        for key in self.trees.keys_from(Tree::Inflight, prefix.as_bytes()) {
            let key = key.map_err(|error| self.fail("the database cannot be read", error))?;
            let Some(bytes) = self.read(Tree::Inflight, &key)? else { continue };
            let name = String::from_utf8_lossy(&key);
            match frame::decode(&bytes) {
                Ok(frame) => kept.push((name.replacen(&prefix, "", 1), frame.payload.to_vec())),
                Err(error) => {
                    error!(key = %name, %error, "a checkpoint of a call in progress cannot be read");
                }
            }
        }
        Ok(kept)
    }
}

/// The channel or call that a key is of, as `ids` name it: `<pbx>-<uniqueid>`.
pub(super) fn channel_of(key: &str) -> Option<String> {
    let (pbx, rest) = key.split_once('/')?;
    let uniqueid = rest.strip_prefix("c/").or_else(|| rest.strip_prefix("g/"))?;
    Some(format!("{pbx}-{uniqueid}"))
}

/// The keys under which the channels of a call that ended may still be kept.
pub(super) fn keys_of(record: &CallRecord) -> impl Iterator<Item = String> {
    record.uniqueids.iter().flat_map(|uniqueid| {
        let keys = [checkpoint::channel_key(uniqueid), checkpoint::call_key(uniqueid)];
        keys.map(|key| stored_key(&record.pbx, &key))
    })
}

fn stored_key(pbx: &PbxName, key: &str) -> String {
    format!("{pbx}/{key}")
}
