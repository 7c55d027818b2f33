//! What is asked and made for numbers that amoCRM does not know.

use reqwest::Method;

use crate::amo::answer::{Account, Reply};
use crate::amo::client::line::Quiet;
use crate::amo::client::{Client, Failure, Looked, unread};
use crate::amo::contacts::{self, Known, Search};
use crate::amo::notes::{self, ACCOUNT_PATH};
use crate::amo::unsorted::{self, Open, Page};

impl Client {
    /// Reads the open items of Incoming leads, the newest first.
    pub async fn open_unsorted(&self) -> Looked<Open> {
        let probe = match self.get(ACCOUNT_PATH).await {
            Ok(reply) => notes::read_account(&reply),
            Err(failure) => return Looked::Failed(failure),
        };
        if probe.account != Account::Fine {
            return Looked::Refused { account: probe.account, words: probe.words };
        }
        let mut open = Open { is_off: !probe.unsorted, ..Open::default() };
        if open.is_off {
            return Looked::Found(open);
        }
        for page in 1..=unsorted::PAGES_MAX {
            let reply = match self.get(&unsorted::path(page)).await {
                Ok(reply) => reply,
                Err(failure) => return Looked::Failed(failure),
            };
            match open.take(&reply) {
                Page::Read { more: false } => return Looked::Found(open),
                Page::Read { more: true } => {}
                Page::Unread { account, words } => return unread(account, words),
            }
        }
        open.is_cut = true;
        Looked::Found(open)
    }

    /// Searches for contacts with this number.
    pub async fn find_contacts(&self, number: &str) -> Looked<Vec<Known>> {
        let reply = match self.get(&contacts::search_path(number)).await {
            Ok(reply) => reply,
            Err(failure) => return Looked::Failed(failure),
        };
        match contacts::read_search(&reply, number) {
            Search::Read(found) => Looked::Found(found),
            Search::Unread { account, words } => unread(account, words),
        }
    }

    /// Makes something.
    ///
    /// # Errors
    /// When no answer came; [`Failure`] tells whether it can have been made.
    pub async fn create(&self, path: &str, body: Vec<u8>) -> Result<Reply, Failure> {
        self.exchange(Method::POST, path, Some(body), Quiet::GiveUp).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// When no answer came; perhaps it was changed.
    pub async fn amend(&self, path: &str, body: Vec<u8>) -> Result<Reply, Failure> {
        self.exchange(Method::PATCH, path, Some(body), Quiet::GiveUp).await
    }
}
