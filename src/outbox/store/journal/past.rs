//! Looking through the journal for calls that a person means, while the daemon goes on writing it.

use std::fs::File;
use std::io;
use std::path::Path;

use memchr::memmem::Finder;

use crate::call::record::FinishedCall;
use crate::outbox::search::{Found, Noted, Wanted, Whereabouts};
use crate::outbox::store::journal::day_files;
use crate::outbox::store::journal::read::{Line, Lines, entry, line};
use crate::outbox::store::search::Newest;

/// Takes what the day files in `dir` tell of the calls that are meant; the last line of a call counts.
pub(in crate::outbox::store) fn search(dir: &Path, wanted: &Wanted, newest: &mut Newest) -> io::Result<()> {
    let mark = Finder::new(wanted.mark());
    let files = match day_files(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(), // nothing came yet
        files => files?,
    };
    for path in files {
        let mut lines = Lines::new(File::open(path)?);
        while lines.next()?.is_some() {
            if lines.whole && !lines.is_marked() {
                take(&lines.line, wanted, &mark, newest);
            }
        }
    }
    Ok(())
}

fn take(bytes: &[u8], wanted: &Wanted, mark: &Finder<'_>, newest: &mut Newest) {
    let (id, noted) = match line(bytes) {
        Some(Line::Entry(_)) => {
            // The long rest is read only where it may be meant.
            let call = mark.find(bytes).and_then(|_| entry(bytes, None));
            let call = call.and_then(|entry| serde_json::from_str::<FinishedCall>(entry.call.get()).ok());
            if let Some(call) = call.filter(|call| wanted.fits(&call.record)) {
                newest.push(Found { call, whereabouts: Whereabouts::Journal(Noted::Waiting) });
            }
            return;
        }
        Some(Line::Intent(intent)) => (intent.id, Noted::Sending { since: intent.at }),
        Some(Line::Release(id)) => (id, Noted::Waiting),
        Some(Line::Done(id)) => (id, Noted::Done),
        None => return,
    };
    if let Some(found) = newest.find(&id) {
        found.whereabouts = Whereabouts::Journal(noted);
    }
}
