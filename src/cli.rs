//! What was typed. The only place that names clap.

mod pages;

pub use pages::pages as manual_pages;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Self-healing for a single host.
///
/// Each invocation is one pass: look at health, read what is new in the logs, find the root cause, and at enough
/// confidence back up, apply one small bounded fix, watch it, keep it or roll it back.
#[derive(Debug, Parser)]
#[command(name = "healer", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Configuration file [default: $HEALER_CONFIG, else /etc/healer/healer.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where cursors, backups and the knowledge base live [default: as configured]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// One JSON document on stdout instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only what needs attention
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more: evidence, rules that did not fire
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// When to colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// Never ask, do what was typed
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Answer every question with yes
    #[arg(long, global = true)]
    pub yes: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
// What the other commands take need not be known to run this one.
#[command(defer = true)]
pub enum Command {
    /// Health of every component; changes nothing (exit 0 healthy, 1 warning, 2 critical, 3 unknown)
    Check {
        /// Only these checks
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Errors, error groups and root causes with their evidence; changes nothing
    Diagnose {
        /// How far back errors count
        #[arg(long, value_name = "DURATION", default_value = "1h")]
        since: String,
        /// Analyse these files whole, without cursors
        #[arg(long, value_name = "FILE", num_args = 1..)]
        log: Vec<PathBuf>,
        /// Only this rule
        #[arg(value_name = "RULE")]
        rule: Option<String>,
    },
    /// One whole pass: exactly what the timer runs
    Heal {
        /// Show the plan and stop; writes nothing at all
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// Only this rule may act
        #[arg(long, value_name = "RULE")]
        only: Option<String>,
        /// Apply this held plan as shown, whatever its confidence and the mode
        #[arg(long, value_name = "PLAN_ID")]
        approve: Option<String>,
        /// Write everything that decided into this file, for `replay`; also with -n
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
    },
    /// Decide a recorded pass again, offline: the same input, the same decision (exit 10: another one)
    Replay {
        /// What `healer heal --record` wrote
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Backups: list (the default), show, verify, prune
    Backups {
        #[command(subcommand)]
        action: Option<BackupsAction>,
    },
    /// Put back what a backup holds
    Rollback {
        /// A backup's id, or `latest`: the newest fix still in place
        id: String,
        /// Show what would be put back; writes nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// Also over a file that was changed since
        #[arg(long)]
        force: bool,
    },
    /// The last pass, open incidents, what is held and why, an open fix; changes nothing
    Status,
    /// What happened, the newest first
    History {
        /// How far back
        #[arg(long, value_name = "DURATION", default_value = "7d")]
        since: String,
    },
    /// Outcomes by fix type, success rates, confidence against reality
    Stats {
        /// Only fixes of this time
        #[arg(long, value_name = "DURATION")]
        since: Option<String>,
    },
    /// Rules and signatures: list, show, test them, try one on a log; changes nothing
    Rules {
        #[command(subcommand)]
        action: RulesAction,
    },
    /// The configuration: check it, show what is in force, print its JSON Schema; changes nothing
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Write a commented configuration of what is found here; never overwrites
    ///
    /// Looks at containers and their labels, PostgreSQL, Redis, published HTTP ports, log files, units of systemd, and the
    /// programs and configuration files that containers mount. Every check that it writes has just been tried; rules are
    /// suggestions, and nothing is allowed until you say so. Passwords go into files of their own beside it.
    Init {
        /// Install the units and start the timer, with ReadWritePaths= made from [allow]; a configuration that is there is
        /// kept. Run it again when `files` in [allow] has changed
        #[arg(long)]
        systemd: bool,
    },
    /// Make no fix for a while; checks and alerts go on
    Pause {
        /// How long (`2h`)
        #[arg(value_name = "DURATION")]
        time: String,
        /// Why, for those who find it paused
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Only fixes of this rule
        #[arg(long, value_name = "NAME")]
        rule: Option<String>,
    },
    /// Seen: no more alerts for an incident (checks and fixes go on)
    Ack {
        /// As `healer status` and alerts name it
        incident: String,
        /// For so long [default: until it is over]
        #[arg(long = "for", value_name = "DURATION")]
        time: Option<String>,
    },
    /// End every pause
    Resume,
    /// Release a target that is held after a rollback or a conflict, or whose circuit breaker is open
    Reset {
        /// As `healer heal` and alerts name it
        target: String,
    },
    /// Try who is told: `healer notify test`
    Notify {
        #[command(subcommand)]
        action: NotifyAction,
    },
    /// The API, live events, figures for Prometheus and the dashboard
    Serve(ServeArgs),
    /// Carry out what `serve --requests` has left in a directory (run by healer-requests.path)
    Requests {
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// A whole pass on a small failing service of its own, no set-up
    Demo,
    /// Print the completions of a shell
    Completions { shell: Shell },
    /// Write the manual pages, one per command, into a directory
    Man {
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Hold it against itself and this host: what is wrong (exit 78), and what will not do what was meant
    Check {
        /// Try no connection and start no program: only the configuration, and the files that it names
        #[arg(long)]
        offline: bool,
        /// Exit with 10 when there is a warning
        #[arg(long)]
        strict: bool,
    },
    /// What is in force, every default filled in
    Show {
        /// Where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// A JSON Schema of healer.toml, for editors
    Schema,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen [default: as configured, else 127.0.0.1:8787]; a socket of systemd goes before it
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<std::net::SocketAddr>,
    /// Let who has the token start passes, roll back, apply held plans, pause
    #[arg(long)]
    pub enable_actions: bool,
    /// Run no checks: health is what the last pass saw
    #[arg(long)]
    pub no_checks: bool,
    /// Do nothing by itself: leave what is asked for in this directory, for `healer requests`
    #[arg(long, value_name = "DIR")]
    pub requests: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum NotifyAction {
    /// Send a test alert to every notifier; says who took it (exit 10: somebody did not)
    Test,
}

#[derive(Debug, Subcommand)]
pub enum BackupsAction {
    /// Every backup, newest first
    List,
    /// One backup, with the difference to the files as they are now
    Show {
        /// A backup's id, or `latest`: the newest fix still in place
        id: String,
    },
    /// Check every checksum (exit 10 when something is damaged)
    Verify { id: Option<String> },
    /// Remove old backups
    Prune {
        /// Say what would go; removes nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// Keep at least the newest N
        #[arg(long, value_name = "N")]
        keep_last: Option<usize>,
        /// Keep what is younger
        #[arg(long, value_name = "DURATION")]
        keep_within: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum RulesAction {
    /// Every rule, and every signature in force with how it is searched
    List,
    /// One rule as it is understood, its past, and whether it would act now
    Show {
        #[arg(value_name = "RULE")]
        name: String,
    },
    /// Run the tests of rules and signatures (exit 10 when one fails)
    Test {
        /// Only this rule or signature
        #[arg(value_name = "RULE|SIGNATURE")]
        name: Option<String>,
        /// Write the results as JUnit XML too
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
    /// What a rule's signature, a signature or a regex matches in a log, line by line, and why
    Try {
        /// The name of a rule or a signature, else a regex
        #[arg(value_name = "RULE|SIGNATURE|REGEX")]
        what: String,
        /// A log, packed (.gz) or not; `-` is standard input
        #[arg(value_name = "LOGFILE")]
        log: PathBuf,
        /// The lines that look like errors and match no signature at all
        #[arg(long)]
        missed: bool,
    },
}

/// What was typed is no command, or asks for the help or the version.
#[derive(Debug)]
pub struct Misuse {
    error: clap::Error,
    /// The verb, as far as it can be told, is `check`.
    pub is_check: bool,
    /// `--json` was typed.
    pub json: bool,
}

/// Understands what was typed, the program's name first.
pub fn parse(typed: &[OsString]) -> Result<Cli, Misuse> {
    Cli::try_parse_from(typed).map_err(|error| {
        let guess = Cli::command().ignore_errors(true).try_get_matches_from(typed).ok();
        Misuse {
            error,
            is_check: guess.as_ref().and_then(|m| m.subcommand_name()) == Some("check"),
            json: typed.iter().take_while(|a| *a != "--").any(|a| a == "--json"),
        }
    })
}

/// The script that completes commands and options in a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, "healer", &mut script);
    script
}

impl Misuse {
    /// Help and version are answers, not errors.
    pub fn is_answer(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
    }

    /// Shows it as clap does; a stream that is closed or full is no error of ours.
    pub fn print(&self) {
        let _ = self.error.print();
    }

    /// What is wrong, in one sentence.
    pub fn message(&self) -> String {
        if self.error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return "a command is missing: `healer --help` lists them".to_owned();
        }
        let text = self.error.to_string();
        let sentence = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = sentence.split_whitespace().collect();
        words.join(" ").trim_start_matches("error: ").to_owned()
    }
}
