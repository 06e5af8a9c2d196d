//! What `at` may be, and what it may not.

use super::*;
use proptest::prelude::*;

fn key(text: &str) -> Segment {
    Segment::Key(text.into())
}

#[test]
fn a_file_name_tells_the_format() {
    let table: &[(&str, Option<Format>)] = &[
        ("a/config.toml", Some(Format::Toml)),
        ("docker-compose.yaml", Some(Format::Yaml)),
        ("docker-compose.YML", Some(Format::Yaml)),
        ("x.json", Some(Format::Json)),
        ("tsconfig.jsonc", Some(Format::Json)),
        ("x.ini", Some(Format::Ini)),
        ("setup.cfg", Some(Format::Ini)),
        ("postgresql.conf", Some(Format::Ini)),
        (".env", Some(Format::Env)),
        (".env.production", Some(Format::Env)),
        (".env.py", Some(Format::Env)),
        ("prod.env", Some(Format::Env)),
        ("worker.py", Some(Format::Python)),
        (".py", None),
        (".toml", None),
        ("environment", None),
        (".envrc", None),
        ("x.pyc", None),
        ("x.toml.bak", None),
        ("Makefile", None),
        ("..", None),
        ("/", None),
    ];
    for (name, format) in table {
        assert_eq!(Format::of(Path::new(name)), *format, "{name}");
    }
}

#[test]
fn paths_are_read_as_written() {
    let table: &[(&str, Vec<Segment>)] = &[
        ("a", vec![key("a")]),
        (" a.b ", vec![key("a"), key("b")]),
        ("a-b.c_d", vec![key("a-b"), key("c_d")]),
        ("\"a.b\".c", vec![key("a.b"), key("c")]),
        (r#""q\"\\".c"#, vec![key("q\"\\"), key("c")]),
        ("a[2].b", vec![key("a"), Segment::Index(2), key("b")]),
        ("[0][1]", vec![Segment::Index(0), Segment::Index(1)]),
        ("a.\"b\"[0]", vec![key("a"), key("b"), Segment::Index(0)]),
        ("env[KEY=]", vec![key("env"), Segment::KeyItem("KEY".into())]),
        ("command[--workers=]", vec![key("command"), Segment::KeyItem("--workers".into())]),
        ("2.x", vec![key("2"), key("x")]),
        ("two words.x", vec![key("two words"), key("x")]),
        ("größe.ß", vec![key("größe"), key("ß")]),
        ("\"\"", vec![key("")]),
        ("a.\" b\"", vec![key("a"), key(" b")]),
    ];
    for (text, expected) in table {
        let selector = Selector::parse(text, Format::Yaml).unwrap();
        assert_eq!(selector, Selector::Path(expected.clone()), "{text}");
        assert_eq!(Selector::parse(&selector.to_string(), Format::Yaml).unwrap(), selector, "{selector}");
    }
}

#[test]
fn paths_that_mean_nothing_are_refused_with_the_syntax() {
    let long = "a.".repeat(100) + "a";
    for text in [
        "",
        "  ",
        ".",
        "a.",
        ".a",
        "a..b",
        "a[",
        "a[]",
        "a[-1]",
        "a[x]",
        "a[1",
        "a]b",
        "a[0]b",
        "\"a",
        "\"a\"b",
        "\"a\\n\"",
        "a[KEY=].b",
        "a[=]",
        "a[K=v]",
        "a .b",
        "a. b",
        "a\\b",
        "a\nb",
        "a[9999999999]",
        "a.[0]",
        &long,
        "call x[\"y=]",
        "a[A=][B=]",
    ] {
        let error = Selector::parse(text, Format::Toml).unwrap_err();
        assert!(error.contains("worker.batch_size"), "{text}: {error}");
    }
}

#[test]
fn paths_fit_their_format() {
    let table: &[(&str, Format, bool)] = &[
        ("KEY", Format::Env, true),
        ("a.b", Format::Env, false),
        ("\"a.b\"", Format::Env, true),
        ("a[0]", Format::Env, false),
        ("[K=]", Format::Env, false),
        ("key", Format::Ini, true),
        ("section.key", Format::Ini, true),
        ("a.b.c", Format::Ini, false),
        ("\"a.b\".c", Format::Ini, true),
        ("a[1]", Format::Ini, false),
        ("a[1]", Format::Json, true),
        ("a[K=]", Format::Toml, true),
    ];
    for (text, format, fits) in table {
        assert_eq!(Selector::parse(text, *format).is_ok(), *fits, "{text} in {format:?}");
    }
}

#[test]
fn python_selectors_are_read_as_written() {
    let call = |name: &str, arg, within: Option<&str>| Selector::Call {
        name: name.into(),
        arg,
        within: within.map(Into::into),
    };
    let table: &[(&str, Selector)] = &[
        ("call asyncio.sleep", call("asyncio.sleep", 1, None)),
        ("  call   asyncio.sleep  arg 2 ", call("asyncio.sleep", 2, None)),
        ("call f in Worker.run", call("f", 1, Some("Worker.run"))),
        ("call f arg 3 in <module>", call("f", 3, Some("<module>"))),
        ("call call", call("call", 1, None)),
        ("call größe", call("größe", 1, None)),
        (
            "keyword timeout of self.client.get in Worker.run",
            Selector::Keyword {
                keyword: "timeout".into(),
                call: "self.client.get".into(),
                within: Some("Worker.run".into()),
            },
        ),
        ("assign X", Selector::Assign { name: "X".into(), within: None }),
        ("assign self.timeout in A", Selector::Assign { name: "self.timeout".into(), within: Some("A".into()) }),
    ];
    for (text, expected) in table {
        let selector = Selector::parse(text, Format::Python).unwrap();
        assert_eq!(selector, *expected, "{text}");
        assert_eq!(Selector::parse(&selector.to_string(), Format::Python).unwrap(), selector);
    }
}

#[test]
fn python_selectors_that_mean_nothing_are_refused_with_the_syntax() {
    for text in [
        "",
        "call",
        "call a b",
        "call a arg",
        "call a arg 0",
        "call a arg x",
        "call a arg 256",
        "call a..b",
        "call 1a",
        "call f()",
        "call a[0]",
        "keyword k",
        "keyword k of",
        "keyword a.b of c",
        "keyword k in c",
        "assign",
        "assign 1",
        "assign a b",
        "assign a in",
        "assign a in 1x",
        "in a",
        "a.b",
        "Call f",
        "assign a in b c d e f g h i j k",
    ] {
        let error = Selector::parse(text, Format::Python).unwrap_err();
        assert!(error.contains("call NAME"), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_prints_as_itself(text in "\\PC{0,40}|[a.\\[\\]\"=0 \\\\]{0,20}") {
        for format in [Format::Toml, Format::Ini, Format::Env, Format::Python] {
            if let Ok(selector) = Selector::parse(&text, format) {
                prop_assert_eq!(Selector::parse(&selector.to_string(), format), Ok(selector));
            }
        }
    }
}
