"""The product from outside: its configuration, its passes, `kill -9` of them, and what they leave on record.

Lives here: commands, `cursors.json`, `events.jsonl`. May not live here: what ought to be in them.

What is counted is told from what survives a kill. A line carries a time of its own, in a minute that only its number has
under the signature of its last digit, so the counts in `cursors.json` (by signature and time) tell how often each number
was counted, and a miss cannot hide a double count.
"""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import time

SIGNATURES = 10

SIGNATURE = """[[signature]]
name = "digit{digit}"
category = "numbered"
severity = "error"
pattern = 'numbered \\d*{digit} of'
"""

CONFIGURATION = """[checks.host]
enabled = false
[signatures]
builtin = false
{sources}
{signatures}
[[rule]]
name = "horizon"
when = {{ log = "{horizon}", signature = "digit0", count = 1000000000, within = "29d" }}
issue_type = "none"
cause = "never"
confidence = 50
"""

NO_DOCKER = "[checks.docker]\nenabled = false\n"


class Numbers:
    """The text of numbered lines, and their numbers from what was counted."""

    def __init__(self, most):
        self.first_minute = int(time.time()) // 60 - most // SIGNATURES - 2

    def text(self, number, padding=""):
        minute = self.first_minute + number // SIGNATURES
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(minute * 60))
        return f"{stamp} ERROR worker job numbered {number} of many failed {padding}".rstrip()

    def number(self, signature, second):
        return (second // 60 - self.first_minute) * SIGNATURES + int(signature.removeprefix("digit"))


# What a pass asks of a log and of the directory it is in.
CALLS = ("openat", "pread64", "statx", "fstat,newfstatat", "getdents64", "lseek,read")


def delays(rng):
    """strace, holding up some of these calls, so that something else happens in between."""
    held = rng.sample(CALLS, rng.randint(1, 3))
    command = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={','.join(held)}"]
    for calls in held:
        side, time_held = rng.choice(["delay_enter", "delay_exit"]), int(200 * 40 ** rng.random())
        command += ["-e", f"inject={calls}:{side}={time_held}:when={rng.randint(1, 6)}+{rng.randint(1, 12)}"]
    return command


class Product:
    """`delayed` draws the delays of each pass; without it there are none."""

    def __init__(self, binary, root, name, sources, delayed=None):
        self.binary, self.root, self.delayed = binary, pathlib.Path(root), delayed
        self.state = self.root / "state"
        signatures = "\n".join(SIGNATURE.format(digit=digit) for digit in range(SIGNATURES))
        configuration = CONFIGURATION.format(horizon=name, sources=sources, signatures=signatures)
        (self.root / "healer.toml").write_text(configuration)
        self._told = 0

    def start(self):
        """A pass that runs."""
        command = [self.binary, "heal", "--json", "--config", self.root / "healer.toml", "--state-dir", self.state]
        if self.delayed:
            command = [*delays(self.delayed), *command]
        environment = {"PATH": os.environ["PATH"], "TZ": "UTC", "HOME": str(self.root), "NO_COLOR": "1"}
        # With strace it is killed as one: a pass whose tracer dies goes on.
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def counts(self):
        """How often each of the pairs (signature, second) is counted, on disk."""
        try:
            state = json.loads((self.state / "cursors.json").read_text())
        except FileNotFoundError:
            return {}
        tallies = (tally for by_signature in state["tallies"].values() for tally in by_signature.items())
        return {(name, int(second)): n for name, tally in tallies for second, n in tally["buckets"].items()}

    def by_number(self, numbers):
        counts = collections.Counter()
        for (signature, second), times in self.counts().items():
            counts[numbers.number(signature, second)] += times
        return dict(counts)

    def new_gaps(self):
        """The gaps that are on record since the last time this was asked."""
        try:
            lines = (self.state / "events.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        new, self._told = lines[self._told :], len(lines)
        return [gap for event in map(parsed, new.splitlines()) for gap in event.get("gaps", [])]


def parsed(line):
    """A killed pass may have written half a line."""
    try:
        return json.loads(line)
    except ValueError:
        return {}


def finished(process, kill_after=None):
    """Waits for a pass, or kills it after so many seconds. What it said, and whether it ended by itself."""
    try:
        output, _ = process.communicate(timeout=kill_after if kill_after is not None else 120)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if kill_after is None:
            raise RuntimeError(f"a pass did not end in 120 s: {output}") from None
        return output, False
    # 101 is a panic, a negative code a signal of its own making; what it found does not matter here.
    if process.returncode < 0 or process.returncode >= 64 or output.startswith("strace: "):
        raise RuntimeError(f"a pass ended with {process.returncode}: {output}")
    return output, True


def moment_to_kill(rng: random.Random, usual: float):
    """Anywhere in a pass, and now and then right after its end."""
    return rng.uniform(0, 1.2 * usual)
