//! Questions about calls in progress. Only the intake knows of them, and it must not wait: it answers between
//! two reads, some calls at a time, and whoever asks comes back for the next ones.

use tokio::sync::{mpsc, oneshot};

use crate::call::classify::live::LiveCall;
use crate::time::PbxTime;

/// Groups of channels in one answer: about a millisecond of the intake's time.
const AT_ONCE: usize = 32;

/// Questions that wait for one intake. Whoever finds no room waits outside.
const WAITING_MAX: usize = 4;

/// The way to ask one intake.
#[derive(Clone, Debug)]
pub struct Inquiry(mpsc::Sender<Ask>);

/// One question.
#[derive(Debug)]
pub struct Ask {
    pub(super) before: Option<u64>,
    pub(super) limit: usize,
    pub(super) reply: oneshot::Sender<Part>,
}

/// Some calls, and where the next question goes on.
#[derive(Debug)]
pub(super) struct Part {
    pub calls: Vec<LiveCall>,
    pub next: Option<u64>,
    pub now: Option<PbxTime>,
}

/// Calls in progress, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub calls: Vec<LiveCall>,
    /// There are older ones.
    pub more: bool,
    /// The PBX's time; not known before its first event.
    pub now: Option<PbxTime>,
}

/// The intake is gone, or in trouble of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the calls in progress cannot be told now")]
pub struct Silent;

/// A way to ask, and where the questions come out.
pub fn channel() -> (Inquiry, mpsc::Receiver<Ask>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Inquiry(sender), receiver)
}

impl Inquiry {
    /// At most `limit` calls, the newest. Whoever asks sets the time that he waits.
    ///
    /// # Errors
    /// When the intake gives no answer.
    pub async fn calls(&self, limit: usize) -> Result<Seen, Silent> {
        let (mut seen, mut before) = (Seen::default(), None);
        loop {
            let (reply, answer) = oneshot::channel();
            let ask = Ask { before, limit: AT_ONCE, reply };
            self.0.send(ask).await.map_err(|_| Silent)?;
            let part = answer.await.map_err(|_| Silent)?;
            seen.calls.extend(part.calls);
            seen.now = part.now.or(seen.now);
            seen.more = seen.calls.len() > limit || part.next.is_some();
            seen.calls.truncate(limit);
            if part.next.is_none() || seen.calls.len() == limit {
                return Ok(seen);
            }
            before = part.next;
        }
    }
}
