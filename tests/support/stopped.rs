//! A thread of another process that stands still, by `ptrace`, while the others of that process run.

#![expect(unsafe_code, reason = "nothing but ptrace stops one thread of a process")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::ptr::null_mut;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether the process has ended meanwhile: until the tracer has seen it, its parent waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub struct Thread {
    release: Sender<()>,
    tracer: JoinHandle<()>,
}

impl Thread {
    /// Stops the thread `name` of the child `pid`.
    pub fn of(pid: u32, name: &str) -> Self {
        let tid = tid(pid, name);
        let (release, released) = channel();
        let (stopped, is_stopped) = channel();
        // A thread is released by the thread that stopped it, and by its end.
        let tracer = std::thread::spawn(move || hold(tid, &stopped, &released));
        is_stopped.recv().expect("ptrace may stop threads of a child");
        Self { release, tracer }
    }

    /// Lets it go on, if its process is there still.
    pub fn go_on(self) {
        drop(self.release);
        self.tracer.join().unwrap();
    }
}

fn tid(pid: u32, name: &str) -> i32 {
    let tasks = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).unwrap();
    let mut tasks = tasks.map(|task| task.unwrap());
    let named = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let task = tasks.find(named).unwrap_or_else(|| panic!("no thread {name}"));
    task.file_name().to_str().unwrap().parse().unwrap()
}

fn hold(tid: i32, stopped: &Sender<()>, released: &Receiver<()>) {
    // SAFETY: no request touches memory of this process: the addresses are null and unused.
    let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, null_mut::<()>(), null_mut::<()>()) };
    assert_eq!(seized, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: as above.
    let asked = unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, tid, null_mut::<()>(), null_mut::<()>()) };
    assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    assert!(changed(tid, libc::__WALL).is_some(), "{}", std::io::Error::last_os_error());
    stopped.send(()).unwrap();
    while released.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        if changed(tid, libc::__WALL | libc::WNOHANG).is_some_and(is_over) {
            return;
        }
    }
    // SAFETY: as above.
    let detached = unsafe { libc::ptrace(libc::PTRACE_DETACH, tid, null_mut::<()>(), null_mut::<()>()) };
    assert_eq!(detached, 0, "{}", std::io::Error::last_os_error());
}

/// What became of the thread, if something did.
fn changed(tid: i32, flags: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let waited = unsafe { libc::waitpid(tid, &raw mut status, flags) };
    (waited == tid).then_some(status)
}

fn is_over(status: i32) -> bool {
    libc::WIFEXITED(status) || libc::WIFSIGNALED(status)
}
