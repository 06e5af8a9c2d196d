//! A file that nobody writes to, read where it lies: nothing of it is copied.
//!
//! What others write shows in a mapping, and a file that is truncated ends the process that looks at what was there. A lease
//! rules out both. Who comes to write waits for the part that is being scanned, and the rest is copied. All unsafe code of
//! reading is here. Not here: what is done with the bytes.

use super::cursor::Guarded;
use super::regions::{Bytes, Copied, Cutting};
use crate::host::lease::Lease;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use std::fs::File;
use std::io::Result;
use std::num::NonZero;
use std::ptr::NonNull;

/// So many bytes are whole pages everywhere.
const PAGES: usize = 64 << 10;
/// Bytes that are made ready at once. So long does a writer wait.
const STRIDE: usize = 32 * PAGES;

/// The bytes of a file, from its beginning to its end.
pub struct Mapped<'f> {
    file: &'f File,
    cutting: Cutting,
    stride: usize,
    state: State<'f>,
    /// First byte that was not taken, and the first one that was not given.
    at: usize,
    until: usize,
    /// First byte that is not ready.
    ready: usize,
    /// First byte whose page was not left.
    left: usize,
}

enum State<'f> {
    // Dropped in this order.
    Still(Mapping, Lease<'f>),
    Copied(Copied<Guarded<'f>>),
}

impl<'f> Mapped<'f> {
    /// None for a file that is open for writing or empty, and where the kernel grants no lease or maps no files.
    pub fn of(file: &'f File, cutting: Cutting) -> Option<Mapped<'f>> {
        let lease = Lease::take(file).ok().filter(|_| is_local(file))?;
        let size = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let mapping = Mapping::of(file, NonZero::new(size)?).ok()?;
        Some(Mapped {
            file,
            cutting,
            stride: STRIDE,
            state: State::Still(mapping, lease),
            at: 0,
            until: 0,
            ready: 0,
            left: 0,
        })
    }
}

impl Bytes for Mapped<'_> {
    fn more(&mut self, taken: usize) -> Result<&[u8]> {
        if let State::Still(mapping, lease) = &self.state {
            self.at += taken;
            let size = mapping.len.get();
            if self.until == self.ready && self.ready < size {
                let next = (self.ready + self.stride).min(size);
                // What cannot be read from its disk is an error of a read; here it would end the process.
                if lease.is_wanted() || mapping.make_ready(self.ready, next).is_err() {
                    let rest = Guarded::new(self.file, self.until as u64, size as u64)?;
                    let copied = Copied::new(rest, self.cutting).after(mapping.bytes(self.at, self.until));
                    self.state = State::Copied(copied);
                    return self.more(0);
                }
                let seen = self.at / PAGES * PAGES;
                mapping.leave(self.left, seen);
                (self.left, self.ready) = (seen, next);
            }
            self.until = (self.until + self.cutting.chunk).min(self.ready);
        }
        match &mut self.state {
            State::Still(mapping, _) => Ok(mapping.bytes(self.at, self.until)),
            State::Copied(copied) => copied.more(taken),
        }
    }
}

/// Where a lease keeps everybody from writing, and pages do not come over a network. In an overlay, all who write through it.
fn is_local(file: &File) -> bool {
    const EXT: i64 = 0xEF53;
    const XFS: i64 = 0x5846_5342;
    const BTRFS: i64 = 0x9123_683E;
    const F2FS: i64 = 0xF2F5_2010;
    const TMPFS: i64 = 0x0102_1994;
    const OVERLAY: i64 = 0x794C_7630;
    rustix::fs::fstatfs(file).is_ok_and(|stat| [EXT, XFS, BTRFS, F2FS, TMPFS, OVERLAY].contains(&stat.f_type))
}

/// The pages of a file that nobody writes to.
struct Mapping {
    begin: NonNull<u8>,
    len: NonZero<usize>,
}

#[expect(unsafe_code, reason = "no crate keeps others from truncating a file that is mapped")]
impl Mapping {
    /// The first `len` bytes of a file, all of which are there.
    fn of(file: &File, len: NonZero<usize>) -> Result<Mapping> {
        // SAFETY: the kernel chooses a place that is free.
        let begin = unsafe { mmap(std::ptr::null_mut(), len.get(), ProtFlags::READ, MapFlags::SHARED, file, 0) }?;
        let begin = NonNull::new(begin.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { begin, len })
    }

    /// Reads pages from the disk where they are not in memory, and fails where they cannot be read.
    fn make_ready(&self, from: usize, to: usize) -> Result<()> {
        Ok(self.advise(from, to, Advice::LinuxPopulateRead)?)
    }

    /// Pages that are no longer looked at are no memory of this process.
    fn leave(&self, from: usize, to: usize) {
        let _ = self.advise(from, to, Advice::LinuxDontNeed);
    }

    fn advise(&self, from: usize, to: usize, advice: Advice) -> rustix::io::Result<()> {
        let to = to.min(self.len.get());
        let from = from.min(to);
        // SAFETY: it is within the mapping, and a page of a file that was left is read again as it was.
        unsafe { madvise(self.begin.as_ptr().add(from).cast(), to - from, advice) }
    }

    /// Those of its bytes. A lease is held.
    fn bytes(&self, from: usize, to: usize) -> &[u8] {
        // SAFETY: all of them are there until this is dropped, and as long as a lease is held nobody changes them.
        let all = unsafe { std::slice::from_raw_parts(self.begin.as_ptr(), self.len.get()) };
        all.get(from..to).unwrap_or_default()
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "what was mapped by hand is unmapped by hand")]
    fn drop(&mut self) {
        // SAFETY: this is all of what was mapped, and no reference to it lives longer.
        let _ = unsafe { munmap(self.begin.as_ptr().cast(), self.len.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::regions::{Ended, read_regions};
    use proptest::prelude::*;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    use tempfile::TempPath;

    const CUTTING: Cutting = Cutting { chunk: 10_000, max_line: 1_000, take_last: true };

    /// A file whose writer is gone.
    fn file_of(text: &[u8]) -> TempPath {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        file.into_temp_path()
    }

    /// A program that is just being started holds, for a moment, what its parent had open.
    fn mapped(file: &File, cutting: Cutting) -> Mapped<'_> {
        let granted = std::iter::repeat_with(|| Mapped::of(file, cutting)).take(1_000_000).flatten().next();
        Mapped { stride: PAGES, ..granted.unwrap() }
    }

    type Lines = Vec<(u64, Vec<u8>)>;

    /// The lines with their offsets, as far as they are kept, and how the reading ended. `at_region` is called with the number
    /// of each.
    fn read(bytes: &mut dyn Bytes, cutting: Cutting, mut at_region: impl FnMut(u32)) -> (Lines, Ended, bool) {
        let (mut lines, mut number) = (Vec::new(), 0);
        let start = Ended { offset: 0, pending: 0, mid_line: false };
        let (ended, error) = read_regions(bytes, start, cutting, &mut |text, mut offset| {
            for line in text.split_inclusive(|b| *b == b'\n') {
                let kept = line.len().min(cutting.max_line);
                lines.push((offset, line[..kept].to_vec()));
                offset += line.len() as u64;
            }
            number += 1;
            at_region(number);
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
            let expected = read(&mut Copied::new(&file, cutting), cutting, |_| {});
            prop_assert_eq!(read(&mut mapped(&file, cutting), cutting, |_| {}), expected);
        }
    }

    #[test]
    fn a_file_that_may_be_written_to_is_not_mapped() {
        let path = file_of(b"line\n");
        let file = File::open(&path).unwrap();
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(Mapped::of(&file, CUTTING).is_none());
        drop(writer);
        mapped(&file, CUTTING);
        assert!(Mapped::of(&File::open(file_of(b"")).unwrap(), CUTTING).is_none());
    }

    /// Reads while somebody comes to write in the first part, who is let in at its end and does `what` at once.
    fn read_while(text: &[u8], what: impl Fn(&mut File)) -> (Lines, Ended, bool) {
        let path = file_of(text);
        let file = File::open(&path).unwrap();
        let (mut is_first, mut is_let_in) = (true, false);
        // One that does not wait is refused, and makes the lease a wanted one.
        let come = || OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(&path);
        let found = read(&mut mapped(&file, CUTTING), CUTTING, |number| {
            if is_first {
                is_first = false;
                assert_eq!(come().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
            } else if number as usize * CUTTING.chunk > PAGES + 2 * CUTTING.chunk && !is_let_in {
                is_let_in = true;
                what(&mut come().unwrap());
            }
        });
        assert!(is_let_in);
        found
    }

    #[test]
    fn who_comes_to_write_is_let_in_and_all_that_was_there_is_read() {
        let text = numbered(20_000);
        let (lines, ended, is_whole) = read_while(&text, |file| file.write_all(b"later\n").unwrap());
        assert_eq!(text_of(lines), text);
        assert_eq!((ended.offset, is_whole), (text.len() as u64, true));
    }

    #[test]
    fn a_file_that_is_truncated_by_who_came_ends_the_reading_and_not_the_process() {
        let text = numbered(20_000);
        for to in [0, 100] {
            let (lines, ended, is_whole) = read_while(&text, |file| {
                file.set_len(to).unwrap();
                file.write_all(b"another content\n").unwrap();
            });
            let read = text_of(lines);
            assert!(read.len() > PAGES && text.starts_with(&read), "{} bytes", read.len());
            assert_eq!((ended.offset, is_whole), (read.len() as u64, false));
        }
    }

    fn text_of(lines: Lines) -> Vec<u8> {
        lines.into_iter().flat_map(|(_, line)| line).collect()
    }
}
