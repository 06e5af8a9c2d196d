"""Cut: a real file system is cut off from its disk at every call of every kind of change that touches it.

Lives here: where to cut. What must hold then is the oracle's, the file systems are `mounts`'s.

Targets and state are on a file system of their own (ext4; ext4 that leaves data behind names, `noauto_da_alloc` and
`commit=300`; XFS). The run is killed at the entry of a call, and at once the file system is shut down by its own ioctl
for that, so that nothing that is in memory comes to the disk any more. It is mounted again, which replays its log, and
the service is started as after a boot. At the end of a case the file system's checker must find nothing wrong.
"""

import kill
import mounts
import oracle
import tracing
from pool import Case, Outcome
from scene import KINDS

FILE_SYSTEMS = ("ext4", "ext4-lazy", "xfs")
# Of a process or of a service, not of a file.
OF_NO_FILE = set(
    "clone clone3 exit_group flock fork kill pidfd_open pidfd_send_signal poll ppoll sendto vfork wait4 waitid".split()
)
# One case takes so many points, on one file system that is made for it.
POINTS = 12


def missing():
    """Why this part cannot be tried here; None when it can."""
    return mounts.missing(("ext4-lazy", "xfs"))


def plan(run, options):
    """Tries it all; yields results."""
    cases = []
    # What a fix with a restart does before it is undone, one that is kept does in the same way.
    kinds = [kind for kind in options.kinds if options.every or options.kinds == [kind] or kind != "restart"]
    for result in run([Case(kind, kill.record, (kind,)) for kind in (kinds if options.all else kinds[:2])]):
        kind, points = result.case.name, [p for p in result.outcome.note if p.has_effect() and p.name not in OF_NO_FILE]
        for n, name in enumerate(FILE_SYSTEMS):
            chosen = options.sample(points, 3)
            if options.all and not options.every:
                # Every point on the strictest of the three, and every other one on each of the others.
                chosen = points if name == "ext4-lazy" else points[n % 2 :: 2]
            slices = [chosen[k : k + POINTS] for k in range(0, len(chosen), POINTS)]
            cases += [Case(f"{name}:{kind}:{part[0]}", cut, (name, kind, part)) for part in slices]
    yield from run(cases)


def one(name):
    """The case of this name: FILESYSTEM:KIND:NAME:K."""
    file_system, kind, *point = name.split(":")
    return Case(name, cut, (file_system, kind, [tracing.Point.parse(*point)]))


def cut(workshop, file_system, kind, points):
    """Cut at each of these calls, one after the other, on one file system."""
    workshop.discard()
    broken, tried = [], 0
    with mounts.Mounted(workshop.directory, file_system) as mounted:
        scene = mounts.Apart(workshop.directory / "scene", KINDS[kind], workshop.binary, mounted, ("srv", "state"))
        scene.build()
        scene.save()
        for point in points:
            scene.restore()
            laws, reached = _cut_at(scene, point)
            tried += reached
            if laws:
                broken.append("\n".join([f"{file_system}:{kind}:{point}", *laws]))
        if damage := mounted.damage():
            broken.append(f"the checker of the file system finds: {damage}")
        scene.remove()
    return Outcome(broken[:3], tried=tried)


def _cut_at(scene, point):
    """The laws that were broken, and whether the call was reached."""
    scene.arm()
    with scene.noise():
        ran = scene.run(scene.kind.command, tracing.killed_at(point))
    scene.mounted.cut_off()
    scene.mounted.start_again()
    scene.boot()
    # That one was not healer's.
    scene.restarts_before += 1
    return oracle.judge(scene), int(kill.was_killed(ran))
