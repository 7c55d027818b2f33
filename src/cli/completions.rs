//! `ami2amo completions`: what a shell needs to complete command lines, made from the command line itself.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// For this shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Known,
}

/// Shells that people have who run a PBX.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
///
/// # Errors
/// When the output cannot be used.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let script = script(args.shell);
    let mut out = io::stdout().lock();
    out.write_all(&script).and_then(|()| out.flush()).context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Known) -> Vec<u8> {
    let shell = match shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ami2amo", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every word that a line may have: commands and long options, of all levels.
    fn words(command: &clap::Command, into: &mut Vec<String>) {
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        into.extend(shown.filter_map(|argument| argument.get_long()).map(str::to_owned));
        for inner in command.get_subcommands() {
            into.push(inner.get_name().to_owned());
            words(inner, into);
        }
    }

    #[test]
    fn every_command_and_option_is_completed_in_every_shell() {
        let mut expected = Vec::new();
        words(&Cli::command(), &mut expected);
        assert!(expected.len() > 50 && expected.contains(&"language".to_owned()), "{expected:?}");
        for shell in [Known::Bash, Known::Zsh, Known::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            for word in &expected {
                assert!(script.contains(word.as_str()), "{shell:?}: {word}");
            }
        }
    }
}
