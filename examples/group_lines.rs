//! Reads lines on stdin and prints `GROUP_ID<TAB>TEMPLATE` for each, as they are grouped when all have been read: for
//! measuring how errors are grouped.

use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    let lines = text.strip_suffix(b"\n").unwrap_or(&text).split(|b| *b == b'\n');
    let titles = lines.map(|line| String::from_utf8_lossy(line).into_owned());
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (id, template) in healer::logs::group_titles(titles) {
        writeln!(out, "{id}\t{template}")?;
    }
    out.flush()
}
