//! INI and .env.

use super::*;

#[test]
fn ini_literals_are_found_where_they_stand() {
    check(
        Format::Ini,
        &[
            ("a = 1\n", "a", Ok("1 @1")),
            ("a=1", "a", Ok("1 @1")),
            ("\u{feff}[s]\r\na : 5m ; c\r\n", "s.a", Ok("5m @2")),
            ("a = 1\n[s]\na = 2\n[t]\na = 3\n", "s.a", Ok("2 @3")),
            ("[a.b]\nc.d = 2\n", "\"a.b\".\"c.d\"", Ok("2 @2")),
            ("[s]\na = \"x ; y\" ; c\n", "s.a", Ok("\"x ; y\" @2")),
            ("[s]\na = 'x'\n", "s.a", Ok("'x' @2")),
            ("[s]\n\ta = 1\n\tb = 2\n", "s.b", Ok("2 @3")),
            ("shared_buffers = 128MB\t# min\n", "shared_buffers", Ok("128MB @1")),
            ("[s]\nurl = http://x:1/a=b\n", "s.url", Ok("http://x:1/a=b @2")),
            ("[s]\nskip-networking\na = 1\n", "s.a", Ok("1 @3")),
            ("[s]\na =\n", "s.a", Ok(" @2")),
            ("[s] ; c\nkey two = 1\n", "s.key two", Ok("1 @2")),
            ("; a = 1\n# a = 2\na = 3\n", "a", Ok("3 @3")),
            ("[s]\ncolor = #fff\nb = x#y\n", "s.b", Ok("x#y @3")),
            ("[s]\na = 1\n[S]\nb = 1\n", "s.a", Err("several times")),
        ],
    );
}

#[test]
fn ini_that_readers_take_differently_is_refused() {
    check(
        Format::Ini,
        &[
            ("worker_processes 4;\nhttp {\n}\n", "a", Err("not sound INI, line 1")),
            ("maxmemory 100mb\n", "maxmemory", Err("not sound INI, line 1")),
            ("[s\na = 1\n", "s.a", Err("not sound INI, line 1")),
            ("[s] x\n", "s.a", Err("not sound INI, line 1")),
            ("= 1\n", "a", Err("not sound INI, line 1")),
            ("a = 1\na = 2\n", "a", Err("2 times (lines 1, 2)")),
            ("[s]\na = 1\nA = 2\n", "s.a", Err("several times")),
            ("[s]\na = 1\n[s]\nb = 2\n", "s.b", Err("2 times (lines 1, 3)")),
            ("[s]\na = 1\n  2\n", "s.a", Err("goes on in the next line")),
            ("[s]\na = 1\n\n  more\n", "s.a", Err("goes on in the next line")),
            ("[s]\na = 1\n  b = 2\n", "s.b", Err("indented deeper")),
            ("[s]\na = 1 \\\n", "s.a", Err("goes on in the next line")),
            ("[s]\na = x ; y\n", "s.a", Err("take for a comment")),
            ("[s]\na = #fff\n", "s.a", Err("take for a comment")),
            ("[s]\nflag\n", "s.flag", Err("has no value")),
            ("[s]\na = 1\n", "s.A", Err("did you mean `s.a`, line 2")),
            ("[s]\na = 1\n", "S.a", Err("did you mean `s.a`, line 2")),
            ("[s]\na = 1\n", "a", Err("did you mean `s.a`, line 2")),
            ("[s]\na = 1\n", "s", Err("is a table")),
            ("[s]\na = \"x\" \"y\"\n", "s.a", Err("quotes")),
        ],
    );
}

#[test]
fn ini_edits_keep_quotes_style_and_every_other_byte() {
    check_edits(
        Format::Ini,
        &[
            ("[s]\r\na : 5m ; c\r\n", "s.a", multiply(2.0), Ok("[s]\r\na : 10m ; c\r\n")),
            ("[s]\na=\"5\"", "s.a", multiply(2.0), Ok("[s]\na=\"10\"")),
            ("[s]\na = Off\n", "s.a", bool(true), Ok("[s]\na = On\n")),
            ("[s]\na = NO\n", "s.a", text("YES"), Ok("[s]\na = YES\n")),
            ("[s]\na = x\n", "s.a", text("y z"), Ok("[s]\na = y z\n")),
            ("[s]\na =\nb = 1\n", "s.a", text("x"), Ok("[s]\na =x\nb = 1\n")),
            ("[s]\na = x\n", "s.a", text("y ; z"), Err("cannot be written")),
            ("[s]\na = x\n", "s.a", text("%(b)s"), Err("cannot be written")),
            ("[s]\na = x\n", "s.a", text("y\n[t]"), Err("cannot be written")),
            ("[s]\na = 'x'\n", "s.a", text("it's"), Err("cannot be written")),
            ("[s]\na = 007\n", "s.a", multiply(2.0), Err("leading zeros")),
            ("[s]\na = 80%\n", "s.a", multiply(0.5), Ok("[s]\na = 40%\n")),
        ],
    );
}

#[test]
fn env_literals_are_found_where_they_stand() {
    check(
        Format::Env,
        &[
            ("A=1\n", "A", Ok("1 @1")),
            ("A=1", "A", Ok("1 @1")),
            ("\u{feff}A=1\r\nB=2\r\n", "B", Ok("2 @2")),
            ("export A=1\n", "A", Ok("1 @1")),
            ("  export\tA = 1 # c\n", "A", Ok("1 @1")),
            ("A=\"x # y\" # c\n", "A", Ok("\"x # y\" @1")),
            ("A='$x `y`'\n", "A", Ok("'$x `y`' @1")),
            ("A=a#b\n", "A", Ok("a#b @1")),
            ("A=\nB=1\n", "A", Ok(" @1")),
            ("A=a=b\n", "A", Ok("a=b @1")),
            ("a.b-c=1\n", "\"a.b-c\"", Ok("1 @1")),
            ("# A=1\nA=2\n", "A", Ok("2 @2")),
            ("X=\"a\nA=5\n\"\nA=6\n", "A", Ok("6 @4")),
            ("a=1\nA=2\n", "A", Ok("2 @2")),
            ("export=1\n", "export", Ok("1 @1")),
            ("A=x y\n", "A", Ok("x y @1")),
        ],
    );
}

#[test]
fn env_that_readers_take_differently_is_refused() {
    check(
        Format::Env,
        &[
            ("A=1\nA=2\n", "A", Err("2 times (lines 1, 2)")),
            ("A\n", "A", Err("has no value")),
            ("export A\n", "A", Err("has no value")),
            ("A B=1\n", "A", Err("not sound .env, line 1")),
            ("1A=1\n", "A", Err("not sound .env, line 1")),
            ("=1\n", "A", Err("not sound .env, line 1")),
            ("X=\"a\nA=5\n", "A", Err("never closed")),
            ("A=\"a\nb\"\n", "A", Err("several lines")),
            ("A=\"a\"b\n", "A", Err("readers take differently")),
            ("A=\"a\"#b\n", "A", Err("readers take differently")),
            ("A=\"a\\\"b\"\n", "A", Err("readers take differently")),
            ("A=a\"b\"\n", "A", Err("readers take differently")),
            ("A=$B\n", "A", Err("refers to other variables")),
            ("A=\"${B}\"\n", "A", Err("refers to other variables")),
            ("A=$(date)\n", "A", Err("refers to other variables")),
            ("A=`date`\n", "A", Err("readers take differently")),
            ("A=x # c\n", "A", Err("take for a comment")),
            ("", "A", Err("is not in the file")),
        ],
    );
}

#[test]
fn env_edits_keep_quotes_style_and_every_other_byte() {
    check_edits(
        Format::Env,
        &[
            ("A=1\r\nexport B='0.8' # c\r\n", "B", multiply(1.5), Ok("A=1\r\nexport B='1.2' # c\r\n")),
            ("A=512m", "A", multiply(1.5), Ok("A=768m")),
            ("A=true\n", "A", bool(false), Ok("A=false\n")),
            ("A=info\n", "A", text("warn"), Ok("A=warn\n")),
            ("A=\n", "A", text("x"), Ok("A=x\n")),
            ("A=x\n", "A", text("y z"), Err("cannot be written")),
            ("A=x\n", "A", text("$HOME"), Err("cannot be written")),
            ("A='x'\n", "A", text("y z $HOME"), Ok("A='y z $HOME'\n")),
            ("A='x'\n", "A", text("it's"), Err("cannot be written")),
            ("A=\"x\"\n", "A", text("it's"), Ok("A=\"it's\"\n")),
            ("A=\"x\"\n", "A", text("a\"b"), Err("cannot be written")),
            ("A=\"x\"\n", "A", text("$HOME"), Err("cannot be written")),
            ("A=\"x\"\n", "A", text("a\nB=1"), Err("cannot be written")),
            ("A=0123\n", "A", multiply(2.0), Err("leading zeros")),
            ("A=0123\n", "A", text("0124"), Ok("A=0124\n")),
        ],
    );
}
