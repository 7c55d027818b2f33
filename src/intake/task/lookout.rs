//! Tells whoever repairs gaps of each time in which the PBX was not watched.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError::{Closed, Full};
use tracing::warn;

use crate::call::id::PbxName;
use crate::intake::gap::{Gap, Watch};
use crate::intake::reader::Reader;
use crate::time::PbxTime;

pub(super) struct Lookout {
    watch: Watch,
    gaps: mpsc::Sender<Gap>,
}

impl Lookout {
    /// `reader` may know when an earlier process saw the last event.
    pub(super) fn new(pbx: &PbxName, reader: &Reader, gaps: mpsc::Sender<Gap>) -> Self {
        let last = reader.stats().last.map(|last| PbxTime::from_micros(last.micros() - reader.shift()));
        Self { watch: Watch::new(pbx.clone(), last), gaps }
    }

    /// The connection is lost, or is to be made.
    pub(super) fn lost(&mut self) {
        self.watch.lost();
    }

    /// It is `now` on the PBX, and its events flow: a time in which they did not is over.
    pub(super) fn alive(&mut self, now: PbxTime) {
        let Some(gap) = self.watch.alive(now) else { return };
        if let Err(Full(gap) | Closed(gap)) = self.gaps.try_send(gap) {
            let (from, to) = (gap.from, gap.to);
            warn!(%from, %to, "the PBX was not watched, and nobody is there to look for its calls: ami2amo repair does it");
        }
    }
}
