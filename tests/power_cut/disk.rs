//! The disk that loses power: an ext4 image on a loop device, or a plain folder that loses nothing.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::Command;

/// Bytes of the image: room for the stores of many rounds, their ballast, and what a repair needs.
const SIZE: u64 = 1 << 30;

/// `_IOR('X', 125, __u32)` of the kernel's `ext4.h`.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;

/// Not even the journal is written on the way down.
const NOLOGFLUSH: u32 = 2;

/// A disk, unmounted and gone when dropped.
pub struct Disk {
    dir: tempfile::TempDir,
    kind: Kind,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Folder,
    Image { mounted: bool },
}

impl Disk {
    pub fn folder() -> Self {
        let disk = Self { dir: tempfile::tempdir().unwrap(), kind: Kind::Folder };
        std::fs::create_dir(disk.path()).unwrap();
        disk
    }

    pub fn image() -> Self {
        let disk = Self { dir: tempfile::tempdir().unwrap(), kind: Kind::Image { mounted: false } };
        std::fs::create_dir(disk.path()).unwrap();
        File::create(disk.file()).unwrap().set_len(SIZE).unwrap();
        // Tables are made at once: nothing else shall write to it in the background.
        let options = "lazy_itable_init=0,lazy_journal_init=0";
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", options]).arg(disk.file()));
        disk
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// Plugs it in; the kernel replays its journal.
    pub fn mount(&mut self) {
        if let Kind::Image { mounted } = &mut self.kind {
            *mounted = true;
            run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(self.file()).arg(self.path()));
        }
    }

    /// The loop device goes with its last mount.
    pub fn unmount(&mut self) {
        if let Kind::Image { mounted } = &mut self.kind {
            run(Command::new("umount").arg(self.dir.path().join("mnt")));
            *mounted = false;
        }
    }

    /// Power fails: what was not written by now will never be.
    pub fn cut(&self) {
        if self.kind != Kind::Folder {
            let folder = File::open(self.path()).unwrap();
            shut_down(&folder).expect("the file system can be shut down");
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("disk.img")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.kind == (Kind::Image { mounted: true }) {
            // A test that failed may have left somebody in it.
            let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
        }
    }
}

#[expect(unsafe_code, reason = "the shutdown of a file system is an ioctl")]
fn shut_down(folder: &File) -> io::Result<()> {
    let flag = NOLOGFLUSH;
    // SAFETY: the descriptor is open, and the request reads one u32, which outlives it.
    let asked = unsafe { libc::ioctl(folder.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flag) };
    if asked == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn run(command: &mut Command) {
    let status = command.status();
    let done = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    assert!(done, "{command:?}: {status:?}; power cuts need root and e2fsprogs");
}
