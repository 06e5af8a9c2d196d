//! Which literals a pattern requires: every text it matches contains at least one of them.
//!
//! Pure: a regex's syntax tree in, byte strings out. Not here: searching for them.

use regex_syntax::hir::{Class, Hir, HirKind};

/// A stem longer than this helps no more.
const MAX_LENGTH: usize = 24;
/// More alternatives than this for one pattern slow the search for all of them.
const MAX_STEMS: usize = 32;
/// The same for a pattern of many alternatives, each with stems of its own.
const MAX_INNER: usize = 128;
/// A class of more characters than the digits is no literal.
const MAX_CLASS: usize = 10;
/// A shorter stem hits too often to be worth anything.
const MIN_LENGTH: usize = 3;

/// What a pattern requires.
#[derive(Debug, PartialEq, Eq)]
pub struct Required {
    pub stems: Vec<Vec<u8>>,
    /// It matches where one of the stems stands, and nowhere else.
    pub exact: bool,
}

/// The syntax of a pattern; `None` where it is none.
pub fn syntax(pattern: &str, unicode: bool) -> Option<Hir> {
    regex_syntax::ParserBuilder::new().utf8(false).unicode(unicode).build().parse(pattern).ok()
}

/// The stems of a pattern, or `None` where it has none that are worth searching for.
pub fn required(hir: &Hir) -> Option<Required> {
    let known = visit(hir);
    let whole = |set: &Vec<Vec<u8>>| set.iter().all(|stem| stem.len() <= MAX_LENGTH && !stem.contains(&b'\n'));
    let exact = known.exact.as_ref().is_some_and(whole) && hir.properties().look_set().is_empty();
    let stems = known.best()?;
    (shortest(&stems) >= MIN_LENGTH).then_some(Required { stems, exact })
}

/// On which lines the values of digits matter to a pattern. On others it matches all or none of those that differ in
/// them alone.
#[derive(Debug, PartialEq, Eq)]
pub enum Digits {
    /// On those that hold one of these; mostly there are none.
    With(Vec<Vec<u8>>),
    /// On any.
    Matter,
}

/// On which lines the values of digits matter to a pattern.
pub fn digits(hir: &Hir) -> Digits {
    let ways = ways(hir).iter().filter(|way| !are_digits_alike(way));
    let stems: Option<Vec<_>> = ways.map(|way| visit(way).best().filter(|s| shortest(s) >= MIN_LENGTH)).collect();
    stems.map_or(Digits::Matter, |stems| Digits::With(stems.concat()))
}

/// The ways in which a pattern can match.
fn ways(hir: &Hir) -> &[Hir] {
    match hir.kind() {
        HirKind::Capture(group) => ways(&group.sub),
        HirKind::Alternation(ways) => ways,
        _ => std::slice::from_ref(hir),
    }
}

/// Whether a pattern takes any digit where it takes one.
fn are_digits_alike(hir: &Hir) -> bool {
    let all_or_none = |ranges: &mut dyn Iterator<Item = (u32, u32)>| {
        let holds =
            |(from, to): (u32, u32)| (u32::from(b'0')..=u32::from(b'9')).filter(|d| (from..=to).contains(d)).count();
        [0, 10].contains(&ranges.map(holds).sum())
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => !literal.0.iter().any(u8::is_ascii_digit),
        HirKind::Class(Class::Unicode(class)) => {
            all_or_none(&mut class.ranges().iter().map(|r| (r.start().into(), r.end().into())))
        }
        HirKind::Class(Class::Bytes(class)) => {
            all_or_none(&mut class.ranges().iter().map(|r| (r.start().into(), r.end().into())))
        }
        HirKind::Repetition(repeated) => are_digits_alike(&repeated.sub),
        HirKind::Capture(group) => are_digits_alike(&group.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(are_digits_alike),
    }
}

/// What is known about the text that one part of a pattern matches.
struct Known {
    /// All texts it can match, when they are few.
    exact: Option<Vec<Vec<u8>>>,
    /// One of these is contained in every match.
    inner: Option<Vec<Vec<u8>>>,
}

impl Known {
    fn nothing() -> Known {
        Known { exact: None, inner: None }
    }

    fn exactly(set: Vec<Vec<u8>>) -> Known {
        Known { exact: Some(set), inner: None }
    }

    fn best(self) -> Option<Vec<Vec<u8>>> {
        better(self.exact.map(cut), self.inner)
    }
}

fn visit(hir: &Hir) -> Known {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Known::exactly(vec![Vec::new()]),
        HirKind::Literal(literal) => Known::exactly(vec![literal.0.to_vec()]),
        HirKind::Class(class) => small_class(class).map_or_else(Known::nothing, Known::exactly),
        HirKind::Capture(group) => visit(&group.sub),
        HirKind::Repetition(r) if r.min == 1 && r.max == Some(1) => visit(&r.sub),
        HirKind::Repetition(r) if r.min == 0 && r.max == Some(1) => optional(visit(&r.sub)),
        HirKind::Repetition(r) if r.min >= 1 => Known { exact: None, inner: visit(&r.sub).best() },
        HirKind::Repetition(_) => Known::nothing(),
        HirKind::Concat(parts) => concat(parts),
        HirKind::Alternation(parts) => alternation(parts),
    }
}

fn optional(sub: Known) -> Known {
    match sub.exact {
        Some(mut set) if set.len() < MAX_STEMS => {
            set.push(Vec::new());
            Known::exactly(set)
        }
        _ => Known::nothing(),
    }
}

/// Neighbouring parts with few texts are joined to longer ones; the best run wins.
fn concat(parts: &[Hir]) -> Known {
    let mut run: Vec<Vec<u8>> = vec![Vec::new()];
    let mut whole = true;
    let mut inner = None;
    for part in parts {
        let known = visit(part);
        match known.exact {
            Some(set) if set.len().saturating_mul(run.len()) <= MAX_STEMS => run = product(&run, &set),
            Some(set) => {
                whole = false;
                inner = better(inner, Some(cut(std::mem::replace(&mut run, set))));
            }
            None => {
                whole = false;
                inner = better(inner, Some(cut(std::mem::replace(&mut run, vec![Vec::new()]))));
                inner = better(inner, known.inner);
            }
        }
    }
    if whole {
        return Known::exactly(run);
    }
    Known { exact: None, inner: better(inner, Some(cut(run))) }
}

fn alternation(parts: &[Hir]) -> Known {
    let known: Vec<Known> = parts.iter().map(visit).collect();
    let exact: Option<Vec<_>> = known.iter().map(|k| k.exact.clone()).collect();
    if let Some(set) = exact.map(|sets| sets.concat()).filter(|set| set.len() <= MAX_STEMS) {
        return Known::exactly(set);
    }
    let inner: Option<Vec<_>> = known.into_iter().map(Known::best).collect();
    Known { exact: None, inner: inner.map(|sets| sets.concat()).filter(|set| set.len() <= MAX_INNER) }
}

fn small_class(class: &Class) -> Option<Vec<Vec<u8>>> {
    let mut set = Vec::new();
    match class {
        Class::Unicode(class) => {
            for range in class.ranges() {
                for c in range.start()..=range.end() {
                    set.push(c.to_string().into_bytes());
                    if set.len() > MAX_CLASS {
                        return None;
                    }
                }
            }
        }
        Class::Bytes(class) => {
            for range in class.ranges() {
                for b in range.start()..=range.end() {
                    set.push(vec![b]);
                    if set.len() > MAX_CLASS {
                        return None;
                    }
                }
            }
        }
    }
    Some(set)
}

fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Vec<Vec<u8>> {
    left.iter().flat_map(|l| right.iter().map(move |r| [l.as_slice(), r].concat())).collect()
}

fn cut(mut set: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for stem in &mut set {
        stem.truncate(MAX_LENGTH);
    }
    set.sort();
    set.dedup();
    set
}

fn shortest(set: &[Vec<u8>]) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}

/// The rarer of two sets: long stems first, then few of them.
fn better(a: Option<Vec<Vec<u8>>>, b: Option<Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
    let worth = |set: &Vec<Vec<u8>>| (shortest(set).min(8), std::cmp::Reverse(set.len()), shortest(set));
    match (a, b) {
        (Some(a), Some(b)) => Some(if worth(&b) > worth(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: Option<&[&str]>) {
        let found = required(&syntax(pattern, true).unwrap()).map(|found| {
            let mut set: Vec<String> = found.stems.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect();
            set.sort();
            set
        });
        assert_eq!(found, expected.map(|e| e.iter().map(|s| s.to_string()).collect()), "{pattern}");
    }

    #[test]
    fn every_match_of_a_pattern_holds_one_of_its_stems() {
        check("Groq API error", Some(&["Groq API error"]));
        check("(Traceback|Exception|Error):", Some(&["Error:", "Exception:", "Traceback:"]));
        check("429.*Too Many Requests", Some(&["Too Many Requests"]));
        check(
            "(429|503) (Client|Server) Error",
            Some(&["429 Client Error", "429 Server Error", "503 Client Error", "503 Server Error"]),
        );
        check(r"\bconn(ection)? refused", Some(&["conn refused", "connection refused"]));
        check("[Tt]imed out", Some(&["Timed out", "timed out"]));
        check(r"(?:abc)+\d", Some(&["abc"]));
        check("(abc)*|def", None);
        check(r"\d+", None);
        check("ab", None);
        check("(?:foo|x*)bar", Some(&["bar"]));
        check("HTTP 50[0-2]", Some(&["HTTP 500", "HTTP 501", "HTTP 502"]));
    }

    #[test]
    fn a_pattern_is_exact_when_it_is_nothing_but_its_stems() {
        let check = |pattern: &str, exact: bool| {
            assert_eq!(required(&syntax(pattern, true).unwrap()).unwrap().exact, exact, "{pattern}")
        };
        check("Groq API error", true);
        check("(Database|Integrity)Error", true);
        check("(?i)abc", true);
        check(r"\bGroq API error", false);
        check("abc$", false);
        check("429.*Too Many Requests", false);
        check("(abc)+", false);
        check("a text that is longer than any stem", false);
        check("abc\ndef", false);
    }
    #[test]
    fn the_values_of_digits_matter_only_beside_texts_that_are_told() {
        let check = |pattern: &str, expected: Option<&[&str]>| {
            let found = match digits(&syntax(pattern, true).unwrap()) {
                Digits::With(stems) => Some(stems),
                Digits::Matter => None,
            };
            let expected = expected.map(|stems| stems.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>());
            assert_eq!(found, expected, "{pattern}");
        };
        check(r"\b(Traceback|\w*Exception|\w+Error): ", Some(&[]));
        check(r"\bORA-\d{5}\b|[A-Z0-9_]{3}", Some(&[]));
        check(r"(Foo|Errors?: (0\b|none\b))", Some(&["Error: 0", "Error: none", "Errors: 0", "Errors: none"]));
        check("429 Client Error|Groq API error", Some(&["429 Client Error"]));
        check("HTTP 50[0-2]|x", Some(&["HTTP 500", "HTTP 501", "HTTP 502"]));
        check("[1-9]+|Groq", None);
    }
}
