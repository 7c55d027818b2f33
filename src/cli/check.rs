//! `ami2amo check`: each check on a line, and what to do: the configuration by itself, and, without
//! `--offline`, what it names: PBXs, accounts, records, folders. `--number` and `--sides` show what the rules
//! make of a number and of the endpoints in captures; `--post` posts one call.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::call::id::AccountId;

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

mod account;
mod certificates;
mod folders;
mod online;
mod pbx;
mod post;
mod records;
mod sides;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Ask nobody; without it PBXs, amoCRM and the records are asked questions that change nothing
    #[arg(long, conflicts_with_all = ["number", "sides", "post"])]
    offline: bool,
    /// Seconds in which each PBX is listened to for events, at most
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    listen: u64,
    /// The PBX's manager.conf where it can be read here [default: /etc/asterisk/manager.conf, of a PBX on this host]
    #[arg(long, value_name = "FILE")]
    manager_conf: Option<PathBuf>,
    /// Post one call of zero seconds to the contact with this number, and print amoCRM's answer
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["number", "sides", "json"])]
    post: Option<String>,
    /// The account that the call is posted to [default: that of \[amocrm\]]
    #[arg(long, value_name = "NAME", requires = "post", value_parser = |name: &str| AccountId::new(name))]
    account: Option<AccountId>,
    /// Show what the number rules make of a telephone number
    #[arg(long, value_name = "NUMBER", conflicts_with = "sides")]
    number: Option<String>,
    /// Of a call of this direction [default: both]
    #[arg(long, value_enum, value_name = "DIRECTION", requires = "number")]
    direction: Option<Way>,
    /// Show which endpoints of captures are trunks and which are phones, with the evidence
    #[arg(long, value_name = "CAPTURE", num_args = 1..)]
    sides: Vec<PathBuf>,
    /// One JSON object per check or endpoint, for tools
    #[arg(long, conflicts_with = "number")]
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
    if let Some(number) = &args.post {
        return post::run(number, args.account.as_ref(), path, args.language.language());
    }
    let (findings, asked) = examine(args, path)?;
    print(&mut io::stdout().lock(), path, &findings, asked, args).context("cannot print")?;
    Ok(match findings.iter().map(|finding| finding.grade).max() {
        Some(Grade::Fail) => ExitCode::from(EX_CONFIG),
        Some(Grade::Down) => ExitCode::FAILURE,
        Some(Grade::Warn | Grade::Ok) | None => ExitCode::SUCCESS,
    })
}

/// Whether what the configuration names was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    All,
    /// As it was wanted.
    Nobody,
    /// The configuration cannot be used, or a secret is only the service's.
    Unable,
}

fn examine(args: &Args, path: &Path) -> anyhow::Result<(Vec<Finding>, Asked)> {
    let file = config::read(path, &Host::Look)?;
    let encrypted = if args.offline { Vec::new() } else { check::encrypted(&file, &Host::Look) };
    let (mut findings, config) = check::examine(file, &Host::Look);
    findings.extend(certificates::look(encrypted)?);
    if args.offline {
        return Ok((findings, Asked::Nobody));
    }
    let Some(config) = config else { return Ok((findings, Asked::Unable)) };
    let language = args.language.language();
    findings.extend(records::look(&config.setup.pbxs)?);
    findings.extend(folders::look(&config, language));
    let listen = Duration::from_secs(args.listen);
    let manner = online::Manner { listen, manager_conf: args.manager_conf.as_deref(), language };
    findings.extend(online::look(&config, &manner)?);
    Ok((findings, Asked::All))
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

/// A finding for tools; keys are only ever added.
#[derive(Serialize)]
struct Told<'a> {
    v: u32,
    grade: String,
    place: &'a str,
    text: &'a str,
    /// What to do; its lines are lines of a file where it is a map of users.
    advice: &'a str,
}

fn print(
    output: &mut impl Write,
    path: &Path,
    findings: &[Finding],
    asked: Asked,
    args: &Args,
) -> io::Result<()> {
    let language = args.language.language();
    if args.json {
        for Finding { grade, place, text, advice } in findings {
            let told = Told { v: 1, grade: grade.to_string(), place, text, advice };
            writeln!(output, "{}", screen::escape(&serde_json::to_string(&told)?))?;
        }
        return output.flush();
    }
    let form = language.pick("the form is right", "форма верна");
    writeln!(output, "{:<4}  {}: {form}", Grade::Ok, path.display())?;
    for finding in findings {
        writeln!(output, "{:<4}  {}: {}", finding.grade, finding.place, finding.text)?;
        for (at, line) in finding.advice.lines().enumerate() {
            writeln!(output, "      {} {line}", if at == 0 { "→" } else { " " })?;
        }
    }
    let unasked = match asked {
        Asked::All => return output.flush(),
        Asked::Nobody => language.pick("the PBX and amoCRM were not asked", "АТС и amoCRM не опрашивались"),
        Asked::Unable => language.pick(
            "the PBX and amoCRM were not asked: mend the above first; a secret that only the service has can be given \
             in AMI2AMO_AMI_SECRET",
            "АТС и amoCRM не опрашивались: сначала исправьте указанное; секрет, который есть только у службы, можно \
             дать в AMI2AMO_AMI_SECRET",
        ),
    };
    writeln!(output, "      {unasked}")?;
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
        let findings = [finding(Grade::Ok, ""), finding(Grade::Fail, "do it\nand this")];
        let printed = |line: &str| {
            let line = format!("check --language en {line}");
            let args = <Args as clap::Args>::augment_args(clap::Command::new("check"))
                .get_matches_from(line.split_whitespace());
            let args = <Args as clap::FromArgMatches>::from_arg_matches(&args).unwrap();
            let mut output = Vec::new();
            print(&mut output, Path::new("/a.toml"), &findings, Asked::Nobody, &args).unwrap();
            String::from_utf8(output).unwrap()
        };
        let expected = "ok    /a.toml: the form is right\nok    [store]: text\nfail  [store]: text\n      → do it\n\
                        \x20       and this\n      the PBX and amoCRM were not asked\n";
        assert_eq!(printed(""), expected);
        let last = r#"{"v":1,"grade":"fail","place":"[store]","text":"text","advice":"do it\nand this"}"#;
        assert_eq!(printed("--json").lines().last(), Some(last));
    }
}
