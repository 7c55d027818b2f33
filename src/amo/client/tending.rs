//! Exchanges tokens in time when nothing else asks for one: amoCRM forgets those that are not used. It
//! runs beside an account's courier.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::amo::client::granter::{Granter, REST};
use crate::amo::client::line::Line;

/// Who tends the tokens of one account.
#[derive(Debug)]
pub struct Tending {
    granter: Arc<Granter>,
    line: Arc<Line>,
}

/// The longest sleep: the clock may be set meanwhile.
const NAP_MAX: Duration = Duration::from_hours(1);

impl Tending {
    pub(super) fn new(granter: Arc<Granter>, line: Arc<Line>) -> Self {
        Self { granter, line }
    }

    /// Brings the tokens up to date whenever it is time, until `stop`; ends when no exchange is under way.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let nap = match self.granter.token(&self.line).await {
                Ok(_) => self.nap(),
                // Whoever sends calls says it aloud.
                Err(_) => REST,
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(nap) => {}
            }
        }
        self.granter.at_rest().await;
    }

    fn nap(&self) -> Duration {
        self.granter.due_at().map_or(REST, |at| at.since(self.line.now()).clamp(REST, NAP_MAX))
    }
}
