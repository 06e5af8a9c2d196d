//! Whether anybody has a file open for writing: the kernel says so when it is asked for a read lease (`fcntl(2)`,
//! `F_SETLEASE`), and nothing else does.

use rustix::fd::{AsRawFd, OwnedFd};

/// Whether somebody may still write to the file behind this read-only descriptor. False too where the kernel cannot
/// tell (a network file system, a file of somebody else's without `CAP_LEASE`).
pub fn is_open_for_writing(file: &OwnedFd) -> bool {
    match lease(file, libc::F_RDLCK) {
        Ok(()) => {
            let _ = lease(file, libc::F_UNLCK);
            false
        }
        Err(error) => error.raw_os_error() == Some(libc::EAGAIN),
    }
}

#[expect(unsafe_code, reason = "no crate has this call; it takes a live descriptor and two integers, and no memory")]
fn lease(file: &OwnedFd, kind: libc::c_int) -> std::io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and F_SETLEASE reads nothing but its integer.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) } {
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
}
