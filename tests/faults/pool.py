"""Cases are tried by worker processes, each with a root of its own whose path stays the same (what healer writes
down holds absolute paths). Nothing of healer, and nothing of any one fault.

A part gives `Case`s; each names a function of its module that is called in a worker with the worker's `Workshop` and
the case's arguments, and returns an `Outcome`.
"""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import pathlib
import shutil
import signal
import sys
import time
import traceback
from typing import Any, Callable

import processes
from scene import KINDS, Scene


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to try; `name` is what `--only` takes."""

    name: str
    function: Callable
    arguments: tuple
    # The place that is tried; several cases may try one.
    point: Any = None


@dataclasses.dataclass
class Outcome:
    """The laws that were broken, and what the part wants to know of the case."""

    broken: list = dataclasses.field(default_factory=list)
    note: Any = None
    # What the table counts; a part may try several things in one case.
    tried: int = 1


@dataclasses.dataclass
class Result:
    case: Case
    outcome: Outcome
    seconds: float


class Workshop:
    """A worker's own: its directory, and the scene that it last used, kept because making one may take seconds."""

    def __init__(self, directory, binary):
        self.directory, self.binary = directory, binary
        self._scene, self._saved_as = None, None

    def scene(self, kind):
        """A scene of this kind as it is before its command."""
        if self._saved_as == (kind, None):
            self._scene.restore()
        else:
            self._build(kind)
        return self._scene

    def scene_after(self, kind, key, change):
        """A scene of this kind after `change(scene)`, which is made once for each `key`."""
        if self._saved_as == (kind, key):
            self._scene.restore()
        else:
            scene = self.scene(kind)
            change(scene)
            scene.save()
            self._saved_as = (kind, key)
        return self._scene

    def _build(self, kind):
        self.discard()
        self._scene = Scene(self.directory / "scene", KINDS[kind], self.binary)
        self._scene.build()
        self._scene.save()
        self._saved_as = (kind, None)

    def discard(self):
        if self._scene:
            self._scene.remove()
        self._scene, self._saved_as = None, None


_workshop = None


def _start_worker(base, binary, numbers):
    global _workshop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    processes.adopt_orphans()
    directory = pathlib.Path(base) / f"worker{numbers.get()}"
    directory.mkdir()
    _workshop = Workshop(directory, binary)


def _try(case):
    start = time.monotonic()
    try:
        outcome = case.function(_workshop, *case.arguments)
    except Exception:
        _workshop.discard()
        outcome = Outcome([f"the harness itself failed:\n{traceback.format_exc()}"])
    processes.reap()
    return Result(case, outcome, time.monotonic() - start)


@contextlib.contextmanager
def workers(base, binary, jobs):
    """Gives a function that tries cases, `jobs` at a time, and yields their results as they come."""
    context = multiprocessing.get_context("fork")
    numbers = context.SimpleQueue()
    for number in range(jobs):
        numbers.put(number)
    executor = concurrent.futures.ProcessPoolExecutor(jobs, context, _start_worker, (base, binary, numbers))

    def run(cases):
        futures = [executor.submit(_try, case) for case in cases]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()

    try:
        yield run
    finally:
        executor.shutdown(cancel_futures=True)
        shutil.rmtree(base, ignore_errors=True)
