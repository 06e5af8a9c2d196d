//! TOML.

use super::*;

#[test]
fn literals_are_found_where_they_stand() {
    check(
        Format::Toml,
        &[
            ("a = 1\n", "a", Ok("1 @1")),
            ("a = 1", "a", Ok("1 @1")),
            ("\u{feff}a = 1\r\n", "a", Ok("1 @1")),
            ("# c\r\n[w]\r\nb = 0.8 # x\r\n", "w.b", Ok("0.8 @3")),
            ("[a.b]\nc.d = true\n", "a.b.c.d", Ok("true @2")),
            ("a = {b = {c = 'x'}}\n", "a.b.c", Ok("'x' @1")),
            ("[[s]]\np = 1\n[[s]]\np = 2\n", "s[1].p", Ok("2 @4")),
            ("a = [\n  1, # one\n  22,\n]\n", "a[1]", Ok("22 @3")),
            ("\"a.b\" = 1\n'c d' = 2\n", "\"a.b\"", Ok("1 @1")),
            ("'c d' = 2\n", "c d", Ok("2 @1")),
            ("a = \"512m\" # \"\n", "a", Ok("\"512m\" @1")),
            ("a = \"q\\\"#x\" # c\n", "a", Ok("\"q\\\"#x\" @1")),
            ("a = 1_000\n", "a", Ok("1_000 @1")),
            ("a = 0x10\n", "a", Ok("0x10 @1")),
            ("a = -3\n", "a", Ok("-3 @1")),
            ("a = +1.5e3\n", "a", Ok("+1.5e3 @1")),
            ("a = inf\n", "a", Ok("inf @1")),
            ("\"größe\".'ß' = 'ü' # é\nb = 2\n", "b", Ok("2 @2")),
            ("e = ['K=1', \"L=2m\"]\n", "e[L=]", Ok("2m @1")),
            ("a = ''\n", "a", Ok("'' @1")),
        ],
    );
}

#[test]
fn what_is_no_single_literal_is_refused() {
    check(
        Format::Toml,
        &[
            ("a = 1\na = 2\n", "a", Err("not sound TOML, line 2")),
            ("a = \n", "a", Err("not sound TOML, line 1")),
            ("a = 1979-05-27T07:32:00Z\n", "a", Err("is a date")),
            ("a = 07:32:00\n", "a", Err("is a date")),
            ("a = \"\"\"x\"\"\"\n", "a", Err("several lines")),
            ("a = '''x'''\n", "a", Err("several lines")),
            ("[a]\nb = 1\n", "a", Err("is a table")),
            ("a = [1]\n", "a", Err("is a list")),
            ("a = [1]\n", "a[1]", Err("is not in the file")),
            ("a = [1]\n", "a.b", Err("is not in the file")),
            ("a = 1\n", "a.b", Err("is not in the file")),
            ("a = 1\n", "a[0]", Err("is not in the file")),
            ("e = ['K=1', 'K=2']\n", "e[K=]", Err("2 times (lines 1, 1)")),
            ("e = [\"K=\\u0031\"]\n", "e[K=]", Err("escapes")),
            ("e = ['KEY=1']\n", "e[K=]", Err("is not in the file")),
            ("", "a", Err("is not in the file")),
        ],
    );
}

#[test]
fn edits_keep_quotes_style_and_every_other_byte() {
    check_edits(
        Format::Toml,
        &[
            ("\u{feff}[w]\r\nd = 0.8  # s\r\nx = 1", "w.d", multiply(1.5), Ok("\u{feff}[w]\r\nd = 1.2  # s\r\nx = 1")),
            ("a = \"512m\"\n", "a", multiply(1.5), Ok("a = \"768m\"\n")),
            ("a = '5 MB'\n", "a", multiply(2.0), Ok("a = '10 MB'\n")),
            ("a = 1_000\n", "a", multiply(1.5), Ok("a = 1_500\n")),
            ("a = 1_500_000\n", "a", multiply(0.5), Ok("a = 750_000\n")),
            ("a = 1.5e3\n", "a", multiply(1.5), Ok("a = 2.25e3\n")),
            ("a = 1e3\n", "a", multiply(2.0), Ok("a = 2e3\n")),
            ("a = 0.5\n", "a", multiply(2.0), Ok("a = 1.0\n")),
            ("a = true\n", "a", bool(false), Ok("a = false\n")),
            ("a = 'x'\n", "a", text("y z # \\"), Ok("a = 'y z # \\'\n")),
            ("a = \"x\"\n", "a", text("q\"\\\n\u{1}"), Ok("a = \"q\\\"\\\\\\n\\u0001\"\n")),
            ("a = 'x'\n", "a", text("it's"), Err("cannot be written")),
            ("a = 'x'\n", "a", text("a\nb"), Err("cannot be written")),
            ("a = 0x10\n", "a", multiply(2.0), Err("hexadecimal")),
            ("a = 1_00\n", "a", multiply(2.0), Err("grouping")),
            ("a = inf\n", "a", multiply(2.0), Err("not a finite")),
            ("a = nan\n", "a", multiply(2.0), Err("not a finite")),
            ("a = 1\n", "a", text("x"), Err("its type would change")),
            ("a = 1\n", "a", bool(true), Err("cannot be set to a boolean")),
            ("a = true\n", "a", multiply(2.0), Err("cannot be calculated with")),
            ("e = ['K=10', 'L=2']\n", "e[K=]", multiply(2.0), Ok("e = ['K=20', 'L=2']\n")),
        ],
    );
}
