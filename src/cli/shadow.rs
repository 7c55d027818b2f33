//! `ami2amo shadow`: how the calls of shadow mode compare with what another connector wrote in amoCRM.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::call::id::AccountId;
use crate::cli::filters::account_name;
use crate::cli::language::{LanguageArgs, paint};
use crate::cli::moment::moment;
use crate::cli::queue::Config;
use crate::clock;
use crate::ops::screen::{self, escape};
use crate::ops::shadow::{self, LIMIT, Question};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Of this amoCRM account
    #[arg(long, value_name = "NAME", value_parser = account_name)]
    account: Option<AccountId>,
    /// Calls that began since then: 2026-11-28T07:00:00Z, '2026-11-28 07:00' (UTC), or 3h, 7d for so long ago
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// … and before then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// List as many calls and notes that are not the same, the newest [at most 1000]
    #[arg(long, value_name = "COUNT", default_value_t = LIMIT)]
    limit: usize,
    /// JSON, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    language: LanguageArgs,
}

/// Prints the report.
///
/// # Errors
/// When a time is none, nobody answers, or the output cannot be used.
pub fn run(args: &Args, config: Config<'_>) -> anyhow::Result<ExitCode> {
    let language = args.language.language();
    let now = clock::host();
    let time = |text: &Option<String>| text.as_ref().map(|text| moment(text, now)).transpose();
    let question = Question {
        account: args.account.clone(),
        from: time(&args.from)?,
        to: time(&args.to)?,
        limit: Some(args.limit),
    };
    let report = config.reach(language)?.shadow(&question)?;
    let text = if args.json {
        escape(&serde_json::to_string(&report).context("a report has no JSON")?) + "\n"
    } else {
        screen::page(&shadow::page::lines(&report, language), paint(&io::stdout()))
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}
