//! What the journal knows of calls, read at the start: which are open, and where the lines of those lie
//! that are done.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::call::id::CallId;
use crate::outbox::queue::{BatchId, Seq};
use crate::outbox::store::journal::{
    DoneLine, EntryLine, IntentLine, LINE_MAX, ReleaseLine, TORN, day_files,
};
use crate::time::HostTime;

/// The last intent to send a call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Intent {
    pub batch: BatchId,
    pub since: HostTime,
}

/// Calls that the journal holds as not at their end, and where their lines are.
#[derive(Debug, Default)]
pub struct Open {
    files: Vec<PathBuf>,
    calls: HashMap<CallId, Place>,
    /// Where the calls entered that came to their end since, in the order of their ends.
    done: Vec<Spot>,
    /// Lines that could not be read, but for a last one that a crash tore.
    pub damaged: u64,
}

/// A call that is read back from its line.
#[derive(Debug)]
pub struct Entry {
    pub id: CallId,
    pub seq: Seq,
    pub enqueued_at: HostTime,
    pub call: Box<RawValue>,
    /// The last intent to send it, unless it was released since: its outcome is unknown.
    pub intent: Option<Intent>,
}

/// Where a call's line begins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Spot {
    /// Index into [`Open::files`].
    file: u32,
    offset: u64,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    spot: Spot,
    intent: Option<Intent>,
}

/// A line as far as the first pass needs it.
pub(super) enum Line<'a> {
    Entry(Cow<'a, str>),
    Intent(IntentLine<'a>),
    Release(Cow<'a, str>),
    Done(Cow<'a, str>),
}

impl Open {
    /// Reads all day files of the journal in `dir`, oldest first.
    ///
    /// # Errors
    /// When a file cannot be read; damaged lines are counted and stepped over.
    pub fn read(dir: &Path) -> io::Result<Self> {
        Self::read_files(day_files(dir)?)
    }

    /// As [`Self::read`], of these files.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_files(files: Vec<PathBuf>) -> io::Result<Self> {
        let mut open = Self { files, ..Self::default() };
        for file in 0..open.files.len() {
            open.read_file(file)?;
        }
        Ok(open)
    }

    /// Forgets a call that the store has. When it was open, its last intent comes back, if it had one.
    #[expect(
        clippy::option_option,
        reason = "whether it is open, and whether it is on its way, are two questions"
    )]
    pub fn take(&mut self, id: &str) -> Option<Option<Intent>> {
        self.calls.remove(&CallId::from_text(id)).map(|place| place.intent)
    }

    /// Where the last line lies with a call that is open there.
    pub fn spot(&self, id: &str) -> Option<Spot> {
        self.calls.get(&CallId::from_text(id)).map(|place| place.spot)
    }

    /// Whether a call that the store has is open there.
    pub fn has(&self, id: &str) -> bool {
        self.calls.contains_key(&CallId::from_text(id))
    }

    /// The calls that are left, in the order in which they were taken in.
    pub fn ids(&self) -> Vec<CallId> {
        let mut calls: Vec<_> = self.calls.iter().map(|(id, place)| (*place, id.clone())).collect();
        calls.sort_unstable();
        calls.into_iter().map(|(_, id)| id).collect()
    }

    /// Whether there is no journal at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Reads one open call back; `None` when its line is damaged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn entry(&self, id: &CallId) -> io::Result<Option<Entry>> {
        let Some(place) = self.calls.get(id) else { return Ok(None) };
        Ok(entry(&self.line_at(place.spot)?, place.intent))
    }

    /// Where the calls lie that are done, in the order of their ends; one that was done twice is
    /// there twice.
    pub fn done(&self) -> &[Spot] {
        &self.done
    }

    /// Reads one call back, such as one that is done; `None` when its line is damaged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn done_entry(&self, spot: Spot) -> io::Result<Option<Entry>> {
        Ok(entry(&self.line_at(spot)?, None))
    }

    /// The ids of all calls that are done and not open again. For when much was lost: it holds each.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn done_ids(&self) -> io::Result<HashSet<CallId>> {
        let mut ids = HashSet::new();
        for spot in &self.done {
            let line = self.line_at(*spot)?;
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let id = entry_id(line).map(CallId::from_text);
            ids.extend(id.filter(|id| !self.calls.contains_key(id)));
        }
        Ok(ids)
    }

    fn line_at(&self, spot: Spot) -> io::Result<Vec<u8>> {
        let mut file = BufReader::new(File::open(&self.files[spot.file as usize])?);
        file.seek(SeekFrom::Start(spot.offset))?;
        let mut line = Vec::new();
        io::Read::take(file, LINE_MAX as u64).read_until(b'\n', &mut line)?;
        Ok(line)
    }

    fn read_file(&mut self, file: usize) -> io::Result<()> {
        let mut lines = Lines::new(File::open(&self.files[file])?);
        let file = u32::try_from(file).map_err(io::Error::other)?;
        while let Some(offset) = lines.next()? {
            if !lines.whole || lines.is_marked() {
                continue;
            }
            match line(&lines.line) {
                Some(line) => self.hear(line, Spot { file, offset }),
                None => self.damaged += 1,
            }
        }
        Ok(())
    }

    fn hear(&mut self, line: Line<'_>, spot: Spot) {
        match line {
            Line::Entry(id) => {
                self.calls.insert(CallId::from_text(id), Place { spot, intent: None });
            }
            Line::Intent(IntentLine { id, batch, at }) => {
                if let Some(place) = self.calls.get_mut(&CallId::from_text(id)) {
                    place.intent = Some(Intent { batch, since: at });
                }
            }
            Line::Release(id) => {
                if let Some(place) = self.calls.get_mut(&CallId::from_text(id)) {
                    place.intent = None;
                }
            }
            Line::Done(id) => {
                let place = self.calls.remove(&CallId::from_text(id));
                self.done.extend(place.map(|place| place.spot));
            }
        }
    }
}

/// The lines of a file with their offsets, in bounded memory.
pub(super) struct Lines {
    file: BufReader<File>,
    offset: u64,
    pub line: Vec<u8>,
    /// The end of an overlong line, as far as it is looked at.
    over: Vec<u8>,
    /// The line ended with a newline.
    pub whole: bool,
}

impl Lines {
    pub fn new(file: File) -> Self {
        Self {
            file: BufReader::with_capacity(LINE_MAX, file),
            offset: 0,
            line: Vec::new(),
            over: Vec::new(),
            whole: false,
        }
    }

    /// Where the next line begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Another process found the line torn.
    pub fn is_marked(&self) -> bool {
        let end = &self.line[self.line.len().saturating_sub(TORN.len())..];
        [end, &self.over].concat().ends_with(TORN)
    }

    /// Reads the next line and returns where it begins. Of an overlong one the beginning is kept,
    /// which is no line that anyone wrote.
    pub fn next(&mut self) -> io::Result<Option<u64>> {
        let begin = self.offset;
        self.line.clear();
        self.over.clear();
        self.whole = false;
        while !self.whole {
            let bytes = self.file.fill_buf()?;
            if bytes.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let room = LINE_MAX.saturating_sub(self.line.len());
            let (fits, over) = part.split_at(part.len().min(room));
            self.line.extend_from_slice(fits);
            self.over.extend_from_slice(&over[over.len().saturating_sub(TORN.len())..]);
            self.over.drain(..self.over.len().saturating_sub(TORN.len()));
            self.whole = end.is_some();
            let used = part.len() + usize::from(self.whole);
            self.file.consume(used);
            self.offset += used as u64;
        }
        Ok((self.offset > begin).then_some(begin))
    }
}

pub(super) fn line(bytes: &[u8]) -> Option<Line<'_>> {
    if let Some(id) = entry_id(bytes) {
        return Some(Line::Entry(id));
    }
    if bytes.starts_with(b"{\"I\"") {
        return serde_json::from_slice(bytes).ok().map(Line::Intent);
    }
    if bytes.starts_with(b"{\"R\"") {
        return serde_json::from_slice(bytes).ok().map(|ReleaseLine { id }| Line::Release(id));
    }
    serde_json::from_slice(bytes).ok().map(|DoneLine { id }| Line::Done(id))
}

/// The id of an entry, without a look at the long rest: fourteen days are read at every start.
fn entry_id(bytes: &[u8]) -> Option<Cow<'_, str>> {
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

pub(super) fn entry(line: &[u8], intent: Option<Intent>) -> Option<Entry> {
    let EntryLine { id, seq, at, crc, call } = serde_json::from_slice(line).ok()?;
    let sound = crc32fast::hash(call.get().as_bytes()) == crc;
    let id = CallId::from_text(id);
    sound.then(|| Entry { id, seq, enqueued_at: at, call: call.to_owned(), intent })
}
