"""Kill: SIGKILL at every call of every kind of change, and again at every call of the recovery.

Lives here: where to kill. What must hold then is the oracle's.

At first every (name, k-th call) pair of the main thread is tried. At the entry of a call that only looks the world is
the same as at the entry of the next call with an effect outside the process, where the next passes are tried; so after
those only what must hold at once is looked at, and in the recovery they are left out (`--every` spares nothing).
"""

import collections
import signal

import oracle
import tracing
from pool import Case, Outcome
from scene import KINDS

# The recovery is the next pass, whatever the command was that was killed; prune has none.
RECOVERY = ("heal", "--json")
WITH_RECOVERY = [name for name in KINDS if name != "prune"]


def plan(run, options):
    """Tries it all; yields results. `run(cases)` tries cases."""
    recorded = {}
    kinds = [*options.kinds, *options.more_kinds]
    for result in run([Case(f"{kind}:undisturbed", record, (kind,)) for kind in kinds]):
        yield result
        recorded[result.case.arguments[0]] = result.outcome.note or []
    states = collections.defaultdict(list)
    for result in run(_first_kills(recorded, options)):
        yield result
        kind, point = result.case.arguments
        if kind in WITH_RECOVERY and result.outcome.note:
            states[kind, result.outcome.note].append(point)
    crashes = options.sample(_one_of_each(states, recorded), 4)
    for result in run([Case(f"{kind}:{point}", record_recovery, (kind, point)) for kind, point in crashes]):
        yield from run(_second_kills(*result.case.arguments, result.outcome.note, options))


def _first_kills(recorded, options):
    """Everywhere; in short form at a sample of the calls that have an effect."""
    cases = []
    for kind, points in recorded.items():
        for point in options.sample(points if options.all else _with_effect(points), 16):
            function = kill if options.every or point.has_effect() else kill_only
            cases.append(Case(f"{kind}:{point}", function, (kind, point)))
    return cases


def _one_of_each(states, recorded):
    """Of the crashes that leave the same to the eye the earliest."""
    order = {(kind, point): n for kind, points in recorded.items() for n, point in enumerate(points)}
    return [
        (kind, min(points, key=lambda point, kind=kind: order[kind, point]))
        for (kind, _), points in sorted(states.items())
    ]


def _second_kills(kind, crash, points, options):
    points = points if options.every else _with_effect(points)
    return [
        Case(f"{kind}:{crash}:{point}", kill_recovery, (kind, crash, point)) for point in options.sample(points, 8)
    ]


def one(name):
    """The case of this name: KIND:NAME:K, KIND:NAME:K:NAME:K for a kill in the recovery, or KIND:undisturbed."""
    kind, *rest = name.split(":")
    if rest == ["undisturbed"]:
        return Case(name, record, (kind,))
    points = [tracing.Point.parse(*rest[n : n + 2]) for n in range(0, len(rest), 2)]
    return Case(name, kill if len(points) == 1 else kill_recovery, (kind, *points))


def _with_effect(points):
    return [point for point in points if point.has_effect()]


def record(workshop, kind):
    """The command of this kind, undisturbed; the note is every call that it makes."""
    scene = workshop.scene(kind)
    path = workshop.directory / "trace"
    scene.arm()
    with scene.noise():
        ran = scene.run(scene.kind.command, tracing.recording(path))
    broken = oracle.ended_well(ran, {12} if scene.kind.hopeless else {0})
    broken = [f"undisturbed: {why}" for why in broken] + ([ran.shown()] if broken else [])
    return Outcome(broken or oracle.judge(scene), tracing.points(path, scene.root))


def record_recovery(workshop, kind, crash):
    """Every call of the pass after a crash."""
    scene = crashed(workshop, kind, crash)
    path = workshop.directory / "trace"
    with scene.noise():
        scene.run(RECOVERY, tracing.recording(path))
    return Outcome(note=tracing.points(path, scene.root))


def kill(workshop, kind, point):
    """Killed at one call. The note is the state that it leaves; None when the call was not reached."""
    scene = workshop.scene(kind)
    reached = was_killed(run_killed(scene, point))
    left = state(scene) if reached else None
    return Outcome(oracle.judge(scene), left, tried=int(reached))


def kill_only(workshop, kind, point):
    """Killed at a call that only looks."""
    scene = workshop.scene(kind)
    reached = was_killed(run_killed(scene, point))
    return Outcome(oracle.at_once(scene), tried=int(reached))


def kill_recovery(workshop, kind, crash, point):
    """Killed at one call, and the pass after it at another."""
    scene = crashed(workshop, kind, crash)
    with scene.noise():
        ran = scene.run(RECOVERY, tracing.killed_at(point))
    return Outcome(oracle.judge(scene), tried=int(was_killed(ran)))


def crashed(workshop, kind, crash):
    return workshop.scene_after(kind, str(crash), lambda scene: run_killed(scene, crash))


def run_killed(scene, point):
    scene.arm()
    with scene.noise():
        return scene.run(scene.kind.command, tracing.killed_at(point))


def was_killed(ran):
    """Whether the call was reached: two runs are not always the same call by call."""
    return ran.code == -signal.SIGKILL


def state(scene):
    """What tells one crash from another to the eye: how far it came."""
    phases = tuple(line.get("phase", "intent") for line in scene.journal())
    targets = tuple(oracle.state(scene, file, content) for file, content in oracle.contents(scene).items())
    beside = len(oracle.leftovers(scene))
    charged = sum(line.get("kind") == "charge" for line in scene.lines("attempts.jsonl")) - scene.charges_before
    written = len(oracle.new_lines(scene))
    restarted = scene.restarts() - scene.restarts_before
    backups = scene.state / "backups"
    saved = sum(path.name.startswith("backup_") for path in backups.iterdir()) if backups.is_dir() else 0
    return (saved, charged, phases, targets, beside > 0, restarted, written)
