//! Finding what lies in a database that sled opens no more: values have a frame of their own, by which
//! they are found in the bytes of its files without sled.
//!
//! The files hold old values beside new ones. sled writes its file in segments, each with a number that
//! grows (`pagecache/logger.rs`: `SegmentHeader`), so that of two values the one in the later segment is
//! newer, and in one segment the one that comes later. Blobs are named by that number.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::outbox::queue::{Phase, State};
use crate::outbox::store::draft::{LEDGER, Saved};
use crate::outbox::store::frame::{self, Frame};
use crate::outbox::store::shelf::{PBX_NAMES, Pinned, Shelved};
use crate::outbox::store::trees::SCHEMA_KEY;
use crate::outbox::store::value::{Head, Stored};

/// Bytes of a segment, sled's own choice.
const SEGMENT: usize = 512 << 10;

/// Bytes of the header of a segment: CRC, number, stable number.
const HEADER: usize = 20;

/// What was found, the newest value of each key. Values stay in the files.
#[derive(Debug, Default)]
pub struct Salvage {
    files: Vec<PathBuf>,
    /// Calls by id.
    calls: BTreeMap<Vec<u8>, Find>,
    /// Values of the shelves by the key of their frame.
    shelved: BTreeMap<Vec<u8>, Find>,
    ledger: Option<(Age, Saved)>,
    pinned: Pinned,
    /// Frames that are sound and hold nothing that this version understands.
    pub strange: u64,
}

/// How new a value is: later ones are greater.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Age {
    /// The value says that the call came to an end from which there is no way back.
    is_final: bool,
    position: u64,
}

#[derive(Clone, Copy, Debug)]
struct Find {
    age: Age,
    /// Index into [`Salvage::files`].
    file: usize,
    offset: u64,
    length: usize,
}

impl Salvage {
    /// Reads the files of the closed database in `queue`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(queue: &Path) -> io::Result<Self> {
        let mut salvage = Self::default();
        salvage.read_file(queue.join("db"), None)?;
        let blobs = match std::fs::read_dir(queue.join("blobs")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(salvage),
            blobs => blobs?,
        };
        for blob in blobs {
            let path = blob?.path();
            let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            salvage.read_file(path, Some(number.unwrap_or(0)))?;
        }
        Ok(salvage)
    }

    /// The calls in the order of their places in the queue. One that cannot be read any more, since a
    /// disk may tell the same byte in two ways, is left out.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn calls(&self) -> io::Result<Vec<Stored>> {
        let mut calls = Vec::with_capacity(self.calls.len());
        for find in self.calls.values() {
            calls.extend(Stored::decode(&self.bytes(find)?));
        }
        calls.sort_unstable_by_key(|stored| stored.slip().seq);
        Ok(calls)
    }

    /// The values of the shelves.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn shelved(&self) -> io::Result<Vec<Shelved>> {
        let mut values = Vec::new();
        for find in self.shelved.values() {
            let bytes = self.bytes(find)?;
            values.extend(frame::decode(&bytes).ok().and_then(Shelved::read));
        }
        Ok(values)
    }

    pub fn ledger(&self) -> Option<&Saved> {
        self.ledger.as_ref().map(|(_, saved)| saved)
    }

    pub fn pinned(&self) -> &Pinned {
        &self.pinned
    }

    fn bytes(&self, find: &Find) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; find.length];
        File::open(&self.files[find.file])?.read_exact_at(&mut bytes, find.offset)?;
        Ok(bytes)
    }

    /// Looks through a file, a segment at a time; a blob has one number for all of it.
    fn read_file(&mut self, path: PathBuf, blob: Option<u64>) -> io::Result<()> {
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let place = self.files.len();
        self.files.push(path);
        let mut offset = 0;
        loop {
            file.seek(SeekFrom::Start(offset))?;
            let mut segment = Vec::with_capacity(SEGMENT);
            let read = Read::by_ref(&mut file).take(SEGMENT as u64).read_to_end(&mut segment)?;
            if read == 0 {
                return Ok(());
            }
            let begin = blob.unwrap_or_else(|| number(&segment).unwrap_or(0));
            for (within, length) in frames(&segment) {
                let position = begin.saturating_add(within as u64);
                let find = Find {
                    age: Age { is_final: false, position },
                    file: place,
                    offset: offset + within as u64,
                    length,
                };
                self.take(&segment[within..within + length], find);
            }
            offset += read as u64;
        }
    }

    fn take(&mut self, bytes: &[u8], mut find: Find) {
        let Ok(frame) = frame::decode(bytes) else { return };
        let Frame { key, payload } = frame;
        if key == LEDGER {
            if let Ok(saved) = serde_json::from_slice(payload)
                && self.ledger.as_ref().is_none_or(|(age, _)| *age < find.age)
            {
                self.ledger = Some((find.age, saved));
            }
        } else if key == PBX_NAMES {
            self.pinned.add(serde_json::from_slice(payload).unwrap_or_default());
        } else if Shelved::read(frame).is_some() {
            keep(&mut self.shelved, key, find);
        } else if let Ok((_, head)) = Head::decode(bytes) {
            find.age.is_final = is_final(&head.slip.state);
            keep(&mut self.calls, key, find);
        } else {
            self.strange += u64::from(key != SCHEMA_KEY);
        }
    }
}

fn keep(finds: &mut BTreeMap<Vec<u8>, Find>, key: &[u8], find: Find) {
    match finds.get_mut(key) {
        Some(known) if known.age < find.age => *known = find,
        Some(_) => {}
        None => {
            finds.insert(key.to_owned(), find);
        }
    }
}

/// Whether no step leads out of this state, so that no other value can be newer.
fn is_final(state: &State) -> bool {
    matches!(state.phase(), Phase::Sent | Phase::Unsorted)
}

/// Where frames lie in `bytes` that are sound: offset and length.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let sound = |at: usize| {
        let Frame { key, payload } = frame::decode(&bytes[at..]).ok()?;
        Some((at, frame::OVERHEAD + key.len() + payload.len()))
    };
    memmem::find_iter(bytes, frame::MAGIC).filter_map(sound).collect()
}

/// The number of a segment; `None` when its header is damaged.
fn number(segment: &[u8]) -> Option<u64> {
    const HIDDEN: u64 = i64::MAX.cast_unsigned();
    let header: &[u8; HEADER] = segment.first_chunk()?;
    let (crc, rest) = header.split_first_chunk::<4>()?;
    if crc32fast::hash(rest) != !u32::from_le_bytes(*crc) {
        return None;
    }
    Some(u64::from_le_bytes(*rest.first_chunk()?) ^ HIDDEN)
}
