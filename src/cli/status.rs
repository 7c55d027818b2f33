//! `ami2amo status`: how the running daemon fares, as its admin socket tells.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::language::{LanguageArgs, paint};
use crate::cli::socket;
use crate::ops::screen::page;
use crate::ops::status::{self, Status};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Print all of it as JSON, for programs
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    language: LanguageArgs,
}

/// Prints the status. It ends with 0 when all is well, and with 1 when something is to be done or no
/// daemon answers: monitoring needs no more.
///
/// # Errors
/// When the daemon does not answer.
pub fn run(args: &Args, config: Option<&Path>, default: &Path) -> anyhow::Result<ExitCode> {
    let body = socket::get(&socket::path(config, default)?, "/v1/status")?;
    let status: Status =
        serde_json::from_slice(&body).context("the daemon's answer is of another version")?;
    let text = if args.json {
        serde_json::to_string(&status).context("a status has no JSON")? + "\n"
    } else {
        page(&status::page::lines(&status, args.language.language()), paint(&io::stdout()))
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")?;
    Ok(if status.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
