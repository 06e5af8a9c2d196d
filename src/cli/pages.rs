//! The manual page of each command, from its definition: what it takes is told once, in `cli`. What it does is told once
//! too, in healer(1), which is written by hand; the page of a command repeats that section.

use super::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::io::Write;

/// The pages by the names of their files. `overview` is healer(1).
///
/// # Errors
/// When a page cannot be rendered.
pub fn pages(overview: &str) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    below(&command, &[], overview, &mut found)?;
    Ok(found)
}

fn below(above: &Command, path: &[&str], overview: &str, found: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    for command in above.get_subcommands() {
        let path = [path, &[command.get_name()]].concat();
        found.push((format!("healer-{}.1", path.join("-")), page(command, &path, overview)?));
        below(command, &path, overview, found)?;
    }
    Ok(())
}

fn page(command: &Command, path: &[&str], overview: &str) -> std::io::Result<Vec<u8>> {
    // What goes with every command is in healer(1).
    let own = command.clone().mut_args(|arg| if is_common(&arg) { arg.hide(true) } else { arg });
    let title = format!("HEALER-{}", path.join("-").to_uppercase());
    let manual = clap_mangen::Man::new(own.clone())
        .title(title)
        .date(date_of(overview))
        .source(concat!("healer ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    manual.render_title(&mut page)?;
    manual.render_name_section(&mut page)?;
    writeln!(page, ".SH SYNOPSIS\n{}", synopsis(&own, path))?;
    writeln!(page, ".SH DESCRIPTION\n{}", description(overview, &path.join(" ")).trim_end())?;
    if shown(&own).next().is_some() {
        manual.render_options_section(&mut page)?;
    }
    if own.has_subcommands() {
        manual.render_subcommands_section(&mut page)?;
    }
    let refers = "The options of every command, the exit status and the files are in healer(1).";
    let more = format!(".SH SEE ALSO\n.BR healer (1),\n.BR healer.toml (5),\n.BR healer\\-rules (7)\n.PP\n{refers}\n");
    Ok([PREAMBLE, &tidied(&page), &more].concat().into_bytes())
}

/// An apostrophe that stays one, in groff and elsewhere.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Without the preamble that each section brings, and without breaks that break nothing.
fn tidied(page: &[u8]) -> String {
    let text = String::from_utf8_lossy(page).replace(PREAMBLE, "");
    text.replace(".br\n\n.br\n", ".sp\n").replace("\n\n.br\n", "\n")
}

fn is_common(arg: &Arg) -> bool {
    arg.is_global_set()
        || matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
}

fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set())
}

/// `healer heal [-n] [--only RULE]`, as healer(1) writes it.
fn synopsis(command: &Command, path: &[&str]) -> String {
    let mut words = vec![format!("\\fBhealer {}\\fR", escaped(&path.join(" ")))];
    for arg in shown(command) {
        let word = [option(arg), value(arg)].into_iter().flatten().collect::<Vec<_>>().join(" ");
        words.push(if arg.is_required_set() { word } else { format!("[{word}]") });
    }
    if command.has_subcommands() {
        let needed = command.is_subcommand_required_set() || command.is_arg_required_else_help_set();
        words.push(if needed { "\\fICOMMAND\\fR" } else { "[\\fICOMMAND\\fR]" }.to_owned());
    }
    words.join(" ")
}

/// `-n`, else `--only`; nothing of a positional argument.
fn option(arg: &Arg) -> Option<String> {
    let short = arg.get_short().map(|letter| format!("\\-{letter}"));
    let long = || arg.get_long().map(|word| format!("\\-\\-{}", escaped(word)));
    short.or_else(long).map(|text| format!("\\fB{text}\\fR"))
}

/// `RULE`, or `NAME...` where several may be given.
fn value(arg: &Arg) -> Option<String> {
    let names: Vec<String> = arg.get_value_names()?.iter().map(|name| escaped(name)).collect();
    let is_list =
        arg.get_num_args().is_some_and(|n| n.max_values() > 1) || matches!(arg.get_action(), ArgAction::Append);
    let more = if is_list { "..." } else { "" };
    arg.get_action().takes_values().then(|| format!("\\fI{}\\fR{more}", names.join(" ")))
}

fn escaped(text: &str) -> String {
    text.replace('-', "\\-")
}

/// The date of healer(1): that of the text, and the same wherever the pages are made.
fn date_of(overview: &str) -> &str {
    overview.split_whitespace().nth(3).unwrap_or_default()
}

/// What healer(1) says of a command under its `.SS`, without its synopsis and its options.
fn description(overview: &str, name: &str) -> String {
    let heading = |line: &str| line.strip_prefix(".SS ").is_some_and(|rest| rest.trim_matches('"') == name);
    let section: Vec<&str> = overview
        .lines()
        .skip_while(|line| !heading(line))
        .skip(1)
        .take_while(|line| !line.starts_with(".SS ") && !line.starts_with(".SH "))
        .collect();
    let has_synopsis = section.first().is_some_and(|line| line.starts_with(".B healer "));
    let mut kept = String::new();
    let mut keep = !has_synopsis;
    for line in section {
        match line {
            ".PP" if kept.is_empty() => keep = true,
            ".PP" => {
                keep = true;
                kept += ".PP\n";
            }
            ".TP" => keep = false,
            _ if keep => {
                kept += line;
                kept.push('\n');
            }
            _ => {}
        }
    }
    kept
}
