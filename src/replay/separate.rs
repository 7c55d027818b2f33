//! Every capture alone, on all cores, printed in the order of the command line.
//!
//! Workers take files in order. The one whose turn it is prints; the others keep a few calls and
//! then wait for their turn. The worker of the first unprinted file never waits, so there is
//! always progress, and memory does not grow with the files.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::call::record::FinishedCall;
use crate::replay::sink::Sink;
use crate::replay::source::{self, Fault, Opened};
use crate::replay::stream::{Receiver, Stream, Yield};
use crate::replay::{End, Files, Tally, report};

/// Calls that a worker keeps before it waits for its turn: about 100 KB.
const LANE_CALLS: usize = 64;

/// Reads each file with a reader of its own.
pub fn read<'a>(
    files: &Files<'_>,
    input: &'a mut (dyn Read + Send),
    sink: Sink<'a>,
    messages: &'a mut (dyn Write + Send),
) -> io::Result<End> {
    let input = Mutex::new(Some(input));
    let printer = Printer::new(sink, messages);
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores.min(files.paths.len()) {
            scope.spawn(|| work(files, &input, &next, &printer));
        }
    });
    printer.end()
}

/// One worker: takes files until there are none, or the output fails.
fn work(
    files: &Files<'_>,
    input: &Mutex<Option<&mut (dyn Read + Send)>>,
    next: &AtomicUsize,
    printer: &Printer<'_>,
) {
    let mut stream = Stream::new(files.reader());
    loop {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        let Some(path) = files.paths.get(turn) else { return };
        stream.restart(files.reader());
        let mut lane = Lane { printer, turn, calls: Vec::new(), gave: Yield::Nothing };
        let opened = source::open(path, &mut locked(input), files.bar);
        if lane.read(&mut stream, opened, path).is_err() {
            return;
        }
    }
}

/// One file on its way to the printer. Dropping it passes the turn on, also after a panic, so
/// that nobody waits for ever.
struct Lane<'p, 's> {
    printer: &'p Printer<'s>,
    turn: usize,
    calls: Vec<FinishedCall>,
    gave: Yield,
}

impl Lane<'_, '_> {
    fn read(
        &mut self,
        stream: &mut Stream,
        opened: Result<Opened<'_>, Fault>,
        path: &Path,
    ) -> io::Result<()> {
        let read = stream.read(opened, self)?;
        let faults_after = stream.finish(self)?;
        self.gave = read.gave;
        self.print()?;
        self.printer.in_turn(self.turn, |state| {
            report(state.messages, path, &read.faults)?;
            report(state.messages, path, &faults_after)
        })
    }

    fn print(&mut self) -> io::Result<()> {
        let calls = &mut self.calls;
        self.printer.in_turn(self.turn, |state| calls.drain(..).try_for_each(|call| state.sink.receive(call)))
    }
}

impl Receiver for Lane<'_, '_> {
    fn receive(&mut self, call: FinishedCall) -> io::Result<()> {
        self.calls.push(call);
        if self.calls.len() < LANE_CALLS { Ok(()) } else { self.print() }
    }
}

impl Drop for Lane<'_, '_> {
    fn drop(&mut self) {
        // An error here is an error of the output, which the printer keeps.
        let _ = self.printer.in_turn(self.turn, |state| {
            state.tally.add(self.gave);
            Ok(())
        });
        self.printer.pass_turn();
    }
}

/// The output, used by one lane after the other.
struct Printer<'s> {
    state: Mutex<State<'s>>,
    turned: Condvar,
}

struct State<'s> {
    turn: usize,
    sink: Sink<'s>,
    messages: &'s mut (dyn Write + Send),
    tally: Tally,
    /// The first error of the output; it ends the replay.
    error: Option<io::Error>,
}

impl<'s> Printer<'s> {
    fn new(sink: Sink<'s>, messages: &'s mut (dyn Write + Send)) -> Self {
        let state = State { turn: 0, sink, messages, tally: Tally::default(), error: None };
        Self { state: Mutex::new(state), turned: Condvar::new() }
    }

    /// Waits until it is the turn of `turn`, then uses the output. After a failure of any lane all
    /// get an error at once; the first one is kept for [`Printer::end`].
    fn in_turn(&self, turn: usize, using: impl FnOnce(&mut State<'s>) -> io::Result<()>) -> io::Result<()> {
        let waiting = |state: &mut State<'_>| state.turn != turn && state.error.is_none();
        let state = self.turned.wait_while(locked(&self.state), waiting);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.error.is_some() {
            return Err(io::Error::other("the output failed before"));
        }
        using(&mut state).map_err(|err| {
            state.error = Some(err);
            self.turned.notify_all();
            io::Error::other("the output failed")
        })
    }

    fn pass_turn(&self) {
        locked(&self.state).turn += 1;
        self.turned.notify_all();
    }

    fn end(self) -> io::Result<End> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.error {
            Some(err) => Err(err),
            None => state.tally.end(state.sink, state.messages),
        }
    }
}

/// A panic of another worker is passed on when the threads are joined, not here.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
