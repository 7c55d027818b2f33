//! The page `docs/accuracy.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::accuracy::{Measured, Reader, Reading, families, lessons};
use crate::truth::{EXTRA, FIELDS, MISSING};

/// The page for these captures; `command` is how it was made.
pub fn page(measured: &[Measured], command: &str) -> String {
    let parts = [
        head(measured, command),
        summary(measured),
        by_family(measured),
        lessons::section(measured),
        by_scenario(measured),
    ];
    parts.join("\n")
}

/// The fields that a reading has wrong, in the order of [`FIELDS`], under short names.
pub fn wrong(readings: &[&Reading]) -> String {
    let faults: BTreeSet<&str> =
        readings.iter().flat_map(|reading| reading.faults()).map(|fault| fault.field.as_str()).collect();
    let fields = kinds().filter(|field| faults.contains(field)).map(short);
    fields.collect::<Vec<_>>().join(", ")
}

fn head(measured: &[Measured], command: &str) -> String {
    let calls: usize = measured.iter().map(Measured::calls).sum();
    let rows: usize = measured.iter().map(|one| one.rows.len()).sum();
    let inside = measured.iter().filter(|one| one.calls() == 0).count();
    format!(
        "# Accuracy

Calls as ami2amo reports them, and as they come out of Asterisk's own CDR, compared with what people did. This page is
printed by

    {command}

and `tests/accuracy.rs` holds the one in the repository to what is measured:

* {captures} captures of the lab's Asterisks: {versions};
* {calls} calls with somebody outside, and {rows} CDR rows;
* {inside} of the captures are of people inside alone: there no call is to be reported.

The truth was written by the scripts that played the people; the rows are what the same Asterisk wrote in the same
minutes. [tests/captures](../tests/captures/README.md) has all of it, and the rules of comparison.

* **ami2amo**: `replay` of the manager port's stream, with no configuration unless the capture's folder has one.
* **CDR, the usual way** (`tests/support/cdr/usual.rs`), as reports and simple connectors read it: every row with a
  provider's channel is a call; inbound if that is `channel`, else outbound; number `src` or `dst`; answered if the
  disposition is ANSWERED; talk `billsec`, wait the rest of `duration`; responsible the extension in the other channel's
  name.
* **CDR, carefully** (`tests/support/cdr/careful.rs`), as well as the rows allow: rows grouped by the closure over
  `uniqueid`, `linkedid` and the channels that they have at the same time; one call per outside party; Local channels
  followed to the phone behind; talk only where an answered row joins the party to one of ours, from the first such
  moment to the last; the rows of others who rang, and a phone's own row, used for the time of the answer; pickups,
  transfers and forwards told from answers that were none.

Both readers of CDR are told what rows do not say: the providers' names, the PBX's own number, the shape of extensions.
`recording` is not compared for them: there is no column for it. ami2amo and the careful reader were both written with
these captures at hand.
",
        captures = measured.len(),
        versions = versions(measured),
    )
}

/// `520 of Asterisk 22, 97 of Asterisk 16`
fn versions(measured: &[Measured]) -> String {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for one in measured {
        *versions.entry(one.truth["asterisk"].as_str().unwrap_or("?")).or_default() += 1;
    }
    let each = versions.iter().rev().map(|(version, count)| format!("{count} of Asterisk {version}"));
    each.collect::<Vec<_>>().join(", ")
}

fn summary(measured: &[Measured]) -> String {
    let captures = measured.len();
    let calls: usize = measured.iter().map(Measured::calls).sum();
    let count = |matches: fn(&Reading) -> bool| {
        move |reader| measured.iter().filter(|one| matches(one.reading(reader))).count()
    };
    let sum = |count: fn(&Reading) -> usize| {
        move |reader| measured.iter().map(|one| count(one.reading(reader))).sum::<usize>()
    };
    let mut text = format!("## Summary\n\n{}", header("", "---"));
    text += &line(&format!("**captures wholly right**, of {captures}"), |reader| {
        format!("**{}**", count(Reading::is_right)(reader))
    });
    text += &line("captures right in what an entry in a CRM has ¹", |reader| {
        count(Reading::is_right_for_crm)(reader).to_string()
    });
    text += &line(&format!("calls wholly right, of {calls}"), |reader| {
        sum(Reading::right_calls)(reader).to_string()
    });
    text += &line("calls right in what an entry in a CRM has ¹", |reader| {
        sum(Reading::right_calls_for_crm)(reader).to_string()
    });
    for field in kinds() {
        let label = match field {
            MISSING => "calls missing".to_owned(),
            EXTRA => "calls too many".to_owned(),
            field => format!("`{field}` wrong, calls"),
        };
        text += &line(&label, |reader| wrong_count(measured, reader, field));
    }
    text += "\n¹ Direction, number, answered, responsible, status, talk.

A capture is right when every call in it is, none is missing and none is too many. Seconds may differ by one. Where a
reader has several calls for one, that with the fewest faults is compared, and the others are too many.\n";
    text
}

fn wrong_count(measured: &[Measured], reader: Reader, field: &str) -> String {
    if field == "recording" && reader != Reader::Ami2amo {
        return "–".to_owned();
    }
    let faults = measured.iter().flat_map(|one| one.reading(reader).faults());
    faults.filter(|fault| fault.field == field).count().to_string()
}

fn by_family(measured: &[Measured]) -> String {
    let mut text = "## By kind of scenario\n\nCaptures wholly right; in brackets, right in what an entry in a CRM has.\n\n"
        .to_owned();
    text += &header("| captures ", "---|--:");
    for family in families::names() {
        let of_family: Vec<_> = measured.iter().filter(|one| families::of(&one.scenario) == family).collect();
        if of_family.is_empty() {
            continue;
        }
        text += &line(&format!("{family} | {}", of_family.len()), |reader| {
            let right = |matches: fn(&Reading) -> bool| {
                of_family.iter().filter(|one| matches(one.reading(reader))).count()
            };
            format!("{} ({})", right(Reading::is_right), right(Reading::is_right_for_crm))
        });
    }
    text
}

fn by_scenario(measured: &[Measured]) -> String {
    let mut text = "## Scenario by scenario

`right`: in every capture of the scenario. Else how many are right, if any, and what is wrong in the others.\n"
        .to_owned();
    for family in families::names() {
        let mut scenarios: BTreeMap<&str, Vec<&Measured>> = BTreeMap::new();
        for one in measured.iter().filter(|one| families::of(&one.scenario) == family) {
            scenarios.entry(&one.scenario).or_default().push(one);
        }
        if scenarios.is_empty() {
            continue;
        }
        text += &format!("\n### {family}\n\n{}", header("| captures ", "---|--:"));
        for (scenario, captures) in scenarios {
            text += &line(&format!("{scenario} | {}", captures.len()), |reader| cell(&captures, reader));
        }
    }
    text
}

fn cell(captures: &[&Measured], reader: Reader) -> String {
    let readings: Vec<_> = captures.iter().map(|one| one.reading(reader)).collect();
    let right = readings.iter().filter(|reading| reading.is_right()).count();
    match right {
        all if all == readings.len() => "right".to_owned(),
        0 => wrong(&readings),
        some => format!("{some} right; {}", wrong(&readings)),
    }
}

fn header(before: &str, rule: &str) -> String {
    let names = Reader::ALL.map(Reader::name).join(" | ");
    format!("| {before}| {names} |\n|{rule}|---|---|---|\n")
}

fn line(label: &str, cell: impl Fn(Reader) -> String) -> String {
    let mut line = format!("| {label} ");
    for reader in Reader::ALL {
        write!(line, "| {} ", cell(reader)).expect("a string takes everything");
    }
    line + "|\n"
}

/// All that can be wrong.
fn kinds() -> impl Iterator<Item = &'static str> {
    [MISSING, EXTRA].into_iter().chain(FIELDS)
}

fn short(field: &str) -> String {
    field.trim_end_matches("_seconds").replace('_', " ")
}
