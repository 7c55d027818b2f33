//! The time without a daemon, where the next one began without its store: nobody told its intakes until when the
//! PBXs were watched before.

use tracing::warn;

use crate::call::checkpoint::Value;
use crate::call::id::PbxName;
use crate::clock;
use crate::daemon::gaps::GapRepair;
use crate::intake::gap::Gap;
use crate::time::PbxTime;

impl GapRepair {
    /// Reads until when an earlier process watched each PBX: the intakes write nothing over it before that is done.
    /// False when the store has failed again meanwhile.
    pub(super) async fn read_last_words(&mut self) -> bool {
        for (pbx, _) in &self.sources {
            match self.store.checkpoints(pbx).await {
                Ok(kept) => self.last_words.extend(last_word(&kept).map(|at| (pbx.clone(), at))),
                Err(_) if self.store.failure().is_some() || self.store.is_over() => return false,
                Err(error) => {
                    warn!(%pbx, %error, "until when the PBX was watched cannot be read: ami2amo repair looks for calls of the time without ami2amo");
                }
            }
        }
        true
    }

    /// Takes the gaps that end with this process, each once its PBX's clock is known: until then its intake has not
    /// begun to watch.
    pub(super) async fn take_late(&mut self) {
        let known = self.offsets.borrow_and_update().clone();
        let told: Vec<PbxName> =
            self.last_words.keys().filter(|pbx| known.contains_key(*pbx)).cloned().collect();
        for pbx in told {
            let (Some(from), Some(offset)) = (self.last_words.remove(&pbx), known.get(&pbx)) else {
                continue;
            };
            let to = PbxTime::from_micros(clock::host().micros().saturating_sub(*offset));
            if from < to {
                self.take(Gap { pbx, from, to }).await;
            }
        }
    }
}

/// As [`Reader::watched_until`](crate::intake::reader::Reader::watched_until) of the process that kept this.
fn last_word(kept: &[(String, Vec<u8>)]) -> Option<PbxTime> {
    kept.iter().find_map(|(key, json)| match Value::read(key, json) {
        Ok(Value::Stream(stream)) => {
            let last = stream.alive.map_or(stream.now, |alive| alive.max(stream.now));
            Some(PbxTime::from_micros(last.micros().saturating_sub(stream.shift)))
        }
        Ok(Value::Channel(_) | Value::Call(_) | Value::Endpoint(_)) | Err(_) => None,
    })
}
