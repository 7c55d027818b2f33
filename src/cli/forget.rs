//! `ami2amo forget`: takes a person's number out of all that is stored. It shows first what there is.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cli::Usage;
use crate::cli::language::{LanguageArgs, paint};
use crate::cli::queue::{Config, agreed};
use crate::cli::reach::who;
use crate::ops::forget::{self, Oblivion, Order};
use crate::ops::screen::{self, escape};
use crate::outbox::forget::{DIGITS_MIN, is_number};
use crate::outbox::queue::Phase;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The outside number, whole, in any form
    #[arg(value_name = "NUMBER", allow_hyphen_values = true)]
    number: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Give calls of the number up that wait to be sent: without it nothing is done while there are any
    #[arg(long)]
    drop_waiting: bool,
    /// JSON, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    language: LanguageArgs,
}

/// Forgets a number. It ends with 1 when calls are left that have it.
///
/// # Errors
/// When the line is wrong, calls wait that may not be given up, the person says no, nobody answers, or the output
/// cannot be used.
pub fn run(args: &Args, config: Config<'_>) -> anyhow::Result<ExitCode> {
    let language = args.language.language();
    if !is_number(&args.number) {
        let words = format!("{:?} is no whole number: {DIGITS_MIN} digits at least", args.number);
        bail!(Usage(words));
    }
    let mut reach = config.reach(language)?;
    let mut order =
        Order { number: args.number.clone(), by: who(), drop_waiting: args.drop_waiting, really: false };
    let found = reach.forget(order.clone())?;
    if !args.json {
        print(&screen::page(&forget::found(&found, language), paint(&io::stdout())))?;
    }
    let waiting = |phase: &Phase| found.done.found.get(phase).copied().unwrap_or(0);
    let waiting: u64 = [Phase::Pending, Phase::Parked].iter().map(waiting).sum();
    if waiting > 0 && !args.drop_waiting {
        bail!(forget::waiting(waiting, language));
    }
    if !args.yes {
        // A daemon may be started meanwhile.
        drop(reach);
        agreed(&forget::question(language), language)?;
        reach = config.reach_again()?;
    }
    order.really = true;
    let done = reach.forget(order)?;
    print(&if args.json {
        escape(&serde_json::to_string(&done).context("an answer has no JSON")?) + "\n"
    } else {
        screen::page(&forget::done(&done, language), paint(&io::stdout()))
    })?;
    Ok(if is_whole(&done) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_whole(done: &Oblivion) -> bool {
    done.done.left.is_empty()
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")
}
