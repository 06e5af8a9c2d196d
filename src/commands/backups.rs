//! `healer backups`: list, show, verify, prune.

use crate::backup::{self, Kept, Metadata, NoSuchBackup};
use crate::cli::{BackupsAction, Global};
use crate::commands::{confirmed, duration, open_fix, rollback};
use crate::config::Engine;
use crate::documents;
use crate::host::{clock, files, lock};
use crate::pass::Busy;
use crate::show::{self, Output, diff, json};
use crate::state::StateDir;
use crate::transaction::journal;
use anyhow::{Result, bail};
use serde_json::json;

pub fn run(engine: &Engine, action: Option<&BackupsAction>, global: &Global, out: &Output) -> Result<u8> {
    let dir = StateDir::of(engine);
    match action {
        None | Some(BackupsAction::List) => list(&dir, out),
        Some(BackupsAction::Show { id }) => show_one(&dir, id, out),
        Some(BackupsAction::Verify { id }) => verify(&dir, id.as_deref(), out),
        Some(BackupsAction::Prune { dry_run, keep_last, keep_within }) => {
            let keep_last = keep_last.unwrap_or(engine.backups.keep_last);
            let within = keep_within.as_deref().map(|t| duration(t, "--keep-within")).transpose()?;
            let within = within.unwrap_or(engine.backups.keep_within);
            prune(engine, &dir, keep_last, within, *dry_run, global, out)
        }
    }
}

fn list(dir: &StateDir, out: &Output) -> Result<u8> {
    let listed = documents::backups(dir)?;
    out.document(|| json::success(documents::backups_json(&listed)));
    out.text(&show::backups::table(&listed, clock::now(), out));
    Ok(0)
}

fn show_one(dir: &StateDir, id: &str, out: &Output) -> Result<u8> {
    let metadata = rollback::find(dir, id, false)?;
    let diffs = differences(dir, &metadata, out)?;
    let mut body = json::backup(&metadata);
    if let serde_json::Value::Object(body) = &mut body {
        body.insert("diffs".into(), diffs.iter().map(|d| d.1.clone()).collect::<Vec<_>>().into());
    }
    out.document(|| json::success(body));
    let what = format!("{} ({} of rule {})", metadata.reason, metadata.fix_type, metadata.rule);
    let (made, at) = (show::ago(metadata.created, clock::now()), clock::to_second(metadata.created));
    out.prose(&format!("{} made {made} ({at}) for {what}", out.bold(&metadata.backup_id)), 2);
    for restart in &metadata.restarts {
        out.prose(&format!("restarts {restart}"), 2);
    }
    for step in &metadata.steps {
        let back = step.inverse().map_or_else(String::new, |back| format!("; a rollback would {}", back.words()));
        out.prose(&format!("did {}{back}", step.words()), 2);
    }
    for (path, diff) in diffs {
        out.text(&if diff.is_empty() {
            format!("{path} is as in the backup")
        } else {
            format!("a rollback would change:\n{diff}")
        });
    }
    Ok(0)
}

/// What putting the backup back would change, per file.
pub fn differences(dir: &StateDir, metadata: &Metadata, out: &Output) -> Result<Vec<(String, String)>> {
    metadata
        .files
        .iter()
        .map(|file| {
            let saved = backup::content(&dir.backups(), metadata, file)?;
            let path = file.path.display().to_string();
            let diff = match files::snapshot(&file.path) {
                Ok(live) => diff::unified(&live.bytes, &saved, &path, out),
                Err(error) => format!("{error}"),
            };
            Ok((path, diff))
        })
        .collect()
}

fn verify(dir: &StateDir, id: Option<&str>, out: &Output) -> Result<u8> {
    let listed = backup::list(&dir.backups())?;
    if let Some(id) = id.filter(|id| !listed.iter().any(|l| l.id == **id)) {
        bail!(NoSuchBackup(id.to_owned()));
    }
    let ids: Vec<&str> = listed.iter().map(|l| l.id.as_str()).filter(|l| id.is_none_or(|id| id == *l)).collect();
    let mut damaged = serde_json::Map::new();
    for id in &ids {
        let damage = backup::verify(&dir.backups(), id);
        out.prose(
            &if damage.is_empty() { format!("{id}: whole") } else { format!("{id}: DAMAGED: {}", damage.join("; ")) },
            2,
        );
        if !damage.is_empty() {
            damaged.insert((*id).to_owned(), damage.into());
        }
    }
    let code = if damaged.is_empty() { 0 } else { 10 };
    out.document(|| json::success(json!({ "verified": ids.len(), "damaged": damaged })));
    if ids.is_empty() {
        out.text("no backups yet");
    }
    Ok(code)
}

fn prune(
    engine: &Engine,
    dir: &StateDir,
    keep_last: usize,
    within: std::time::Duration,
    dry_run: bool,
    global: &Global,
    out: &Output,
) -> Result<u8> {
    let mut judged = retention(dir, keep_last, within)?;
    let doomed = doomed_of(&judged);
    let question = format!("Remove {} backup{}?", doomed.len(), if doomed.len() == 1 { "" } else { "s" });
    let agreed = !dry_run && (doomed.is_empty() || confirmed(&question, global, out));
    if agreed {
        // Not held while somebody thinks; so what is there is looked at once more, and only what was asked about goes.
        dir.prepare()?;
        let _lock = lock::try_lock(&dir.lock())?.map_err(Busy)?;
        open_fix::end(engine, dir, out)?;
        judged = retention(dir, keep_last, within)?;
        for one in judged.iter_mut().filter(|one| one.because.is_none() && !doomed.contains(&one.id)) {
            one.because = Some("not among those that were asked about".to_owned());
        }
        doomed_of(&judged).iter().try_for_each(|id| backup::remove(&dir.backups(), id))?;
    } else if !dry_run {
        out.note("nothing was done");
    }
    if judged.is_empty() {
        out.text("no backups yet");
    }
    for one in &judged {
        let word = match &one.because {
            Some(why) => format!("kept: {why}"),
            None if agreed => "removed".to_owned(),
            None => "would be removed".to_owned(),
        };
        out.prose(&format!("{}  {word}", one.id), 4);
    }
    let doomed = doomed_of(&judged);
    out.document(|| json::success(json!({
        "removed": if agreed { doomed.clone() } else { Vec::new() },
        "would_remove": doomed,
        "kept": judged.iter().filter(|k| k.because.is_some()).map(|k| json!({ "backup_id": k.id, "because": k.because })).collect::<Vec<_>>(),
    })));
    Ok(if dry_run && !doomed.is_empty() { 10 } else { 0 })
}

/// What stays and what goes, as things are now.
fn retention(dir: &StateDir, keep_last: usize, within: std::time::Duration) -> Result<Vec<Kept>> {
    let open = journal::open(&dir.journal())?;
    let needed: Vec<String> =
        open.iter().flat_map(|o| o.intent.backup_id.iter().chain(&o.intent.restores).cloned()).collect();
    Ok(backup::retention(&backup::list(&dir.backups())?, keep_last, within, &needed, clock::now()))
}

fn doomed_of(judged: &[Kept]) -> Vec<String> {
    judged.iter().filter(|k| k.because.is_none()).map(|k| k.id.clone()).collect()
}
