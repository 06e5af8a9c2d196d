"""What a power cut may leave of what was done to a file system.

Lives here: which operations of a record are durable when, and the states that a cut at one point may leave. Nothing of
healer.

What is assumed is what POSIX promises and journaling file systems keep, and no more:

- `fsync` of a file makes its content and attributes durable, `fdatasync` its content and size alone. Neither makes the
  file's name durable, though ext4 and XFS do that for a new file.
- `fsync` of a directory makes the names in it durable: not the content of those files, not the directory's own name.
- One call that changes names is one step: a rename or an exchange happened or did not, a name is never half there.
- What is not yet durable may be kept or lost in whatever order: names of one directory (ext4 and XFS keep their order),
  content against names (no `auto_da_alloc`), one write against another of the same file. Attributes of one file are
  lost from the last one on, they are one record.
- A write that is not durable is there, is not, is there up to its half, or is there as zeros.
- A read never gives something that is not what was written last, and whole blocks do not go bad.
"""

import collections
import itertools
import random

# So many states of one point are tried before the rest is sampled.
MOST_STATES = 512
# Names of one directory that are not durable: of more than this not every subset.
MOST_NAMES = 6


class Record:
    """What was done, and what a cut may leave of it. `lasting` are nodes that would have been synced, had the process
    not been killed."""

    def __init__(self, start, operations, lasting=()):
        self.start, self.operations = start, operations
        self.synced = {operation.node for operation in operations if operation.what == "sync"} | set(lasting)
        self.durable_from = [self._durable_from(n) for n in range(len(operations))]

    def _durable_from(self, n):
        operation = self.operations[n]
        for later in range(n + 1, len(self.operations)):
            sync = self.operations[later]
            if sync.what == "sync" and sync.node == operation.node and operation.what in sync.change:
                return later + 1
        return None

    def pending(self, point):
        """Operations before this point that need not be on the disk yet."""
        changes = ("names", "content", "attribute")
        of = lambda n: self.operations[n].what in changes
        return [n for n in range(point) if of(n) and (self.durable_from[n] or point + 1) > point]

    def events(self, point):
        """Numbers of the events before this point."""
        return [n for n in range(point) if self.operations[n].what == "event"]

    def live(self, point):
        """What a process sees at this point."""
        tree = self.start.copy()
        for operation in self.operations[:point]:
            if operation.what not in ("sync", "event"):
                operation.apply(tree)
        return tree

    def tree(self, point, chosen):
        """What is on the disk; `chosen` says of each operation that is pending how much of it came there."""
        tree, pending = self.start.copy(), set(self.pending(point))
        for n, operation in enumerate(self.operations[:point]):
            variant = chosen.get(n, "lost") if n in pending else "kept"
            if operation.what not in ("sync", "event") and variant != "lost":
                operation.apply(tree, variant)
        return tree

    def choices(self, point):
        """Every way in which a cut at this point may go, as {operation: how}; of more than `MOST_STATES` a sample
        that holds all that are in order, and those in which one group goes its own way."""
        pending = self.pending(point)
        groups, passing = self._groups(pending)
        prefixes = [{n: "kept" for n in pending[:k]} for k in range(len(pending) + 1)]
        kept, lost = [group[-1] for group in groups], [group[0] for group in groups]
        # Of what is not meant to survive: each fate with all the rest kept, and lost.
        ends = [merged([*rest, way]) for rest in (kept, lost) for way in passing]
        count = 1
        for group in groups:
            count *= len(group)
        if count <= MOST_STATES:
            return prefixes + ends + [merged([*one, passing[-1]]) for one in itertools.product(*groups)]
        alone = [
            merged([*rest[:n], way, *rest[n + 1 :]]) for rest in (kept, lost) for n, g in enumerate(groups) for way in g
        ]
        chance = random.Random(point)
        some = [merged([chance.choice(group) for group in groups]) for _ in range(MOST_STATES)]
        return prefixes + ends + alone + some

    def _groups(self, pending):
        """The pending operations in groups that are lost independently of each other; each group as the list of ways,
        the first of which is that all is lost and the last that all is kept. And the ways of all that is never synced,
        which has one fate together."""
        by_node, passing = collections.defaultdict(list), []
        for n in pending:
            operation = self.operations[n]
            if operation.what != "names" and not self.is_synced(operation.node):
                passing.append(n)
            else:
                by_node[operation.what, operation.node].append(n)
        ways = {"names": subsets, "content": torn, "attribute": prefixes_of}
        groups = [ways[what](numbers) for (what, _), numbers in by_node.items()]
        zeros, half = ({n: how for n in passing if self._tears(n)} for how in ("zeros", "half"))
        return groups, [{}, zeros, half, {n: "kept" for n in passing}]

    def _tears(self, n):
        return self.operations[n].what == "content" and self.operations[n].change[1] is not None

    def is_synced(self, node):
        return node in self.synced


def merged(ways):
    together = {}
    for way in ways:
        together |= way
    return together


def prefixes_of(numbers):
    return [{n: "kept" for n in numbers[:k]} for k in range(len(numbers) + 1)]


def subsets(numbers):
    """Every subset, in order of size; of many names only prefixes and those without a single one."""
    if len(numbers) > MOST_NAMES:
        without = [{n: "kept" for n in numbers if n != left} for left in numbers]
        return [*prefixes_of(numbers)[:-1], *without, {n: "kept" for n in numbers}]
    sets = itertools.chain.from_iterable(itertools.combinations(numbers, k) for k in range(len(numbers) + 1))
    return [{n: "kept" for n in chosen} for chosen in sets]


def torn(numbers):
    """Each prefix, its last write whole, half or zeros; and all without one of those in the middle."""
    ways = [{}]
    for k, n in enumerate(numbers):
        before = {m: "kept" for m in numbers[:k]}
        ways += [before | {n: "half"}, before | {n: "zeros"}]
        if k + 1 < len(numbers):
            ways += [before | {n: "kept"}, {m: "kept" for m in numbers if m != n}]
    return [*ways, {n: "kept" for n in numbers}]
