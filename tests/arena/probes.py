"""What is so in the world just now: one small question each, none of them to healer.

A probe is a table of a scenario:
  { log = NAME, match = REGEX, count = N }       so many lines since the fault began
  { quiet = NAME, match = REGEX, seconds = S }   no such line for so long, and others have come
  { http = URL, status = 200, timeout = 2 }      `status_not` for any other; no answer is status 0
  { container = NAME, is = STATE }               running, exited, unhealthy, healthy, starting, oom_killed
  { sql = QUERY, above | below | is = X, user = NAME }     no answer is no
  { redis = [WORDS], is | above | below = X }
  { file = NAME, has = TEXT }
  { full = NAME, above | below = PERCENT }       of a disk
  { cpu = NAME, above | below = PERCENT }        of a container, since the last look
"""

import calendar
import json
import os
import re
import threading
import time

import pgwire
import program
import redis
from engine import state_of


def holds(world, probe):
    """Whether every condition of one probe is so."""
    for kind, ask in KINDS.items():
        if kind in probe:
            return ask(world, probe)
    raise KeyError(f"no such probe: {probe}")


def all_hold(world, probes):
    return all(holds(world, probe) for probe in probes)


def of_log(world, probe):
    found = sum(1 for at, line in world.logs.lines(probe["log"]) if at >= world.began and re.search(probe["match"], line))
    return found >= probe.get("count", 1)


def of_quiet(world, probe):
    lines, since = world.logs.lines(probe["quiet"]), time.time() - probe.get("seconds", 2)
    bad = any(at >= since and re.search(probe["match"], line) for at, line in lines)
    return not bad and any(at >= since for at, _ in lines)


def of_http(world, probe):
    try:
        status, _ = program.get(probe["http"], timeout=probe.get("timeout", 2))
    except OSError:
        status = 0
    return status != probe["status_not"] if "status_not" in probe else status == probe.get("status", 200)


def of_container(world, probe):
    inspected = world.engine.inspect(world.named(probe["container"]))
    if probe["is"] == "oom_killed":
        return bool(inspected and inspected["State"]["OOMKilled"])
    return probe["is"] in state_of(inspected)


def of_sql(world, probe):
    try:
        value = pgwire.ask(world.ports[probe.get("server", "postgres")], probe["sql"], user=probe.get("user", "healer"))[0][0]
    except (OSError, pgwire.Error):
        return False
    return compared(probe, value)


def of_redis(world, probe):
    try:
        value = redis.ask(world.ports["redis"], *probe["redis"])
    except (OSError, redis.Error) as error:
        value = str(error)
    return compared(probe, value[-1] if isinstance(value, list) else value)


def of_file(world, probe):
    return probe["has"] in (world.srv / probe["file"]).read_text(errors="replace")


def of_disk(world, probe):
    known = os.statvfs(world.root / probe["full"])
    return compared(probe, 100 - 100 * known.f_bavail / known.f_blocks)


def of_cpu(world, probe):
    return compared(probe, world.cpu.percent(world.named(probe["cpu"])))


def compared(probe, value):
    if "above" in probe:
        return float(value) > probe["above"]
    if "below" in probe:
        return float(value) < probe["below"]
    return str(value) == str(probe["is"])


KINDS = {
    "log": of_log,
    "quiet": of_quiet,
    "http": of_http,
    "container": of_container,
    "sql": of_sql,
    "redis": of_redis,
    "file": of_file,
    "full": of_disk,
    "cpu": of_cpu,
}


class Cpu:
    """Use of each container's first process over the last seconds."""

    SPAN_SECONDS = 2

    def __init__(self, engine):
        self.engine, self.earlier, self.known = engine, {}, {}

    def percent(self, name):
        inspected = self.engine.inspect(name)
        pid = inspected["State"]["Pid"] if inspected else 0
        if not pid:
            return 0.0
        try:
            fields = open(f"/proc/{pid}/stat", encoding="ascii", errors="replace").read().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        used, now = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), time.monotonic()
        before = self.earlier.get(name)
        if not before or before[0] != pid:
            self.earlier[name], self.known[name] = (pid, used, now), 0.0
        elif now - before[2] >= self.SPAN_SECONDS:
            self.earlier[name], self.known[name] = (pid, used, now), 100 * (used - before[1]) / (now - before[2])
        return self.known[name]


class Logs:
    """Lines of containers and processes with the time they were written, read on and on."""

    KEPT = 20_000

    def __init__(self, world):
        self.world, self.read_to, self.known, self.lock = world, {}, {}, threading.Lock()

    def lines(self, name):
        """(time, text) of every line so far; of a plain process the time of reading it."""
        with self.lock:
            return list(self._lines(name))

    def _lines(self, name):
        known = self.known.setdefault(name, [])
        path, is_json = self.world.log_of(name)
        try:
            with open(path, "rb") as file:
                file.seek(self.read_to.get(name, 0))
                text = file.read()
        except FileNotFoundError:
            return known
        whole = text[: text.rfind(b"\n") + 1]
        self.read_to[name] = self.read_to.get(name, 0) + len(whole)
        known += [entry(line, is_json) for line in whole.splitlines()]
        del known[: -self.KEPT]
        return known


def entry(line, is_json):
    if not is_json:
        return time.time(), line.decode(errors="replace")
    read = json.loads(line)
    # Nanoseconds are more than the library reads.
    seconds = calendar.timegm(time.strptime(read["time"][:19], "%Y-%m-%dT%H:%M:%S"))
    fraction = read["time"][19:].rstrip("Z") or ".0"
    return seconds + float("0" + fraction), read["log"].rstrip("\n")
