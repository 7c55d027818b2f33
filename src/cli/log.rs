//! `ami2amo log`: the level of the running daemon's log, and how to find a number in it.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::call::phone::{self, Rules};
use crate::call::record::Direction;
use crate::cli::Usage;
use crate::cli::language::LanguageArgs;
use crate::cli::queue::Config;
use crate::cli::reach::who;
use crate::cli::socket::{self, Error};
use crate::config::surroundings::Host;
use crate::config::{self, file::File};
use crate::ops::log::parse;
use crate::ops::log::words::{self, FOR_MAX, Name, Order, Shown};
use crate::ops::screen::escape;
use crate::outbox::store::log_key;
use crate::time::span::Span;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// error, warn, info, debug, trace or off, or a list of parts such as `info,ami2amo::ami=debug` [default: show it]
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
    /// Go back to the level of the start after this time, a day at most: 10m, 2h [default: at the next start]
    #[arg(long = "for", value_name = "TIME", value_parser = time, requires = "level")]
    lasts: Option<Span>,
    /// Set the level of the start again
    #[arg(long, conflicts_with_all = ["level", "phone"])]
    reset: bool,
    /// Print the command that shows all lines of this number, which are in the log without it
    #[arg(long, value_name = "NUMBER", conflicts_with = "level", allow_hyphen_values = true)]
    phone: Option<String>,
    /// JSON, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    language: LanguageArgs,
}

/// Shows or changes the level, or tells under which name a number stands.
///
/// # Errors
/// When the line is wrong, no daemon answers, the key of names cannot be read, or the output cannot be used.
pub fn run(args: &Args, config: Config<'_>) -> anyhow::Result<ExitCode> {
    let text = match &args.phone {
        Some(number) => named(number, args.json, config)?,
        None => level(args, config)?,
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

fn level(args: &Args, Config(named, default): Config<'_>) -> anyhow::Result<String> {
    if let Some(Err(error)) = args.level.as_deref().map(parse) {
        bail!(Usage(error.to_string()));
    }
    let socket = socket::path(named, default)?;
    let shown: Shown = if args.level.is_some() || args.reset {
        let for_seconds = args.lasts.map(|lasts| lasts.duration().as_secs());
        socket::post(&socket, "/v1/log", &Order { level: args.level.clone(), for_seconds, by: who() })?
    } else {
        socket::get(&socket, "/v1/log", &[])?
    };
    if args.json {
        return Ok(escape(&serde_json::to_string(&shown).context("an answer has no JSON")?));
    }
    Ok(words::line(&shown.now, args.language.language()))
}

/// Inbound and outbound calls may have the number in different forms: all are meant.
fn named(number: &str, json: bool, Config(named, default): Config<'_>) -> anyhow::Result<String> {
    let file = match config::read(named.unwrap_or(default), &Host::Look) {
        Ok(file) => Some(file),
        // Whoever may not read it, for the secrets in it, may still ask the daemon.
        Err(config::Error::Unreadable { .. }) if named.is_none() => None,
        Err(error) => return Err(error.into()),
    };
    let rules = file.as_ref().map(|file| file.judgement().numbers).unwrap_or_default();
    let forms = forms(number, &rules);
    if forms.is_empty() {
        bail!(Usage(format!("{number:?} is no number")));
    }
    let socket = socket::path(named, default)?;
    let names: BTreeSet<String> =
        forms.iter().map(|form| name(form, &socket, file.as_ref())).collect::<anyhow::Result<_>>()?;
    let names: Vec<String> = names.into_iter().collect();
    if json {
        return serde_json::to_string(&names).context("an answer has no JSON");
    }
    Ok(words::recipe(&names))
}

fn forms(number: &str, rules: &Rules) -> BTreeSet<String> {
    let directions = [Direction::Inbound, Direction::Outbound];
    let digits = directions.map(|direction| phone::apply(number, direction, rules).0.digits);
    digits.into_iter().filter(|digits| !digits.is_empty()).collect()
}

/// The daemon knows it; while it is down, whoever may read the store's key.
fn name(digits: &str, socket: &Path, file: Option<&File>) -> anyhow::Result<String> {
    const NO_KEY: &str = "there is no key of numbers' names in the log: the daemon makes one in its store at its start; see its log";
    let asked = [("number".to_owned(), digits.to_owned())];
    let name = match (socket::get::<Name>(socket, "/v1/log/name", &asked), file) {
        (Ok(answer), _) => answer.phone_hash,
        (Err(Error::Down { .. }), Some(file)) => {
            log_key::read(&file.store.dir)?.and_then(|key| key.name(digits))
        }
        (Err(error), _) => return Err(error.into()),
    };
    name.context(NO_KEY)
}

fn time(text: &str) -> Result<Span, String> {
    let span = Span::try_from(text.to_owned()).map_err(|error| error.to_string())?;
    if (1..=FOR_MAX).contains(&span.duration().as_secs()) {
        Ok(span)
    } else {
        Err("1s at least, 24h at most".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_named_in_the_forms_that_records_have() {
        let rules = Rules::default();
        let one = BTreeSet::from(["79161234568".to_owned()]);
        for written in ["+7 916 123-45-68", "89161234568", "9161234568", "79161234568"] {
            assert_eq!(forms(written, &rules), one, "{written}");
        }
        assert!(forms("anonymous", &rules).is_empty());
    }

    #[test]
    fn a_level_lasts_a_day_at_most() {
        assert!(time("10m").is_ok() && time("24h").is_ok());
        for wrong in ["0s", "25h", "10", "1d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
