#!/usr/bin/python3
"""The fault harness: faults at every place of every kind of change, against the binary from outside.

PART is one of
  kill       SIGKILL at every call, and again in the recovery
  errors     every call fails
  syncs      a sync that fails is fatal for the fix
  races      many invocations, an editor, a directory swapped for a link
  meanwhile  somebody saves the target after every call
  power      what a power cut may leave at every point, from a model of the file system
  cut        real file systems (ext4, XFS) cut off at every call
  space      a full disk, and one that becomes read-only
  mutants    planted bugs, each of which one of the others must catch
or all of them when none is named, mutants only with --all. --short (the default) tries a sample in a few minutes, --all
everything in an hour or two. The binary is the one that HEALER_BIN names, else a debug build, for --all a release
build. cut and space need root. Ends with 1 when a law was broken, and says how to repeat that one case.
"""

import argparse
import collections
import datetime
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import cut
import errors
import kill
import meanwhile
import mutants
import pool
import power
import races
import space
import syncs
from scene import KINDS

PARTS = {
    "kill": kill,
    "errors": errors,
    "syncs": syncs,
    "races": races,
    "meanwhile": meanwhile,
    "power": power,
    "cut": cut,
    "space": space,
    "mutants": mutants,
}
# Only with --all, or when named.
ONLY_WHOLE = {"mutants"}
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class Options:
    """What was asked for, as the parts see it."""

    def __init__(self, arguments):
        self.all = arguments.all
        self.every = arguments.every
        self.kinds = arguments.kind or [name for name, kind in KINDS.items() if kind.everywhere]
        self.more_kinds = [] if arguments.kind else [name for name in KINDS if name not in self.kinds]
        self.count = arguments.count
        self.jobs = arguments.jobs

    def sample(self, items, count):
        """All items, or in short form `count` of them, evenly spread and the last one always among them."""
        if self.all or len(items) <= count:
            return list(items)
        return [items[(n + 1) * len(items) // count - 1] for n in range(count)]


def main():
    arguments = parse()
    if why := missing():
        return skipped(why)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    binary = find_binary("release" if arguments.all else "debug")
    base = tempfile.mkdtemp(prefix="healer-faults.")
    table = []
    failures = 0
    with pool.workers(base, binary, arguments.jobs) as run:
        for name in arguments.parts or [name for name in PARTS if arguments.all or name not in ONLY_WHOLE]:
            if why := getattr(PARTS[name], "missing", lambda: None)():
                failures += skipped(why, f"the fault harness, {name}")
                continue
            row, broken = try_part(name, run, arguments)
            table.append(row)
            failures += broken
    print_table(table, binary)
    return 1 if failures else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="a sample (the default)")
    length.add_argument("--all", action="store_true", help="everything")
    parser.add_argument("--every", action="store_true", help="also what is the same by reasoning; takes hours")
    parser.add_argument("--only", metavar="CASE", help="one case, as a failure names it")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind of change (repeatable)")
    parser.add_argument("--count", type=int, metavar="N", help="races: how many fixes and how many invocations")
    # A case waits most of its time: for windows, for the disk.
    parser.add_argument("--jobs", type=int, metavar="N", help="cases at a time (2, with --all 4)")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}: {', '.join(PARTS)}")
    arguments.jobs = arguments.jobs or (4 if arguments.all else 2)
    if arguments.only and len(arguments.parts) != 1:
        parser.error("--only needs the one part that the case is of")
    return arguments


def missing():
    """Why nothing can be tried here; None when it can."""
    try:
        probe = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], stderr=subprocess.PIPE)
    except FileNotFoundError:
        return "strace is not installed"
    return None if probe.returncode == 0 else f"strace does not work here: {probe.stderr.decode().strip()}"


def skipped(why, what="the fault harness"):
    """The same words, list and rule as in the tests' support."""
    line = f"skipped: {what}: {why}"
    print(line, file=sys.stderr)
    if path := os.environ.get("HEALER_TEST_SKIPS"):
        with open(path, "a", encoding="utf-8") as skips:
            skips.write(line + "\n")
    return 1 if os.environ.get("HEALER_TEST_REQUIRE_ALL") == "1" else 0


def find_binary(profile):
    """HEALER_BIN, or a binary of this profile built now."""
    given = os.environ.get("HEALER_BIN")
    if given:
        return pathlib.Path(given).resolve(strict=True)
    flags = ["--release"] if profile == "release" else []
    subprocess.run(["cargo", "build", "--locked", "--quiet", *flags], cwd=REPOSITORY, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return (REPOSITORY / target / profile / "healer").resolve(strict=True)


# So many failures are shown in full; of the others the case and the first law.
SHOWN = 20


def try_part(name, run, arguments):
    part = PARTS[name]
    start = time.monotonic()
    count, notes = collections.Counter(), collections.Counter()
    told, points, shown = start, set(), 0
    results = run([part.one(arguments.only)]) if arguments.only else part.plan(run, Options(arguments))
    for result in results:
        count["cases"] += result.outcome.tried
        if isinstance(result.outcome.note, collections.Counter):
            notes += result.outcome.note
        if "points" not in notes:
            points.add(result.case.point or result.case.name)
        if result.outcome.broken:
            shown += 1
            count["failures"] += failed_in(result.outcome)
            show_failure(name, result, in_full=shown <= SHOWN)
        told = tell_progress(name, count, told)
    if not count["cases"]:
        print(f"!! {name}: nothing was tried", flush=True)
    several = notes.pop("points", 0)
    notes.pop("failures", 0)
    if notes:
        print(f"{name}: " + ", ".join(f"{n} {what}" for what, n in sorted(notes.items())), flush=True)
    seconds = time.monotonic() - start
    row = (name, several or len(points), count["cases"], count["failures"], seconds)
    return row, count["failures"] or not count["cases"]


def failed_in(outcome):
    """How many; a case that tries several things says so."""
    return max(1, outcome.note["failures"]) if isinstance(outcome.note, collections.Counter) else 1


def tell_progress(name, count, told):
    """A line a minute; gives when the last one was."""
    if time.monotonic() - told < 60:
        return told
    print(f"{name}: {count['cases']} cases so far, {count['failures']} failures", file=sys.stderr, flush=True)
    return time.monotonic()


def show_failure(name, result, in_full):
    print(f"!! {name} {result.case.name}: a law was broken", flush=True)
    for why in result.outcome.broken if in_full else [result.outcome.broken[0].split("\n")[0]]:
        print("   " + why.replace("\n", "\n   "))
    print(f"   repeat it with: tests/faults/run.py {name} --only '{result.case.name}'", flush=True)


def print_table(table, binary):
    print(f"\n{datetime.date.today()}, {os.cpu_count()} processors, {binary.parent.name} binary")
    print(f"{'part':<10} {'points':>8} {'cases':>8} {'failures':>8} {'seconds':>8}")
    for name, *numbers, seconds in table:
        print(f"{name:<10}" + "".join(f" {number:>8}" for number in numbers) + f" {seconds:>8.0f}")


if __name__ == "__main__":
    sys.exit(main())
