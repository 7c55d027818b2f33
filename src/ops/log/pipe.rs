//! Standard error of the daemon: a thread writes what the others say, so that a pipe that nobody reads holds none of
//! them up. What finds no room meanwhile is counted, and the count is told when there is room again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes of lines that wait for a reader: some 1,000.
const WAITING_MAX: usize = 256 << 10;

/// How long the end of the program waits for a reader.
const FAREWELL: Duration = Duration::from_millis(500);

/// The way to the thread that writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Told of lines that came, and of those that were written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: u64,
    /// A line is being written.
    busy: bool,
}

impl Pipe {
    /// Writes to `output` from here on, on a thread of its own that ends with the process.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let pipe = Self::default();
        let shared = Arc::clone(&pipe.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_all(output))?;
        Ok(pipe)
    }

    /// Waits until all is written, for as long as the program's end may take.
    pub fn finish(&self) {
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_busy = |waiting: &mut Waiting| waiting.busy || !waiting.lines.is_empty();
        drop(self.0.changed.wait_timeout_while(waiting, FAREWELL, is_busy));
    }
}

/// One line, which the caller has whole.
impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.bytes + line.len() > WAITING_MAX {
            waiting.lost += 1;
        } else {
            waiting.bytes += line.len();
            waiting.lines.push_back(line.to_owned());
        }
        drop(waiting);
        self.0.changed.notify_all();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn write_all(&self, mut output: impl Write) {
        loop {
            let line = self.next();
            // A closed standard error leaves nobody to tell.
            drop(output.write_all(&line).and_then(|()| output.flush()));
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.busy = false;
            if waiting.lines.is_empty() && waiting.lost > 0 {
                let text = format!("ami2amo: {} lines of the log are lost: nobody read them\n", waiting.lost);
                waiting.lost = 0;
                waiting.bytes += text.len();
                waiting.lines.push_back(text.into_bytes());
            }
            drop(waiting);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Vec<u8> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.changed.wait_while(waiting, |waiting| waiting.lines.is_empty());
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let line = waiting.lines.pop_front().unwrap_or_default();
        waiting.bytes = waiting.bytes.saturating_sub(line.len());
        waiting.busy = true;
        line
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up_and_is_told_what_is_lost() {
        let (output, reader) = UnixStream::pair().unwrap();
        let mut pipe = Pipe::start(output).unwrap();
        let line = [b"x".repeat(999).as_slice(), b"\n"].concat();
        // More than the socket and the queue hold.
        let count: usize = 2000;
        for _ in 0..count {
            pipe.write_all(&line).unwrap();
        }
        pipe.finish();
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        let told = lines.by_ref().take_while(|line| line.starts_with('x')).count();
        assert!(told < count, "{told}");
        pipe.write_all(b"more\n").unwrap();
        assert_eq!(lines.next().unwrap(), "more");
    }

    #[test]
    fn at_the_end_all_is_written() {
        let (output, reader) = UnixStream::pair().unwrap();
        let mut pipe = Pipe::start(output).unwrap();
        for word in ["one\n", "two\n", "three\n"] {
            pipe.write_all(word.as_bytes()).unwrap();
        }
        pipe.finish();
        reader.set_nonblocking(true).unwrap();
        let lines: Vec<_> = BufReader::new(reader).lines().map_while(Result::ok).collect();
        assert_eq!(lines, ["one", "two", "three"]);
    }
}
