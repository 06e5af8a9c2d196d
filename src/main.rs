//! Parse, run, exit code.

use healer::{cli, commands};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(match cli::parse(&typed) {
        Ok(cli) => commands::run(&cli),
        Err(misuse) => commands::misused(&misuse),
    })
}
