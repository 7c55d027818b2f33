//! What the courier's task does for comparisons with what others write.

use tracing::{error, warn};

use crate::amo::feed::FeedNote;
use crate::amo::notes::Window;
use crate::call::id::CallId;
use crate::outbox::courier::Courier;
use crate::outbox::courier::effect::ReadBack;
use crate::outbox::courier::task::{Outbox, Task, read_back};

impl<O: Outbox> Task<O> {
    pub(super) async fn read_feed(&self, window: Window) -> ReadBack<Vec<FeedNote>> {
        let read = read_back(self.client.feed(window).await);
        if let ReadBack::Unreadable(reason) = &read {
            error!(
                account = %self.account, reason,
                "call notes cannot be read in amoCRM: calls are compared when the token's user may read them"
            );
        }
        read
    }

    /// Tells each that writes notes of our calls, once, and counts what it wrote.
    pub(super) fn tell_foreigners(&self, courier: &mut Courier) {
        for (source, known) in courier.new_foreigners() {
            let calls: Vec<&str> = known.calls.iter().map(CallId::as_str).collect();
            warn!(
                account = %self.account, source, ?calls,
                advice = "switch off its call history: docs/migrate.md; notice-duplicates = false silences this",
                "another integration writes call notes of calls that are posted"
            );
        }
        let foreigners = courier.foreigners();
        self.foreigners.send_if_modified(|known| {
            let is_new = known != foreigners;
            if is_new {
                known.clone_from(foreigners);
            }
            is_new
        });
    }
}
