//! Laws: an edit changes its span and nothing else, undoing gives back every byte, the arithmetic is exact, and no
//! input makes anything panic or overflow the stack.

use super::*;
use crate::host::files::sha256;
use crate::host::replace::{Replaced, replace};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;

/// A number as it is written, and what it is: `digits / 10^scale`.
#[derive(Debug, Clone)]
struct Written {
    text: String,
    digits: i64,
    scale: u32,
}

fn number() -> impl Strategy<Value = Written> {
    (2i64..1_000_000, 0u32..4, any::<bool>()).prop_map(|(digits, scale, negative)| {
        let unit = 10i64.pow(scale);
        let sign = if negative { "-" } else { "" };
        let fraction = if scale == 0 { String::new() } else { format!(".{:0w$}", digits % unit, w = scale as usize) };
        Written {
            text: format!("{sign}{}{fraction}", digits / unit),
            digits: if negative { -digits } else { digits },
            scale,
        }
    })
}

/// One `key = number` of a random file: its decoration, chosen by numbers so that each format has its own.
#[derive(Debug, Clone)]
struct Entry {
    number: Written,
    quote: usize,
    suffix: usize,
    comment: usize,
    before: usize,
    crlf: bool,
}

#[derive(Debug, Clone)]
struct Sketch {
    entries: Vec<Entry>,
    chosen: usize,
    bom: bool,
    final_newline: bool,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let entry = (number(), 0usize..3, 0usize..4, 0usize..4, 0usize..4, any::<bool>()).prop_map(
        |(number, quote, suffix, comment, before, crlf)| Entry { number, quote, suffix, comment, before, crlf },
    );
    (prop::collection::vec(entry, 1..8), any::<prop::sample::Index>(), any::<bool>(), any::<bool>()).prop_map(
        |(entries, chosen, bom, final_newline)| Sketch {
            chosen: chosen.index(entries.len()),
            entries,
            bom,
            final_newline,
        },
    )
}

/// How a format writes things: head of the file, before and behind each literal, the end; comments; blank lines.
struct Style {
    format: Format,
    head: &'static str,
    before: fn(usize) -> String,
    after: &'static str,
    tail: &'static str,
    quotes: [&'static str; 3],
    plain_suffix: bool,
    comments: [&'static str; 4],
    between: [&'static str; 4],
    at: fn(usize) -> String,
}

const STYLES: [Style; 7] = [
    Style {
        format: Format::Toml,
        head: "top = 'é'\n[s]\n",
        before: |i| format!("k{i} = "),
        after: "",
        tail: "",
        quotes: ["", "'", "\""],
        plain_suffix: false,
        comments: ["", " # c \"", "\t# k1 = 3 é", "  "],
        between: ["", "\n", "# k0 = 1\n", "[t.u]\nx = \"a\"\n[s.\"n\"]\n[[v]]\n[s.d]\n"],
        at: |i| format!("k{i}"),
    },
    Style {
        format: Format::Yaml,
        head: "# é\ntop: [1, {a: b}]\ns:\n",
        before: |i| format!("  k{i}: "),
        after: "",
        tail: "",
        quotes: ["", "'", "\""],
        plain_suffix: true,
        comments: ["", " # c \" é", "   # k1: 3", "  "],
        between: ["", "\n", "  # k0: 1\n", "  &x 'y z': [a, \"b\"]\n"],
        at: |i| format!("s.k{i}"),
    },
    Style {
        format: Format::Yaml,
        head: "e:\n",
        before: |i| format!("  - K{i}="),
        after: "",
        tail: "",
        quotes: ["", "", ""],
        plain_suffix: true,
        comments: ["", " # c", "\t# é", "  "],
        between: ["", "\n", "  # c\n", "  - 'x y'\n"],
        at: |i| format!("e[K{i}=]"),
    },
    Style {
        format: Format::Json,
        head: "{\"top\": \"é\\n\", \"s\": [\n",
        before: |_| "{\"k\": ".into(),
        after: "},",
        tail: "[]]}",
        quotes: ["", "\"", "\""],
        plain_suffix: false,
        comments: ["", " // c \"", "/* é */", "  "],
        between: ["", "\n", "// {\n", "/* \n */"],
        at: |i| format!("s[{i}].k"),
    },
    Style {
        format: Format::Ini,
        head: "top = é\n[s]\n",
        before: |i| format!("k{i} : "),
        after: "",
        tail: "",
        quotes: ["", "'", "\""],
        plain_suffix: true,
        comments: ["", " ; c", "\t# k1 = 3 é", "  "],
        between: ["", "\n", "; k0 = 1\n", "# [t]\n"],
        at: |i| format!("s.k{i}"),
    },
    Style {
        format: Format::Env,
        head: "TOP='é'\n",
        before: |i| format!("export K{i}="),
        after: "",
        tail: "",
        quotes: ["", "'", "\""],
        plain_suffix: true,
        comments: ["", " # c", "\t# K1=3 é", "  "],
        between: ["", "\n", "# K0=1\n", "  #\n"],
        at: |i| format!("K{i}"),
    },
    Style {
        format: Format::Python,
        head: "TOP = 'é'\nclass A:\n    async def f(self):\n",
        before: |i| format!("        await self.g{i}(x, *[1], k="),
        after: ")",
        tail: "",
        quotes: ["", "'", "\""],
        plain_suffix: false,
        comments: ["", "  # c '", "\t# g1(k=3) é", "  "],
        between: ["", "\n", "# g0(k=1)\n", "        y = f'{x} {h(k=1)}'\n"],
        at: |i| format!("keyword k of self.g{i} in A.f"),
    },
];

/// The file, and where the chosen literal is in it.
fn write(sketch: &Sketch, style: &Style) -> (String, Range<usize>) {
    let mut file = if sketch.bom { BOM.to_string() } else { String::new() };
    file += style.head;
    let mut span = 0..0;
    for (i, entry) in sketch.entries.iter().enumerate() {
        // Sections would take the following keys of TOML with them.
        let between = if style.format == Format::Toml && entry.before == 3 { "" } else { style.between[entry.before] };
        let ending = if entry.crlf { "\r\n" } else { "\n" };
        file += &between.replace('\n', ending);
        file += &(style.before)(i);
        let quote = style.quotes[entry.quote];
        let suffix = if quote.is_empty() && !style.plain_suffix { "" } else { ["", "m", "MB", "%"][entry.suffix] };
        let start = file.len();
        file += &format!("{quote}{}{suffix}{quote}", entry.number.text);
        if i == sketch.chosen {
            span = start..file.len();
        }
        file += style.after;
        file += style.comments[entry.comment];
        file += ending;
    }
    file += style.tail;
    if !sketch.final_newline {
        file.truncate(file.trim_end_matches(['\r', '\n']).len());
    }
    (file, span)
}

fn selector_of(style: &Style, chosen: usize) -> Selector {
    let section = if style.format == Format::Toml { "s." } else { "" };
    selector(&format!("{section}{}", (style.at)(chosen)), style.format)
}

/// Times quarters / 4, rounded towards the old value for an integer: what an edit must give, in integers.
fn expected(old: &Written, quarters: i64) -> Option<Decimal> {
    let exact = i128::from(old.digits) * i128::from(quarters);
    if old.scale > 0 {
        let text = format!("{}{:05}", if exact < 0 { "-" } else { "" }, exact.unsigned_abs() * 25);
        let point = text.len() - old.scale as usize - 2;
        return Decimal::parse(&format!("{}.{}", &text[..point], &text[point..]));
    }
    let grows = quarters > 4;
    let floor = exact.unsigned_abs() / 4;
    let rounded = if grows || exact % 4 == 0 { floor } else { floor + 1 };
    Decimal::parse(&format!("{}{rounded}", if exact < 0 { "-" } else { "" }))
}

proptest! {
    #[test]
    fn an_edit_changes_its_span_and_nothing_else(
        sketch in sketch(),
        style in 0..STYLES.len(),
        quarters in prop::sample::select(vec![2i64, 3, 5, 6, 7, 8]),
    ) {
        let style = &STYLES[style];
        let (file, span) = write(&sketch, style);
        let at = selector_of(style, sketch.chosen);
        let found = locate(file.as_bytes(), style.format, &at).map_err(|e| TestCaseError::fail(format!("{e}\n{file}")))?;
        prop_assert_eq!(&found.span, &span, "{}", &file);
        prop_assert_eq!(found.line, file[..span.start].matches('\n').count() + 1);

        let old = &sketch.entries[sketch.chosen].number;
        let wanted = expected(old, quarters).unwrap();
        let change = multiply(quarters as f64 / 4.0);
        let next = match next_literal(&found.literal, &change, None, None, 2.0) {
            Ok(next) => next,
            Err(BoundError::TooSmall { .. }) => {
                prop_assert_eq!(Some(wanted), found.literal.number().map(|n| n.value));
                return Ok(());
            }
            Err(e) => return Err(TestCaseError::fail(e.to_string())),
        };
        let new = apply(file.as_bytes(), style.format, &at, &next.raw)
            .map_err(|e| TestCaseError::fail(format!("{e}\n{file}")))?;
        let spliced = format!("{}{}{}", &file[..span.start], next.raw, &file[span.end..]);
        prop_assert_eq!(new.as_slice(), spliced.as_bytes());
        let again = locate(&new, style.format, &at).unwrap();
        prop_assert_eq!(again.literal.number().map(|n| n.value), Some(wanted));
        prop_assert_eq!(&again.literal.number().unwrap().suffix, &found.literal.number().unwrap().suffix);
        let undone = apply(&new, style.format, &at, &found.literal.raw).unwrap();
        prop_assert_eq!(undone.as_slice(), file.as_bytes());
    }

    #[test]
    fn a_text_that_is_set_is_read_back_or_refused(
        content in "[a-zA-Z0-9 .:#'\"\\\\$,%\\[\\]{}=;&*!|>`@~?\\-\n\t\u{1}é\u{85}\u{2028}\u{feff}]{0,12}",
        case in 0usize..12,
    ) {
        let (format, file, at) = [
            (Format::Toml, "a = 'zz' # c\nb = 1\n", "a"),
            (Format::Toml, "a = \"zz\" # c\nb = 1\n", "a"),
            (Format::Json, "{\"a\": \"zz\", \"b\": 1}", "a"),
            (Format::Yaml, "a: zz # c\nb: 1\n", "a"),
            (Format::Yaml, "{a: zz, b: 1}\n", "a"),
            (Format::Yaml, "a: 'zz' # c\nb: 1\n", "a"),
            (Format::Yaml, "- \"zz\" # c\n- 1\n", "[0]"),
            (Format::Ini, "[s]\na = zz\nb = 1\n", "s.a"),
            (Format::Env, "A=zz\nB=1\n", "A"),
            (Format::Env, "A=\"zz\" # c\nB=1\n", "A"),
            (Format::Python, "f('zz', 1) # c\n", "call f"),
            (Format::Yaml, "e:\n- A=zz # c\n- B=1\n", "e[A=]"),
        ][case];
        let at = selector(at, format);
        let old = locate(file.as_bytes(), format, &at).unwrap();
        if let Ok(next) = next_literal(&old.literal, &text(&content), None, None, 2.0) {
            // What the style's own rules allow must also pass the proof after splicing, with the same text.
            let new = apply(file.as_bytes(), format, &at, &next.raw)
                .map_err(|e| TestCaseError::fail(format!("{e}: {}", next.raw)))?;
            let read = locate(&new, format, &at).unwrap().literal;
            let same = match &read.value {
                Value::Text(text) => *text == content,
                // Numbers and booleans in text have no text of their own: quotes aside, the bytes must be there.
                _ => read.raw.trim_matches(['"', '\'']) == content,
            };
            prop_assert!(same, "{:?} is read from {:?}", read.value, next.raw);
        }
    }

    #[test]
    fn no_bytes_and_no_new_text_make_it_panic(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[a-c0-9 .:=#'\"\\\\\\[\\](){}\n\r\t,&*!|>+\\-éf]{0,60}".prop_map(String::into_bytes),
        ],
        new in "[a-c0-9 .:=#'\"\n]{0,8}",
    ) {
        for format in [Format::Toml, Format::Yaml, Format::Json, Format::Ini, Format::Env] {
            for at in ["a", "b", "c"] {
                let _ = apply(&bytes, format, &selector(at, format), &new);
            }
        }
        for at in ["call f", "assign a", "keyword a of f", "call a arg 2 in b"] {
            let _ = apply(&bytes, Format::Python, &selector(at, Format::Python), &new);
        }
    }

    #[test]
    fn arithmetic_never_panics_and_its_result_is_within_its_bounds(
        raw in "'[+-]?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?[a-z%]{0,3}'",
        operand in prop_oneof![any::<f64>(), -10.0..10.0f64],
        bounds in (prop::option::of(-100.0..100.0f64), prop::option::of(-100.0..100.0f64)),
        factor in 1.0..5.0f64,
        kind in 0..3,
    ) {
        let file = format!("f({raw})");
        let at = selector("call f", Format::Python);
        let old = locate(file.as_bytes(), Format::Python, &at).unwrap().literal;
        let change = match kind {
            0 => Change::Multiply(operand),
            1 => Change::Add(operand),
            _ => Change::Set(SetValue::Number(operand.to_string())),
        };
        if let Ok(next) = next_literal(&old, &change, bounds.0, bounds.1, factor) {
            let new = apply(file.as_bytes(), Format::Python, &at, &next.raw).unwrap();
            let new = locate(&new, Format::Python, &at).unwrap().literal;
            let (old, new) = (old.number().unwrap().clone(), new.number().unwrap().clone());
            prop_assert_ne!(old.value, new.value);
            prop_assert_eq!(old.integer, new.integer);
            prop_assert!(bounds.0.and_then(Decimal::from_f64).is_none_or(|min| new.value >= min));
            prop_assert!(bounds.1.and_then(Decimal::from_f64).is_none_or(|max| new.value <= max));
            let [old, new] = [old.value, new.value].map(|d| d.to_string().parse::<f64>().unwrap());
            if old != 0.0 {
                let ratio = new / old;
                prop_assert!(ratio <= factor * 1.000001 && ratio >= 1.0 / factor / 1.000001, "{old} to {new}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn on_the_disk_an_edit_changes_its_span_alone_and_undoing_gives_back_every_byte_and_the_mode(
        sketch in sketch(),
        style in 0..STYLES.len(),
        quarters in prop::sample::select(vec![2i64, 3, 5, 6, 7, 8]),
        mode in prop::sample::select(vec![0o600u32, 0o640, 0o444, 0o755, 0o4750, 0o6755]),
    ) {
        let style = &STYLES[style];
        let (file, span) = write(&sketch, style);
        let at = selector_of(style, sketch.chosen);
        let old = locate(file.as_bytes(), style.format, &at).unwrap().literal;
        let Ok(next) = next_literal(&old, &multiply(quarters as f64 / 4.0), None, None, 2.0) else { return Ok(()) };
        let new = apply(file.as_bytes(), style.format, &at, &next.raw).unwrap();

        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().canonicalize().unwrap().join("target");
        std::fs::write(&target, &file).unwrap();
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)).unwrap();
        let replace = |expected: &[u8], new: &[u8]| {
            let mut keep = |_: &[u8]| anyhow::bail!("nobody else has changed it");
            replace(&target, &sha256(expected), new, "t1", &mut keep).unwrap()
        };
        let there = || {
            let names = std::fs::read_dir(dir.path()).unwrap().count();
            (std::fs::read(&target).unwrap(), std::fs::metadata(&target).unwrap().permissions().mode() & 0o7777, names)
        };
        prop_assert_eq!(replace(file.as_bytes(), &new), Replaced::Done);
        let spliced = format!("{}{}{}", &file[..span.start], next.raw, &file[span.end..]);
        prop_assert_eq!(there(), (spliced.into_bytes(), mode, 1));
        let undone = apply(&there().0, style.format, &at, &old.raw).unwrap();
        prop_assert_eq!(replace(&new, &undone), Replaced::Done);
        prop_assert_eq!(there(), (file.into_bytes(), mode, 1));
    }
}

#[test]
fn deep_nesting_is_refused_or_read_but_never_overflows_the_stack() {
    let n = 100_000;
    let table: &[(Format, String, &str)] = &[
        (Format::Toml, format!("a = {}{}", "[".repeat(n), "]".repeat(n)), "a"),
        (Format::Toml, format!("a = {}", "{a=".repeat(n)), "a"),
        (Format::Toml, format!("a{} = 1", ".a".repeat(n)), "a"),
        (Format::Json, format!("{}{}", "[".repeat(n), "]".repeat(n)), "a"),
        (Format::Json, "{\"a\":".repeat(n), "a"),
        (Format::Yaml, format!("{}{}", "[".repeat(n), "]".repeat(n)), "a"),
        (Format::Yaml, "{a: ".repeat(n), "a"),
        (Format::Yaml, "- ".repeat(n), "a"),
        (Format::Yaml, "? ".repeat(n), "a"),
        (Format::Python, format!("f({}{})", "(".repeat(n), ")".repeat(n)), "call f"),
        (Format::Python, format!("f({}1)", "-".repeat(n)), "call f"),
        (Format::Python, format!("f({}1{})", "(".repeat(n), ")".repeat(n)), "call f"),
        (Format::Python, format!("X = {}1", "x[".repeat(n)), "assign X"),
        (Format::Python, format!("X = x{}", ".a".repeat(n)), "assign Y"),
    ];
    for (format, file, at) in table {
        let at = selector(at, *format);
        let found = locate(file.as_bytes(), *format, &at);
        // Parentheses around a literal are read at any depth; nothing else here is a literal.
        assert_eq!(found.is_ok(), file.contains("(1)"), "{format:?} {found:?}");
    }
}
