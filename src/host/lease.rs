//! Whether anybody has a file open for writing: the kernel says so when it is asked for a read lease (`fcntl(2)`,
//! `F_SETLEASE`), and nothing else does.

use rustix::fd::{AsRawFd, OwnedFd};

/// `F_SETSIG` of Linux, which libc lacks.
const F_SETSIG: libc::c_int = 10;

/// Whether somebody may still write to the file behind this read-only descriptor. False too where the kernel cannot
/// tell (a network file system, a file of somebody else's without `CAP_LEASE`).
pub fn is_open_for_writing(file: &OwnedFd) -> bool {
    // Who comes to write while the lease is held has the kernel send a signal, and the usual one ends the process.
    let leased = control(file, F_SETSIG, libc::SIGURG).and_then(|()| control(file, libc::F_SETLEASE, libc::F_RDLCK));
    match leased {
        Ok(()) => {
            let _ = control(file, libc::F_SETLEASE, libc::F_UNLCK);
            false
        }
        Err(error) => error.raw_os_error() == Some(libc::EAGAIN),
    }
}

#[expect(unsafe_code, reason = "no crate has this call; it takes a live descriptor and two integers, and no memory")]
fn control(file: &OwnedFd, command: libc::c_int, value: libc::c_int) -> std::io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and these commands read nothing but an integer.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, value) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
