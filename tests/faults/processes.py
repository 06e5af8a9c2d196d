"""Processes that are started here are waited for here, and so is what they leave behind: an orphan comes to the worker
that started it all.

Lives here: starting, adopting and reaping, ending a process group. Nothing of healer.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import threading
import time

_adopting = False
_lock = threading.Lock()
# Process ids that a thread of this process waits for itself.
_ours = set()

# A stand-in that was just started when its parent was killed ends within milliseconds.
ORPHAN_SECONDS = 20


def adopt_orphans():
    """From now on the orphans of this process's descendants become its own children, for `reap`."""
    global _adopting
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")
    _adopting = True


@contextlib.contextmanager
def started(argv, **options):
    """A process in a session of its own, which is gone with its group when this ends."""
    with _lock:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        _ours.add(process.pid)
    try:
        yield process
    finally:
        if process.poll() is None:
            end_group(process)
        with _lock:
            _ours.discard(process.pid)


def run(argv):
    """Runs a small program that must succeed."""
    with started(argv) as process:
        if process.wait() != 0:
            raise subprocess.CalledProcessError(process.returncode, argv)


def end_group(process):
    """Kills a process and its group, and waits for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def reap():
    """Waits for every orphan that came here, and kills those that do not end."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while _adopting and (left := _orphans()):
        for pid in left:
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.002)


def _orphans():
    with _lock:
        found = []
        for task in pathlib.Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError):
                found += [int(pid) for pid in task.read_text().split()]
        return [pid for pid in found if pid not in _ours]
