//! What the courier's task does for recordings.

use tokio::sync::watch;

use crate::amo::client::{Client, Failure};
use crate::amo::late_link;
use crate::outbox::courier::effect::Amended;
use crate::outbox::courier::sound::LateLinks;
use crate::outbox::finder::Finder;

/// What recordings need.
#[derive(Debug)]
pub struct Sounds {
    pub finder: Finder,
    /// How far local time is ahead of UTC, in seconds: folders of recordings are named by local days.
    pub utc_offset: fn() -> i32,
    /// Links that were added later, for status and metrics.
    pub links: watch::Sender<LateLinks>,
}

/// Changes a note.
pub(super) async fn amend(client: &Client, path: &str, body: Vec<u8>) -> Amended {
    match client.amend(path, body).await {
        Ok(reply) => Amended::Answered(late_link::read(&reply)),
        Err(Failure::NoToken(words)) => Amended::NoToken(words),
        Err(Failure::Quiet) => Amended::Quiet,
        Err(Failure::NotSent(words) | Failure::Unknown(words)) => Amended::NotSent(words),
    }
}
