//! Man pages, made from the command line itself: one for the program, one for each command.

use ami2amo::cli::Cli;
use clap::CommandFactory as _;

/// The file name of each page, and its text.
pub fn pages() -> Vec<(String, Vec<u8>)> {
    let mut pages = Vec::new();
    let mut program = Cli::command();
    program.build();
    collect(&program, "ami2amo", &mut pages);
    pages
}

/// The page of a command and those of the commands in it.
fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text).expect("memory takes it");
    pages.push((format!("{name}.1"), text));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect(inner, &format!("{name}-{}", inner.get_name()), pages);
    }
}
