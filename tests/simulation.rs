//! Thirty days with a fake clock: the pure stages of a pass, from the states of containers to the gate's word, fed with
//! thousands of incidents of known kinds whose fixes work with a known probability. What the stages decide is carried out
//! by drawing lots, and written down as the transaction would.
//!
//! Held are: confidence against what came of it; every limit, counted by an independent hand; the circuit breaker of a
//! target that no fix mends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use healer::attempts::Line;
use healer::config::{self, Engine, Reference, SecretSource};
use healer::diagnose::streaks;
use healer::gate::Decision;
use healer::host::clock;
use healer::learn;
use healer::model::{
    CheckKind, CheckResult, Container, ContainerState, LogReport, Moment, Outcome, Plan, RestartTarget, Service, Status,
};
use healer::pass::judging::{self, Around, Given};
use healer::pass::{History, Judged, Options, Sight, permit, worth_telling};
use healer::plan;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const PASS: u64 = 480;
const DAYS: u64 = 30;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
const TARGETS: usize = 8;

/// The bases of the rules.
const BASES: [f64; 9] = [50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0];
/// How far the true rate of a kind lies from its rule's base, in points.
const OFF: [f64; 3] = [-9.0, 1.0, 9.0];

const FIXES_PER_HOUR: usize = 6;
const FIXES_PER_DAY: usize = 125;
const FIXES_PER_TARGET: usize = 4;
const MAX_FIXES: usize = 8;
const COOLDOWN: u64 = 30 * MINUTE;

/// SplitMix64: the same lots every time.
struct Lots(u64);

impl Lots {
    /// In 0..1.
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One kind of incident: its rule's base, how often its fix works (0 to 1), how often it happens to one target.
struct Kind {
    name: String,
    base: f64,
    truth: f64,
    targets: usize,
    /// Seconds from a recovery to the next incident: at least, and on average beyond that.
    calm: (f64, f64),
}

fn kinds() -> Vec<Kind> {
    let pairs = BASES.iter().flat_map(|base| OFF.iter().map(move |off| (*base, *off)));
    let known = pairs.enumerate().map(|(n, (base, off))| Kind {
        name: format!("kind{n:02}"),
        base,
        truth: ((base + off) / 100.0).min(1.0),
        targets: TARGETS,
        calm: (1.1 * DAY as f64, 2.5 * DAY as f64),
    });
    let one = |name: &str, truth: f64, calm: f64| Kind {
        name: name.into(),
        base: 90.0,
        truth,
        targets: 1,
        calm: (calm, 0.0),
    };
    // What nothing mends, and what comes back as soon as it was mended.
    known.chain([one("never", 0.0, 0.0), one("again", 1.0, 10.0 * MINUTE as f64)]).collect()
}

struct NoSecret;

impl SecretSource for NoSecret {
    fn resolve(&self, _: &Reference) -> Result<String, String> {
        Err("there is none".into())
    }
}

fn engine(kinds: &[Kind]) -> Engine {
    let mut text = format!(
        "confidence_threshold = 50\n[allow]\ncontainers = [\"*\"]\n[checks.docker]\n[checks.host]\nenabled = false\n\
         [limits]\nfixes_per_hour = {FIXES_PER_HOUR}\nfixes_per_day = {FIXES_PER_DAY}\nfixes_per_target = {FIXES_PER_TARGET}\n\
         storm_percent = 100\nmin_duration = \"0s\"\n"
    );
    for kind in kinds {
        let (name, base) = (&kind.name, kind.base);
        let _ = write!(
            text,
            "[[rule]]\nname = \"{name}\"\nwhen = {{ container = \"{name}-*\", state = \"exited\" }}\nissue_type = \"of_{name}\"\n\
             confidence = {base}\n[[rule.fix]]\nfix_type = \"restart_{name}\"\nsteps = [{{ restart = \"container:{{container}}\" }}]\n\
             [rule.limits]\ncooldown = \"{COOLDOWN}s\"\nmax_fixes = {MAX_FIXES}\nper = \"24h\"\n"
        );
    }
    config::compile(vec![("healer.toml".into(), text)], &NoSecret).unwrap_or_else(|e| panic!("{e:#?}"))
}

/// A fix that was made.
struct Fix {
    at: u64,
    ended: u64,
    kind: usize,
    target: String,
    confidence: u8,
    worked: bool,
}

struct World<'a> {
    engine: &'a Engine,
    kinds: &'a [Kind],
    lots: Lots,
    history: History,
    streaks: streaks::Streaks,
    /// When a target fell ill, by kind and number.
    ill: BTreeMap<(usize, usize), u64>,
    /// When the next incidents are due.
    due: BTreeSet<(u64, usize, usize)>,
    incidents: u64,
    fixes: Vec<Fix>,
    /// Holds by word, and of which kind.
    holds: BTreeMap<(&'static str, String), u64>,
}

fn moment(second: u64) -> Moment {
    let begin = 1_700_000_000;
    let t = jiff::Timestamp::from_second(begin + second as i64).unwrap();
    Moment { t, boot: "simulated".into(), up: second as f64 }
}

fn name(kind: &Kind, target: usize) -> String {
    format!("{}-{target}", kind.name)
}

impl World<'_> {
    fn fall_ill_later(&mut self, kind: usize, target: usize, now: u64) {
        let (least, mean) = self.kinds[kind].calm;
        let calm = least - mean * (1.0 - self.lots.draw()).ln();
        self.due.insert((now + calm as u64, kind, target));
    }

    fn container(&self, kind: usize, target: usize, since: u64) -> Container {
        let name = name(&self.kinds[kind], target);
        Container {
            id: name.clone(),
            name,
            status: Status::Critical,
            message: "exited with code 1".into(),
            state: ContainerState::Exited,
            health: None,
            exit_code: Some(1),
            oom_killed: false,
            restart_count: 0,
            restarts_since_last: Some(0),
            started_at: None,
            finished_at: Some(moment(since).t),
            cpu_percent: None,
            memory_bytes: None,
            memory_percent: None,
            compose_project: None,
            ports: Vec::new(),
            mislabelled: false,
        }
    }

    fn pass(&mut self, second: u64) {
        while let Some((at, kind, target)) = self.due.first().copied().filter(|(at, ..)| *at <= second) {
            self.due.pop_first();
            self.ill.insert((kind, target), at);
            self.incidents += 1;
        }
        let now = moment(second);
        let containers: Vec<Container> =
            self.ill.iter().map(|((k, t), since)| self.container(*k, *t, *since)).collect();
        let docker = CheckResult {
            name: "docker".into(),
            kind: CheckKind::Docker,
            status: containers.iter().map(|c| c.status).max().unwrap_or(Status::Healthy),
            message: String::new(),
            connected: Some(true),
            metrics: Vec::new(),
            duration_ms: 1.0,
            containers,
            depends_on: Vec::new(),
        };
        let checks = vec![docker];
        self.streaks = streaks::update(self.engine, &self.streaks, &checks, &now);
        let sight = Sight { checks, logs: LogReport::default(), since: now.t, now };
        let given = Given { engine: self.engine, sight: &sight, streaks: &self.streaks, history: &self.history };
        let analysis = judging::diagnose(given);
        let mut around = Around::default();
        for diagnosis in &analysis.diagnoses {
            let Some(rule) = diagnosis.rule.as_deref().and_then(|name| self.engine.rule(name)) else { continue };
            let services = plan::restarts_of(rule, diagnosis.container(), &around.mounts, &around.present);
            around.services.extend(services.into_iter().map(|s: RestartTarget| (s, Ok(Service::default()))));
        }
        let judged = judging::judge(given, &analysis, &around, &Options::default());
        self.count_holds(&judged);
        if let Some(plan) = permit(&judged, false, &Options::default()).map(|p| p.plan().clone()) {
            self.carry_out(&plan, second);
        }
    }

    fn count_holds(&mut self, judged: &[Judged]) {
        for one in judged {
            if let Some(Decision::Hold { reason, .. }) = &one.decision {
                let rule = one.diagnosis.rule.clone().unwrap_or_default();
                assert!(worth_telling(reason), "a human is not told of {reason}");
                *self.holds.entry((reason.word(), rule)).or_default() += 1;
            }
        }
    }

    /// Draws the outcome, and writes down what the transaction would.
    fn carry_out(&mut self, plan: &Plan, second: u64) {
        let kind = self.kinds.iter().position(|k| k.name == plan.rule).unwrap();
        let target = plan.component.rsplit('-').next().unwrap().parse().unwrap();
        let worked = self.lots.draw() < self.kinds[kind].truth;
        let (outcome, fix) =
            (if worked { Outcome::Healed } else { Outcome::Failed }, format!("fix_{}", self.fixes.len()));
        let ended = second + 150;
        let charge = serde_json::json!({
            "kind": "charge", "fix": fix, "rule": plan.rule, "fix_type": plan.fix_type, "target": plan.target,
            "component": plan.component, "touches": plan.touches(),
        });
        let end = serde_json::json!({ "kind": "end", "fix": fix, "outcome": outcome });
        for (line, at) in [(charge, second), (end, ended)] {
            let mut line = line;
            let at = serde_json::to_value(moment(at)).unwrap();
            line.as_object_mut().unwrap().extend(at.as_object().unwrap().clone());
            self.history.attempts.take(serde_json::from_value::<Line>(line).unwrap());
        }
        let record = serde_json::json!({
            "timestamp": clock::to_second(moment(ended).t), "issue_type": plan.issue_type, "fix_type": plan.fix_type,
            "original_confidence": plan.original_confidence, "result_status": outcome.word(),
            "validation_status": if worked { "passed" } else { "failed" }, "success": worked, "id": fix,
            "rule": plan.rule, "target": plan.target, "confidence": plan.confidence,
        });
        self.history.knowledge.take_line(learn::to_line(&record).unwrap().as_bytes()).unwrap();
        self.fixes.push(Fix {
            at: second,
            ended,
            kind,
            target: plan.target.clone(),
            confidence: plan.confidence,
            worked,
        });
        if worked {
            self.ill.remove(&(kind, target));
            self.fall_ill_later(kind, target, ended);
        }
    }
}

/// The most fixes that a span of this length holds, of those that are wanted.
fn most_within(fixes: &[Fix], span: u64, wanted: impl Fn(&Fix) -> bool) -> usize {
    let times: Vec<u64> = fixes.iter().filter(|f| wanted(f)).map(|f| f.at).collect();
    let count = |(n, at): (usize, &u64)| times[n..].iter().take_while(|t| **t - at < span).count();
    times.iter().enumerate().map(count).max().unwrap_or(0)
}

/// Expected calibration error in 5-point bins, with the bins: mean confidence, share that worked, number.
fn calibration<'a>(fixes: impl Iterator<Item = &'a Fix>) -> (f64, Vec<(f64, f64, usize)>) {
    let mut bins: BTreeMap<u8, Vec<(f64, bool)>> = BTreeMap::new();
    for fix in fixes {
        bins.entry(fix.confidence.min(99) / 5).or_default().push((f64::from(fix.confidence) / 100.0, fix.worked));
    }
    let all: usize = bins.values().map(Vec::len).sum();
    let bins: Vec<(f64, f64, usize)> = bins
        .values()
        .map(|bin| {
            let n = bin.len() as f64;
            let mean = bin.iter().map(|(c, _)| c).sum::<f64>() / n;
            (mean, bin.iter().filter(|(_, worked)| *worked).count() as f64 / n, bin.len())
        })
        .collect();
    let error = bins.iter().map(|(mean, share, n)| (mean - share).abs() * *n as f64 / all.max(1) as f64).sum();
    (error, bins)
}

#[test]
fn thirty_days_of_incidents() {
    let kinds = kinds();
    let engine = engine(&kinds);
    let mut world = World {
        engine: &engine,
        kinds: &kinds,
        lots: Lots(20_260_101),
        history: History::default(),
        streaks: streaks::Streaks::default(),
        ill: BTreeMap::new(),
        due: BTreeSet::new(),
        incidents: 0,
        fixes: Vec::new(),
        holds: BTreeMap::new(),
    };
    for (kind, of) in kinds.iter().enumerate() {
        for target in 0..of.targets {
            let at = (world.lots.draw() * 2.0 * DAY as f64) as u64;
            world.due.insert((at, kind, target));
        }
    }
    // On the tenth day a third of all fall ill at once.
    for kind in 0..BASES.len() * OFF.len() {
        world.due.extend((0..TARGETS / 3).map(|target| (10 * DAY, kind, target)));
    }
    for pass in 0..DAYS * DAY / PASS {
        world.pass(pass * PASS);
    }
    report(&world);
    assert_calibrated(&world);
    assert_within_limits(&world);
    assert_latched(&world);
}

fn report(world: &World) {
    let worked = world.fixes.iter().filter(|f| f.worked).count();
    println!("30 days, {} incidents, {} fixes, {worked} worked", world.incidents, world.fixes.len());
    for ((word, _), n) in world.holds.iter().fold(BTreeMap::new(), |mut sum: BTreeMap<_, u64>, ((word, _), n)| {
        *sum.entry((*word, ())).or_default() += n;
        sum
    }) {
        println!("held {word}: {n} times");
    }
}

fn is_known(world: &World, fix: &Fix) -> bool {
    world.kinds[fix.kind].name.starts_with("kind")
}

fn assert_calibrated(world: &World) {
    let (error, bins) = calibration(world.fixes.iter().filter(|f| is_known(world, f)));
    let counted: usize = bins.iter().map(|(.., n)| n).sum();
    for (mean, share, n) in &bins {
        println!("confidence {:5.1} %: {:5.1} % of {n} worked", mean * 100.0, share * 100.0);
    }
    println!("expected calibration error {error:.4} over {counted} fixes");
    for least in [85.0, 90.0] {
        let sure = world.fixes.iter().filter(|f| is_known(world, f) && world.kinds[f.kind].base >= least);
        let (error, bins) = calibration(sure);
        println!(
            "of rules with a base of {least} and more: {error:.4} over {}",
            bins.iter().map(|b| b.2).sum::<usize>()
        );
    }
    assert!(counted >= 2000, "{counted} fixes are too few to say anything");
    assert!(error <= 0.05, "expected calibration error {error:.4}");
}

/// Counted again, in sliding windows, without the gate's own functions.
fn assert_within_limits(world: &World) {
    let fixes = &world.fixes;
    let check = |what: &str, most: usize, allowed: usize| {
        println!("most {what}: {most} of {allowed}");
        assert!(most <= allowed, "{most} {what} where {allowed} are allowed");
    };
    check("fixes in an hour", most_within(fixes, HOUR, |_| true), FIXES_PER_HOUR);
    check("fixes in a day", most_within(fixes, DAY, |_| true), FIXES_PER_DAY);
    check("fixes in one pass", most_within(fixes, 1, |_| true), 1);
    let of_rule = (0..world.kinds.len()).map(|kind| most_within(fixes, DAY, |f| f.kind == kind)).max().unwrap();
    check("fixes of a rule in a day", of_rule, MAX_FIXES);
    let targets: BTreeSet<&str> = fixes.iter().map(|f| f.target.as_str()).collect();
    let of_target = targets.iter().map(|t| most_within(fixes, DAY, |f| f.target == *t)).max().unwrap();
    check("fixes of a target in a day", of_target, FIXES_PER_TARGET);
    for target in targets {
        let of: Vec<&Fix> = fixes.iter().filter(|f| f.target == target).collect();
        for pair in of.windows(2) {
            assert!(pair[1].at - pair[0].ended >= COOLDOWN, "{target} within its cooldown");
        }
    }
    for (span, allowed) in [(HOUR, FIXES_PER_HOUR), (DAY, FIXES_PER_DAY)] {
        assert_eq!(most_within(fixes, span, |_| true), allowed, "a limit that was never met shows nothing");
    }
}

/// What nothing mends is tried a few times, then the breaker is open and a human is called. What comes back after every
/// fix opens it too.
fn assert_latched(world: &World) {
    let tries_of =
        |name: &str| -> Vec<&Fix> { world.fixes.iter().filter(|f| world.kinds[f.kind].name == name).collect() };
    for (name, most) in [("never", 16), ("again", 16)] {
        let tries = tries_of(name);
        let held = world.holds.get(&("circuit_open", name.to_owned())).copied().unwrap_or(0);
        println!("{name}: {} tries, held by the open circuit in {held} passes", tries.len());
        assert!((3..=most).contains(&tries.len()), "{} tries of {name}", tries.len());
        assert!(held > DAYS * DAY / PASS / 2, "the circuit of {name} was open in {held} passes only");
    }
    // Three tries, then after waits that double from an hour up to a week.
    let never = tries_of("never");
    let waits = never.windows(2).map(|pair| pair[1].at - pair[0].ended).skip(2);
    for (further, wait) in waits.enumerate() {
        let least = (HOUR << further).min(7 * DAY);
        assert!(wait >= least, "it was tried again after {wait} s, not {least}");
    }
}
