"""Kill: SIGKILL at every call of every kind of change, and again at every call of the recovery.

Lives here: where to kill. What must hold then is the oracle's.

At first every (name, k-th call) pair of the main thread is tried. At the entry of a call that only looks the world is
the same as at the entry of the next call with an effect outside the process, where the next passes are tried; so after
those only what must hold at once is looked at, and in the recovery they are left out (`--every` spares nothing).
"""

import oracle
import tracing
from pool import Case, Outcome
from scene import KINDS

# The recovery is the next pass, whatever the command was that was killed; prune has none.
RECOVERY = ("heal", "--json")
WITH_RECOVERY = [name for name in KINDS if name != "prune"]


def plan(run, options):
    """Tries it all; yields results. `run(cases)` tries cases."""
    recorded = {kind: outcome.note for kind, outcome in _recorded(run, options.kinds)}
    firsts = [
        Case(f"{kind}:{point}", kill if options.every or point.has_effect() else kill_only, (kind, point))
        for kind, points in recorded.items()
        for point in options.sample(points, 18)
    ]
    states = {}
    for result in run(firsts):
        yield result
        kind, point = result.case.arguments
        if kind in WITH_RECOVERY and result.outcome.note:
            states.setdefault((kind, result.outcome.note), []).append(point)
    # One crash of each state that differs to the eye, the earliest.
    order = {(kind, str(point)): n for kind, points in recorded.items() for n, point in enumerate(points)}
    crashes = [
        (kind, min(points, key=lambda point: order[kind, str(point)])) for (kind, _), points in sorted(states.items())
    ]
    crashes = options.sample(crashes, 4)
    records = [Case(f"{kind}:{point}", record_recovery, (kind, point)) for kind, point in crashes]
    for result in run(records):
        kind, crash = result.case.arguments
        points = [p for p in result.outcome.note if options.every or p.has_effect()]
        cases = [
            Case(f"{kind}:{crash}:{point}", kill_recovery, (kind, crash, point)) for point in options.sample(points, 8)
        ]
        yield from run(cases)


def one(name):
    """The case of this name: KIND:NAME:K, or KIND:NAME:K:NAME:K for a kill in the recovery."""
    kind, *rest = name.split(":")
    points = [tracing.Point.parse(*rest[n : n + 2]) for n in range(0, len(rest), 2)]
    return Case(name, kill if len(points) == 1 else kill_recovery, (kind, *points))


def _recorded(run, kinds):
    for result in run([Case(kind, record, (kind,)) for kind in kinds]):
        if result.outcome.broken:
            raise SystemExit("\n".join(result.outcome.broken))
        yield result.case.name, result.outcome


def record(workshop, kind):
    """Every call of the command of this kind, undisturbed."""
    scene = workshop.scene(kind)
    path = workshop.directory / "trace"
    scene.arm()
    with scene.noise():
        ran = scene.run(scene.kind.command, tracing.recording(path))
    wanted = {12} if scene.kind.hopeless else {0}
    broken = oracle.ended_well(ran, wanted)
    return Outcome(broken + ([ran.shown()] if broken else []), tracing.points(path, scene.root))


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
    ran = run_killed(scene, point)
    reached = ran.code == -9
    left = state(scene) if reached else None
    return Outcome(oracle.judge(scene), left)


def kill_only(workshop, kind, point):
    """Killed at a call that only looks."""
    scene = workshop.scene(kind)
    run_killed(scene, point)
    return Outcome(oracle.at_once(scene))


def kill_recovery(workshop, kind, crash, point):
    """Killed at one call, and the pass after it at another."""
    scene = crashed(workshop, kind, crash)
    with scene.noise():
        scene.run(RECOVERY, tracing.killed_at(point))
    return Outcome(oracle.judge(scene))


def crashed(workshop, kind, crash):
    return workshop.scene_after(kind, str(crash), lambda scene: run_killed(scene, crash))


def run_killed(scene, point):
    scene.arm()
    with scene.noise():
        return scene.run(scene.kind.command, tracing.killed_at(point))


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
