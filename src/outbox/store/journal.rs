//! The intake journal: a second, plain record of every call that was taken in, one file a day.
//! sled can open with fewer records than it had and say nothing; what the journal knows and the
//! store does not is put back. It runs on the store's thread, and is synced before the database.
//!
//! ```text
//! journal/2026-11-22.jsonl
//! {"E":"<call id>","seq":7,"at":1795338791389456,"crc":2864434397,"call":{…}}   taken in
//! {"I":"<call id>","batch":3,"at":1795338792000000}                             about to be sent
//! {"D":"<call id>"}                                                             at its end
//! ```
//! The last line of a call counts. Times are microseconds since the Unix epoch by the host's
//! clock, `crc` is the CRC-32 of the call's JSON as it stands in the line.

pub(super) mod past;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::warn;

use crate::call::id::CallId;
use crate::outbox::queue::{BatchId, Seq};
use crate::outbox::store::fsync::{Fsync, Target};
use crate::time::HostTime;

/// Day files that are kept. Files and not days are counted, so that a clock which jumps ahead
/// takes no journal with it.
pub const FILES_MAX: usize = 14;

/// Longest line that is read, in bytes: eight times what is ever written. Longer ones are damage.
const LINE_MAX: usize = 64 << 10;

/// The mark behind a line that a crash tore.
const TORN: &[u8] = b"#torn";

/// The journal, open for writing. Lines wait in memory until [`Journal::sync`].
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    lines: Vec<u8>,
    file: Option<(String, File)>,
}

/// Calls that the journal holds as not at their end, and where their lines are.
#[derive(Debug, Default)]
pub struct Open {
    files: Vec<PathBuf>,
    calls: HashMap<CallId, Place>,
    /// Lines that could not be read, but for a last one that a crash tore.
    pub damaged: u64,
}

/// A call that is read back from its line.
#[derive(Debug)]
pub struct Entry {
    pub seq: Seq,
    pub enqueued_at: HostTime,
    pub call: Box<RawValue>,
    /// The last intent to send it, when there was one: its outcome is unknown.
    pub intent: Option<(BatchId, HostTime)>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    /// Index into [`Open::files`].
    file: usize,
    offset: u64,
    intent: Option<(BatchId, HostTime)>,
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
struct DoneLine<'a> {
    #[serde(rename = "D", borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// A line as far as the first pass needs it.
enum Line<'a> {
    Entry(std::borrow::Cow<'a, str>),
    Intent(IntentLine<'a>),
    Done(std::borrow::Cow<'a, str>),
}

impl Journal {
    /// The journal in the folder `dir`, which exists.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, lines: Vec::new(), file: None }
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
        let crc = crc32fast::hash(call.as_bytes());
        let call = serde_json::from_str(call)?;
        self.note(&EntryLine { id: id.into(), seq, at, crc, call })
    }

    /// Notes that a call is about to be sent.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn intend(&mut self, id: &str, batch: BatchId, at: HostTime) -> serde_json::Result<()> {
        self.note(&IntentLine { id: id.into(), batch, at })
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
        self.file = Some((day, file));
        Ok(())
    }

    fn note(&mut self, line: &impl Serialize) -> serde_json::Result<()> {
        serde_json::to_writer(&mut self.lines, line)?;
        self.lines.push(b'\n');
        Ok(())
    }

    fn open(&self, day: &str, fsync: &mut dyn Fsync) -> io::Result<File> {
        let path = self.dir.join(format!("{day}.jsonl"));
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        end_torn_line(&mut file)?;
        // A new file is durable when its folder is.
        fsync.sync(Target::Folder, &File::open(&self.dir)?)?;
        delete_old(&self.dir)?;
        Ok(file)
    }
}

impl Open {
    /// Reads all day files of the journal in `dir`, oldest first.
    ///
    /// # Errors
    /// When a file cannot be read; damaged lines are counted and stepped over.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut open = Self { files: day_files(dir)?, ..Self::default() };
        for file in 0..open.files.len() {
            open.read_file(file)?;
        }
        Ok(open)
    }

    /// Forgets a call that the store has.
    pub fn remove(&mut self, id: &str) {
        self.calls.remove(&CallId::from_text(id));
    }

    /// The calls that are left, in the order in which they were taken in.
    pub fn ids(&self) -> Vec<CallId> {
        let mut calls: Vec<_> = self.calls.iter().map(|(id, place)| (*place, id.clone())).collect();
        calls.sort_unstable();
        calls.into_iter().map(|(_, id)| id).collect()
    }

    /// Reads one call back; `None` when its line is damaged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn entry(&self, id: &CallId) -> io::Result<Option<Entry>> {
        let Some(place) = self.calls.get(id) else { return Ok(None) };
        let mut file = BufReader::new(File::open(&self.files[place.file])?);
        file.seek(SeekFrom::Start(place.offset))?;
        let mut line = Vec::new();
        file.take(LINE_MAX as u64).read_until(b'\n', &mut line)?;
        Ok(entry(&line, place.intent))
    }

    fn read_file(&mut self, file: usize) -> io::Result<()> {
        let mut lines = Lines::new(File::open(&self.files[file])?);
        while let Some(offset) = lines.next()? {
            if !lines.whole || lines.line.ends_with(TORN) {
                continue;
            }
            match line(&lines.line) {
                Some(line) => self.take(line, Place { file, offset, intent: None }),
                None => self.damaged += 1,
            }
        }
        Ok(())
    }

    fn take(&mut self, line: Line<'_>, place: Place) {
        match line {
            Line::Entry(id) => {
                self.calls.insert(CallId::from_text(id), place);
            }
            Line::Intent(intent) => {
                if let Some(place) = self.calls.get_mut(&CallId::from_text(intent.id)) {
                    place.intent = Some((intent.batch, intent.at));
                }
            }
            Line::Done(id) => {
                self.calls.remove(&CallId::from_text(id));
            }
        }
    }
}

/// The lines of a file with their offsets, in bounded memory.
struct Lines {
    file: BufReader<File>,
    offset: u64,
    line: Vec<u8>,
    /// The line ended with a newline.
    whole: bool,
}

impl Lines {
    fn new(file: File) -> Self {
        Self { file: BufReader::with_capacity(LINE_MAX, file), offset: 0, line: Vec::new(), whole: false }
    }

    /// Reads the next line and returns where it begins. Of an overlong one the beginning is kept,
    /// which is no line that anyone wrote.
    fn next(&mut self) -> io::Result<Option<u64>> {
        let begin = self.offset;
        self.line.clear();
        self.whole = false;
        while !self.whole {
            let bytes = self.file.fill_buf()?;
            if bytes.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let room = LINE_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            self.whole = end.is_some();
            let used = part.len() + usize::from(self.whole);
            self.file.consume(used);
            self.offset += used as u64;
        }
        Ok((self.offset > begin).then_some(begin))
    }
}

fn line(bytes: &[u8]) -> Option<Line<'_>> {
    if let Some(id) = entry_id(bytes) {
        return Some(Line::Entry(id));
    }
    if bytes.starts_with(b"{\"I\"") {
        return serde_json::from_slice(bytes).ok().map(Line::Intent);
    }
    serde_json::from_slice(bytes).ok().map(|DoneLine { id }| Line::Done(id))
}

/// The id of an entry, without a look at the long rest: fourteen days are read at every start.
fn entry_id(bytes: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let rest = bytes.strip_prefix(b"{\"E\":\"")?;
    let id = &rest[..memchr::memchr2(b'"', b'\\', rest)?];
    if !bytes.ends_with(b"}") {
        return None;
    }
    if rest[id.len()] == b'"' {
        return std::str::from_utf8(id).ok().map(Into::into);
    }
    serde_json::from_slice(bytes).ok().map(|EntryLine { id, .. }| id)
}

fn entry(line: &[u8], intent: Option<(BatchId, HostTime)>) -> Option<Entry> {
    let line: EntryLine<'_> = serde_json::from_slice(line).ok()?;
    let sound = crc32fast::hash(line.call.get().as_bytes()) == line.crc;
    sound.then(|| Entry { seq: line.seq, enqueued_at: line.at, call: line.call.to_owned(), intent })
}

/// A crash may have torn the last line. It was never acknowledged; it is marked, for it may look
/// whole, and what follows begins on a line of its own.
fn end_torn_line(file: &mut File) -> io::Result<()> {
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
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_suffix(".jsonl")).is_some_and(is_day)
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
fn day(at: HostTime) -> String {
    let mut text = at.to_string();
    text.truncate(10);
    // A clock beyond the calendar is printed as a bare number.
    if is_day(&text) { text } else { "0000-00-00".to_owned() }
}

#[cfg(test)]
mod tests;
