//! A file that nobody can write to, read where the kernel keeps it: nothing is copied.
//!
//! A file that is truncated while its pages are looked at ends the process that looks (`SIGBUS`), so this is only for files
//! that nobody has open for writing. The kernel keeps it so by a lease (`fcntl(2)`): who comes to write, or to truncate it,
//! waits until the lease is given back, for `/proc/sys/fs/lease-break-time` (45 s) at most. Whether somebody waits is looked
//! for at every window, of which one takes about a millisecond.

use super::lease::Lease;
use rustix::fs::fstatfs;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use rustix::param::page_size;
use std::fs::File;

/// File systems whose files only this host writes, and whose leases it keeps (`statfs(2)`): ext2 to ext4, XFS, Btrfs, tmpfs.
const LOCAL: [i64; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994];

/// An open file, as long as nobody can write to it.
#[derive(Debug)]
pub struct Unchanging<'f> {
    file: &'f File,
    size: u64,
    lease: Lease<'f>,
}

impl<'f> Unchanging<'f> {
    /// None where somebody has it open for writing, or the kernel cannot tell.
    pub fn of(file: &'f File) -> Option<Unchanging<'f>> {
        let is_local = fstatfs(file).is_ok_and(|about| LOCAL.contains(&about.f_type));
        let lease = Lease::of(Some(file).filter(|_| is_local)?).ok()?;
        let size = file.metadata().ok()?.len();
        Some(Unchanging { file, size, lease })
    }

    /// Shows so many bytes from a place on. None where they are not there or cannot be read, and where somebody waits to write:
    /// then the file is to be read in another way.
    #[expect(unsafe_code, reason = "no crate keeps a mapped file from being truncated")]
    pub fn show<T>(&self, at: u64, length: usize, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let before = usize::try_from(at % page_size() as u64).ok()?;
        let mapped = length.checked_add(before)?;
        if length == 0 || at.checked_add(length as u64)? > self.size || !self.lease.is_held() {
            return None;
        }
        // SAFETY: the kernel chooses a free place, and nothing that exists is mapped over.
        let window = unsafe {
            mmap(std::ptr::null_mut(), mapped, ProtFlags::READ, MapFlags::SHARED, self.file, at - before as u64).ok()?
        };
        // SAFETY: it was just mapped. What cannot be read is told here, and does not end the process at the first look.
        let read = unsafe { madvise(window, mapped, Advice::LinuxPopulateRead) };
        let shown = read.ok().and_then(|()| {
            // SAFETY: so many bytes are mapped, and nobody writes to them before the lease is given back; nothing that was made
            // of them can outlive the call.
            let bytes = unsafe { std::slice::from_raw_parts(window.cast::<u8>().cast_const(), mapped) };
            bytes.get(before..).map(look)
        });
        // SAFETY: it was mapped above, and nothing refers to it any more.
        let _ = unsafe { munmap(window, mapped) };
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    fn shown(file: &File, at: u64, length: usize) -> Option<Vec<u8>> {
        Unchanging::of(file)?.show(at, length, <[u8]>::to_vec)
    }

    #[test]
    fn what_nobody_writes_to_is_shown_wherever_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let text: Vec<u8> = (0..40_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &text).unwrap();
        let file = File::open(&path).unwrap();
        for (at, length) in [(0, 40_000), (0, 1), (1, 4095), (4095, 2), (4096, 4096), (39_999, 1), (5000, 35_000)] {
            assert_eq!(shown(&file, at, length).as_deref(), text.get(at as usize..at as usize + length), "{at}");
        }
        assert_eq!(shown(&file, 39_999, 2), None, "beyond its end");
        assert_eq!(shown(&file, 0, 0), None);
    }

    #[test]
    fn what_somebody_may_write_to_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(Unchanging::of(&file).is_none());
        drop(writer);
        assert!(Unchanging::of(&file).is_some());
        assert!(Unchanging::of(&File::open("/proc/self/status").unwrap()).is_none(), "no file of a disk");
    }

    #[test]
    fn who_comes_to_write_waits_for_one_window_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        for truncates in [false, true] {
            let file = Unchanging::of(&file).unwrap();
            std::thread::scope(|scope| {
                let writer =
                    scope.spawn(|| OpenOptions::new().write(true).truncate(truncates).open(&path).map(drop).unwrap());
                while file.show(0, 1, |_| ()).is_some() {
                    std::hint::spin_loop();
                }
                assert!(!writer.is_finished(), "it waits");
                drop(file);
                writer.join().unwrap();
            });
        }
    }
}
