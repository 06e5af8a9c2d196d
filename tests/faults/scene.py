"""A service of a case's own in a temporary root, a log with errors that make a rule fire, and a configuration that
heals it within a fraction of a second.

Lives here: making, saving and restoring a scene, and running the binary in it. May not live here: faults (kill, errors,
races), and what must hold afterwards (oracle).

    scene = Scene(root, KINDS["restart"], binary)   # an empty directory of the caller's; its path must stay the same
    scene.build()                                   # everything as it is before the command of this kind
    scene.arm()                                     # fresh errors in the log, where the kind needs some
    ran = scene.run(scene.kind.command)             # optionally behind a wrapper such as strace
    scene.save(); scene.restore()                   # the whole state, any number of times

Layout of the root:

    healer.toml  bin/systemctl  bin/level  worker.log  state/  srv/app/  srv/shared/  unit/
"""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import shutil
import struct
import subprocess
import threading
import time

import processes

UNIT = "shop.service"

# CRLF, a tab, characters beyond ASCII, no final newline, and more than one block, so that a lost byte is seen.
PROGRAM = (
    "import asyncio\r\n\r\n# pause: nicht zu schnell \u2013 sonst 429\r\n"
    + "".join(f"# line {n:04} of a program that fills more than one block of a disk\r\n" for n in range(120))
    + "async def work():\r\n\tawait asyncio.sleep(0.8)  # seconds"
).encode()
SETTINGS = b"# of the whole shop\n[worker]\nbatch = 40 # at once\nname = \"w\xc3\xb6rker\"\n"


@dataclasses.dataclass(frozen=True)
class File:
    """A file that the rule edits: where the rule names it, where it really is, and its two contents."""

    named: str
    real: str
    step: str
    old: bytes
    new: bytes
    mode: int


PROGRAM_FILE = File(
    named="srv/app/client.py",
    real="srv/app/client.py",
    step='at = "call asyncio.sleep", multiply = 1.5, max = 5.0',
    old=PROGRAM,
    new=PROGRAM.replace(b"0.8", b"1.2"),
    # Set-id bits are lost by a chown that comes after the chmod.
    mode=0o6750,
)
# Reached through a link, which must stay one.
SETTINGS_FILE = File(
    named="srv/app/settings.toml",
    real="srv/shared/settings.toml",
    step='at = "worker.batch", add = -10, min = 1',
    old=SETTINGS,
    new=SETTINGS.replace(b"40", b"30"),
    mode=0o640,
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of change whose every instant is tried."""

    name: str
    command: tuple
    files: tuple
    restart: bool = False
    # Errors go on during the window, so that the fix is rolled back.
    hopeless: bool = False
    # Fixes that were made before the command.
    earlier_fixes: int = 0
    # Errors are in the log when the command starts.
    armed: bool = True
    cooldown: str = "30m"
    # A step that runs a program, which has an undo: `bin/level high` and `bin/level low`.
    level: bool = False
    # Tried by every part; else by `kill` alone.
    everywhere: bool = True


PRUNE = ("backups", "prune", "--keep-last", "1", "--keep-within", "0s", "--yes")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("edit", ("heal", "--json"), (PROGRAM_FILE,)),
        Kind("restart", ("heal", "--json"), (PROGRAM_FILE, SETTINGS_FILE), restart=True),
        Kind("undone", ("heal", "--json"), (PROGRAM_FILE, SETTINGS_FILE), restart=True, hopeless=True),
        Kind(
            "rollback",
            ("rollback", "latest", "--yes"),
            (PROGRAM_FILE, SETTINGS_FILE),
            restart=True,
            earlier_fixes=1,
            armed=False,
        ),
        Kind("acted", ("heal", "--json"), (PROGRAM_FILE,), hopeless=True, level=True, everywhere=False),
        Kind("prune", PRUNE, (PROGRAM_FILE,), earlier_fixes=3, armed=False, cooldown="0s"),
    )
}

# A log line that the built-in signature `rate_limit` matches.
ERROR = "ERROR worker request failed: 429 Client Error: Too Many Requests for url: http://x/"

# Enough that even a second of delay leaves more than three to be expected in the window.
ERRORS = 200

CONFIGURATION = """\
state_dir = "{root}/state"
[allow]
files = ["{root}/srv/**"]
units = ["{unit}"]
commands = [["{root}/bin/level", "high"], ["{root}/bin/level", "low"]]
[checks.docker]
enabled = false
[checks.host]
enabled = false
[logs.files.worker]
path = "{root}/worker.log"
[limits]
human_grace = "0s"
min_duration = "0s"
start_grace = "0s"
fixes_per_hour = 1000000
[[rule]]
name = "slow-down"
when = {{ log = "file:worker", signature = "rate_limit", count = 5, within = "10m" }}
issue_type = "rate_limiting"
cause = "{{log}} was rate limited {{count}} times"
confidence = 90
[[rule.fix]]
fix_type = "increase_delay"
steps = [
{steps}]
[rule.validate]
settle = "20ms"
window = "{window}"
max_window = "4s"
[rule.limits]
cooldown = "{cooldown}"
max_fixes = 1000000
"""

# What systemd does: an id of the invocation that is new with each start, and a service that keeps what it read then.
# `unit/loaded` is one file, so that both change in one instant: the id, then what the service read at its start.
SYSTEMCTL = r"""#!/bin/sh
set -eu
scene=${0%/bin/*}
properties= only_values= verb= unit=
while [ $# -gt 0 ]; do
    case $1 in
        -p | --property) properties="$properties $2"; shift ;;
        -P) properties="$properties $2"; only_values=1; shift ;;
        --property=*) properties="$properties ${1#*=}" ;;
        -p*) properties="$properties ${1#-p}" ;;
        --value) only_values=1 ;;
        -*) ;;
        *) if [ -z "$verb" ]; then verb=$1; else unit=$1; fi ;;
    esac
    shift
done
known() { [ "$unit" = UNIT ]; }
value_of() {
    case $1 in
        LoadState) if known; then echo loaded; else echo not-found; fi ;;
        InvocationID) if known; then head -n 1 "$scene/unit/loaded"; else echo; fi ;;
        ActiveState) if known; then echo active; else echo inactive; fi ;;
        SubState) if known; then echo running; else echo dead; fi ;;
        *) echo ;;
    esac
}
start() {
    IFS=- read -r a b c d e </proc/sys/kernel/random/uuid
    { echo "$a$b$c$d$e"; cat FILES; } >"$scene/unit/loading.$$"
    mv "$scene/unit/loading.$$" "$scene/unit/loaded"
    echo "$a$b$c$d$e" >>"$scene/unit/restarts"
}
case $verb in
    restart | start)
        if ! known; then echo "Failed to $verb $unit: Unit $unit not found." >&2; exit 5; fi
        start ;;
    show)
        for property in $(echo "$properties" | tr , ' '); do
            if [ -n "$only_values" ]; then value_of "$property"; else echo "$property=$(value_of "$property")"; fi
        done ;;
    is-active) if known; then echo active; else echo inactive; exit 3; fi ;;
    cat)
        if ! known; then echo "No files found for $unit." >&2; exit 1; fi
        printf '# /etc/systemd/system/%s\n[Service]\nExecStart=/usr/bin/true\n' "$unit" ;;
    *) echo "Unknown command verb $verb." >&2; exit 1 ;;
esac
"""

# In one instant from one level to another, as often as one likes.
LEVEL = r"""#!/bin/sh
set -eu
scene=${0%/bin/*}
printf '%s' "$1" >"$scene/unit/setting.$$"
mv "$scene/unit/setting.$$" "$scene/unit/level"
"""


@dataclasses.dataclass
class Ran:
    """How a run of the binary ended; `code` is negative for a signal, as in subprocess."""

    argv: list
    code: int
    stdout: str
    stderr: str
    timed_out: bool = False

    def shown(self):
        end = " (ran past its deadline and was killed)" if self.timed_out else ""
        return (
            f"$ {' '.join(map(str, self.argv))}\nexit code {self.code}{end}\n"
            f"--- stdout\n{self.stdout[-4000:]}\n--- stderr\n{self.stderr[-4000:]}"
        )


# What one run may take on a busy machine.
DEADLINE = 45


class Scene:
    def __init__(self, root, kind, binary):
        self.root = pathlib.Path(root)
        self.kind = kind
        self.binary = pathlib.Path(binary)
        self.state = self.root / "state"
        self.log = self.root / "worker.log"
        # Beside the root, not in it: a snapshot must not hold itself.
        self.saved = self.root.with_name(self.root.name + ".saved")

    # Making it

    def build(self):
        """Everything as it is before the command of this kind, but for the errors of `arm`."""
        self.remove()
        for name in ("bin", "srv/app", "srv/shared", "unit"):
            (self.root / name).mkdir(parents=True)
        for file in self.kind.files:
            self._write_target(file)
        self.log.write_text("")
        self.configure()
        self._write_systemctl()
        self._write_level()
        self.boot()
        for _ in range(self.kind.earlier_fixes):
            self._fix()
        self._note_contents()

    def _note_contents(self):
        """What each target holds before the command, and what it may hold after it."""
        self.before = {file: (self.root / file.real).read_bytes() for file in self.kind.files}
        if self.kind.armed:
            self.after = {file: file.new for file in self.kind.files}
        elif self.kind.command[0] == "rollback":
            self.after = {file: file.old for file in self.kind.files}
        else:
            self.after = self.before
        self.records_before = len(self.lines("fix_knowledge_base.jsonl"))
        self.attempts_before = len(self.lines("attempts.jsonl"))
        self.charges_before = sum(line.get("kind") == "charge" for line in self.lines("attempts.jsonl"))
        self.restarts_before = self.restarts()

    def configure(self, **changes):
        """Writes the configuration; `changes` are fields of the template."""
        fields = {"root": self.root, "unit": UNIT, "cooldown": self.kind.cooldown, "window": "200ms"}
        fields |= {"steps": self._steps()} | changes
        (self.root / "healer.toml").write_text(CONFIGURATION.format(**fields))

    def _steps(self):
        steps = "".join(f'{{ edit = "{self.root}/{f.named}", {f.step} }},\n' for f in self.kind.files)
        if self.kind.level:
            level = f"{self.root}/bin/level"
            steps += f'{{ run = ["{level}", "high"], undo = ["{level}", "low"], timeout = "20s" }},\n'
        return steps + (f'{{ restart = "unit:{UNIT}" }},\n' if self.kind.restart else "")

    def _write_target(self, file):
        path = self.root / file.real
        path.write_bytes(file.old)
        if os.geteuid() == 0:
            os.chown(path, 12345, 23456)
        os.chmod(path, file.mode)
        for name, value in attributes(file).items():
            with contextlib.suppress(OSError):  # a file system without them
                os.setxattr(path, name, value)
        if file.named != file.real:
            link = self.root / file.named
            link.symlink_to(os.path.relpath(path, link.parent))

    def _write_systemctl(self):
        files = " ".join(f'"$scene/{f.named}"' for f in self.kind.files)
        path = self.root / "bin/systemctl"
        path.write_text(SYSTEMCTL.replace("FILES", files).replace("UNIT", UNIT))
        path.chmod(0o755)

    def _write_level(self):
        path = self.root / "bin/level"
        path.write_text(LEVEL)
        path.chmod(0o755)
        processes.run([path, "low"])

    def _systemctl(self, *args):
        processes.run([self.root / "bin/systemctl", *args])

    def boot(self):
        """The machine has started, and with it the service."""
        self._systemctl("restart", UNIT)

    def _fix(self):
        """A fix that helps. Errors of the second in which the fix before ended would count as before it."""
        next_second()
        self.log_errors(ERRORS)
        ran = self.run(("heal",))
        if ran.code != 0:
            raise AssertionError(f"the scene could not be made: a fix that should help does not\n{ran.shown()}")
        next_second()

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.saved, ignore_errors=True)

    # Looking at it

    def lines(self, name):
        """The lines of a JSONL file of the state directory that can be read; one that is torn is left out."""
        path = self.state / name
        text = path.read_bytes() if path.exists() else b""
        return [value for line in text.splitlines() if isinstance(value := parsed(line), dict)]

    def journal(self):
        """The lines of the open transaction; empty when none is."""
        directory = self.state / "journal"
        paths = sorted(directory.glob("*.jsonl")) if directory.is_dir() else []
        return [line for path in paths for line in self.lines(path.relative_to(self.state))]

    def is_open(self):
        directory = self.state / "journal"
        return directory.is_dir() and any(directory.iterdir())

    def restarts(self):
        """How often the unit was started."""
        return len((self.root / "unit/restarts").read_text().splitlines())

    def level(self):
        """What the program of the step with an undo has set."""
        return (self.root / "unit/level").read_text()

    def loaded(self):
        """What the running service read when it was started."""
        return (self.root / "unit/loaded").read_bytes().split(b"\n", 1)[1]

    # Errors in the log

    def arm(self):
        """Fresh errors, where the kind needs them."""
        if self.kind.armed:
            self.log_errors(ERRORS)

    def log_errors(self, count):
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"{now} {ERROR}\n" * count)

    @contextlib.contextmanager
    def noise(self):
        """Errors that go on, where the kind is hopeless."""
        if not self.kind.hopeless:
            yield
            return
        stop = threading.Event()

        def work():
            while not stop.wait(0.01):
                self.log_errors(5)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    # Running

    def environment(self):
        return {"PATH": f"{self.root}/bin:/usr/bin:/bin", "LC_ALL": "C", "TERM": "dumb", "HOME": str(self.root)}

    def argv(self, command):
        return [str(self.binary), "-c", str(self.root / "healer.toml"), *map(str, command)]

    def run(self, command, wrapper=(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec=None):
        """Runs the binary to its end, behind `wrapper` (such as strace), and whatever it leaves behind as well."""
        argv = [*map(str, wrapper), *self.argv(command)]
        timed_out = False
        with processes.started(
            argv, env=self.environment(), cwd="/", stdout=stdout, stderr=stderr, preexec_fn=preexec
        ) as process:
            try:
                out, err = process.communicate(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                timed_out = True
                processes.end_group(process)
                out, err = process.communicate()
        processes.reap()
        text = [(stream or b"").decode(errors="replace") for stream in (out, err)]
        return Ran(argv, process.returncode, *text, timed_out)

    # The whole state

    def save(self):
        """Keeps everything as it is now for `restore`."""
        shutil.rmtree(self.saved, ignore_errors=True)
        copy(self.root, self.saved)

    def restore(self):
        """Everything as it was at `save`. The log keeps its inode, by which its cursor knows it."""
        text = (self.saved / self.log.name).read_bytes()
        for path in self.root.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != self.log:
                path.unlink()
        with open(self.log, "r+b") as log:
            log.truncate()
            log.write(text)
        kept = [path for path in self.saved.iterdir() if path.name != self.log.name]
        processes.run(["cp", "-a", "--", *kept, self.root])


def attributes(file):
    """Extended attributes of a target, its ACL among them (the kernel's form: version 2, then tag, permissions, id)."""
    group = (file.mode >> 3) & 7
    owner = (1, (file.mode >> 6) & 7, NO_ID)
    entries = [owner, (2, 4, 34567), (4, group, NO_ID), (16, group, NO_ID), (32, file.mode & 7, NO_ID)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    return {"user.origin": b"put here by hand\0\xff", "system.posix_acl_access": acl}


NO_ID = 0xFFFFFFFF


def parsed(line):
    try:
        return json.loads(line)
    except ValueError:
        return None


def copy(source, target):
    """With owners, modes, times and extended attributes."""
    processes.run(["cp", "-a", "--", source, target])


def next_second():
    """Waits for the clock's next second."""
    time.sleep(1.01 - time.time() % 1)
