"""Errors: every file system call of every kind of change fails, once and from then on; and nobody reads the output.

Lives here: which call fails how, and what a run must say of it. What must hold then is the oracle's.

A call with an effect outside the process gives two of the errors that it can give, each once and from then on; which
two moves on from call to call. Of calls that only look, those of one place of the program are taken together (a place
is known by its arguments): one error each, until every error had its turn. `--every` tries the whole product.
"""

import collections
import contextlib
import os
import re
import subprocess

import kill
import oracle
import tracing
from pool import Case, Outcome

PATHS = "EIO EACCES ENOMEM"
CHANGES = "ENOSPC EIO EROFS EDQUOT EACCES ENOMEM"
DATA = "ENOSPC EIO EROFS EDQUOT EINTR ENOMEM"
DESCRIPTORS = "EMFILE ENOMEM"

# The errors that make sense of each call.
ERRORS = {
    **dict.fromkeys(("open", "openat", "openat2"), "EIO EACCES ENOMEM EMFILE EINTR"),
    **dict.fromkeys(("access", "faccessat", "faccessat2", "newfstatat", "readlink", "readlinkat", "statx"), PATHS),
    **dict.fromkeys(("stat", "lstat", "fstat", "statfs", "fstatfs", "getdents64", "lseek"), "EIO ENOMEM"),
    **dict.fromkeys(("read", "pread64", "readv", "preadv"), "EIO EINTR ENOMEM"),
    **dict.fromkeys(("write", "pwrite64", "writev", "fsync", "fdatasync", "syncfs", "ftruncate", "fallocate"), DATA),
    **dict.fromkeys(("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2"), CHANGES),
    **dict.fromkeys(("link", "linkat", "symlink", "symlinkat", "fchown", "fchownat", "fchmod", "fchmodat"), CHANGES),
    **dict.fromkeys(("fsetxattr", "fremovexattr", "fgetxattr", "flistxattr", "utimensat"), CHANGES),
    "flock": "EIO EINTR ENOMEM",
    "close": "EIO ENOSPC EDQUOT EINTR",
    **dict.fromkeys(("socket", "socketpair", "pipe2", "pidfd_open"), DESCRIPTORS),
    **dict.fromkeys(("clone", "clone3", "fork", "vfork"), "EAGAIN ENOMEM"),
}
OPENING_TO_WRITE = "EIO EACCES ENOMEM EMFILE EINTR ENOSPC EROFS EDQUOT"

# Streams that cannot be written: closed, and a full device.
STREAMS = ("stdout-closed", "stderr-closed", "both-closed", "stdout-full", "stderr-full", "both-full")


def plan(run, options):
    """Tries it all; yields results."""
    cases, met = [], collections.Counter()
    # What a fix with a restart does before it is undone, one that is kept does in the same way.
    kinds = [kind for kind in options.kinds if options.every or options.kinds == [kind] or kind != "restart"]
    for result in run([Case(kind, kill.record, (kind,)) for kind in kinds]):
        kind = result.case.name
        cases += options.sample(list(_of_calls(kind, result.outcome.note, options.every, met)), 16)
        cases += [Case(f"{kind}:{how}", unwritable, (kind, how)) for how in options.sample(STREAMS, 2)]
    yield from run(cases)


def one(name):
    """The case of this name: KIND:NAME:K:ERROR, with a + for `from then on`, or KIND:STREAM."""
    kind, *rest = name.split(":")
    if len(rest) == 1:
        return Case(name, unwritable, (kind, rest[0]))
    point = tracing.Point.parse(*rest[:2])
    return Case(name, fail, (kind, point, rest[2].rstrip("+"), rest[2].endswith("+")))


def _of_calls(kind, points, every, met):
    """The cases of one kind; `met` counts the calls of each place, over all kinds."""
    directories = {path_of(point) for point in points if point.name == "getdents64"}
    for point in points:
        errors = possible(point)
        # No file system fails to close a directory, and Rust's library takes it for a defect of the program.
        if point.name == "close" and path_of(point) in directories:
            continue
        place = site(point)
        if every:
            chosen = [(error, onwards) for error in errors for onwards in (False, True)]
        else:
            chosen = _in_turn(errors, met[place], point.has_effect())
        met[place] += 1
        for error, onwards in chosen:
            if onwards and point.name == "close":
                continue
            name = f"{kind}:{point}:{error}{'+' if onwards else ''}"
            yield Case(name, fail, (kind, point, error, onwards), point=(kind, point))


def _in_turn(errors, turn, has_effect):
    """Two errors, each once and from then on, where the call has an effect; else one once, and at the first call of a
    place another one from then on."""
    if not errors or (turn >= len(errors) and not has_effect):
        return []
    pick = [errors[(turn + n) % len(errors)] for n in range(2)]
    if has_effect:
        return [(error, onwards) for error in dict.fromkeys(pick) for onwards in (False, True)]
    return [(pick[0], False)] + ([(pick[1], True)] if turn == 0 else [])


def possible(point):
    if point.name.startswith("open") and re.search("O_CREAT|O_WRONLY|O_RDWR", point.text):
        return OPENING_TO_WRITE.split()
    return ERRORS.get(point.name, "").split()


def path_of(point):
    """The path of the descriptor that a call is given, as strace shows it."""
    match = re.match(r"\d+<([^>]*)>", point.text)
    return match.group(1) if match else None


def site(point):
    """Calls of one place of the program, as far as that shows from outside: same name, same arguments but for numbers,
    addresses and the time zones, which are read one by one."""
    arguments = point.text.rsplit(" = ", 1)[0]
    arguments = re.sub(r"/usr/share/zoneinfo[^\">]*", "ZONES", arguments)
    return point.name, re.sub(r"0x[0-9a-f]+|[0-9a-f]{12,}|\d+", "#", arguments)


def fail(workshop, kind, point, error, onwards):
    """One call fails, once or from then on."""
    scene = workshop.scene(kind)
    path = workshop.directory / "trace"
    scene.arm()
    with scene.noise():
        ran = scene.run(scene.kind.command, tracing.failing_at(path, point, error, onwards))
    # What cannot be written cannot be said either.
    broken = judged(scene, ran, speechless=point.name == "write")
    return Outcome(broken, tried=int(tracing.failed(path)))


def unwritable(workshop, kind, how):
    """Nobody reads what is printed: the work is done all the same."""
    scene = workshop.scene(kind)
    scene.arm()
    which, what = how.split("-")
    streams = {"stdout": (1,), "stderr": (2,), "both": (1, 2)}[which]
    with contextlib.ExitStack() as stack:
        if what == "full":
            full = stack.enter_context(open("/dev/full", "wb"))
            given = {name: full for name, number in (("stdout", 1), ("stderr", 2)) if number in streams}
            preexec = None
        else:
            given = {name: subprocess.DEVNULL for name, number in (("stdout", 1), ("stderr", 2)) if number in streams}

            def preexec():
                for number in streams:
                    os.close(number)

        stack.enter_context(scene.noise())
        ran = scene.run(scene.kind.command, preexec=preexec, **given)
    return Outcome(judged(scene, ran, speechless=True))


def judged(scene, ran, speechless):
    """The laws that the run with the fault broke, or what came after it."""
    broken = oracle.no_panic(ran) + code_fits(scene, ran)
    if not speechless and ran.code in (1, 13) and not says_why(ran):
        broken.append("it failed and did not say why")
    if broken:
        return [f"the run with the fault: {why}" for why in broken] + [ran.shown()]
    broken = oracle.judge(scene, human_may_be_called=True)
    return broken + ([f"the run with the fault:\n{ran.shown()}"] if broken else [])


def code_fits(scene, ran):
    """The exit code is that of what is on disk and in the knowledge base."""
    said = [r.get("result_status") or r.get("verdict") for r in oracle.new_lines(scene)]
    last = said[-1] if said else None
    broken = []
    if scene.is_open() and ran.code == 0:
        broken.append("exit code 0, but the fix is still open")
    if ran.code == 0 and last in ("rolled_back", "failed", "rollback_failed", "conflict"):
        broken.append(f"exit code 0 after {last}")
    if ran.code == 12 and last not in ("rolled_back", "failed") and not scene.is_open():
        broken.append(f"exit code 12, but the knowledge base says {last}")
    if ran.code == 13 and not oracle.outcomes(scene) & oracle.CALLED and not scene.is_open():
        broken.append(f"exit code 13, but the knowledge base says {last}")
    return broken


def says_why(ran):
    """A sentence on stderr, or as the message of the JSON answer."""
    document = oracle.document(ran) or {}
    message = document.get("message") or ""
    return len(ran.stderr.strip()) > 20 or len(message) > 20
