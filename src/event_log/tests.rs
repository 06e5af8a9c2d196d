use super::*;

fn day(n: i64) -> Timestamp {
    Timestamp::from_second(n * 86_400).unwrap()
}

fn line(n: i64) -> String {
    format!("{{\"t\":\"{}\",\"kind\":\"x\",\"n\":{n}}}", day(n))
}

struct Log {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Log {
    fn new(days: &[i64]) -> Log {
        let dir = tempfile::tempdir().unwrap();
        let log = Log { path: dir.path().join("events.jsonl"), _dir: dir };
        days.iter().for_each(|d| log.append(*d));
        log
    }

    fn append(&self, day: i64) {
        files::append_unsynced(&self.path, &line(day), 0o640).unwrap();
    }

    fn expire(&self, now: i64) {
        expire(&self.path, 90 * DAY, day(now)).unwrap();
    }

    fn tail(&self, from: From) -> Tail {
        Tail::new(self.path.clone(), from)
    }
}

/// The numbers of the events that are read, and whether there was a gap.
fn read(tail: &mut Tail) -> (Vec<i64>, bool) {
    let read = tail.read(usize::MAX).unwrap();
    let n = |e: &Event| serde_json::from_str::<serde_json::Value>(&e.line).unwrap()["n"].as_i64().unwrap_or(-1);
    (read.events.iter().map(n).collect(), read.gap)
}

#[test]
fn old_lines_expire_and_young_ones_stay() {
    let check = |days: &[i64], kept: &[i64]| {
        let log = Log::new(days);
        log.expire(100);
        assert_eq!(read(&mut log.tail(From::After(Position::default()))).0, kept, "{days:?}");
    };
    check(&[], &[]);
    check(&[50, 99], &[50, 99]);
    check(&[10, 50], &[10, 50]);
    check(&[1, 5, 10, 50, 99], &[10, 50, 99]);
    check(&[1, 2], &[]);
}

#[test]
fn a_place_stays_the_same_over_every_expiry() {
    let log = Log::new(&[1, 5, 10, 50]);
    let mut live = log.tail(From::Time(day(0)));
    assert_eq!(read(&mut live), (vec![1, 5, 10, 50], false));
    let seen: Vec<Position> =
        log.tail(From::Time(day(0))).read(usize::MAX).unwrap().events.iter().map(|e| e.after).collect();
    log.expire(100);
    log.append(100);
    assert_eq!(read(&mut live), (vec![100], false));
    log.expire(150);
    log.append(150);
    assert_eq!(read(&mut live), (vec![150], false), "nothing twice, nothing lost");
    log.append(151);
    log.expire(250);
    log.append(250);
    assert_eq!(read(&mut live), (vec![250], true), "151 has expired unread");
    let resumed = |n: usize| read(&mut log.tail(From::After(seen[n])));
    assert_eq!(resumed(0), (vec![250], true), "what has expired is told as a gap");
    assert_eq!(resumed(3), (vec![250], true));

    let log = Log::new(&[1, 5, 10, 50]);
    log.expire(100);
    let resumed = |n: usize| read(&mut log.tail(From::After(seen[n])));
    assert_eq!(resumed(1), (vec![10, 50], false), "what was read before the expiry is not read again");
    assert_eq!(resumed(2), (vec![50], false));
    assert_eq!(resumed(0), (vec![10, 50], true));
}

#[test]
fn who_waits_where_there_is_no_log_misses_nothing_of_it() {
    let log = Log::new(&[1, 2]);
    let later = log.path.with_extension("later");
    let mut tail = Tail::new(later.clone(), From::Now);
    assert_eq!(read(&mut tail), (vec![], false));
    std::fs::rename(&log.path, &later).unwrap();
    assert_eq!(read(&mut tail), (vec![1, 2], false));
}

#[test]
fn a_line_is_given_out_when_it_is_whole() {
    let log = Log::new(&[1]);
    let mut tail = log.tail(From::Now);
    assert_eq!(read(&mut tail), (vec![], false));
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(&log.path).unwrap();
    let whole = line(2) + "\n";
    for part in whole.as_bytes().chunks(7) {
        assert_eq!(read(&mut tail), (vec![], false));
        file.write_all(part).unwrap();
    }
    assert_eq!(read(&mut tail), (vec![2], false));
}

#[test]
fn another_log_is_read_from_its_beginning_and_told_as_a_gap() {
    let log = Log::new(&[1, 2]);
    let mut tail = log.tail(From::Now);
    assert_eq!(read(&mut tail), (vec![], false));
    std::fs::remove_file(&log.path).unwrap();
    assert_eq!(read(&mut tail), (vec![], false));
    log.append(3);
    assert_eq!(read(&mut tail), (vec![3], true));

    // None at all, and then one.
    let log = Log::new(&[]);
    let mut tail = log.tail(From::Now);
    assert_eq!(read(&mut tail), (vec![], false));
    log.append(3);
    assert_eq!(read(&mut tail), (vec![3], false));
}

#[test]
fn a_time_is_found_in_a_long_log() {
    let days: Vec<i64> = (0..20_000).collect();
    let log = Log::new(&[]);
    let text: String = days.iter().map(|d| line(*d) + "\n").collect();
    std::fs::write(&log.path, text).unwrap();
    let check = |since: i64, slack: usize| {
        let (found, gap) = read(&mut log.tail(From::Time(day(since))));
        assert!(!gap);
        assert_eq!(found.last(), Some(&19_999));
        let wanted = usize::try_from(20_000 - since).unwrap();
        assert!((wanted..=wanted + slack).contains(&found.len()), "{since}: {}", found.len());
    };
    check(0, 0);
    check(10, 10);
    check(10_000, 2_000);
    check(19_999, 2_000);
}

#[test]
fn a_position_is_read_back_and_nothing_else_is_one() {
    let position = Position { generation: 0xabc, offset: 12 };
    assert_eq!(position.to_string(), "00000abc-12");
    assert_eq!("00000abc-12".parse(), Ok(position));
    for text in [
        "",
        "-",
        "abc-1",
        "00000abc",
        "00000abc-",
        "00000abc--1",
        "00000abc-+1",
        "zzzzzzzz-1",
        "00000abc-99999999999999999999999",
    ] {
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
}
