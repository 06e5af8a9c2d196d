"""A healthy pass with nothing new in the logs: over 10, then 100 containers, PostgreSQL, Redis, one URL and the host."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import monit
from runner import interleaved, median_cpu, median_wall, ms, peak_memory, run

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PYTHON = REPOSITORY / "target/measure-venv/bin/python3"
CHECKS = ("docker", "database", "redis", "api", "host")
ROUNDS = 15
PYTHON_ROUNDS = 3
MONIT_CYCLES = 11

CONFIG = """state_dir = "{state}"
[checks.docker]
socket = "{docker}"
include = ["measured-*"]
[checks.postgres.database]
url = "{postgres}"
[checks.redis.redis]
url = "{redis}"
[checks.http.api]
url = "{url}"
[checks.host]
cpu_percent = {{ critical = 100 }}
[logs.docker]
"""


class Place:
    """A directory, the services' addresses and containers that grow in number."""

    def __init__(self, directory, url):
        self.directory = pathlib.Path(directory)
        self.image = os.environ["HEALER_TEST_IMAGE"]
        self.where = {"docker": os.environ["HEALER_TEST_DOCKER"], "postgres": os.environ["HEALER_TEST_POSTGRES"],
                      "redis": os.environ["HEALER_TEST_REDIS"], "url": url}
        (self.directory / "where.json").write_text(json.dumps(self.where))
        self.names = []

    def docker(self, *args):
        command = ["docker", "--host", self.where["docker"], *args]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def grow(self, count):
        new = [f"measured-{number:03}" for number in range(len(self.names), count)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            start = lambda name: self.docker("run", "--detach", "--network", "none", "--name", name, self.image,
                                             "sh", "-c", "echo started; exec sleep 86400")
            list(pool.map(start, new))
        self.names += new

    def remove(self):
        if self.names:
            self.docker("rm", "--force", *self.names)

    def log_paths(self):
        return self.docker("inspect", "--format", "{{.LogPath}}", *self.names).split()

    def healer(self, binary, count):
        """`healer ARGS...` as an argument list, with a state directory for this number of containers."""
        config, state = self.directory / f"{count}.toml", self.directory / f"state-{count}"
        config.write_text(CONFIG.format(state=state, **self.where))
        return lambda *args: [str(binary), "--config", str(config), "--state-dir", str(state), *args]


@contextlib.contextmanager
def http_server():
    """A URL that always answers 200 at once."""
    program = [sys.executable, str(REPOSITORY / "tests/support/ratelimited/server.py"), "0"]
    server = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().split()[-1]}/"
    finally:
        server.kill()
        server.wait()


def measure(table, binary):
    missing = [name for name in ("DOCKER", "IMAGE", "POSTGRES", "REDIS") if not os.environ.get(f"HEALER_TEST_{name}")]
    if not PYTHON.exists():
        missing.append("Python packages (tests/measure/venv)")
    if missing:
        return table.plain("pass: skipped", f"no {', '.join(missing)} here (run through tests/run --all as root)")
    measure_text_order(table, binary)
    environment = {"PATH": os.environ["PATH"], "HOME": "/", "TZ": "UTC", "NO_COLOR": "1"}
    with tempfile.TemporaryDirectory(prefix="measure.") as directory, http_server() as url:
        place = Place(directory, url)
        try:
            ten = measure_count(table, place, binary, environment, 10, most_memory=10)
            hundred = measure_count(table, place, binary, environment, 100, most_memory=16)
        finally:
            place.remove()
    table.at_most("pass: CPU with 100 containers / with 10", hundred / ten, 6, "x", f"{ms(hundred)} / {ms(ten)}")


def measure_text_order(table, binary):
    """How much of src/text_order.ld is up to date: names of other versions than the binary's are not found."""
    listed = re.search(r"has ([\d,]+) bytes", (REPOSITORY / "src/text_order.ld").read_text()).group(1)
    sections = subprocess.run(["readelf", "-SW", binary], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = re.search(r"\.text\.pass\s+PROGBITS\s+\S+\s+\S+\s+(\S+)", sections)
    found = int(found.group(1), 16) / int(listed.replace(",", "")) if found else 0
    table.at_least("pass: functions of the list in their place", found * 100, 90, " %")


def rested(measure):
    """A pass comes minutes after the one before, to servers and caches that did other things meanwhile. Each check alone is
    measured after the same rest as a pass, or it would be compared with one that is warm. (A look at the host's CPU needs
    the look before to be a moment ago in any case; else it takes a second.)"""
    time.sleep(1.1)
    return measure()


def healthy_pass(argv, environment):
    """One pass that finds nothing. Where other work has taken the whole CPU since the pass before, the host is critical:
    that pass is none of these, nor is the one that tells of the recovery."""
    disturbed = False
    for _ in range(20):
        cost = run(argv, environment, (0, 10))
        if cost.code == 0 and not disturbed:
            return cost
        disturbed = cost.code != 0
        time.sleep(1.1)
    sys.exit("every pass found something: this machine is too busy with other work to be measured on")


def measure_count(table, place, binary, environment, count, most_memory):
    """All figures with this number of containers; the CPU seconds of one pass."""
    place.grow(count)
    healer = place.healer(binary, count)
    # The first pass reads the logs from their beginning, the second has a CPU sample to compare with.
    for _ in range(2):
        healthy_pass(healer("heal"), environment)
    python = [str(PYTHON), str(HERE / "python_pass.py"), str(place.directory / "where.json")]
    runs = {"heal": lambda _: rested(lambda: healthy_pass(healer("heal"), environment))}
    for name in CHECKS:
        # A check takes its time whatever it finds.
        look = lambda name=name: run(healer("check", name), environment, (0, 2) if name == "host" else (0,))
        runs[name] = lambda _, look=look: rested(look)
    runs["python"] = lambda number: run(python, environment) if number < PYTHON_ROUNDS else None
    costs = interleaved(ROUNDS, runs)

    label = f"pass, {count} containers: "
    slowest = max(CHECKS, key=lambda name: median_wall(costs[name]))
    wall, alone, cpu = median_wall(costs["heal"]), median_wall(costs[slowest]), median_cpu(costs["heal"])
    limit = 1.15 + 0.010 / alone
    table.at_most(label + f"wall / slowest check alone ({slowest})", wall / alone, limit, "x", f"{ms(wall)} / {ms(alone)}")
    if count == 100:
        table.at_most(label + "the docker check alone", median_wall(costs["docker"]) * 1000, 80, " ms")
    table.at_most(label + "peak memory", peak_memory(healer("heal"), environment, (0, 10)), most_memory, " MB")
    python_cpu = median_cpu(costs["python"])
    table.at_most(label + "CPU / Python pass", cpu / python_cpu, 1 / 30, "x", f"{ms(cpu)} / {ms(python_cpu)}")
    with monit.cycles(place.where, place.log_paths(), place.directory) as cycle:
        both = [(cycle(), healthy_pass(healer("heal"), environment).cpu) for _ in range(MONIT_CYCLES)]
    of_monit, beside = (statistics.median(costs) for costs in zip(*both))
    table.at_most(label + "CPU / Monit cycle", beside / of_monit, 1 / 10, "x", f"{ms(beside)} / {ms(of_monit)}")
    return cpu
