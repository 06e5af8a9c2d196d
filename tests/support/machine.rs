//! A small machine of its own: a container with systemd as its first process, and either the binary in `/usr/bin` and the
//! units of the repository in `/etc/systemd/system`, or nothing of healer and a package to install.

use super::docker::follow;
use super::{Container, DEADLINE, Docker, Ran, Root, require_env};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Booted; gone when dropped. `/srv`, and where nothing is to be installed `/etc/healer` too, are the directories of these
/// names below the test's root.
pub struct Machine {
    container: Container,
}

impl Machine {
    /// `None`, recorded as a skip, where there is no engine or no systemd to make an image of.
    #[track_caller]
    pub fn boot(root: &Root) -> Option<Machine> {
        Machine::boot_shared(root, true)
    }

    /// As [`Machine::boot`], and nothing of healer's but the binary is installed.
    #[track_caller]
    pub fn boot_without_units(root: &Root) -> Option<Machine> {
        let machine = Machine::boot_shared(root, false)?;
        machine.output(&["sed", "-i", "/^healer:/d", "/etc/group"]);
        Some(machine)
    }

    #[track_caller]
    fn boot_shared(root: &Root, with_units: bool) -> Option<Machine> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let shared = [
            (root.path("etc-healer"), "/etc/healer:rw"),
            (root.path("srv"), "/srv:rw"),
            (env!("CARGO_BIN_EXE_healer").into(), "/usr/bin/healer:ro"),
        ];
        let units = [
            "healer.service",
            "healer.timer",
            "healer-serve.socket",
            "healer-serve.service",
            "healer-requests.path",
            "healer-requests.service",
        ];
        let units = units.map(|unit| (repository.join("systemd").join(unit), format!("/etc/systemd/system/{unit}:ro")));
        let units = units.into_iter().filter(|_| with_units);
        let shared = shared.into_iter().map(|(from, to)| (from, to.to_owned())).chain(units);
        Machine::boot_with(shared.collect())
    }

    /// Without anything of healer; `packages` of the test's root is `/packages`.
    #[track_caller]
    pub fn clean(root: &Root) -> Option<Machine> {
        let shared = [(root.path("srv"), "/srv:rw"), (root.path("packages"), "/packages:ro")];
        let machine = Machine::boot_with(shared.map(|(from, to)| (from, to.to_owned())).into())?;
        machine.output(&["sed", "-i", "/^healer:/d", "/etc/group"]);
        Some(machine)
    }

    #[track_caller]
    fn boot_with(shared: Vec<(PathBuf, String)>) -> Option<Machine> {
        let docker = Docker { image: require_env("HEALER_TEST_MACHINE_IMAGE")?, ..Docker::require()? };
        let name = Docker::unique_name("machine");
        let volumes: Vec<String> =
            shared.into_iter().map(|(from, to)| format!("--volume={}:{to}", from.display())).collect();
        let mut args = vec!["run", "--detach", "--name", &name, "--network", "none", "--env", "container=docker"];
        args.extend(["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"]);
        args.extend(["--tmpfs", "/run", "--tmpfs", "/run/lock"]);
        args.extend(["--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]);
        args.extend(volumes.iter().map(String::as_str));
        args.extend([&docker.image, "/usr/lib/systemd/systemd"]);
        docker.cli(&args);
        let machine = Machine { container: Container { docker, name } };
        machine.wait_until_booted();
        Some(machine)
    }

    #[track_caller]
    fn wait_until_booted(&self) {
        let until = Instant::now() + DEADLINE;
        // Before its socket is there it can only be asked again.
        loop {
            let state = self.run(&["systemctl", "is-system-running", "--wait"]);
            if state.code == Some(0) {
                return;
            }
            assert!(Instant::now() < until, "it does not boot: {}\n{}", state.output(), self.container.logs());
        }
    }

    /// Runs a program in it.
    #[track_caller]
    pub fn run(&self, argv: &[&str]) -> Ran {
        let done = self.command(argv).stdin(Stdio::null()).output().unwrap();
        Ran {
            code: done.status.code(),
            stdout: String::from_utf8(done.stdout).unwrap(),
            stderr: String::from_utf8(done.stderr).unwrap(),
        }
    }

    /// Paths that are there now and were not in the image, without the places that every machine writes to.
    pub fn added(&self, containing: &str) -> Vec<String> {
        let changes = self.container.docker.cli(&["diff", &self.container.name]);
        let added = changes.lines().filter_map(|line| line.strip_prefix("A "));
        let mut paths: Vec<String> = added.filter(|path| path.contains(containing)).map(str::to_owned).collect();
        paths.sort();
        paths
    }

    /// Runs a program that must succeed; its standard output.
    #[track_caller]
    pub fn output(&self, argv: &[&str]) -> String {
        self.run(argv).expect_code(0).stdout
    }

    /// For [`super::spawn_command`]: a program in it, beside the test.
    pub fn command(&self, argv: &[&str]) -> Command {
        let mut args = vec!["exec", &self.container.name];
        args.extend(argv);
        self.container.docker.command(&args)
    }

    /// Writes a file in it, as root would with an editor: one that is there keeps owner and mode.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        self.output(&["sh", "-c", "mkdir -p \"${1%/*}\" && printf %s \"$2\" >\"$1\"", "sh", path, text]);
    }

    /// Writes a unit or a drop-in (`NAME.service`, `NAME.service.d/x.conf`) and has systemd read it.
    #[track_caller]
    pub fn unit(&self, name: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/{name}"), text);
        self.output(&["systemctl", "daemon-reload"]);
    }

    /// One property of a unit, as `systemctl show` has it.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.output(&["systemctl", "show", "--property", name, "--value", unit]).trim().to_owned()
    }

    /// A unit's journal, once everything that was written so far is in it.
    #[track_caller]
    pub fn journal(&self, unit: &str) -> String {
        self.output(&["journalctl", "--sync"]);
        self.output(&["journalctl", "--quiet", "--no-pager", "--output", "cat", "--unit", unit])
    }

    /// Follows a unit's journal until `count` lines hold `text`, counted from its first one.
    #[track_caller]
    pub fn wait_for_journal(&self, unit: &str, count: usize, text: &str) {
        let argv = ["journalctl", "--quiet", "--output", "cat", "--follow", "--lines", "all", "--unit", unit];
        follow(self.command(&argv), count, text);
    }
}
