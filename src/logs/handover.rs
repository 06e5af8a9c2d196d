//! Where a container's log that was read through the engine goes on in its files, once these may be read.
//!
//! Lives here: finding the entry that was taken last. Not here: reading on from there (`rotation`).

use super::beside::{Present, is_rotation_of, open, siblings};
use super::container::ApiCursor;
use super::cursor::{FileCursor, Identity};
use super::files::is_packed;
use super::scan::{BUFFER, Ended};
use jiff::Timestamp;
use memchr::{memchr, memmem};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the driver writes before the time of an entry. In the text of an entry its quotes are escaped.
const KEY: &[u8] = b"\"time\":\"";
/// An entry ends so few bytes after the beginning of its time.
const LONGEST_END: usize = 128;

/// The cursor behind the last entry that was taken through the engine, in the log at this path or in what it was rotated to.
/// `None` when that is nowhere beside it, or packed.
pub fn resume(path: &Path, taken: &ApiCursor) -> Option<FileCursor> {
    let since = taken.since?;
    let may_hold = |file: &Present| !is_packed(&file.path) && (file.path == path || is_rotation_of(&file.path, path));
    let mut files: Vec<Present> = siblings(path).into_iter().filter(may_hold).collect();
    files.sort_by_key(|file| (file.path != path, std::cmp::Reverse(file.id.mtime)));
    files.iter().find_map(|present| {
        let file = open(present).ok().flatten()?;
        let offset = end_of(&file, since, taken.at_since).ok().flatten()?;
        let mut cursor = FileCursor::start(present.path.clone(), present.id);
        cursor.rotated = present.path != path;
        cursor.rotated_from = cursor.rotated.then(|| path.to_owned());
        cursor.advance(&file, Identity { size: offset, ..present.id }, Ended { offset, pending: 0, mid_line: false });
        (cursor.continued, cursor.open) = (taken.continued, taken.open.clone());
        Some(cursor)
    })
}

/// The end of the entry that is the `count`-th, or the last one before that, of exactly this time.
fn end_of(file: &File, time: Timestamp, count: u64) -> std::io::Result<Option<u64>> {
    let second = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let needle = [KEY, second.as_bytes()].concat();
    let finder = memmem::Finder::new(&needle);
    let (mut buffer, mut at, mut seen, mut end) = (vec![0; BUFFER], 0, 0, None::<u64>);
    loop {
        let read = file.read_at(&mut buffer, at)?;
        let text = buffer.get(..read).unwrap_or_default();
        for hit in finder.find_iter(text) {
            let value = hit + KEY.len();
            let rest = text.get(value..).unwrap_or_default();
            let rest = rest.get(..LONGEST_END).unwrap_or(rest);
            let Some(newline) = memchr(b'\n', rest).filter(|_| time_of(rest) == Some(time)) else { continue };
            let behind = at + (value + newline + 1) as u64;
            // Once more, in the overlap of two buffers.
            if end.is_some_and(|end| behind <= end) {
                continue;
            }
            end = Some(behind);
            seen += 1;
            if seen >= count {
                return Ok(end);
            }
        }
        // An entry whose end is not in the buffer is found again in the next one, which begins within it.
        let overlap = KEY.len() + LONGEST_END;
        if read <= overlap {
            return Ok(end);
        }
        at += (read - overlap) as u64;
    }
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

    /// Files with entries at these seconds, of which those up to a second were taken, and so many of that one. Where the
    /// cursor goes on: the file, and the number of the first entry from there.
    fn check(files: &[(&str, &[i64])], taken: (i64, u64), padding: usize, expected: Option<(&str, usize)>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, seconds) in files {
            let mut text = String::new();
            for (number, second) in seconds.iter().enumerate() {
                write!(text, "{}", entry(number, at(*second), padding)).unwrap();
            }
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let (second, at_since) = taken;
        let api = ApiCursor { since: Some(at(second)), at_since, continued: [true, false], ..ApiCursor::default() };
        let cursor = resume(&dir.path().join(LOG), &api);
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
            check(&[(LOG, &[1, 2, 3])], (2, 1), padding, Some((LOG, 2)));
            check(&[(LOG, &[1, 2, 3])], (3, 1), padding, Some((LOG, 3)));
            // Of several with one time, so many as were taken; clocks go back.
            check(&[(LOG, &[1, 2, 2, 2, 3])], (2, 2), padding, Some((LOG, 3)));
            check(&[(LOG, &[1, 5, 4, 5, 6])], (5, 1), padding, Some((LOG, 2)));
            check(&[(LOG, &[1, 5, 4, 5, 6])], (5, 2), padding, Some((LOG, 4)));
        }
        let many: Vec<i64> = (0..2_000).collect();
        for (taken, padding) in [(700, 300), (1_999, 300), (0, 271), (1_234, 0)] {
            check(&[(LOG, &many)], (taken, 1), padding, Some((LOG, taken as usize + 1)));
        }
        let alike = [7; 2_000];
        for (taken, padding) in [(1, 300), (1_999, 301), (1_234, 17), (2_000, 5)] {
            check(&[(LOG, &alike)], (7, taken), padding, Some((LOG, taken as usize)));
        }
    }

    #[test]
    fn what_was_rotated_since_is_found_there_and_what_is_gone_nowhere() {
        let rotated = "x-json.log.1";
        check(&[(rotated, &[1, 2, 3]), (LOG, &[4, 5])], (2, 1), 0, Some((rotated, 2)));
        check(&[(rotated, &[1, 2, 3])], (3, 1), 0, Some((rotated, 3)));
        check(&[(rotated, &[3, 4]), (LOG, &[5])], (2, 1), 0, None);
        check(&[(LOG, &[])], (2, 1), 0, None);
        check(&[], (2, 1), 0, None);
        check(&[("x-json.log.1.gz", &[1, 2]), ("y-json.log", &[2])], (2, 1), 0, None);
    }
}
