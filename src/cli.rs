//! What was typed. The only place that names clap.

use clap::{Args, Parser, Subcommand, ValueEnum};
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

#[derive(Debug, Clone, Args)]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
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
    /// Outcomes by fix type, success rates, confidence against reality
    Stats {
        /// Only fixes of this time
        #[arg(long, value_name = "DURATION")]
        since: Option<String>,
    },
    /// Release a target that is held after a rollback or a conflict
    Reset {
        /// As `healer heal` and alerts name it
        target: String,
    },
    /// A whole pass on a small failing service of its own, no set-up
    Demo,
}

#[derive(Debug, Subcommand)]
pub enum BackupsAction {
    /// Every backup, newest first
    List,
    /// One backup, with the difference to the files as they are now
    Show { id: String },
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
