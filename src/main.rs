//! Parse, run, exit code.

use clap::Parser;
use healer::cli::Cli;
use healer::commands;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // The monitoring-plugin convention has its own word for bad arguments.
            let check = std::env::args().any(|a| a == "check");
            return ExitCode::from(if error.use_stderr() { if check { 3 } else { 2 } } else { 0 });
        }
    };
    ExitCode::from(commands::run(&cli))
}
