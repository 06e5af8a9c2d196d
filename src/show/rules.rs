//! Rules and signatures as tables; what one pattern matches, line by line.

use crate::attempts::Attempt;
use crate::breaker::Tripped;
use crate::config::{LogTrigger, Mode, Rule, Signature, SignatureOrigin, When};
use crate::diagnose::rules::{shown, state_word};
use crate::host::clock;
use crate::logs::trial::{Tried, TriedLine, Verdict};
use crate::show::wrap::columns;
use crate::show::{self, Output, ago, count, json};
use crate::text::{clean, window};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The name of a regex that was typed; no signature can be called so.
pub const TYPED: &str = "(typed)";

/// One rule and what is known of its past.
pub struct RuleRow<'a> {
    pub rule: &'a Rule,
    /// The one that counts.
    pub mode: Mode,
    /// The newest event of a log trigger's signature; else when it last fired.
    pub last_matched: Option<Timestamp>,
    pub last_fix: Option<&'a Attempt>,
    /// How many fixes ended how.
    pub made: BTreeMap<&'static str, usize>,
    /// Its circuit breakers that are not closed.
    pub tripped: Vec<&'a Tripped>,
}

/// One signature and how it is searched.
pub struct SignatureRow<'a> {
    pub signature: &'a Signature,
    pub every_line: bool,
}

/// What is tried.
pub struct Chosen<'a> {
    pub rule: Option<(&'a Rule, &'a LogTrigger)>,
    pub signature: Cow<'a, Signature>,
    pub every_line: bool,
    /// Where the rule's logs come from.
    pub sources: Vec<String>,
}

impl Chosen<'_> {
    /// A regex of the command line.
    pub fn is_typed(&self) -> bool {
        self.signature.name == TYPED
    }
}

/// A trigger in words: `5 x rate_limit in container:shop-worker within 10m`.
pub fn when(when: &When) -> String {
    match when {
        When::Log(t) => format!("{} x {} in {} within {}", t.count, pattern_name(&t.signature), t.log, shown(t.within)),
        When::Check { check, is, passes } => format!("check {check} is {is} for {}", times(*passes)),
        When::Container { pattern, state, held_for, .. } if held_for.is_zero() => {
            format!("container {pattern} is {}", state_word(*state))
        }
        When::Container { pattern, state, held_for, .. } => {
            format!("container {pattern} is {} for {}", state_word(*state), shown(*held_for))
        }
        When::Metric { check, metric, above, below, passes } => {
            let above = above.map(|level| format!("above {level}"));
            let level = above.or_else(|| below.map(|level| format!("below {level}"))).unwrap_or_default();
            format!("{check} {metric} is {level} for {}", times(*passes))
        }
    }
}

fn times(passes: u32) -> String {
    if passes == 1 { "1 pass".to_owned() } else { format!("{passes} passes") }
}

fn pattern_name(signature: &str) -> &str {
    match signature {
        TYPED => "the regex",
        name if name.starts_with("rule:") => "its own pattern",
        name => name,
    }
}

pub fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Auto => "auto",
        Mode::Suggest => "suggest",
    }
}

fn origin_word(origin: SignatureOrigin) -> &'static str {
    match origin {
        SignatureOrigin::BuiltIn => "built-in",
        SignatureOrigin::Operator => "operator",
        SignatureOrigin::Rule => "rule",
    }
}

fn searched(every_line: bool) -> &'static str {
    if every_line { "every line" } else { "by literals" }
}

/// The name of a signature as people see it.
fn signature_name(signature: &Signature) -> String {
    signature.name.strip_prefix("rule:").map_or_else(|| signature.name.clone(), |rule| format!("of rule {rule}"))
}

/// Both tables.
pub fn list_text(rules: &[RuleRow<'_>], signatures: &[SignatureRow<'_>], now: Timestamp, out: &Output) -> String {
    let mut signature_table = out.table(&["signature", "category", "severity", "origin", "searched"]);
    for row in signatures {
        let s = row.signature;
        signature_table.add_row(vec![
            signature_name(s),
            s.category.clone(),
            s.severity.word().to_owned(),
            origin_word(s.origin).to_owned(),
            searched(row.every_line).to_owned(),
        ]);
    }
    let rules = match rules {
        [] => "no rule is configured: errors and causes are told, and nothing is ever changed".to_owned(),
        _ => rules_text(rules, now, out),
    };
    let signatures = match signatures {
        [] => "no signature is in force: no log line counts as an error".to_owned(),
        _ => out.rendered(&signature_table),
    };
    format!("{rules}\n\n{signatures}")
}

/// A line of figures for each rule, and below it what it waits for: in a column of its own nothing of it could be read.
fn rules_text(rules: &[RuleRow<'_>], now: Timestamp, out: &Output) -> String {
    let mut table = out.table(&["rule", "mode", "last matched", "breaker", "fixes"]);
    table.set_width(u16::MAX);
    for row in rules {
        table.add_row(vec![
            row.rule.name.clone(),
            mode_word(row.mode).to_owned(),
            row.last_matched.map_or_else(|| "-".to_owned(), |t| ago(t, now)),
            breaker_text(&row.tripped),
            fixes_text(row, now),
        ]);
    }
    let rendered = out.rendered(&table);
    let mut lines = rendered.lines();
    let head = lines.next().unwrap_or_default().to_owned();
    let fixes = head.find("FIXES").unwrap_or_default();
    let rows = lines
        .zip(rules)
        .flat_map(|(line, row)| [out.wrapped(line, fixes), out.wrapped(&format!("  {}", when(&row.rule.when)), 6)]);
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}

/// What its fixes came to: `2 healed, 1 rolled back, last 5m ago`.
fn fixes_text(row: &RuleRow<'_>, now: Timestamp) -> String {
    let Some(last) = row.last_fix else {
        return if row.rule.fixes.is_empty() { "no fix: it only tells" } else { "none made yet" }.to_owned();
    };
    let made: Vec<String> = row.made.iter().map(|(word, n)| format!("{n} {}", word.replace('_', " "))).collect();
    format!("{}, last {}", made.join(", "), ago(last.last_moment().t, now))
}

/// The breaker that is open the longest stands for all of a rule.
fn breaker_text(tripped: &[&Tripped]) -> String {
    match tripped.iter().max_by_key(|t| t.left) {
        None => "closed".to_owned(),
        Some(t) if t.left.is_zero() => "one try".to_owned(),
        Some(t) => format!("open, {} left", shown(show::coarse(t.left))),
    }
}

fn breaker_json(tripped: &Tripped) -> Value {
    json!({
        "target": tripped.target, "failures": tripped.failures, "left_s": tripped.left.as_secs(),
        "state": if tripped.left.is_zero() { "half_open" } else { "open" },
    })
}

/// The same for programs.
pub fn list_json(rules: &[RuleRow<'_>], signatures: &[SignatureRow<'_>]) -> Value {
    let second = |t: Timestamp| clock::to_second(t).to_string();
    let rule = |row: &RuleRow<'_>| {
        let rule = row.rule;
        let signature = if let When::Log(t) = &rule.when { Some(t.signature.as_str()) } else { None };
        json!({
            "name": rule.name,
            "mode": mode_word(row.mode),
            "when": when(&rule.when),
            "signature": signature,
            "issue_type": rule.issue_type,
            "confidence": rule.confidence,
            "fixes": rule.fixes.iter().map(|f| f.fix_type.as_str()).collect::<Vec<_>>(),
            "last_matched": row.last_matched.map(second),
            "last_fix": row.last_fix.map(|fix| second(fix.last_moment().t)),
            "fixes_made": row.made,
            "circuits": row.tripped.iter().map(|t| breaker_json(t)).collect::<Vec<_>>(),
            "last_outcome": row.last_fix.and_then(|fix| fix.ended.as_ref()).map(|(_, outcome)| outcome.word()),
        })
    };
    json!({
        "rules": rules.iter().map(rule).collect::<Vec<_>>(),
        "signatures": signatures.iter().map(|s| signature(s.signature, s.every_line)).collect::<Vec<_>>(),
    })
}

fn signature(signature: &Signature, every_line: bool) -> Value {
    json!({
        "name": signature.name,
        "category": signature.category,
        "severity": signature.severity,
        "origin": origin_word(signature.origin),
        "searched": if every_line { "every_line" } else { "literals" },
        "pattern": signature.pattern,
        "ignore": signature.ignore,
    })
}

/// Shows a trial while it runs: nothing of it is kept.
pub struct TryShow<'a> {
    chosen: &'a Chosen<'a>,
    missed: bool,
    told: u64,
    out: &'a Output,
}

impl<'a> TryShow<'a> {
    /// Says what is tried on what.
    pub fn begin(chosen: &'a Chosen<'a>, log: &str, missed: bool, out: &'a Output) -> TryShow<'a> {
        if out.json {
            let head = json!({ "tried": tried_json(chosen), "log": log, "missed": missed });
            // The document is written as it comes: a log may have any number of lines.
            out.line(&format!("{{\"data\":{{{},\"lines\":[", members(&head)));
        } else if !out.quiet {
            out.prose(&head(chosen, out), 2);
        }
        TryShow { chosen, missed, told: 0, out }
    }

    /// Tells of one line; whether anybody still listens.
    pub fn line(&mut self, line: &TriedLine<'_>) -> bool {
        self.told += 1;
        if self.out.json {
            let comma = if self.told > 1 { "," } else { "" };
            return self.out.reached(&format!("{comma}{}", line_json(line)));
        }
        self.out.quiet || self.out.reached(&line_text(line, self.chosen, self.out))
    }

    /// Sums up; `failed` says why the log was not read to its end.
    pub fn end(self, tried: &Tried, failed: Option<&str>) {
        if self.out.json {
            let summary = summary_json(tried, self.chosen, self.missed);
            let status = match failed {
                None => members(&json!({ "status": "success" })),
                Some(why) => members(&json::error(why, 1)),
            };
            self.out.line(&format!("],\"summary\":{summary}}},{status}}}"));
        } else if failed.is_none() || tried.lines > 0 {
            self.out.prose(&summary(tried, self.chosen, self.missed), 2);
        }
    }
}

/// An object without its braces.
fn members(object: &Value) -> String {
    let text = object.to_string();
    text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or_default().to_owned()
}

fn head(chosen: &Chosen<'_>, out: &Output) -> String {
    let s = &chosen.signature;
    let mut lines = Vec::new();
    if let Some((rule, trigger)) = chosen.rule {
        let from = chosen.sources.join(", ");
        let from = if from.is_empty() { String::new() } else { format!(" ({from})") };
        lines.push(out.bold(&format!("rule {}: {}", rule.name, when(&rule.when))));
        lines.push(clean(&format!("reads {}{from}; this log stands for it", trigger.log)));
    }
    let how = format!("searched {}", searched(chosen.every_line).replace("every line", "line by line"));
    lines.push(match chosen.is_typed() {
        true => out.bold(&format!("regex, {how}")),
        false => {
            let of = format!("{}, {}, {}", s.category, s.severity.word(), origin_word(s.origin));
            format!("signature {} ({of}), {how}", signature_name(s))
        }
    });
    lines.join("\n")
}

fn tried_json(chosen: &Chosen<'_>) -> Value {
    let mut body = signature(&chosen.signature, chosen.every_line);
    let kind = match (chosen.rule, chosen.is_typed()) {
        (Some(_), _) => "rule",
        (None, true) => "regex",
        (None, false) => "signature",
    };
    if let Value::Object(body) = &mut body {
        body.insert("kind".into(), kind.into());
        let rule = chosen.rule.map(|(rule, trigger)| {
            json!({
                "name": rule.name,
                "log": trigger.log,
                "sources": chosen.sources,
                "count": trigger.count,
                "within_seconds": trigger.within.as_secs(),
            })
        });
        body.insert("rule".into(), rule.into());
        if chosen.is_typed() {
            for key in ["name", "category", "severity", "origin"] {
                body.insert(key.into(), Value::Null);
            }
        }
    }
    body
}

/// The text that a verdict's spans are of.
fn judged_text<'a>(line: &TriedLine<'a>) -> Cow<'a, str> {
    let text = match line.verdict {
        Verdict::NotJudged(_) => line.text,
        _ => line.judged.unwrap_or(line.text),
    };
    String::from_utf8_lossy(text)
}

/// The same place in the text once it is valid UTF-8.
fn place_in(line: &TriedLine<'_>, span: &Range<usize>) -> Range<usize> {
    let text = match line.verdict {
        Verdict::NotJudged(_) => line.text,
        _ => line.judged.unwrap_or(line.text),
    };
    let length = |end: usize| String::from_utf8_lossy(text.get(..end).unwrap_or(text)).len();
    length(span.start)..length(span.end)
}

fn place(verdict: &Verdict) -> &Range<usize> {
    match verdict {
        Verdict::Matched(span) | Verdict::NotJudged(span) | Verdict::Missed(span) => span,
        Verdict::Ignored { matched, .. } => matched,
    }
}

fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Matched(_) => "matched",
        Verdict::Ignored { .. } => "ignored",
        Verdict::NotJudged(_) => "not_judged",
        Verdict::Missed(_) => "missed",
    }
}

/// The line's number, the line around the place, and below it what is there.
fn line_text(line: &TriedLine<'_>, chosen: &Chosen<'_>, out: &Output) -> String {
    let text = judged_text(line);
    let gutter = 7;
    let most = usize::from(out.width).saturating_sub(gutter + 8).max(32);
    let place = place_in(line, place(&line.verdict));
    let window = window(text.trim_end_matches('\r'), place, most);
    let name = match chosen.rule {
        Some((rule, _)) => rule.name.as_str(),
        None if chosen.is_typed() => "matches",
        None => chosen.signature.name.as_str(),
    };
    let mut what = match &line.verdict {
        Verdict::Matched(_) => name.to_owned(),
        Verdict::Ignored { by, .. } => {
            let by = place_in(line, by);
            format!("{name}, suppressed: `ignore` matches `{}`", clean(text.get(by).unwrap_or_default()))
        }
        Verdict::NotJudged(_) => "no match: of an access log line only the status is judged".to_owned(),
        Verdict::Missed(_) => "looks like an error, and no signature matches".to_owned(),
    };
    if !line.also.is_empty() {
        what.push_str(&format!("; also {}", clean(&line.also.join(", "))));
    }
    if line.judged.is_some() && !matches!(line.verdict, Verdict::NotJudged(_)) {
        what.push_str("; an access log line, shown as it is judged");
    }
    let marks = format!("{:6} | {:at$}{}", "", "", "^".repeat(window.width), at = window.at);
    let fits = columns(&marks) + 1 + columns(&what) <= usize::from(out.width);
    let what = if fits { format!(" {what}") } else { format!("\n{:6} | {what}", "") };
    format!("{:>6} | {}\n{marks}{what}", line.number, window.text)
}

fn line_json(line: &TriedLine<'_>) -> Value {
    let text = judged_text(line);
    let span = place_in(line, place(&line.verdict));
    let ignored_by = match &line.verdict {
        Verdict::Ignored { by, .. } => text.get(place_in(line, by)),
        _ => None,
    };
    json!({
        "line": line.number,
        "verdict": verdict_word(&line.verdict),
        "text": String::from_utf8_lossy(line.text),
        "judged": line.judged.map(String::from_utf8_lossy),
        "start": span.start,
        "end": span.end,
        "matched": text.get(span),
        "ignored_by": ignored_by,
        "also": line.also,
        "cut": line.cut,
    })
}

fn fires(tried: &Tried, chosen: &Chosen<'_>) -> Option<bool> {
    chosen.rule.map(|(_, trigger)| tried.most >= trigger.count)
}

fn summary(tried: &Tried, chosen: &Chosen<'_>, missed: bool) -> String {
    let lines = count(tried.lines, "line");
    let mut text = format!("{} of {lines} matched: {}", tried.matched, count(tried.events, "event"));
    for (number, what) in [
        (tried.ignored, "suppressed by `ignore`"),
        (tried.not_judged, "only in what a client wrote into an access log"),
    ] {
        if number > 0 {
            text.push_str(&format!("; {number} {what}"));
        }
    }
    if missed {
        text.push_str(&format!("\n{} of {lines} look like errors and match no signature", tried.missed));
    }
    if tried.undated > 0 {
        text.push_str(&format!("\nwithout a time of its own, counted as read now: {}", count(tried.undated, "event")));
    }
    if let Some((_, trigger)) = chosen.rule {
        let (most, within) = (count(tried.most, "event"), shown(trigger.within));
        let at = |what: &str, t: Option<Timestamp>| t.map(|t| format!("; {what} {t}")).unwrap_or_default();
        text.push_str(&match tried.most >= trigger.count {
            true => format!(
                "\nthe rule would fire: up to {most} within {within}, and it asks for {}{}",
                trigger.count,
                at("so many first at", tried.reached)
            ),
            false => format!(
                "\nthe rule would not fire: at most {most} within {within}, and it asks for {}{}",
                trigger.count,
                at("the most at", tried.most_until)
            ),
        });
    }
    text
}

fn summary_json(tried: &Tried, chosen: &Chosen<'_>, missed: bool) -> Value {
    json!({
        "lines": tried.lines,
        "bytes": tried.bytes,
        "matched": tried.matched,
        "ignored": tried.ignored,
        "not_judged": tried.not_judged,
        "missed": missed.then_some(tried.missed),
        "events": tried.events,
        "undated_events": tried.undated,
        "fires": fires(tried, chosen),
        "most_within": chosen.rule.map(|_| tried.most),
        "most_until": chosen.rule.and(tried.most_until).map(|t| t.to_string()),
        "fires_at": chosen.rule.and(tried.reached).map(|t| t.to_string()),
    })
}
