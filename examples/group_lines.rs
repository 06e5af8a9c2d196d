//! Reads lines on stdin and prints `GROUP_ID<TAB>TEMPLATE` for each, as they are grouped when all have been read: for
//! measuring how errors are grouped.

use std::io::{BufRead, BufReader, BufWriter, Result, Write, stdin, stdout};

fn main() -> Result<()> {
    let mut input = BufReader::with_capacity(1 << 18, stdin().lock());
    let mut titles = healer::logs::Titles::default();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        titles.add(&String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)));
        line.clear();
    }
    let mut out = BufWriter::with_capacity(1 << 18, stdout().lock());
    titles
        .tell(|id, template| [id, "\t", template, "\n"].iter().try_for_each(|part| out.write_all(part.as_bytes())))?;
    out.flush()
}
