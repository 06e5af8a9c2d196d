//! Findings, diagnoses, plans and decisions as text.

use crate::config::Format;
use crate::config::Selector;
use crate::fix::edit;
use crate::gate::Decision;
use crate::model::{
    Analysis, Diagnosis, EditStep, ErrorGroup, Finding, LogReport, Plan, SignalRole, Step, Symptom, TargetFile,
};
use crate::pass::{Judged, Report};
use crate::show::checks::number;
use crate::show::{Output, diff};
use crate::tell;
use crate::text::clean;

/// Groups shown without `-v`.
const FEW_GROUPS: usize = 10;

/// Findings that no other part of the output shows, such as errors that an earlier pass read. All with `-v`.
pub fn findings(report: &Report, out: &Output) -> Option<String> {
    let shown_elsewhere = |f: &Finding| {
        let check = report.checks.iter().any(|c| c.name == f.component) || f.component.starts_with("container:");
        let log = report.logs.groups.iter().any(|g| g.sources.contains(&f.component));
        let diagnosed = report.judged.iter().any(|j| j.diagnosis.trigger.component == f.component);
        match &f.symptom_of {
            Some(root) => report.judged.iter().any(|j| j.diagnosis.trigger.component == *root),
            None => check || log || diagnosed,
        }
    };
    let wanted: Vec<&Finding> =
        report.analysis.findings.iter().filter(|f| out.verbose || !shown_elsewhere(f)).collect();
    if wanted.is_empty() {
        return None;
    }
    let mut table = out.table(&["component", "status", "finding"]);
    for finding in wanted {
        let symptom = finding.symptom_of.as_ref().map(|of| format!(" (symptom of {of})")).unwrap_or_default();
        table.add_row(vec![
            clean(&finding.component),
            finding.status.word().to_owned(),
            format!("{}{symptom}", clean(&finding.message)),
        ]);
    }
    Some(out.rendered(&table))
}

/// Error groups, worst first.
pub fn groups(logs: &LogReport, out: &Output) -> Option<String> {
    if logs.groups.is_empty() {
        return None;
    }
    let shown = if out.verbose { logs.groups.len() } else { FEW_GROUPS };
    let mut table = out.table(&["count", "severity", "signatures", "source", "error"]);
    for group in logs.groups.iter().take(shown) {
        let new = if group.new { " (new)" } else { "" };
        table.add_row(vec![
            group.count.to_string(),
            group.severity.word().to_owned(),
            group.signatures.iter().map(|name| name.replacen("rule:", "rule ", 1)).collect::<Vec<_>>().join(", "),
            clean(&group.sources.join(", ")),
            format!("{}{new}", clean(&group.template)),
        ]);
    }
    let mut text = out.rendered(&table);
    if logs.groups.len() > shown {
        text.push_str(&format!("\n({} more groups: -v shows them)", logs.groups.len() - shown));
    }
    if out.verbose {
        text.push_str(&logs.groups.iter().map(example).collect::<String>());
    }
    Some(text)
}

fn example(group: &ErrorGroup) -> String {
    let event = &group.example;
    let context = |sign: &'static str| move |line: &String| format!("\n  {sign} {}", clean(line));
    let lines = event.before.iter().map(context(" ")).chain(event.lines.iter().map(context(">")));
    let lines: String = lines.chain(event.after.iter().map(context(" "))).collect();
    format!("\n\n{} at {}{lines}", clean(&event.source), crate::host::clock::to_second(event.time))
}

/// Gaps and unreadable sources, one line each.
pub fn log_notes(logs: &LogReport) -> Vec<String> {
    let gaps = logs.gaps.iter().map(|g| {
        let size = g.bytes.map(|b| format!(" ({b} bytes)")).unwrap_or_default();
        format!("not read: {}: {}{size}", clean(&g.source), clean(&g.reason))
    });
    gaps.chain(logs.problems.iter().map(|p| format!("cannot read {}: {}", clean(&p.source), clean(&p.message))))
        .collect()
}

/// One diagnosis with every addend of its confidence, and what the gate says.
pub fn judged(judged: &Judged, out: &Output) -> String {
    let mut lines = diagnosis(&judged.diagnosis, out);
    match &judged.decision {
        None => lines.push("  decision    no rule has a fix for this: a human is needed".to_owned()),
        Some(Decision::Act(permit)) => {
            lines.push("  decision    act".to_owned());
            lines.extend(plan(permit.plan(), &judged.files, out));
        }
        Some(Decision::Hold { reason, plan: held }) => {
            lines.push(format!("  decision    hold: {}", clean(&reason.to_string())));
            let approval = held.as_ref().and_then(|plan| tell::approval(reason, plan));
            lines.extend(approval.map(|command| format!("  approve     {command}")));
            lines.extend(held.iter().flat_map(|p| plan(p, &judged.files, out)));
        }
    }
    fitted(&lines.join("\n"), out)
}

/// A diagnosis and its plan broken to the width, but for the lines of a diff.
pub fn fitted(text: &str, out: &Output) -> String {
    text.lines().map(|line| fitted_line(line, out)).collect::<Vec<_>>().join("\n")
}

fn fitted_line(line: &str, out: &Output) -> String {
    match line.strip_prefix("    ") {
        Some(step) if step.starts_with("| ") => line.to_owned(),
        Some(step) if !step.starts_with(' ') => out.wrapped(line, 6),
        _ => out.wrapped(line, 14),
    }
}

fn diagnosis(d: &Diagnosis, out: &Output) -> Vec<String> {
    let rule = d.rule.as_ref().map_or("built-in cause".to_owned(), |r| format!("rule {r}"));
    let mut lines = vec![
        out.bold(&format!("{} {}", d.issue_type, clean(&d.trigger.component))),
        format!("  cause       {} ({rule})", clean(&d.cause)),
        format!("  severity    {}", out.status(d.severity)),
        format!("  seen        {}", clean(&d.trigger.seen)),
    ];
    if let Some(example) = d.trigger.example.as_ref().filter(|e| !d.trigger.seen.contains(e.as_str())) {
        lines.push(format!("  example     {}", clean(example)));
    }
    let addends: Vec<String> = d.addends.iter().map(|a| format!("{} {}", signed(a.points), a.label)).collect();
    lines.push(format!("  confidence  {} = {}", d.confidence, clean(&addends.join(", "))));
    let beside = d.signals.iter().filter(|s| s.role != SignalRole::Trigger && d.rule.is_some());
    lines.extend(labelled("signals", beside.map(tell::signal)));
    if d.candidates.len() > 1 {
        lines.extend(labelled("candidates", d.candidates.iter().map(tell::candidate)));
    }
    let symptom = |s: &Symptom| format!("{} is {}: {}", s.component, s.status, s.message);
    lines.extend(labelled("symptoms", d.symptoms.iter().map(symptom)));
    if d.flapping {
        lines.push("  flapping    it closed and came back three times or more within an hour".to_owned());
    }
    if d.affected.len() > 1 {
        lines.push(format!("  affected    {}", clean(&d.affected.join(", "))));
    }
    if let Some(root) = &d.symptom_of {
        lines.push(format!("  symptom of  {root}"));
    }
    if let Some(category) = d.category {
        let time = d.estimated_seconds.map(|s| crate::diagnose::rules::shown(std::time::Duration::from_secs(s)));
        let time = time.map(|t| format!(", about {t}")).unwrap_or_default();
        lines.push(format!("  mended in   {}{time}", category.word()));
    }
    lines
}

/// Lines of one kind, the first with its label.
fn labelled(label: &str, lines: impl Iterator<Item = String>) -> Vec<String> {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(lines).map(|(label, line)| format!("  {label:<10}  {}", clean(&line))).collect()
}

fn signed(points: f64) -> String {
    format!("{}{}", if points < 0.0 { "-" } else { "+" }, number(points.abs()))
}

/// The steps of a plan, edits as diffs.
pub fn plan(plan: &Plan, files: &[TargetFile], out: &Output) -> Vec<String> {
    let mut lines = vec![format!("  plan        {} ({})", plan.id, plan.fix_type)];
    for step in &plan.steps {
        match step {
            Step::Restart(target) => lines.push(format!("    {} {target}", target.verb())),
            Step::Act(act) => lines.push(format!("    {}", clean(&act.words()))),
            Step::Edit(e) => {
                lines.push(format!(
                    "    edit {}:{} `{}`: {} -> {}",
                    e.path.display(),
                    e.line,
                    e.at,
                    clean(&e.old),
                    clean(&e.new)
                ));
                let diff = files.iter().find(|f| f.path == e.path).and_then(|f| edit_diff(f, e, out));
                lines.extend(diff.iter().flat_map(|d| d.lines()).map(|l| format!("    | {l}")));
            }
        }
    }
    let v = &plan.validation;
    lines.push(format!(
        "    then watch {} for {}s (at most {}s)",
        clean(&crate::validate::shown_watched(&v.watched)),
        number(v.window_seconds),
        number(v.max_window_seconds)
    ));
    lines.extend(plan.notes.iter().map(|n| format!("    note: {n}")));
    lines
}

/// The edits of a plan as unified diffs, one after the other.
pub fn diffs(plan: &Plan, files: &[TargetFile], out: &Output) -> String {
    let of = |edit: &EditStep| files.iter().find(|f| f.path == edit.path).and_then(|f| edit_diff(f, edit, out));
    plan.edits().filter_map(of).collect::<Vec<_>>().join("\n")
}

fn edit_diff(file: &TargetFile, step: &EditStep, out: &Output) -> Option<String> {
    let format = Format::of(&file.path)?;
    let selector = Selector::parse(&step.at, format).ok()?;
    let new = edit::apply(&file.bytes, format, &selector, &step.new).ok()?;
    Some(diff::unified(&file.bytes, &new, &file.path.display().to_string(), out))
}

/// Whether a diagnosis is shown with its root's: one incident is told once.
pub fn is_shown_with_root(diagnosis: &Diagnosis, report: &Report) -> bool {
    let is_root = |root: &String| report.judged.iter().any(|j| j.diagnosis.trigger.component == *root);
    diagnosis.symptom_of.as_ref().is_some_and(is_root)
}

/// The rest of a diagnosis: what lost and is shown with no winner, and which rules did not fire.
pub fn others(report: &Report, out: &Output) -> Option<String> {
    if !out.verbose {
        return None;
    }
    let lines = others_of(&report.analysis);
    (!lines.is_empty()).then(|| out.wrapped(&lines.join("\n"), 2))
}

/// The same, line by line.
pub fn others_of(analysis: &Analysis) -> Vec<String> {
    let mut lines = Vec::new();
    let shown = |d: &Diagnosis| {
        let mut candidates = analysis.diagnoses.iter().flat_map(|d| &d.candidates);
        candidates.any(|c| c.rule == d.rule && c.issue_type == d.issue_type && c.component == d.trigger.component)
    };
    for d in analysis.competing.iter().filter(|d| !shown(d)) {
        let rule = d.rule.as_deref().unwrap_or("built-in cause");
        lines.push(format!(
            "also possible: {} {} ({rule}), confidence {}",
            d.issue_type,
            clean(&d.trigger.component),
            d.confidence
        ));
    }
    lines.extend(analysis.not_fired.iter().map(|n| format!("rule {} did not fire: {}", n.rule, clean(&n.reason))));
    lines
}
