//! The `[[line]]` tables: which calls go where.

use crate::amo::settings::TEXT_MAX;
use crate::call::id::{AccountId, PbxName};
use crate::call::line::{Line, Unknown};
use crate::config::check::Report;
use crate::config::file::File;

/// What a line may name.
pub(super) struct Names<'f> {
    pub(super) accounts: Vec<&'f AccountId>,
    pub(super) pbxs: Vec<&'f PbxName>,
}

impl<'f> Names<'f> {
    pub(super) fn of(file: &'f File) -> Self {
        let accounts = std::iter::once(&file.amocrm).chain(&file.account).map(|account| &account.name);
        Self { accounts: accounts.collect(), pbxs: file.pbx.iter().map(|pbx| &pbx.name).collect() }
    }
}

pub(super) fn all(lines: &[Line], names: &Names<'_>, report: &mut Report) {
    for (at, line) in lines.iter().enumerate() {
        let label = line.label.as_deref().map(|label| format!(" \"{label}\"")).unwrap_or_default();
        let place = format!("[[line]] number {}{label}", at + 1);
        names_exist(&place, line, names, report);
        texts(&place, line, report);
        if line.unknown.outbound == Some(Unknown::Unsorted) {
            let advice =
                "take \"park\", \"contact\", \"lead\" or \"drop\": Incoming leads are for calls to us";
            report.fail(&place, "unknown.outbound is \"unsorted\"", advice);
        }
        if [line.pipeline, line.stage].contains(&Some(0)) {
            report.fail(
                &place,
                "pipeline or stage is 0",
                "their ids stand in the addresses of amoCRM's pages",
            );
        }
        if line.stage.is_some() && line.pipeline.is_none() {
            report.fail(&place, "stage without pipeline", "a stage is one of a pipeline: name both");
        }
        if at + 1 < lines.len() && fits_all(line) {
            let advice = "give it a did, trunk, context, account-code, tenant or pbx, or let it be the last";
            report.warn(&place, "it fits every call: the lines after it never count", advice);
        }
    }
}

fn names_exist(place: &str, line: &Line, names: &Names<'_>, report: &mut Report) {
    if let Some(account) = line.account.as_ref().filter(|account| !names.accounts.contains(account)) {
        let advice = "add an [[account]] with this name, or leave account out for that of [amocrm]";
        report.fail(place, format!("there is no account \"{account}\""), advice);
    }
    for pbx in line.pbx.iter().filter(|pbx| names.pbxs.iter().all(|known| known.as_str() != *pbx)) {
        report.fail(place, format!("there is no [[pbx]] \"{pbx}\""), "take the name of a [[pbx]] table");
    }
}

fn texts(place: &str, line: &Line, report: &mut Report) {
    for (key, text) in [("label", &line.label), ("source", &line.source)] {
        let is_wrong = |text: &&String| text.trim().is_empty() || text.chars().count() > TEXT_MAX;
        if text.as_ref().as_ref().is_some_and(is_wrong) {
            report.fail(place, format!("{key} is blank or too long"), "1 to 255 characters are needed");
        }
    }
}

fn fits_all(line: &Line) -> bool {
    let Line { did, trunk, context, account_code, tenant, pbx, .. } = line;
    [did, trunk, context, account_code, tenant, pbx].into_iter().all(Vec::is_empty)
}
