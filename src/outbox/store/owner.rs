//! Whose the store's files are. Root may use a store in place of its owner, and be killed at any moment: what the
//! owner must be able to open is given to it as soon as it is made.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;

use tracing::warn;

/// Gives `file` to whoever `folder` belongs to, when root has it and another one the folder. A daemon that runs as
/// the owner changes nothing, and asks the system for nothing that it may not do.
pub(super) fn give(file: &File, folder: &Path) {
    if let Err(error) = try_to_give(file, folder) {
        let folder = folder.display();
        warn!(%error, "a file in {folder} may belong to root, and the daemon could not write it: see ls -l {folder}");
    }
}

fn try_to_give(file: &File, folder: &Path) -> io::Result<()> {
    if file.metadata()?.uid() != 0 {
        return Ok(());
    }
    let owner = fs::metadata(folder)?;
    if owner.uid() == 0 { Ok(()) } else { fchown(file, Some(owner.uid()), Some(owner.gid())) }
}
