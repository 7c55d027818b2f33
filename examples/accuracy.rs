//! How right the calls of ami2amo are, and those of Asterisk's own CDR, against what people did.
//!
//!     cargo run --release --example accuracy [-- FOLDER…]
//!
//! Prints the page `docs/accuracy.md`, made of the captures in the repository; or, with folders, the
//! same of the captures below them that have `NAME.truth.json` and `NAME.cdr.csv` beside them.

#![expect(clippy::print_stdout, reason = "an example speaks to the person who started it")]

use std::path::PathBuf;

use anyhow::ensure;

use accuracy::page;

#[path = "../tests/support/accuracy.rs"]
mod accuracy;
#[path = "../tests/support/captures.rs"]
mod captures;
#[path = "../tests/support/cdr.rs"]
mod cdr;
#[path = "../tests/support/truth.rs"]
mod truth;

fn main() -> anyhow::Result<()> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (folders, command) = if folders.is_empty() {
        (vec![captures::bundled()], accuracy::COMMAND.to_owned())
    } else {
        let named: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        (folders, format!("{} -- {}", accuracy::COMMAND, named.join(" ")))
    };
    for folder in &folders {
        ensure!(folder.is_dir(), "{} is no folder", folder.display());
    }
    let measured = accuracy::measure(&folders)?;
    ensure!(!measured.is_empty(), "no capture has its truth and its CDR beside it");
    print!("{}", page::page(&measured, &command));
    Ok(())
}
