//! The Debian package of the binary under test, and one of a later version.

use super::{Root, skip};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const VERSION: &str = "0.0.9";

/// In `packages` of the test's root, which a machine sees as `/packages`.
pub struct Package {
    dir: PathBuf,
    name: String,
}

impl Package {
    /// `None`, recorded as a skip, where it cannot be built.
    #[track_caller]
    pub fn build(root: &Root) -> Option<Package> {
        static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        match BUILT.get_or_init(build) {
            Err(why) => {
                skip(why);
                None
            }
            Ok(built) => {
                let dir = root.path("packages");
                std::fs::create_dir_all(&dir).unwrap();
                let name = built.file_name().unwrap().to_str().unwrap().to_owned();
                std::fs::copy(built, dir.join(&name)).unwrap();
                Some(Package { dir, name })
            }
        }
    }

    /// Where a machine finds it.
    pub fn path(&self) -> String {
        format!("/packages/{}", self.name)
    }

    /// Another version, with `more` behind its default configuration; where a machine finds it.
    #[track_caller]
    pub fn later(&self, version: &str, more: &str) -> String {
        let content = self.dir.join(version);
        run(Command::new("dpkg-deb").arg("--raw-extract").arg(self.dir.join(&self.name)).arg(&content));
        let change = |path: &str, change: &dyn Fn(String) -> String| {
            let path = content.join(path);
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, change(text)).unwrap();
        };
        change("DEBIAN/control", &|text| text.replace(&format!("Version: {VERSION}"), &format!("Version: {version}")));
        change("etc/healer/healer.toml", &|text| text + more);
        let name = format!("healer_{version}.deb");
        let build = ["--root-owner-group", "-Znone", "--build"];
        run(Command::new("dpkg-deb").args(build).arg(&content).arg(self.dir.join(&name)));
        std::fs::remove_dir_all(&content).unwrap();
        format!("/packages/{name}")
    }
}

/// Once for all tests of a process, in a place of its own; why it cannot be.
fn build() -> Result<PathBuf, String> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = std::env::var_os("PATH").unwrap();
    let path =
        std::env::join_paths(std::iter::once(repository.join("target/tools/bin")).chain(std::env::split_paths(&path)));
    let path = path.unwrap();
    for program in ["cargo-deb", "dpkg-deb", "strip"] {
        if !std::env::split_paths(&path).any(|dir| dir.join(program).is_file()) {
            return Err(format!("{program} is not installed"));
        }
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    let done = Command::new(repository.join("systemd/package"))
        .args(["--fast", "--binary", env!("CARGO_BIN_EXE_healer"), "--version", VERSION, "--output"])
        .arg(&dir)
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", &dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout).unwrap().trim().into())
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
