//! The command line: what can be asked, and with which exit code it ends.
//!
//! 0 done, 1 failed, 2 wrong usage, 78 wrong configuration (`EX_CONFIG`: systemd does not restart
//! into it). A reader of our output that went away (`| head`) is no failure.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::config;
use crate::ops::log::{self as logging, Format};
use crate::outbox::store::pbxs;

mod auth;
mod calls;
mod capture;
mod check;
mod completions;
mod explain;
mod filters;
mod forget;
mod language;
mod log;
mod moment;
mod pause;
mod queue;
mod reach;
mod reload;
mod repair;
mod replay;
mod run;
mod shadow;
mod socket;
mod status;
mod store;
mod terminal;
mod transfer;

/// Delivers the calls of an Asterisk PBX to amoCRM / Kommo.
#[derive(Clone, Debug, Parser)]
#[command(name = "ami2amo", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// The configuration [default: /etc/ami2amo/ami2amo.toml; for captures: none]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Form of the log lines, before the configuration's
    #[arg(long, global = true, value_name = "FORMAT", value_enum)]
    log_format: Option<Format>,

    /// Short for 'replay --dry-run [OPTIONS] FILE…': print the calls in captures, post and store nothing
    #[arg(long)]
    dry_run: bool,

    #[arg(hide = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Follow the PBX and deliver its calls: the daemon
    Run,
    /// Print the calls in captures of the manager port
    Replay(crate::replay::Args),
    /// Record what a PBX sends, for replay, or take the people out of such a capture
    Capture(capture::Args),
    /// Show what happened in a call, why, and whether it is in amoCRM
    Explain(explain::Args),
    /// Compare the PBX's call detail records with the stored calls, and store those that are missing
    Repair(repair::Args),
    /// Check the configuration before the daemon runs with it, a number, or the sides in captures
    Check(check::Args),
    /// Show how the running daemon fares, what is wrong and what to do
    Status(status::Args),
    /// Show the calls in progress: who rings, who talks, since when
    Calls(calls::Args),
    /// List calls that wait or cannot be delivered, try them again, give them up, move them to another store
    Queue(queue::Args),
    /// List stored calls, whatever became of them
    History(queue::List),
    /// Show how calls of shadow mode compare with what another connector wrote in amoCRM
    Shadow(shadow::Args),
    /// Stop delivery for a while; calls are followed and stored all the same
    Pause(pause::Args),
    /// Go on with delivery
    Resume(pause::Args),
    /// Show or change the level of the running daemon's log, or print how to find a number in it
    Log(log::Args),
    /// Let the daemon read its configuration again, and say what came of it
    Reload(reload::Args),
    /// Take a person's number out of all that is stored
    Forget(forget::Args),
    /// Print what a shell needs to complete command lines
    Completions(completions::Args),
    /// Exchange an integration's code for tokens, or show which token there is and until when
    Auth(auth::Args),
}

/// Where the daemon's configuration is, unless `--config` says otherwise.
const CONFIG: &str = "/etc/ami2amo/ami2amo.toml";

/// The configuration cannot be used.
const EX_CONFIG: u8 = 78;

/// What was asked for cannot be, whatever the configuration says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Runs a command line to its end and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = Cli::read(arguments.into_iter().collect());
    let (cli, command) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            drop(error.print()); // a closed standard error leaves nobody to tell
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let config = cli.config.as_deref().unwrap_or(Path::new(CONFIG));
    let asked = queue::Config(cli.config.as_deref(), Path::new(CONFIG));
    let outcome = match command {
        Command::Run => run::run(config, cli.log_format).map(|()| ExitCode::SUCCESS),
        Command::Replay(args) => quiet_log().and_then(|()| replay::run(&args, cli.config.as_deref())),
        Command::Capture(args) => {
            quiet_log().and_then(|()| capture::run(&args, cli.config.as_deref(), Path::new(CONFIG)))
        }
        Command::Explain(args) => {
            quiet_log().and_then(|()| explain::run(&args, cli.config.as_deref(), Path::new(CONFIG)))
        }
        Command::Repair(args) => {
            quiet_log().and_then(|()| repair::run(&args, cli.config.as_deref().unwrap_or(Path::new(CONFIG))))
        }
        Command::Check(args) => check::run(&args, cli.config.as_deref(), Path::new(CONFIG)),
        Command::Status(args) => {
            quiet_log().and_then(|()| status::run(&args, cli.config.as_deref(), Path::new(CONFIG)))
        }
        Command::Calls(args) => quiet_log().and_then(|()| calls::run(&args, asked)),
        Command::Queue(args) => quiet_log().and_then(|()| queue::run(&args, asked)),
        Command::History(list) => quiet_log().and_then(|()| queue::history(&list, asked)),
        Command::Shadow(args) => quiet_log().and_then(|()| shadow::run(&args, asked)),
        Command::Pause(args) => quiet_log().and_then(|()| pause::run(true, &args, asked)),
        Command::Resume(args) => quiet_log().and_then(|()| pause::run(false, &args, asked)),
        Command::Reload(args) => {
            quiet_log().and_then(|()| reload::run(&args, cli.config.as_deref(), Path::new(CONFIG)))
        }
        Command::Forget(args) => quiet_log().and_then(|()| forget::run(&args, asked)),
        Command::Log(args) => quiet_log().and_then(|()| log::run(&args, asked)),
        Command::Completions(args) => completions::run(&args),
        Command::Auth(args) => quiet_log().and_then(|()| auth::run(&args, config)),
    };
    outcome.unwrap_or_else(|error| failure(&error))
}

impl Cli {
    /// The command that is meant. A line with `--dry-run` and without a command is one of `replay`,
    /// whatever options of it stand there.
    fn read(line: Vec<OsString>) -> Result<(Self, Command), clap::Error> {
        let is_short = line.iter().skip(1).take_while(|word| *word != "--").any(|word| word == "--dry-run");
        match Self::try_parse_from(&line) {
            Err(error) if is_short && error.kind() == ErrorKind::UnknownArgument => Self::read_short(line),
            Ok(Self { command: None, dry_run: true, .. }) => Self::read_short(line),
            parsed => parsed.and_then(Self::unfold),
        }
    }

    fn read_short(mut line: Vec<OsString>) -> Result<(Self, Command), clap::Error> {
        line.insert(1, "replay".into());
        Self::try_parse_from(line).and_then(Self::unfold)
    }

    /// The command, where it stands and fits what stands before it.
    fn unfold(mut self) -> Result<(Self, Command), clap::Error> {
        match (self.command.take(), self.dry_run, self.files.as_slice()) {
            (Some(Command::Replay(args)), dry_run, []) => {
                let args = crate::replay::Args { dry_run: dry_run || args.dry_run, ..args };
                Ok((self, Command::Replay(args)))
            }
            (Some(command), false, []) => Ok((self, command)),
            (None, _, [name, ..]) => Err(usage(&format!(
                "there is no command {}: there are {}",
                name.display(),
                Self::command_line()
                    .get_subcommands()
                    .map(clap::Command::get_name)
                    .collect::<Vec<_>>()
                    .join(", ")
            ))),
            (None, _, []) => Err(Self::help()),
            (Some(_), true, _) => Err(usage("--dry-run goes with captures: ami2amo --dry-run FILE…")),
            (Some(_), false, [_, ..]) => Err(usage("a file goes with --dry-run or with the command replay")),
        }
    }

    /// The help, as it is printed for a line without a word.
    fn help() -> clap::Error {
        let bare = Self::command_line().arg_required_else_help(true).try_get_matches_from(["ami2amo"]);
        bare.err().unwrap_or_else(|| usage("a command is missing: run, replay or check"))
    }

    fn command_line() -> clap::Command {
        <Self as CommandFactory>::command()
    }
}

fn usage(message: &str) -> clap::Error {
    Cli::command_line().error(ErrorKind::InvalidSubcommand, message)
}

/// Commands that print results log what is odd only.
fn quiet_log() -> anyhow::Result<()> {
    let filter = std::env::var(logging::VARIABLE).unwrap_or_else(|_| "warn".to_owned());
    logging::init(&filter, Format::Text)
        .with_context(|| format!("cannot set up logging ({})", logging::VARIABLE))
}

fn failure(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    drop(writeln!(io::stderr(), "ami2amo: {error:#}")); // a closed standard error leaves nobody to tell
    let is_config =
        |cause: &(dyn std::error::Error + 'static)| cause.is::<config::Error>() || cause.is::<pbxs::Error>();
    let is_config = error.chain().any(is_config);
    let is_usage = error.chain().any(<dyn std::error::Error>::is::<Usage>);
    ExitCode::from(if is_config { EX_CONFIG } else { 1 + u8::from(is_usage) })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    io.last().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
