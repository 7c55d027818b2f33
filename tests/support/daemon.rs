//! The real binary on a host of its own: a folder, a configuration, systemd's end of the notify socket.

#![allow(dead_code, reason = "each test uses a part")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ami2amo::outbox::queue::{Queue as _, Stats};
use ami2amo::outbox::store::Store;
use ami2amo::time::HostTime;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::{Child, ChildStderr, Command};

#[path = "discretion.rs"]
pub mod discretion;

/// Longest wait for what should come within a second on an idle machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A folder with a configuration, and systemd's end of the notify socket.
pub struct Host {
    dir: TempDir,
    notify: UnixDatagram,
}

/// The running daemon; killed when dropped. Its log is then looked through for what no log may have.
pub struct Daemon {
    child: Child,
    /// There until it is dropped.
    stderr: Option<tokio::io::Lines<BufReader<ChildStderr>>>,
    log: Vec<String>,
    config: Option<PathBuf>,
    /// Those that it began with.
    secrets: Vec<String>,
}

impl Host {
    /// With an amoCRM that nobody answers for: the discard port.
    pub fn new(port: u16, pbx_keys: &str) -> Self {
        Self::with_amo(port, pbx_keys, "http://127.0.0.1:9", "t0ken")
    }

    pub fn with_amo(port: u16, pbx_keys: &str, base_url: &str, token: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        let host = Self { dir, notify };
        std::fs::write(host.path("secret"), "s3cret\n").unwrap();
        let config = format!(
            "[[pbx]]\nhost = \"127.0.0.1\"\nport = {port}\nusername = \"ami2amo\"\nsecret-file = \"{}\"\n{pbx_keys}\n\
             [amocrm]\nbase-url = {base_url:?}\ntoken = {token:?}\ndefault-user = 1\n\
             [store]\ndir = \"{}\"\n[admin]\nsocket = \"{}\"\n",
            host.path("secret").display(),
            host.path("store").display(),
            host.path("ctl.sock").display(),
        );
        std::fs::write(host.config(), config).unwrap();
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("ami2amo.toml")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ami2amo"));
        command
            .env_clear()
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("AMI2AMO_LOG", "debug")
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub fn start(&self) -> Daemon {
        Daemon::start(self.command())
    }

    /// Changes the configuration.
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    /// As [`Self::start`]; where files may not grow, a write fails and no signal comes.
    pub fn start_with_small_disk(&self) -> Daemon {
        let ready = self.command();
        let mut command = Command::new("sh");
        command.env_clear().envs(ready.as_std().get_envs().filter_map(|(key, value)| Some((key, value?))));
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(ready.as_std().get_program());
        command.args(ready.as_std().get_args()).stdin(Stdio::null()).kill_on_drop(true);
        Daemon::start(command)
    }

    /// Waits for a message to systemd that has the line `wanted`, and returns the message.
    pub async fn notified(&self, wanted: &str) -> String {
        let mut buffer = [0; 4096];
        let heard = async {
            loop {
                let length = self.notify.recv(&mut buffer).await.unwrap();
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if message.lines().any(|line| line.starts_with(wanted)) {
                    return message;
                }
            }
        };
        tokio::time::timeout(LIMIT, heard).await.unwrap_or_else(|_| panic!("systemd was not told {wanted}"))
    }

    /// What the store holds, once no daemon holds it.
    pub fn stored(&self) -> Stats {
        Store::open(&self.path("store"), HostTime::default()).unwrap().stats().unwrap()
    }
}

impl Daemon {
    pub fn start(mut command: Command) -> Self {
        let mut words = command.as_std().get_args().skip_while(|word| *word != "--config");
        let config = words.nth(1).map(PathBuf::from);
        let secrets = config.as_deref().map(discretion::secrets).unwrap_or_default();
        let mut child = command.arg("run").stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Some(BufReader::new(child.stderr.take().unwrap()).lines());
        Self { child, stderr, log: Vec::new(), config, secrets }
    }

    async fn line(&mut self) -> Option<String> {
        let line = self.stderr.as_mut()?.next_line().await.unwrap()?;
        self.log.push(line.clone());
        Some(line)
    }

    /// Reads the log until a line has `wanted`.
    pub async fn logs(&mut self, wanted: &str) -> String {
        let found = async {
            while let Some(line) = self.line().await {
                if line.contains(wanted) {
                    return line;
                }
            }
            panic!("the log ended without {wanted:?}")
        };
        let found = tokio::time::timeout(LIMIT, found).await;
        found.unwrap_or_else(|_| panic!("no {wanted:?} in the log: {:#?}", self.log))
    }

    /// The next line of the log; `None` when the daemon has ended. Cancel safe.
    pub async fn next_line(&mut self) -> Option<String> {
        self.line().await
    }

    /// Ends it by SIGKILL; returns the whole log.
    pub async fn killed(mut self) -> String {
        self.child.start_kill().unwrap();
        self.ended().await.1
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// From here on no file of the daemon may grow.
    pub fn fill_disk(&self) {
        self.limit_files("--fsize=0:unlimited");
    }

    /// Undoes [`Self::fill_disk`].
    pub fn make_room(&self) {
        self.limit_files("--fsize=unlimited:unlimited");
    }

    fn limit_files(&self, limit: &str) {
        let pid = self.child.id().unwrap().to_string();
        let limited = std::process::Command::new("prlimit").args(["--pid", &pid, limit]).status();
        assert!(limited.unwrap().success());
    }

    /// Waits for the end; returns how it ended and the whole log.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let rest = async {
            while self.line().await.is_some() {}
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(LIMIT, rest).await;
        let status = status.unwrap_or_else(|_| panic!("the daemon does not end in time: {:#?}", self.log));
        (status, self.log.join("\n"))
    }

    /// As [`Self::stopped`], once it runs.
    pub async fn stopped_when_ready(mut self) -> String {
        self.logs("ready").await;
        self.stopped().await
    }

    pub async fn stopped(self) -> String {
        self.signal("-TERM");
        let (status, log) = self.ended().await;
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        if std::thread::panicking() {
            return;
        }
        let mut log = self.log.join("\n");
        // What nobody has read so far.
        if let Some(stderr) = self.stderr.take().map(tokio::io::Lines::into_inner) {
            let mut rest = stderr.buffer().to_vec();
            if let Ok(pipe) = stderr.into_inner().into_owned_fd() {
                // It ends with what is there at this moment.
                let _ = std::fs::File::from(pipe).read_to_end(&mut rest);
            }
            log = log + "\n" + &String::from_utf8_lossy(&rest);
        }
        let mut secrets = std::mem::take(&mut self.secrets);
        secrets.extend(self.config.as_deref().map(discretion::secrets).unwrap_or_default());
        let faults = discretion::faults(&log, &secrets);
        assert!(faults.is_empty(), "in the log: {faults:#?}");
    }
}

/// One missed inbound call, from first event to last.
pub fn missed_call(uniqueid: &str) -> Vec<u8> {
    let headers = format!(
        "Channel: PJSIP/trunk-msk-0000000a\r\nChannelState: 4\r\nChannelStateDesc: Ring\r\n\
         CallerIDNum: 79161234568\r\nCallerIDName: <unknown>\r\nContext: from-trunk\r\nExten: 74957000101\r\n\
         Priority: 1\r\nUniqueid: {uniqueid}\r\nLinkedid: {uniqueid}\r\n"
    );
    format!(
        "Event: Newchannel\r\nPrivilege: call,all\r\nTimestamp: 1795339565.000001\r\n{headers}\r\n\
         Event: Hangup\r\nPrivilege: call,all\r\nTimestamp: 1795339575.000001\r\n{headers}Cause: 16\r\n\
         Cause-txt: Normal Clearing\r\n\r\n"
    )
    .into_bytes()
}
