"""The part `docker`: the json-file driver of a real engine, rotating by itself, a container that writes, passes killed.

Lives here: containers and what is known of their logs from outside. The engine rotates when it likes, so what it
destroyed is told from the files that it left.
"""

import contextlib
import json
import os
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import uuid

from ledger import runs
from product import Numbers, Product, finished, moment_to_kill

SIZE = 1_000_000
# Options of the driver. `bursts` are bytes written between two passes: at most as much as the engine keeps, or more. Where the
# name ends so, the engine is behind TCP, and its files are not looked for.
ASKED = "-asked"
WAYS = {
    "max-file-1": ({"max-size": "1m", "max-file": "1"}, 3_000_000),
    "max-file-3": ({"max-size": "1m", "max-file": "3"}, 900_000),
    "max-file-3-compressed": ({"max-size": "1m", "max-file": "3", "compress": "true"}, 900_000),
    "max-file-3-overrun": ({"max-size": "1m", "max-file": "3"}, 9_000_000),
    f"max-file-1{ASKED}": ({"max-size": "1m", "max-file": "1"}, 3_000_000),
    f"max-file-3{ASKED}": ({"max-size": "1m", "max-file": "3"}, 900_000),
}
LINES, SHORT_LINES = 100_000, 12_000
# An entry of the log file around a line of ours, in bytes.
ENTRY = 420
# A line of ours has more bytes than this.
LEAST = 220
DEADLINE = 60
# With --delays a log that is rotated is not there for so long (microseconds).
GONE_FOR_US = 60_000


def missing():
    return None if os.environ.get("HEALER_TEST_DOCKER") else "HEALER_TEST_DOCKER is not set (tests/run starts an engine)"


def cases(options):
    return [f"{way}:{options.seed}" for way in WAYS]


@contextlib.contextmanager
def held_up(options):
    """With --delays the engine is held up between renaming a log and making the next one: there is none for a while."""
    if not options.delays:
        yield
        return
    renames = "rename,renameat,renameat2"
    injected = f"inject={renames}:delay_exit={GONE_FOR_US}"
    command = ["strace", "-f", "-o", "/dev/null", "-p", str(engine_pid()), "-e", f"trace={renames}", "-e", injected]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        if "attached" not in (said := tracer.stderr.readline()):
            raise RuntimeError(f"strace cannot hold up the engine: {said}")
        # It tells of every thread.
        threading.Thread(target=tracer.stderr.read, daemon=True).start()
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def engine_pid():
    """Of the process behind the engine's socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["HEALER_TEST_DOCKER"].removeprefix("unix://"))
        size = struct.calcsize("3i")
        pid, _user, _group = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return pid


def try_case(binary, name, options):
    way, _seed = name.split(":")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="healer-rotation."))
    driver, burst = WAYS[way]
    lines = LINES if options.all else SHORT_LINES
    delayed = random.Random(f"delays of {name}") if options.delays else None
    address = relayed(os.environ["HEALER_TEST_DOCKER"]) if way.endswith(ASKED) else os.environ["HEALER_TEST_DOCKER"]
    run = Run(binary, directory, random.Random(name), driver, burst, lines, delayed, address)
    try:
        broken, note = run.whole(lossless=burst < SIZE)
    finally:
        run.container.remove()
    if not (broken and options.keep):
        shutil.rmtree(directory)
    return broken, note


def relayed(address):
    """The same engine behind TCP."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve():
        while True:
            client, _ = listener.accept()
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(address.removeprefix("unix://"))
            for pair in ((client, engine), (engine, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


class Container:
    """`cat` between our pipe and its log."""

    def __init__(self, driver):
        self.name = f"healer-rotation-{uuid.uuid4().hex[:8]}"
        options = [word for pair in driver.items() for word in ("--log-opt", "=".join(pair))]
        arguments = ["run", "--interactive", "--name", self.name, "--network", "none", "--log-driver", "json-file", *options]
        command = docker(*arguments, os.environ["HEALER_TEST_IMAGE"], "cat")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.path = pathlib.Path(self._inspected())

    def _inspected(self):
        command = docker("inspect", "--format", "{{if .State.Running}}{{.LogPath}}{{end}}", self.name)
        return until(lambda: subprocess.run(command, capture_output=True, text=True).stdout.strip(), "the container's start")

    def write(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def last_is(self, text):
        """Whether the log's newest entry holds this."""
        try:
            with open(self.path, "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 4 * ENTRY))
                return text.encode() in log.read()
        except FileNotFoundError:
            return False

    def remove(self):
        subprocess.run(docker("rm", "--force", self.name), stdout=subprocess.DEVNULL, check=False)
        self.process.stdin.close()
        self.process.wait()


def docker(*arguments):
    return ["docker", "--host", os.environ["HEALER_TEST_DOCKER"], *arguments]


def until(what, told):
    deadline = time.monotonic() + DEADLINE
    while not (found := what()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {DEADLINE} s for {told}")
        time.sleep(0.01)
    return found


class Run:
    def __init__(self, binary, directory, rng, driver, burst, lines, delayed, address):
        self.rng, self.lines, self.burst = rng, lines, burst
        # One file beside the newest one, also where `max-file` is 1.
        self.kept = SIZE * max(2, int(driver["max-file"]))
        self.numbers = Numbers(lines + 10)
        self.container = Container(driver)
        name = self.container.name
        sources = f'[checks.docker]\nsocket = "{address}"\ninclude = ["{name}"]\n[logs.docker]\n'
        self.product = Product(binary, directory, f"container:{name}", sources, delayed)
        self.number = 0
        # Of each pass: whether it ended by itself, the last number written and the last one counted when it had ended,
        # and whether it left a gap on record.
        self.passes = []
        self.usual = 0.2

    def whole(self, lossless):
        self.write(1)
        self.one_pass(kill=False)
        if not lossless:
            # However fast passes are, something is lost.
            self.write(min(int(1.2 * self.kept) // LEAST, self.lines * 9 // 10))
            self.settle()
            self.one_pass(kill=False)
        while self.number < self.lines:
            # Not more is written before a whole pass than the engine keeps, unless that is what is tried.
            kills = self.rng.choice([0, 0, 1, 2])
            budget = int(self.burst * self.rng.uniform(0.05, 1)) // ENTRY
            for _ in range(kills):
                self.write(budget // (kills + 1))
                self.one_pass(kill=True, meanwhile=0)
            self.write(budget // (kills + 1) // 2)
            self.one_pass(kill=False, meanwhile=budget // (kills + 1) // 2)
        self.settle()
        self.one_pass(kill=False)
        self.one_pass(kill=False)
        return self.judged(lossless)

    def settle(self):
        """Waits until the engine has written all there is."""
        last = self.numbers.text(self.number).split(" ERROR ")[1].split(" failed")[0]
        until(lambda: self.container.last_is(last), "the last line in the log")

    def write(self, count):
        count = min(count, self.lines - self.number)
        text = "".join(self.numbers.text(self.number + n + 1, "x" * self.rng.randrange(150, 250)) + "\n" for n in range(count))
        self.container.write(text.encode())
        self.number += count

    def one_pass(self, kill, meanwhile=0):
        start = time.monotonic()
        process = self.product.start()
        if meanwhile:
            self.write(meanwhile)
        output, completed = finished(process, moment_to_kill(self.rng, self.usual) if kill else None)
        if completed:
            self.usual = 0.8 * self.usual + 0.2 * (time.monotonic() - start)
        counts = self.product.by_number(self.numbers)
        self.passes.append((completed, self.number, max(counts, default=0), bool(self.product.new_gaps())))

    def judged(self, lossless):
        counts = self.product.by_number(self.numbers)
        twice = [n for n, times in counts.items() if times > 1]
        lost = [n for n in range(1, self.number + 1) if n not in counts]
        gaps = sum(gap for *_, gap in self.passes)
        broken = [f"counted more than once: {runs(twice)}"] if twice else []
        unknown = [n for n in counts if not 1 <= n <= self.number]
        if unknown:
            broken.append(f"never written: {runs(unknown)}")
        unreported = [n for n in lost if not self.is_reported(n)]
        if unreported:
            broken.append(f"lost, and no gap was reported: {runs(unreported)}; {self.around(unreported[0])}")
        if lossless and lost:
            broken.append(f"lost, though the engine had kept it: {runs(lost)}")
        if lossless and gaps:
            broken.append("a gap was reported, though the engine had kept everything")
        if not lossless and not lost:
            broken.append("nothing was lost: more must be written between two passes for this to try anything")
        killed = sum(not completed for completed, *_ in self.passes)
        note = {"lines": self.number, "passes": len(self.passes), "killed": killed, "lost": len(lost), "gaps": gaps}
        return broken, note

    def around(self, number):
        """The passes that may have read it, for whoever looks into a failure."""
        first = next((at for at, one in enumerate(self.passes) if one[1] >= number), 0)
        told = [
            f"{'whole' if completed else 'killed'}, written {written}, counted {counted}{', a gap' if gap else ''}"
            for completed, written, counted, gap in self.passes[max(0, first - 1) : first + 4]
        ]
        return f"passes: {'; '.join(told)}"

    def is_reported(self, number):
        """A gap is on record from the first pass that ended after the number was written to the first that read on
        beyond it."""
        from_there = [one for one in self.passes if one[1] >= number]
        until_read = next((at for at, one in enumerate(from_there) if one[2] > number), len(from_there))
        return any(gap for *_, gap in from_there[: until_read + 1])
