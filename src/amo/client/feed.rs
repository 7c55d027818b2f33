//! Reading the call notes of the account, whoever wrote them.

use crate::amo::answer::Account;
use crate::amo::client::aside::unsaid;
use crate::amo::client::{Client, Looked};
use crate::amo::feed::{self, FeedNote, Page};
use crate::amo::notes::{self, ACCOUNT_PATH, KINDS, Kind, PAGES_MAX, Window};

/// Pages of each kind that a look beside the calls reads: 500 notes.
const BEGIN_PAGES: u32 = 2;

impl Client {
    /// All call notes that were stored or changed in `window`.
    pub async fn feed(&self, window: Window) -> Looked<Vec<FeedNote>> {
        let probe = match self.get(ACCOUNT_PATH).await {
            Ok(reply) => notes::read_account(&reply),
            Err(failure) => return Looked::Failed(failure),
        };
        if probe.account != Account::Fine {
            return Looked::Refused { account: probe.account, words: probe.words };
        }
        let mut found = Vec::new();
        for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Customer || probe.customers) {
            match self.feed_of(kind, window, PAGES_MAX, &mut found).await {
                Ok(false) => {}
                Ok(true) => {
                    let words = format!("more than {PAGES_MAX} pages of notes on {}", kind.plural());
                    return Looked::Unreadable(words);
                }
                Err(ended) => return ended,
            }
        }
        Looked::Found(found)
    }

    /// The first call notes of these kinds that were stored or changed in `window`.
    pub async fn feed_begin(&self, kinds: &[Kind], window: Window) -> Looked<Vec<FeedNote>> {
        let mut found = Vec::new();
        for kind in kinds {
            if let Err(ended) = self.feed_of(*kind, window, BEGIN_PAGES, &mut found).await {
                return ended;
            }
        }
        Looked::Found(found)
    }

    /// Reads some pages of one kind; whether there are more. The error is what to return.
    async fn feed_of(
        &self,
        kind: Kind,
        window: Window,
        pages: u32,
        found: &mut Vec<FeedNote>,
    ) -> Result<bool, Looked<Vec<FeedNote>>> {
        for page in 1..=pages {
            let reply = self.get(&notes::path(kind, window, page)).await.map_err(Looked::Failed)?;
            match feed::read(&reply, kind) {
                Page::Read { notes, more } => {
                    found.extend(notes);
                    if !more {
                        return Ok(false);
                    }
                }
                Page::Unread { account, words } => return Err(unsaid(account, words)),
            }
        }
        Ok(true)
    }
}
