//! Asks what the courier wants to know beside the calls: one question, run beside the POSTs. Dropped
//! before its end, a task that was to be made is in doubt, as its intent says.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};

use crate::amo::answer::Account;
use crate::amo::client::{Client, Failure};
use crate::amo::made;
use crate::amo::tasks::{self, Closed};
use crate::outbox::callback::Ended;
use crate::outbox::courier::Courier;
use crate::outbox::courier::aside::{Question, Told};
use crate::outbox::courier::effect::Created;
use crate::outbox::courier::task::{Outbox, Task, read_back};
use crate::outbox::queue;

/// How long a store that failed is left alone at the start.
const RECALL_PAUSE: Duration = Duration::from_secs(1);

impl<O: Outbox> Task<O> {
    /// Takes in what was kept of tasks, for which a store that fails is waited for; returns whether that
    /// is done. A task whose row is not known would be made twice.
    pub(super) async fn recall_tasks(&self, courier: &mut Courier) -> bool {
        loop {
            match self.outbox.tasks(&self.account).await {
                Ok(kept) => {
                    for key in courier.recall_tasks(kept) {
                        warn!(account = %self.account, key, "what was kept of a task to call back cannot be read");
                    }
                    return true;
                }
                Err(error) => {
                    error!(account = %self.account, %error, "the outbox failed: delivery begins later");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(RECALL_PAUSE) => {}
            }
        }
    }

    pub(super) fn tell_complaints(&self, courier: &mut Courier) {
        for complaint in courier.complaints() {
            warn!(account = %self.account, advice = complaint.advice(), "{complaint}");
        }
    }
}

/// Asks or does one thing. What `later_talk` is about is asked of the outbox, the rest of amoCRM.
pub(super) async fn ask(
    client: Arc<Client>,
    question: Question,
    later_talk: impl AsyncFnOnce(&str, Ended) -> Result<bool, queue::Error>,
) -> Told {
    match question {
        Question::Talked { number, since } => {
            let found = later_talk(&number, since).await.ok();
            Told::Talked { number, since, found }
        }
        Question::Users => Told::Users(read_back(client.users().await)),
        Question::Owner { number } => {
            let found = read_back(client.owner_of_number(&number).await);
            Told::Owner { number, found }
        }
        Question::OwnerOf { number, kind, id } => {
            let found = read_back(client.owner_of_entity(kind, id).await);
            Told::OwnerOf { number, found }
        }
        Question::Open { number, kind, id } => {
            let found = read_back(client.open_tasks(kind, id).await);
            Told::Open { number, found }
        }
        Question::Foreign { kinds, window } => {
            Told::Foreign(read_back(client.feed_begin(&kinds, window).await))
        }
        Question::Make { number, body } => {
            let created = match client.create(tasks::PATH, body).await {
                Ok(reply) => Created::Answered(made::read(&reply, tasks::LIST, &["0".to_owned()])),
                Err(failure) => Created::from(failure),
            };
            Told::Made { number, created }
        }
        Question::Close { number, task, body } => {
            let closed = match client.change(&tasks::path_of(task), body).await {
                Ok(reply) => tasks::read_closed(&reply),
                Err(failure) => unclosed(&failure),
            };
            Told::Closed { number, closed }
        }
    }
}

fn unclosed(failure: &Failure) -> Closed {
    let words = failure.to_string();
    let account = match failure {
        Failure::NoToken(_) => Account::Unauthorized,
        Failure::Quiet => Account::TooMany { retry_after: None },
        Failure::NotSent(_) | Failure::Unknown(_) => Account::ServerTrouble,
    };
    Closed::Unclear { account, words }
}

impl From<Failure> for Created {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoToken(words) => Self::NoToken(words),
            Failure::Quiet => Self::Quiet,
            Failure::NotSent(words) => Self::NotSent(words),
            Failure::Unknown(words) => Self::Lost(words),
        }
    }
}
