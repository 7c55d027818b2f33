use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::*;
use crate::clock;
use crate::daemon::gaps::GapsByPbx;
use crate::outbox::store::Store;
use tokio::sync::watch;

const ASK: &[u8] = b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// How long a test waits for what must happen; never reached in a good run.
const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    dir: tempfile::TempDir,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), clock::host()).unwrap();
        let overview = Overview {
            started_at: clock::host(),
            pbxs: Vec::new(),
            accounts: std::collections::BTreeMap::new(),
            offsets: watch::channel(Arc::default()).1,
            gaps: watch::channel(GapsByPbx::new()).1,
            store: store.spawn(clock::host).unwrap(),
            reloader: None,
            hook: None,
            records: None,
            store_hung_after: Duration::from_mins(2),
            disk: crate::daemon::overview::Disk::default(),
            log: crate::ops::log::control::Control::idle("info"),
        };
        let mut admin = Admin::bind(&dir.path().join("ctl")).await.unwrap();
        admin.limits = limits;
        Self { task: tokio::spawn(admin.run(overview)), dir }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.path().join("ctl")).await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks until it is answered: where the machine is slow, a guest's short time may be over before that.
async fn served(admin: &Running) {
    let asking = async {
        loop {
            let mut stream = admin.connect().await;
            let mut text = String::new();
            let asked = stream.write_all(ASK).await.is_ok();
            if asked && stream.read_to_string(&mut text).await.is_ok() && text.starts_with("HTTP/1.1 200 OK")
            {
                return;
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("somebody is answered");
}

#[tokio::test]
async fn only_so_many_are_let_in_and_the_next_gets_his_turn() {
    let admin = Running::start(Limits { connections: 1, lifetime: Duration::from_millis(200) }).await;
    // It says nothing, and has the only place until its time is over.
    let mut silent = admin.connect().await;
    served(&admin).await;
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0, "it was put out");
}

#[tokio::test]
async fn who_never_reads_is_put_out_and_keeps_nobody_waiting() {
    let admin = Running::start(Limits { connections: 2, lifetime: Duration::from_millis(200) }).await;
    let mut deaf = admin.connect().await;
    let put_out = async {
        // Answers fill what the system buffers; then nothing is taken any more, until the end.
        loop {
            if deaf.write_all(&ASK[..ASK.len() - 21]).await.is_err() || deaf.write_all(b"\r\n").await.is_err()
            {
                return;
            }
        }
    };
    let put_out = timeout(PATIENCE, put_out);
    let (put_out, ()) = tokio::join!(put_out, served(&admin));
    assert!(put_out.is_ok(), "its time ends");
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_replaced_and_another_s_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new").join("ctl");
    let first = Admin::bind(&path).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let refused = Admin::bind(&path).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse, "{refused}");
    drop(first);
    assert!(!path.exists());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "what a killed process leaves");
    drop(Admin::bind(&path).await.unwrap());
    fs::write(&path, "a file").unwrap();
    assert_eq!(Admin::bind(&path).await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
}

#[tokio::test]
async fn a_process_that_hangs_on_the_socket_holds_no_start_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl");
    // It listens and takes nobody in, until its queue is full.
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(&path).unwrap();
    let _hanging = socket.listen(1).unwrap();
    let mut queue = Vec::new();
    let fill = async {
        while let Ok(guest) = UnixStream::connect(&path).await {
            queue.push(guest);
        }
    };
    let full = timeout(PATIENCE, fill).await;
    assert!(full.is_ok(), "its queue has an end");
    let refused = timeout(PATIENCE, Admin::bind(&path)).await.expect("it ends").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse, "{refused}");
    assert!(path.exists());
}
