//! The `replay` command: captures in, finished calls out, through the code of the daemon.
//!
//! Runs on the caller's thread (`--separate`: one thread per core) and touches neither network
//! nor store. The same input gives the same bytes, whatever the number of cores. Memory does not
//! grow with the length of the input.

mod bar;
mod expect;
mod separate;
mod sink;
mod source;
mod stream;
mod table;

use std::fs;
use std::io::{self, LineWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;

use crate::call::id::{self, PbxName};
use crate::call::policy::Policy;
use crate::call::record::{CallRecord, FinishedCall, Source};
use crate::call::side::Portrait;
use crate::intake::reader::Reader;
use crate::replay::expect::Comparison;
use crate::replay::sink::{Requests, Sink};
use crate::replay::source::Fault;
use crate::replay::stream::{Receiver, Stream, Yield};

/// Reads captures of the manager port and prints the calls in them.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Args {
    /// Say aloud that nothing is posted and nothing is stored
    #[arg(long)]
    pub dry_run: bool,
    /// Name of the PBX that the captures come from; it is part of every call id
    #[arg(long, value_name = "NAME", default_value_t, value_parser = pbx_name)]
    pub pbx: PbxName,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// With --format amocrm: print too what would be posted if amoCRM knew none of the numbers
    #[arg(long)]
    pub unknown_numbers: bool,
    /// Compare the calls with those in a file that --format jsonl wrote, and show what differs: then the exit
    /// code is 1
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "unknown_numbers"])]
    pub expect: Option<PathBuf>,
    /// Take each file alone, not as parts of one stream; uses all cores
    #[arg(long)]
    pub separate: bool,
    /// Show no progress bar
    #[arg(long, short)]
    pub quiet: bool,
    /// Captures (plain, gzip or zstd) of one PBX, oldest first; '-' is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Format {
    /// A line per call for people, and totals
    #[default]
    Table,
    /// A JSON object per call
    Jsonl,
    /// The JSON array of each request to amoCRM, one per line; an account's calls are in requests of their own
    Amocrm,
    /// Nothing but the number of calls and a digest of the JSON lines, on standard error
    None,
}

/// What a replay is connected to, so that tests bring their own.
pub struct Surroundings<'a> {
    /// Standard input, read for the file name `-`.
    pub input: &'a mut (dyn Read + Send),
    pub output: &'a mut (dyn Write + Send),
    /// Standard error: warnings and the last line of [`Format::None`].
    pub messages: &'a mut (dyn Write + Send),
    /// Columns of the terminal behind `output`; `None` when it is none.
    pub columns: Option<usize>,
    /// Standard error is a terminal: long inputs get a progress bar.
    pub progress: bool,
    /// Most calls in one request of [`Format::Amocrm`], as the configuration says.
    pub batch_max: usize,
    /// Makes the request body for at most `batch_max` calls of one account, and the lines after it.
    pub request: &'a mut (dyn FnMut(&[CallRecord]) -> Vec<u8> + Send),
}

/// How a replay ended; each file that gave less than all had its message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Every file was read to its end.
    AllRead,
    /// At least one file gave nothing, or could not be read to its end, or the calls are not those that
    /// were expected: exit code 1.
    SomeFailed,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("cannot read the expected calls in {}", path.display())]
    Expected { path: PathBuf, source: io::Error },
    #[error("the expected calls in {}", path.display())]
    NoExpectation { path: PathBuf, source: expect::Error },
}

/// Prints the calls of `args.files`, judged by `policy`.
///
/// A file that cannot be read is reported on `messages` and the others are read all the same. A
/// reader of `output` that went away (`| head`) ends the replay without an error.
///
/// # Errors
/// When the output cannot be written, or the expected calls cannot be read.
pub fn run(args: &Args, policy: Arc<Policy>, around: Surroundings<'_>) -> Result<End, Error> {
    let Surroundings { input, output, messages, columns, progress, batch_max, request } = around;
    let bar = if progress && !args.quiet { bar::over(&args.files) } else { ProgressBar::hidden() };
    let mut output = bar::Polite::new(output, bar.clone());
    // Whole lines only: the bar is drawn anew between two writes.
    let mut messages = LineWriter::new(bar::Polite::new(messages, bar.clone()));
    if args.dry_run {
        writeln!(messages, "dry run: nothing is posted, nothing is stored").map_err(Error::Output)?;
    }
    let comparison = args.expect.as_deref().map(expected).transpose()?;
    let sink = match comparison {
        Some(comparison) => Sink::comparing(comparison, &mut output),
        None => Sink::new(args.format, &mut output, columns, Requests { most: batch_max, write: request }),
    };
    let files = Files { pbx: &args.pbx, policy, paths: &args.files, bar: &bar };
    let read = if args.separate { separate::read } else { read_as_one };
    let end = read(&files, input, sink, &mut messages);
    bar.finish_and_clear();
    match end {
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(End::AllRead),
        end => end.map_err(Error::Output),
    }
}

fn expected(path: &Path) -> Result<Comparison, Error> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|source| Error::Expected { path: path.to_owned(), source })?;
    Comparison::read(&text).map_err(|source| Error::NoExpectation { path: path.to_owned(), source })
}

/// The input of one run.
struct Files<'a> {
    pbx: &'a PbxName,
    policy: Arc<Policy>,
    paths: &'a [PathBuf],
    bar: &'a ProgressBar,
}

impl Files<'_> {
    fn reader(&self) -> Reader {
        Reader::new(self.pbx.clone(), Source::Replay, Arc::clone(&self.policy))
    }
}

/// Captures of one PBX for another command than `replay`.
pub struct Captures<'a> {
    pub files: &'a [PathBuf],
    pub pbx: &'a PbxName,
    pub policy: Arc<Policy>,
    /// Standard input, read for the file name `-`.
    pub input: &'a mut (dyn Read + Send),
    /// Where is said what is wrong with a file.
    pub messages: &'a mut (dyn Write + Send),
}

/// What was read besides calls.
#[derive(Debug)]
pub struct Followed {
    /// Every endpoint, in the order of its first event.
    pub portraits: Vec<Portrait>,
    pub end: End,
}

impl Captures<'_> {
    /// Follows the stream to its end and hands its calls to `take`, in order of finish.
    ///
    /// # Errors
    /// Those of `take` and of the messages; a file that cannot be read is a message.
    pub fn follow(self, take: &mut dyn FnMut(FinishedCall) -> io::Result<()>) -> io::Result<Followed> {
        let Self { files, pbx, policy, input, messages } = self;
        let bar = ProgressBar::hidden();
        let files = Files { pbx, policy, paths: files, bar: &bar };
        let (stream, tally) = follow(&files, input, &mut Taker(take), messages)?;
        Ok(Followed { portraits: stream.portraits().collect(), end: tally.verdict() })
    }
}

struct Taker<'a>(&'a mut dyn FnMut(FinishedCall) -> io::Result<()>);

impl Receiver for Taker<'_> {
    fn receive(&mut self, call: FinishedCall) -> io::Result<()> {
        (self.0)(call)
    }
}

/// Reads all files as the stream of one PBX.
fn read_as_one(
    files: &Files<'_>,
    input: &mut (dyn Read + Send),
    mut sink: Sink<'_>,
    messages: &mut (dyn Write + Send),
) -> io::Result<End> {
    let (_, tally) = follow(files, input, &mut sink, messages)?;
    tally.end(sink, messages)
}

fn follow(
    files: &Files<'_>,
    input: &mut (dyn Read + Send),
    receiver: &mut dyn Receiver,
    messages: &mut (dyn Write + Send),
) -> io::Result<(Stream, Tally)> {
    let mut stream = Stream::new(files.reader());
    let mut tally = Tally::default();
    let mut input = Some(input);
    let mut previous = Path::new(""); // the first file has none before it that could be cut
    for path in files.paths {
        let opened = source::open(path, &mut input, files.bar);
        let read = stream.read(opened, receiver)?;
        tally.add(read.gave);
        report(messages, previous, &read.faults_before)?;
        report(messages, path, &read.faults)?;
        previous = path;
    }
    let faults = stream.finish(receiver)?;
    report(messages, previous, &faults)?;
    Ok((stream, tally))
}

/// Whether any file gave something, and whether any gave less than all.
#[derive(Debug, Default)]
struct Tally {
    useful: bool,
    failed: bool,
}

impl Tally {
    fn add(&mut self, gave: Yield) {
        self.useful |= gave != Yield::Nothing;
        self.failed |= gave != Yield::Whole;
    }

    /// Ends the output; where nothing at all was read, totals of nothing would only mislead.
    fn end(&self, sink: Sink<'_>, messages: &mut (dyn Write + Send)) -> io::Result<End> {
        let is_fine = !self.useful || sink.finish(messages)?;
        Ok(if is_fine { self.verdict() } else { End::SomeFailed })
    }

    fn verdict(&self) -> End {
        if self.failed { End::SomeFailed } else { End::AllRead }
    }
}

fn report(messages: &mut (dyn Write + Send), path: &Path, faults: &[Fault]) -> io::Result<()> {
    let name = if path == Path::new("-") { Path::new("standard input") } else { path };
    faults.iter().try_for_each(|fault| writeln!(messages, "ami2amo: {}: {fault}", name.display()))
}

/// Reads the name of a PBX from the command line.
///
/// # Errors
/// When the text is no name.
pub fn pbx_name(text: &str) -> Result<PbxName, id::Error> {
    PbxName::new(text)
}
