//! Backups as a table.

use crate::backup::Listed;
use crate::show::Output;

/// Every backup, newest first.
pub fn table(listed: &[Listed], out: &Output) -> String {
    if listed.is_empty() {
        return "no backups yet".to_owned();
    }
    let mut table = out.table(&["backup", "reason", "fix", "files and steps"]);
    for backup in listed {
        match &backup.metadata {
            Ok(m) => {
                let files = m.files.iter().map(|f| f.path.display().to_string());
                let files: Vec<String> = files.chain(m.steps.iter().map(|step| step.words())).collect();
                table.add_row(vec![backup.id.clone(), m.reason.clone(), m.fix_type.clone(), files.join(", ")])
            }
            Err(why) => table.add_row(vec![backup.id.clone(), "damaged".to_owned(), String::new(), why.clone()]),
        };
    }
    out.rendered(&table)
}
