//! A log that Asterisk writes, and the files that logrotate made of it: lines in the order of time, so that
//! in plain text a time is found by halving, and a file of a gigabyte costs no more than the hour that is
//! wanted. Packed ones are read from the beginning, as far as they are needed.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cdr::range::Range;
use crate::cdr::source::log::pieces::{Piece, pieces};
use crate::cdr::source::{EARLIEST, Error, PATIENCE, ROWS_MAX, Unread};
use crate::clock;
use crate::packing::{self, Packing};
use crate::time::{MonoTime, PbxTime, local};

mod pieces;
#[cfg(test)]
mod tests;

/// What a line of the log says.
pub(super) trait Line: Clone + Ord + Send + 'static {
    /// Lines may be out of order by as much, and their times wrong.
    const SLACK_MINUTES: u64;
    /// Reads a line without its end; `None` when it is none of these.
    fn read(line: &[u8]) -> Option<Self>;
    /// What stands for a line that is none of these, where such lines are counted.
    fn unreadable() -> Option<Self>;
    /// When it was written, as the PBX's own clock showed it, in microseconds.
    fn shown(&self) -> Option<i64>;
    /// The same in UTC: by an epoch in the line, else with `fallback` for the clock's offset.
    fn at(&self, fallback: Option<i64>) -> Option<PbxTime>;
}

/// What was found in a log, in its order.
pub(super) struct Text<L> {
    pub lines: Vec<L>,
    /// How far the clock is ahead of UTC, in microseconds, by the newest file's own time.
    pub fallback: Option<i64>,
    pub unread: Vec<Unread>,
}

/// A stretch of this many bytes has a whole line in it; Asterisk's own buffer for one has 1 KiB.
const STRETCH: u64 = 16 << 10;

/// A longer line is none of Asterisk's.
const LINE_MAX: u64 = 64 << 10;

/// Lines at the end of a file that tell its clock's offset.
const TAIL: usize = 40;

/// Lines that a PBX may have written with a clock that was wrong, until it was set: so many in a row do not
/// hide the others. Half a megabyte that is read in vain.
const ASTRAY: usize = 2000;

/// So many bytes hold [`ASTRAY`] lines.
const ASTRAY_BYTES: u64 = 512 << 10;

/// A reading that takes too long ends before nobody waits for it any more: another one cannot begin until then.
const READING_MAX: Duration = PATIENCE.saturating_sub(Duration::from_secs(2));

/// Between two looks at the clock.
const LINES_UNWATCHED: usize = 4096;

/// What of a log was written within `range`, with some more at its edges.
pub(super) async fn read<L: Line>(path: PathBuf, range: Range) -> Result<Text<L>, Error> {
    blocking(path, move |path| {
        let slack = Duration::from_mins(L::SLACK_MINUTES);
        let wanted = Wanted {
            from: PbxTime::from_micros(range.from.micros() - micros(Range::LEAD + slack)),
            until: range.to.after(slack + slack),
            deadline: clock::mono().after(READING_MAX),
        };
        let (pieces, mut unread) = pieces(path)?;
        let (mut fallback, mut found) = (None, Vec::new());
        for piece in pieces.iter().take_while(|piece| piece.written >= wanted.from || piece.is_log) {
            let mut lines = Vec::new();
            match piece.open().and_then(|mut file| file.between(wanted, &mut lines)) {
                Ok(offset) => fallback = fallback.or(offset),
                Err(error) if piece.is_log => return Err(error),
                // What was read before the damage is as good as any.
                Err(error) => unread.push(Unread::new(&piece.path, &error)),
            }
            found.push(lines);
        }
        Ok(Text { lines: once(found), fallback, unread })
    })
    .await
}

/// The last lines of a log.
pub(super) async fn newest<L: Line>(path: PathBuf) -> Result<Text<L>, Error> {
    blocking(path, |path| {
        let (pieces, unread) = pieces(path)?;
        let mut text = Text { lines: Vec::new(), fallback: None, unread };
        let deadline = clock::mono().after(READING_MAX);
        for piece in pieces {
            match piece.open().and_then(|mut file| file.end::<L>(deadline)) {
                Ok((lines, _)) if lines.is_empty() => {}
                Ok((lines, fallback)) => {
                    (text.lines, text.fallback) = (lines, fallback);
                    break;
                }
                Err(error) if piece.is_log => return Err(error),
                Err(error) => text.unread.push(Unread::new(&piece.path, &error)),
            }
        }
        Ok(text)
    })
    .await
}

/// When the first line of a log was written that has a time; of a file that cannot be read, when it was
/// written to last.
pub(super) async fn oldest<L: Line>(path: PathBuf) -> Result<Option<PbxTime>, Error> {
    blocking(path, |path| {
        let deadline = clock::mono().after(READING_MAX);
        let mut oldest: Option<PbxTime> = None;
        for piece in pieces(path)?.0 {
            let first = match piece.open().and_then(|mut file| file.first::<L>(deadline)) {
                Err(error) if piece.is_log => return Err(error),
                Err(_) => Some(piece.written),
                Ok(first) => first,
            };
            oldest = [oldest, first].into_iter().flatten().min();
        }
        Ok(oldest)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let shown = path.clone();
    let reading = Reading::begin(&path).map_err(|source| Error::File { path: path.clone(), source })?;
    let done = tokio::task::spawn_blocking(move || {
        let _reading = reading;
        work(&path)
    });
    let done = done.await;
    done.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
        .map_err(|source| Error::File { path: shown, source })
}

/// A log that is being read. One on a server that is gone holds its thread for ever: it gets one, and not
/// another at each try.
struct Reading(PathBuf);

static READING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

impl Reading {
    fn begin(path: &Path) -> io::Result<Self> {
        let is_first = READING.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        let hangs =
            || io::Error::new(io::ErrorKind::WouldBlock, "an earlier reading of it has not come to its end");
        if is_first { Ok(Self(path.to_owned())) } else { Err(hangs()) }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// The lines of files, the newest of which comes first, from the oldest on. A file that is copied before
/// it is emptied (`copytruncate`) has lines that the copy has, too.
fn once<L: Line>(newest_first: Vec<Vec<L>>) -> Vec<L> {
    let mut seen = BTreeSet::new();
    let mut all: Vec<L> = Vec::new();
    let mut files = newest_first.into_iter().rev().filter(|lines| !lines.is_empty()).peekable();
    while let Some(mut lines) = files.next() {
        lines.retain(|line| !seen.contains(line));
        // An hour is in one file as a rule, and a copy of all its lines is needed for others only.
        if files.peek().is_some() {
            seen.extend(lines.iter().cloned());
        }
        all.append(&mut lines);
    }
    all
}

#[derive(Clone, Copy)]
struct Wanted {
    from: PbxTime,
    until: PbxTime,
    deadline: MonoTime,
}

/// A file of a log that is open.
struct Opened {
    file: File,
    packing: Packing,
    written: PbxTime,
}

enum Next {
    Go,
    Stop,
}

impl Piece {
    fn open(&self) -> io::Result<Opened> {
        let mut file = self.open_file()?;
        let mut magic = [0; 4];
        let length = file.read(&mut magic)?;
        let packing = Packing::of(magic.get(..length).unwrap_or_default());
        Ok(Opened { file, packing, written: self.written })
    }
}

impl Opened {
    /// The lines that are wanted; returns the clock's offset as far as the file tells it.
    fn between<L: Line>(&mut self, wanted: Wanted, lines: &mut Vec<L>) -> io::Result<Option<i64>> {
        // An end that is packed costs the whole file, so only where nothing else tells the time.
        let is_needless = self.packing != Packing::Plain && self.tells_epochs::<L>(wanted.deadline)?;
        let fallback = if is_needless { None } else { self.end::<L>(wanted.deadline)?.1 };
        let start = match self.packing {
            Packing::Plain => self.find::<L>(wanted, fallback)?,
            Packing::Gzip | Packing::Zstd => 0,
        };
        let (mut late, mut is_near) = (0, true);
        self.each(start, wanted.deadline, |line: L| {
            let at = line.at(fallback);
            // Many lines in a row from after the range: the rest is, too.
            late = if at.is_some_and(|at| at > wanted.until) { late + 1 } else { 0 };
            if late >= ASTRAY || lines.len() > ROWS_MAX {
                return Next::Stop;
            }
            // A line without a time is of that of its neighbours.
            is_near = at.map_or(is_near, |at| at >= wanted.from);
            if is_near {
                lines.push(line);
            }
            Next::Go
        })?;
        Ok(fallback)
    }

    /// The last lines, and the offset of a clock that no line tells: the file was written to when its last
    /// line says.
    fn end<L: Line>(&mut self, deadline: MonoTime) -> io::Result<(Vec<L>, Option<i64>)> {
        let tail = self.tail(deadline)?;
        let last = tail.iter().filter_map(Line::shown).max();
        Ok((tail, last.map(|last| local::offset(last, self.written.micros()))))
    }

    /// The time of the first line that has one which may be right.
    fn first<L: Line>(&mut self, deadline: MonoTime) -> io::Result<Option<PbxTime>> {
        let fallback = if self.tells_epochs::<L>(deadline)? { None } else { self.end::<L>(deadline)?.1 };
        let mut first = None;
        self.each(0, deadline, |line: L| {
            first = line.at(fallback).filter(|at| *at >= EARLIEST);
            if first.is_some() { Next::Stop } else { Next::Go }
        })?;
        Ok(first)
    }

    fn tells_epochs<L: Line>(&mut self, deadline: MonoTime) -> io::Result<bool> {
        let (mut seen, mut told) = (0, false);
        self.each(0, deadline, |line: L| {
            seen += 1;
            told |= line.at(None).is_some();
            if told || seen >= TAIL { Next::Stop } else { Next::Go }
        })?;
        Ok(told)
    }

    fn tail<L: Line>(&mut self, deadline: MonoTime) -> io::Result<Vec<L>> {
        let start = match self.packing {
            Packing::Plain => self.file.metadata()?.len().saturating_sub(STRETCH),
            Packing::Gzip | Packing::Zstd => 0,
        };
        let mut last = VecDeque::with_capacity(TAIL);
        self.each(start, deadline, |line: L| {
            if last.len() == TAIL {
                last.pop_front();
            }
            last.push_back(line);
            Next::Go
        })?;
        Ok(last.into())
    }

    /// Where the lines begin that are of `wanted.from` or later, or somewhat before.
    fn find<L: Line>(&mut self, wanted: Wanted, fallback: Option<i64>) -> io::Result<u64> {
        let mut found = self.halve::<L>(wanted, fallback)?;
        // Lines with a wrong clock may have led past good ones.
        while found > 0 {
            let before = found.saturating_sub(ASTRAY_BYTES);
            let mut is_early = true;
            self.each_until(before..found, wanted.deadline, |line: L| {
                is_early = line.at(fallback).is_none_or(|at| at < wanted.from);
                if is_early { Next::Go } else { Next::Stop }
            })?;
            if is_early {
                break;
            }
            found = before;
        }
        Ok(found)
    }

    /// As [`Self::find`], in a file in which every line is later than the one before.
    fn halve<L: Line>(&mut self, wanted: Wanted, fallback: Option<i64>) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.file.metadata()?.len());
        while high - low > STRETCH {
            let middle = low + (high - low) / 2;
            let (mut first, mut seen) = (None, 0);
            self.each(middle, wanted.deadline, |line: L| {
                seen += 1;
                first = line.at(fallback);
                if first.is_some() || seen >= TAIL { Next::Stop } else { Next::Go }
            })?;
            match first {
                Some(at) if at < wanted.from => low = middle,
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// The lines from the first that begins after `start` on; from the beginning those of the first, too.
    fn each<L: Line>(
        &mut self,
        start: u64,
        deadline: MonoTime,
        take: impl FnMut(L) -> Next,
    ) -> io::Result<()> {
        self.each_until(start..u64::MAX, deadline, take)
    }

    /// As [`Self::each`], of the lines that lie within `bytes` of a file that is not packed.
    fn each_until<L: Line>(
        &mut self,
        bytes: std::ops::Range<u64>,
        deadline: MonoTime,
        mut take: impl FnMut(L) -> Next,
    ) -> io::Result<()> {
        let start = bytes.start;
        self.file.seek(SeekFrom::Start(start))?;
        let text: Box<dyn Read + '_> = match self.packing {
            Packing::Plain => Box::new((&mut self.file).take(bytes.end - start)),
            Packing::Gzip | Packing::Zstd => match packing::unpack(&mut self.file)? {
                Some(unpacked) => unpacked.text,
                None => return Ok(()),
            },
        };
        let mut reader = BufReader::with_capacity(64 << 10, text);
        let (mut line, mut torn) = (Vec::new(), start > 0);
        for count in 1_usize.. {
            if count.is_multiple_of(LINES_UNWATCHED) && clock::mono() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long"));
            }
            line.clear();
            if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let is_whole = line.pop_if(|last| *last == b'\n').is_some();
            // The last line may still be being written.
            let is_over = !is_whole && u64::try_from(line.len()).unwrap_or(LINE_MAX) < LINE_MAX;
            let was_torn = std::mem::replace(&mut torn, !is_whole);
            if was_torn || is_over || line.trim_ascii().is_empty() {
                continue;
            }
            let read = is_whole.then(|| L::read(&line)).flatten().or_else(L::unreadable);
            if let Some(Next::Stop) = read.map(&mut take) {
                break;
            }
        }
        Ok(())
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
