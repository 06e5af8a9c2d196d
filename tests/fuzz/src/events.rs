//! The event assembler: any mix of fragments of stack traces and log lines gives the same events in one pass and in
//! many, with bounded memory for each.

use super::{LINES, PREFIXES, allocated};
use healer::config::{Engine, SystemSecrets, compile};
use healer::logs::{LogState, read_new};
use healer::model::LogReport;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// Bytes allocated at most: once for each pass, and for each byte of the input.
const BUDGET: (u64, u64) = (48 << 20, 20_000);

struct Place {
    _dir: tempfile::TempDir,
    log: PathBuf,
    engine: Engine,
}

thread_local!(static PLACE: Place = {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let log = dir.path().join("app.log");
    let text = format!(
        "[checks.host]\nenabled = false\n[checks.docker]\nenabled = false\n[logs.files.app]\npath = \"{}\"\n",
        log.display()
    );
    let engine = compile(vec![(dir.path().join("healer.toml"), text)], &SystemSecrets).map_err(|e| e[0].to_string());
    Place { log, engine: engine.unwrap(), _dir: dir }
});

/// Asserts it of an input.
pub fn law(data: &[u8]) {
    let Some((cuts, data)) = data.split_at_checked(3) else { return };
    let mut text = Vec::new();
    for pair in data.chunks_exact(2) {
        text.extend_from_slice(PREFIXES[usize::from(pair[0] >> 4) % PREFIXES.len()].as_bytes());
        match usize::from(pair[1]) {
            known @ 0..240 => text.extend_from_slice(LINES[known % LINES.len()].as_bytes()),
            // A NUL would make it no text.
            _ => text.push(pair[0].max(1)),
        }
        text.push(b'\n');
    }
    let mut ends: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) * text.len() / 255).collect();
    ends.push(text.len());
    ends.sort_unstable();
    PLACE.with(|place| {
        let (whole, bytes) = allocated(|| in_passes(place, &text, &[text.len()]));
        let most = BUDGET.0 + BUDGET.1 * text.len() as u64;
        assert!(bytes <= most, "{bytes} bytes allocated for {} bytes of input", text.len());
        let cut = in_passes(place, &text, &ends);
        assert!(cut.is_as(&whole), "{whole:?} is {cut:?} cut at {ends:?}:\n{}", String::from_utf8_lossy(&text));
    });
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: u64,
    by_signature: BTreeMap<String, u64>,
    matched_lines: BTreeMap<String, u64>,
}

/// Whose exception a line is, its frames tell, and they may come with the next pass.
const TOLD_BY_FRAMES: [&str; 2] = ["python_exception", "node_exception"];

impl Seen {
    /// Whether this is what was seen of the same text read whole: a signature that frames tell may be counted beside the
    /// right one, never instead of it and never more often than its lines are.
    fn is_as(&self, whole: &Seen) -> bool {
        let count = |seen: &Seen, name: &str| seen.by_signature.get(name).copied().unwrap_or(0);
        let same = |(name, lines): (&String, &u64)| match TOLD_BY_FRAMES.contains(&name.as_str()) {
            true => (count(whole, name)..=*lines).contains(&count(self, name)),
            false => count(whole, name) == count(self, name),
        };
        self.events == whole.events && self.matched_lines == whole.matched_lines && whole.matched_lines.iter().all(same)
    }

    fn add(&mut self, report: LogReport) {
        assert!(report.gaps.is_empty() && report.problems.is_empty(), "{report:?}");
        for group in &report.groups {
            // 20 first lines, 20 last ones, and one that says how many are left out.
            assert!(
                group.example.lines.len() <= 41 && group.example.before.len() <= 3 && group.example.after.len() <= 3
            );
        }
        self.events += report.events;
        for (all, new) in
            [(&mut self.by_signature, report.by_signature), (&mut self.matched_lines, report.matched_lines)]
        {
            for (name, n) in new {
                *all.entry(name).or_default() += n;
            }
        }
    }
}

/// Writes the text up to each end and lets a pass read it; then passes until nothing is open.
fn in_passes(place: &Place, text: &[u8], ends: &[usize]) -> Seen {
    let _ = std::fs::remove_file(&place.log);
    let (mut state, mut seen, mut from, mut clock) = (LogState::default(), Seen::default(), 0, 1_750_000_000u64);
    let mut pass = |clock: u64| {
        // What is remembered goes through its file's form.
        let report =
            read_new(&place.engine, &[], None, None, &mut state, Timestamp::from_second(clock as i64).unwrap());
        state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        report
    };
    for end in ends {
        let mut file = std::fs::File::options().create(true).append(true).open(&place.log).unwrap();
        file.write_all(&text[from..*end]).unwrap();
        clock += 1;
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(clock)).unwrap();
        from = *end;
        seen.add(pass(clock));
    }
    for later in [10, 20, 30] {
        seen.add(pass(clock + later));
    }
    seen
}
