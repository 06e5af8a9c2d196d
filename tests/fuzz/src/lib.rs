//! What the fuzz targets of the log engine assert, and what they share: signatures made of bytes, fragments of logs, and a
//! budget for work. `tests/fuzz_laws.rs` tries the same on bytes of chance wherever the tests run.
//!
//! Each asserts laws and not only that nothing panics: `scanner`, that lines match as each pattern alone says,
//! wherever buffers are cut; `events`, that events are the same in one pass and in many; `cursor`, that each line of a
//! rotated log is counted once or lies inside of a reported gap. All: the bytes that are allocated are linear in the
//! input.
//!
//! To run one for two minutes, in this directory (cargo-fuzz does the same; `--target` keeps the flags from build scripts):
//!
//! ```sh
//! RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing" \
//!     cargo run --release --locked --target x86_64-unknown-linux-gnu --bin scanner -- -max_total_time=120 -timeout=20 -max_len=512 -len_control=0
//! ```
//!
//! A failing input is left as `crash-*`; give its name to the same command to repeat it.

use healer::config::{Signature, SignatureOrigin};
use healer::model::Severity;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub mod cursor;
pub mod events;
pub mod scanner;

/// Counts the bytes that each thread asks for: a measure of work that nothing else disturbs.
struct Counting;

thread_local!(static ALLOCATED: Cell<u64> = const { Cell::new(0) });

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|bytes| bytes.set(bytes.get() + layout.size() as u64));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs something and returns how many bytes it allocated, besides what it gives.
pub fn allocated<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATED.get();
    let given = work();
    (given, ALLOCATED.get() - before)
}

/// A signature with only a pattern.
pub fn signature(name: &str, pattern: &str) -> Signature {
    Signature {
        name: name.to_owned(),
        category: name.to_owned(),
        severity: Severity::Error,
        pattern: pattern.to_owned(),
        ignore: None,
        origin: SignatureOrigin::Operator,
        matches: Vec::new(),
        ignores: Vec::new(),
    }
}

/// Parts of patterns: literals, classes, repetitions, alternatives, anchors.
const PATTERNS: [&str; 24] = [
    "429",
    "Error",
    "(?i)error",
    "ab",
    "b",
    "[0-9]+",
    "\\d{3}",
    ".*",
    "x?",
    "(foo|bar)",
    "(a|ab)c",
    "\\b",
    "^",
    "$",
    "é",
    "\\.",
    "[^ ]+",
    "Too Many",
    "(Traceback|Exception|Error):",
    " ",
    "a{2,3}",
    "(?:)",
    "\\s",
    "t.out",
];

/// Up to four patterns that the bytes choose; those that are no pattern are left out.
pub fn patterns(bytes: &mut impl Iterator<Item = u8>) -> Vec<String> {
    let count = bytes.next().unwrap_or(0) % 4 + 1;
    let mut pattern = || {
        let parts = bytes.next().unwrap_or(0) % 4 + 1;
        (0..parts).map(|_| PATTERNS[usize::from(bytes.next().unwrap_or(0)) % PATTERNS.len()]).collect::<String>()
    };
    (0..count).map(|_| pattern()).filter(|p| regex::bytes::Regex::new(p).is_ok()).collect()
}

/// Lines that open, carry on, end or interrupt events.
pub const LINES: [&str; 40] = [
    "Traceback (most recent call last):",
    "  File \"a\", line 5, in x",
    "    y(z)",
    "    ^^^^",
    "ValueError: bad",
    "app.JobError",
    "KeyError",
    "",
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
    "  + Exception Group Traceback (most recent call last):",
    "  |   File \"a.py\", line 1, in <module>",
    "  | ExceptionGroup: many (2 sub-exceptions)",
    "  +-+---------------- 1 ----------------",
    "    | ValueError: 1",
    "    +---------------- 2 ----------------",
    "    +------------------------------------",
    "java.lang.IllegalStateException: y",
    "\tat a.B.c(D.java:1)",
    "\t... 2 more",
    "Caused by: java.io.IOException: x",
    "    at run (/app/a.js:1:2)",
    "TypeError: cannot read properties of undefined",
    "panic: runtime error: index out of range",
    "goroutine 1 [running]:",
    "main.main()",
    "\t/app/main.go:5 +0x1d",
    "exit status 2",
    "thread 'main' panicked at src/x.rs:1:2:",
    "called `Option::unwrap()` on a `None` value",
    "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    "ERROR request failed",
    "2025-01-02 03:04:05,123 ERROR app job 5 failed: Connection refused",
    "2025-01-02T03:04:05Z WARN slow",
    "429 Client Error: Too Many Requests",
    "10.0.0.1 - - [02/Jan/2025:03:04:05 +0000] \"GET / HTTP/1.1\" 500 12",
    "INFO ok",
    "plain",
    "}",
    "\x1b[31mConnection refused\x1b[0m",
];

/// What processes write before their lines.
pub const PREFIXES: [&str; 5] =
    ["", "web-1  | ", "worker-2  | ", "2025-01-02 03:04:05,123 ERROR app: ", "Jan  2 03:04:05 host app[12]: "];
