//! `ami2amo pause` and `ami2amo resume`: delivery stands still, calls are followed and stored meanwhile.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::call::id::AccountId;
use crate::cli::filters::account_name;
use crate::cli::language::LanguageArgs;
use crate::cli::queue::Config;
use crate::cli::reach::{Reach, who};
use crate::ops::calls::{PauseOrder, page};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Of this amoCRM account [default: of all]
    #[arg(long, value_name = "NAME", value_parser = account_name)]
    account: Option<AccountId>,
    /// Why: `status` shows it, and the log has it
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    language: LanguageArgs,
}

/// Stops delivery, or lets it go on.
///
/// # Errors
/// When nobody answers, there is no such account, or the output cannot be used.
pub fn run(stop: bool, args: &Args, Config(named, default): Config<'_>) -> anyhow::Result<ExitCode> {
    let language = args.language.language();
    let mut reach = Reach::find(named, default, Some(language))?;
    let accounts = match &args.account {
        Some(account) => vec![account.clone()],
        None => reach.accounts()?,
    };
    for account in accounts {
        let order = PauseOrder { account: account.clone(), by: who(), why: args.why.clone() };
        let changed = reach.pause(stop, order)?;
        writeln!(io::stdout(), "{}", page::paused(&account, stop, changed, language))
            .context("cannot print")?;
    }
    Ok(ExitCode::SUCCESS)
}
