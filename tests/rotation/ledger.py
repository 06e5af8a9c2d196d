"""What was written, what each pass recorded, and the law between the two.

Lives here: numbers, moments and the judgement. May not live here: how lines are written, how passes are run.

The law: every number is counted exactly once. It may be missing only when the bytes that held it were destroyed, no
undisturbed pass had a chance to read them, and a gap was reported by the first undisturbed pass after the destruction.
Nothing can tell of three losses: what is written between the copy and the truncation of `copytruncate`; what was written
and truncated again in a file that a pass has seen empty; and a file that came and went without a whole pass in between.
"""

import dataclasses


@dataclasses.dataclass
class Line:
    """One numbered line. Moments are of one monotonic clock."""

    written: float
    destroyed: float | None = None
    # Cut in two by a truncation: neither half is a line.
    torn: bool = False
    # Written after the copy and gone with the truncation.
    between: bool = False
    # When the file, or its content after a truncation, began.
    born: float = 0.0
    # When its file was empty: from its truncation to its first bytes.
    empty: tuple = (0.0, 0.0)


@dataclasses.dataclass
class Pass:
    start: float
    end: float
    # Ended by itself; a killed one may have recorded what it read, or not.
    completed: bool
    # Nothing was rotated while it ran.
    quiet: bool
    # Gaps that are on record.
    gaps: list
    output: str = ""


class Ledger:
    def __init__(self):
        self.lines = {}
        self.passes = []

    def judge(self, counts, lossless):
        """The laws that these counts (number -> how often) break, as texts; and how many lines are lost in gaps."""
        broken = [f"number {n} was never written but counted {counts[n]} times" for n in sorted(counts.keys() - self.lines)]
        twice = [n for n, times in counts.items() if times > 1]
        if twice:
            broken.append(f"counted more than once: {runs(twice)}")
        lost = [n for n in self.lines if n not in counts]
        for law in (self._was_there, self._is_reported):
            wrong = [n for n in lost if not law(self.lines[n])]
            if wrong:
                broken.append(f"{law.__doc__}: {runs(wrong)}")
        gaps = [gap for one in self.passes for gap in one.gaps]
        unread = [n for n in lost if not self.lines[n].torn]
        if lossless and unread:
            broken.append(f"lost, though nothing unread was destroyed: {runs(unread)}")
        if lossless and gaps:
            broken.append(f"a gap was reported, though nothing unread was destroyed: {gaps[0]}")
        return broken, len(lost)

    def _was_there(self, line):
        """lost, though a pass could have read it"""
        if line.torn:
            return True
        chances = (one for one in self.passes if one.completed and one.quiet and one.start > line.written)
        return line.destroyed is not None and not any(one.end < line.destroyed for one in chances)

    def _is_reported(self, line):
        """lost, and no gap was reported"""
        seen_empty = any(one.start <= line.empty[1] and line.empty[0] <= one.end for one in self.passes)
        if line.torn or line.destroyed is None or line.between or seen_empty:
            return True
        if not any(one.completed and line.born <= one.start and one.end < line.destroyed for one in self.passes):
            return True
        # A pass that was disturbed right before may have told of it already: it saw what was there before go.
        first = next((at for at, one in enumerate(self.passes) if one.end >= line.written), len(self.passes))
        if first > 0 and not self.passes[first - 1].quiet:
            first -= 1
        for one in self.passes[first:]:
            if one.gaps:
                return True
            if one.completed and one.quiet and one.start > line.destroyed:
                return False
        return True


def runs(numbers):
    """`17-20, 25` of many numbers, the first few runs."""
    found = []
    for n in sorted(numbers):
        if found and n == found[-1][1] + 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    shown = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in found[:8])
    return f"{shown}{', ...' if len(found) > 8 else ''} ({len(numbers)} numbers)"
