//! What a configuration can only be checked against: files, folders, the environment.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::config::check::CREDENTIALS;

/// Where the daemon would run.
pub trait Surroundings {
    /// A variable of the environment, if it is set.
    fn variable(&self, name: &str) -> Option<String>;

    /// A file's content.
    ///
    /// # Errors
    /// As the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    fn folder(&self, path: &Path) -> Folder;

    /// Whether systemd's credentials are there: they exist inside the service only.
    fn has_credentials(&self) -> bool;
}

/// What a folder is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Folder {
    Writable,
    /// It is not there, but can be made.
    Makeable,
    /// It, or the nearest folder above it, cannot be written by this user.
    Forbidden,
    /// It is on a file system that is mounted read-only: nobody can write there, and that may be
    /// mended while the configuration stays.
    ReadOnly,
    /// It is below `/proc`, `/sys` and the like, where the kernel shows itself.
    Kernels,
    NotAFolder,
}

/// This host.
#[derive(Clone, Copy, Debug)]
pub enum Host {
    /// The daemon starts here.
    Start,
    /// A person asks, who may not see what the daemon sees.
    Look,
}

/// What systemd sets inside a service with `LoadCredential=`.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Nothing that is read here is larger: what is, is the wrong file.
const FILE_MAX: u64 = 1 << 20;

impl Surroundings for Host {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = &self.credential(path).unwrap_or_else(|| path.to_owned());
        let meta = fs::metadata(path)?;
        if meta.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if meta.len() > FILE_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        fs::read(path)
    }

    fn folder(&self, path: &Path) -> Folder {
        match fs::metadata(path) {
            Ok(meta) if !meta.is_dir() => Folder::NotAFolder,
            Ok(_) => obstacle(path).unwrap_or(Folder::Writable),
            Err(_) => match path.ancestors().skip(1).find(|above| above.exists()) {
                Some(above) if above.is_dir() => obstacle(above).unwrap_or(Folder::Makeable),
                Some(_) => Folder::NotAFolder,
                None => Folder::Forbidden,
            },
        }
    }

    fn has_credentials(&self) -> bool {
        match self {
            Self::Start => true,
            Self::Look => self.variable(CREDENTIALS_VARIABLE).is_some(),
        }
    }
}

impl Host {
    /// Where a credential of the service is for another unit that is given one of the same name, as
    /// `systemd-run -p LoadCredential=…` does: its folder has the unit's name in it.
    fn credential(self, path: &Path) -> Option<PathBuf> {
        let name = path.strip_prefix(CREDENTIALS).ok().filter(|_| !path.exists())?.file_name()?;
        let folder = self.variable(CREDENTIALS_VARIABLE)?;
        Some(Path::new(&folder).join(name)).filter(|path| path.exists())
    }
}

/// What keeps this user from writing to a folder that is there. The system is asked, and no modes
/// are read: users, groups, ACLs and read-only mounts all count.
fn obstacle(folder: &Path) -> Option<Folder> {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return Some(Folder::Forbidden) };
    if is_kernels(&path) {
        return Some(Folder::Kernels);
    }
    access(&path).err().map(|error| of_error(&error))
}

fn of_error(error: &io::Error) -> Folder {
    if error.kind() == io::ErrorKind::ReadOnlyFilesystem { Folder::ReadOnly } else { Folder::Forbidden }
}

#[expect(unsafe_code, reason = "access(2) has no safe form in std")]
fn access(folder: &CStr) -> io::Result<()> {
    // SAFETY: the path is a C string that lives through the call, and access(2) only reads it.
    match unsafe { libc::access(folder.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Root may write to `/proc` by its mode, and yet can make nothing there.
#[expect(unsafe_code, reason = "statfs(2) has no safe form in std")]
fn is_kernels(folder: &CStr) -> bool {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is a C string that lives through the call, and `stat` has room for the answer.
    let asked = unsafe { libc::statfs(folder.as_ptr(), stat.as_mut_ptr()) };
    if asked != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so it has filled `stat`.
    let kind = unsafe { stat.assume_init() }.f_type;
    matches!(
        kind,
        libc::PROC_SUPER_MAGIC
            | libc::SYSFS_MAGIC
            | libc::CGROUP_SUPER_MAGIC
            | libc::CGROUP2_SUPER_MAGIC
            | libc::DEBUGFS_MAGIC
            | libc::SECURITYFS_MAGIC
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_or_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(Host::Look.folder(dir.path()), Folder::Writable);
        assert_eq!(Host::Look.folder(&dir.path().join("a/b/c")), Folder::Makeable);
        assert_eq!(Host::Look.folder(&file), Folder::NotAFolder);
        assert_eq!(Host::Look.folder(&file.join("below")), Folder::NotAFolder);
    }

    #[test]
    fn nothing_can_be_made_where_the_kernel_shows_itself() {
        for folder in ["/proc", "/proc/ami2amo", "/proc/self/ami2amo/store"] {
            assert_eq!(Host::Look.folder(Path::new(folder)), Folder::Kernels, "{folder}");
        }
    }

    #[test]
    fn a_read_only_disk_is_no_matter_of_users() {
        assert_eq!(of_error(&io::Error::from_raw_os_error(libc::EROFS)), Folder::ReadOnly);
        assert_eq!(of_error(&io::Error::from_raw_os_error(libc::EACCES)), Folder::Forbidden);
    }

    #[test]
    fn a_folder_and_a_huge_file_are_no_files_to_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Host::Look.read(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let huge = dir.path().join("huge");
        fs::File::create(&huge).unwrap().set_len(FILE_MAX + 1).unwrap();
        assert_eq!(Host::Look.read(&huge).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
