"""strace: what the main thread of a run calls, and a fault at one of these calls.

Lives here: strace's options and its output. May not live here: which faults are tried.

Without -f strace follows the main thread alone: children and helper threads are not counted, not killed and not spoilt.
A `when=K` counts the calls of one name.
"""

import collections
import dataclasses
import re

# They change nothing outside the process and fail for no reason that a file system has.
OF_THE_PROCESS = set(
    "arch_prctl brk clock_gettime clock_nanosleep execve exit fcntl futex getcwd getegid geteuid getgid getpid"
    " getrandom gettid getuid ioctl madvise mmap mprotect mremap munmap prctl prlimit64 restart_syscall rseq"
    " rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield set_robust_list set_tid_address"
    " sigaltstack sysinfo uname".split()
)

# Killed at the entry of any other call, the world is what it is at the entry of the next one of these.
WITH_EFFECT = set(
    "clone clone3 exit_group fallocate fchmod fchmodat fchown fchownat fdatasync flock fork fremovexattr fsetxattr"
    " fsync ftruncate kill link linkat mkdir mkdirat pidfd_open pidfd_send_signal poll ppoll pwrite64 pwritev"
    " rename renameat renameat2 rmdir sendto setxattr symlink symlinkat sync_file_range syncfs truncate unlink unlinkat"
    " utimensat vfork wait4 waitid write writev".split()
)

CALL = re.compile(r"(\w+)\((.*)")


@dataclasses.dataclass(frozen=True)
class Point:
    """The k-th call of this name."""

    name: str
    k: int
    # The arguments and the result as strace shows them.
    text: str = dataclasses.field(default="", compare=False)

    def __str__(self):
        return f"{self.name}:{self.k}"

    @staticmethod
    def parse(name, k):
        return Point(name, int(k))

    def has_effect(self):
        opens = self.name in ("open", "openat", "openat2", "creat")
        return self.name in WITH_EFFECT or (opens and re.search(r"O_CREAT|O_TRUNC", self.text) is not None)


def recording(path):
    """Wrapper: writes down every call of the main thread, descriptors with their paths."""
    return ["strace", "-qq", "-y", "-s", "96", "-o", path]


def points(path, root):
    """Every call since the program first named something of the scene. Before that it has seen nothing of it: dying or
    failing there is never having been started."""
    counts, found, begun = collections.Counter(), [], False
    for line in path.read_text(errors="replace").splitlines():
        match = CALL.match(line)
        if not match:
            continue
        name, text = match.groups()
        counts[name] += 1
        begun = begun or (name != "execve" and str(root) in text)
        if begun and name not in OF_THE_PROCESS:
            found.append(Point(name, counts[name], text))
    return found


def killed_at(point):
    """Wrapper: killed when it enters this call; the call is not made."""
    return _inject("/dev/null", point.name, f"signal=KILL:when={point.k}")


def stopped_after(point):
    """Wrapper: stopped when this call was made, until somebody sends SIGCONT."""
    return _inject("/dev/null", point.name, f"signal=STOP:when={point.k}")


def failing_at(path, point, error, onwards=False):
    """Wrapper: this call fails with `error`, and with `onwards` every later call of the same name as well. An
    interruption is repeated twice only: whoever tries again until it succeeds does right. `path` is for `failed`."""
    onwards = "" if not onwards else f"..{point.k + 2}" if error == "EINTR" else "+"
    return _inject(path, point.name, f"error={error}:when={point.k}{onwards}")


def failed(path):
    """Whether any call was made to fail."""
    return "(INJECTED)" in path.read_text(errors="replace")


def _inject(path, name, what):
    return ["strace", "-qq", "-o", path, "-e", f"trace={name}", "-e", f"inject={name}:{what}"]
