//! `ami2amo queue` and `ami2amo history`: stored calls in lists, one of them, and what a person wants done
//! about them.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::call::id::CallId;
use crate::cli::Usage;
use crate::cli::explain;
use crate::cli::filters::{Filters, Limit};
use crate::cli::language::{LanguageArgs, paint};
use crate::cli::reach::{Reach, who};
use crate::cli::transfer;
use crate::clock;
use crate::ops::calls::page::{self, lines};
use crate::ops::calls::{CALLS_MAX, LIMIT_MAX, Listing, Order, Question, Row};
use crate::ops::screen::{self, escape};
use crate::ops::words::Language;
use crate::outbox::policy::MAY_BE_THERE;
use crate::outbox::queue::Phase;
use crate::outbox::schedule::person::{Deed, Verdict};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// List calls that wait, and those that cannot be delivered
    List(List),
    /// Show where one call stands, and what is or was posted
    Show(Show),
    /// Try calls again now, whatever they wait for: dead and expired ones, too
    Retry(Retry),
    /// Give calls up: they are not sent any more
    Drop(Drop),
    /// Write whole calls as JSON lines, for `queue import` at another store
    Export(transfer::Export),
    /// Take exported calls in; those that are known are left alone
    Import(transfer::Import),
}

/// Stored calls, whatever became of them.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    form: Form,
}

#[derive(Clone, Debug, clap::Args)]
struct Show {
    /// The call's id, the uniqueid of one of its channels, or a telephone number
    #[arg(value_name = "CALL")]
    call: String,
    #[command(flatten)]
    form: Form,
}

#[derive(Clone, Debug, clap::Args)]
struct Retry {
    #[command(flatten)]
    which: Which,
    /// Why: it stays with the call and in the log
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    form: Form,
}

#[derive(Clone, Debug, clap::Args)]
struct Drop {
    #[command(flatten)]
    which: Which,
    /// Why: it stays with the call and in the log
    #[arg(long, value_name = "TEXT", required = true)]
    why: String,
    #[command(flatten)]
    form: Form,
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// Ids of calls, as the lists have them
    #[arg(value_name = "CALL")]
    calls: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// How it is printed.
#[derive(Clone, Debug, clap::Args)]
struct Form {
    /// JSON, one object a line, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    language: LanguageArgs,
}

/// What waits, and what waits for a person.
pub const QUEUED: &[&str] = &["pending", "sending", "unknown", "parked", "dead"];

/// Where a configuration is: one that was named, and the usual one.
#[derive(Clone, Copy, Debug)]
pub struct Config<'c>(pub Option<&'c Path>, pub &'c Path);

impl Config<'_> {
    pub(super) fn reach(self, language: Language) -> anyhow::Result<Reach> {
        Reach::find(self.0, self.1, Some(language))
    }

    /// As [`Self::reach`], after a while in which the store was left to a daemon that may have been started.
    pub(super) fn reach_again(self) -> anyhow::Result<Reach> {
        Reach::find(self.0, self.1, None)
    }
}

/// Runs `ami2amo queue …`; it ends with 1 when something could not be done that was asked for.
///
/// # Errors
/// When the line is wrong, nobody answers, or the output cannot be used.
pub fn run(args: &Args, config: Config<'_>) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::List(list) => listed(list, QUEUED, config),
        Command::Show(show) => shown(show, config),
        Command::Retry(Retry { which, why, form }) => {
            step_in(Deed::Retry, which, why.as_deref(), form, config)
        }
        Command::Drop(Drop { which, why, form }) => {
            step_in(Deed::Drop, which, Some(why.as_str()), form, config)
        }
        Command::Export(export) => transfer::export(export, config),
        Command::Import(import) => transfer::import(import, config),
    }
}

/// Runs `ami2amo history`.
///
/// # Errors
/// As [`run`].
pub fn history(list: &List, config: Config<'_>) -> anyhow::Result<ExitCode> {
    listed(list, &[], config)
}

fn listed(list: &List, states: &[&str], config: Config<'_>) -> anyhow::Result<ExitCode> {
    let List { filters, limit, form } = list;
    let question = filters.question(states, limit.count().min(LIMIT_MAX), clock::host())?;
    let language = form.language.language();
    let listing = config.reach(language)?.calls(&question)?;
    print(&if form.json {
        json(&listing)?
    } else {
        screen::page(&lines(&listing, language), paint(&io::stdout()))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A call a line; what is not shown is told beside.
fn json(listing: &Listing) -> anyhow::Result<String> {
    let mut text = String::new();
    for row in &listing.calls {
        text.push_str(&escape(&serde_json::to_string(row).context("a call has no JSON")?));
        text.push('\n');
    }
    if listing.more {
        writeln!(io::stderr(), "ami2amo: there are older calls: --limit, or a filter")
            .context("cannot print")?;
    }
    Ok(text)
}

fn shown(show: &Show, config: Config<'_>) -> anyhow::Result<ExitCode> {
    let Show { call, form } = show;
    let language = form.language.language();
    let explained = config.reach(language)?.explain(call)?;
    if explained.found.is_empty() {
        bail!("there is no call {call} in the store; `ami2amo history` lists those that are known");
    }
    explain::print_standing(&explained.found, config, form.json, language)?;
    Ok(ExitCode::SUCCESS)
}

fn step_in(
    deed: Deed,
    which: &Which,
    why: Option<&str>,
    form: &Form,
    config: Config<'_>,
) -> anyhow::Result<ExitCode> {
    if which.calls.is_empty() && which.filters.is_empty() {
        bail!(Usage("which calls? Name them, or give a filter: --state dead".to_owned()));
    }
    if !which.calls.is_empty() && !which.filters.is_empty() {
        bail!(Usage("name the calls, or give a filter, not both".to_owned()));
    }
    let language = form.language.language();
    let mut reach = config.reach(language)?;
    let Meant { calls, doubted } = if which.calls.is_empty() {
        let states: &[&str] = match deed {
            Deed::Retry => &["pending", "parked", "dead"],
            Deed::Drop => QUEUED,
        };
        let meant = meant(&reach, deed, &which.filters.question(states, LIMIT_MAX, clock::host())?)?;
        if !meant.calls.is_empty() && !which.yes {
            // A daemon may be started meanwhile.
            drop(reach);
            agreed(&page::question(meant.calls.len(), deed, language), language)?;
            reach = config.reach_again()?;
        }
        meant
    } else {
        Meant { calls: which.calls.iter().map(CallId::from_text).collect(), doubted: Vec::new() }
    };
    if calls.is_empty() && doubted.is_empty() && !form.json {
        print(language.pick("No calls.\n", "Звонков нет.\n"))?;
    }
    let mut all_done = doubted.is_empty();
    for call in doubted {
        tell(&call, deed, Verdict::InDoubt, form)?;
    }
    for calls in calls.chunks(CALLS_MAX) {
        let order = Order { calls: calls.to_vec(), by: who(), why: why.map(str::to_owned) };
        for (call, verdict) in reach.intervene(deed, order)?.verdicts {
            all_done &= verdict == Verdict::Done;
            tell(&call, deed, verdict, form)?;
        }
    }
    Ok(if all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(call: &CallId, deed: Deed, verdict: Verdict, form: &Form) -> anyhow::Result<()> {
    print(&if form.json {
        let object = serde_json::json!({"call_id": call, "verdict": verdict});
        escape(&object.to_string()) + "\n"
    } else {
        let line = page::verdict(call, deed, verdict, form.language.language());
        screen::page(&[line], paint(&io::stdout()))
    })
}

/// What a person's words mean.
struct Meant {
    calls: Vec<CallId>,
    /// Those that amoCRM may have: nobody who did not name them means them.
    doubted: Vec<CallId>,
}

/// The calls that a filter means: as many as one answer holds.
fn meant(reach: &Reach, deed: Deed, question: &Question) -> anyhow::Result<Meant> {
    let listing = reach.calls(question)?;
    if listing.more {
        let text = format!("ami2amo: these are the newest {LIMIT_MAX}: ask again for the others");
        writeln!(io::stderr(), "{text}").context("cannot print")?;
    }
    let is_doubted = |row: &Row| {
        let is_held_up = row.reason.as_ref().is_some_and(|reason| reason.contains(MAY_BE_THERE));
        deed == Deed::Retry && row.state == Phase::Dead && is_held_up
    };
    let (doubted, calls): (Vec<_>, Vec<_>) = listing.calls.into_iter().partition(is_doubted);
    let ids = |rows: Vec<Row>| rows.into_iter().map(|row| row.call_id).collect();
    Ok(Meant { calls: ids(calls), doubted: ids(doubted) })
}

pub(super) fn agreed(question: &str, language: Language) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        bail!(Usage(format!("{question} Nobody is there to answer: say --yes")));
    }
    write!(io::stderr(), "{question} [y/N] ").context("cannot print")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    let is_yes = ["y", "yes", "д", "да"].contains(&answer.trim().to_lowercase().as_str());
    if !is_yes {
        bail!(language.pick("nothing was changed", "ничего не изменено"));
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")
}
