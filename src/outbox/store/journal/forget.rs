//! Taking a number out of the journal: a file that has it is written anew, and a crash leaves the old one or the
//! new one.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;

use crate::call::id::CallId;
use crate::call::record::FinishedCall;
use crate::outbox::forget;
use crate::outbox::search::digits;
use crate::outbox::store::fsync::{Fsync, Target};
use crate::outbox::store::journal::read::{Line, Lines, entry, line};
use crate::outbox::store::journal::{Journal, UNFINISHED, day_files, entry_line};

/// Digits that every form of a number has in common.
const TAIL: usize = 10;

impl Journal {
    /// Its day files, oldest first.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        day_files(&self.dir)
    }

    /// The next line goes into the file of its day as that is then.
    pub fn let_go(&mut self) {
        self.file = None;
    }
}

/// What of a line has to do with a number.
enum Trace {
    Call(CallId),
    /// It is damaged, and has the number.
    Damaged,
    None,
}

/// The calls of this number in a day file, and whether damaged lines have it.
pub fn traces(path: &Path, number: &str) -> io::Result<(BTreeSet<CallId>, bool)> {
    let (tail, mut found) = (tail(number), (BTreeSet::new(), false));
    let mark = Finder::new(&tail);
    let mut lines = Lines::new(File::open(path)?);
    while lines.next()?.is_some() {
        match trace(&lines, &mark, number) {
            Trace::Call(id) => drop(found.0.insert(id)),
            Trace::Damaged => found.1 = true,
            Trace::None => {}
        }
    }
    Ok(found)
}

/// Writes beside a day file what it is without the number in the lines of `calls`, and without damaged lines
/// that have it; returns where that is, and how many lines changed. After an error nothing of it is left.
pub fn write_anew(
    path: &Path,
    number: &str,
    calls: &BTreeSet<CallId>,
    fsync: &mut dyn Fsync,
) -> io::Result<(PathBuf, u64)> {
    let new = path.with_extension(UNFINISHED);
    let written = write(path, &new, number, calls, fsync);
    if written.is_err() {
        // It holds numbers, and perhaps the room that there is; what stays goes at the next start.
        let _ = fs::remove_file(&new);
    }
    Ok((new, written?))
}

fn write(
    path: &Path,
    new: &Path,
    number: &str,
    calls: &BTreeSet<CallId>,
    fsync: &mut dyn Fsync,
) -> io::Result<u64> {
    let tail = tail(number);
    let mark = Finder::new(&tail);
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(new)?;
    crate::outbox::store::owner::give(&file, path.parent().unwrap_or(path));
    let mut out = BufWriter::new(file);
    let (mut source, mut copied, mut changed) = (File::open(path)?, 0, 0);
    let mut lines = Lines::new(File::open(path)?);
    while let Some(begin) = lines.next()? {
        let line = match trace(&lines, &mark, number) {
            Trace::Call(id) if calls.contains(&id) => without(&lines.line, number)?,
            Trace::Damaged => Vec::new(),
            Trace::Call(_) | Trace::None => continue,
        };
        copy(&mut source, copied, begin, &mut out)?;
        out.write_all(&line)?;
        (copied, changed) = (lines.offset(), changed + 1);
    }
    copy(&mut source, copied, lines.offset(), &mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    fsync.sync(Target::Copy, &file)?;
    Ok(changed)
}

/// Puts what was written anew in the place of the day file, durably.
pub fn put_in_place(new: &Path, path: &Path, fsync: &mut dyn Fsync) -> io::Result<()> {
    fs::rename(new, path)?;
    let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
    fsync.sync(Target::Folder, &File::open(folder)?)
}

fn tail(number: &str) -> Vec<u8> {
    let digits = digits(number);
    digits.as_bytes()[digits.len().saturating_sub(TAIL)..].to_vec()
}

fn trace(lines: &Lines, mark: &Finder<'_>, number: &str) -> Trace {
    if mark.find(&lines.line).is_none() {
        return Trace::None;
    }
    if !lines.whole || lines.is_marked() {
        return Trace::Damaged;
    }
    match line(&lines.line) {
        Some(Line::Entry(_)) => {
            let Some(entry) = entry(&lines.line, None) else { return Trace::Damaged };
            let call = serde_json::from_str::<FinishedCall>(entry.call.get());
            let is_meant = call.is_ok_and(|call| forget::is_of(&call.record, number));
            if is_meant { Trace::Call(entry.id) } else { Trace::None }
        }
        // An id may look like a number.
        Some(Line::Intent(_) | Line::Release(_) | Line::Done(_)) => Trace::None,
        None => Trace::Damaged,
    }
}

/// The line of a call as it is without the number.
fn without(line: &[u8], number: &str) -> io::Result<Vec<u8>> {
    let entry = entry(line, None).ok_or(io::ErrorKind::InvalidData)?;
    let mut call: FinishedCall = serde_json::from_str(entry.call.get())?;
    forget::anonymize(&mut call, number);
    let mut clean = Vec::new();
    let json = serde_json::to_string(&call)?;
    entry_line(&mut clean, entry.id.as_str(), entry.seq, entry.enqueued_at, &json)?;
    Ok(clean)
}

fn copy(source: &mut File, from: u64, to: u64, out: &mut impl io::Write) -> io::Result<()> {
    source.seek(SeekFrom::Start(from))?;
    io::copy(&mut source.take(to - from), out).map(|_bytes| ())
}
