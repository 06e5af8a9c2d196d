"""CPU seconds of a Monit cycle with the checks of the measured pass."""

import os
import pathlib
import subprocess
import time
from urllib.parse import urlparse

# Monit starts programs in one cycle and looks at them in the next; a cycle must be longer than the slowest program.
CYCLE_SECONDS = 5

# Monit has no check of containers; a program looks at the state of all, and at CPU and memory of all, in one call each.
CONTAINERS = """#!/bin/sh
echo >>{marks}
docker --host {docker} ps --all --format '{{{{.Names}}}} {{{{.State}}}} {{{{.Status}}}}' >{dir}/ps || exit 2
docker --host {docker} stats --no-stream --format '{{{{.Name}}}} {{{{.CPUPerc}}}} {{{{.MemPerc}}}}' >{dir}/stats || exit 2
grep -q -v ' running ' {dir}/ps && exit 1
exit 0
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
check host database with address {pg.hostname}
    if failed port {pg.port} protocol pgsql username "{pg.username}" password "{pg.password}" database "postgres" then alert
check host redis with address {redis.hostname}
    if failed port {redis.port} protocol redis then alert
check host api with address {url.hostname}
    if failed port {url.port} protocol http request "/" with timeout 10 seconds then alert
check program containers with path {dir}/containers
    if status != 0 then alert
"""

LOG = """check file log{number} with path {path}
    if content = "429|Traceback|ERROR|refused|timed out|out of memory" then alert
"""


def cpu_seconds(pid):
    """Of the process and of all its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def control_file(where, log_paths, directory):
    text = CONTROL.format(dir=directory, cycle=CYCLE_SECONDS, pg=urlparse(where["postgres"]), redis=urlparse(where["redis"]),
                          url=urlparse(where["url"]))
    return text + "".join(LOG.format(number=number, path=path) for number, path in enumerate(log_paths))


def cycle_cpu(where, log_paths, directory, cycles):
    """Mean CPU seconds of a cycle over `cycles` of them, once the first two are past."""
    directory = pathlib.Path(directory)
    marks = directory / "marks"
    script = directory / "containers"
    script.write_text(CONTAINERS.format(marks=marks, dir=directory, docker=where["docker"]))
    script.chmod(0o755)
    control = directory / "monitrc"
    control.write_text(control_file(where, log_paths, directory))
    control.chmod(0o600)
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    monit = subprocess.Popen(["monit", "-I", "-c", str(control)], **quiet)
    try:
        wait_for_marks(monit, marks, 3)
        before = cpu_seconds(monit.pid)
        wait_for_marks(monit, marks, 3 + cycles)
        after = cpu_seconds(monit.pid)
    finally:
        monit.terminate()
        monit.wait()
    # How busy the host is besides is neither Monit's fault nor changes what it does.
    log = (directory / "monit.log").read_text().splitlines()
    complaints = [line for line in log if " error " in line and "cpu usage" not in line]
    if complaints:
        raise RuntimeError("Monit saw something unhealthy, its cycle is not the measured one: " + complaints[0])
    return (after - before) / cycles


def wait_for_marks(monit, marks, count):
    """Every start of the program is a new cycle."""
    deadline = time.monotonic() + 30 + CYCLE_SECONDS * count
    while not marks.exists() or len(marks.read_bytes()) < count:
        if monit.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("Monit does not cycle")
        time.sleep(0.01)
