use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::ops::log::levels::Levels;
use crate::ops::log::parse;

/// A journal of the test's own; what comes is read when it is asked for.
struct Listener {
    /// Goes with it.
    dir: tempfile::TempDir,
    path: PathBuf,
    socket: UnixDatagram,
}

impl Listener {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { dir, path, socket }
    }

    /// All that has come.
    fn heard(&self) -> Vec<String> {
        let (mut buffer, mut heard) = (vec![0; 256 << 10], Vec::new());
        while let Ok(length) = self.socket.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        heard
    }
}

fn entry(text: &str) -> Vec<u8> {
    let mut entry = Entry::default();
    entry.add("MESSAGE", text);
    entry.into_bytes()
}

fn at(millis: u64) -> MonoTime {
    MonoTime::default().after(Duration::from_millis(millis))
}

#[test]
fn a_line_has_its_fields_and_those_of_its_span() {
    let listener = Listener::new();
    let journal = Journal::at(listener.path.clone(), Arc::default());
    let subscriber = tracing_subscriber::registry().with(Levels(parse("info").unwrap())).with(journal);
    tracing::subscriber::with_default(subscriber, || {
        let _span = tracing::error_span!("intake", pbx = "msk").entered();
        tracing::warn!(call_id = "msk-1.4", phone_hash = "1f", reason = "two\nlines", "odd");
        tracing::debug!("not wanted");
    });
    let heard = listener.heard();
    assert_eq!(heard.len(), 1);
    let (head, tail) = heard[0].split_once("TARGET=").unwrap();
    assert_eq!(
        head,
        "PRIORITY=4\nSYSLOG_IDENTIFIER=ami2amo\nMESSAGE=odd call_id=msk-1.4 reason=\"two\\nlines\" pbx=msk\n"
    );
    assert!(tail.contains("\nCODE_FILE=src/ops/log/journal/tests.rs\nCODE_LINE="), "{tail}");
    let length = "\t\0\0\0\0\0\0\0";
    let fields = format!("\nCALL_ID=msk-1.4\nPHONE_HASH=1f\nREASON\n{length}two\nlines\nPBX=msk\n");
    assert!(tail.ends_with(&fields), "{tail}");
}

#[test]
fn a_journal_that_takes_nothing_blocks_nobody_and_is_told_what_is_lost() {
    let listener = Listener::new();
    let mut wire = Wire::new(listener.path.clone());
    let long = entry(&"x".repeat(1000));
    let mut count = 0;
    while wire.lost < 3 {
        wire.send(long.clone(), at(0));
        count += 1;
    }
    assert_eq!(wire.again, Some((at(50), Duration::from_millis(50))));
    let mut heard = listener.heard();
    // As much as its queue holds is taken each time.
    for pause in 1..count {
        wire.drain(at(pause));
        heard.extend(listener.heard());
    }
    assert_eq!((wire.again, wire.waiting.len(), wire.waiting_bytes, wire.lost), (None, 0, 0, 0));
    assert_eq!(heard.len() as u64, count - 3 + 1);
    let last = heard.last().unwrap();
    assert!(last.contains("MESSAGE=3 lines of the log are lost") && last.contains("\nLOST=3\n"), "{last}");
}

#[test]
fn it_is_tried_again_at_growing_distances() {
    let listener = Listener::new();
    let mut wire = Wire::new(listener.path.clone());
    while wire.send(entry("x"), at(0)) == Sent::Taken {}
    let pauses: Vec<_> = (0..9)
        .map(|_| {
            let (at, _) = wire.again.unwrap();
            wire.drain(at);
            wire.again.unwrap().1.as_millis()
        })
        .collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
}

#[test]
fn a_journal_that_was_begun_anew_is_found_again() {
    let listener = Listener::new();
    let mut wire = Wire::new(listener.path.clone());
    assert_eq!(wire.send(entry("one"), at(0)), Sent::Taken);
    let Listener { dir, path, socket } = listener;
    drop(socket);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(wire.send(entry("two"), at(1)), Sent::Nowhere);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    assert_eq!(wire.send(entry("three"), at(2)), Sent::Taken);
    let listener = Listener { dir, path, socket };
    assert_eq!(listener.heard(), ["MESSAGE=three\n"]);
}

#[test]
fn without_the_socket_a_line_has_its_priority_in_front() {
    assert_eq!(plain(Level::WARN, "odd\npause_s=1"), "<4>odd pause_s=1\n");
    assert_eq!(plain(Level::ERROR, "bad"), "<3>bad\n");
}

#[test]
fn where_there_is_no_journal_a_standard_error_that_nobody_reads_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (output, reader) = std::os::unix::net::UnixStream::pair().unwrap();
    let errors = OnceLock::from(Some(Pipe::start(output).unwrap()));
    let journal =
        Journal { errors: Some(Arc::new(errors)), ..Journal::at(dir.path().join("none"), Arc::default()) };
    // More than the socket and the queue hold.
    let text = "x".repeat(1000);
    for _ in 0..2000 {
        journal.send(Level::WARN, &text, Entry::default());
    }
    journal.finish();
    let first = io::BufRead::lines(io::BufReader::new(reader)).next().unwrap().unwrap();
    assert_eq!(first, format!("<4>{text}"));
}
