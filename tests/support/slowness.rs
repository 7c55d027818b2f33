//! When this machine was last slow, for trials that kill a program after a quiet second: on a machine that does
//! other work that second may not have been enough to read what came and to sync it, which is no fault of the program.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(200);

/// A thread that waits, writes and syncs a few bytes is so much later where the machine is slow.
const LATE: Duration = Duration::from_millis(300);

/// A thread that looks until this is dropped.
pub struct Slowness(Arc<Mutex<Instant>>);

impl Slowness {
    /// Looks at the disk of `file`, which it makes.
    pub fn watch(file: PathBuf) -> Self {
        let slow = Arc::new(Mutex::new(Instant::now()));
        let watched = Arc::downgrade(&slow);
        std::thread::spawn(move || {
            while let Some(slow) = watched.upgrade() {
                drop(slow);
                let begun = Instant::now();
                std::thread::sleep(EVERY);
                let synced = File::create(&file).and_then(|mut file| {
                    file.write_all(b"late?")?;
                    file.sync_all()
                });
                let is_late = begun.elapsed() > EVERY + LATE;
                let Some(slow) = watched.upgrade() else { break };
                // The folder is gone with its test.
                if synced.is_err() {
                    break;
                }
                if is_late {
                    *slow.lock().unwrap() = Instant::now();
                }
            }
        });
        Self(slow)
    }

    /// Whether the machine was quick all the time for so long.
    pub fn is_quick_for(&self, time: Duration) -> bool {
        self.0.lock().unwrap().elapsed() > time
    }
}
