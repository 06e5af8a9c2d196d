"""Meanwhile: somebody saves the target after each call of a fix, and theirs is what the file holds in the end.

Lives here: that one edit and its laws. `races` lets chance say when an editor saves; here every place has its turn.
"""

import collections
import os
import shutil

import kill
import oracle
import tracing
from cut import OF_NO_FILE
from pool import Case, Outcome
from scene import PROGRAM_FILE
from stopping import Stopped

KIND_NAMES = ("edit", "undone")
THEIRS = PROGRAM_FILE.old.replace(b"line 0007", b"LINE 0007 by hand")


def plan(run, options):
    """Tries it all; yields results."""
    cases = []
    kinds = [kind for kind in options.kinds if kind in KIND_NAMES]
    for result in run([Case(kind, kill.record, (kind,)) for kind in kinds]):
        kind, points = result.case.name, since_the_intent(result.outcome.note)
        cases += [Case(f"{kind}:{point}", save, (kind, point)) for point in options.sample(points, 6)]
    yield from run(cases)


def since_the_intent(points):
    """The calls with an effect on a file, from the one on that gives the journal its name: the plan is made then."""
    first = next(n for n, p in enumerate(points) if p.name.startswith("rename") and "/journal/" in p.text)
    return [p for p in points[first:] if p.has_effect() and p.name not in OF_NO_FILE and p.name != "write"]


def one(name):
    """The case of this name: KIND:NAME:K."""
    kind, *point = name.split(":")
    return Case(name, save, (kind, tracing.Point.parse(*point)))


def save(workshop, kind, point):
    """The program is saved by somebody else after this call."""
    scene = workshop.scene(kind)
    target = scene.root / PROGRAM_FILE.real
    scene.arm()
    with scene.noise(), Stopped(scene.binary, lambda: save_by_rename(target)) as stopped:
        ran = scene.run(scene.kind.command, tracing.stopped_after(point))
    if not stopped.done:
        return Outcome(tried=0)
    broken = oracle.no_panic(ran) + theirs_stay(target)
    with scene.noise():
        again = scene.run(("heal", "--json"))
    broken += [f"after the next pass: {why}" for why in oracle.no_panic(again) + theirs_stay(target)]
    if scene.is_open():
        broken.append("after the next pass: the journal is still there")
    note = collections.Counter({f"exit code {ran.code}": 1})
    return Outcome(broken + ([ran.shown(), again.shown()] if broken else []), note)


def save_by_rename(target):
    beside = target.with_name("editor~")
    beside.write_bytes(THEIRS)
    shutil.copymode(target, beside)
    os.rename(beside, target)
    return True


def theirs_stay(target):
    """Theirs, or theirs with a later fix in it."""
    broken = []
    if b"by hand" not in target.read_bytes():
        broken.append("somebody saved the file meanwhile, and theirs is not what it holds")
    left = [path.name for path in target.parent.iterdir() if "healer" in path.name]
    return broken + ([f"{left} is left beside the target"] if left else [])
