//! What is logged while a test runs, for the test to read.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Keeps a second subscriber alive. With one alone, `tracing` asks the subscriber of the thread that comes
/// first to a line whether anybody wants it: a test beside this one, which has none, would switch the line
/// off for all (`has_just_one` in `tracing-core`'s `callsite.rs`).
static SECOND: LazyLock<tracing::Dispatch> =
    LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes in what this thread logs, down to `level`, until the guard is dropped.
    pub fn capture(level: tracing::Level) -> (Self, tracing::subscriber::DefaultGuard) {
        LazyLock::force(&SECOND);
        let log = Self::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_max_level(level);
        let lines = lines.with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(lines))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
