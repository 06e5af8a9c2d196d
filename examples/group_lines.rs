//! Reads lines on stdin and prints `GROUP_ID<TAB>TEMPLATE` for each: for measuring how errors are grouped.

use std::io::{BufRead, Write};

fn main() -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().split(b'\n') {
        let template = healer::logs::group_template(&String::from_utf8_lossy(&line?));
        writeln!(out, "{}\t{template}", healer::logs::group_id(&template))?;
    }
    out.flush()
}
