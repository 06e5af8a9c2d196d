//! Words that are variable by their form alone: numbers, addresses, hosts, paths, ids, durations.
//!
//! Pure, one setting for all logs, and nothing here knows any log.

use memchr::memmem;

/// Domains a host name may end with after one label, and with two labels or more.
const DOMAINS: [&[u8]; 8] = [b"com", b"net", b"org", b"edu", b"gov", b"local", b"internal", b"lan"];
const LONG_DOMAINS: [&[u8]; 14] = [
    b"int",
    b"mil",
    b"dev",
    b"app",
    b"cloud",
    b"svc",
    b"cluster",
    b"home",
    b"corp",
    b"arpa",
    b"info",
    b"biz",
    b"localdomain",
    b"name",
];
/// First labels of code: `org.apache.Client`, `java.lang.Error`.
const PACKAGES: [&[u8]; 5] = [b"java", b"javax", b"sun", b"scala", b"kotlin"];
/// What makes a name that ends with a country's code a host.
const HOSTS: [&[u8]; 6] = [b"www", b"mail", b"smtp", b"ns", b"ftp", b"api"];
const SECOND_LEVELS: [&[u8]; 7] = [b"com", b"co", b"net", b"org", b"edu", b"gov", b"ac"];
/// Endings of two letters that are files, not countries.
const FILES: [&[u8]; 16] =
    [b"py", b"js", b"rs", b"go", b"sh", b"so", b"cc", b"rb", b"pl", b"md", b"gz", b"db", b"ts", b"kt", b"cs", b"vm"];
const SIZES: &str = " B kB kb KB Mb MB GB TB KiB MiB GiB Ki Mi Gi K M G b byte bytes ";
const TIMES: &str = " ns us µs ms s m h d sec secs second seconds min mins minute minutes hour hours day days ";
const RATES: &str = " Hz kHz MHz GHz Mbps Gbps kbps V W C ";
/// Units only where no space stands before them.
const NEVER_APART: &str = " K M G b m h d V W C Ki Mi Gi ";

/// What a word is by its form; none when it is a word.
pub fn of_word(word: &[u8]) -> Option<&'static str> {
    let seen = Seen::in_word(word);
    if seen.only_letters {
        return None;
    }
    if seen.colons > 0 && seen.slashes > 1 && memmem::find(word, b"://").is_some() {
        return Some("<url>");
    }
    if seen.at && seen.dots > 0 && seen.slashes == 0 {
        return Some("<email>");
    }
    if is_path(word, &seen) {
        return Some("<path>");
    }
    if seen.dots > 0 && seen.letters && is_host(word) {
        return Some("<host>");
    }
    if seen.digits == 0 {
        return None;
    }
    if is_address(word, &seen) {
        return Some("<ip>");
    }
    if is_number(word) {
        return Some("<num>");
    }
    if is_hex(word) {
        return Some("<hex>");
    }
    if let Some(amount) = amount(word) {
        return Some(amount);
    }
    if is_version(word) {
        return Some("<version>");
    }
    let runs = |part: &[u8]| {
        if is_hex_part(part) { 1 } else { part.split(|b| !b.is_ascii_digit()).filter(|run| !run.is_empty()).count() }
    };
    let runs: usize = parts(word).map(runs).sum();
    (runs > 2).then_some("<id>")
}

/// The runs of letters and digits of a word, and what stands between them.
fn parts(word: &[u8]) -> impl Iterator<Item = &[u8]> {
    word.chunk_by(|a, b| a.is_ascii_alphanumeric() == b.is_ascii_alphanumeric())
}

/// Bytes that a hexadecimal number has at least.
pub const MIN_HEX: usize = 8;

/// Whether a part of a word is a hexadecimal number: `req_1a2b3c4d`. A number with an exponent has one letter.
pub fn is_hex_part(part: &[u8]) -> bool {
    let letters = || part.iter().filter(|b| !b.is_ascii_digit()).count();
    part.len() >= MIN_HEX
        && part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && (2..part.len()).contains(&letters())
}

/// Every hexadecimal number and every run of digits becomes one mark; the rest of the word stays.
pub fn digits(word: &[u8], out: &mut Vec<u8>) {
    for part in parts(word) {
        if is_hex_part(part) {
            out.extend_from_slice(b"<hex>");
        } else {
            digit_runs(part, word.len(), out);
        }
    }
}

fn digit_runs(text: &[u8], of_word: usize, out: &mut Vec<u8>) {
    for part in text.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        if part.first().is_some_and(u8::is_ascii_digit) {
            out.extend_from_slice(b"<num>");
        } else {
            // The sign of an id: `blk_-160` and `blk_160` are alike.
            let signed = part.ends_with(b"_-") && part.len() < of_word;
            out.extend_from_slice(if signed { part.get(..part.len() - 1).unwrap_or_default() } else { part });
        }
    }
}

/// What one look at a word finds.
#[derive(Default)]
struct Seen {
    only_letters: bool,
    letters: bool,
    digits: usize,
    dots: usize,
    slashes: usize,
    colons: usize,
    at: bool,
}

impl Seen {
    fn in_word(word: &[u8]) -> Seen {
        let mut seen = Seen { only_letters: true, ..Seen::default() };
        for byte in word {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' => {
                    seen.letters = true;
                    continue;
                }
                b'0'..=b'9' => seen.digits += 1,
                b'.' => seen.dots += 1,
                b'/' => seen.slashes += 1,
                b':' => seen.colons += 1,
                b'@' => seen.at = true,
                _ => {}
            }
            seen.only_letters = false;
        }
        seen
    }
}

fn is_path(word: &[u8], seen: &Seen) -> bool {
    if matches!(word, [b'A'..=b'Z' | b'a'..=b'z', b':', b'\\', ..]) {
        return true;
    }
    let has_root = || matches!(word, [b'/' | b'~', ..]) || word.starts_with(b"./");
    seen.slashes > 0
        && word.len() > 1
        && (has_root() || seen.slashes >= 3 || ends_as_file(word))
        && !is_v4(word.strip_prefix(b"/").unwrap_or(word))
}

/// `conf/app.yaml`, `src/a.c:12`.
fn ends_as_file(word: &[u8]) -> bool {
    let word = match memchr::memrchr(b':', word).map(|at| word.split_at(at)) {
        Some((before, [_, line @ ..])) if line.iter().all(u8::is_ascii_digit) => before,
        _ => word,
    };
    let Some(dot) = memchr::memrchr(b'.', word) else { return false };
    let (stem, ending) = (word.get(..dot).unwrap_or_default(), word.get(dot + 1..).unwrap_or_default());
    stem.last().is_some_and(|b| !b"/.".contains(b))
        && (1..=5).contains(&ending.len())
        && ending.first().is_some_and(u8::is_ascii_alphabetic)
        && ending.iter().all(u8::is_ascii_alphanumeric)
}

/// `db-1.example.com`, `a.b.internal:80`; no name of code.
fn is_host(word: &[u8]) -> bool {
    let mut halves = word.splitn(2, |b| *b == b':');
    let host = halves.next().unwrap_or_default();
    if halves.next().is_some_and(|port| port.is_empty() || !port.iter().all(u8::is_ascii_digit)) {
        return false;
    }
    let is_label = |l: &[u8]| !l.is_empty() && l.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b));
    let (mut labels, mut first, mut second, mut last) = (0, &[][..], &[][..], &[][..]);
    for label in host.split(|b| *b == b'.') {
        if !is_label(label) {
            return false;
        }
        if labels == 0 {
            first = label;
        }
        (labels, second, last) = (labels + 1, last, label);
    }
    if labels < 2 || DOMAINS.contains(&first) || LONG_DOMAINS.contains(&first) || PACKAGES.contains(&first) {
        return false;
    }
    // `task.user.id` is no host of Indonesia.
    let is_machine = || host.iter().any(|b| b.is_ascii_digit() || *b == b'-');
    let is_country = || {
        last.len() == 2
            && last.iter().all(u8::is_ascii_lowercase)
            && !FILES.contains(&last)
            && (is_machine() || HOSTS.contains(&first) || SECOND_LEVELS.contains(&second))
    };
    DOMAINS.contains(&last) || labels > 2 && (LONG_DOMAINS.contains(&last) || is_country())
}

fn is_number(word: &[u8]) -> bool {
    let body = word.strip_prefix(b"#").unwrap_or(word);
    let end = body.iter().rposition(|b| !b"%#".contains(b)).map_or(0, |last| last + 1);
    let body = body.get(..end).unwrap_or_default();
    // `1.5e-3`
    let body = match body.iter().position(|b| b"eE".contains(b)) {
        Some(at) if at > 0 && body.get(at + 1..).is_some_and(|e| e.iter().any(u8::is_ascii_digit)) => {
            let exponent = body.get(at + 1..).unwrap_or_default();
            let digits = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
            if !digits.iter().all(u8::is_ascii_digit) {
                return false;
            }
            body.get(..at).unwrap_or_default()
        }
        _ => body,
    };
    !body.is_empty() && body.iter().all(|b| b.is_ascii_digit() || b".:/-_+x*".contains(b))
}

/// With an optional port or network size.
fn is_v4(word: &[u8]) -> bool {
    let end = word.iter().position(|b| b":/".contains(b)).unwrap_or(word.len());
    let (host, rest) = word.split_at(end);
    let mut parts = 0;
    for part in host.split(|b| *b == b'.') {
        if part.is_empty() || part.len() > 3 || !part.iter().all(u8::is_ascii_digit) {
            return false;
        }
        parts += 1;
    }
    parts == 4 && rest.iter().all(|b| b.is_ascii_digit() || b":/".contains(b))
}

fn is_address(word: &[u8], seen: &Seen) -> bool {
    let word = word.strip_prefix(b"/").unwrap_or(word);
    let is_v6 = || seen.colons >= 3 && word.iter().all(|b| b.is_ascii_hexdigit() || *b == b':' || *b == b'.');
    seen.dots >= 3 && is_v4(word) || is_v6()
}

/// `0x1f`, eight or more hex digits, also in groups (uuids).
fn is_hex(word: &[u8]) -> bool {
    if let Some(digits) = word.strip_prefix(b"0x").or_else(|| word.strip_prefix(b"0X")) {
        return !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    }
    let digits = word.iter().filter(|b| b.is_ascii_hexdigit()).count();
    digits >= 8 && word.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
}

fn is_unit(units: &str, unit: &str) -> bool {
    unit.len() < 8 && !unit.is_empty() && units.split(' ').any(|known| known == unit)
}

fn of_unit(unit: &str) -> Option<&'static str> {
    match () {
        () if is_unit(TIMES, unit) => Some("<duration>"),
        () if is_unit(SIZES, unit) => Some("<size>"),
        () if is_unit(RATES, unit) => Some("<num>"),
        () => None,
    }
}

/// What a number and the word after it are together: `12 KB`, `5 seconds`.
pub fn with_unit(word: &[u8]) -> Option<&'static str> {
    let unit = std::str::from_utf8(word).ok().filter(|u| u.len() <= 8)?;
    if is_unit(NEVER_APART, unit) { None } else { of_unit(unit) }
}

/// `12ms`, `-3.5GB`, `1h5m30s`.
fn amount(word: &[u8]) -> Option<&'static str> {
    let word = std::str::from_utf8(word).ok()?;
    let mut rest = word.strip_prefix(['-', '+']).unwrap_or(word);
    let mut found = None;
    for part in 0..5 {
        if rest.is_empty() {
            return found;
        }
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || ".,".contains(c));
        if unit.len() == rest.len() {
            return None;
        }
        let length = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at_checked(length)?;
        let kind = of_unit(unit)?;
        if kind != "<duration>" && (part > 0 || !after.is_empty()) {
            return None;
        }
        (found, rest) = (Some(kind), after);
    }
    None
}

/// `v1.2.3-rc1`
fn is_version(word: &[u8]) -> bool {
    let ([b'v' | b'V', rest @ ..], Some(true)) = (word, word.get(1).map(u8::is_ascii_digit)) else { return false };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let tail = rest.get(digits..).unwrap_or_default();
    tail.first().is_none_or(|b| b"._-".contains(b))
        && tail.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}
