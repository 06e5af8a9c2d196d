"""A log in a directory, its writer and its rotations, with a ledger of what was written and destroyed.

Lives here: bytes on disk, as programs and log rotators put them there. May not live here: what a pass should make of it.
"""

import gzip
import os
import threading
import time

from ledger import Line

TRACEBACK = 'Traceback (most recent call last):\n  File "/app/worker.py", line 5, in run\n    job()\nValueError: no\n'
# Rotated files that are always kept; an older one is removed when every number in it is counted.
KEPT = 5


class Log:
    """Everything happens under one lock, so that a thread may go on while a pass runs."""

    def __init__(self, directory, rng, numbers, ledger):
        self.directory, self.rng, self.numbers, self.ledger = directory, rng, numbers, ledger
        self.lock = threading.RLock()
        self.path = directory / "app.log"
        self.number = 0
        self.generation = 0
        # Bytes of the last record that are not written yet, and the records that are not whole on disk.
        self.half, self.begun = b"", []
        # The numbers in each file, by inode.
        self.contents = {}
        self.empty = (0.0, 0.0)
        self._open()

    def _open(self):
        self.fd = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        self.current = self.contents.setdefault(os.fstat(self.fd).st_ino, [])
        self.generation += 1
        self.born = time.monotonic()

    def write(self, count):
        """So many records, in one write; often the last one only half."""
        with self.lock:
            self.complete()
            text = b"".join(self._record() for _ in range(count))
            cut = self.rng.randrange(1, 60) if self.rng.random() < 0.4 else 0
            self.half = text[len(text) - cut :]
            os.write(self.fd, text[: len(text) - cut])
            self._note_written()

    def complete(self):
        """The rest of a record that was written half."""
        with self.lock:
            os.write(self.fd, self.half)
            self.half = b""
            self._note_written()

    def _record(self):
        self.number += 1
        self.begun.append(self.number)
        kind = self.rng.random()
        padding = "x" * (20_000 if kind > 0.998 else self.rng.randrange(60, 160))
        text = self.numbers.text(self.number, padding) + "\n"
        if kind < 0.05:
            text += TRACEBACK
        elif kind < 0.1:
            text = "INFO worker is well\n" * self.rng.randrange(4) + text
        return text.encode()

    def _note_written(self):
        whole = self.begun[: len(self.begun) - bool(self.half)]
        del self.begun[: len(whole)]
        now = time.monotonic()
        for n in whole:
            self.ledger.lines[n] = Line(written=now, born=self.born, empty=self.empty)
            self.current.append(n)

    def rename(self, to="app.log.1", still_open=0):
        """Rename and create; the writer notices after `still_open` more lines."""
        with self.lock:
            if to == "app.log.1":
                self._shift()
            self.path.rename(self.directory / to)
            if still_open:
                self.write(still_open)
            self.complete()
            os.close(self.fd)
            # Until the next one is made there is no log.
            time.sleep(self.rng.choice([0, 0, 0.06]))
            self._open()

    def copytruncate(self, between=0):
        """Copied to `.1`, then truncated; `between` so many lines are written that are in no copy."""
        with self.lock:
            if self.rng.random() < 0.8:
                self.complete()
            self._shift()
            copy = self.directory / "app.log.1"
            copied = list(self.current)
            in_pieces(copy, self.path.read_bytes())
            if between:
                self.write(between)
            torn = list(self.begun)
            if self.begun:
                # Half of it is in the copy or nowhere, half will be in the new log.
                self.ledger.lines[self.begun.pop()] = Line(written=time.monotonic(), torn=True)
            for n in self.current[len(copied) :]:
                self.ledger.lines[n].between = True
            # With what is torn: a copy that ends in half a line may be looked at for some time.
            self.contents[copy.stat().st_ino] = copied + torn
            self._empty(self.current[len(copied) :])

    def truncate(self):
        """Without a copy."""
        with self.lock:
            self.complete()
            self._empty(self.current)

    def _empty(self, numbers):
        """Truncates the log, with which these numbers are gone, and writes on."""
        self.born = start = time.monotonic()
        os.truncate(self.path, 0)
        self._destroy(numbers)
        self.current.clear()
        self.write(1)
        self.empty = (start, time.monotonic())
        for n in self.current:
            self.ledger.lines[n].empty = self.empty

    def unlink(self):
        """Removed and made anew, often on the same inode."""
        with self.lock:
            self.complete()
            os.close(self.fd)
            self._remove(self.path.stat().st_ino)
            self._open()

    def compress(self, name):
        """As gzip does: a new file grows beside the old one, gets its time, and the old one is removed."""
        with self.lock:
            path = self.directory / name
            if not path.exists():
                return
            stat = path.stat()
            packed = path.with_name(name + ".gz")
            in_pieces(packed, gzip.compress(path.read_bytes(), 1))
            os.utime(packed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            self.contents[packed.stat().st_ino] = self.contents[stat.st_ino]
            path.unlink()
            del self.contents[stat.st_ino]

    def rotated(self):
        """Inodes of rotated files, the oldest first."""
        with self.lock:
            others = (path.stat() for path in self.directory.iterdir() if path != self.path)
            return [stat.st_ino for stat in sorted(others, key=lambda stat: stat.st_mtime_ns)]

    def remove_oldest(self, keep):
        """Whether they were read or not."""
        with self.lock:
            for inode in self.rotated()[:-keep]:
                self._remove(inode)

    def remove_counted(self, counted, seen):
        """What a retention longer than the passes' interval removes: what a whole pass has seen rotated."""
        with self.lock:
            for inode in self.rotated()[:-KEPT]:
                if inode in seen and counted.issuperset(self.contents[inode]):
                    self._remove(inode)

    def _shift(self):
        """`.1` becomes `.2`, and so on."""
        found = [path.name.split(".") for path in self.directory.iterdir() if path.name.startswith("app.log.")]
        for app, log, number, *rest in sorted(found, key=lambda parts: -int(parts[2])):
            old, new = (".".join([app, log, n, *rest]) for n in (number, str(int(number) + 1)))
            (self.directory / old).rename(self.directory / new)

    def _remove(self, inode):
        next(path for path in self.directory.iterdir() if path.stat().st_ino == inode).unlink()
        self._destroy(self.contents.pop(inode))

    def _destroy(self, numbers):
        now = time.monotonic()
        for n in numbers:
            self.ledger.lines[n].destroyed = now


def in_pieces(path, data):
    """A file that grows, as those of cp and gzip do."""
    with open(path, "wb", buffering=0) as out:
        for at in range(0, len(data), 4096):
            out.write(data[at : at + 4096])
