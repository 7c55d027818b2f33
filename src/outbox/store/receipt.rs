//! What becomes of calls that were handed over to the store's thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::outbox::parcel::Parcel;
use crate::outbox::queue::{Enqueued, Error};
use crate::outbox::store::handle::closed;

pub(super) type Answer = Result<Vec<Enqueued>, Refused>;

/// What will become of calls that were handed over: a future, or to be asked now and then.
#[derive(Debug)]
pub struct Receipt {
    answer: oneshot::Receiver<Answer>,
    /// What was handed over, in case that there is no answer.
    parcel: Arc<Parcel>,
}

/// What the store could not take, so that it may wait elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    pub parcel: Parcel,
    pub error: Error,
}

impl Receipt {
    pub(super) fn new(answer: oneshot::Receiver<Answer>, parcel: Arc<Parcel>) -> Self {
        Self { answer, parcel }
    }

    /// The answer, if it is there; it is given once.
    pub fn try_answer(&mut self) -> Option<Answer> {
        match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(self.gone())),
        }
    }

    /// What was handed over to a store that was given up: it is not known what became of it.
    pub fn take_back(&mut self) -> Refused {
        Refused::taken_back(&self.parcel, Error::Store("it was given up".to_owned()))
    }

    /// The store's thread is gone with it.
    fn gone(&self) -> Refused {
        Refused::taken_back(&self.parcel, closed())
    }

    pub(super) fn parcel(&self) -> Arc<Parcel> {
        Arc::clone(&self.parcel)
    }
}

impl Refused {
    pub(super) fn taken_back(parcel: &Parcel, error: Error) -> Self {
        Self { parcel: parcel.clone(), error }
    }
}

impl Future for Receipt {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.answer).poll(context);
        answer.map(|answer| answer.unwrap_or_else(|_| Err(self.gone())))
    }
}
