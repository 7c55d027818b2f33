//! `ami2amo check`: each check on a line, and what to do.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::EX_CONFIG;
use crate::config;
use crate::config::check::{self, Finding, Grade};
use crate::config::surroundings::Host;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Ask neither the PBX nor amoCRM; this version asks them in no case
    #[arg(long)]
    offline: bool,
}

/// Checks the configuration `path` and prints what was found.
///
/// # Errors
/// When the file cannot be read, or the findings cannot be printed.
pub fn run(_args: &Args, path: &Path) -> anyhow::Result<ExitCode> {
    let file = config::read(path, &Host::Look)?;
    let (findings, _) = check::examine(file, &Host::Look);
    print(&mut io::stdout().lock(), path, &findings).context("cannot print")?;
    Ok(match findings.iter().map(|finding| finding.grade).max() {
        Some(Grade::Fail) => ExitCode::from(EX_CONFIG),
        Some(Grade::Down) => ExitCode::FAILURE,
        Some(Grade::Warn | Grade::Ok) | None => ExitCode::SUCCESS,
    })
}

fn print(output: &mut impl Write, path: &Path, findings: &[Finding]) -> io::Result<()> {
    writeln!(output, "{:<4}  {}: the form is right", Grade::Ok, path.display())?;
    for finding in findings {
        writeln!(output, "{:<4}  {}: {}", finding.grade, finding.place, finding.text)?;
        if !finding.advice.is_empty() {
            writeln!(output, "      → {}", finding.advice)?;
        }
    }
    writeln!(output, "      the PBX and amoCRM were not asked")?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_and_what_to_do_is_another() {
        let finding = |grade, advice: &str| Finding {
            grade,
            place: "[store]".to_owned(),
            text: "text".to_owned(),
            advice: advice.to_owned(),
        };
        let findings = [finding(Grade::Ok, ""), finding(Grade::Fail, "do it")];
        let mut output = Vec::new();
        print(&mut output, Path::new("/a.toml"), &findings).unwrap();
        let expected = "ok    /a.toml: the form is right\nok    [store]: text\nfail  [store]: text\n      → do it\n\
                        \x20     the PBX and amoCRM were not asked\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}
