//! `ami2amo repair`: what the PBX's records have and the store has not, and the other way round; and puts
//! what is missing into the outbox.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::runtime::Builder;

use crate::call::id::PbxName;
use crate::call::policy::Policy;
use crate::call::record::Timeline;
use crate::cdr::calls::{CdrCall, Known};
use crate::cdr::compare::{Comparison, Sum, storable};
use crate::cdr::fetch::{Fetched, Reading};
use crate::cdr::range::Range;
use crate::cdr::source::Unread;
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
    /// Put the missing calls into the outbox, and those that are not sent because they were cut short; the daemon must
    /// not run
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
    let policy = Arc::new(file.judgement_to_store());
    let sources = sources(&file, args, config)?;
    let purpose = if args.enqueue { Purpose::Enqueue } else { Purpose::Look };
    let renamed = file.pbx.iter().filter_map(|pbx| Some((pbx.name.clone(), pbx.renamed_from.clone()?)));
    let stock = Stock::find(&file.store.dir, purpose, now, renamed.collect())?;
    if let Some(obstacle) = stock.obstacle() {
        if args.enqueue {
            bail!(repair::cannot_enqueue(obstacle, language));
        }
        tell(&looking::as_of_journal(obstacle, language))?;
    }
    let mut clean = true;
    for (pbx, cdr) in sources {
        let (range, mut found, stored) = match compare_one(&pbx, &cdr, &stock, &policy, range, args) {
            Ok(compared) => compared,
            Err(error) if error.is::<Usage>() => return Err(error),
            // The records of the other PBXs may be there.
            Err(error) => {
                tell(&format!("{error:#}"))?;
                clean = false;
                continue;
            }
        };
        let stored = args.enqueue.then_some(stored);
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

/// Of the time for which there are records, which is told where it is shorter. What is missing is stored where that is
/// asked for; returns how much was.
fn compare_one(
    pbx: &PbxName,
    cdr: &Cdr,
    stock: &Stock<'_>,
    policy: &Arc<Policy>,
    range: Range,
    args: &Args,
) -> anyhow::Result<(Range, Comparison, usize)> {
    let language = args.language.language();
    let since = stock.since()?;
    if range.from < since {
        let text = repair::forgotten(&args.from, since, language);
        if args.enqueue {
            bail!(Usage(text));
        }
        tell(&text)?;
    }
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let unreadable = || format!("cannot read the records of \"{pbx}\"");
    let (begin, read) = runtime.block_on(wanted(cdr, range)).with_context(unreadable)?;
    if let Some(text) = repair::begin(pbx, begin, language) {
        tell(&text)?;
    }
    let range = match begin {
        Begin::Before | Begin::Nowhere => range,
        Begin::At(begin) => Range { from: begin.min(range.to), ..range },
    };
    let live = stock.live(pbx)?;
    let known = Known { pbx, policy, endpoints: &live.endpoints };
    let mut reading = Reading::new(&cdr.source, cdr.cel.as_ref(), known, read);
    let (mut sum, mut lacking, mut enqueued) = (Sum::default(), Lacking::default(), 0);
    while let Some((part, fetched)) = runtime.block_on(reading.next(PART)) {
        let fetched =
            fetched.whole().with_context(|| format!("{}{}", stored_before(enqueued), unreadable()))?;
        let calls = lacking.of(fetched, language)?;
        let mut stored = stock.stored(pbx, part, &calls)?;
        let wide = part;
        let part = part.meet(range).unwrap_or(NOTHING);
        if args.enqueue {
            let retold = stock.retell(&calls, &stored, part)?;
            enqueued += retold;
            if retold > 0 {
                stored = stock.stored(pbx, wide, &calls)?;
            }
        }
        let missing = sum.add(calls, &stored.records, &stored.open, part);
        if args.enqueue {
            enqueued += enqueue(stock, missing)?;
        }
        for call in missing {
            // What is told of it needs no more, and there may be very many.
            call.call.timeline = Timeline::default();
        }
    }
    // A file on a server that is gone is waited for by a thread that nobody can end.
    runtime.shutdown_background();
    Ok((range, Comparison { unread: lacking.count(), ..sum.finish() }, enqueued))
}

/// So many calls are compared at once, some 7 kB each, and those that are stored of the same time and a day around it.
const PART: usize = 10_000;

/// No call ended in it.
const NOTHING: Range = Range { from: PbxTime::from_micros(i64::MAX), to: PbxTime::from_micros(i64::MIN) };

fn stored_before(calls: usize) -> String {
    match calls {
        0 => String::new(),
        calls => format!("{calls} missing calls of the time before were put into the outbox: "),
    }
}

/// What could not be read, each told once.
#[derive(Default)]
struct Lacking {
    files: BTreeSet<Unread>,
    events: BTreeSet<Unread>,
    unusable: u64,
}

impl Lacking {
    /// Tells what is lacking of a part; the rest of it are its calls.
    fn of(&mut self, fetched: Fetched, language: Language) -> anyhow::Result<Vec<CdrCall>> {
        for file in fetched.unread {
            if !self.files.contains(&file) {
                tell(&looking::unread(&file.to_string(), language))?;
                self.files.insert(file);
            }
        }
        for events in fetched.unread_events {
            if !self.events.contains(&events) {
                tell(&looking::unread_events(&events.to_string(), language))?;
                self.events.insert(events);
            }
        }
        self.unusable = self.unusable.max(fetched.unusable);
        Ok(fetched.calls)
    }

    fn count(&self) -> u64 {
        self.unusable.saturating_add(u64::try_from(self.files.len()).unwrap_or(u64::MAX))
    }
}

/// Where the records begin, and what is read: no hour in which there are none yet.
async fn wanted(cdr: &Cdr, range: Range) -> anyhow::Result<(Begin, Range)> {
    let last = range.to.before(LONG);
    let begin = if range.from >= last { Begin::Before } else { begin(cdr, range).await? };
    let from = match begin {
        Begin::Before => range.from,
        Begin::At(begin) => begin.min(range.to),
        Begin::Nowhere => last,
    };
    Ok((begin, Range { from, ..range }.widened(EDGE)))
}

async fn begin(cdr: &Cdr, range: Range) -> anyhow::Result<Begin> {
    Ok(match cdr.source.oldest().await? {
        Some(oldest) if oldest <= range.from => Begin::Before,
        Some(oldest) => Begin::At(oldest),
        None => Begin::Nowhere,
    })
}

/// Stores what is missing and cannot be stored already under an id that the records have not; returns how
/// many were new.
fn enqueue(stock: &Stock<'_>, missing: &[CdrCall]) -> anyhow::Result<usize> {
    stock.enqueue(storable(missing).map(|missing| missing.call.clone()).collect())
}

fn range(args: &Args, now: HostTime) -> anyhow::Result<Range> {
    let (from, to) = (moment(&args.from, now)?, moment(&args.to, now)?);
    let to = to.min(PbxTime::from_micros(now.micros()).after(AHEAD));
    if from >= to {
        bail!(Usage(format!("--from {} is not before --to {}, or lies ahead", args.from, args.to)));
    }
    Ok(Range { from, to })
}
