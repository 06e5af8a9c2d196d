//! When an event happened: the timestamp of its own line, in the formats that logs use.
//!
//! Pure: the time zone and the current time are arguments.

use super::group::is_mixed;
use super::local::{Day, Local, OfDay, at_offset};
use super::wide::{highest_bits, padded, wide};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// A timestamp stands within so many first bytes of a line, or of a JSON line.
const HEAD: usize = 96;
const JSON_HEAD: usize = 512;
/// Bytes that are looked at at once.
const BLOCK: usize = HEAD;
/// The same, with the one before them and the four behind them.
const WINDOW: usize = BLOCK + 5;
/// A clock may be ahead of ours by so much; a later time is taken for now.
const AHEAD: SignedDuration = SignedDuration::from_secs(2);

/// A point in time as a line writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub time: Timestamp,
    /// It said its zone; without one it was taken for local.
    pub zoned: bool,
}

/// Where lines have their timestamp that differ in the values of digits, and in what hexadecimal numbers they have, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Nowhere,
    /// The one that nearly all write is here, and no word before it begins as a timestamp.
    Usual(u8),
    /// The whole line must be looked at.
    Unknown,
}

/// Reads timestamps.
pub struct Clock {
    /// Of times that say none.
    zone: Local,
    now: Timestamp,
    /// What is later is taken for now.
    latest: Timestamp,
    this_year: i16,
}

impl Clock {
    /// A clock for times without a zone and without a year.
    pub fn new(zone: TimeZone, now: Timestamp) -> Clock {
        let this_year = zone.to_datetime(now).year();
        let latest = now.checked_add(AHEAD).unwrap_or(now);
        Clock { zone: Local::new(zone), now, latest, this_year }
    }

    /// Where a line has its timestamp.
    pub fn place(&self, line: &[u8]) -> Place {
        if is_json(line) {
            return Place::Unknown;
        }
        let mut first = None;
        self.find(line, HEAD, false, |at, _| {
            first = Some(at);
            Some(())
        });
        match first.map(|at| (u8::try_from(at), line.get(at..).and_then(|text| usual(text, &self.zone)))) {
            None => Place::Nowhere,
            // What stands before it may be longer in another one.
            Some((Ok(at), Some(_))) if !is_mixed(line.get(..usize::from(at)).unwrap_or_default()) => Place::Usual(at),
            Some(_) => Place::Unknown,
        }
    }

    /// The timestamp of a line that has it there.
    pub fn read_at(&self, line: &[u8], place: Place) -> Option<Stamp> {
        let stamp = match place {
            Place::Nowhere => return None,
            Place::Usual(at) => {
                line.get(usize::from(at)..HEAD.min(line.len())).and_then(|text| usual(text, &self.zone))
            }
            Place::Unknown => None,
        };
        stamp.map_or_else(|| self.read(line), |stamp| Some(Stamp { time: self.clamp(stamp.time), ..stamp }))
    }

    /// The timestamp of a line.
    pub fn read(&self, line: &[u8]) -> Option<Stamp> {
        let stamp = if is_json(line) {
            self.find(line, JSON_HEAD, true, |_, text| self.at_start(text, true))
        } else {
            self.find(line, HEAD, false, |at, text| self.at_start(text, at == 0))
        }?;
        Some(Stamp { time: self.clamp(stamp.time), ..stamp })
    }

    /// What is read at the first place, of so many first bytes, where a word begins that may be a timestamp and something is
    /// read.
    fn find<T>(
        &self,
        line: &[u8],
        within: usize,
        epochs: bool,
        mut read: impl FnMut(usize, &[u8]) -> Option<T>,
    ) -> Option<T> {
        let head = line.get(..within).unwrap_or(line);
        // Most begin with it.
        let begins = matches!(head, [b'0'..=b'9', ..] | [b'A'..=b'Z', _, _, b' ', ..]);
        if begins && let Some(found) = read(0, head) {
            return Some(found);
        }
        for from in (0..head.len()).step_by(BLOCK) {
            let text = line.get(from..)?;
            let mut starts = match text.first_chunk() {
                Some(window) => starts(window, epochs),
                None => starts(&padded(text), epochs),
            };
            while starts != 0 {
                // Behind the first place that is no more of the head there is none that is.
                let at = from + 1 + starts.trailing_zeros() as usize;
                if let Some(found) = read(at, head.get(at..).filter(|text| !text.is_empty())?) {
                    return Some(found);
                }
                starts &= starts - 1;
            }
        }
        None
    }

    /// Times that lie ahead are now.
    pub fn clamp(&self, time: Timestamp) -> Timestamp {
        if time > self.latest { self.now } else { time }
    }

    fn at_start(&self, text: &[u8], epochs: bool) -> Option<Stamp> {
        match text {
            [b'0'..=b'9', b'0'..=b'9', ..] => iso(text, &self.zone)
                .or_else(|| common_log(text, &self.zone))
                .or_else(|| if epochs { epoch(text) } else { None }),
            [b'J' | b'F' | b'M' | b'A' | b'S' | b'O' | b'N' | b'D', ..] => self.syslog(text),
            _ => None,
        }
    }

    /// `Jan  2 03:04:05` (the newest such time that is not ahead), `Jan 02 03:04:05 2025`.
    fn syslog(&self, text: &[u8]) -> Option<Stamp> {
        let mut r = Reader(text);
        let month = r.month()?;
        r.one_of(b" ")?;
        let _ = r.one_of(b" ");
        let day = r.digits(1, 2)?;
        r.one_of(b" ")?;
        let time = r.time()?;
        let _ = r.one_of(b" ");
        let said = r.digits(4, 4).filter(|y| (1970..=2200).contains(y));
        let day = i8::try_from(day).ok()?;
        let in_year = |year: i16| stamp(Day { year, month, day }, time, None, &self.zone);
        if let Some(year) = said {
            return in_year(year.try_into().ok()?);
        }
        let tomorrow = self.now.checked_add(SignedDuration::from_hours(24)).unwrap_or(self.now);
        in_year(self.this_year).filter(|s| s.time <= tomorrow).or_else(|| in_year(self.this_year - 1))
    }
}

fn is_json(line: &[u8]) -> bool {
    line.trim_ascii_start().first() == Some(&b'{')
}

wide! {
    /// Where in a block a word begins that may be a timestamp: a bit for each byte. That is a number before a dash or a slash, a
    /// word of three letters as the name of a month is, and with `epochs` any number. All bytes are looked at at once, as most lines
    /// have no timestamp or one at their beginning.
    fn starts(window: &[u8; WINDOW], epochs: bool) -> u128 {
        let is = |a: u8, b: u8| u8::from(a == b);
        let is_digit = |byte: u8| u8::from(byte.wrapping_sub(b'0') < 10);
        let goes_on = |left: u8| is_digit(left) | u8::from((left | 0x20).wrapping_sub(b'a') < 26) | is(left, b'.');
        let before_and_here = part::<0>(window).iter().zip(part::<1>(window));
        let ahead = part::<3>(window).iter().zip(part::<4>(window)).zip(part::<5>(window));
        let mut marks = [0_u8; BLOCK];
        for (mark, ((left, here), ((third, fourth), fifth))) in marks.iter_mut().zip(before_and_here.zip(ahead)) {
            let is_date = is(*third, b'/') | is(*fifth, b'-') | is(*fifth, b'/') | u8::from(epochs);
            let is_name = u8::from(here.wrapping_sub(b'A') < 26) & is(*fourth, b' ');
            *mark = ((is_digit(*here) & is_date | is_name) & !goes_on(*left) & 1) << 7;
        }
        highest_bits(&marks)
    }
}

/// The bytes of a window from this one on.
#[inline]
fn part<const FROM: usize>(window: &[u8; WINDOW]) -> &[u8; BLOCK] {
    window.get(FROM..).and_then(<[u8]>::first_chunk).unwrap_or(&[0; BLOCK])
}

/// Reads a text from left to right.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn digits(&mut self, least: usize, most: usize) -> Option<i32> {
        let (mut value, mut count) = (0, 0);
        while let Some(digit) = self.0.get(count).filter(|b| count < most && b.is_ascii_digit()) {
            value = value * 10 + i32::from(digit - b'0');
            count += 1;
        }
        self.0 = self.0.get(count..)?;
        (count >= least).then_some(value)
    }

    fn one_of(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        any.contains(first).then(|| self.0 = rest)?;
        Some(*first)
    }

    fn month(&mut self) -> Option<i8> {
        let (name, rest) = self.0.split_first_chunk()?;
        let month = match name {
            b"Jan" => 1,
            b"Feb" => 2,
            b"Mar" => 3,
            b"Apr" => 4,
            b"May" => 5,
            b"Jun" => 6,
            b"Jul" => 7,
            b"Aug" => 8,
            b"Sep" => 9,
            b"Oct" => 10,
            b"Nov" => 11,
            b"Dec" => 12,
            _ => return None,
        };
        self.0 = rest;
        Some(month)
    }

    /// `03:04:05` and up to nine digits of a fraction.
    fn time(&mut self) -> Option<OfDay> {
        let hour = self.digits(1, 2)?;
        self.one_of(b":")?;
        let minute = self.digits(2, 2)?;
        self.one_of(b":")?;
        let second = self.digits(2, 2)?;
        let nanos = self.fraction();
        OfDay::new(hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?, nanos)
    }

    /// Nanoseconds behind a point or a comma.
    fn fraction(&mut self) -> i32 {
        let [b'.' | b',', rest @ ..] = self.0 else { return 0 };
        // Milliseconds are what most write.
        if let [a, b, c, behind @ ..] = rest
            && [a, b, c].iter().all(|byte| byte.is_ascii_digit())
            && !behind.first().is_some_and(u8::is_ascii_digit)
        {
            self.0 = behind;
            let digit = |byte: &u8| i32::from(byte - b'0');
            return ((digit(a) * 10 + digit(b)) * 10 + digit(c)) * 1_000_000;
        }
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let Some((said, behind)) = rest.split_at_checked(digits).filter(|_| digits > 0) else { return 0 };
        self.0 = behind;
        let digit = |place: usize| said.get(place).map_or(0, |b| i32::from(b - b'0'));
        (0..9).fold(0, |nanos, place| nanos * 10 + digit(place))
    }

    /// `Z`, `UTC`, `+02:00`, `+0200`, also after one space.
    fn zone(&mut self) -> Option<Offset> {
        let rest = self.0.strip_prefix(b" ").unwrap_or(self.0);
        if !matches!(rest, [b'U' | b'G' | b'Z' | b'+' | b'-', ..]) {
            return None;
        }
        if rest.starts_with(b"UTC")
            || rest.starts_with(b"GMT")
            || (rest.starts_with(b"Z") && rest.len() == self.0.len())
        {
            return Some(Offset::UTC);
        }
        let mut reader = Reader(rest);
        let sign = if reader.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = reader.digits(2, 2)?;
        let _ = reader.one_of(b":");
        let minutes = reader.digits(2, 2)?;
        if reader.0.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
    }
}

fn stamp(day: Day, time: OfDay, said: Option<Offset>, local: &Local) -> Option<Stamp> {
    let at = match said {
        Some(offset) => at_offset(offset, day, time)?,
        None => local.timestamp(day, time)?,
    };
    Some(Stamp { time: at, zoned: said.is_some() })
}

/// `2025-01-02T03:04:05.123Z`, `2025-01-02 03:04:05,123`, `2025/01/02 03:04:05`, `25/01/02 03:04:05`.
fn iso(text: &[u8], local: &Local) -> Option<Stamp> {
    if !matches!(text.get(2), Some(b'/')) && !matches!(text.get(4), Some(b'-' | b'/')) {
        return None;
    }
    if let Some(said) = usual_numbers(text) {
        return usual_of(said, local);
    }
    let mut r = Reader(text);
    let year = match r.digits(2, 4)? {
        y @ 1970..=2200 => y,
        y @ 0..=99 if text.get(2) == Some(&b'/') => 2000 + y,
        _ => return None,
    };
    let separator = r.one_of(b"-/")?;
    let month = r.digits(2, 2)?;
    r.one_of(&[separator])?;
    let day = r.digits(2, 2)?;
    r.one_of(b"T _")?;
    let time = r.time()?;
    let day = Day { year: year.try_into().ok()?, month: month.try_into().ok()?, day: day.try_into().ok()? };
    stamp(day, time, r.zone(), local)
}

/// The one that nearly all write, read without a look at each byte in turn: `2025-01-02 03:04:05`, and what follows.
fn usual(text: &[u8], local: &Local) -> Option<Stamp> {
    usual_of(usual_numbers(text)?, local)
}

/// Its numbers, and what follows.
fn usual_numbers(text: &[u8]) -> Option<(Numbers, &[u8])> {
    const DAY: Form = Form::of(*b"0000-00-");
    const TIME: Form = Form::of(*b"00:00:00");
    let (start, rest) = text.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, _, m1, m2, _] = DAY.values(start.first_chunk()?)?;
    let [h1, h2, _, i1, i2, _, s1, s2] = TIME.values(start.last_chunk()?)?;
    let [_, _, _, _, _, _, _, _, d1 @ b'0'..=b'9', d2 @ b'0'..=b'9', b' ' | b'T', ..] = start else { return None };
    let two = |tens: u8, ones: u8| (tens * 10 + ones).cast_signed();
    let year = i16::from(two(y1, y2)) * 100 + i16::from(two(y3, y4));
    let day = Day { year, month: two(m1, m2), day: two(d1 - b'0', d2 - b'0') };
    Some((Numbers { day, hour: two(h1, h2), minute: two(i1, i2), second: two(s1, s2) }, rest))
}

/// What a timestamp says, whatever its ranges.
struct Numbers {
    day: Day,
    hour: i8,
    minute: i8,
    second: i8,
}

/// A form of eight bytes: digits, and what stands between them.
struct Form {
    bytes: u64,
    /// Added to what a byte differs by from the form, it sets the highest bit where the byte does not fit.
    room: u64,
}

impl Form {
    /// With a zero for each digit.
    const fn of(form: [u8; 8]) -> Form {
        let bytes = u64::from_le_bytes(form);
        let (mut room, mut at) = (0, 0);
        while at < u64::BITS {
            let digit = (bytes >> at) as u8 == b'0';
            room |= (if digit { 0x7F - 9 } else { 0x7F }) << at;
            at += 8;
        }
        Form { bytes, room }
    }

    /// The values of the digits, all made at once. None where the text is not of this form.
    fn values(&self, text: &[u8; 8]) -> Option<[u8; 8]> {
        const HIGHEST: u64 = 0x8080_8080_8080_8080;
        let values = u64::from_le_bytes(*text) ^ self.bytes;
        let others = (((values & !HIGHEST) + self.room) | values) & HIGHEST;
        (others == 0).then_some(values.to_le_bytes())
    }
}

fn usual_of((said, rest): (Numbers, &[u8]), local: &Local) -> Option<Stamp> {
    let mut r = Reader(rest);
    let nanos = r.fraction();
    let time = OfDay::new(said.hour, said.minute, said.second, nanos)?;
    let day = Some(said.day).filter(|day| (1970..=2200).contains(&day.year))?;
    stamp(day, time, r.zone(), local)
}

/// `10/Oct/2000:13:55:36 -0700`.
fn common_log(text: &[u8], local: &Local) -> Option<Stamp> {
    if text.get(2) != Some(&b'/') {
        return None;
    }
    let mut r = Reader(text);
    let day = r.digits(2, 2)?;
    r.one_of(b"/")?;
    let month = r.month()?;
    r.one_of(b"/")?;
    let year = r.digits(4, 4)?;
    r.one_of(b": ")?;
    let time = r.time()?;
    let day = Day { year: year.try_into().ok()?, month, day: day.try_into().ok()? };
    stamp(day, time, r.zone(), local)
}

/// Seconds since 1970 with ten digits, milliseconds with thirteen.
fn epoch(text: &[u8]) -> Option<Stamp> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits != 10 && digits != 13 {
        return None;
    }
    let number: i64 = std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()?;
    if text.get(digits).is_some_and(u8::is_ascii_alphabetic) {
        return None;
    }
    let millis = match digits {
        10 if number >= 1_000_000_000 => number * 1000,
        13 if number >= 1_000_000_000_000 => number,
        _ => return None,
    };
    Some(Stamp { time: Timestamp::from_millisecond(millis).ok()?, zoned: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: Option<&str>) {
        let now: Timestamp = "2025-06-15T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(Offset::from_seconds(2 * 3600).unwrap());
        let found = Clock::new(zone, now).read(line.as_bytes()).map(|s| s.time.to_string());
        assert_eq!(found.as_deref(), expected, "{line}");
    }

    #[test]
    fn the_formats_of_logs_are_read() {
        check("2025-01-02T03:04:05Z x", Some("2025-01-02T03:04:05Z"));
        check("2025-01-02T03:04:05.123456789+05:30 x", Some("2025-01-01T21:34:05.123456789Z"));
        check("2025-01-02 03:04:05,123 ERROR x", Some("2025-01-02T01:04:05.123Z"));
        check("web-1  | 2025-01-02 03:04:05.5 UTC x", Some("2025-01-02T03:04:05.5Z"));
        check("2025/01/02 03:04:05 [error] x", Some("2025-01-02T01:04:05Z"));
        check("17/06/09 20:10:40 INFO x", Some("2017-06-09T18:10:40Z"));
        check("1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET /\"", Some("2000-10-10T20:55:36Z"));
        check("Jan  2 03:04:05 host app[1]: x", Some("2025-01-02T01:04:05Z"));
        check("Dec 31 23:59:59 host app[1]: x", Some("2024-12-31T21:59:59Z"));
        check("[Thu Jun 09 06:07:04 2005] [notice] x", Some("2005-06-09T04:07:04Z"));
        check("1700000000.123 x", Some("2023-11-14T22:13:20Z"));
        check("{\"ts\":1700000000123,\"msg\":1}", Some("2023-11-14T22:13:20.123Z"));
        check("{\"level\":\"error\",\"time\":\"2025-01-02T03:04:05Z\"}", Some("2025-01-02T03:04:05Z"));
    }

    proptest! {
        /// Slowly: what is read at every place in turn.
        #[test]
        fn a_timestamp_is_found_where_a_word_begins_as_one(
            words in prop::collection::vec("[ .:x,\\[\"]{1,2}|[0-9]{1,12}|[JFMASOND]an|\\PC", 0..14),
            stamp in "(2025-0[0-9]-1[0-9][ T]|1[0-9]/Oct/2025:|20/01/02 |Jan [ 1][0-9] )[0-2][0-9]:3[0-9]:0[0-9](\\.[0-9]{1,3})?|17[0-9]{8}|17[0-9]{11}",
            at in any::<prop::sample::Index>(), json in any::<bool>(),
        ) {
            let mut words = words;
            words.insert(at.index(words.len() + 1), stamp);
            let line = if json { "{" } else { "" }.to_owned() + &words.concat();
            let json = line.as_bytes().trim_ascii_start().starts_with(b"{");
            let clock = Clock::new(TimeZone::UTC, "2025-12-31T12:00:00Z".parse().unwrap());
            let head = &line.as_bytes()[..line.len().min(if json { JSON_HEAD } else { HEAD })];
            let before = |at: usize| at.checked_sub(1).map_or(b' ', |before| head[before]);
            let begins = |at: &usize| !(before(*at).is_ascii_alphanumeric() || before(*at) == b'.');
            let slowly = (0..head.len()).filter(begins).find_map(|at| clock.at_start(&head[at..], at == 0 || json));
            prop_assert_eq!(clock.read(line.as_bytes()).map(|s| s.time), slowly.map(|s| clock.clamp(s.time)), "{}", line);
        }
    }

    #[test]
    fn other_numbers_are_no_times_and_the_future_is_now() {
        check("error 12 of 500", None);
        check("request 1700000000 failed", None);
        check("2025-13-45 99:99:99 x", None);
        check("", None);
        check("2031-01-02T03:04:05Z x", Some("2025-06-15T12:00:00Z"));
    }
}
