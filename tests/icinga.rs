//! `healer check` under a real consumer: Icinga 2 runs it as a plugin, and the state, the line and every figure arrive as
//! they were meant. And the line itself against the published grammar.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use regex::Regex;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{DEADLINE, Root, healer, skip};

/// The daemon itself: the script before it changes what belongs to the system's own.
const DAEMONS: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/icinga2/sbin/icinga2", "/usr/lib/aarch64-linux-gnu/icinga2/sbin/icinga2"];

/// A plugin's answer with a value of each form: levels above and below, a unit, a label that must be quoted.
const QUEUE: &str = "QUEUE - 40 jobs | jobs=40;100;500 lag=1.5s;2:;1: 'free space'=12%;20:;10:";
const FIGURES: &str = "queue_jobs=40;100;500 queue_lag=1.5s;2:;1: 'queue_free space'=12%;20:;10:";

/// A root with a configuration for each service, called `NAME.toml`.
fn services() -> Root {
    let root = Root::new();
    for (name, code) in [("ok", 0), ("warning", 1), ("critical", 2), ("unknown", 3)] {
        root.write(format!("{name}.sh"), format!("#!/bin/sh\ncat <<'END'\n{QUEUE}\nEND\nexit {code}\n"));
        let command = format!("command = [\"/bin/sh\", \"{}\"]", root.path(format!("{name}.sh")).display());
        let off = "[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n";
        root.write(format!("{name}.toml"), format!("{off}[checks.command.queue]\n{command}\n"));
    }
    root.write("broken.toml", "mode = \"atuo\"\n");
    root
}

fn icinga_config(root: &Root) -> String {
    let dir = root.dir().display().to_string();
    let check = format!(
        "[ \"{}\", \"check\", \"-c\", \"{dir}/$service.name$.toml\", \"--state-dir\", \"{dir}/state\" ]",
        env!("CARGO_BIN_EXE_healer")
    );
    let mut text = format!(
        "object CheckerComponent \"checker\" {{ }}\n\
         object PerfdataWriter \"perfdata\" {{\n\
           host_perfdata_path = \"{dir}/perfdata/host\"\n  host_temp_path = \"{dir}/host.tmp\"\n\
           service_perfdata_path = \"{dir}/perfdata/service\"\n  service_temp_path = \"{dir}/service.tmp\"\n\
           service_format_template = \"\u{1}$service.name$\\t$service.state$\\t$service.output$\\t$service.perfdata$\"\n\
           rotation_interval = 1s\n}}\n\
         object CheckCommand \"healer\" {{ command = {check} }}\n\
         object CheckCommand \"up\" {{ command = [ \"/bin/true\" ] }}\n\
         object Host \"here\" {{\n  check_command = \"up\"\n  check_interval = 1s\n  max_check_attempts = 1\n}}\n"
    );
    for name in ["ok", "warning", "critical", "unknown", "broken"] {
        text.push_str(&format!(
            "object Service \"{name}\" {{\n  host_name = \"here\"\n  check_command = \"healer\"\n  check_interval = 1s\n  \
             retry_interval = 1s\n  max_check_attempts = 1\n}}\n"
        ));
    }
    text
}

/// An Icinga of the test's own, with all that it writes below the root; ended when dropped.
struct Icinga {
    child: Child,
}

impl Icinga {
    fn start(daemon: &str, root: &Root) -> Icinga {
        for dir in ["data", "log", "cache", "spool", "run", "perfdata"] {
            std::fs::create_dir(root.path(dir)).unwrap();
        }
        let config = root.write("icinga.conf", icinga_config(root));
        let places = [
            ("DataDir", "data"),
            ("LogDir", "log"),
            ("CacheDir", "cache"),
            ("SpoolDir", "spool"),
            ("InitRunDir", "run"),
            ("PidPath", "run/pid"),
            ("StatePath", "data/state"),
            ("VarsPath", "cache/vars"),
            ("ObjectsPath", "cache/objects"),
            ("ModAttrPath", "data/modified"),
        ];
        let mut command = Command::new(daemon);
        command.arg("daemon").arg("-c").arg(config).current_dir(root.dir());
        command.args(places.map(|(name, place)| format!("-D{name}={}", root.path(place).display())));
        let (user, group) = (output("id", "-un"), output("id", "-gn"));
        command.args([format!("-DRunAsUser={user}"), format!("-DRunAsGroup={group}")]);
        let log = std::fs::File::create(root.path("icinga.out")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Icinga { child: command.spawn().unwrap() }
    }
}

impl Drop for Icinga {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn output(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// State, first line and figures of each service, as far as it has written them.
fn seen(root: &Root) -> BTreeMap<String, (String, String, String)> {
    let files = std::fs::read_dir(root.path("perfdata")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("service."));
    let all: String = files.map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect();
    let mut seen = BTreeMap::new();
    for record in all.split('\u{1}') {
        let mut fields = record.splitn(3, '\t');
        let (Some(name), Some(state), Some(rest)) = (fields.next(), fields.next(), fields.next()) else { continue };
        // What follows the first line may be as long as it likes.
        let Some((output, figures)) = rest.rsplit_once('\t') else { continue };
        let line = output.lines().next().unwrap_or_default().trim_end();
        seen.insert(name.to_owned(), (state.to_owned(), line.to_owned(), figures.trim().to_owned()));
    }
    seen
}

#[test]
fn state_line_and_figures_arrive() {
    let Some(daemon) = DAEMONS.into_iter().find(|path| Path::new(path).exists()) else {
        return skip("icinga2 is not installed");
    };
    let root = services();
    let icinga = Icinga::start(daemon, &root);
    let until = Instant::now() + DEADLINE;
    let seen = loop {
        let seen = seen(&root);
        if seen.len() == 5 {
            break seen;
        }
        assert!(Instant::now() < until, "{seen:#?}\n{}", root.read_text("icinga.out"));
        std::thread::park_timeout(Duration::from_millis(50));
    };
    drop(icinga);
    let check = |name: &str, state: &str, line: &str, figures: &str| {
        let expected = (state.to_owned(), line.to_owned(), figures.to_owned());
        assert_eq!(seen[name], expected, "{name}");
    };
    check("ok", "OK", "HEALER OK - 1 of 1 healthy", &format!("failing=0;0;0;0;1 {FIGURES}"));
    let line = |word: &str| format!("HEALER {word} - queue: QUEUE - 40 jobs; 0 of 1 healthy");
    for (name, word) in [("warning", "WARNING"), ("critical", "CRITICAL"), ("unknown", "UNKNOWN")] {
        check(name, word, &line(word), &format!("failing=1;0;0;0;1 {FIGURES}"));
    }
    let broken = format!("{}:1: `mode` cannot be `atuo` (did you mean `auto`?)", root.path("broken.toml").display());
    check("broken", "UNKNOWN", &format!("HEALER UNKNOWN - configuration: {broken}"), "");
}

/// `'label'=value[UOM];[warn];[crit];[min];[max]` with its ranges, as the Monitoring Plugins Development Guidelines have it.
fn grammar() -> Regex {
    let number = r"-?\d+(\.\d+)?";
    let range = format!("@?((~|{number})?:)?({number})?");
    let label = "('[^'=]+'|[^' =]+)";
    let unit = "(s|us|ms|%|B|KB|MB|TB|c)?";
    let one = format!("{label}={number}{unit}(;{range}(;{range}(;({number})?(;({number})?)?)?)?)?");
    Regex::new(&format!(r"^[^|\n]+\| {one}( {one})*$")).unwrap()
}

#[test]
fn the_first_line_keeps_to_the_published_grammar() {
    let grammar = grammar();
    for bad in ["HEALER OK - x | a b=1", "HEALER OK - x | a=1 2", "HEALER OK - x | a=1;2;3;4;5;6", "HEALER | OK | a=1"]
    {
        assert!(!grammar.is_match(bad), "{bad}");
    }
    let check = |config: &str| {
        let root = Root::new();
        root.config(config);
        let stdout = healer(&root, &["check"]).stdout;
        let (first, rest) = stdout.split_once('\n').unwrap();
        assert!(grammar.is_match(first), "{first}");
        assert!(!rest.contains('|'), "it would be read as figures: {rest}");
        first.to_owned()
    };
    let root = services();
    for name in ["ok", "warning", "critical", "unknown"] {
        assert!(check(&root.read_text(format!("{name}.toml"))).ends_with(FIGURES));
    }
    // Whatever this host has: processors, memory, mounts with whatever names.
    check("[checks.docker]\nenabled = false\n");
    let port = support::free_port();
    check(&format!("[checks.docker]\nenabled = false\n[checks.tcp.smtp]\naddress = \"127.0.0.1:{port}\"\n"));
    let pipes = "[checks.host]\nenabled = false\n[checks.docker]\nsocket = \"unix:///tmp/no|such/socket\"\n";
    check(&format!("{pipes}[checks.http.api]\nurl = \"http://127.0.0.1:{port}/a%7Cb\"\n"));
}
