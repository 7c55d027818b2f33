//! The question who works in the account, as the HTTP client asks it. It is answered before anything else
//! happens: that it runs beside calls is the business of `src/outbox/courier/tests/aside.rs`.

use ami2amo::amo::answer::{Account, Reply};
use ami2amo::amo::feed::{self, FeedNote};
use ami2amo::amo::notes::{self, ACCOUNT_PATH, Kind, Window};
use ami2amo::amo::users::{self, Page, Roster};
use ami2amo::outbox::courier::aside::Told;
use ami2amo::outbox::courier::effect::{Outcome, ReadBack};
use serde_json::json;

use crate::answers;
use crate::carrier::{Landing, silent, unread};
use crate::world::World;

/// The user of calls whose extension has none.
pub const DEFAULT: u64 = 5_000;
/// How many more there are, by their extensions.
const USERS: u64 = 150;

/// The list of users: everybody works there.
pub fn list() -> Reply {
    let users = (DEFAULT..=DEFAULT + USERS).map(|id| json!({"id": id, "rights": {"is_active": true}}));
    answers::json_reply(200, &json!({"_embedded": {"users": users.collect::<Vec<_>>()}}))
}

impl World {
    pub fn ask_users(&mut self) {
        let mut at = self.now;
        let read = self.read_users(&mut at);
        self.note(|| format!("users: {read:?}"));
        self.flies((at - self.now).max(1), Landing::Outcome(Outcome::Told(Told::Users(read))), 0);
    }

    /// Who else writes notes of the calls: nobody in this world.
    pub fn ask_foreign(&mut self, kinds: &[Kind], window: Window) {
        let mut at = self.now;
        let read = self.read_foreign(&mut at, kinds, window);
        self.note(|| format!("notes: {read:?}"));
        self.flies((at - self.now).max(1), Landing::Outcome(Outcome::Told(Told::Foreign(read))), 0);
    }

    fn read_foreign(&mut self, at: &mut u64, kinds: &[Kind], window: Window) -> ReadBack<Vec<FeedNote>> {
        let mut found = Vec::new();
        for kind in kinds {
            let reply = match self.get(at, &notes::path(*kind, window, 1)) {
                Ok((reply, _)) => reply,
                Err((failure, _)) => return silent(failure),
            };
            match feed::read(&reply, *kind) {
                feed::Page::Read { notes, .. } => found.extend(notes),
                feed::Page::Unread { account, words } => return unread(account, words),
            }
        }
        ReadBack::Complete(found)
    }

    fn read_users(&mut self, at: &mut u64) -> ReadBack<Roster> {
        let account = match self.get(at, ACCOUNT_PATH) {
            Ok((reply, _)) => reply,
            Err((failure, _)) => return silent(failure),
        };
        let probe = notes::read_account(&account);
        if probe.account != Account::Fine {
            return ReadBack::Refused { account: probe.account, words: probe.words };
        }
        let reply = match self.get(at, &users::path(1)) {
            Ok((reply, _)) => reply,
            Err((failure, _)) => return silent(failure),
        };
        let mut roster = Roster::of(users::me(&account));
        match roster.take(&reply) {
            Page::Read { .. } => ReadBack::Complete(roster),
            Page::Unread { account: Account::ServerTrouble, words } => ReadBack::Silent(words),
            Page::Unread { account, words } => unread(account, words),
        }
    }
}

/// Whether this is the path of the list.
pub fn is_list(path: &str) -> bool {
    path.starts_with("/api/v4/users?")
}
