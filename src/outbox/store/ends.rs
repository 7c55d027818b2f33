//! Who hears of calls that came to their end, once that is durable.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tracing::debug;

use crate::outbox::queue::{Item, Phase, Seq};
use crate::outbox::schedule::waits;
use crate::outbox::store::Store;
use crate::outbox::store::handle::Handle;

/// Hears of one call, on the store's thread: it waits for nothing.
type Ear = Box<dyn Fn(Item) + Send + Sync>;

/// The one who hears of ends, if somebody does.
#[derive(Clone, Default)]
pub(super) struct Ends(Arc<OnceLock<Ear>>);

/// Calls that came to their end since somebody was told.
#[derive(Debug, Default)]
pub(super) struct Ended(Vec<Seq>);

impl Ended {
    /// Notes a step that ends a call. What is added to a delivered call is no end.
    pub fn note(&mut self, seq: Seq, from: Phase, to: Phase) {
        if !waits(to) && from != to {
            self.0.push(seq);
        }
    }

    /// Notes a call that was at its end when it came.
    pub fn note_new(&mut self, seq: Seq, phase: Phase) {
        if !waits(phase) {
            self.0.push(seq);
        }
    }
}

impl Ends {
    /// Tells of what ended in `store`, of which all is durable.
    pub fn tell(&self, store: &mut Store) {
        let ended = std::mem::take(&mut store.ended.0);
        let Some(hear) = self.0.get() else { return };
        for seq in ended {
            match store.load(seq).map(|found| found.map(|(_, stored)| stored.into_item())) {
                Ok(Some(Ok(item))) => hear(item),
                Ok(Some(Err(error))) => debug!(seq = seq.0, %error, "a call that ended cannot be told"),
                Ok(None) | Err(_) => debug!(seq = seq.0, "a call that ended is gone"),
            }
        }
    }
}

impl Handle {
    /// Lets `hear` hear of every call that comes to its end from here on, once that is durable; it runs on the
    /// store's thread. The first who asks hears; whether it is this one.
    pub fn hear_ends(&self, hear: impl Fn(Item) + Send + Sync + 'static) -> bool {
        self.ends.0.set(Box::new(hear)).is_ok()
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ends").field(&self.0.get().is_some()).finish()
    }
}
