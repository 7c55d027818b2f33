//! The intake journal: a second, plain record of every call that was taken in, one file a day.
//! sled can open with fewer records than it had and say nothing; what the journal knows and the
//! store does not is put back. It runs on the store's thread, and is synced before the database.
//!
//! ```text
//! journal/2026-11-22.jsonl
//! {"E":"<call id>","seq":7,"at":1795338791389456,"crc":2864434397,"call":{…}}   taken in
//! {"I":"<call id>","batch":3,"at":1795338792000000}                             about to be sent
//! {"R":"<call id>"}                                                             not sent after all
//! {"D":"<call id>"}                                                             at its end
//! ```
//! The last line of a call counts. Every line is durable before the database has what it tells, so
//! the journal is never behind: where the two differ, the database has lost something. Times are microseconds since the Unix epoch by the host's
//! clock, `crc` is the CRC-32 of the call's JSON as it stands in the line.

pub(super) mod forget;
pub(super) mod past;
pub(crate) mod read;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::warn;

use crate::outbox::queue::{BatchId, Seq};
use crate::outbox::store::fsync::{Fsync, Target};
use crate::outbox::store::owner;
use crate::time::HostTime;

/// Day files that are kept. Files and not days are counted, so that a clock which jumps ahead
/// takes no journal with it. Before a file goes, the store writes its open calls into the newest one.
pub const FILES_MAX: usize = 14;

/// Longest line that is read, in bytes: eight times what is ever written. Longer ones are damage.
const LINE_MAX: usize = 64 << 10;

/// What the name of a day file that is being written anew ends with.
const UNFINISHED: &str = "new";

/// The mark behind a line that a crash tore.
const TORN: &[u8] = b"#torn";

/// The journal, open for writing. Lines wait in memory until [`Journal::sync`].
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    lines: Vec<u8>,
    file: Option<(String, File)>,
    /// The file was opened since the last sync: older ones may be too many.
    is_new: bool,
}

#[derive(Deserialize, Serialize)]
struct EntryLine<'a> {
    #[serde(rename = "E", borrow)]
    id: std::borrow::Cow<'a, str>,
    seq: Seq,
    at: HostTime,
    crc: u32,
    #[serde(borrow)]
    call: &'a RawValue,
}

#[derive(Deserialize, Serialize)]
struct IntentLine<'a> {
    #[serde(rename = "I", borrow)]
    id: std::borrow::Cow<'a, str>,
    batch: BatchId,
    at: HostTime,
}

#[derive(Deserialize, Serialize)]
struct ReleaseLine<'a> {
    #[serde(rename = "R", borrow)]
    id: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
struct DoneLine<'a> {
    #[serde(rename = "D", borrow)]
    id: std::borrow::Cow<'a, str>,
}

impl Journal {
    /// The journal in the folder `dir`, which exists.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, lines: Vec::new(), file: None, is_new: false }
    }

    /// Deletes files that a crash left half written anew; the old ones are still there.
    pub fn clear(&self) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in entries.filter(|path| path.extension().is_some_and(|end| end == UNFINISHED)) {
            // One that stays is written over, or looked for at the next start.
            if let Err(error) = fs::remove_file(&path) {
                warn!(file = %path.display(), %error, "a half-written journal cannot be deleted");
            }
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.lines.len()
    }

    /// Notes that a call was taken in.
    ///
    /// # Errors
    /// When a line has no JSON, which no line of ours lacks.
    pub fn enter(&mut self, id: &str, seq: Seq, at: HostTime, call: &str) -> serde_json::Result<()> {
        entry_line(&mut self.lines, id, seq, at, call)
    }

    /// Notes that a call is about to be sent.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn intend(&mut self, id: &str, batch: BatchId, at: HostTime) -> serde_json::Result<()> {
        self.note(&IntentLine { id: id.into(), batch, at })
    }

    /// Notes that a call whose intent was noted was not taken, and waits again.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn release(&mut self, id: &str) -> serde_json::Result<()> {
        self.note(&ReleaseLine { id: id.into() })
    }

    /// Notes that a call has come to its end.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn done(&mut self, id: &str) -> serde_json::Result<()> {
        self.note(&DoneLine { id: id.into() })
    }

    /// Writes what waits into the file of the day and makes it durable, by one sync; nothing
    /// waiting needs none. After an error nothing is known of the lines, and the journal must not
    /// be used again.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn sync(&mut self, now: HostTime, fsync: &mut dyn Fsync) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let day = day(now);
        let mut file = match self.file.take() {
            Some((open, file)) if open == day => file,
            Some(_) | None => self.open(&day, fsync)?,
        };
        file.write_all(&self.lines)?;
        self.lines.clear();
        // A back-fill's memory is not kept for ever.
        self.lines.shrink_to(LINE_MAX);
        fsync.sync(Target::Journal, &file)?;
        if std::mem::take(&mut self.is_new) {
            delete_old(&self.dir)?;
        }
        self.file = Some((day, file));
        Ok(())
    }

    /// The oldest day that is kept, when the next [`Self::sync`] begins a new file and files before that
    /// day go: open calls from it or before must enter anew.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn expires_before(&self, now: HostTime) -> io::Result<Option<String>> {
        let today = day(now);
        let is_open = self.file.as_ref().is_some_and(|(open, _)| *open == today);
        if self.lines.is_empty() || is_open {
            return Ok(None);
        }
        let mut days: Vec<String> = day_files(&self.dir)?.iter().filter_map(|path| day_of(path)).collect();
        days.push(today);
        days.sort_unstable();
        days.dedup();
        let surplus = days.len().saturating_sub(FILES_MAX);
        Ok((surplus > 0).then(|| days.swap_remove(surplus)))
    }

    /// Writes the newest file of the journal in `dir` anew and makes it durable. A crash leaves the old
    /// one or the new one.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn rewrite_last(dir: &Path, fsync: &mut dyn Fsync) -> io::Result<()> {
        let Some(last) = day_files(dir)?.pop() else { return Ok(()) };
        let new = last.with_extension(UNFINISHED);
        fs::copy(&last, &new)?;
        fsync.sync(Target::Copy, &File::open(&new)?)?;
        fs::rename(&new, &last)?;
        fsync.sync(Target::Folder, &File::open(dir)?)
    }

    fn note(&mut self, line: &impl Serialize) -> serde_json::Result<()> {
        write_line(&mut self.lines, line)
    }

    fn open(&mut self, day: &str, fsync: &mut dyn Fsync) -> io::Result<File> {
        let path = self.dir.join(format!("{day}.jsonl"));
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        owner::give(&file, &self.dir);
        end_torn_line(&mut file)?;
        // A new file is durable when its folder is.
        fsync.sync(Target::Folder, &File::open(&self.dir)?)?;
        self.is_new = true;
        Ok(file)
    }
}

/// Writes the line of a call that was taken in.
///
/// # Errors
/// When a line has no JSON, which no line of ours lacks.
pub fn entry_line(
    lines: &mut Vec<u8>,
    id: &str,
    seq: Seq,
    at: HostTime,
    call: &str,
) -> serde_json::Result<()> {
    let crc = crc32fast::hash(call.as_bytes());
    let call = serde_json::from_str(call)?;
    write_line(lines, &EntryLine { id: id.into(), seq, at, crc, call })
}

fn write_line(lines: &mut Vec<u8>, line: &impl Serialize) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *lines, line)?;
    lines.push(b'\n');
    Ok(())
}

/// A crash may have torn the last line. It was never acknowledged; it is marked, for it may look
/// whole, and what follows begins on a line of its own.
pub(super) fn end_torn_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(TORN)?;
        file.write_all(b"\n")?;
    }
    Ok(())
}

fn delete_old(dir: &Path) -> io::Result<()> {
    let files = day_files(dir)?;
    for old in &files[..files.len().saturating_sub(FILES_MAX)] {
        // An old file that stays costs space and nothing else.
        if let Err(error) = fs::remove_file(old) {
            warn!(file = %old.display(), %error, "an old journal cannot be deleted");
        }
    }
    Ok(())
}

/// The day files in `dir`, oldest first.
fn day_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if is_day_file(&path) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn is_day_file(path: &Path) -> bool {
    day_of(path).is_some()
}

fn day_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".jsonl").filter(|day| is_day(day)).map(str::to_owned)
}

/// Whether `text` looks like `2026-11-22`.
fn is_day(text: &str) -> bool {
    let shape = |(place, byte): (usize, u8)| match place {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 10 && text.bytes().enumerate().all(shape)
}

/// The day of `at` in UTC.
pub fn day(at: HostTime) -> String {
    let mut text = at.to_string();
    text.truncate(10);
    // A clock beyond the calendar is printed as a bare number.
    if is_day(&text) { text } else { "0000-00-00".to_owned() }
}

#[cfg(test)]
mod tests;
