//! `ami2amo explain`: finds calls in the store, in its journal or in captures, and prints what
//! happened.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::amo::settings::Settings;
use crate::call::id::{AccountId, PbxName};
use crate::call::policy::Policy;
use crate::call::record::FinishedCall;
use crate::cli::language::{self, LanguageArgs};
use crate::cli::queue::Config;
use crate::cli::socket;
use crate::cli::store::{self, Looked};
use crate::clock;
use crate::config::file::File;
use crate::config::{self, surroundings::Host};
use crate::ops::calls::Explained;
use crate::ops::explain::{self, Around};
use crate::ops::screen::{self, Paint};
use crate::ops::words::Language;
use crate::ops::words::looking::{self, Days};
use crate::outbox::courier::manner::Known;
use crate::outbox::search::{Found, Wanted, Whereabouts};
use crate::outbox::store::search::{KEPT, Search};
use crate::replay::{self, Captures, End};

/// What happened in a call, why, and what became of it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A call's id, the uniqueid of one of its channels, or a telephone number
    #[arg(value_name = "CALL", required_unless_present = "capture")]
    call: Option<String>,
    /// Look in captures and not in the store; without CALL every call of them is explained
    #[arg(long, value_name = "FILE", num_args = 1..)]
    capture: Vec<PathBuf>,
    /// Name of the PBX that the captures come from
    #[arg(long, value_name = "NAME", default_value_t, value_parser = replay::pbx_name, requires = "capture")]
    pbx: PbxName,
    /// One JSON object per call, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    language: LanguageArgs,
}

/// Explains calls of the store that the configuration `default` (or the one that is `named`) points
/// to, or of captures, which need no configuration.
///
/// # Errors
/// When the configuration, the store or the output cannot be used, and when there is no such call.
pub fn run(args: &Args, named: Option<&Path>, default: &Path) -> anyhow::Result<ExitCode> {
    let args = args.clone().with_call();
    let mut output = io::stdout().lock();
    let printer = Printer {
        paint: language::paint(&output),
        output: &mut output,
        json: args.json,
        language: args.language.language(),
        accounts: Vec::new(),
        whole: true,
        manners: BTreeMap::new(),
        printed: 0,
    };
    if args.capture.is_empty() {
        explain_stored(&args, named.unwrap_or(default), printer)
    } else {
        explain_captured(&args, named, printer)
    }
}

impl Args {
    /// `--capture FILE… CALL`: the last of several names that is no file and looks like a call is one.
    fn with_call(mut self) -> Self {
        let is_call = |last: &PathBuf| {
            let text = last.to_str().filter(|text| Wanted::is_likely(text));
            text.is_some() && !last.exists()
        };
        if self.call.is_none() && self.capture.len() > 1 && self.capture.last().is_some_and(is_call) {
            let call = self.capture.pop().and_then(|call| call.into_os_string().into_string().ok());
            self.call = call;
        }
        self
    }
}

fn explain_stored(args: &Args, config: &Path, mut printer: Printer<'_>) -> anyhow::Result<ExitCode> {
    let file = config::read(config, &Host::Look)?;
    let call = args.call.as_deref().unwrap_or_default();
    let language = printer.language;
    let looked = look(&file, call)?;
    if let Some(obstacle) = &looked.obstacle {
        tell(&looking::as_of_journal(obstacle, language))?;
    }
    if looked.search.found.is_empty() {
        let days = Days { history: KEPT.history.as_secs() / 86_400, journal: KEPT.journal_days };
        bail!(looking::not_in_store(call, &file.store.dir, days, language));
    }
    if looked.search.more > 0 {
        tell(looking::more(language))?;
    }
    printer.accounts = accounts(&file);
    printer.manners = looked.manners;
    for found in &looked.search.found {
        printer.print(found).context("cannot print")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The daemon is asked, and the store or its journal when it does not answer.
fn look(file: &File, call: &str) -> anyhow::Result<Looked> {
    let asked = [("call".to_owned(), call.to_owned())];
    match socket::get::<Explained>(&file.admin.socket, "/v1/explain", &asked) {
        Ok(Explained { found, more, mixed_batches, .. }) => {
            let manners = mixed_batches.into_iter().map(|(account, known)| (account, known.into())).collect();
            Ok(Looked { search: Search { found, more }, obstacle: None, manners })
        }
        Err(_) => store::look(&file.store.dir, &Wanted::parse(call)),
    }
}

/// Prints where calls stand and what is posted of them, without their story. It needs no configuration, and
/// says more with one.
///
/// # Errors
/// When the output cannot be used.
pub fn print_standing(
    found: &[Found],
    Config(named, default): Config<'_>,
    json: bool,
    language: Language,
) -> anyhow::Result<()> {
    let file = config::read(named.unwrap_or(default), &Host::Look).ok();
    let mut output = io::stdout().lock();
    let paint = language::paint(&output);
    let accounts = file.as_ref().map(accounts).unwrap_or_default();
    let mut printer = Printer {
        output: &mut output,
        paint,
        json,
        language,
        accounts,
        whole: false,
        manners: BTreeMap::new(),
        printed: 0,
    };
    found.iter().try_for_each(|found| printer.print(found)).context("cannot print")
}

fn accounts(file: &File) -> Vec<Settings> {
    std::iter::once(&file.amocrm).chain(&file.account).cloned().collect()
}

fn explain_captured(
    args: &Args,
    config: Option<&Path>,
    mut printer: Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let file = config.map(|path| config::read(path, &Host::Look)).transpose()?;
    let (policy, accounts) = match file {
        Some(file) => (file.judgement(), accounts(&file)),
        None => (Policy::default(), Vec::new()),
    };
    printer.accounts = accounts;
    let wanted = args.call.as_deref().map(Wanted::parse);
    let mut calls = 0;
    let mut take = |call: FinishedCall| {
        calls += 1;
        if wanted.as_ref().is_some_and(|wanted| !wanted.fits(&call.record)) {
            return Ok(());
        }
        printer.print(&Found { call, whereabouts: Whereabouts::Capture })
    };
    let captures = Captures {
        files: &args.capture,
        pbx: &args.pbx,
        policy: Arc::new(policy),
        input: &mut io::stdin(),
        messages: &mut io::stderr(),
    };
    let followed = captures.follow(&mut take).context("cannot print")?;
    match (&args.call, followed.end) {
        (Some(call), End::AllRead) if printer.printed == 0 => {
            bail!(looking::not_in_captures(call, calls, printer.language))
        }
        (_, End::AllRead) => Ok(ExitCode::SUCCESS),
        (_, End::SomeFailed) => Ok(ExitCode::FAILURE),
    }
}

/// Where pages go.
struct Printer<'a> {
    output: &'a mut dyn Write,
    paint: Paint,
    json: bool,
    language: Language,
    /// Those of the configuration, if there is one.
    accounts: Vec<Settings>,
    /// With story and reasons.
    whole: bool,
    manners: BTreeMap<AccountId, Known>,
    printed: u64,
}

impl Printer<'_> {
    fn print(&mut self, found: &Found) -> io::Result<()> {
        let account = &found.call.record.account;
        let settings = self.accounts.iter().find(|settings| settings.name == *account);
        let manner = self.manners.get(account).copied();
        let around = Around { settings, utc_offset: clock::utc_offset(), manner };
        let text = if self.json {
            explain::json(found, around, self.language)? + "\n"
        } else {
            let lines = if self.whole { explain::page } else { explain::standing };
            let page = screen::page(&lines(found, around, self.language), self.paint);
            if self.printed > 0 { format!("\n{page}") } else { page }
        };
        self.printed += 1;
        self.output.write_all(text.as_bytes())?;
        self.output.flush()
    }
}

/// A line beside the results.
fn tell(text: &str) -> anyhow::Result<()> {
    writeln!(io::stderr(), "ami2amo: {text}").context("cannot print")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[track_caller]
    fn check(line: &str, call: Option<&str>, captures: &[&str]) {
        let words = std::iter::once("explain").chain(line.split_whitespace());
        let args = Line::try_parse_from(words).unwrap().args.with_call();
        assert_eq!(args.call.as_deref(), call, "{line}");
        assert_eq!(args.capture, captures.iter().map(PathBuf::from).collect::<Vec<_>>(), "{line}");
    }

    #[test]
    fn a_call_stands_on_either_side_of_the_captures() {
        check("default-1.4", Some("default-1.4"), &[]);
        check("+79161234567 --json", Some("+79161234567"), &[]);
        check("--capture a.ami", None, &["a.ami"]);
        check("--capture a.ami b.ami", None, &["a.ami", "b.ami"]);
        check("--capture a.ami default-1795337591.4", Some("default-1795337591.4"), &["a.ami"]);
        check("--capture a.ami b.ami 79161234567", Some("79161234567"), &["a.ami", "b.ami"]);
        check("1795337591.4 --capture a.ami 79161234567", Some("1795337591.4"), &["a.ami", "79161234567"]);
        check("--capture a.ami --json", None, &["a.ami"]);
        check("--capture -", None, &["-"]);
    }

    #[test]
    fn a_call_or_a_capture_is_needed() {
        assert!(Line::try_parse_from(["explain"]).is_err());
        assert!(Line::try_parse_from(["explain", "1.4", "--pbx", "msk"]).is_err());
    }
}
