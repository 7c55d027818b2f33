//! One run of the hook's program: no shell, an environment without secrets, two seconds. At its end all that it began
//! is killed, and so is the program itself where it takes too long.

use std::convert::Infallible;
use std::fs::File;
use std::future::pending;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::debug;

use crate::ops::screen::clean;
use crate::outbox::hook::ANSWER_MAX;

/// How long the program may take.
pub const TIME_MAX: Duration = Duration::from_secs(2);

/// How long a killed one may take to be gone; the kernel has its reasons to keep it.
const GONE_MAX: Duration = Duration::from_secs(1);

/// Bytes of what it says on standard error that go to the log.
const WORDS_MAX: usize = 4 << 10;

/// Where it finds other programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What it has of the daemon's environment, where that has it.
const VARIABLES: [&str; 3] = ["LANG", "LC_ALL", "TZ"];

/// Programs that are being started at a time. A start waits for the disk that the program is on: one that hangs keeps
/// its thread, and nobody else's.
static STARTS: Semaphore = Semaphore::const_new(4);

/// The program, and all that it began.
#[derive(Debug)]
struct Group(Child);

/// What the program prints when it reads `question`.
///
/// # Errors
/// Why there is no answer: it cannot be started, takes too long, says too much, or ends with a failure.
pub async fn ask(program: &[String], question: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut group = None;
    let heard =
        timeout(TIME_MAX, async { converse(group.insert(begin(program).await?), question).await }).await;
    if let Some(group) = group.as_mut().filter(|_| !matches!(heard, Ok(Ok(_)))) {
        group.kill();
        // One that stays is waited for by the runtime.
        drop(timeout(GONE_MAX, group.0.wait()).await);
    }
    match heard {
        Ok(heard) => heard,
        Err(_) => Err(format!("it took longer than {} s", TIME_MAX.as_secs())),
    }
}

/// Starts the program on a thread that may wait for its disk. One for which nobody waits any more is killed.
async fn begin(program: &[String]) -> Result<Group, String> {
    let turn = STARTS.acquire().await.map_err(|error| format!("it cannot be started: {error}"))?;
    let program = program.to_vec();
    let started = spawn_blocking(move || {
        let _turn = turn;
        start(&program).map(Group)
    });
    let started = started.await.map_err(|error| format!("it cannot be started: {error}"))?;
    started.map_err(|error| format!("it cannot be started: {error}"))
}

fn start(program: &[String]) -> io::Result<Child> {
    let (name, arguments) = program.split_first().ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(name);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
    command.envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that what it begins ends with it.
    command.process_group(0).kill_on_drop(true).spawn()
}

async fn converse(group: &mut Group, question: Vec<u8>) -> Result<Vec<u8>, String> {
    let child = &mut group.0;
    let (input, output, words) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut input), Some(mut output), Some(mut words)) = (input, output, words) else {
        return Err("it has no standard streams".to_owned());
    };
    let (mut said, mut told) = (Vec::new(), Vec::new());
    let telling = async {
        // It need not read it.
        let _ = input.write_all(&question).await;
        drop(input);
        pending::<Infallible>().await
    };
    let listening = async {
        loop {
            match output.read_buf(&mut said).await {
                Ok(0) => pending().await,
                // Whoever says more is not waited for.
                Ok(_) if said.len() > ANSWER_MAX => return too_much(),
                Ok(_) => {}
                Err(error) => return unread(&error),
            }
        }
    };
    let logging = async {
        while words.read_buf(&mut told).await.is_ok_and(|read| read > 0) {
            told.truncate(WORDS_MAX);
        }
        pending::<Infallible>().await
    };
    // Its end is what is waited for, and not that of its streams: they may be open elsewhere, for ever.
    let ended = tokio::select! {
        wrong = listening => return Err(wrong),
        never = telling => match never {},
        never = logging => match never {},
        ended = group.ended() => ended,
    };
    ended.map_err(|error| format!("its end cannot be seen: {error}"))?;
    // What it leaves behind is none the less for calls that come.
    group.kill();
    drop(drain(&words, &mut told, WORDS_MAX));
    log(&told);
    drain(&output, &mut said, ANSWER_MAX + 1).map_err(|error| unread(&error))?;
    if said.len() > ANSWER_MAX {
        return Err(too_much());
    }
    let status = group.0.wait().await.map_err(|error| format!("its end cannot be seen: {error}"))?;
    if status.success() { Ok(said) } else { Err(format!("it ended with a failure: {status}")) }
}

fn too_much() -> String {
    format!("it printed more than {} KiB", ANSWER_MAX >> 10)
}

fn unread(error: &io::Error) -> String {
    format!("what it prints cannot be read: {error}")
}

/// Reads what lies in a pipe, until `most` bytes are there, and waits for no more.
fn drain(pipe: &impl AsFd, there: &mut Vec<u8>, most: usize) -> io::Result<()> {
    // It shares the pipe, which never blocks.
    let pipe = File::from(pipe.as_fd().try_clone_to_owned()?);
    match pipe.take(most.saturating_sub(there.len()) as u64).read_to_end(there) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Its standard error goes to the log.
fn log(words: &[u8]) {
    for line in String::from_utf8_lossy(words).lines().filter(|line| !line.trim().is_empty()) {
        debug!("the hook says: {}", clean(line));
    }
}

impl Group {
    /// Waits until its first process has ended, which keeps its number until it is asked how.
    async fn ended(&self) -> io::Result<()> {
        let mut ends = signal(SignalKind::child())?;
        while !self.has_ended()? {
            ends.recv().await;
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "waitid(2) that leaves the process there has no safe form in std")]
    fn has_ended(&self) -> io::Result<bool> {
        let Some(pid) = self.0.id() else { return Ok(true) };
        let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `siginfo_t` is plain data, for which zeros are a value; waitid(2) writes into it and nowhere else,
        // and leaves the number of no process in it, or that of the one which ended.
        unsafe {
            let mut end: libc::siginfo_t = std::mem::zeroed();
            if libc::waitid(libc::P_PID, pid, &raw mut end, how) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(end.si_pid() != 0)
        }
    }

    /// Kills all of it, as long as its first process was not waited for: its number may be another's then.
    #[expect(unsafe_code, reason = "kill(2) has no safe form in std for a group")]
    fn kill(&self) {
        if let Some(pid) = self.0.id().and_then(|pid| i32::try_from(pid).ok()) {
            // SAFETY: kill(2) touches no memory of ours.
            unsafe { libc::kill(-pid, libc::SIGKILL) };
        }
    }
}

/// Nobody waits for its answer any more.
impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn it_reads_what_it_is_told_and_has_no_secrets() {
        let said =
            ask(&sh("read line; echo \"$line\"; env | sort; pwd"), b"{\"v\":1}\n".to_vec()).await.unwrap();
        let said = String::from_utf8(said).unwrap();
        let names: Vec<_> = said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(said.starts_with("{\"v\":1}\n") && said.ends_with("\n/\n"), "{said}");
        let known = ["LANG", "LC_ALL", "OLDPWD", "PATH", "PWD", "SHLVL", "TZ", "_"];
        assert!(names.contains(&"PATH") && names.iter().all(|name| known.contains(name)), "{names:?}");
    }

    #[tokio::test]
    async fn a_failure_is_told() {
        let long = vec![b'x'; 1 << 20];
        // It reads nothing of what it is told.
        assert_eq!(ask(&sh("echo a"), long.clone()).await.as_deref(), Ok(b"a\n".as_slice()));
        let failed = ask(&sh("echo a; exit 3"), Vec::new()).await.unwrap_err();
        assert!(failed.contains("exit status: 3"), "{failed}");
        let absent = ask(&["/no/such/program".to_owned()], Vec::new()).await.unwrap_err();
        assert!(absent.contains("it cannot be started"), "{absent}");
        let endless = ask(&sh("yes"), Vec::new()).await.unwrap_err();
        assert_eq!(endless, "it printed more than 64 KiB");
        assert_eq!(ask(&sh("yes >&2 & echo b; kill $!"), long).await.as_deref(), Ok(b"b\n".as_slice()));
    }

    /// What is killed may be there for a moment, and as a zombie for longer: its new parent is another's.
    async fn is_gone(file: &Path) {
        let pid = std::fs::read_to_string(file).unwrap();
        let stat = Path::new("/proc").join(pid.trim()).join("stat");
        while std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_it_leaves_behind_is_killed_and_holds_up_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        for streams in ["", " >/dev/null 2>&1 </dev/null"] {
            let script = format!("sleep 600{streams} & echo $! > {}; echo a", file.display());
            assert_eq!(ask(&sh(&script), Vec::new()).await.as_deref(), Ok(b"a\n".as_slice()));
            is_gone(&file).await;
        }
        let script = format!("sleep 600 >/dev/null 2>&1 & echo $! > {}; kill -9 $$", file.display());
        let failed = ask(&sh(&script), Vec::new()).await.unwrap_err();
        assert!(failed.contains("signal: 9"), "{failed}");
        is_gone(&file).await;
        // One that takes a session of its own escapes, and holds up no answer either.
        let script = format!("setsid sleep 3 & echo $! > {}; echo b", file.display());
        assert_eq!(ask(&sh(&script), Vec::new()).await.as_deref(), Ok(b"b\n".as_slice()));
    }

    /// Makes a file one of a server that is gone, or lets it come back: whoever opens it waits, for 45 s at most
    /// (fcntl(2), leases).
    #[expect(unsafe_code, reason = "fcntl(2) has no safe form in std")]
    fn hold_up(file: &File, lease: libc::c_int) {
        /// Which signal tells of it, on Linux; libc does not have it.
        const F_SETSIG: libc::c_int = 10;
        // SAFETY: fcntl(2) touches no memory of ours. The signal is one that nobody heeds.
        let is_done = unsafe {
            libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) == 0
                && libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, lease) == 0
        };
        assert!(is_done, "{}", io::Error::last_os_error());
    }

    #[tokio::test]
    async fn a_program_on_a_disk_that_hangs_holds_up_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let file = File::open(&path).unwrap();
        hold_up(&file, libc::F_WRLCK);
        let begun = crate::clock::mono();
        // Until it runs it has all that is open here, and the streams of others too.
        let others = async {
            for _ in 0..20 {
                assert_eq!(ask(&sh("echo a"), Vec::new()).await.as_deref(), Ok(b"a\n".as_slice()));
            }
        };
        let program = [path.display().to_string()];
        let (failed, ()) = tokio::join!(ask(&program, Vec::new()), others);
        assert_eq!(failed.unwrap_err(), "it took longer than 2 s");
        assert!(crate::clock::mono().since(begun) < Duration::from_secs(20));
        hold_up(&file, libc::F_UNLCK);
    }

    #[tokio::test]
    async fn what_hangs_is_killed_with_all_that_it_began() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let begun = crate::clock::mono();
        let hung = ask(&sh(&script), Vec::new()).await.unwrap_err();
        assert_eq!(hung, "it took longer than 2 s");
        assert!(crate::clock::mono().since(begun) < Duration::from_secs(20));
        is_gone(&file).await;
    }
}
