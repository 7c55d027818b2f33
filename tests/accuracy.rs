//! `docs/accuracy.md` is what the command measures.

#[path = "support/accuracy.rs"]
mod accuracy;
#[path = "support/captures.rs"]
mod captures;
#[path = "support/cdr.rs"]
mod cdr;
#[path = "support/truth.rs"]
mod truth;

use std::path::{Path, PathBuf};

use accuracy::page;

/// `UPDATE_DOCS=1 cargo test --test accuracy` writes the page anew.
#[test]
fn the_page_is_what_is_measured() {
    let measured = accuracy::measure(&[captures::bundled()]).unwrap();
    let now = page::page(&measured, accuracy::COMMAND);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/accuracy.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(now == page, "docs/accuracy.md is not what is measured: UPDATE_DOCS=1 writes it anew");
}

#[test]
fn every_bundled_capture_has_its_truth_and_its_cdr() {
    let has_all = |capture: &PathBuf| accuracy::beside(capture).iter().all(|file| file.exists());
    let captures = captures::below(&captures::bundled());
    let lacking: Vec<_> = captures.iter().filter(|capture| !has_all(capture)).collect();
    assert!(lacking.is_empty(), "without truth or CDR: {lacking:?}");
}
