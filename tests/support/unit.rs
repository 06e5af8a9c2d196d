//! A systemd unit where no systemd runs: a `systemctl` early on the PATH that answers `show` and `restart` as systemd
//! does, keeps a transcript, and can be told to fail or to kill its caller. The real one is driven by the systemd tests.

use super::Root;
use std::os::unix::fs::PermissionsExt;

const SYSTEMCTL: &str = r#"#!/bin/sh
cd {root}/unit || exit 1
case $1 in
show)
    if [ -e absent ]; then printf 'LoadState=not-found\nActiveState=inactive\nInvocationID=\n'; exit 0; fi
    printf 'LoadState=loaded\nActiveState=%s\nInvocationID=%s\n' "$(cat state)" "run-$(cat run)" ;;
restart)
    if [ -e kill-before ]; then rm kill-before; kill -KILL $PPID; exit 1; fi
    if [ -e fail ]; then echo failed >state; echo "Job for $3 failed." >&2; exit 1; fi
    echo $(($(cat run) + 1)) >run; echo active >state
    echo "$(sed -n 's/.*sleep(\([^)]*\)).*/\1/p' {root}/worker/client.py)" >>starts
    if [ -e kill-after ]; then rm kill-after; kill -KILL $PPID; fi ;;
esac
"#;

/// The unit's state, below the root.
pub struct Unit<'a>(&'a Root);

impl<'a> Unit<'a> {
    /// Puts the stand-in on the root's PATH, with a unit that runs.
    pub fn install(root: &'a Root) -> Unit<'a> {
        let script = root.write("bin/systemctl", SYSTEMCTL.replace("{root}", root.dir().to_str().unwrap()));
        std::fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
        root.write("unit/run", "1\n");
        root.write("unit/state", "active\n");
        Unit(root)
    }

    /// From now on: `fail` (restarts fail), `absent` (there is no such unit), `kill-before` and `kill-after` (the next
    /// restart kills who asked for it, before or after it is done).
    pub fn be(&self, what: &str) {
        self.0.write(format!("unit/{what}"), "");
    }

    pub fn no_longer(&self, what: &str) {
        std::fs::remove_file(self.0.path(format!("unit/{what}"))).unwrap();
    }

    /// The literal that the unit read at each start.
    pub fn starts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.path("unit/starts")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
