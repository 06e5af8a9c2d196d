"""Space: a disk with no or few free blocks, and one that becomes read-only in the middle of a run.

Lives here: how much room there is, and when it ends. What must hold then is the oracle's, what a run must say of it is
from `errors`, the file systems are from `mounts`.

Targets, or the state, or both are on a small ext4 with blocks of 1 KiB. First the run and the pass after it see the
full disk; then there is room again, and everything must come to its end.
"""

import collections
import contextlib
import subprocess

import errors
import kill
import mounts
import oracle
import tracing
from cut import OF_NO_FILE
from pool import Case, Outcome
from scene import KINDS
from stopping import Stopped

WHERE = {"targets": ("srv",), "state": ("state",), "both": ("srv", "state")}
# With so many free blocks no run lacks any.
ENOUGH = 97
# One case tries so many numbers or places, on one file system that is made for it.
PER_CASE = 24
KIND_NAMES = ("edit", "undone", "rollback")
RECOVERY = ("heal", "--json")


def missing():
    """Why this part cannot be tried here; None when it can."""
    return mounts.missing(("ext4-small",))


def plan(run, options):
    """Tries it all; yields results."""
    kinds = [kind for kind in options.kinds if kind in KIND_NAMES]
    chosen = kinds if options.all else kinds[:1]
    yield from run([case for kind in chosen for where in WHERE for case in _of_space(kind, where, options)])
    cases = []
    for result in run([Case(kind, kill.record, (kind,)) for kind in (kinds if options.all else kinds[1:2])]):
        kind, points = result.case.name, [p for p in result.outcome.note if p.has_effect() and p.name not in OF_NO_FILE]
        for where in WHERE:
            cases += _of_places(kind, where, options.sample(points, 2), options)
    yield from run(cases)


def _of_space(kind, where, options):
    """Every number of free blocks for the first kind; what the others do more they do in the same way."""
    step = 8 if not options.all else 1 if options.every or kind == KIND_NAMES[0] else 4
    needed = list(range(0, ENOUGH if options.all else 41, step))
    parts = [needed[k : k + PER_CASE] for k in range(0, len(needed), PER_CASE)]
    # A case is a whole range, but for the step.
    return [Case(f"{kind}:{where}:{part[0]}-{part[-1]}", full, (kind, where, part)) for part in parts]


def _of_places(kind, where, points, options):
    if options.all and not options.every and kind != KIND_NAMES[0]:
        points = points[::2]
    parts = [points[k : k + PER_CASE] for k in range(0, len(points), PER_CASE)]
    return [Case(f"{kind}:{where}:ro:{part[0]}", read_only, (kind, where, part)) for part in parts]


def one(name):
    """The case of this name: KIND:WHERE:BLOCKS, or KIND:WHERE:ro:NAME:K."""
    kind, where, *rest = name.split(":")
    if rest[0] == "ro":
        return Case(name, read_only, (kind, where, [tracing.Point.parse(*rest[1:])]))
    first, _, last = rest[0].partition("-")
    return Case(name, full, (kind, where, list(range(int(first), int(last or first) + 1))))


@contextlib.contextmanager
def small(workshop, kind, where):
    """A scene that is saved, with `where` of it on a small disk."""
    workshop.discard()
    with mounts.Mounted(workshop.directory, "ext4-small") as mounted:
        scene = mounts.Apart(workshop.directory / "scene", KINDS[kind], workshop.binary, mounted, WHERE[where])
        scene.build()
        scene.save()
        # What the file system can hold is tried while that can be written.
        if broken := oracle.targets(scene):
            raise AssertionError(broken)
        yield scene
        scene.remove()


def full(workshop, kind, where, blocks):
    """The command with each of these numbers of free blocks."""
    broken, ends = [], collections.Counter()
    with small(workshop, kind, where) as scene:
        for left in blocks:
            scene.restore()
            laws, ran = _with_room(scene, left)
            ends[f"exit code {ran.code}"] += 1
            if laws:
                broken.append("\n".join([f"{kind}:{where}:{left}", *laws]))
    return Outcome(broken[:3], ends, len(blocks))


def _with_room(scene, left):
    scene.arm()
    scene.mounted.fill(left)
    with scene.noise():
        ran = scene.run(scene.kind.command)
    broken = oracle.at_once(scene)
    # A pass that finds the disk still full makes nothing worse.
    with scene.noise():
        again = scene.run(RECOVERY)
    broken += oracle.no_panic(again) + oracle.at_once(scene)
    scene.mounted.empty()
    if broken:
        return [f"with {left} free blocks: {why}" for why in broken] + [ran.shown(), again.shown()], ran
    return told(scene, ran) + oracle.judge(scene, human_may_be_called=True), ran


def told(scene, ran):
    """What the run itself must have said and done; where the pass after it already ended the fix, its code is not
    compared with what is there now."""
    broken = oracle.no_panic(ran)
    if ran.code in (1, 13) and not errors.says_why(ran):
        broken.append("it failed and did not say why")
    return [f"the run with the fault: {why}" for why in broken] + ([ran.shown()] if broken else [])


def read_only(workshop, kind, where, points):
    """The file system becomes read-only after each of these calls."""
    broken, ends = [], collections.Counter()
    with small(workshop, kind, where) as scene:
        for point in points:
            scene.restore()
            laws, ran, how = _read_only_after(scene, point)
            ends[f"{how}, exit code {ran.code}"] += 1
            if laws:
                broken.append("\n".join([f"{kind}:{where}:ro:{point}", *laws, ran.shown()]))
    return Outcome(broken[:3], ends, len(points))


def _read_only_after(scene, point):
    scene.arm()
    with scene.noise(), Stopped(scene.binary, lambda: make_read_only(scene.mounted)) as stopped:
        ran = scene.run(scene.kind.command, tracing.stopped_after(point))
    how = stopped.done or "not reached"
    broken = oracle.no_panic(ran) + errors.code_fits(scene, ran)
    broken += [] if how != "remounted" else oracle.at_once(scene)
    if ran.code in (1, 13) and not errors.says_why(ran):
        broken.append("it failed and did not say why")
    scene.mounted.start_again()
    if broken:
        return broken, ran, how
    return oracle.judge(scene, human_may_be_called=True), ran, how


def make_read_only(mounted):
    """As an operator does it; the way of a file system that has found an error, where files are open to write."""
    try:
        mounted.remount("ro")
        return "remounted"
    except subprocess.CalledProcessError:
        mounted.remount("abort")
        return "aborted"
