"""The bugs that `mutants` plants: exact replacements in the sources, and what is to catch each.

Lives here: the list. A text that is replaced must be there exactly once.
"""

import dataclasses

FILES, REPLACE = "src/host/files.rs", "src/host/replace.rs"
STEPS, CLOSE, RECORD = "src/transaction/steps.rs", "src/transaction/close.rs", "src/transaction/record.rs"
TRANSACTION, JOURNAL, RECOVER = "src/transaction/mod.rs", "src/transaction/journal.rs", "src/transaction/recover.rs"
BACKUP, LINE, ATTEMPTS, LOCK = "src/backup.rs", "src/learn/line.rs", "src/attempts.rs", "src/host/lock.rs"


@dataclasses.dataclass(frozen=True)
class Bug:
    """`changes` are (file, text, what takes its place); `tried_by` the parts that should catch it, in turn."""

    name: str
    changes: tuple
    tried_by: tuple


def bug(name, tried_by, *changes):
    return Bug(name, changes, tuple(tuple(trial.split()) for trial in tried_by.split(", ")))


DONE = """        place.remove(&place.beside)?;
        place.sync()?;
        return Ok(Replaced::Done);
"""
SYNC_OF_OURS = "        file.sync_all().map_err(|e| self.error(e))?;\n"
MODE_LAST = "    rustix::fs::fchmod(new, Mode::from_raw_mode((stat.st_mode & 0o7777) as RawMode))\n}"
CHOWN = "    rustix::fs::fchown(new, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;\n"
CHARGE = "    charge(plan, &fix_id, &now, ground)?;\n"
INTENT = "    let journal = journal::begin(&ground.dir.journal(), &intent)?;\n    Ok((intent, journal))"
CLOSING = """    match intent.kind {
        Kind::Fix => record::write(outcome, &why, verdict.as_ref(), &intent, ground)?,
        Kind::Rollback => record::write_rollback(outcome, &why, &intent, ground)?,
    }
    journal.close()?;
"""
JOURNALED_RESTART = "    journal.reached(Phase::Restarting { t: clock::now(), runs: runs(targets, ground) })?;\n"

PLANTED = (
    # The target
    bug("no sync of the new file", "power edit", (REPLACE, SYNC_OF_OURS, "")),
    bug("no sync of the target's directory", "power edit", (REPLACE, DONE, DONE.replace("        place.sync()?;\n", ""))),
    bug(
        "target written in place",
        "kill edit",
        (REPLACE, "    let written = place.write(new, &old, &stat);\n", "    std::fs::write(path, new)?;\n    if path.is_absolute() {\n        return Ok(Replaced::Done);\n    }\n    let written = place.write(new, &old, &stat);\n"),
    ),
    bug(
        "exchange before the sync",
        "power edit",
        (REPLACE, SYNC_OF_OURS, ""),
        (REPLACE, "    place.swap()?;\n    let came_out", "    place.swap()?;\n    File::open(path)?.sync_all()?;\n    let came_out"),
    ),
    bug("failed sync ignored", "syncs edit", (REPLACE, SYNC_OF_OURS, "        let _ = file.sync_all();\n")),
    bug(
        "exchange not looked at",
        "meanwhile edit",
        (REPLACE, "    if came_out.sha256 == expected && !came_out.being_written {\n", "    if came_out.sha256 == expected || !came_out.being_written {\n"),
    ),
    bug(
        "swap back missing",
        "meanwhile edit",
        (REPLACE, "    place.give_back(sha256(new), came_out, keep)?;\n", "    place.give_up(&came_out, keep)?;\n"),
    ),
    bug(
        "writers not waited for",
        "races edits:late, races edits:truncate",
        (REPLACE, "        let being_written = wait_for_writers(&file);\n", "        let being_written = false;\n"),
    ),
    bug("mode not set", "kill edit", (REPLACE, MODE_LAST, "    Ok(())\n}")),
    bug(
        "mode before owner",
        "kill edit",
        (REPLACE, MODE_LAST, "    Ok(())\n}"),
        (REPLACE, CHOWN, MODE_LAST.replace("\n}", "?;\n") + CHOWN),
    ),
    bug("owner not kept", "kill edit", (REPLACE, CHOWN, "")),
    bug(
        "extended attributes not copied",
        "kill edit",
        (REPLACE, ".split(|b| *b == 0).filter(|n| !n.is_empty()) {", ".split(|b| *b == 0).filter(|n| !n.is_empty()).take(0) {"),
    ),
    bug("temporary file not removed", "kill edit", (REPLACE, DONE, DONE.replace("        place.remove(&place.beside)?;\n", ""))),
    bug(
        "temporary file of a killed pass left",
        "kill edit",
        (REPLACE, "    let place = Place::of(path, tag)?;\n    place.remove(&place.unfinished)?;\n    if !place", "    let place = Place::of(path, tag)?;\n    if !place"),
    ),
    bug(
        "clearing up not synced",
        "power edit killed",
        (REPLACE, "        return Ok(place.sync()?);\n    }\n    let beside", "        return Ok(());\n    }\n    let beside"),
    ),
    bug(
        "links followed to the target",
        "races swap",
        (FILES, "    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;", "    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;"),
    ),
    # The transaction
    bug(
        "charge after the fix",
        "kill edit",
        (TRANSACTION, CHARGE, ""),
        (TRANSACTION, "    Ok(match watch::judge(", CHARGE + "    Ok(match watch::judge("),
    ),
    bug("charge not synced", "power edit", (ATTEMPTS, "files::append_line(", "files::append_unsynced(")),
    bug(
        "backup not synced",
        "power edit",
        (BACKUP, 'files::write_atomic(&unfinished.join("files")', 'files::write_unsynced(&unfinished.join("files")'),
    ),
    bug("name of the backup not synced", "power edit", (BACKUP, "        files::sync_dir(&backups.join(&backup_id))?;\n", "")),
    bug("no backup", "kill undone", (BACKUP, "        for (number, file) in saved.iter().enumerate() {", "        for (number, file) in saved.iter().enumerate().take(0) {")),
    bug(
        "intent after the edit",
        "kill edit",
        (TRANSACTION, INTENT, "    steps::early(&intent, ground);\n" + INTENT),
        (
            STEPS,
            "fn edit_file(change",
            """pub fn early(intent: &Intent, ground: &mut Ground) {
    for change in &intent.files {
        let edits: Vec<&EditStep> = intent.plan.edits().filter(|e| e.path == change.path).collect();
        let _ = edit_file(change, &edits, intent, ground);
    }
}

fn edit_file(change""",
        ),
        (STEPS, "    if now.sha256 != change.before {\n        return Ok(Replaced::Conflict);", "    if now.sha256 == change.after {\n        return Ok(Replaced::Done);\n    }\n    if now.sha256 != change.before {\n        return Ok(Replaced::Conflict);"),
    ),
    bug("intent not synced", "power edit", (JOURNAL, "files::write_atomic(", "files::write_unsynced(")),
    bug("unfinished intent left", "kill edit", (RECOVER, "    journal::sweep(&ground.dir.journal())?;\n", "")),
    bug(
        "record before the edit",
        "kill edit",
        (TRANSACTION, "    if let Err(next) = steps::apply(", "    let _ = record::write(Outcome::Healed, \"\", None, &intent, ground);\n    if let Err(next) = steps::apply("),
    ),
    bug("journal removed before the record", "kill edit", (CLOSE, CLOSING, "    journal.close()?;\n" + CLOSING.replace("    journal.close()?;\n", ""))),
    bug(
        "second record on recovery",
        "kill edit",
        (RECORD, "    if learn::has_record(knowledge_base, &intent.fix_id)? {", "    if learn::has_record(knowledge_base, \"\")? {"),
    ),
    bug("record not synced", "power edit", (LINE, "files::append_line(path, &to_line(record)?", "files::append_unsynced(path, &to_line(record)?")),
    bug(
        "record found in memory not synced",
        "power edit killed",
        (RECORD, "        // It was read, so it is in memory; whether it is on the disk only this says.\n        files::sync(knowledge_base)?;\n", ""),
    ),
    bug(
        "torn line not ended",
        "power edit",
        (FILES, "        let torn = end > 0 && last_byte(&mut file)? != b'\\n';\n", "        let torn = end > 0 && last_byte(&mut file)? == b'x';\n"),
    ),
    bug(
        "name of a new log not synced",
        "power edit",
        (FILES, "        if end == 0 && sync {\n", "        if end == 1 && sync {\n"),
    ),
    bug("names of directories not synced", "power edit", (FILES, "create(path).map_err(|e| FileError::of(path, e))?;\n    sync_dir(path)\n", "create(path).map_err(|e| FileError::of(path, e))\n")),
    bug(
        "foreign content overwritten on undo",
        "meanwhile undone",
        (
            STEPS,
            "            Live::Foreign => conflict = Some(change.path.display().to_string()),\n",
            """            Live::Foreign => {
                let old = saved(ground, intent.backup_id.as_deref(), &change.path)?;
                let now = files::snapshot(&change.path)?;
                replace(change, &now.sha256, &old, intent, ground)?;
            }
""",
        ),
    ),
    bug("undoing forgets a file", "kill undone", (STEPS, "for change in intent.files.iter().rev() {\n        match live(change)? {", "for change in intent.files.iter().rev().take(1) {\n        match live(change)? {")),
    bug("restart not journaled", "kill rollback, kill undone", (STEPS, JOURNALED_RESTART, "")),
    bug(
        "restart repeated blindly",
        "kill rollback, kill undone",
        (STEPS, "        was.is_some_and(|was| now.is_some() && now != was.run)\n", "        was.is_some_and(|was| now.is_none() && now != was.run)\n"),
    ),
    bug("lock not taken", "races invocations", (LOCK, "    match file.try_lock() {", "    match Ok::<(), TryLockError>(()) {")),
    bug(
        "a backup loses its content before its name",
        "kill prune, power prune",
        (BACKUP, "    std::fs::rename(backups.join(id), &doomed).with_context(|| format!(\"cannot remove {id}\"))?;\n", "    remove_dir(&backups.join(id))?;\n    ensure_removed(&doomed)?;\n"),
        (BACKUP, "fn remove_dir(path: &Path)", "fn ensure_removed(path: &Path) -> Result<()> {\n    Ok(files::ensure_dir(path, 0o700)?)\n}\n\nfn remove_dir(path: &Path)"),
    ),
)
