//! `ami2amo replay`: connects a replay with the standard streams.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use crate::call::record::CallRecord;
use crate::cli::replay::requests::Requests;
use crate::cli::terminal;
use crate::clock;
use crate::config;
use crate::config::file::File;
use crate::config::surroundings::Host;
use crate::daemon::memory::Unwritten;
use crate::outbox::finder;
use crate::replay::{self, Args, End, Format, Surroundings};

mod callbacks;
mod requests;

/// Replays captures. No configuration is needed; of one that is named, the policy, what amoCRM is
/// told and the size of a request count, and its secrets and folders are left alone.
///
/// # Errors
/// When the named configuration has a mistake, and when the output cannot be written.
pub fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = match config {
        Some(path) => config::read(path, &Host::Look)?,
        None => File::default(),
    };
    let accounts = std::iter::once(&config.amocrm).chain(&config.account).cloned().collect();
    let mut requests = Requests::new(accounts, args.unknown_numbers, finder::look, clock::utc_offset());
    let mut request = |records: &[CallRecord]| requests.lines(records);
    let (mut input, mut output, mut messages) = (io::stdin(), io::stdout(), io::stderr());
    let around = Surroundings {
        columns: output.is_terminal().then(terminal::size).flatten().map(|(columns, _)| columns),
        progress: messages.is_terminal(),
        input: &mut input,
        output: &mut output,
        messages: &mut messages,
        batch_max: config.delivery.batch_size.get(),
        request: &mut request,
    };
    // What the command line and the configuration needed is not needed any more.
    Unwritten::find().trim(false, clock::mono());
    let end = replay::run(args, Arc::new(config.judgement()), around)?;
    if args.format == Format::Amocrm && !config.hook.before_send.is_empty() {
        let words = "[hook] before-send is not run by a replay: it may change these calls, or keep them away";
        writeln!(messages, "{words}").context("cannot print")?;
    }
    let owners = requests.owners();
    if owners > 0 {
        let words =
            "missed calls would be booked on the owners of their contacts, and a replay asks nobody for them";
        writeln!(messages, "{owners} {words}").context("cannot print")?;
    }
    Ok(match end {
        End::AllRead => ExitCode::SUCCESS,
        End::SomeFailed => ExitCode::FAILURE,
    })
}
