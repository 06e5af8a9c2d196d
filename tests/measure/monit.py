"""CPU seconds of a Monit cycle with the checks of the measured pass."""

import contextlib
import glob
import os
import pathlib
import subprocess
import time
from urllib.parse import urlparse

# Monit starts programs in one cycle and looks at them in the next; a cycle must be longer than the slowest program.
CYCLE_SECONDS = 5

# Monit has no check of containers, and of PostgreSQL and Redis it sees only that they answer. Programs look at what a pass
# of healer looks at: state, health, restarts and out-of-memory kills of all containers, CPU and memory of all, connections
# against their maximum, memory against its maximum.
CONTAINERS = """#!/bin/sh
echo >>{marks}
docker --host {docker} inspect --format '{{{{.Name}}}} {{{{.State.Status}}}} {{{{.State.Health}}}} {{{{.State.OOMKilled}}}} {{{{.RestartCount}}}}' \\
    $(docker --host {docker} ps --all --quiet) >{dir}/containers.now || exit 2
docker --host {docker} stats --no-stream --format '{{{{.Name}}}} {{{{.CPUPerc}}}} {{{{.MemPerc}}}}' >{dir}/stats.now || exit 2
grep -q -v ' running ' {dir}/containers.now && exit 1
exit 0
"""

DATABASE = """#!/bin/sh
exec {psql} --no-psqlrc --quiet --tuples-only --no-align --output {dir}/database.now \\
    --command "select count(*), current_setting('max_connections') from pg_stat_activity" '{postgres}'
"""

REDIS = """#!/bin/sh
exec redis-cli -u {redis} info memory >{dir}/redis.now
"""

CONTROL = """set daemon {cycle}
set log {dir}/monit.log
set pidfile {dir}/monit.pid
set idfile {dir}/monit.id
set statefile {dir}/monit.state
check system host
    if cpu usage > 90% then alert
    if memory usage > 90% then alert
check filesystem root with path /
    if space usage > 95% then alert
check host api with address {url.hostname}
    if failed port {url.port} protocol http request "/" with timeout 10 seconds then alert
check program containers with path {dir}/containers
    if status != 0 then alert
check program database with path {dir}/database
    if status != 0 then alert
check program redis with path {dir}/redis
    if status != 0 then alert
"""

LOG = """check file log{number} with path {path}
    if content = "429|Traceback|ERROR|refused|timed out|out of memory" then alert
"""


def cpu_seconds(pid):
    """Of the process and of all its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def write_programs(where, directory):
    """The three programs, executable."""
    # Debian's `psql` is a Perl script that looks for the one of the newest cluster.
    psql = max(glob.glob("/usr/lib/postgresql/*/bin/psql"), default="psql")
    for name, text in (("containers", CONTAINERS), ("database", DATABASE), ("redis", REDIS)):
        script = directory / name
        script.write_text(text.format(marks=directory / "marks", dir=directory, psql=psql, **where))
        script.chmod(0o755)


def control_file(where, log_paths, directory):
    text = CONTROL.format(dir=directory, cycle=CYCLE_SECONDS, url=urlparse(where["url"]))
    return text + "".join(LOG.format(number=number, path=path) for number, path in enumerate(log_paths))


@contextlib.contextmanager
def cycles(where, log_paths, directory):
    """Monit with these checks; yields a function that waits for the middle of the pause after the next cycle and gives the
    CPU seconds of that cycle."""
    directory = pathlib.Path(directory)
    marks = directory / "marks"
    write_programs(where, directory)
    control = directory / "monitrc"
    control.write_text(control_file(where, log_paths, directory))
    control.chmod(0o600)
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    monit = subprocess.Popen(["monit", "-I", "-c", str(control)], **quiet)
    try:
        # The first two cycles start the program for the first time, and look at what it said for the first time.
        seen, before = 2, wait_for_pause(monit, marks, 2)

        def cycle():
            nonlocal seen, before
            seen, last = seen + 1, before
            before = wait_for_pause(monit, marks, seen)
            return before - last

        yield cycle
    finally:
        monit.terminate()
        monit.wait()
        marks.unlink(missing_ok=True)
    # How busy the host is besides is neither Monit's fault nor changes what it does.
    log = (directory / "monit.log").read_text().splitlines()
    complaints = [line for line in log if " error " in line and "cpu usage" not in line]
    if complaints:
        raise RuntimeError("Monit saw something unhealthy, its cycle is not the measured one: " + complaints[0])


def wait_for_pause(monit, marks, count):
    """Every start of the program is a new cycle; the CPU seconds of Monit once cycle `count` is past."""
    deadline = time.monotonic() + 30 + CYCLE_SECONDS * count
    while not marks.exists() or len(marks.read_bytes()) < count:
        if monit.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("Monit does not cycle")
        time.sleep(0.01)
    time.sleep(CYCLE_SECONDS / 2)
    return cpu_seconds(monit.pid)
