"""Runs programs and says what they cost: wall time, CPU time, peak memory. And the table of figures. Nothing of healer."""

import ctypes
import datetime
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

QUIET = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]


@dataclass
class Cost:
    """What one run took; seconds."""

    code: int
    wall: float
    cpu: float


def run(argv, env, expect=(0,)):
    """Runs a program to its end, output dropped (errors are let through); fails when its exit code is not expected."""
    start = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=QUIET)
    _, status, usage = os.wait4(pid, 0)
    cost = Cost(os.waitstatus_to_exitcode(status), time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
    check_code(argv, cost.code, expect)
    return cost


def peak_memory(argv, env, expect=(0,)):
    """The program's own peak resident memory in MB.

    A child's figure begins with the memory of the process it was forked from, and Python is larger than what is measured
    here. So a small shell forks it and ends; this process adopts it (it is a 'subreaper') and waits for it.
    """
    set_subreaper()
    shell = ["/bin/sh", "-c", 'exec 3>&1; "$@" >/dev/null 3>&- & echo $! >&3', "sh", *argv]
    pid = int(subprocess.run(shell, env=env, check=True, stdout=subprocess.PIPE).stdout)
    _, status, usage = os.wait4(pid, 0)
    check_code(argv, os.waitstatus_to_exitcode(status), expect)
    return usage.ru_maxrss / 1024


def set_subreaper():
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


def check_code(argv, code, expect):
    if code not in expect:
        sys.exit(f"{' '.join(argv)}\nended with {code}, expected {expect}: nothing was measured")


def interleaved(rounds, runs):
    """Runs each of `runs` (name: function giving a Cost) once a round; name: list of costs. One slow moment of the
    machine then meets all of them alike. A function may be left out of a round by giving None."""
    costs = {name: [] for name in runs}
    for number in range(rounds):
        for name, function in runs.items():
            cost = function(number)
            if cost is not None:
                costs[name].append(cost)
    return costs


def median_wall(costs):
    return statistics.median(cost.wall for cost in costs)


def median_cpu(costs):
    return statistics.median(cost.cpu for cost in costs)


@dataclass
class Table:
    """Figures against their targets, printed as they come."""

    missed: list = field(default_factory=list)
    widths = (66, 26, 16)

    def head(self):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        print(f"measured {now} on {os.cpu_count()} cores, kernel {os.uname().release}")
        self.line("what", "figure", "target", "")

    def at_most(self, what, value, limit, unit="", detail=""):
        """A figure and the most that it may be; detail: what it was made of."""
        met = value <= limit
        if not met:
            self.missed.append(what)
        figure = f"{value:.3g}{unit}" + (f" ({detail})" if detail else "")
        self.line(what, figure, f"<= {limit:.3g}{unit}", "met" if met else "MISSED")

    def at_least(self, what, value, limit, unit="", detail=""):
        """A figure and the least that it must be."""
        met = value >= limit
        if not met:
            self.missed.append(what)
        figure = f"{value:.3g}{unit}" + (f" ({detail})" if detail else "")
        self.line(what, figure, f">= {limit:.3g}{unit}", "met" if met else "MISSED")

    def plain(self, what, figure):
        self.line(what, figure, "", "")

    def line(self, *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, self.widths)) + "  " + cells[-1], flush=True)


def ms(seconds):
    return f"{seconds * 1000:.1f} ms"
