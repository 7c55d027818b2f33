//! Who keeps the token of an account, and the store as the safe of tokens.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::amo::client::TokenSource;
use crate::amo::client::granter::Granter;
use crate::amo::client::keeper::TokenKeeper;
use crate::amo::client::safe::{PairFile, Promise, Safe};
use crate::amo::settings::Settings;
use crate::call::id::AccountId;
use crate::outbox::store::Shelf;
use crate::outbox::store::handle::Handle;

/// The store, as far as tokens need it.
#[derive(Debug)]
struct Vault(Handle);

/// The keeper of the token of `account`: a long-lived token that `variable` (the environment) or the
/// settings name, else the tokens that the account's integration is given.
///
/// # Errors
/// When neither is configured, or the variable holds no token.
pub fn keeper(
    account: &AccountId,
    settings: &Settings,
    variable: Option<&str>,
    store_dir: &Path,
    store: Handle,
) -> anyhow::Result<TokenKeeper> {
    match (&settings.oauth, variable) {
        (Some(app), None) => {
            let configured = settings.check().context("cannot talk to amoCRM")?.clone();
            let file = PairFile::of(store_dir, account);
            let safe = Arc::new(Vault(store));
            Ok(Granter::new(account.clone(), app.clone(), configured, file, Some(safe)).into())
        }
        (Some(_), Some(_)) | (None, _) => Ok(TokenSource::choose(settings, variable)?.into()),
    }
}

impl Safe for Vault {
    fn fetch<'a>(&'a self, account: &'a AccountId) -> Promise<'a, Option<Vec<u8>>> {
        let fetching = self.0.get(Shelf::Tokens, account.as_str());
        Box::pin(async move { fetching.await.map_err(|error| error.to_string()) })
    }

    fn keep<'a>(&'a self, account: &'a AccountId, pair: Vec<u8>) -> Promise<'a, ()> {
        let keeping = self.0.put(Shelf::Tokens, account.as_str(), pair);
        Box::pin(async move { keeping.await.map_err(|error| error.to_string()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::outbox::store::{Store, rest};

    #[tokio::test]
    async fn a_pair_in_the_vault_survives_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            Store::open(dir.path(), clock::host()).unwrap().spawn_resting(clock::host, rest::IDLE).unwrap()
        };
        let account = AccountId::new("second").unwrap();
        let store = open();
        let vault = Vault(store.clone());
        assert_eq!(vault.fetch(&account).await, Ok(None));
        vault.keep(&account, b"{}".to_vec()).await.unwrap();
        store.close().await.unwrap();
        let store = open();
        let vault = Vault(store.clone());
        assert_eq!(vault.fetch(&account).await, Ok(Some(b"{}".to_vec())));
        assert_eq!(vault.fetch(&AccountId::default()).await, Ok(None));
        store.close().await.unwrap();
        assert!(vault.keep(&account, Vec::new()).await.is_err(), "a closed store keeps nothing");
    }
}
