//! What is needed of a configuration to compare the PBX's records with the store. The daemon's secrets are
//! not: systemd has taken them away when the service is stopped.

use crate::call::id::PbxName;
use crate::config::Cdr;
use crate::config::check::{Finding, Grade, Report, cdr, is_absolute, line, pbx};
use crate::config::file::File;
use crate::config::surroundings::Surroundings;

/// Checks that much of `file`; where the records of each PBX are, or of the one that is meant, is there when
/// nothing failed.
pub fn records(
    file: &File,
    only: Option<&PbxName>,
    surroundings: &impl Surroundings,
) -> (Vec<Finding>, Option<Vec<(PbxName, Cdr)>>) {
    let mut report = Report::default();
    pbx::names(&file.pbx, &mut report);
    line::all(&file.line, &line::Names::of(file), &mut report);
    is_absolute("[store]", "dir", &file.store.dir, &mut report);
    let mut found = Vec::new();
    let meant = file.pbx.iter().filter(|table| only.is_none_or(|name| *name == table.name));
    let tables: Vec<_> = meant.filter_map(|table| Some((&table.name, table.cdr.as_ref()?))).collect();
    for (name, table) in &tables {
        let failed = failures(&report);
        match cdr::table(name, table, surroundings, &mut report) {
            Some(cdr) => found.push(((*name).clone(), cdr)),
            // The daemon's own check only warns of what only the service can read.
            None if failures(&report) == failed => {
                let place = format!("[pbx.cdr] of \"{name}\"");
                let advice = "docs/cdr.md has a line for systemd-run that gives it to repair";
                report.fail(&place, "the password is needed, and only the service has it", advice);
            }
            None => {}
        }
    }
    if tables.is_empty() {
        report.fail("[pbx.cdr]", "no table says where the PBX's records are", "docs/cdr.md has recipes");
    }
    let is_right = failures(&report) == 0;
    (report.findings, is_right.then_some(found))
}

fn failures(report: &Report) -> usize {
    report.findings.iter().filter(|finding| finding.grade == Grade::Fail).count()
}
