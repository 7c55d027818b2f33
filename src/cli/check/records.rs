//! Whether the records of each PBX can be read: a look into the file or the database.

use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::cdr::source::{Error, Probe};
use crate::clock;
use crate::config::check::{Finding, Grade};
use crate::config::{Cdr, Pbx};
use crate::time::PbxTime;

/// Longest question: a server that is gone answers never.
const PROBE_MAX: Duration = Duration::from_secs(15);

/// A finding for each PBX that has a table `[pbx.cdr]`. The daemon runs without its records, so none is
/// a failure.
///
/// # Errors
/// When the system has no event queue to give.
pub(super) fn look(pbxs: &[Pbx]) -> anyhow::Result<Vec<Finding>> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let sources = pbxs.iter().filter_map(|pbx| Some((pbx, pbx.cdr.as_ref()?)));
    let now = PbxTime::from_micros(clock::host().micros());
    let records = |(pbx, Cdr { source, .. }): (&Pbx, &Cdr)| {
        let place = place(pbx);
        let probed = runtime.block_on(async { tokio::time::timeout(PROBE_MAX, source.probe()).await });
        let (grade, text, advice) = match probed {
            Ok(Ok(probe)) => of_probe(probe, now),
            Err(_) => late(),
            Ok(Err(error)) => {
                let text = format!("records cannot be read: {:#}", anyhow::Error::new(error));
                (Grade::Warn, text, "calls of gaps are missing until this is mended: docs/cdr.md has recipes")
            }
        };
        Finding { grade, place, text, advice: advice.to_owned() }
    };
    let events = |(pbx, cdr): (&Pbx, &Cdr)| {
        let cel = cdr.cel.as_ref()?;
        let probed =
            runtime.block_on(async { tokio::time::timeout(PROBE_MAX, cdr.source.probe_events(cel)).await });
        let (grade, text, advice) = probed.map_or_else(|_| late(), of_events);
        Some(Finding { grade, place: place(pbx), text, advice: advice.to_owned() })
    };
    let findings = sources.flat_map(|each| [Some(records(each)), events(each)]).flatten().collect();
    // A file on a server that is gone is waited for by a thread that nobody can end.
    runtime.shutdown_background();
    Ok(findings)
}

fn late() -> (Grade, String, &'static str) {
    let text = format!("no answer within {} s", PROBE_MAX.as_secs());
    (Grade::Warn, text, "calls of gaps are missing until this is mended: is the database or the disk there?")
}

fn place(pbx: &Pbx) -> String {
    format!("[pbx.cdr] of \"{}\"", pbx.name)
}

fn of_events(found: Result<Option<PbxTime>, Error>) -> (Grade, String, &'static str) {
    match found {
        Ok(Some(newest)) => (Grade::Ok, format!("channel events can be read, the newest is of {newest}"), ""),
        Ok(None) => {
            let advice = "after the first call there must be some: asterisk -rx 'cel show status', and docs/cdr.md for cel.conf";
            (Grade::Warn, "there are no channel events yet that calls can be made of".to_owned(), advice)
        }
        Err(error) => {
            let text = format!("channel events cannot be read: {:#}", anyhow::Error::new(error));
            (Grade::Warn, text, "calls of gaps are told from the records alone: docs/cdr.md has recipes")
        }
    }
}

/// The clock of a PBX may be so far ahead of ours.
const AHEAD: Duration = Duration::from_mins(5);

fn of_probe(probe: Probe, now: PbxTime) -> (Grade, String, &'static str) {
    match probe {
        Probe { newest: None, unusable: 1.., .. } => {
            let advice = "the file must be Master.csv of cdr_csv, and not that of cdr_custom; a table must be one of CDR";
            (Grade::Warn, "none of the newest records can be read".to_owned(), advice)
        }
        Probe { newest: Some(newest), .. } if newest > now.after(AHEAD) => {
            let text = format!("the newest record ends at {newest}, which lies ahead");
            let advice = "the PBX's clock, its time zone, or the columns are other than they seem: calls of gaps are not found";
            (Grade::Warn, text, advice)
        }
        Probe { newest: Some(newest), unusable: unusable @ 1.., .. } => {
            let text = format!(
                "{unusable} of the newest records cannot be read; the last that can ended at {newest}"
            );
            (Grade::Warn, text, "something else writes there, too: calls of its lines are missing")
        }
        Probe { newest: None, .. } => {
            let advice = "after the first call there must be some: asterisk -rx 'cdr show status'";
            (Grade::Warn, "there are no records yet".to_owned(), advice)
        }
        Probe { newest: Some(newest), linked: true, .. } => {
            (Grade::Ok, format!("records can be read, the newest ended at {newest}"), "")
        }
        Probe { newest: Some(newest), linked: false, .. } => {
            let text =
                format!("records can be read, the newest ended at {newest}, but they have no linkedid");
            let advice = "of a transferred call they may give several: newcdrcolumns = yes in cdr.conf, or a column linkedid";
            (Grade::Warn, text, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(newest: Option<i64>, unusable: u64, grade: Grade, words: &str) {
        let at = |minutes: i64| PbxTime::from_micros((1_795_339_565 + minutes * 60) * 1_000_000);
        let probe = Probe { newest: newest.map(at), linked: true, unusable };
        let (found, text, _) = of_probe(probe, at(0));
        assert!(found == grade && text.contains(words), "{probe:?}: {found} {text}");
    }

    #[test]
    fn what_the_newest_records_are_like_is_told() {
        check(Some(-5), 0, Grade::Ok, "can be read");
        check(Some(3), 0, Grade::Ok, "can be read");
        check(Some(175), 0, Grade::Warn, "lies ahead");
        check(Some(-5), 3, Grade::Warn, "3 of the newest records cannot be read");
        check(None, 40, Grade::Warn, "none of the newest records can be read");
        check(None, 0, Grade::Warn, "no records yet");
    }
}
