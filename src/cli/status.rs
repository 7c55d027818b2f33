//! `ami2amo status`: how the running daemon fares, as its admin socket tells.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::language::{LanguageArgs, paint};
use crate::cli::socket;
use crate::ops::screen::{escape, page};
use crate::ops::status::problem::Severity;
use crate::ops::status::{self, Status};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Print all of it as JSON, for programs
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    language: LanguageArgs,
}

/// What monitoring is told by the exit code, as its plugins tell it.
const WARNING: u8 = 1;
const CRITICAL: u8 = 2;

/// Prints the status. It ends with 0 when all is well, 1 when something is to be done, and 2 when calls are
/// not taken or not delivered, or no daemon answers.
///
/// # Errors
/// When the configuration or the output cannot be used.
pub fn run(args: &Args, config: Option<&Path>, default: &Path) -> anyhow::Result<ExitCode> {
    let status: Status = match socket::get(&socket::path(config, default)?, "/v1/status", &[]) {
        Ok(status) => status,
        Err(error) => {
            writeln!(io::stderr(), "ami2amo: {:#}", anyhow::Error::new(error)).context("cannot print")?;
            return Ok(ExitCode::from(CRITICAL));
        }
    };
    let text = if args.json {
        escape(&serde_json::to_string(&status).context("a status has no JSON")?) + "\n"
    } else {
        page(&status::page::lines(&status, args.language.language()), paint(&io::stdout()))
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")?;
    Ok(match status.severity() {
        None | Some(Severity::Notice) => ExitCode::SUCCESS,
        Some(Severity::Warning) => ExitCode::from(WARNING),
        Some(Severity::Critical) => ExitCode::from(CRITICAL),
    })
}
