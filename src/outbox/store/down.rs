//! The store's thread while its store is dead: nothing is taken, and the database is opened anew now and
//! then, at growing distances, in this process: the intake goes on meanwhile.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use tracing::debug;

use crate::clock;
use crate::outbox::queue::State;
use crate::outbox::schedule::Slip;
use crate::outbox::store::error::{Failure, Kind, advice};
use crate::outbox::store::open::{Care, Ground, Trust};
use crate::outbox::store::{Error, Store};
use crate::outbox::{policy, queue};
use crate::panics;
use crate::time::{HostTime, MonoTime};

/// Pauses between tries.
const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(30);

/// Failures that name damage, in a row, after which a database that opens is not believed any more.
const DAMAGES_MAX: u32 = 3;

/// A store that is to be opened again.
#[derive(Debug)]
pub(super) struct Down {
    pub reason: String,
    pub retry_at: MonoTime,
    trust: Trust,
    tries: u32,
}

/// Failures since the store last did what it was asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    damages: u32,
}

impl Record {
    /// A group is durable.
    pub fn works(&mut self) {
        self.damages = 0;
    }

    /// What to make of a store that failed.
    pub fn failed(&mut self, failure: &Failure) -> Down {
        self.damages = if failure.kind == Kind::Damaged { self.damages + 1 } else { 0 };
        let trust = match failure.kind {
            Kind::Damaged if self.damages >= DAMAGES_MAX => Trust::Ruined,
            Kind::Damaged => Trust::Damaged,
            Kind::Full | Kind::ReadOnly | Kind::Permission | Kind::Other if failure.unsynced => {
                Trust::Unsynced
            }
            Kind::Full | Kind::ReadOnly | Kind::Permission | Kind::Other => Trust::Whole,
        };
        Down { trust, ..Down::new(failure.reason.clone()) }
    }
}

impl Down {
    pub fn new(reason: String) -> Self {
        // The herald tells it, with what to do.
        debug!(
            reason,
            advice = advice(&reason),
            "the store takes nothing: calls wait in memory, and it is opened anew in a moment"
        );
        Self { reason, retry_at: clock::mono().after(FIRST), trust: Trust::Whole, tries: 0 }
    }

    /// One try.
    ///
    /// # Errors
    /// When no further try can help: the database was written by a later ami2amo.
    pub fn retry(&mut self, ground: &Ground, now: HostTime) -> Result<Option<Store>, Error> {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            let mut store = ground.open(now, self.trust, Care::Repair)?;
            store.take_emergency(now)?;
            Ok(store)
        }));
        match outcome {
            Ok(Ok(store)) => return Ok(Some(store)),
            Ok(Err(error @ Error::Newer { .. })) => return Err(error),
            Ok(Err(error)) => self.reason = error.reason(),
            Err(panic) => self.reason = format!("opening panicked: {}", panics::text(&*panic)),
        }
        let pause = policy::delay(self.tries, FIRST, MAX, 1.0);
        self.tries = self.tries.saturating_add(1);
        self.retry_at = clock::mono().after(pause);
        let (reason, pause_s) = (&self.reason, pause.as_secs());
        debug!(reason, advice = advice(reason), pause_s, "the store cannot be opened again yet");
        Ok(None)
    }
}

impl Store {
    /// After a store was opened anew: intents from batch `acknowledged` on were told to nobody, so
    /// nothing was sent for them.
    pub(super) fn release_intents(&mut self, acknowledged: u64) -> Result<(), queue::Error> {
        let mut draft = self.draft();
        for seq in self.schedule.sending() {
            let Some((_, mut stored)) = self.load(seq)? else { continue };
            let State::Sending { batch, .. } = stored.slip().state else { continue };
            if batch.0 < acknowledged {
                continue;
            }
            stored.set_slip(Slip { state: State::Pending, ..stored.slip().clone() });
            self.note_release(&stored.id)?;
            self.lay(&mut draft, &stored)?;
        }
        self.commit(draft)?;
        self.persist()
    }
}
