//! Tests of rules and signatures: the stages of a pass, from log lines and states as a test gives them to the gate's
//! word, and how that differs from what the test expects.
//!
//! Pure: what a pass reads, the test says; nothing was ever tried before, and every file, service and container is one
//! that a fix may have. May not live here: showing the result.

use crate::config::{Engine, Expectation, Rule, RuleTest, Signature, TestState, When};
use crate::diagnose::streaks::{self, Streaks};
use crate::gate::Decision;
use crate::logs;
use crate::model::{
    Analysis, CheckKind, CheckResult, Container, ContainerHealth, ContainerState, LogReport, Metric, Moment, Plan,
    RestartTarget, Service, Status, TargetFile, Unit,
};
use crate::pass::judging::{self, Around, Given};
use crate::pass::{History, Judged, Options, Sight};
use crate::plan::{self, FileMounts, Present};
use globset::GlobMatcher;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// One thing that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key of `expect`, or what of a signature.
    pub what: &'static str,
    pub expected: String,
    pub got: String,
}

impl Difference {
    fn new(what: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Difference {
        Difference { what, expected: expected.into(), got: got.into() }
    }
}

/// A state that a test gives has lasted at least so long.
const LONG: Duration = Duration::from_secs(86_400);

/// Built-in causes look at errors of this span, as in a pass.
const RECENT: SignedDuration = SignedDuration::from_mins(10);

/// Runs one test of a rule; `now` is when the pass would be, unless the lines bear times of their own: then it is the
/// time of the last.
pub fn of_rule(engine: &Engine, rule: &Rule, test: &RuleTest, now: Timestamp) -> Vec<Difference> {
    let (logs, now) = read_log(engine, rule, test, now);
    let now = Moment::of_wall(now);
    let long_ago = Moment::of_wall(before(now.t, longest_wait(engine)));
    let checks = checks(engine, rule, test, long_ago.t);
    let mut streaks = Streaks::default();
    for pass in 0..passes(engine) {
        let at = if pass == 0 { &long_ago } else { &now };
        streaks = streaks::update(engine, &streaks, &checks, at);
    }
    let since = now.t.checked_sub(RECENT).unwrap_or(now.t);
    let sight = Sight { checks, logs, now, since };
    let history = History::default();
    let given = Given { engine, sight: &sight, streaks: &streaks, history: &history };
    let analysis = judging::diagnose(given);
    let around = around(engine, rule, test, &analysis);
    let judged = judging::judge(given, &analysis, &around, &Options::default());
    differences(rule, &test.expect, &analysis, &judged)
}

/// The test's lines through the scanner, as the log that the rule reads.
fn read_log(engine: &Engine, rule: &Rule, test: &RuleTest, now: Timestamp) -> (LogReport, Timestamp) {
    if test.log.is_empty() {
        return (LogReport::default(), now);
    }
    let lines = format!("{}\n", test.log.join("\n")).repeat(test.repeat as usize);
    let source = match &rule.when {
        When::Log(trigger) => sample(&trigger.log, &trigger.sources),
        _ => "file:test".to_owned(),
    };
    let report = logs::scan_lines(&engine.signatures, &source, lines.as_bytes(), now);
    let newest = report.tallies.iter().filter_map(|t| t.buckets.last_key_value().map(|(second, _)| *second)).max();
    let newest = newest.and_then(|second| Timestamp::from_second(second).ok()).unwrap_or(now);
    (report, newest)
}

/// A name that a pattern matches: its own text, with something in the place of each wildcard.
fn sample(pattern: &str, glob: &GlobMatcher) -> String {
    let (mut name, mut rest) = (String::new(), pattern);
    while let Some(at) = rest.find(['*', '?', '[', '{']) {
        let (plain, from) = rest.split_at(at);
        name.push_str(plain);
        let close = |end: char| from.find(end).map_or(from.len(), |i| i + 1);
        let length = match from.chars().next() {
            Some('[') => close(']'),
            Some('{') => close('}'),
            _ => 1,
        };
        let part = from.get(..length).unwrap_or_default();
        match part.strip_prefix('{') {
            Some(choices) => name.push_str(choices.trim_end_matches('}').split(',').next().unwrap_or_default()),
            None => name.push(part.chars().nth(1).filter(|c| c.is_alphanumeric()).unwrap_or('1')),
        }
        rest = from.get(length..).unwrap_or_default();
    }
    name.push_str(rest);
    if glob.is_match(&name) { name } else { pattern.to_owned() }
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|s| now.checked_sub(s).ok()).unwrap_or(now)
}

/// Longer than any rule asks a state to last.
fn longest_wait(engine: &Engine) -> Duration {
    let waits = engine.rules.iter().filter_map(|rule| match &rule.when {
        When::Container { held_for, .. } => Some(*held_for + Duration::from_secs(1)),
        _ => None,
    });
    waits.max().unwrap_or_default().max(LONG)
}

/// As many passes as any rule asks for, the first of them long ago.
fn passes(engine: &Engine) -> u32 {
    let asked = engine.rules.iter().map(|rule| match &rule.when {
        When::Check { passes, .. } | When::Metric { passes, .. } => *passes,
        When::Log(_) | When::Container { .. } => 1,
    });
    asked.max().unwrap_or(1).clamp(2, 10_000)
}

/// Every configured check in the state that the test gives, else healthy.
fn checks(engine: &Engine, rule: &Rule, test: &RuleTest, since: Timestamp) -> Vec<CheckResult> {
    let check = |spec: &crate::config::CheckSpec| {
        let kind = spec.probe.kind();
        let containers = if kind == CheckKind::Docker { containers(rule, test, since) } else { Vec::new() };
        let given = test.checks.iter().find(|(name, _)| *name == spec.name).map(|(_, status)| *status);
        let worst = containers.iter().map(|c| c.status).max().unwrap_or(Status::Healthy);
        let status = given.unwrap_or(worst);
        let metrics = test.metrics.iter().filter(|(check, ..)| *check == spec.name);
        CheckResult {
            name: spec.name.clone(),
            kind,
            status,
            message: format!("{status}, as the test says"),
            // Whoever lists containers answers.
            connected: Some(status != Status::Critical || !containers.is_empty()),
            metrics: metrics.map(|(_, name, value)| Metric::new(name, *value, Unit::Count)).collect(),
            duration_ms: 1.0,
            containers,
            depends_on: spec.depends_on.clone(),
        }
    };
    engine.checks.iter().map(check).collect()
}

/// The containers that the test or the rule names.
fn containers(rule: &Rule, test: &RuleTest, since: Timestamp) -> Vec<Container> {
    let mut all = test.containers.clone();
    let logged = match &rule.when {
        When::Log(trigger) => sample(&trigger.log, &trigger.sources).strip_prefix("container:").map(str::to_owned),
        _ => None,
    };
    let restarted = plan::restarts_of(rule, None, &FileMounts::new(), &Present::supposed(rule, None))
        .into_iter()
        .filter_map(|target| match target {
            RestartTarget::Container(name) if !name.contains('{') => Some(name),
            _ => None,
        });
    for name in logged.into_iter().chain(restarted) {
        if !all.iter().any(|(n, _)| *n == name) {
            all.push((name, TestState::Running));
        }
    }
    all.into_iter().map(|(name, state)| container(name, state, since)).collect()
}

fn container(name: String, state: TestState, since: Timestamp) -> Container {
    let stopped = matches!(state, TestState::Exited | TestState::OomKilled);
    Container {
        id: name.clone(),
        status: if state == TestState::Running { Status::Healthy } else { Status::Critical },
        message: match state {
            TestState::Running => "running, as the test says".to_owned(),
            TestState::Exited => "exited with code 1".to_owned(),
            TestState::Unhealthy => "unhealthy".to_owned(),
            TestState::Restarting => "restarting".to_owned(),
            TestState::OomKilled => "killed for lack of memory".to_owned(),
        },
        state: match state {
            TestState::Running | TestState::Unhealthy => ContainerState::Running,
            TestState::Restarting => ContainerState::Restarting,
            TestState::Exited | TestState::OomKilled => ContainerState::Exited,
        },
        health: (state == TestState::Unhealthy).then_some(ContainerHealth::Unhealthy),
        exit_code: stopped.then_some(if state == TestState::OomKilled { 137 } else { 1 }),
        oom_killed: state == TestState::OomKilled,
        restart_count: 0,
        restarts_since_last: Some(0),
        started_at: Some(since),
        finished_at: stopped.then_some(since),
        cpu_percent: None,
        memory_bytes: None,
        memory_percent: None,
        compose_project: None,
        ports: Vec::new(),
        mislabelled: false,
        name,
    }
}

/// Files as the test gives them, services that run and may be restarted.
fn around(engine: &Engine, rule: &Rule, test: &RuleTest, analysis: &Analysis) -> Around {
    let mut around = Around::default();
    for diagnosis in &analysis.diagnoses {
        let Some(fired) = diagnosis.rule.as_deref().and_then(|name| engine.rule(name)) else { continue };
        let file = |path: &std::path::PathBuf| match test.file.as_ref().filter(|_| fired.name == rule.name) {
            Some(text) => Ok(TargetFile {
                path: path.clone(),
                bytes: text.clone().into_bytes(),
                sha256: crate::host::files::sha256(text.as_bytes()),
                age: Duration::MAX,
            }),
            None => Err(format!("the test gives no `file` for {}", path.display())),
        };
        around.files.extend(plan::files_of(fired).map(|path| (path.clone(), file(path))));
        around.present.extend(Present::supposed(fired, diagnosis.container()));
        let services = plan::restarts_of(fired, diagnosis.container(), &around.mounts, &around.present);
        around.services.extend(services.into_iter().map(|target| (target.clone(), Ok(service(&target, test)))));
    }
    around
}

fn service(target: &RestartTarget, test: &RuleTest) -> Service {
    let is = |name: &str, states: &[TestState]| test.containers.iter().any(|(n, s)| n == name && states.contains(s));
    match target {
        RestartTarget::Container(name) if is(name, &[TestState::Exited, TestState::OomKilled]) => Service::default(),
        _ => Service { run: Some("test".into()), age: Some(LONG), ..Service::default() },
    }
}

fn differences(rule: &Rule, expect: &Expectation, analysis: &Analysis, judged: &[Judged]) -> Vec<Difference> {
    let own = |name: &Option<String>| name.as_deref() == Some(rule.name.as_str());
    let chosen = judged.iter().find(|j| own(&j.diagnosis.rule));
    let beaten = analysis.competing.iter().find(|d| own(&d.rule));
    let Some(diagnosis) = chosen.map(|j| &j.diagnosis).or(beaten) else {
        let reason = analysis.not_fired.iter().find(|n| n.rule == rule.name).map(|n| n.reason.as_str());
        let no = format!("no: {}", reason.unwrap_or("it does not fire"));
        return if expect.fires == Some(false) { Vec::new() } else { vec![Difference::new("fires", "yes", no)] };
    };
    if expect.fires == Some(false) {
        return vec![Difference::new("fires", "no", format!("yes: {}", diagnosis.trigger.seen))];
    }
    let mut found = Vec::new();
    if let Some(expected) = expect.issue_type.as_ref().filter(|e| **e != diagnosis.issue_type) {
        found.push(Difference::new("issue_type", expected, &diagnosis.issue_type));
    }
    let component = &diagnosis.trigger.component;
    let winner = analysis.diagnoses.iter().find(|d| d.trigger.component == *component);
    let instead = || match winner.and_then(|d| d.rule.as_deref()) {
        Some(winner) => format!("none: rule {winner} goes before it for {component}"),
        None => format!("none: another cause goes before it for {component}"),
    };
    let decision = chosen.and_then(|j| j.decision.as_ref());
    let plan = decision.and_then(plan_of);
    let no_plan = || decision.map_or_else(instead, |d| format!("none: {}", why(d)));
    if let Some(expected) = &expect.fix_type {
        let got = plan.map_or_else(no_plan, |p| p.fix_type.clone());
        found.extend((got != *expected).then(|| Difference::new("fix_type", expected, got)));
    }
    if let Some(expected) = &expect.value {
        let edit = plan.and_then(|p| p.edits().next());
        let new = edit.map(|e| e.new.as_str());
        if new != Some(expected) && new.map(unquoted) != Some(expected) {
            let got = || {
                new.map_or_else(
                    || if plan.is_some() { "none: the fix edits nothing".into() } else { no_plan() },
                    str::to_owned,
                )
            };
            found.push(Difference::new("value", expected, got()));
        }
    }
    if let Some(expected) = &expect.decision {
        let got = decision.map_or_else(instead, |d| match why(d) {
            why if why.is_empty() => word(d).to_owned(),
            why => format!("{}: {why}", word(d)),
        });
        let is = decision.map(word) == Some(expected.as_str());
        found.extend((!is).then(|| Difference::new("decision", expected, got)));
    }
    found
}

fn plan_of(decision: &Decision) -> Option<&Plan> {
    match decision {
        Decision::Act(permit) => Some(permit.plan()),
        Decision::Hold { plan, .. } => plan.as_deref(),
    }
}

/// `act`, or the word of the hold.
fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Act(_) => "act",
        Decision::Hold { reason, .. } => reason.word(),
    }
}

fn why(decision: &Decision) -> String {
    match decision {
        Decision::Act(_) => String::new(),
        Decision::Hold { reason, .. } => reason.to_string(),
    }
}

/// A literal without its quotes.
fn unquoted(literal: &str) -> &str {
    let inside = |quote: char| literal.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(literal)
}

/// Runs a signature's lines: each of `matches` must be an event of it, none of `ignores`. By line, what is wrong.
pub fn of_signature(engine: &Engine, signature: &Signature, now: Timestamp) -> Vec<(String, Option<Difference>)> {
    let seen = |line: &str| {
        let report = logs::scan_lines(&engine.signatures, "file:test", format!("{line}\n").as_bytes(), now);
        report.by_signature.get(&signature.name).copied().unwrap_or(0) > 0
    };
    let matches = signature.matches.iter().map(|line| {
        let wrong = || Difference::new("matches", &**line, "no match");
        (format!("matches {line}"), (!seen(line)).then(wrong))
    });
    let ignores = signature.ignores.iter().map(|line| {
        let wrong = || Difference::new("ignores", "no match", &**line);
        (format!("ignores {line}"), seen(line).then(wrong))
    });
    matches.chain(ignores).collect()
}
