//! Writes the man pages into a folder: `cargo run --example man -- FOLDER`. It is for whoever makes a package:
//! the program itself carries no pages.

use std::path::PathBuf;

use anyhow::Context as _;

#[path = "../tests/support/man.rs"]
mod man;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).context("name the folder for the pages")?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in man::pages() {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
