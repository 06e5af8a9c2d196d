"""Power: what a cut may leave at every point of every kind of change, from one recorded run of it.

Lives here: recording runs of healer, making a crash state on the disk, and the cut of a recovery after a kill. What a
cut may leave is `crashes`'s, what must hold then is the oracle's, a cut of a real file system is `cut`'s.

After a cut the machine starts again: so the service is started with what is on the disk. What is not tried: that the
boot id and the boot clock are other ones (time is tested elsewhere).
"""

import collections
import dataclasses
import pathlib
import random

import filesystem
import oracle
from crashes import Record
from filesystem import Recorder
from pool import Case, Outcome

TOPS = ("state", "srv")
EVENT = "unit/loaded"
RECOVERY = ("heal", "--json")
# So many failures of one case are told.
TOLD = 3


def plan(run, options):
    """Tries it all; yields results. Cases are whole runs: what is written down holds the path of the worker's root."""
    lengths = {}
    for result in run([Case(kind, cut, (kind, None, options.all or 8)) for kind in _slowest_first(options.kinds)]):
        lengths[result.case.name] = result.outcome.note["points"]
        yield result
    # All states of the run itself; of a recovery after each of its kills so many, spread evenly, where there are more.
    most = 24 if options.all else 4
    killed = [(kind, point) for kind in options.kinds if kind != "prune" for point in range(1, lengths[kind])]
    yield from run(
        [
            Case(f"{kind}~{point}", cut, (kind, point, options.every or most), point=("killed", kind, point))
            for kind, point in options.sample(killed, 6)
        ]
    )


def _slowest_first(kinds):
    slow = ["undone", "restart", "rollback"]
    return sorted(kinds, key=lambda kind: slow.index(kind) if kind in slow else len(slow))


def one(name):
    """The case of this name: KIND, or KIND~POINT for a cut in the recovery after a kill there; @STATE: only that."""
    name, _, state = name.partition("@")
    kind, _, point = name.partition("~")
    return Case(name, cut, (kind, int(point) if point else None, True, state))


@dataclasses.dataclass(frozen=True)
class State:
    point: int
    chosen: dict

    def __str__(self):
        """`12:3k5h`: at point 12, operation 3 was kept and half of operation 5."""
        return f"{self.point}:" + "".join(f"{n}{how[0]}" for n, how in sorted(self.chosen.items()))

    def told(self, record):
        lines = [f"the cut is before: {operation.text}" for operation in record.operations[self.point :][:1]]
        for n in record.pending(self.point):
            lines.append(f"{n}, not yet durable: {record.operations[n].text}: {self.chosen.get(n, 'lost')}")
        return "\n".join(lines)


def cut(workshop, kind, killed, wanted, only="", most=None):
    """Every crash state of a run of this kind, or of the recovery after a kill at a point of it. `wanted` is True for
    all states, else how many of them; after `most` bad ones the rest is not looked at."""
    scene = workshop.scene(kind)
    record = recorded(scene, workshop.directory / "trace")
    first = 0
    if killed is not None:
        if killed > len(record.operations):
            return Outcome(note=collections.Counter())
        record, first = recovered(scene, record, killed, workshop.directory / "trace"), killed
    log = scene.log.read_bytes()
    found = list(states(record, first))
    if only:
        found = [state for state in found if str(state) == only]
    elif wanted is not True:
        found = [found[(n + 1) * len(found) // wanted - 1] for n in range(min(wanted, len(found)))]
    if most:
        # A bad state is found sooner when the states are not in order.
        random.Random(0).shuffle(found)
    restarts, broken, tried = scene.restarts_before, [], 0
    for state in found:
        tried += 1
        make(scene, record, state, log, restarts)
        laws = oracle.judge(scene)
        if laws:
            name = f"{kind}{'' if killed is None else f'~{killed}'}@{state}"
            broken.append("\n".join([f"state {name}", state.told(record), *laws]))
            if len(broken) == most:
                break
    # The next case finds a scene that it can restore.
    workshop.discard()
    told = broken[:TOLD] + [f"and {len(broken) - TOLD} states more"] * (len(broken) > TOLD)
    note = collections.Counter({"points": len(record.operations) + 1 - first, "failures": len(broken)})
    return Outcome(told, note, tried)


def recorded(scene, path):
    """The command of this kind, undisturbed."""
    recorder = Recorder(scene.root, TOPS, (EVENT,))
    scene.arm()
    with scene.noise():
        ran = scene.run(scene.kind.command, filesystem.recording(path))
    if ran.code not in (0, 12):
        raise AssertionError(f"the run to be recorded failed\n{ran.shown()}")
    return read(scene, recorder, path)


def recovered(scene, record, killed, path):
    """The same run, killed at a point, and the pass after it."""
    clear(scene)
    record.live(killed).write(scene.root)
    set_service(scene, record, killed)
    recorder = Recorder(scene.root, TOPS, (EVENT,), goes_on=(record, killed))
    with scene.noise():
        scene.run(RECOVERY, filesystem.recording(path))
    return read(scene, recorder, path, record.synced)


def read(scene, recorder, path, lasting=()):
    """The record; the model must end with what is on the disk."""
    recorder.read(pathlib.Path(path).read_text())
    found, expected = (sorted(tree.flat()) for tree in (filesystem.Tree.read(scene.root, TOPS), recorder.tree))
    if found[1:] != expected[1:]:
        differing = [pair for pair in zip(expected[1:], found[1:]) if pair[0] != pair[1]][:1]
        raise AssertionError(f"the model does not end with what is on the disk: {differing}")
    return Record(recorder.start, recorder.operations, lasting)


def states(record, first):
    """Every state that differs. After a kill only those in which something of the killed run is not durable."""
    seen = set()
    for point in range(first, len(record.operations) + 1):
        if first and not any(n < first and is_meant_to_last(record, n) for n in record.pending(point)):
            continue
        events = len(record.events(point))
        for chosen in record.choices(point):
            digest = (events, record.tree(point, chosen).digest())
            if digest not in seen:
                seen.add(digest)
                yield State(point, chosen)


def is_meant_to_last(record, n):
    """Not so what is never synced, whatever its reason, and the names of such files."""
    operation = record.operations[n]
    if operation.what != "names":
        return record.is_synced(operation.node)
    return any(number is None or record.is_synced(number) for _, number in operation.change)


def clear(scene):
    for top in TOPS:
        filesystem.remove(scene.root / top)


def make(scene, record, state, log, restarts):
    """The machine as it is when it has started again after a cut."""
    clear(scene)
    record.tree(state.point, state.chosen).write(scene.root)
    with open(scene.log, "r+b") as file:
        file.truncate()
        file.write(log)
    happened = restarts + len(record.events(state.point))
    (scene.root / "unit/restarts").write_text("before the cut\n" * happened)
    scene.boot()
    # That one was not healer's.
    scene.restarts_before = restarts + 1


def set_service(scene, record, point):
    """The service as it runs at a point: started last by an event, else as the scene was made."""
    events = record.events(point)
    if not events:
        for name in ("loaded", "restarts"):
            (scene.root / "unit" / name).write_bytes((scene.saved / "unit" / name).read_bytes())
        return
    tree = record.live(events[-1])
    run = record.operations[events[-1]].change[1].split("\n")[0]
    read_then = [tree.nodes[tree.find(tuple(file.real.split("/")))].data for file in scene.kind.files]
    (scene.root / "unit/loaded").write_bytes(run.encode() + b"\n" + b"".join(read_then))
    (scene.root / "unit/restarts").write_text("before the kill\n" * (scene.restarts_before + len(events)))
