//! `ami2amo queue export` and `queue import`: calls out of one store, and into another.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::call::id::AccountId;
use crate::cli::filters::Filters;
use crate::cli::language::LanguageArgs;
use crate::cli::queue::{Config, QUEUED};
use crate::cli::reach::{Reach, who};
use crate::clock;
use crate::ops::calls::Question;
use crate::ops::screen::escape;
use crate::ops::transfer::{Coming, LINE_MAX, Line, PIECE};
use crate::outbox::queue::Item;
use crate::outbox::store::transfer::Arrival;

#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    language: LanguageArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Import {
    /// What `queue export` wrote; '-' for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// One JSON object per call, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    language: LanguageArgs,
}

/// Bytes that are taken from standard input, which is kept in memory: some 80,000 calls.
const INPUT_MAX: u64 = 256 << 20;

/// Bytes that are gathered of the store before they are written, and a piece more: some 5,000 calls.
const OUTPUT_MAX: usize = 16 << 20;

/// Writes the calls that are meant to standard output, the oldest first; how many is told beside.
///
/// # Errors
/// When the line is wrong, nobody answers, or the output cannot be used.
pub fn export(args: &Export, config: Config<'_>) -> anyhow::Result<ExitCode> {
    let mut question = args.filters.question(QUEUED, PIECE, clock::host())?;
    let language = args.language.language();
    let mut reach = Some(config.reach(language)?);
    let bar = if io::stdout().is_terminal() { ProgressBar::hidden() } else { counter(None) };
    let mut count = 0_u64;
    loop {
        let mut text = String::new();
        let from = reach.take().map_or_else(|| config.reach_again(), Ok)?;
        let is_more = gather(&from, &mut question, &mut text, &mut count)?;
        // Who reads may take an hour for it: meanwhile the store is left to a daemon that is started.
        drop(from);
        print(&text)?;
        bar.set_position(count);
        if !is_more {
            break;
        }
    }
    bar.finish_and_clear();
    tell(&language.pick(format!("calls written: {count}"), format!("записано звонков: {count}")))?;
    Ok(ExitCode::SUCCESS)
}

/// Adds the lines of the next calls; whether there are more.
fn gather(
    reach: &Reach,
    question: &mut Question,
    text: &mut String,
    count: &mut u64,
) -> anyhow::Result<bool> {
    loop {
        let part = reach.export(question)?;
        for item in part.calls {
            *text += &escape(&serde_json::to_string(&Line::new(item)).context("a call has no JSON")?);
            text.push('\n');
            *count += 1;
        }
        question.after = part.next;
        // The daemon may be asked often, but the store takes its time to be opened.
        let is_enough = matches!(reach, Reach::Daemon(_)) || text.len() >= OUTPUT_MAX;
        if part.next.is_none() || is_enough {
            return Ok(part.next.is_some());
        }
    }
}

/// Takes the calls of a file in. Every line is read before the first call is stored.
///
/// # Errors
/// When a line is wrong: it is named, and nothing was stored. When nobody answers, or the store fails: how far
/// it came is said, and the same command goes on from there.
pub fn import(args: &Import, config: Config<'_>) -> anyhow::Result<ExitCode> {
    let language = args.language.language();
    let source = Source::of(&args.file)?;
    let mut reach = config.reach(language)?;
    let accounts = reach.accounts()?;
    let mut total = 0_u64;
    source.each(&accounts, |_| {
        total += 1;
        Ok(())
    })?;
    let bar = counter(Some(total));
    let mut taken = Taken { piece: Vec::new(), new: 0, known: 0, json: args.json };
    let outcome = source.each(&accounts, |item| {
        taken.piece.push(item);
        if taken.piece.len() == PIECE { taken.hand_over(&mut reach, &bar) } else { Ok(()) }
    });
    let outcome = outcome.and_then(|()| taken.hand_over(&mut reach, &bar));
    bar.finish_and_clear();
    let Taken { new, known, .. } = taken;
    outcome.with_context(|| {
        let done = new + known;
        language.pick(
            format!(
                "{done} of {total} calls were handed over, and stay; the same command goes on from there"
            ),
            format!("передано {done} из {total}, это сохранено; та же команда продолжит с этого места"),
        )
    })?;
    if !args.json {
        let text = language.pick(
            format!("calls: {total}; taken in: {new}; known before and left alone: {known}\n"),
            format!("звонков: {total}; принято: {new}; уже известны и не тронуты: {known}\n"),
        );
        print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the lines come from; they are read twice.
enum Source {
    File(PathBuf),
    Input(Vec<u8>),
}

impl Source {
    fn of(file: &Path) -> anyhow::Result<Self> {
        if file != Path::new("-") {
            return Ok(Self::File(file.to_owned()));
        }
        let mut bytes = Vec::new();
        let read = io::stdin().lock().take(INPUT_MAX + 1).read_to_end(&mut bytes);
        read.context("cannot read standard input")?;
        if bytes.len() as u64 > INPUT_MAX {
            bail!("standard input has more than {} MiB: save it in a file, and name that", INPUT_MAX >> 20);
        }
        Ok(Self::Input(bytes))
    }

    /// Gives each call to `take`, in order.
    fn each(
        &self,
        accounts: &[AccountId],
        mut take: impl FnMut(Item) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut input, name): (Box<dyn BufRead + '_>, String) = match self {
            Self::Input(bytes) => (Box::new(Cursor::new(bytes)), "standard input".to_owned()),
            Self::File(path) => {
                let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
                (Box::new(BufReader::new(file)), path.display().to_string())
            }
        };
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let limit = LINE_MAX as u64 + 2;
            let read = (&mut input).take(limit).read_until(b'\n', &mut line);
            if read.with_context(|| format!("cannot read {name}"))? == 0 {
                break;
            }
            let text = line.trim_ascii();
            if text.is_empty() && line.ends_with(b"\n") {
                continue;
            }
            let item = Line::read(text, accounts).with_context(|| format!("{name}, line {number}"))?;
            take(item)?;
        }
        Ok(())
    }
}

/// What was handed over so far, and what is about to be.
struct Taken {
    piece: Vec<Item>,
    new: u64,
    known: u64,
    json: bool,
}

impl Taken {
    fn hand_over(&mut self, reach: &mut Reach, bar: &ProgressBar) -> anyhow::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let calls = std::mem::take(&mut self.piece);
        let arrived = reach.import(Coming { calls, by: who() })?;
        let mut text = String::new();
        for (call, arrival) in arrived.arrivals {
            match arrival {
                Arrival::New => self.new += 1,
                Arrival::Known => self.known += 1,
            }
            let object = serde_json::json!({"call_id": call, "verdict": arrival});
            text += &(escape(&object.to_string()) + "\n");
        }
        bar.set_position(self.new + self.known);
        if self.json { print(&text) } else { Ok(()) }
    }
}

/// A bar on standard error, where that is a terminal.
fn counter(total: Option<u64>) -> ProgressBar {
    let template = if total.is_some() { "{pos} of {len} [{wide_bar}] {eta}" } else { "{spinner} {pos}" };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_style(ProgressStyle::with_template(template).expect("the templates are constants that parse"))
}

fn tell(text: &str) -> anyhow::Result<()> {
    writeln!(io::stderr(), "ami2amo: {text}").context("cannot print")
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")
}
