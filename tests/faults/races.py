"""Races: many invocations at once; an editor that saves the target during fixes; a directory swapped for a link.

Lives here: the other side of each race, and what must not be lost by it.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time

import oracle
import processes
from pool import Case, Outcome
from scene import ERRORS, KINDS, PROGRAM_FILE, Scene, next_second
from watching import NAMES_CHANGED, Watch, exchange

BATCH = 50
# An editor's case has so many scenes at the same time, since a pass waits most of the time, and so many fixes in each.
SCENES = 12
FIXES = 10
SWAPS = 20

WAYS = ("rename", "truncate", "late")


def plan(run, options):
    """Tries it all; yields results."""
    count = options.count or (10_000 if options.all else 0)
    batches = max(count // BATCH, 4)
    chunks = max(-(-count // (SCENES * FIXES * len(WAYS))), 1)
    swaps = max(count // 20 // SWAPS, 2)
    cases = [Case(f"invocations:{n}", invocations, (n,), point="invocations") for n in range(batches)]
    cases += [Case(f"edits:{way}:{n}", edits, (way, n), point=way) for n in range(chunks) for way in WAYS]
    cases += [Case(f"swap:{n}", swap, (n,), point="swap") for n in range(swaps)]
    yield from run(cases)


def one(name):
    """The case of this name: invocations:N, edits:WAY:N or swap:N. A race is repeated, not replayed."""
    kind, *rest = name.split(":")
    function = {"invocations": invocations, "edits": edits, "swap": swap}[kind]
    return Case(name, function, (*rest[:-1], int(rest[-1])))


# Many invocations at once


def invocations(workshop, _number):
    """Of a batch that starts at once exactly one acts; the others are told so at once, or find nothing left to do."""
    scene = workshop.scene("edit")
    scene.configure(window="1s")
    scene.arm()
    with contextlib.ExitStack() as stack:
        invoked = []
        for _ in range(BATCH):
            said = stack.enter_context(tempfile.TemporaryFile())
            streams = {"stdout": subprocess.DEVNULL, "stderr": said}
            process = processes.started(scene.argv(("heal",)), env=scene.environment(), cwd="/", **streams)
            invoked.append((stack.enter_context(process), said))
        codes = collections.Counter(process.wait() for process, _ in invoked)
        charges = sum(line.get("kind") == "charge" for line in scene.lines("attempts.jsonl"))
        broken = [] if charges == 1 else [f"{charges} of {BATCH} invocations acted"]
        if not set(codes) <= {0, 10, 11}:
            broken.append(f"exit codes {dict(codes)}")
        for process, said in invoked:
            said.seek(0)
            text = said.read().decode(errors="replace")
            if process.returncode == 11 and "nothing was done" not in text:
                broken.append(f"exit code 11 without a word on why: {text!r}")
    note = collections.Counter({"invocations": BATCH, "refused (exit 11)": codes[11]})
    return Outcome(broken + oracle.judge(scene), note, tried=BATCH)


# An editor that saves the target


class Editor:
    """Saves the program again and again, each time with a new number at its begin and at its end."""

    def __init__(self, path, way, seed):
        self.path, self.way = path, way
        self.random = random.Random(seed)
        self.number = 0

    def content(self):
        stamp = b"%06d" % self.number
        return b"# edit " + stamp + b"\r\n" + PROGRAM_FILE.old + b"\r\n# end of edit " + stamp

    def found(self):
        """The number of the save that the file holds; None when it is not the whole of one."""
        return number_in(self.path.read_bytes())

    def save_quietly(self):
        """Saves while nobody else is at work."""
        self.number += 1
        self.path.write_bytes(self.content())

    def save(self):
        getattr(self, "save_by_" + self.way)()

    def save_by_rename(self):
        self.number += 1
        beside = self.path.with_name("editor~")
        beside.write_bytes(self.content())
        shutil.copymode(self.path, beside)
        os.rename(beside, self.path)

    def save_by_truncate(self):
        self.number += 1
        text = self.content()
        cut = len(text) - 10
        with open(self.path, "wb", buffering=0) as file:
            file.write(text[:cut])
            self.linger(0.002)
            file.write(text[cut:])

    def save_by_late(self):
        with open(self.path, "r+b", buffering=0) as file:
            self.linger(0.02)
            self.number += 1
            file.truncate()
            file.write(self.content())

    def linger(self, longest):
        """Often not at all."""
        if self.random.random() < 0.7:
            time.sleep(self.random.random() * longest)

    def work(self, stop, watch):
        """Saves when a temporary file appears, changes places or goes beside the target, and now and then at random."""
        while not stop.is_set():
            names = watch.wait(0.005 + 0.1 * self.random.random())
            if names and not any("healer" in name for name in names):
                continue
            if self.random.random() < (0.4 if names else 0.1):
                self.linger(0.004)
                for _ in range(self.random.choice((1, 1, 2, 4))):
                    self.save()


NUMBERED = re.compile(rb"# edit (\d{6})\r\n.*\r\n# end of edit \1", re.DOTALL)


def number_in(text):
    """The number of the save that this is; None when it is not the whole of one."""
    match = NUMBERED.fullmatch(text)
    return int(match.group(1)) if match else None


def edits(workshop, way, number):
    """An editor saves during fixes: after each pass the last save is in the file, or kept and told of."""
    with concurrent.futures.ThreadPoolExecutor(SCENES) as threads:
        runs = [threads.submit(_edits, workshop, way, number, n) for n in range(SCENES)]
        outcomes = [run.result() for run in runs]
    broken = list(itertools.chain.from_iterable(outcome.broken for outcome in outcomes))
    note = sum((outcome.note for outcome in outcomes), collections.Counter())
    if not note["edited in between"]:
        broken.append("the editor never met a fix: nothing was tried")
    return Outcome(broken, note, tried=note["fixes"])


def _edits(workshop, way, number, n):
    scene = Scene(workshop.directory / f"edits{n}", KINDS["edit"], workshop.binary)
    try:
        scene.build()
        scene.configure(cooldown="0s")
        return _edits_in(scene, Editor(scene.root / PROGRAM_FILE.real, way, f"{way}{number}.{n}"))
    finally:
        scene.remove()


def _edits_in(scene, editor):
    broken, note = [], collections.Counter()
    for _ in range(FIXES):
        # Errors of the second in which a fix ended count as before it.
        next_second()
        editor.linger(0.5)
        editor.save_quietly()
        scene.log_errors(ERRORS)
        quiet = editor.number
        stop = threading.Event()
        with Watch(editor.path.parent, events=NAMES_CHANGED) as watch:
            thread = threading.Thread(target=editor.work, args=(stop, watch))
            thread.start()
            ran = scene.run(("heal", "--json"))
            stop.set()
            thread.join()
        note["fixes"] += 1
        note["edited in between"] += editor.number > quiet
        note[f"exit {ran.code}"] += 1
        broken += oracle.no_panic(ran)
        if editor.found() != editor.number:
            kept = _is_kept(scene, editor.number) and ran.code == 13
            note["kept beside"] += kept
            if not kept:
                note["lost"] += 1
                broken.append(f"edit {editor.number} was saved, but the file holds {editor.found()}\n{ran.shown()}")
        broken += _end_pass(scene, editor)
    return Outcome(broken, note)


def _is_kept(scene, number):
    """Whether an edit is whole in some file below the root."""
    for directory, _, names in os.walk(scene.root):
        for name in names:
            with contextlib.suppress(OSError):
                if number_in(open(os.path.join(directory, name), "rb").read()) == number:
                    return True
    return False


def _end_pass(scene, editor):
    """What a conflict or an interruption left is ended, so that the next fix is not held."""
    broken = []
    if scene.is_open():
        ran = scene.run(("heal", "--json"))
        if scene.is_open():
            broken.append(f"the journal is still open after the next pass\n{ran.shown()}")
    held = [line["target"] for line in scene.lines("attempts.jsonl") if line.get("kind") == "hold"]
    if held:
        scene.run(("reset", held[-1]))
    left = [p.name for p in editor.path.parent.iterdir() if "healer" in p.name]
    if left:
        broken.append(f"{left} is left beside the target")
    return broken


# A directory that is swapped for a link


def swap(workshop, number):
    """The target's directory is swapped for a link that leads out of the allowed tree, again and again: nothing out
    there is ever touched."""
    broken, note = [], collections.Counter()
    for n in range(SWAPS):
        scene = workshop.scene("edit")
        outside = scene.root / "outside"
        outside.mkdir()
        shutil.copy2(scene.root / PROGRAM_FILE.real, outside)
        os.symlink("../outside", scene.root / "srv/way-out")
        broken += _swapped(scene, outside, random.Random(f"{number}.{n}"), note)
        os.unlink(scene.root / "srv/way-out")
        shutil.rmtree(outside)
        broken += oracle.judge(scene, human_may_be_called=True)
        if broken:
            break
    if not note["swaps"]:
        broken.append("nothing was swapped: nothing was tried")
    return Outcome(broken, note, tried=SWAPS)


def _swapped(scene, outside, chance, note):
    before = {path.name: (path.read_bytes(), path.stat().st_ino) for path in outside.iterdir()}
    names = (scene.root / "srv/app", scene.root / "srv/way-out")
    stop, swapped = threading.Event(), [False]

    def work():
        while not stop.is_set():
            exchange(*names)
            swapped[0] = not swapped[0]
            note["swaps"] += 1
            time.sleep(chance.random() * 0.004)

    scene.arm()
    with Watch(outside) as watch:
        thread = threading.Thread(target=work)
        thread.start()
        ran = scene.run(("heal", "--json"))
        stop.set()
        thread.join()
        if swapped[0]:
            exchange(*names)
        changed = watch.wait(0)
    note["passes"] += 1
    note[f"exit {ran.code}"] += 1
    after = {path.name: (path.read_bytes(), path.stat().st_ino) for path in outside.iterdir()}
    broken = oracle.no_panic(ran)
    if changed or after != before:
        broken.append(f"outside the allowed tree {changed or 'a file'} was changed\n{ran.shown()}")
    return broken
