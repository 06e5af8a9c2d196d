//! Backups as a table.

use crate::backup::Listed;
use crate::show::{Output, ago};
use crate::text::clean;
use jiff::Timestamp;

/// Every backup, newest first.
pub fn table(listed: &[Listed], now: Timestamp, out: &Output) -> String {
    if listed.is_empty() {
        return "no backups yet".to_owned();
    }
    let mut table = out.table(&["backup", "made", "reason", "fix"]);
    // One line each, whatever an issue type is called.
    table.set_width(u16::MAX);
    for backup in listed {
        table.add_row(match &backup.metadata {
            Ok(m) => vec![backup.id.clone(), ago(m.created, now), clean(&m.reason), clean(&m.fix_type)],
            Err(_) => vec![backup.id.clone(), "-".to_owned(), "DAMAGED".to_owned(), String::new()],
        });
    }
    let lines = out.rendered(&table);
    let mut lines = lines.lines();
    // Below each what it holds, in lines of their own: a path in a column would be broken.
    let head = lines.next().unwrap_or_default().to_owned();
    let mut all = vec![head];
    for (line, backup) in lines.zip(listed) {
        all.push(line.to_owned());
        all.extend(held(backup).iter().map(|text| out.wrapped(&format!("  {}", clean(text)), 4)));
    }
    all.join("\n")
}

/// What a backup holds, or why that is not known.
fn held(backup: &Listed) -> Vec<String> {
    match &backup.metadata {
        Ok(m) => {
            let files = m.files.iter().map(|f| f.path.display().to_string());
            files.chain(m.steps.iter().map(|step| step.words())).collect()
        }
        Err(why) => vec![why.clone()],
    }
}
