//! The progress bar of a long replay, and writers that do not tear it.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

/// Shorter inputs are over before a bar could be read: 32 MiB are read in a tenth of a second.
const LONG_INPUT: u64 = 32 << 20;

/// A bar over the bytes of `files` as they lie on the disk; a hidden one when they are few.
pub fn over(files: &[PathBuf]) -> ProgressBar {
    let total = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|meta| meta.len()).sum();
    if total <= LONG_INPUT {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bytes} of {total_bytes} [{wide_bar}] {bytes_per_sec}, {eta}");
    ProgressBar::new(total).with_style(style.expect("the template is a constant that parses"))
}

/// Takes the bar off the screen while it writes.
pub struct Polite<'a> {
    inner: &'a mut (dyn Write + Send),
    bar: ProgressBar,
}

impl<'a> Polite<'a> {
    pub fn new(inner: &'a mut (dyn Write + Send), bar: ProgressBar) -> Self {
        Self { inner, bar }
    }
}

impl Write for Polite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bar.suspend(|| self.inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
