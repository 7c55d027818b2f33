//! `ami2amo check`: each check on a line, and what to do. `--number` and `--sides` show what the rules
//! make of a number and of the endpoints in captures.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::call::policy::Policy;
use crate::call::record::Direction;
use crate::cli::EX_CONFIG;
use crate::cli::language::{self, LanguageArgs};
use crate::config;
use crate::config::check::{self, Finding, Grade};
use crate::config::surroundings::Host;
use crate::ops::screen::{Line, Style};
use crate::ops::words::Language;
use crate::ops::{number, screen};

mod certificates;
mod records;
mod sides;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Ask nobody; without it, PBXs with TLS are asked for their certificate, and nothing else is asked
    #[arg(long, conflicts_with_all = ["number", "sides"])]
    offline: bool,
    /// Show what the number rules make of a telephone number
    #[arg(long, value_name = "NUMBER", conflicts_with = "sides")]
    number: Option<String>,
    /// Of a call of this direction [default: both]
    #[arg(long, value_enum, value_name = "DIRECTION", requires = "number")]
    direction: Option<Way>,
    /// Show which endpoints of captures are trunks and which are phones, with the evidence
    #[arg(long, value_name = "CAPTURE", num_args = 1..)]
    sides: Vec<PathBuf>,
    /// One JSON object per endpoint, for tools
    #[arg(long, requires = "sides")]
    json: bool,
    #[command(flatten)]
    language: LanguageArgs,
}

/// A direction that outside numbers have.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Way {
    Inbound,
    Outbound,
}

/// Checks what is asked for: the configuration that is `named` or stands at `default`, a number, or
/// the endpoints of captures.
///
/// # Errors
/// When a file cannot be read, or the findings cannot be printed.
pub fn run(args: &Args, named: Option<&Path>, default: &Path) -> anyhow::Result<ExitCode> {
    if let Some(number) = &args.number {
        return check_number(number, args, &Rules::find(named, default)?);
    }
    if !args.sides.is_empty() {
        return sides::run(&args.sides, args.json, args.language.language(), Rules::find(named, default)?);
    }
    let path = named.unwrap_or(default);
    let file = config::read(path, &Host::Look)?;
    let asked = if args.offline { Vec::new() } else { check::encrypted(&file, &Host::Look) };
    let (mut findings, config) = check::examine(file, &Host::Look);
    findings.extend(certificates::look(asked)?);
    if let Some(config) = config.filter(|_| !args.offline) {
        findings.extend(records::look(&config.setup.pbxs)?);
    }
    print(&mut io::stdout().lock(), path, &findings).context("cannot print")?;
    Ok(match findings.iter().map(|finding| finding.grade).max() {
        Some(Grade::Fail) => ExitCode::from(EX_CONFIG),
        Some(Grade::Down) => ExitCode::FAILURE,
        Some(Grade::Warn | Grade::Ok) | None => ExitCode::SUCCESS,
    })
}

/// The rules for calls, and the file that they come from.
struct Rules {
    policy: Policy,
    path: Option<PathBuf>,
}

impl Rules {
    /// Those of the named configuration, else of the daemon's where there is one that can be read, else
    /// the defaults.
    fn find(named: Option<&Path>, default: &Path) -> Result<Self, config::Error> {
        let of =
            |file: config::file::File, path: &Path| Self { policy: file.calls, path: Some(path.to_owned()) };
        match (named, config::read(named.unwrap_or(default), &Host::Look)) {
            (None, Err(config::Error::Unreadable { .. })) => {
                Ok(Self { policy: Policy::default(), path: None })
            }
            (_, file) => Ok(of(file?, named.unwrap_or(default))),
        }
    }

    /// Says which rules these are.
    fn title(&self, language: Language) -> Line {
        Line::new(
            Style::Faint,
            match &self.path {
                Some(path) => {
                    format!("{} {}", language.pick("by the rules of", "по правилам из"), path.display())
                }
                None => language.pick("by the default rules", "по правилам по умолчанию").to_owned(),
            },
        )
    }
}

fn check_number(number: &str, args: &Args, rules: &Rules) -> anyhow::Result<ExitCode> {
    let language = args.language.language();
    let directions = match args.direction {
        Some(Way::Inbound) => &[Direction::Inbound][..],
        Some(Way::Outbound) => &[Direction::Outbound],
        None => &[Direction::Inbound, Direction::Outbound],
    };
    let mut lines = vec![rules.title(language)];
    lines.extend(number::page(number, directions, &rules.policy, language));
    let mut output = io::stdout().lock();
    let text = screen::page(&lines, language::paint(&output));
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

fn print(output: &mut impl Write, path: &Path, findings: &[Finding]) -> io::Result<()> {
    writeln!(output, "{:<4}  {}: the form is right", Grade::Ok, path.display())?;
    for finding in findings {
        writeln!(output, "{:<4}  {}: {}", finding.grade, finding.place, finding.text)?;
        if !finding.advice.is_empty() {
            writeln!(output, "      → {}", finding.advice)?;
        }
    }
    writeln!(output, "      the rights at the PBX, and amoCRM, were not asked for")?;
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
                        \x20     the rights at the PBX, and amoCRM, were not asked for\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}
