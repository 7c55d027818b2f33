//! `ami2amo repair`: what the PBX's records have and the store has not, and the other way round; and puts
//! what is missing into the outbox.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::runtime::Builder;

use crate::call::id::PbxName;
use crate::call::policy::Policy;
use crate::call::record::FinishedCall;
use crate::cdr::calls::Known;
use crate::cdr::compare::{self, Comparison};
use crate::cdr::fetch::{self, Fetched};
use crate::cdr::range::Range;
use crate::cli::Usage;
use crate::cli::language::{self, LanguageArgs};
use crate::cli::moment::moment;
use crate::cli::repair::stock::{Purpose, Stock};
use crate::config::check::{self, Grade};
use crate::config::file::File;
use crate::config::surroundings::Host;
use crate::config::{self, Cdr};
use crate::ops::repair::{self, Begin};
use crate::ops::screen;
use crate::ops::words::{Language, looking};
use crate::time::{HostTime, PbxTime};
use crate::{clock, replay};

mod stock;

/// Which calls are looked at, and what is done about them.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Calls that ended since then: 2026-11-28T07:00:00Z, '2026-11-28 07:00' (UTC), or so long ago: 3h or -3h,
    /// '1h 30m', 30d, 2w
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    /// … and until then
    #[arg(long, value_name = "TIME", default_value = "0s", allow_hyphen_values = true)]
    to: String,
    /// Of this PBX [default: all that have a table [pbx.cdr]]
    #[arg(long, value_name = "NAME", value_parser = replay::pbx_name)]
    pbx: Option<PbxName>,
    /// Put the missing calls into the outbox; the daemon must not run
    #[arg(long, conflicts_with = "dry_run")]
    enqueue: bool,
    /// Change nothing: so it is without --enqueue
    #[arg(long)]
    dry_run: bool,
    /// One JSON object per difference, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    language: LanguageArgs,
}

/// A call that is under way at the edge of the time is known by either side a little earlier.
const EDGE: Duration = Duration::from_mins(5);

/// Nothing has ended later than this after now, by any clock that is nearly right.
const AHEAD: Duration = Duration::from_hours(1);

/// So much is read through whatever there is in it.
const LONG: Duration = Duration::from_hours(24);

/// Runs the comparison by the configuration at `config`; everything was read and there is no difference, or
/// all that was missing was stored: 0, else 1.
///
/// # Errors
/// When the line, the configuration, the records, the store or the output cannot be used.
pub fn run(args: &Args, config: &Path) -> anyhow::Result<ExitCode> {
    let language = args.language.language();
    let now = clock::host();
    let range = range(args, now)?;
    let file = config::read(config, &Host::Look)?;
    let policy = Arc::new(file.judgement());
    let sources = sources(&file, args, config)?;
    let purpose = if args.enqueue { Purpose::Enqueue } else { Purpose::Look };
    let stock = Stock::find(&file.store.dir, purpose, now)?;
    if let Some(obstacle) = stock.obstacle() {
        if args.enqueue {
            bail!(repair::cannot_enqueue(obstacle, language));
        }
        tell(&looking::as_of_journal(obstacle, language))?;
    }
    let mut clean = true;
    for (pbx, cdr) in sources {
        let (range, mut found) = compare_one(&pbx, &cdr, &stock, &policy, range, args)?;
        let stored = args.enqueue.then(|| enqueue(&stock, &found)).transpose()?;
        let mut output = io::stdout().lock();
        let text = if args.json {
            repair::json(&pbx, &found, stored.unwrap_or(0))?
        } else {
            screen::page(&repair::page(&pbx, range, &found, stored, language), language::paint(&output))
        };
        output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("cannot print")?;
        if stored.is_some() {
            found.missing.retain(|call| call.ids.is_empty());
        }
        clean &= found.is_clean();
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(text: &str) -> anyhow::Result<()> {
    writeln!(io::stderr(), "ami2amo: {text}").context("cannot print")
}

/// Where the records are of the PBXs that are meant.
fn sources(file: &File, args: &Args, config: &Path) -> anyhow::Result<Vec<(PbxName, Cdr)>> {
    if let Some(name) = args.pbx.as_ref().filter(|name| file.pbx.iter().all(|pbx| pbx.name != **name)) {
        let names: Vec<_> = file.pbx.iter().map(|pbx| pbx.name.as_str()).collect();
        let names = names.join(", ");
        bail!(Usage(format!("there is no PBX \"{name}\" in the configuration; it has {names}")));
    }
    let (findings, sources) = check::records(file, args.pbx.as_ref(), &Host::Look);
    for finding in findings.iter().filter(|finding| finding.grade == Grade::Warn) {
        tell(&finding.to_string())?;
    }
    Ok(sources.ok_or_else(|| config::Error::Wrong { path: config.to_owned(), findings })?)
}

/// Of the time for which there are records, which is told where it is shorter.
fn compare_one(
    pbx: &PbxName,
    cdr: &Cdr,
    stock: &Stock<'_>,
    policy: &Arc<Policy>,
    range: Range,
    args: &Args,
) -> anyhow::Result<(Range, Comparison)> {
    let language = args.language.language();
    let since = stock.since()?;
    if range.from < since {
        let text = repair::forgotten(&args.from, since, language);
        if args.enqueue {
            bail!(Usage(text));
        }
        tell(&text)?;
    }
    let live = stock.live(pbx)?;
    let known = Known { pbx, policy, endpoints: &live.endpoints };
    let fetched = fetch(cdr, known, range);
    let (begin, fetched) = fetched.with_context(|| format!("cannot read the records of \"{pbx}\""))?;
    if let Some(text) = repair::begin(pbx, begin, language) {
        tell(&text)?;
    }
    let range = match begin {
        Begin::Before | Begin::Nowhere => range,
        Begin::At(begin) => Range { from: begin.min(range.to), ..range },
    };
    tell_unread(&fetched, language)?;
    let Fetched { calls, unread, unusable, .. } = fetched;
    let stored = stock.stored(pbx, range, &calls)?;
    let found = compare::compare(calls, &stored.records, &stored.open, range);
    let files = u64::try_from(unread.len()).unwrap_or(u64::MAX);
    Ok((range, Comparison { unread: unusable.saturating_add(files), ..found }))
}

/// Reads no hour in which there are no records yet.
fn fetch(cdr: &Cdr, known: Known<'_>, range: Range) -> anyhow::Result<(Begin, Fetched)> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let fetched = runtime.block_on(async {
        let last = PbxTime::from_micros(range.to.micros().saturating_sub(micros(LONG)));
        let begin = if range.from >= last { Begin::Before } else { begin(cdr, range).await? };
        let from = match begin {
            Begin::Before => range.from,
            Begin::At(begin) => begin.min(range.to),
            Begin::Nowhere => last,
        };
        let read = Range { from, ..range }.widened(EDGE);
        let fetched = fetch::calls(&cdr.source, cdr.cel.as_ref(), known, read).await.whole()?;
        anyhow::Ok((begin, fetched))
    });
    // A file on a server that is gone is waited for by a thread that nobody can end.
    runtime.shutdown_background();
    fetched
}

async fn begin(cdr: &Cdr, range: Range) -> anyhow::Result<Begin> {
    Ok(match cdr.source.oldest().await? {
        Some(oldest) if oldest <= range.from => Begin::Before,
        Some(oldest) => Begin::At(oldest),
        None => Begin::Nowhere,
    })
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn tell_unread(fetched: &Fetched, language: Language) -> anyhow::Result<()> {
    let files = fetched.unread.iter().map(|file| looking::unread(&file.to_string(), language));
    let events = fetched.unread_events.iter();
    let events = events.map(|events| looking::unread_events(&events.to_string(), language));
    files.chain(events).try_for_each(|told| tell(&told))
}

/// Stores what is missing and cannot be stored already under an id that the records have not; returns how
/// many were new.
fn enqueue(stock: &Stock<'_>, found: &Comparison) -> anyhow::Result<usize> {
    let calls: Vec<FinishedCall> = found.storable().map(|missing| missing.call.clone()).collect();
    stock.enqueue(calls)
}

fn range(args: &Args, now: HostTime) -> anyhow::Result<Range> {
    let (from, to) = (moment(&args.from, now)?, moment(&args.to, now)?);
    let to = to.min(PbxTime::from_micros(now.micros()).after(AHEAD));
    if from >= to {
        bail!(Usage(format!("--from {} is not before --to {}, or lies ahead", args.from, args.to)));
    }
    Ok(Range { from, to })
}
