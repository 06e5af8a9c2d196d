//! Read leases (`fcntl(2)`, `F_SETLEASE`): the kernel grants one on a file that nobody has open for writing, and nothing else
//! tells that. As long as one is held, who comes to write or to truncate waits.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use std::io;

/// `F_SETSIG` of Linux, which libc lacks.
const F_SETSIG: libc::c_int = 10;

/// Nobody else writes to a file as long as this lives. The kernel takes it away from who holds up others for longer than
/// `/proc/sys/fs/lease-break-time` (45 s).
#[derive(Debug)]
pub struct Lease<'f>(BorrowedFd<'f>);

impl<'f> Lease<'f> {
    /// A lease on the file behind a read-only descriptor.
    ///
    /// # Errors
    /// `EAGAIN` when it is open for writing; others where the kernel grants none (a network file system, a file of somebody
    /// else's without `CAP_LEASE`).
    pub fn take(file: &'f impl AsFd) -> io::Result<Lease<'f>> {
        let file = file.as_fd();
        // Who comes to write has the kernel send a signal, and the usual one ends the process.
        control(file, F_SETSIG, libc::SIGURG)?;
        control(file, libc::F_SETLEASE, libc::F_RDLCK)?;
        Ok(Lease(file))
    }

    /// Whether somebody waits for it to be given back, or it was taken away.
    pub fn is_wanted(&self) -> bool {
        !matches!(control(self.0, libc::F_GETLEASE, 0), Ok(libc::F_RDLCK))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let _ = control(self.0, libc::F_SETLEASE, libc::F_UNLCK);
    }
}

/// Whether somebody may still write to the file behind this read-only descriptor. False too where the kernel cannot
/// tell.
pub fn is_open_for_writing(file: &impl AsFd) -> bool {
    Lease::take(file).is_err_and(|error| error.raw_os_error() == Some(libc::EAGAIN))
}

#[expect(unsafe_code, reason = "no crate has this call; it takes a live descriptor and two integers, and no memory")]
fn control(file: BorrowedFd<'_>, command: libc::c_int, value: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: the descriptor is open for as long as it is borrowed, and these commands read nothing but an integer.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, value) } {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::OwnedFd;
    use std::fs::{File, OpenOptions};

    #[test]
    fn a_writer_is_seen_and_a_reader_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let ours = OwnedFd::from(File::open(&path).unwrap());
        let reader = File::open(&path).unwrap();
        assert!(!is_open_for_writing(&ours));
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(is_open_for_writing(&ours));
        drop((reader, writer));
        assert!(!is_open_for_writing(&ours));
        assert!(OpenOptions::new().append(true).open(&path).is_ok(), "no lease is left behind");
    }

    #[test]
    fn who_comes_to_write_waits_until_a_wanted_lease_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        for truncates in [false, true] {
            let ours = File::open(&path).unwrap();
            let lease = Lease::take(&ours).unwrap();
            assert!(!lease.is_wanted());
            let came = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut come = OpenOptions::new();
                    come.write(true).truncate(truncates).open(&path).unwrap();
                    came.store(true, std::sync::atomic::Ordering::Release);
                });
                while !lease.is_wanted() {
                    std::thread::yield_now();
                }
                assert!(!came.load(std::sync::atomic::Ordering::Acquire));
                assert_eq!(std::fs::read(&path).unwrap(), b"x");
                drop(lease);
            });
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_writer_that_comes_while_we_look_does_not_end_us() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let ours = OwnedFd::from(File::open(&path).unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    drop(OpenOptions::new().append(true).open(&path));
                }
            });
            for _ in 0..20_000 {
                is_open_for_writing(&ours);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
