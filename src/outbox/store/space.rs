//! Room on the store's disk: how much is left, and the ballast, a file of no use whose place is given up
//! when the disk is full, so that sled can open and deliver what it has.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{debug, error, warn};

use crate::time::MonoTime;

/// Room below which people are called, in bytes: an hour of a very large PBX, a month of a small one.
pub const LOW: u64 = 64 << 20;

/// Room below which calls at their end are kept without what explains them, in bytes: twice the ballast.
pub const SCARCE: u64 = 16 << 20;

/// Bytes of the ballast: sled opens and delivers in much less.
const BALLAST: u64 = 8 << 20;

/// Room that there must be before the ballast is made, in bytes.
const BALLAST_ROOM: u64 = LOW + BALLAST;

/// How often the room is looked at, while there is work.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often want of room is told.
const TELL_EVERY: Duration = Duration::from_hours(1);

/// How much room there is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Room {
    Ample,
    Low,
    Scarce,
}

/// The eye on the room of one disk.
#[derive(Debug)]
pub struct Guard {
    dir: PathBuf,
    looked: Option<MonoTime>,
    told: Option<(Room, MonoTime)>,
}

impl Room {
    pub fn of(free: u64) -> Self {
        match free {
            _ if free < SCARCE => Self::Scarce,
            _ if free < LOW => Self::Low,
            _ => Self::Ample,
        }
    }
}

impl Guard {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, looked: None, told: None }
    }

    /// Looks, when it is time; tells what a person should know, and makes the ballast where there is
    /// room for it. `None` when nothing was looked at.
    pub fn look(&mut self, now: MonoTime) -> Option<Room> {
        if self.looked.is_some_and(|looked| now < looked.after(LOOK_EVERY)) {
            return None;
        }
        self.looked = Some(now);
        let free =
            free(&self.dir).inspect_err(|error| warn!(%error, "the room on the store's disk is not known"));
        let free = free.ok()?;
        let room = Room::of(free);
        self.tell(room, free, now);
        if free >= BALLAST_ROOM {
            make_ballast(&self.dir);
        }
        Some(room)
    }

    fn tell(&mut self, room: Room, free: u64, now: MonoTime) {
        let before = self.told.map(|(room, _)| room);
        let is_news = before.map_or(room != Room::Ample, |before| before != room);
        let is_due = self.told.is_some_and(|(_, told)| now >= told.after(TELL_EVERY)) && room != Room::Ample;
        if !is_news && !is_due {
            return;
        }
        self.told = Some((room, now));
        let (free_mb, dir) = (free >> 20, self.dir.display());
        match room {
            // The herald tells these two, with what to do.
            Room::Ample => debug!(free_mb, "there is room on the store's disk again"),
            Room::Low => debug!(free_mb, %dir, "the store's disk is almost full: make room"),
            Room::Scarce => error!(
                free_mb, %dir,
                "the store's disk is full but for a rest: make room; calls that are delivered are kept without \
                 what explains them"
            ),
        }
    }
}

/// Bytes that this process may still write on the disk of `dir`.
///
/// # Errors
/// When the system does not say.
pub fn free(dir: &Path) -> io::Result<u64> {
    let path = CString::new(dir.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    #[expect(unsafe_code, reason = "std does not say how much room a disk has")]
    // SAFETY: `path` ends with a NUL and `stat` has room for what statvfs(3) writes.
    let outcome = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "the system wrote it")]
    // SAFETY: statvfs(3) returned 0: it filled the whole structure.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Gives the place of the ballast up; whether there was any.
pub fn drop_ballast(dir: &Path) -> bool {
    match fs::remove_file(ballast_of(dir)) {
        Ok(()) => {
            error!(dir = %dir.display(), "the disk is full: the ballast is given up so that waiting calls can be delivered; make room");
            true
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            warn!(%error, "the ballast cannot be deleted");
            false
        }
    }
}

fn ballast_of(dir: &Path) -> PathBuf {
    dir.join("ballast")
}

fn make_ballast(dir: &Path) {
    let path = ballast_of(dir);
    if path.exists() {
        return;
    }
    if let Err(error) = write_ballast(&dir.join("ballast.new"), &path) {
        warn!(%error, "the ballast cannot be made");
    }
}

/// Noise, which takes its place on any file system; a hole or zeros may take none.
fn write_ballast(new: &Path, path: &Path) -> io::Result<()> {
    let mut noise = vec![0; 64 << 10];
    let mut random = fastrand::Rng::new();
    let options = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).clone();
    let mut file: File = options.open(new)?;
    for _ in 0..BALLAST / noise.len() as u64 {
        random.fill(&mut noise);
        file.write_all(&noise)?;
    }
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captured_log::Log;

    #[test]
    fn room_is_judged_by_its_bytes() {
        assert_eq!(Room::of(SCARCE - 1), Room::Scarce);
        assert_eq!(Room::of(SCARCE), Room::Low);
        assert_eq!(Room::of(LOW - 1), Room::Low);
        assert_eq!(Room::of(LOW), Room::Ample);
    }

    #[test]
    fn want_of_room_is_told_once_an_hour_and_its_end_once() {
        let (log, _guard) = Log::capture(tracing::Level::DEBUG);
        let mut guard = Guard::new("/store".into());
        let begin = MonoTime::default();
        let at = |minutes: u64| begin.after(Duration::from_mins(minutes));
        guard.tell(Room::Ample, LOW, at(0));
        assert_eq!(log.text(), "");
        for minute in [0, 1, 59] {
            guard.tell(Room::Low, 50 << 20, at(minute));
        }
        assert_eq!(log.text().matches("almost full").count(), 1);
        guard.tell(Room::Low, 50 << 20, at(60));
        assert_eq!(log.text().matches("almost full").count(), 2);
        guard.tell(Room::Scarce, 1 << 20, at(61));
        for minute in [62, 63, 200] {
            guard.tell(Room::Ample, LOW, at(minute));
        }
        assert_eq!(log.text().matches("full but for a rest").count(), 1);
        assert_eq!(log.text().matches("room on the store's disk again").count(), 1);
    }

    #[test]
    fn the_ballast_has_its_weight_and_is_given_up_once() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        make_ballast(dir.path());
        let meta = fs::metadata(dir.path().join("ballast")).unwrap();
        assert_eq!(meta.len(), BALLAST);
        assert!(meta.blocks() * 512 >= BALLAST, "{} blocks", meta.blocks());
        assert!(drop_ballast(dir.path()));
        assert!(!drop_ballast(dir.path()));
        assert!(free(dir.path()).unwrap() > 0);
    }
}
