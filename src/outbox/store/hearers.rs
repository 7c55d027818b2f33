//! Whoever has notes of his own about numbers, and is told of each that is forgotten.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::outbox::search::digits;
use crate::outbox::store::handle::Handle;

/// Numbers that one of them has not heard of yet; whoever forgets another waits for him.
const WAITING_MAX: usize = 64;

/// No number stays here: it goes to those who listen, and is gone when they have heard of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Hearers(Arc<Mutex<Vec<Sender<String>>>>);

impl Hearers {
    pub async fn tell(&self, number: &str) {
        let hearers = {
            let mut hearers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            hearers.retain(|hearer| !hearer.is_closed());
            hearers.clone()
        };
        for hearer in hearers {
            // One that is gone has no notes any more.
            let _ = hearer.send(digits(number)).await;
        }
    }
}

impl Handle {
    /// The digits of each number that is forgotten from here on.
    pub fn forgotten(&self) -> Receiver<String> {
        let (sender, receiver) = channel(WAITING_MAX);
        self.hearers.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }
}
