//! What is asked by a person who checks the account: its people, and what the token's user may read.

use crate::amo::answer::{self, Account, json_object};
use crate::amo::client::{Client, Looked, unread};
use crate::amo::notes;
use crate::amo::people::{self, Page, Person};
use crate::amo::users;

/// The cheapest question that needs the right to read contacts.
const CONTACTS: &str = "/api/v4/contacts?limit=1";
/// The cheapest question that needs the right to read calls back.
const CALL_NOTES: &str = "/api/v4/contacts/notes?filter%5Bnote_type%5D%5B%5D=call_in&limit=1";

impl Client {
    /// Reads the account's people, with names.
    pub async fn people(&self) -> Looked<Vec<Person>> {
        let mut all = Vec::new();
        for page in 1..=users::PAGES_MAX {
            let reply = match self.get(&people::path(page)).await {
                Ok(reply) => reply,
                Err(failure) => return Looked::Failed(failure),
            };
            match people::read(&reply) {
                Page::Read { people, more } => {
                    all.extend(people);
                    if !more {
                        break;
                    }
                }
                Page::Unread { account, words } => return unread(account, words),
            }
        }
        Looked::Found(all)
    }

    /// The user whose token it is.
    pub async fn token_user(&self) -> Looked<Option<u64>> {
        match self.get(notes::ACCOUNT_PATH).await {
            Ok(reply) => {
                let probe = notes::read_account(&reply);
                if probe.account == Account::Fine {
                    Looked::Found(users::me(&reply))
                } else {
                    Looked::Refused { account: probe.account, words: probe.words }
                }
            }
            Err(failure) => Looked::Failed(failure),
        }
    }

    /// Whether contacts may be read.
    pub async fn reads_contacts(&self) -> Looked<()> {
        self.reads(CONTACTS).await
    }

    /// Whether stored calls may be read: by them is found out what became of a call whose answer was lost.
    pub async fn reads_calls(&self) -> Looked<()> {
        self.reads(CALL_NOTES).await
    }

    async fn reads(&self, path: &str) -> Looked<()> {
        match self.get(path).await {
            Ok(reply) if matches!(reply.status, 200 | 204) => Looked::Found(()),
            Ok(reply) => {
                let json = json_object(&reply.body);
                unread(answer::account(&reply, json.as_ref()), answer::words(&reply, json.as_ref()))
            }
            Err(failure) => Looked::Failed(failure),
        }
    }
}
