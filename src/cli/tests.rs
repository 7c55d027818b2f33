//! Command lines and what they mean.

use super::*;

fn parse(line: &str) -> Result<(Cli, Command), clap::Error> {
    let words = std::iter::once("ami2amo").chain(line.split_whitespace());
    Cli::read(words.map(OsString::from).collect())
}

#[test]
fn the_configuration_stands_on_either_side() {
    for line in ["--config /c run", "run --config /c", "check --offline --config /c"] {
        assert_eq!(parse(line).unwrap().0.config, Some(PathBuf::from("/c")), "{line}");
    }
    assert_eq!(parse("run").unwrap().0.config, None);
}

#[test]
fn the_short_form_is_a_dry_replay() {
    for line in ["--dry-run a b", "replay --dry-run a b", "--dry-run replay a b"] {
        let (_, command) = parse(line).unwrap();
        let Command::Replay(args) = command else { panic!("{line}") };
        assert!(args.dry_run, "{line}");
        assert_eq!(args.files, ["a", "b"].map(PathBuf::from), "{line}");
    }
}

#[test]
fn the_short_form_takes_every_option_of_a_replay() {
    for line in [
        "--dry-run --format jsonl --separate --pbx msk -q --config /c a -",
        "--format jsonl --config /c --dry-run a --separate -q --pbx=msk -",
        "-q --dry-run a - --config /c --format=jsonl --pbx msk --separate",
    ] {
        let (cli, command) = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let Command::Replay(args) = command else { panic!("{line}") };
        assert!(args.dry_run && args.separate && args.quiet, "{line}");
        assert_eq!((args.format, args.pbx.as_str()), (crate::replay::Format::Jsonl, "msk"), "{line}");
        assert_eq!(args.files, ["a", "-"].map(PathBuf::from), "{line}");
        assert_eq!(cli.config, Some(PathBuf::from("/c")), "{line}");
    }
    let (_, command) = parse("--dry-run -- --format").unwrap();
    let Command::Replay(args) = command else { panic!() };
    assert_eq!(args.files, [PathBuf::from("--format")]);
}

#[test]
fn wrong_usage_says_what_is_possible() {
    for (line, expected) in [
        ("follow", "there are run, replay, capture, explain, repair, check, status, calls, queue, "),
        ("--dry-run", "<FILE>..."),
        ("--dry-run --format loud a", "possible values: table, jsonl"),
        ("--dry-run --offline a", "unexpected argument '--offline'"),
        ("--format jsonl a", "unexpected argument '--format'"),
        ("--config /c", "Usage"),
        ("--dry-run run", "goes with captures"),
        ("run x", "unexpected argument"),
        ("", "Usage"),
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.to_string().contains(expected), "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command_line().debug_assert();
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let closed = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot print");
    assert!(is_broken_pipe(&closed));
    let full = anyhow::Error::from(io::Error::from(io::ErrorKind::StorageFull)).context("cannot print");
    assert!(!is_broken_pipe(&full));
}
