//! Tells whoever repairs gaps of each time in which the PBX was not watched.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError::{Closed, Full};
use tracing::warn;

use crate::call::id::PbxName;
use crate::clock;
use crate::intake::gap::{Gap, Watch};
use crate::intake::reader::Reader;
use crate::time::PbxTime;

pub(super) struct Lookout {
    watch: Watch,
    gaps: mpsc::Sender<Gap>,
}

impl Lookout {
    /// `reader` may know until when an earlier process watched.
    pub(super) fn new(pbx: &PbxName, reader: &Reader, gaps: mpsc::Sender<Gap>) -> Self {
        Self { watch: Watch::new(pbx.clone(), reader.watched_until()), gaps }
    }

    /// The connection is lost, or is to be made.
    pub(super) fn lost(&mut self) {
        self.watch.lost();
    }

    /// The PBX answered a ping at `now` by its clock: a time in which its events did not flow is over.
    pub(super) fn alive(&mut self, now: PbxTime) {
        let Some(gap) = self.watch.alive(now, clock::mono()) else { return };
        if let Err(Full(gap) | Closed(gap)) = self.gaps.try_send(gap) {
            let (from, to) = (gap.from, gap.to);
            warn!(%from, %to, "the PBX was not watched, and nobody is there to look for its calls: ami2amo repair does it");
        }
    }
}
