//! Looks for sound files, on a thread of its own: a disk, or a share that hangs, keeps neither calls nor
//! timers waiting. The thread begins with the first search and ends with the last [`Finder`].
//!
//! Guarantees: what is found is an ordinary file that is not empty and lies, all links resolved, below
//! its folder. An answer comes within [`PATIENCE`]; what was not looked at by then is not found.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc as answers;
use tracing::warn;

use crate::amo::recording::Search;

/// A door to the thread; clones are doors to the same one.
#[derive(Clone, Debug, Default)]
pub struct Finder(Arc<Mutex<Option<SyncSender<Job>>>>);

#[derive(Debug)]
struct Job {
    searches: Vec<Search>,
    /// The place of a search, and the file.
    found: answers::Sender<(usize, String)>,
}

/// How long some searches are waited for. A search takes under a millisecond on a disk that is well.
const PATIENCE: Duration = Duration::from_secs(2);
/// Jobs that may wait for the thread. Behind a disk that hangs more would be of no use.
const JOBS_MAX: usize = 4;
/// What browsers play stands first; of equals, the file as it was named.
const ENDINGS: [&str; 10] = ["mp3", "wav", "ogg", "opus", "m4a", "WAV", "gsm", "flac", "alaw", "ulaw"];
/// Entries of one folder that are looked at: more calls than a day has.
const ENTRIES_MAX: usize = 50_000;
/// Folders that a pattern may lead through, and files that may fit it.
const FOLDERS_MAX: usize = 64;

/// Longest path below the folder, in bytes: what is found is kept beside its call, which has 8 KB for all.
pub const FILE_MAX: usize = 288;

/// It is told once: every call would tell it again.
static CUT_TOLD: Once = Once::new();

impl Finder {
    /// The files, below their folders, in the order of the searches. Cancel safe: nobody hears of what
    /// is found then.
    pub async fn find(&self, searches: Vec<Search>) -> Vec<Option<String>> {
        let mut all = vec![None; searches.len()];
        let (found, mut answers) = answers::channel(searches.len().max(1));
        if !self.hand_over(Job { searches, found }) {
            return all;
        }
        let collect = async {
            while let Some((at, file)) = answers.recv().await {
                if let Some(place) = all.get_mut(at) {
                    *place = Some(file);
                }
            }
        };
        if tokio::time::timeout(PATIENCE, collect).await.is_err() {
            warn!(
                seconds = PATIENCE.as_secs(),
                "the folder of recordings does not answer: calls go on without"
            );
        }
        all
    }

    /// Whether the thread took it.
    fn hand_over(&self, job: Job) -> bool {
        let mut door = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match door.as_ref() {
            None => job,
            Some(jobs) => match jobs.try_send(job) {
                Ok(()) => return true,
                Err(TrySendError::Full(_)) => return false,
                Err(TrySendError::Disconnected(job)) => job,
            },
        };
        open(&mut door).is_some_and(|jobs| jobs.try_send(job).is_ok())
    }
}

fn open(door: &mut Option<SyncSender<Job>>) -> Option<&SyncSender<Job>> {
    let (jobs, work) = mpsc::sync_channel::<Job>(JOBS_MAX);
    let begun = thread::Builder::new().name("finder".into()).spawn(move || {
        while let Ok(job) = work.recv() {
            let mut lists = Lists::default();
            for (at, search) in job.searches.iter().enumerate() {
                // Whoever asked may have stopped waiting.
                if job.found.is_closed() {
                    break;
                }
                if let Some(file) = look_with(search, &mut lists) {
                    // There is room for an answer to each.
                    _ = job.found.try_send((at, file));
                }
            }
        }
    });
    match begun {
        Ok(_) => Some(door.insert(jobs)),
        Err(error) => {
            warn!(%error, "the system has no thread for looking for recordings");
            None
        }
    }
}

/// Looks for one file, in this thread.
pub fn look(search: &Search) -> Option<String> {
    look_with(search, &mut Lists::default())
}

fn look_with(search: &Search, lists: &mut Lists) -> Option<String> {
    let root = fs::canonicalize(&search.root).ok()?;
    let named =
        search.names.iter().flat_map(|name| likely(name)).find_map(|name| within(&root, &root.join(name)));
    named.or_else(|| search.patterns.iter().find_map(|pattern| longest(&root, pattern, lists)))
}

/// Of several files of one call, the longest.
fn longest(root: &Path, pattern: &str, lists: &mut Lists) -> Option<String> {
    let (found, is_cut) = matching(root, pattern, lists);
    if is_cut {
        CUT_TOLD.call_once(|| {
            warn!(
                root = %root.display(), pattern, limit = FOLDERS_MAX,
                "more folders or files fit a pattern for recordings than are looked at, and some are not found: name year, month and day in it"
            );
        });
    }
    let sized =
        found.into_iter().filter_map(|path| Some((fs::metadata(&path).ok()?.len(), within(root, &path)?)));
    sized.max().map(|(_, file)| file)
}

/// The name with each ending that it may have by now: many PBXs make another file of a recording.
fn likely(name: &str) -> Vec<String> {
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if ENDINGS.contains(&ending) => (stem, Some(ending)),
        Some(_) | None => (name, None),
    };
    let own = ending.filter(|own| *own != ENDINGS[0]);
    let others = ENDINGS[1..].iter().copied().filter(|other| Some(*other) != own);
    let first = std::iter::once(ENDINGS[0]).chain(own).chain(others);
    let mut names: Vec<String> = first.map(|ending| format!("{stem}.{ending}")).collect();
    if ending.is_none() {
        names.push(name.to_owned());
    }
    names
}

/// The path below `root`, if a file with something in it is there; links that lead out of it do not count.
fn within(root: &Path, path: &Path) -> Option<String> {
    let real = fs::canonicalize(path).ok()?;
    let below = real.strip_prefix(root).ok()?;
    let facts = fs::metadata(&real).ok()?;
    let below = below.to_str().filter(|below| below.len() <= FILE_MAX)?;
    let is_plain = Path::new(below).components().all(|part| matches!(part, Component::Normal(_)));
    (facts.is_file() && facts.len() > 0 && is_plain).then(|| below.to_owned())
}

/// The files that a pattern fits, folder by folder, and whether there were more than are looked at.
fn matching(root: &Path, pattern: &str, lists: &mut Lists) -> (Vec<PathBuf>, bool) {
    let (mut paths, mut is_cut) = (vec![root.to_owned()], false);
    for part in pattern.split('/') {
        if !part.contains(['*', '?']) {
            for path in &mut paths {
                path.push(part);
            }
            continue;
        }
        let is_fit = |name: &&String| !name.starts_with('.') && fits(part.as_bytes(), name.as_bytes());
        let mut next = Vec::new();
        for folder in paths {
            let mut names = lists.of(&folder).iter().filter(is_fit);
            next.extend(names.by_ref().take(FOLDERS_MAX - next.len()).map(|name| folder.join(name)));
            is_cut |= names.next().is_some();
        }
        paths = next;
    }
    (paths, is_cut)
}

/// The names in folders, each read once for all searches of a job.
#[derive(Debug, Default)]
struct Lists(BTreeMap<PathBuf, Vec<String>>);

impl Lists {
    fn of(&mut self, folder: &Path) -> &[String] {
        self.0.entry(folder.to_owned()).or_insert_with(|| {
            let entries = fs::read_dir(folder).into_iter().flat_map(|entries| entries.take(ENTRIES_MAX));
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
        })
    }
}

/// Whether a name fits a pattern of `*`, `?` and other signs.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and what of the name it has not taken yet.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, from));
                at += 1;
            }
            Some(sign) if *sign == b'?' || *sign == name[from] => {
                at += 1;
                from += 1;
            }
            Some(_) | None => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                (at, from) = (after, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|sign| *sign == b'*')
}

#[cfg(test)]
mod tests;
