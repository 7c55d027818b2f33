//! What is asked and done beside the calls: users, owners, tasks.

use reqwest::Method;

use crate::amo::answer::{Account, Reply};
use crate::amo::client::line::Quiet;
use crate::amo::client::{Client, Failure, Looked, unread};
use crate::amo::contacts::{self, Search};
use crate::amo::notes::{self, ACCOUNT_PATH};
use crate::amo::tasks::{self, Open, Read};
use crate::amo::users::{self, Page, Roster};

impl Client {
    /// Reads the account's users.
    pub async fn users(&self) -> Looked<Roster> {
        let reply = match self.get(ACCOUNT_PATH).await {
            Ok(reply) => reply,
            Err(failure) => return Looked::Failed(failure),
        };
        let probe = notes::read_account(&reply);
        if probe.account != Account::Fine {
            return Looked::Refused { account: probe.account, words: probe.words };
        }
        let mut roster = Roster::of(users::me(&reply));
        for page in 1..=users::PAGES_MAX {
            let reply = match self.get(&users::path(page)).await {
                Ok(reply) => reply,
                Err(failure) => return Looked::Failed(failure),
            };
            match roster.take(&reply) {
                Page::Read { more: false } => return Looked::Found(roster),
                Page::Read { more: true } => {}
                Page::Unread { account, words } => return unsaid(account, words),
            }
        }
        roster.is_cut = true;
        Looked::Found(roster)
    }

    /// Searches for the user whose contact or company has this number.
    pub async fn owner_of_number(&self, number: &str) -> Looked<Option<u64>> {
        let path = contacts::search_path(number);
        let contact = self.ask(&path, |reply| contacts::read_search(reply, number));
        match contact.await {
            Looked::Found(found) if found.is_empty() => {}
            Looked::Found(found) => return Looked::Found(found.iter().find_map(|contact| contact.owner)),
            Looked::Refused { account, words } => return Looked::Refused { account, words },
            Looked::Unreadable(words) => return Looked::Unreadable(words),
            Looked::Failed(failure) => return Looked::Failed(failure),
        }
        let path = contacts::companies_path(number);
        let company = self.ask(&path, |reply| contacts::read_companies(reply, number));
        company.await.map(|found| found.iter().find_map(|company| company.owner))
    }

    /// The user whose entity this is; its kind is in the plural.
    pub async fn owner_of_entity(&self, kind: &str, id: u64) -> Looked<Option<u64>> {
        self.ask(&tasks::entity_path(kind, id), tasks::read_owner).await
    }

    /// The open tasks of an entity; its kind is in the plural.
    pub async fn open_tasks(&self, kind: &str, id: u64) -> Looked<Vec<Open>> {
        self.ask(&tasks::open_path(kind, id), tasks::read_open).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// When no answer came; [`Failure`] tells whether it can have been changed.
    pub async fn change(&self, path: &str, body: Vec<u8>) -> Result<Reply, Failure> {
        self.exchange(Method::PATCH, path, Some(body), Quiet::GiveUp).await
    }

    async fn ask<T, R: Into<Read<T>>>(&self, path: &str, read: impl Fn(&Reply) -> R) -> Looked<T> {
        match self.get(path).await.map(|reply| read(&reply).into()) {
            Ok(Read::Read(found)) => Looked::Found(found),
            Ok(Read::Unread { account, words }) => unsaid(account, words),
            Err(failure) => Looked::Failed(failure),
        }
    }
}

/// As [`unread`]; what the server could not answer may be asked again.
pub(super) fn unsaid<T>(account: Account, words: String) -> Looked<T> {
    match account {
        Account::ServerTrouble => Looked::Failed(Failure::Unknown(words)),
        Account::Fine
        | Account::Unauthorized
        | Account::Unpaid
        | Account::Forbidden
        | Account::Banned
        | Account::TooMany { .. }
        | Account::NotAmo => unread(account, words),
    }
}

impl<T> Looked<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Looked<U> {
        match self {
            Self::Found(found) => Looked::Found(with(found)),
            Self::Refused { account, words } => Looked::Refused { account, words },
            Self::Unreadable(words) => Looked::Unreadable(words),
            Self::Failed(failure) => Looked::Failed(failure),
        }
    }
}

impl From<Search> for Read<Vec<contacts::Known>> {
    fn from(search: Search) -> Self {
        match search {
            Search::Read(found) => Self::Read(found),
            Search::Unread { account, words } => Self::Unread { account, words },
        }
    }
}
