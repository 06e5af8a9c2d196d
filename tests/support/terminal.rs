//! The binary on a terminal, with somebody who reads and types.

use super::{DEADLINE, Root};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// One run on a terminal of its own; killed when dropped before its end.
pub struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    child: Child,
}

impl Terminal {
    /// Starts the binary with the root's configuration and state directory.
    #[track_caller]
    pub fn run(root: &Root, args: &[&str]) -> Terminal {
        Terminal::of_command(root.command(args), 0)
    }

    /// On one of so many columns, and with nothing in the environment that says otherwise.
    #[track_caller]
    pub fn of_width(root: &Root, args: &[&str], columns: u16) -> Terminal {
        let mut command = root.command(args);
        command.env_remove("COLUMNS").env_remove("NO_COLOR").env("TERM", "xterm");
        Terminal::of_command(command, columns)
    }

    #[track_caller]
    fn of_command(mut command: Command, columns: u16) -> Terminal {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard = openpt(flags).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let side = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&side, size).unwrap();
        command.stdin(side.try_clone().unwrap()).stdout(side.try_clone().unwrap()).stderr(side);
        let child = command.spawn().unwrap();
        // The screen ends when nobody holds the other side any more.
        drop(command);
        let keyboard = File::from(keyboard);
        let screen = read(keyboard.try_clone().unwrap());
        Terminal { keyboard, screen, seen: String::new(), child }
    }

    /// Returns when this text is on the screen.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + DEADLINE;
        while !self.seen.contains(text) {
            match self.screen.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(why) => panic!("{text:?} does not come ({why}):\n{}", self.seen),
            }
        }
    }

    /// Types this (`"y\n"`; `"\u{4}"` is the end of input).
    pub fn enter(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end; the exit code, and all that was on the screen.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + DEADLINE;
        while let Ok(bytes) = self.screen.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        assert!(Instant::now() < until, "it does not end:\n{}", self.seen);
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut screen: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = screen.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
