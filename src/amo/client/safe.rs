//! Where a pair of OAuth tokens is kept: in the store, and in a file beside it.
//!
//! The file is what `ami2amo auth` writes, whoever holds the store, and what a new store begins
//! with. A pair counts as kept when one of the two has it for good; the other is made good later.

use std::fs::{self, File, OpenOptions};
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use crate::amo::token::TOKEN_MAX;
use crate::amo::token::pair::Pair;
use crate::call::id::AccountId;

/// What a [`Safe`] promises: an outcome, later.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// A second place for pairs, by account; the daemon's is its store.
pub trait Safe: std::fmt::Debug + Send + Sync {
    /// What is kept for `account`, if anything.
    fn fetch<'a>(&'a self, account: &'a AccountId) -> Promise<'a, Option<Vec<u8>>>;

    /// Keeps `pair`: when the promise is fulfilled, it survives a power cut.
    fn keep<'a>(&'a self, account: &'a AccountId, pair: Vec<u8>) -> Promise<'a, ()>;
}

/// The file of one account's pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PairFile(PathBuf);

/// The folder below the store's in which the files lie.
const FOLDER: &str = "tokens";
/// Most bytes of a file that is read: two tokens and what is known of them.
const FILE_MAX: u64 = 4 * TOKEN_MAX as u64;

impl PairFile {
    /// The file for `account` of the store in `store_dir`.
    pub fn of(store_dir: &Path, account: &AccountId) -> Self {
        Self(store_dir.join(FOLDER).join(format!("{}.json", account.as_str())))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The pair in the file; `None` when there is no file. It blocks.
    ///
    /// # Errors
    /// When there is one that cannot be read, in words.
    pub fn read(&self) -> Result<Option<Pair>, String> {
        let shown = self.0.display();
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read the tokens in {shown}: {error}")),
        };
        let mut bytes = Vec::new();
        let read = file.take(FILE_MAX).read_to_end(&mut bytes);
        read.map_err(|error| format!("cannot read the tokens in {shown}: {error}"))?;
        Pair::read(&bytes).map(Some).map_err(|error| format!("{shown}: {error}"))
    }

    /// Puts `pair` in the file's place, as a whole or not at all, readable by its owner only. Made
    /// by root, it belongs to whom the store belongs. It blocks.
    ///
    /// # Errors
    /// When the disk or the rights do not allow it, in words.
    pub fn write(&self, pair: &Pair) -> Result<(), String> {
        self.replace(&pair.to_json())
            .map_err(|error| format!("cannot write the tokens to {}: {error}", self.0.display()))
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let owner = make_folder(folder)?;
        let half = self.0.with_extension("new");
        // Left by a process that was killed: it would keep its rights.
        match fs::remove_file(&half) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
        file.write_all(bytes)?;
        own(&half, owner)?;
        file.sync_all()?;
        fs::rename(&half, &self.0)?;
        File::open(folder)?.sync_all()
    }
}

/// Makes the folder, and the store's where there is none yet; returns the owner of what is in it.
fn make_folder(folder: &Path) -> io::Result<(u32, u32)> {
    let store = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(store)?;
    let owner = fs::metadata(store)?;
    let owner = (owner.uid(), owner.gid());
    match fs::create_dir(folder) {
        Ok(()) => {
            fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
            own(folder, owner)?;
            File::open(store)?.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(owner)
}

/// Gives a file to its owner, where it is another's: root makes it for the service's user.
fn own(path: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    if (meta.uid(), meta.gid()) == (uid, gid) { Ok(()) } else { chown(path, Some(uid), Some(gid)) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::amo::token::Token;
    use crate::time::HostTime;

    fn pair(serial: u64) -> Pair {
        Pair {
            serial,
            access: Token::parse("very.secret").unwrap(),
            refresh: Token::parse("def502").unwrap(),
            obtained_at: HostTime::from_micros(1),
            expires_at: HostTime::from_micros(2),
            client_id: "id".to_owned(),
            configured: "https://a.amocrm.ru".to_owned(),
            base_url: "https://a.amocrm.ru".to_owned(),
        }
    }

    #[test]
    fn a_pair_is_kept_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = PairFile::of(&dir.path().join("store"), &AccountId::default());
        assert_eq!(file.read(), Ok(None));
        file.write(&pair(1)).unwrap();
        file.write(&pair(2)).unwrap();
        assert_eq!(file.read(), Ok(Some(pair(2))));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);
        let names: Vec<_> = fs::read_dir(file.path().parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn what_a_killed_process_left_gives_its_rights_to_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let file = PairFile::of(dir.path(), &AccountId::default());
        fs::create_dir(dir.path().join("tokens")).unwrap();
        let half = dir.path().join("tokens/default.new");
        fs::write(&half, "half").unwrap();
        fs::set_permissions(&half, fs::Permissions::from_mode(0o666)).unwrap();
        file.write(&pair(1)).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_none_says_so_and_shows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = PairFile::of(dir.path(), &AccountId::default());
        fs::create_dir(dir.path().join("tokens")).unwrap();
        fs::write(file.path(), r#"{"access_token": "very.secret"}"#).unwrap();
        let words = file.read().unwrap_err();
        assert!(words.contains("it is no pair of tokens") && !words.contains("secret"), "{words}");
    }
}
