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
use crate::cdr::calls::{CdrCall, Known, Live};
use crate::cdr::compare::{self, Comparison};
use crate::cdr::fetch::{self, Fetched};
use crate::cdr::range::Range;
use crate::cli::language::{self, LanguageArgs};
use crate::cli::store;
use crate::config::check::{self, Grade};
use crate::config::surroundings::Host;
use crate::config::{self, Cdr, Pbx};
use crate::ops::repair;
use crate::ops::screen;
use crate::ops::words::looking;
use crate::outbox::queue::{Enqueued, Queue as _};
use crate::outbox::search::Wanted;
use crate::outbox::store::Store;
use crate::time::{HostTime, PbxTime};
use crate::{clock, replay};

/// Which calls are looked at, and what is done about them.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Calls that ended since then: 2026-11-28T07:00:00Z, '2026-11-28 07:00' (UTC), or '3h' for so long ago
    #[arg(long, value_name = "TIME")]
    from: String,
    /// … and until then
    #[arg(long, value_name = "TIME", default_value = "0s")]
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

/// Runs the comparison by the configuration at `config`; there is no difference, or all that was missing
/// was stored, and all records could be read: 0, else 1.
///
/// # Errors
/// When the configuration, the records, the store or the output cannot be used.
pub fn run(args: &Args, config: &Path) -> anyhow::Result<ExitCode> {
    let language = args.language.language();
    let range = range(args, clock::host())?;
    let file = config::read(config, &Host::Look)?;
    let (dir, policy) = (file.store.dir.clone(), Arc::new(file.calls.clone()));
    let (findings, read) = check::examine(file, &Host::Look);
    let Some(read) = read else {
        let failed = findings.iter().filter(|finding| finding.grade == Grade::Fail).map(ToString::to_string);
        bail!("{} cannot be used: {}", config.display(), failed.collect::<Vec<_>>().join("; "));
    };
    let mut clean = true;
    for (pbx, cdr) in chosen(args, &read.setup.pbxs)? {
        let (found, is_all_read) = compare_one(pbx, cdr, &dir, &policy, range, args)?;
        let stored = if args.enqueue { enqueue(&dir, &found.missing)? } else { 0 };
        let settled = found.missing.is_empty() || args.enqueue;
        clean &= is_all_read && settled && found.extra.is_empty() && found.different.is_empty();
        let mut output = io::stdout().lock();
        let text = if args.json {
            repair::json(&pbx.name, &found, stored)?
        } else {
            let page = repair::page(&pbx.name, range, &found, args.enqueue.then_some(stored), language);
            screen::page(&page, language::paint(&output))
        };
        output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("cannot print")?;
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen<'p>(args: &Args, pbxs: &'p [Pbx]) -> anyhow::Result<Vec<(&'p Pbx, &'p Cdr)>> {
    let is_meant = |pbx: &&Pbx| args.pbx.as_ref().is_none_or(|name| *name == pbx.name);
    let meant: Vec<&Pbx> = pbxs.iter().filter(is_meant).collect();
    if let (Some(name), []) = (&args.pbx, &meant[..]) {
        let names: Vec<_> = pbxs.iter().map(|pbx| pbx.name.as_str()).collect();
        bail!("there is no PBX \"{name}\" in the configuration; it has {}", names.join(", "));
    }
    let chosen: Vec<_> = meant.into_iter().filter_map(|pbx| Some((pbx, pbx.cdr.as_ref()?))).collect();
    if chosen.is_empty() {
        bail!("no table [pbx.cdr] says where the PBX's records are: docs/cdr.md has recipes");
    }
    Ok(chosen)
}

/// Returns whether all of the records could be read, too.
fn compare_one(
    pbx: &Pbx,
    cdr: &Cdr,
    dir: &Path,
    policy: &Arc<Policy>,
    range: Range,
    args: &Args,
) -> anyhow::Result<(Comparison, bool)> {
    let wide = range.widened(EDGE);
    let wanted = Wanted::Ended { pbx: pbx.name.clone(), from: wide.from, to: wide.to };
    let looked = store::look(dir, &wanted)?;
    if let Some(obstacle) = &looked.obstacle {
        if args.enqueue {
            bail!(repair::cannot_enqueue(obstacle, args.language.language()));
        }
        let told = looking::as_of_journal(obstacle, args.language.language());
        writeln!(io::stderr(), "ami2amo: {told}").context("cannot print")?;
    }
    let live = if looked.obstacle.is_none() { live(dir, &pbx.name) } else { Live::default() };
    let known = Known { pbx: &pbx.name, policy, endpoints: &live.endpoints };
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let calls = runtime.block_on(fetch::calls(&cdr.source, cdr.cel.as_ref(), known, wide));
    let Fetched { calls, unread, unread_events } =
        calls.with_context(|| format!("cannot read the records of \"{}\"", pbx.name))?;
    let language = args.language.language();
    let events = unread_events.iter().map(|events| looking::unread_events(&events.to_string(), language));
    for told in unread.iter().map(|file| looking::unread(&file.to_string(), language)).chain(events) {
        writeln!(io::stderr(), "ami2amo: {told}").context("cannot print")?;
    }
    let stored: Vec<_> = looked.search.found.into_iter().map(|found| found.call.record).collect();
    Ok((compare::compare(calls, &stored, &live.open, range), unread.is_empty()))
}

/// What the daemon wrote down of the calls in progress.
fn live(dir: &Path, pbx: &PbxName) -> Live {
    if !dir.join("queue").exists() {
        return Live::default();
    }
    let kept = Store::open_unrepaired(dir, clock::host()).ok().and_then(|store| store.checkpoints(pbx).ok());
    kept.map_or_else(Live::default, |kept| Live::read(&kept))
}

/// Stores calls; returns how many were new.
fn enqueue(dir: &Path, missing: &[CdrCall]) -> anyhow::Result<usize> {
    if missing.is_empty() {
        return Ok(0);
    }
    let opened = Store::open(dir, clock::host());
    let mut store = opened.with_context(|| format!("cannot open the store in {}", dir.display()))?;
    let calls: Vec<FinishedCall> = missing.iter().map(|missing| missing.call.clone()).collect();
    let taken = store.enqueue(calls, clock::host()).context("cannot write to the store")?;
    Ok(taken.iter().filter(|taken| matches!(taken, Enqueued::New(_))).count())
}

fn range(args: &Args, now: HostTime) -> anyhow::Result<Range> {
    let (from, to) = (moment(&args.from, now)?, moment(&args.to, now)?);
    if from >= to {
        bail!("--from {} is not before --to {}", args.from, args.to);
    }
    Ok(Range { from, to })
}

/// Reads a time: with an offset, without one (UTC), or how long ago.
fn moment(text: &str, now: HostTime) -> anyhow::Result<PbxTime> {
    let ago: Option<jiff::SignedDuration> = text.parse().ok();
    if let Some(ago) = ago.and_then(|ago| Duration::try_from(ago).ok()) {
        return Ok(PbxTime::from_micros(now.before(ago).micros()));
    }
    let at = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(time).ok()
    });
    let at = at.with_context(|| {
        format!("{text:?} is no time: write it as 2026-11-28T07:00:00Z, '2026-11-28 07:00' (UTC) or 3h")
    })?;
    Ok(PbxTime::from_micros(at.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let now = HostTime::from_micros(1_795_339_565_000_000);
        assert_eq!(moment(text, now).ok().map(|at| at.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        check("0s", Some("2026-11-22T09:26:05.000Z"));
        check("1h 30m", Some("2026-11-22T07:56:05.000Z"));
        check("2026-11-22T12:00:00+03:00", Some("2026-11-22T09:00:00.000Z"));
        check("2026-11-22 09:00", Some("2026-11-22T09:00:00.000Z"));
        check("2026-11-22", Some("2026-11-22T00:00:00.000Z"));
        check("yesterday", None);
    }
}
