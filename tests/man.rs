//! The man pages have every command and every option.
#![cfg(feature = "daemon")]

#[path = "support/man.rs"]
mod man;

use std::collections::BTreeMap;

use ami2amo::cli::Cli;
use clap::CommandFactory as _;

/// Without the marks of roff: a hyphen is written `\-`.
fn plain(text: &[u8]) -> String {
    String::from_utf8(text.to_vec()).expect("a page is UTF-8").replace("\\-", "-")
}

#[test]
fn every_command_has_a_page_with_every_option() {
    let pages: BTreeMap<String, String> =
        man::pages().into_iter().map(|(name, text)| (name, plain(&text))).collect();
    let mut program = Cli::command();
    program.build();
    let mut options = 0;
    let mut commands = vec![(&program, "ami2amo".to_owned())];
    while let Some((command, name)) = commands.pop() {
        let page = &pages[&format!("{name}.1")];
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let Some(long) = argument.get_long() else { continue };
            assert!(page.contains(&format!("--{long}")), "{name}: --{long}");
            options += 1;
        }
        for inner in command.get_subcommands() {
            assert!(page.contains(inner.get_name()), "{name}: {}", inner.get_name());
            commands.push((inner, format!("{name}-{}", inner.get_name())));
        }
    }
    assert!(options > 80, "{options}");
}
