//! Checkpoints of calls in progress: `<pbx>/<key>` in the tree `inflight`, the keys being those of
//! `call::checkpoint`.

use tracing::error;

use crate::call::checkpoint;
use crate::call::id::PbxName;
use crate::outbox::queue::Error;
use crate::outbox::store::trees::{Change, Tree};
use crate::outbox::store::{Store, frame};

impl Change {
    /// Adds what changed of the calls in progress of `pbx`.
    pub(super) fn keep(&mut self, pbx: &PbxName, changes: &[checkpoint::Change]) {
        for checkpoint::Change { key, value } in changes {
            let key = stored_key(pbx, key);
            match value {
                Some(value) => {
                    let framed = frame::encode(key.as_bytes(), value);
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

fn stored_key(pbx: &PbxName, key: &str) -> String {
    format!("{pbx}/{key}")
}
