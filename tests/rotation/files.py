"""The part `files`: a log file under every way of rotating it, passes at random moments, many of them killed.

Lives here: the ways of rotating, and one case: writer, rotator and passes in a random order that a seed gives.
"""

import pathlib
import random
import shutil
import tempfile
import threading
import time

from ledger import Ledger, Pass
from logs import Log
from product import NO_DOCKER, Numbers, Product, finished, moment_to_kill

# Only so many lines are behind one state directory: the counts of every one of them are in its `cursors.json`.
LINES = 12_500
SHORT_LINES = 400


def rename(log):
    log.rename(still_open=log.rng.choice([0, 0, 3]))


def dated(log):
    name = f"app.log-20250102-{log.generation}"
    log.rename(to=name)
    return name


def dated_before_the_extension(log):
    log.rename(to=f"app-20250102-{log.generation}.log")


def compressed(log):
    rename(log)
    log.compress("app.log.1")


def compressed_later(log):
    log.compress("app.log.1")
    rename(log)


def dated_and_compressed(log):
    log.compress(dated(log))


def copied(log):
    log.copytruncate()


def copied_and_compressed(log):
    log.copytruncate()
    log.compress("app.log.1")


def copied_while_written(log):
    log.copytruncate(between=log.rng.choice([0, 2, 10]))


def removed(log):
    log.unlink()


def truncated(log):
    log.truncate()


def kept_too_short(log):
    log.rename()
    log.remove_oldest(keep=1)


# By name; and whether the rotation destroys what no pass may have read.
WAYS = {
    "rename": (rename, False),
    "dated": (dated, False),
    "dated-before-extension": (dated_before_the_extension, False),
    "compressed": (compressed, False),
    "compressed-later": (compressed_later, False),
    "dated-compressed": (dated_and_compressed, False),
    "copytruncate": (copied, False),
    "copytruncate-compressed": (copied_and_compressed, False),
    "copytruncate-racing": (copied_while_written, True),
    "unlink": (removed, True),
    "truncate": (truncated, True),
    "short-retention": (kept_too_short, True),
}
# The log alone, or its rotations and packed ones too.
PATTERNS = {"log": "app.log", "all": "app*"}


def cases(options):
    """Names of cases, `WAY:PATTERN:SEED`; each way with at least 100,000 lines with --all."""
    seeds = range(4) if options.all else range(1)
    return [f"{way}:{pattern}:{seed + options.seed}" for way in WAYS for pattern in PATTERNS for seed in seeds]


def try_case(binary, name, options):
    """The broken laws, and a note of what was tried."""
    way, pattern, seed = name.split(":")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="healer-rotation."))
    delayed = random.Random(f"delays of {name}") if options.delays else None
    run = Run(binary, directory, way, pattern, random.Random(name), options.all, delayed)
    broken, lost = run.whole()
    if broken and options.keep:
        print(f"   kept: {directory}", flush=True)
    else:
        shutil.rmtree(directory)
    ledger = run.ledger
    note = {
        "lines": run.log.number,
        "passes": len(ledger.passes),
        "killed": sum(not one.completed for one in ledger.passes),
        "rotations": run.rotations,
        "lost": lost,
        "gaps": sum(len(one.gaps) for one in ledger.passes),
    }
    return broken, note


class Run:
    def __init__(self, binary, directory, way, pattern, rng, whole, delayed):
        self.rotate, self.lossy = WAYS[way]
        self.rng, self.lines, self.burst = rng, LINES if whole else SHORT_LINES, 8 if whole else 6
        lines = self.lines
        self.ledger, self.numbers = Ledger(), Numbers(2 * lines)
        (directory / "logs").mkdir()
        self.log = Log(directory / "logs", rng, self.numbers, self.ledger)
        source = f'[logs.files.app]\npath = "{directory}/logs/{PATTERNS[pattern]}"\n'
        self.product = Product(binary, directory, "file:app", NO_DOCKER + source, delayed)
        self.rotations = 0
        self.usual = 0.05

    def whole(self):
        # At first sight of a log its rotated files are none of it.
        self.log.write(2)
        self.one_pass(meanwhile=False, kill=False)
        while self.log.number < self.lines:
            for _ in range(self.rng.choice([1, 1, 2, 4])):
                self.step()
            self.one_pass(meanwhile=self.rng.random() < 0.4, kill=self.rng.random() < 0.3)
            # Two passes may not see the same half line, which the second would take as it is.
            self.log.complete()
        for _ in range(3):
            self.one_pass(meanwhile=False, kill=False)
        counts = self.product.by_number(self.numbers)
        return self.ledger.judge(counts, lossless=not self.lossy)

    def step(self, may_rotate=True):
        """Some lines, and perhaps a rotation before or after them."""
        rotates = may_rotate and self.rng.random() < 0.3
        if rotates and self.rng.random() < 0.5:
            self.rotation()
            rotates = False
        if self.log.number < self.lines:
            self.log.write(int(2 ** self.rng.uniform(0, self.burst)))
        if rotates:
            self.rotation()

    def rotation(self):
        self.rotations += 1
        self.rotate(self.log)

    def one_pass(self, meanwhile, kill):
        rotated = self.log.rotated()
        start, rotations = time.monotonic(), self.rotations
        process = self.product.start()
        stop = threading.Event()
        other = threading.Thread(target=self.go_on, args=(stop,))
        if meanwhile:
            other.start()
        try:
            output, completed = finished(process, moment_to_kill(self.rng, self.usual) if kill else None)
        finally:
            stop.set()
            if meanwhile:
                other.join()
        end = time.monotonic()
        if completed and not meanwhile:
            self.usual = 0.8 * self.usual + 0.2 * (end - start)
        one = Pass(start, end, completed, self.rotations == rotations, self.product.new_gaps(), output)
        self.ledger.passes.append(one)
        if completed and not self.lossy:
            self.log.remove_counted(set(self.product.by_number(self.numbers)), rotated)

    def go_on(self, stop):
        """What happens while a pass runs, rotations too, though no storm of them."""
        pause, rotations = self.rng.uniform(0, self.usual / 2), self.rotations
        while not stop.wait(pause):
            self.step(may_rotate=self.rotations < rotations + 2)
