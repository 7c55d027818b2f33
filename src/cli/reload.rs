//! `ami2amo reload`: the running daemon reads its configuration again, and says what came of it. It is what
//! `systemctl reload` runs, and ends when the configuration counts or is refused.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::EX_CONFIG;
use crate::cli::language::LanguageArgs;
use crate::cli::reach::who;
use crate::cli::socket;
use crate::config::file::AdminTable;
use crate::ops::reload::{Order, Reloaded};
use crate::ops::screen::{clean, escape};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Print the answer as JSON, for programs
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    language: LanguageArgs,
}

/// Asks for it. It ends with 0 when the configuration counts, with 78 when it is refused.
///
/// # Errors
/// When nobody answers, or the output cannot be used.
pub fn run(args: &Args, config: Option<&Path>, default: &Path) -> anyhow::Result<ExitCode> {
    let reloaded = ask(config, default)?;
    if args.json {
        let json = serde_json::to_string(&reloaded).context("an answer has no JSON")?;
        writeln!(io::stdout(), "{}", escape(&json)).context("cannot print")?;
    } else {
        let text = of_lines(&reloaded.text(args.language.language()));
        let told = if reloaded.is_refused() {
            writeln!(io::stderr(), "ami2amo: {text}")
        } else {
            writeln!(io::stdout(), "{text}")
        };
        told.context("cannot print")?;
    }
    Ok(if reloaded.is_refused() { ExitCode::from(EX_CONFIG) } else { ExitCode::SUCCESS })
}

/// Without what could play with the terminal; the lines stay.
fn of_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

fn ask(config: Option<&Path>, default: &Path) -> anyhow::Result<Reloaded> {
    let order = Order { by: who() };
    let post = |socket: &Path| socket::post(socket, "/v1/reload", &order);
    match socket::path(config, default) {
        Ok(socket) => Ok(post(&socket)?),
        // Where the socket is cannot be read either. The service's is where it is by default, most likely: it
        // shall hear of it, and tell systemd.
        Err(wrong) if config.is_none() => post(&AdminTable::default().socket).map_err(|_| wrong),
        Err(wrong) => Err(wrong),
    }
}
