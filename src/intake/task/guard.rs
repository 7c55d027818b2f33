//! A panic of the core costs one call: it is caught here, what caused it is kept in a file for a
//! person, and the reader is made anew from what the store keeps of the other calls. A second panic
//! within a minute ends the process: its next start goes on without the call as well.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;

use crate::call::id::PbxName;
use crate::panics;
use crate::time::{HostTime, MonoTime};

/// Values of calls in progress by their keys, as the store keeps them.
pub type Kept = Vec<(String, Vec<u8>)>;

/// A second panic within this time is no accident.
const AGAIN: Duration = Duration::from_mins(1);

/// Files in the folder; a panic for each event shall not fill the disk.
const FILES_MAX: usize = 100;

/// Watches the work of the core.
pub(super) struct Guard {
    /// Where what caused a panic is kept.
    dir: PathBuf,
    last: Option<MonoTime>,
    caught: Option<Poison>,
    news: Arc<Notify>,
}

/// What was being worked on when the core panicked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Poison {
    /// The block of the stream; empty when it was no event.
    pub block: Vec<u8>,
    /// What the panic said.
    pub words: String,
}

impl Guard {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, last: None, caught: None, news: Arc::default() }
    }

    pub fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    /// Does `work`, which `block` caused; nothing after a panic, until that is taken.
    pub fn run<T>(&mut self, block: &[u8], work: impl FnOnce() -> T) -> Option<T> {
        if self.caught.is_some() {
            return None;
        }
        // Whatever state the panic left behind is thrown away.
        match panic::catch_unwind(AssertUnwindSafe(work)) {
            Ok(outcome) => Some(outcome),
            Err(panic) => {
                self.caught = Some(Poison { block: block.to_vec(), words: panics::text(&*panic) });
                self.news.notify_one();
                None
            }
        }
    }

    pub fn has_caught(&self) -> bool {
        self.caught.is_some()
    }

    /// Is notified of each panic.
    pub fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    pub fn take(&mut self) -> Option<Poison> {
        self.news = Arc::default();
        self.caught.take()
    }

    /// Counts a panic; whether it follows another one too closely.
    pub fn is_again(&mut self, now: MonoTime) -> bool {
        self.last.replace(now).is_some_and(|last| now.since(last) < AGAIN)
    }
}

/// The channels that a block names.
pub(super) fn named(block: &[u8]) -> BTreeSet<String> {
    let lines = block.split(|byte| *byte == b'\n').filter_map(|line| {
        let (key, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        let key = key.trim_ascii().to_ascii_lowercase();
        let is_id = key.ends_with(b"uniqueid") && !key.starts_with(b"bridge");
        (is_id || key.ends_with(b"linkedid")).then(|| value[1..].trim_ascii())
    });
    let ids = lines.filter(|id| !id.is_empty()).map(|id| String::from_utf8_lossy(id).into_owned());
    ids.collect()
}

/// Splits what is kept in what can be used and what belongs to the calls of `channels`.
pub(super) fn without(kept: Kept, channels: &BTreeSet<String>) -> (Kept, Kept) {
    #[derive(Deserialize)]
    struct Channel {
        uniqueid: String,
        #[serde(default)]
        linkedid: String,
        call: String,
    }
    let read = |(key, json): &(String, Vec<u8>)| -> Option<Channel> {
        key.starts_with("c/").then(|| serde_json::from_slice(json).ok()).flatten()
    };
    let is_meant = |c: &Channel| channels.contains(&c.uniqueid) || channels.contains(&c.linkedid);
    let calls: BTreeSet<String> = kept.iter().filter_map(read).filter(is_meant).map(|c| c.call).collect();
    kept.into_iter().partition(|entry| match read(entry) {
        Some(channel) => !calls.contains(&channel.call),
        None => !entry.0.strip_prefix("g/").is_some_and(|first| calls.contains(first)),
    })
}

/// Writes what caused a panic, and what was kept of its call, into a file of its own.
///
/// # Errors
/// When the file cannot be written, or there are too many already.
pub(super) fn write(
    dir: &Path,
    pbx: &PbxName,
    at: HostTime,
    poison: &Poison,
    call: &Kept,
) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if fs::read_dir(dir)?.count() >= FILES_MAX {
        let full = format!("{FILES_MAX} files are there already: remove those that were looked at");
        return Err(io::Error::other(full));
    }
    let path = dir.join(format!("{pbx}-{}.ami", at.micros()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(&poison.block)?;
    writeln!(file, "\r\n; the panic: {}", poison.words.replace(char::is_control, " "))?;
    for (key, value) in call {
        writeln!(file, "; {key} {}", String::from_utf8_lossy(value))?;
    }
    file.sync_all()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_panic_nothing_is_done_until_it_is_taken() {
        let mut guard = Guard::new(PathBuf::new());
        assert_eq!(guard.run(b"x", || 1), Some(1));
        assert_eq!(guard.run(b"Event: Hangup", || panic!("so {}", 2)), None::<()>);
        assert_eq!(guard.run(b"y", || 1), None);
        let poison = Poison { block: b"Event: Hangup".to_vec(), words: "so 2".to_owned() };
        assert_eq!(guard.take(), Some(poison));
        assert_eq!(guard.run(b"y", || 1), Some(1));
        let at = |seconds| MonoTime::default().after(Duration::from_secs(seconds));
        let again: Vec<bool> = [0, 100, 159, 300].map(|seconds| guard.is_again(at(seconds))).into();
        assert_eq!(again, [false, false, true, false]);
    }

    #[test]
    fn the_whole_call_of_a_named_channel_goes() {
        let block =
            b"Event: DialEnd\r\nUniqueid: 1.1\r\nDestUniqueid:2.2\r\nBridgeUniqueid: b\r\nLinkedid: \r\n";
        let channels = named(block);
        assert_eq!(channels, BTreeSet::from(["1.1".to_owned(), "2.2".to_owned()]));
        let entry = |key: &str, json: &str| (key.to_owned(), json.as_bytes().to_vec());
        let channel = |id: &str, call: &str| {
            entry(&format!("c/{id}"), &format!(r#"{{"uniqueid":"{id}","call":"{call}"}}"#))
        };
        let kept = vec![
            channel("1.1", "1.0"),
            channel("1.0", "1.0"),
            entry("g/1.0", "{}"),
            channel("3.1", "3.1"),
            entry("g/3.1", "{}"),
            entry("e/PJSIP/101", "{}"),
            entry("c/9", "not JSON"),
        ];
        let (rest, gone) = without(kept, &channels);
        let keys = |kept: &Kept| kept.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&gone), ["c/1.1", "c/1.0", "g/1.0"]);
        assert_eq!(keys(&rest), ["c/3.1", "g/3.1", "e/PJSIP/101", "c/9"]);
    }

    #[test]
    fn the_folder_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let poison = Poison { block: b"Event: X\r\n".to_vec(), words: "a\nb".to_owned() };
        let write_at = |n: usize| {
            let at = HostTime::from_micros(i64::try_from(n).unwrap());
            write(dir.path(), &PbxName::default(), at, &poison, &vec![("c/1".to_owned(), b"{}".to_vec())])
        };
        let path = write_at(0).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "Event: X\r\n\r\n; the panic: a b\n; c/1 {}\n");
        for n in 1..FILES_MAX {
            write_at(n).unwrap();
        }
        assert!(write_at(FILES_MAX).unwrap_err().to_string().contains("100 files"));
    }
}
