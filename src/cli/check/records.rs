//! Whether the records of each PBX can be read: a look into the file or the database.

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::cdr::source::{Error, Probe};
use crate::config::check::{Finding, Grade};
use crate::config::{Cdr, Pbx};
use crate::time::PbxTime;

/// A finding for each PBX that has a table `[pbx.cdr]`. The daemon runs without its records, so none is
/// a failure.
///
/// # Errors
/// When the system has no event queue to give.
pub(super) fn look(pbxs: &[Pbx]) -> anyhow::Result<Vec<Finding>> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let sources = pbxs.iter().filter_map(|pbx| Some((pbx, pbx.cdr.as_ref()?)));
    let records = |(pbx, Cdr { source, .. }): (&Pbx, &Cdr)| {
        let place = place(pbx);
        let (grade, text, advice) = match runtime.block_on(source.probe()) {
            Ok(probe) => of_probe(probe),
            Err(error) => {
                let text = format!("records cannot be read: {:#}", anyhow::Error::new(error));
                (Grade::Warn, text, "calls of gaps are missing until this is mended: docs/cdr.md has recipes")
            }
        };
        Finding { grade, place, text, advice: advice.to_owned() }
    };
    let events = |(pbx, cdr): (&Pbx, &Cdr)| {
        let found = runtime.block_on(cdr.source.probe_events(cdr.cel.as_ref()?));
        let (grade, text, advice) = of_events(found);
        Some(Finding { grade, place: place(pbx), text, advice: advice.to_owned() })
    };
    Ok(sources.flat_map(|each| [Some(records(each)), events(each)]).flatten().collect())
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

fn of_probe(probe: Probe) -> (Grade, String, &'static str) {
    match probe {
        Probe { newest: None, .. } => {
            let advice = "after the first call there must be some: asterisk -rx 'cdr show status'";
            (Grade::Warn, "there are no records yet".to_owned(), advice)
        }
        Probe { newest: Some(newest), linked: true } => {
            (Grade::Ok, format!("records can be read, the newest ended at {newest}"), "")
        }
        Probe { newest: Some(newest), linked: false } => {
            let text =
                format!("records can be read, the newest ended at {newest}, but they have no linkedid");
            let advice = "of a transferred call they may give several: newcdrcolumns = yes in cdr.conf, or a column linkedid";
            (Grade::Warn, text, advice)
        }
    }
}
