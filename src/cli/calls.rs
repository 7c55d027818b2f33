//! `ami2amo calls`: the calls in progress, as the running daemon sees them; once, or again and again.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::runtime::Builder;

use crate::call::id::PbxName;
use crate::cli::language::{LanguageArgs, paint};
use crate::cli::queue::Config;
use crate::cli::{Usage, socket, terminal};
use crate::clock;
use crate::ops::live::{Live, page};
use crate::ops::screen::{self, Line, Style, escape};
use crate::replay;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Look again each second, until ^C: on a terminal, or as a line of JSON
    #[arg(short, long)]
    follow: bool,
    /// JSON, one object for each look, for tools
    #[arg(long)]
    json: bool,
    /// Of this PBX [default: of all]
    #[arg(long, value_name = "NAME", value_parser = replay::pbx_name)]
    pbx: Option<PbxName>,
    #[command(flatten)]
    language: LanguageArgs,
}

/// How often `--follow` looks.
const EVERY: Duration = Duration::from_secs(1);

/// Goes to the upper left corner; clears the rest of a line, and what is below.
const HOME: &str = "\u{1b}[H";
const REST_OF_LINE: &str = "\u{1b}[K";
const REST_OF_SCREEN: &str = "\u{1b}[J";

/// Lines of a terminal that does not say how many it has.
const LINES: usize = 24;

/// Prints the calls in progress. Only the daemon knows of them: without one there is no answer.
///
/// # Errors
/// When nobody answers, there is no such PBX, or the output cannot be used.
pub fn run(args: &Args, Config(named, default): Config<'_>) -> anyhow::Result<ExitCode> {
    if args.follow && !args.json && !io::stdout().is_terminal() {
        let words =
            "--follow draws on a terminal, and standard output is none: add --json for a line each second";
        bail!(Usage(words.to_owned()));
    }
    let socket = socket::path(named, default)?;
    if !args.follow {
        print(&shown(args, &ask(args, &socket)?)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = Builder::new_current_thread().enable_time().build().context("cannot start the runtime")?;
    loop {
        let next = clock::mono().after(EVERY);
        if args.json {
            print(&shown(args, &ask(args, &socket)?)?)?;
        } else {
            match ask(args, &socket) {
                Err(error @ socket::Error::Refused { .. }) => return Err(error.into()),
                answer => print(&screenful(args, answer))?,
            }
        }
        runtime.block_on(clock::sleep_until(Some(next)));
    }
}

fn ask(args: &Args, socket: &Path) -> Result<Live, socket::Error> {
    let asked: Vec<_> = args.pbx.iter().map(|pbx| ("pbx".to_owned(), pbx.to_string())).collect();
    socket::get(socket, "/v1/live", &asked)
}

fn shown(args: &Args, live: &Live) -> anyhow::Result<String> {
    Ok(if args.json {
        escape(&serde_json::to_string(live).context("calls have no JSON")?) + "\n"
    } else {
        screen::page(&page::lines(live, args.language.language()), paint(&io::stdout()))
    })
}

/// The page in place of the one before. A daemon that is away may come back: that is shown, and asked again.
fn screenful(args: &Args, answer: Result<Live, socket::Error>) -> String {
    let lines = match answer {
        Ok(live) => page::lines(&live, args.language.language()),
        Err(error) => {
            let words = format!("! {:#}", anyhow::Error::new(error));
            Line::new(Style::Bad, words).fold(screen::WIDTH, 2)
        }
    };
    let rows = terminal::size().map_or(LINES, |(_, rows)| rows);
    in_place(&lines, rows, |line| screen::page(&[line], paint(&io::stdout())))
}

/// As many lines as there is room for, over what stands there.
fn in_place(lines: &[Line], rows: usize, print: impl Fn(Line) -> String) -> String {
    let room = rows.saturating_sub(1).max(1);
    let mut text = HOME.to_owned();
    for line in lines.iter().take(room) {
        text.push_str(print(line.clone()).trim_end_matches('\n'));
        text.push_str(REST_OF_LINE);
        text.push('\n');
    }
    text + REST_OF_SCREEN
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_the_place_of_the_one_before_and_no_more_lines_than_there_are() {
        let lines: Vec<Line> = ["a", "b", "c"].map(|text| Line::new(Style::Plain, text)).to_vec();
        let print = |line: Line| line.plain() + "\n";
        assert_eq!(in_place(&lines, 24, print), "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\nc\u{1b}[K\n\u{1b}[J");
        assert_eq!(in_place(&lines, 3, print), "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\n\u{1b}[J");
        assert_eq!(in_place(&lines, 0, print), "\u{1b}[Ha\u{1b}[K\n\u{1b}[J");
    }
}
