"""A run that is stopped after one call, while something is done to it, and then goes on. Nothing of any one fault.

    with Stopped(scene.binary, action) as stopped:
        scene.run(command, tracing.stopped_after(point))
    stopped.done    # what the action gave; None when the call was not reached
"""

import contextlib
import os
import pathlib
import signal
import threading
import time


class Stopped:
    """Watches for a stopped process of this program below this one; a context manager."""

    def __init__(self, binary, action):
        self._binary, self._action, self.done = str(binary), action, None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _watch(self):
        while not self._end.wait(0.002):
            if pid := stopped_process(self._binary):
                try:
                    self.done = self._action()
                finally:
                    self._go_on(pid)
                return

    def _go_on(self, pid):
        """Again, should strace have delivered the stop only now."""
        with contextlib.suppress(OSError):
            while True:
                os.kill(pid, signal.SIGCONT)
                if self._end.wait(0.02):
                    return
                while not is_stopped(pid):
                    if self._end.wait(0.02):
                        return


def stopped_process(binary):
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/exe") == binary and is_stopped(pid):
                return pid
    return None


def is_stopped(pid):
    """By the signal, not held by strace for the moment of a call: it stays where it is."""
    for _ in range(5):
        status = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if status not in "tT":
            return False
        time.sleep(0.002)
    return True


def descendants(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += [int(child), *descendants(int(child))]
    return found
