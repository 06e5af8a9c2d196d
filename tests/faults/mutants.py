"""Mutants: bugs planted in the write path, each of which some part of this harness must catch.

Lives here: building a copy of the sources with one bug in it, and trying it until it is caught. The bugs themselves are
in `planted`. A bug that nothing catches is a gap in the harness; one that cannot be planted any more must be written
anew.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import types

import cut
import errors
import kill
import meanwhile
import pool
import power
import races
import space
import syncs
from planted import planted
from pool import Case, Outcome, Result

PARTS = {module.__name__: module for module in (kill, errors, syncs, races, meanwhile, cut, space)}
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ("Cargo.toml", "Cargo.lock", "src", "examples", "man", "systemd", "README.md")


def plan(_run, options):
    """Tries each; yields results. Builds and runs with binaries of its own, so what it is given is not used."""
    yield from _try_all(planted(), options.jobs)


def one(name):
    """The case of this name, which is a bug's."""
    return Case(name, alone, (name,))


def alone(_workshop, name):
    found = [bug for bug in planted() if bug.name == name]
    if not found:
        return Outcome([f"no bug is called {name}"])
    return next(_try_all(found, 1)).outcome


def _try_all(bugs, jobs):
    with tempfile.TemporaryDirectory(prefix="healer-mutants.") as directory:
        works = Works(pathlib.Path(directory))
        for bug in bugs:
            start = time.monotonic()
            outcome = _try(bug, works, jobs)
            seconds = time.monotonic() - start
            print(f"mutant {bug.name:<36} {outcome.note or 'NOT CAUGHT':<60} {seconds:>5.0f} s", flush=True)
            yield Result(Case(bug.name, alone, (bug.name,)), Outcome(outcome.broken), seconds)


def _try(bug, works, jobs):
    try:
        binary = works.build(bug)
    except Unplantable as error:
        return Outcome([str(error)], note="CANNOT BE PLANTED")
    for trial in bug.tried_by:
        for result in _results(trial, binary, jobs):
            if result.outcome.broken:
                return Outcome(note=f"{' '.join(trial)}: {told(result)}")
    return Outcome([f"nothing caught it: tried by {bug.tried_by}"])


def told(result):
    """The first law that was broken, in short."""
    lines = "\n".join(result.outcome.broken).splitlines()
    of_the_state = re.compile("state |the cut is|.*not yet durable")
    laws = [line for line in lines if not of_the_state.match(line)]
    return (laws or lines or ["?"])[0].strip()[:90]


def _results(trial, binary, jobs):
    """What a trial gives, as it comes: a part and a kind; `power KIND killed`; `races` and the begin of a case."""
    part, *rest = trial
    base = tempfile.mkdtemp(prefix="healer-faults.")
    with pool.workers(base, binary, jobs) as run:
        if part == "power":
            yield from run(list(_power_cases(*rest)))
            return
        if part == "races":
            yield from run([PARTS[part].one(name) for name in (f"{rest[0]}:{n}" for n in range(6))])
            return
        options = types.SimpleNamespace(
            all=True, every=False, kinds=rest, more_kinds=[], count=None, jobs=jobs, sample=lambda items, _count: list(items)
        )
        yield from PARTS[part].plan(run, options)


def _power_cases(kind, killed=None):
    if killed is None:
        yield Case(kind, power.cut, (kind, None, True, "", 1))
        return
    for point in range(20, 75):
        yield Case(f"{kind}~{point}", power.cut, (kind, point, True, "", 1))


class Unplantable(Exception):
    """The sources are not what the bug was written for, or do not build with it."""


class Works:
    """A copy of the sources, and a target directory of its own that begins with the built dependencies."""

    def __init__(self, directory):
        self.sources, self.target = directory / "sources", directory / "target"
        self.sources.mkdir()
        for name in SOURCES:
            path = REPOSITORY / name
            if path.is_dir():
                shutil.copytree(path, self.sources / name)
            elif path.exists():
                shutil.copy2(path, self.sources / name)
        self._seed(REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "debug")
        self._planted = []

    def _seed(self, built):
        """Hard links to all that is not healer's own; cargo makes new files and changes none of these."""
        for part in ("deps", "build", ".fingerprint"):
            if (built / part).is_dir():
                own = shutil.ignore_patterns("*healer*", "*.lock")
                options = {"ignore": own, "copy_function": link, "symlinks": True}
                shutil.copytree(built / part, self.target / "debug" / part, **options)

    def build(self, bug):
        """The binary with this bug in it."""
        for path in self._planted:
            shutil.copyfile(REPOSITORY / path, self.sources / path)
        self._planted = list(dict.fromkeys(path for path, _, _ in bug.changes))
        for path, old, new in bug.changes:
            text = (self.sources / path).read_text()
            if text.count(old) != 1:
                raise Unplantable(f"{path} holds {text.count(old)} times, not once:\n{old}")
            (self.sources / path).write_text(text.replace(old, new))
        argv = ["cargo", "build", "--locked", "--offline", "--quiet", "--bin", "healer"]
        environment = os.environ | {"CARGO_TARGET_DIR": str(self.target)}
        ran = subprocess.run(argv, cwd=self.sources, env=environment, capture_output=True, text=True)
        if ran.returncode != 0:
            raise Unplantable(f"it does not build: {ran.stderr[-3000:]}")
        binary = self.target / "mutant"
        shutil.copy2(self.target / "debug/healer", binary)
        return binary


def link(source, target):
    """A hard link where there can be one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
