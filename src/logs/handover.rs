//! Where a container's log that was read through the engine goes on in its files, once these may be read.
//!
//! Lives here: finding the entry that was taken last. Not here: reading on from there (`rotation`).

use super::beside::{Present, is_rotation_of, open, siblings};
use super::container::ApiCursor;
use super::cursor::{FileCursor, Identity};
use super::envelope::{MAX_RAW, Unpacked};
use super::files::is_packed;
use super::regions::{BUFFER, Ended};
use jiff::Timestamp;
use memchr::{memchr, memmem, memrchr};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the driver writes before the time of an entry. In the text of an entry its quotes are escaped.
const KEY: &[u8] = b"\"time\":\"";
/// An entry ends so few bytes after the beginning of its time.
const LONGEST_END: usize = 128;

/// The cursor behind the last entry that was taken through the engine, in the log at this path or in a file that it was
/// rotated to, and those of the older files, of which all was taken. Empty when that entry is not found there: it may be in a
/// packed file, or gone, or have moved just now.
pub fn resume(path: &Path, taken: &ApiCursor) -> Vec<FileCursor> {
    taken.taken.newest().and_then(|newest| find(path, taken, newest)).unwrap_or_default()
}

fn find(path: &Path, taken: &ApiCursor, (since, at_since): (Timestamp, u64)) -> Option<Vec<FileCursor>> {
    let (packed, files) = oldest_first(path);
    let mut seen = 0;
    let mut rest = files.iter().enumerate();
    let (mut at, mut file, mut offset) = loop {
        let (at, present) = rest.next()?;
        let file = open(present).ok().flatten()?;
        let found = end_of(&file, since, at_since.saturating_sub(seen)).ok()?;
        // Of what begins with that time more may be in a packed file, and be what was taken.
        if at == 0 && found.entries > 0 && !packed.is_empty() && first_time(&file).ok()? == Some(since) {
            return None;
        }
        seen += found.entries;
        if let Some(end) = found.end.filter(|_| seen == at_since) {
            break (at, file, end);
        }
    };
    let mut left = behind(&file, &mut offset, since, taken.behind).ok()?;
    // They may go on in the file after it.
    while let Some((next, present)) =
        rest.next().filter(|_| left > 0 && file.metadata().is_ok_and(|m| m.len() == offset))
    {
        let (of_next, mut end) = (open(present).ok().flatten()?, 0);
        left = behind(&of_next, &mut end, since, left).ok()?;
        if end == 0 {
            break;
        }
        (at, file, offset) = (next, of_next, end);
    }
    let present = files.get(at)?;
    let mut cursor = cursor_of(present, path);
    cursor.advance(&file, Identity { size: offset, ..present.id }, Ended { offset, pending: 0, mid_line: false });
    (cursor.continued, cursor.open) = (taken.continued, taken.open.clone());
    // Of a terminal the engine tells a line whole that is in several entries.
    let mut cut = [false; 2];
    Unpacked::default().fill(&last_entry(&file, offset).ok()?, 0, &mut cut);
    cursor.continued.iter_mut().zip(cut).for_each(|(continued, cut)| *continued |= cut);
    let mut cursors = vec![cursor];
    for older in files.iter().take(at) {
        cursors.push(at_its_end(older, path)?);
    }
    let number = number_of(&present.path, path);
    for older in packed.iter().filter(|file| number_of(&file.path, path) > number) {
        let (size, mtime) = (older.id.size, older.id.mtime);
        cursors.push(FileCursor { copied: true, size, mtime, ..cursor_of(older, path) });
    }
    Some(cursors)
}

/// The cursor of a file of which all was taken. It may be packed later on, and is recognised then.
fn at_its_end(file: &Present, log: &Path) -> Option<FileCursor> {
    let (opened, mut cursor) = (open(file).ok().flatten()?, cursor_of(file, log));
    cursor.advance(&opened, file.id, Ended { offset: file.id.size, pending: 0, mid_line: false });
    Some(cursor)
}

fn cursor_of(file: &Present, log: &Path) -> FileCursor {
    let rotated = file.path != log;
    let rotated_from = rotated.then(|| log.to_owned());
    FileCursor { rotated, rotated_from, ..FileCursor::start(file.path.clone(), file.id) }
}

/// How often the engine has rotated it: `x-json.log.2.gz` twice.
fn number_of(file: &Path, log: &Path) -> Option<u32> {
    if file == log {
        return Some(0);
    }
    let rest = file.to_str()?.strip_prefix(log.to_str()?)?.strip_prefix('.')?;
    rest.trim_end_matches(".gz").parse().ok()
}

/// The packed files of a log, and, as they were written, the others with the log itself. Its directory may be one that cannot
/// be listed.
fn oldest_first(path: &Path) -> (Vec<Present>, Vec<Present>) {
    let beside = siblings(path).into_iter().filter(|file| is_rotation_of(&file.path, path) && file.path != path);
    let (packed, mut files): (Vec<_>, Vec<_>) = beside.partition(|file| is_packed(&file.path));
    // Of one time, the first one has the highest number.
    files.sort_by(|a, b| {
        a.id.mtime.cmp(&b.id.mtime).then_with(|| number_of(&b.path, path).cmp(&number_of(&a.path, path)))
    });
    files.extend(std::fs::metadata(path).ok().map(|meta| Present { path: path.to_owned(), id: Identity::of(&meta) }));
    (packed, files)
}

/// The entry that ends here, with its newline.
fn last_entry(file: &File, end: u64) -> std::io::Result<Vec<u8>> {
    let from = end.saturating_sub(MAX_RAW as u64);
    let mut entry = vec![0; usize::try_from(end - from).unwrap_or(MAX_RAW)];
    file.read_exact_at(&mut entry, from)?;
    let before = entry.len().checked_sub(1).and_then(|last| memrchr(b'\n', entry.get(..last)?));
    Ok(entry.split_off(before.map_or(0, |newline| newline + 1)))
}

/// Entries of one time.
#[derive(Default)]
struct Found {
    entries: u64,
    /// Where the last one ends.
    end: Option<u64>,
}

/// The first entries of exactly this time in a file, at most so many.
fn end_of(file: &File, time: Timestamp, most: u64) -> std::io::Result<Found> {
    let second = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let needle = [KEY, second.as_bytes()].concat();
    let finder = memmem::Finder::new(&needle);
    let (mut buffer, mut at, mut found) = (vec![0; BUFFER], 0, Found::default());
    loop {
        let read = file.read_at(&mut buffer, at)?;
        let text = buffer.get(..read).unwrap_or_default();
        for hit in finder.find_iter(text) {
            let value = hit + KEY.len();
            let rest = text.get(value..).unwrap_or_default();
            let rest = rest.get(..LONGEST_END).unwrap_or(rest);
            let Some(newline) = memchr(b'\n', rest).filter(|_| time_of(rest) == Some(time)) else { continue };
            let end = at + (value + newline + 1) as u64;
            // Once more, in the overlap of two buffers.
            if found.end.is_some_and(|last| end <= last) {
                continue;
            }
            found = Found { entries: found.entries + 1, end: Some(end) };
            if found.entries == most {
                return Ok(found);
            }
        }
        // An entry whose end is not in the buffer is found again in the next one, which begins within it.
        let overlap = KEY.len() + LONGEST_END;
        if read <= overlap {
            return Ok(found);
        }
        at += (read - overlap) as u64;
    }
}

fn first_time(file: &File) -> std::io::Result<Option<Timestamp>> {
    let mut entry = vec![0; MAX_RAW];
    let read = file.read_at(&mut entry, 0)?;
    Ok(memchr(b'\n', entry.get(..read).unwrap_or_default()).and_then(|end| time_of_entry(entry.get(..end)?)))
}

/// Goes on behind at most so many entries that are earlier than the ones before them; how many of them were not there.
fn behind(file: &File, at: &mut u64, time: Timestamp, mut entries: u64) -> std::io::Result<u64> {
    let mut buffer = vec![0; if entries == 0 { 0 } else { MAX_RAW.max(BUFFER) }];
    while entries > 0 {
        let read = file.read_at(&mut buffer, *at)?;
        let mut rest = buffer.get(..read).unwrap_or_default();
        let begun = *at;
        while let Some(newline) = memchr(b'\n', rest).filter(|_| entries > 0) {
            let (line, after) = rest.split_at(newline + 1);
            if time_of_entry(line).is_none_or(|own| own >= time) {
                return Ok(entries);
            }
            *at += line.len() as u64;
            (rest, entries) = (after, entries - 1);
        }
        if *at == begun {
            break;
        }
    }
    Ok(entries)
}

fn time_of_entry(line: &[u8]) -> Option<Timestamp> {
    memmem::rfind(line, KEY).and_then(|key| time_of(line.get(key + KEY.len()..)?))
}

fn time_of(value: &[u8]) -> Option<Timestamp> {
    let value = value.get(..memchr(b'"', value)?)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    const LOG: &str = "x-json.log";

    fn at(second: i64) -> Timestamp {
        Timestamp::new(1_700_000_000 + second, 120_000_000).unwrap()
    }

    fn entry(number: usize, time: Timestamp, padding: usize) -> String {
        // As a client may write it: escaped, it is no time.
        let text = format!("{number} \\\"time\\\":\\\"{time}\\\" {}", "x".repeat(padding));
        format!("{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n")
    }

    /// Files with entries at these seconds, the older ones first, and what was taken: those up to a second, so many of that
    /// one, and so many earlier ones behind it. Where the cursor goes on: the file, and the number of the first entry from
    /// there.
    fn check(files: &[(&str, &[i64])], taken: (i64, u64, u64), padding: usize, expected: Option<(&str, usize)>) {
        let dir = tempfile::tempdir().unwrap();
        for (age, (name, seconds)) in files.iter().enumerate() {
            let mut text = String::new();
            for (number, second) in seconds.iter().enumerate() {
                write!(text, "{}", entry(number, at(*second), padding)).unwrap();
            }
            std::fs::write(dir.path().join(name), text).unwrap();
            let written = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            File::options().append(true).open(dir.path().join(name)).unwrap().set_modified(written).unwrap();
        }
        let (second, at_since, behind) = taken;
        let mut api = ApiCursor { behind, continued: [true, false], ..ApiCursor::default() };
        (0..at_since).for_each(|_| api.taken.add(at(second)));
        let cursor = resume(&dir.path().join(LOG), &api).into_iter().next();
        let found = cursor.map(|cursor| {
            assert!(cursor.verify(&File::open(&cursor.path).unwrap()));
            assert_eq!(cursor.continued, [true, false]);
            let whole = std::fs::read_to_string(&cursor.path).unwrap();
            let number = whole.get(..cursor.offset as usize).unwrap().lines().count();
            assert_eq!(cursor.rotated, !cursor.path.ends_with(LOG));
            (cursor.path.file_name().unwrap().to_str().unwrap().to_owned(), number)
        });
        assert_eq!(found, expected.map(|(name, number)| (name.to_owned(), number)), "{files:?} {taken:?} {padding}");
    }

    #[test]
    fn it_goes_on_behind_the_entry_that_was_taken_last() {
        for padding in [0, 3, 1000, 16_000] {
            check(&[(LOG, &[1, 2, 3])], (2, 1, 0), padding, Some((LOG, 2)));
            check(&[(LOG, &[1, 2, 3])], (3, 1, 0), padding, Some((LOG, 3)));
            // Of several with one time, so many as were taken.
            check(&[(LOG, &[1, 2, 2, 2, 3])], (2, 2, 0), padding, Some((LOG, 3)));
            // Times go back.
            for (behind, expected) in [(0, 2), (1, 3), (2, 4), (3, 4)] {
                check(&[(LOG, &[1, 5, 4, 3, 6])], (5, 1, behind), padding, Some((LOG, expected)));
            }
            check(&[(LOG, &[1, 5, 4, 5, 4])], (5, 2, 1), padding, Some((LOG, 5)));
        }
        let many: Vec<i64> = (0..2_000).collect();
        for (taken, padding) in [(700, 300), (1_999, 300), (0, 271), (1_234, 0)] {
            check(&[(LOG, &many)], (taken, 1, 0), padding, Some((LOG, taken as usize + 1)));
        }
        let alike = [7; 2_000];
        for (taken, padding) in [(1, 300), (1_999, 301), (1_234, 17), (2_000, 5)] {
            check(&[(LOG, &alike)], (7, taken, 0), padding, Some((LOG, taken as usize)));
        }
    }

    #[test]
    fn what_was_rotated_since_is_found_there() {
        let rotated = "x-json.log.1";
        check(&[(rotated, &[1, 2, 3]), (LOG, &[4, 5])], (2, 1, 0), 0, Some((rotated, 2)));
        check(&[(rotated, &[1, 2, 3])], (3, 1, 0), 0, Some((rotated, 3)));
        // Entries of one time on both sides of it.
        for (taken, expected) in [(1, (rotated, 2)), (2, (rotated, 3)), (3, (LOG, 1))] {
            check(&[(rotated, &[1, 2, 2]), (LOG, &[2, 3])], (2, taken, 0), 0, Some(expected));
        }
    }

    #[test]
    fn it_is_left_to_the_engine_where_not_all_that_was_taken_is_there() {
        check(&[("x-json.log.1", &[3, 4]), (LOG, &[5])], (2, 1, 0), 0, None);
        check(&[("x-json.log.1", &[1, 2, 2]), (LOG, &[2, 3])], (2, 4, 0), 0, None);
        check(&[(LOG, &[])], (2, 1, 0), 0, None);
        check(&[], (2, 1, 0), 0, None);
        check(&[("x-json.log.1.gz", &[1, 2]), ("y-json.log", &[2])], (2, 1, 0), 0, None);
    }
}
