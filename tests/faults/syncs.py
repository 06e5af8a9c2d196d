"""Syncs: a sync that fails once is fatal for the fix, and is never repeated into success.

Lives here: that law. What else must hold after a failed call is tried by `errors`.

What `fsync` could not write the kernel may have dropped, and a second `fsync` then says that all is well. So a run that
met a failure ends with another exit code than 0, and does not keep its fix. But for one: where the removal of the
journal is not synced, it may come back, and the record that is there says that nothing is left to do.
"""

import errors
import kill
import oracle
import tracing
from pool import Case, Outcome

SYNCS = ("fsync", "fdatasync", "syncfs")


def plan(run, options):
    """Tries it all; yields results."""
    cases = []
    kinds = [kind for kind in options.kinds if kind not in ("prune", "restart")]
    for result in run([Case(kind, kill.record, (kind,)) for kind in (kinds if options.all else kinds[:1])]):
        kind, points = result.case.name, [p for p in result.outcome.note if p.name in SYNCS]
        closing = [point for point in points if "/journal>" in point.text][-1:]
        cases += [
            Case(f"{kind}:{point}" + ":closing" * (point in closing), fail, (kind, point, point in closing))
            for point in options.sample(points, 8)
        ]
    yield from run(cases)


def one(name):
    """The case of this name: KIND:NAME:K, with :closing where that sync ends the transaction."""
    kind, call, k, *closing = name.split(":")
    return Case(name, fail, (kind, tracing.Point.parse(call, k), bool(closing)))


def fail(workshop, kind, point, closing):
    """One sync fails with an input or output error."""
    scene = workshop.scene(kind)
    path = workshop.directory / "trace"
    scene.arm()
    with scene.noise():
        ran = scene.run(scene.kind.command, tracing.failing_at(path, point, "EIO"))
    if not tracing.failed(path):
        return Outcome(tried=0)
    broken = [f"the run with the failed sync: {why}" for why in oracle.no_panic(ran)]
    if ran.code == 0 and not closing:
        broken.append("a sync failed and the run ended with exit code 0")
    if ran.code != 0 and not errors.says_why(ran):
        broken.append("a sync failed and the run did not say so")
    broken += oracle.judge(scene, human_may_be_called=True)
    return Outcome(broken + ([ran.shown()] if broken else []))
