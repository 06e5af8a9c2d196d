//! A file read where the kernel keeps it: nothing of it is copied.
//!
//! Who looks at a page of a file that was truncated gets SIGBUS. Here that page becomes one of zeros, and the reading ends
//! with an error: what was read of it last may hold them. So this is for files that are read once and by no cursor. All unsafe
//! code of reading is here. Not here: what is done with the bytes.

use super::cursor::{Guarded, HEAD, Truncated};
use super::regions::{Bytes, Copied, Cutting};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use std::fs::File;
use std::io::{Error, Result};
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// So many bytes are whole pages everywhere.
const PAGES: usize = 64 << 10;
/// Bytes that are made ready at once.
const STRIDE: usize = 32 * PAGES;

/// The bytes that a file has when it is mapped.
pub struct Mapped<'f> {
    file: &'f File,
    cutting: Cutting,
    stride: usize,
    /// None behind what could not be looked at.
    mapping: Option<Mapping>,
    /// That is copied.
    rest: Option<Copied<Guarded<'f>>>,
    /// First byte that was not taken, and the first one that was not given.
    at: usize,
    until: usize,
    /// First byte that is not ready.
    ready: usize,
    /// First byte whose page was not left.
    left: usize,
    /// The first bytes.
    head: Vec<u8>,
}

impl<'f> Mapped<'f> {
    /// None for an empty file, and where none can be mapped.
    pub fn of(file: &'f File, cutting: Cutting) -> Option<Mapped<'f>> {
        let size = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let mapping = Some(Mapping::of(file, NonZero::new(size)?).ok()?);
        let mut head = vec![0; size.min(HEAD)];
        file.read_exact_at(&mut head, 0).ok()?;
        Some(Mapped { file, cutting, stride: STRIDE, mapping, rest: None, at: 0, until: 0, ready: 0, left: 0, head })
    }

    /// Whether the file was truncated since, as far as it was looked at; written anew, it begins otherwise.
    pub fn is_truncated(&self) -> bool {
        self.mapping.as_ref().is_some_and(|mapping| mapping.is_broken() || self.is_another(mapping))
    }

    /// Whether the file is shorter now, or begins otherwise.
    fn is_another(&self, mapping: &Mapping) -> bool {
        let mut there = [0; HEAD];
        let there = there.get_mut(..self.head.len()).unwrap_or_default();
        self.file.metadata().map_or(true, |meta| meta.len() < mapping.len.get() as u64)
            || self.file.read_exact_at(there, 0).is_err()
            || *there != *self.head
    }

    /// Gives more of what is mapped. False where the next bytes cannot be looked at there, and are to be copied.
    fn go_on(&mut self, mapping: &Mapping) -> Result<bool> {
        let size = mapping.len.get();
        if mapping.is_broken() {
            return Err(Error::other(Truncated));
        }
        if self.until == self.ready && self.ready < size {
            // What is no longer looked at is no memory of this process.
            let seen = self.at / PAGES * PAGES;
            let _ = mapping.advise(self.left, seen, Advice::LinuxDontNeed);
            self.left = seen;
            let next = (self.ready + self.stride).min(size);
            mapping.touch(self.ready, next);
            if self.is_another(mapping) {
                return Err(Error::other(Truncated));
            }
            // What cannot be read from its disk is an error of a read; of a page it is SIGBUS.
            if mapping.is_broken() {
                return Ok(false);
            }
            self.ready = next;
        }
        self.until = (self.until + self.cutting.chunk).min(self.ready);
        Ok(true)
    }
}

impl Bytes for Mapped<'_> {
    fn more(&mut self, taken: usize) -> Result<&[u8]> {
        self.at += taken;
        if let Some(mapping) = self.mapping.take() {
            if self.go_on(&mapping)? {
                return Ok(self.mapping.insert(mapping).bytes(self.at, self.until));
            }
            let rest = Guarded::new(self.file, self.until as u64, mapping.len.get() as u64)?;
            let copied = Copied::new(rest, self.cutting).after(mapping.bytes(self.at, self.until));
            return self.rest.insert(copied).more(0);
        }
        self.rest.as_mut().map_or(Ok(&[]), |copied| copied.more(taken))
    }
}

/// The pages of a file.
struct Mapping {
    begin: NonNull<u8>,
    len: NonZero<usize>,
    window: &'static Window,
}

impl Mapping {
    /// The first `len` bytes of a file.
    #[expect(unsafe_code, reason = "no crate minds that a file may be truncated")]
    fn of(file: &File, len: NonZero<usize>) -> Result<Mapping> {
        let out_of_windows = || Error::from(std::io::ErrorKind::ResourceBusy);
        if !is_mending() {
            return Err(out_of_windows());
        }
        // SAFETY: the kernel chooses a place that is free.
        let begin = unsafe { mmap(std::ptr::null_mut(), len.get(), ProtFlags::READ, MapFlags::SHARED, file, 0) }?;
        let begin = NonNull::new(begin.cast()).ok_or_else(out_of_windows)?;
        let window = WINDOWS.iter().find(|window| window.open(begin.as_ptr() as usize, len.get()));
        match window {
            Some(window) => Ok(Mapping { begin, len, window }),
            None => {
                unmap(begin, len);
                Err(out_of_windows())
            }
        }
    }

    #[expect(unsafe_code, reason = "no crate minds that a file may be truncated")]
    fn advise(&self, from: usize, to: usize, advice: Advice) -> Result<()> {
        let to = to.min(self.len.get());
        let from = from.min(to);
        // SAFETY: it is within the mapping, and a page of a file that was left is read again.
        Ok(unsafe { madvise(self.begin.as_ptr().add(from).cast(), to - from, advice) }?)
    }

    /// Makes it ready. The kernel has a page that is touched ready with those around it: many times cheaper than being told to
    /// make each of them.
    fn touch(&self, from: usize, to: usize) {
        for byte in self.bytes(from, to).iter().step_by(PAGES) {
            std::hint::black_box(*byte);
        }
    }

    /// Whether a page of it is gone.
    fn is_broken(&self) -> bool {
        self.window.is_broken.load(Ordering::Relaxed)
    }

    /// Those of its bytes.
    #[expect(unsafe_code, reason = "no crate minds that a file may be truncated")]
    fn bytes(&self, from: usize, to: usize) -> &[u8] {
        // SAFETY: as long as this lives there is a page at each of them: of the file, or of zeros where it was truncated.
        // Who writes over what is there changes what is seen, as for everybody who maps files: no length is taken from it, and
        // no text that was not copied first (`event::shown`).
        let all = unsafe { std::slice::from_raw_parts(self.begin.as_ptr(), self.len.get()) };
        all.get(from..to).unwrap_or_default()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.window.close();
        unmap(self.begin, self.len);
    }
}

/// Called with all of what was mapped, which nobody looks at any more.
#[expect(unsafe_code, reason = "what was mapped by hand is unmapped by hand")]
fn unmap(begin: NonNull<u8>, len: NonZero<usize>) {
    // SAFETY: see above.
    let _ = unsafe { munmap(begin.as_ptr().cast(), len.get()) };
}

/// The addresses of a mapping, for a signal handler that may take no lock.
struct Window {
    /// 0: closed.
    begin: AtomicUsize,
    end: AtomicUsize,
    /// A page of it is gone.
    is_broken: AtomicBool,
}

/// As many files are read at once, at most; others are copied.
static WINDOWS: [Window; 16] =
    [const { Window { begin: AtomicUsize::new(0), end: AtomicUsize::new(0), is_broken: AtomicBool::new(false) } }; 16];

impl Window {
    fn open(&self, begin: usize, len: usize) -> bool {
        let is_ours = self.begin.compare_exchange(0, begin, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if is_ours {
            self.is_broken.store(false, Ordering::Relaxed);
            self.end.store(begin + len, Ordering::Release);
        }
        is_ours
    }

    fn close(&self) {
        self.end.store(0, Ordering::Release);
        self.begin.store(0, Ordering::Release);
    }

    fn holds(&self, address: usize) -> bool {
        self.begin.load(Ordering::Acquire) <= address && address < self.end.load(Ordering::Acquire)
    }
}

/// What SIGBUS did before, and the bytes of a page: a handler may not ask for them.
static BEFORE: OnceLock<(libc::sigaction, usize)> = OnceLock::new();

/// Whether pages that are gone are replaced: from the first time on that this is asked.
#[expect(unsafe_code, reason = "no crate replaces the handler that Rust has for this signal, which ends the process")]
fn is_mending() -> bool {
    static IS_MENDING: OnceLock<bool> = OnceLock::new();
    *IS_MENDING.get_or_init(|| {
        // SAFETY: all zeros are an action; the handler takes no lock, and no memory from the allocator.
        unsafe {
            let (mut before, mut action): (libc::sigaction, libc::sigaction) = std::mem::zeroed();
            let is_known = libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before) == 0
                && BEFORE.set((before, rustix::param::page_size())).is_ok();
            let handler: extern "C" fn(libc::c_int, *const libc::siginfo_t, *const libc::c_void) = mend;
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            is_known && libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) == 0
        }
    })
}

/// Puts a page of zeros where one of a mapping of ours is gone.
#[expect(unsafe_code, reason = "signal handlers are")]
extern "C" fn mend(_: libc::c_int, info: *const libc::siginfo_t, _: *const libc::c_void) {
    let Some((before, page)) = BEFORE.get() else { return };
    // SAFETY: the kernel hands over what it knows of the signal.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    let window = WINDOWS.iter().find(|window| code == libc::BUS_ADRERR && window.holds(address));
    let is_mended = window.is_some_and(|window| {
        window.is_broken.store(true, Ordering::Relaxed);
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: it is a page of a mapping of ours, to be read only, and gone.
        unsafe { mmap_anonymous((address / page * page) as *mut _, *page, ProtFlags::READ, flags) }.is_ok()
    });
    if !is_mended {
        // Of another's making: it comes again, where nobody sent it, and does what it did before.
        // SAFETY: it is an action that was in force; both may be called by a handler.
        unsafe {
            libc::sigaction(libc::SIGBUS, std::ptr::from_ref(before), std::ptr::null_mut());
            if code <= 0 {
                libc::raise(libc::SIGBUS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::regions::{Ended, read_regions};
    use proptest::prelude::*;
    use std::fs::OpenOptions;
    use std::io::Write;
    use tempfile::TempPath;

    const CUTTING: Cutting = Cutting { chunk: 10_000, max_line: 1_000, take_last: true };

    /// A file whose writer is gone.
    fn file_of(text: &[u8]) -> TempPath {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        file.into_temp_path()
    }

    fn mapped(file: &File, cutting: Cutting) -> Mapped<'_> {
        Mapped { stride: PAGES, ..Mapped::of(file, cutting).unwrap() }
    }

    type Lines = Vec<(u64, Vec<u8>)>;

    /// The lines with their offsets, as far as they are kept, and how the reading ended. `at_region` is called with the number
    /// of each and where it ends.
    fn read(bytes: &mut dyn Bytes, cutting: Cutting, mut at_region: impl FnMut(u32, u64)) -> (Lines, Ended, bool) {
        let (mut lines, mut number) = (Vec::new(), 0);
        let start = Ended { offset: 0, pending: 0, mid_line: false };
        let (ended, error) = read_regions(bytes, start, cutting, &mut |text, mut offset| {
            for line in text.split_inclusive(|b| *b == b'\n') {
                let kept = line.len().min(cutting.max_line);
                lines.push((offset, line[..kept].to_vec()));
                offset += line.len() as u64;
            }
            number += 1;
            at_region(number, offset);
        });
        (lines, ended, error.is_none())
    }

    fn numbered(lines: u32) -> Vec<u8> {
        (0..lines).flat_map(|n| format!("line {n:09}\n").into_bytes()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn the_same_is_read_as_from_a_copy(
            lengths in prop::collection::vec(prop_oneof![0..200_usize, 900..1_100_usize, 1..40_000_usize], 1..40),
            chunk in 1..100_000_usize,
            take_last: bool,
            is_cut: bool,
        ) {
            let mut text: Vec<u8> = Vec::new();
            for (n, length) in lengths.iter().enumerate() {
                text.extend((0..*length).map(|at| b'a' + ((at + n) % 26) as u8));
                text.push(b'\n');
            }
            if is_cut {
                text.pop();
            }
            text.push(b'x');
            let path = file_of(&text);
            let file = File::open(&path).unwrap();
            let cutting = Cutting { chunk, take_last, ..CUTTING };
            let expected = read(&mut Copied::new(&file, cutting), cutting, |_, _| {});
            prop_assert_eq!(read(&mut mapped(&file, cutting), cutting, |_, _| {}), expected);
        }
    }

    /// Reads, and does `what` to the file in the region of this number. Where that ended, the text that was read, up to a page
    /// that is gone, and whether all could be.
    fn read_while(text: &[u8], region: u32, what: impl Fn(&mut File)) -> (usize, Vec<u8>, bool) {
        let path = file_of(text);
        let file = File::open(&path).unwrap();
        let mut before = 0;
        let mut bytes = mapped(&file, CUTTING);
        let (lines, _, is_whole) = read(&mut bytes, CUTTING, |number, end| {
            if number == region {
                before = end as usize;
                what(&mut OpenOptions::new().append(true).open(&path).unwrap());
            }
        });
        let read = lines.into_iter().flat_map(|(_, line)| line);
        assert!(before > 0, "there is no such region");
        (before, read.take_while(|byte| *byte != 0).collect(), is_whole && !bytes.is_truncated())
    }

    #[test]
    fn what_is_written_meanwhile_is_not_read() {
        let text = numbered(20_000);
        let (_, read, is_whole) = read_while(&text, 3, |file| file.write_all(b"later\n").unwrap());
        assert_eq!((read, is_whole), (text, true));
    }

    #[test]
    fn a_file_that_is_truncated_meanwhile_ends_the_reading_and_not_the_process() {
        let text = numbered(20_000);
        let another = b"another content\n".repeat(3_000);
        // In what is ready already, at its end, in the last part, and when all was given.
        for region in [1, 3, 7, 30, 32] {
            let hole = text.len() as u64 + 1_000;
            let again = [&another[..], &text].concat();
            for (size, then) in [
                (0, &[][..]),
                (0, &another[..]),
                (100, &another[..]),
                (0, &again[..]),
                (hole, &another[..]),
                (text.len() as u64 - 5, &[]),
            ] {
                let (before, read, is_whole) = read_while(&text, region, |file| {
                    file.set_len(if size == hole { 0 } else { size }).unwrap();
                    file.set_len(size).unwrap();
                    file.write_all(then).unwrap();
                });
                assert!(!is_whole, "region {region}, {size} bytes and {}", then.len());
                assert!(read[..before] == text[..before], "region {region}, {size} bytes and {}", then.len());
            }
        }
    }
}
