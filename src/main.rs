//! Parses the command line and calls.

use std::process::ExitCode;

fn main() -> ExitCode {
    ami2amo::cli::main(std::env::args_os())
}
