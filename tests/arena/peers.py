"""The same faults given to others: Monit, and a loop that restarts whatever is unhealthy or has exited.

Lives here: how they are configured for a world, how they are run, and their rows. They are watched as healer is. They
name no causes; theirs is right when they complain of the component that has the fault and of no other.
"""

import contextlib
import re
import shlex
import subprocess
import threading
import time

import judge
import watch as watching
from engine import state_of
from world import NotReady, World

CYCLE_SECONDS = 2
LOOP_SECONDS = 5
# After the trigger: a check that must fail twice, and the cycle in which it is looked at.
DETECT_SECONDS = 3 * CYCLE_SECONDS
PLAY_SECONDS, AFTER_SECONDS = 45, 8
BEFORE_SECONDS = 8


STATE = """#!/bin/sh
state=$({docker})
echo "$state"
case $state in
running/unhealthy) exit 1 ;;
running/*) exit 0 ;;
esac
exit 1
"""


class Monit:
    """One Monit with one control file, as its manual has it for services without a pid file."""

    name = "monit"

    def __init__(self, world):
        self.world, self.directory = world, world.root / "monit"
        self.directory.mkdir()
        self.control = self.directory / "monitrc"
        self.control.write_text("\n".join([self.head(), *self.services(), *self.disks()]))
        self.control.chmod(0o600)
        self.log = self.directory / "monit.log"
        with open(self.directory / "stderr", "wb") as said:
            quiet = dict.fromkeys(("stdin", "stdout"), subprocess.DEVNULL)
            self.process = subprocess.Popen(["monit", "-I", "-c", self.control], stderr=said, cwd="/", **quiet)

    def head(self):
        names = {"log": "monit.log", "pidfile": "pid", "idfile": "id", "statefile": "state"}
        files = [f"set {key} {self.directory}/{name}" for key, name in names.items()]
        return "\n".join([f"set daemon {CYCLE_SECONDS}", *files])

    def services(self):
        for table in self.world.scenario.parts("container"):
            yield from self.container(table["name"], table.get("port"))
        for name, protocol in (("postgres", 'pgsql username "healer" password "none" database "postgres"'), ("redis", "redis")):
            if name in self.world.scenario.raw:
                yield from self.container(name, None)
                yield self.host(name, name, f"protocol {protocol}")

    def container(self, name, port):
        script = self.directory / f"state-{name}"
        inspect = "{{.State.Status}}/{{if .State.Health}}{{.State.Health.Status}}{{end}}"
        docker = shlex.join(self.world.engine.command("inspect", "--format", inspect, self.world.named(name)))
        script.write_text(STATE.format(docker=docker))
        script.chmod(0o755)
        yield (f'check program {name} with path "{script}" with timeout 10 seconds\n{self.restarts(name)}'
               "    if status != 0 for 2 cycles then restart\n    if 5 restarts within 20 cycles then unmonitor\n")
        yield (f"check file {name}-log with path {self.world.engine.log_path(self.world.named(name))}\n"
               '    if content = " (ERROR|CRITICAL|FATAL) |ERROR:|FATAL:" then alert\n')
        if port:
            yield self.host(name, port, 'protocol http request "/health" with timeout 2 seconds')
            yield (f'check process {name}-process matching " {self.world.port(port)}"\n{self.restarts(name)}'
                   "    if cpu > 60% for 3 cycles then restart\n")

    def host(self, name, port, protocol):
        return (f"check host {name}-port with address 127.0.0.1\n{self.restarts(name)}"
                f"    if failed port {self.world.port(port)} {protocol} for 2 cycles then restart\n"
                "    if 5 restarts within 20 cycles then unmonitor\n")

    def restarts(self, name):
        docker = [shlex.join(self.world.engine.command(verb, self.world.named(name))) for verb in ("start", "stop")]
        docker = [line.replace("docker", "/usr/bin/env docker", 1) for line in docker]
        return f'    start program = "{docker[0]}" with timeout 20 seconds\n    stop program = "{docker[1]}"\n'

    def disks(self):
        for table in self.world.scenario.parts("disk"):
            at = self.world.root / table["name"]
            yield f"check filesystem {table['name']} with path {at}\n    if space usage > 90% then alert\n"

    def alarms(self):
        """(time, container) of every complaint so far."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines() if self.log.exists() else []:
            match = re.match(r"\[(.*?)\] (?:error|warning) +: '([^']+)' ", line)
            if match:
                at = re.sub(r"\.\d+$", "", match.group(1))
                name = re.sub(r"-(log|port|process)$", "", match.group(2))
                found.append((moment_of(at), name))
        return found

    def close(self):
        if self.process.poll() not in (None, 0):
            raise NotReady(f"Monit ended: {(self.directory / 'stderr').read_text()[-400:]}")
        self.process.terminate()
        self.process.wait()


def moment_of(text):
    for shape in ("%Y-%m-%dT%H:%M:%S%z", "%b %d %H:%M:%S"):
        with contextlib.suppress(ValueError):
            read = time.strptime(text, shape)
            if shape.startswith("%b"):
                now = time.localtime()
                read = time.strptime(f"{now.tm_year} {text}", "%Y " + shape)
                return time.mktime(read)
            return time.mktime(read)
    return time.time()


class Autoheal:
    """Every five seconds: restarts each container that is unhealthy or has ended with an error."""

    name = "autoheal"

    def __init__(self, world):
        self.world, self.found, self.ending = world, [], threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self):
        while not self.ending.wait(LOOP_SECONDS):
            for name in self.world.containers():
                inspected = self.world.engine.inspect(self.world.named(name))
                state = state_of(inspected)
                if "unhealthy" in state or state[0] == "exited" and inspected["State"]["ExitCode"] != 0:
                    self.found.append((time.time(), name))
                    with contextlib.suppress(Exception):
                        self.world.engine.cli("restart", self.world.named(name))

    def alarms(self):
        return list(self.found)

    def close(self):
        self.ending.set()
        self.thread.join(60)


PEERS = {"monit": Monit, "autoheal": Autoheal}


def play(scenario, peer, engine, tag, template):
    world = World(scenario, engine, tag, template)
    player = watch = None
    try:
        world.start()
        watch = watching.Watch(world)
        player = PEERS[peer](world)
        time.sleep(BEFORE_SECONDS)
        early = player.alarms()
        world.bring_fault(lambda _kind, ending: not ending.wait(BEFORE_SECONDS))
        wait(watch, scenario)
        player.close()
        watch.close()
        return row_of(scenario, world, watch, player, early)
    finally:
        try:
            for one in (player, watch):
                if one:
                    one.close()
        finally:
            world.close()


def wait(watch, scenario):
    deadline = time.monotonic() + (AFTER_SECONDS * 2 if scenario.is_quiet else PLAY_SECONDS)
    well = None
    while time.monotonic() < deadline:
        time.sleep(0.5)
        if watch.met_at and watch.mended and watch.is_well:
            well = well or time.monotonic() + AFTER_SECONDS
            if time.monotonic() > well:
                return
        else:
            well = None


def row_of(scenario, world, watch, player, early):
    row = judge.Row(scenario.name, player.name)
    row.harm = watch.harm() + [f"complained before the fault: {name}" for _, name in early]
    row.notes += watch.troubles + world.trouble
    alarms = player.alarms()[len(early):]
    acted = [name for name, starts in watch.starts.items() if len(starts) - 1 > own_starts(scenario).get(name, 0)]
    if scenario.is_quiet:
        row.cause = not alarms if scenario.part("expect").get("calm", True) else None
        row.action = not acted
        return row
    row.detected = bool(alarms) and watch.met_at is not None and alarms[0][0] <= watch.met_at + DETECT_SECONDS
    row.cause = bool(alarms) and {name for _, name in alarms} <= roots(world)
    if alarms and watch.met_at:
        row.detect_seconds = max(0.0, alarms[0][0] - watch.met_at)
    if watch.well_since and (watch.sick_at or 0) > world.began:
        row.repair_seconds = watch.well_since - world.began
    wants_repair = bool(scenario.fixes) and scenario.fixes[-1][1] == "healed"
    row.action = watch.is_well and not row.harm if wants_repair else not acted
    return row


def own_starts(scenario):
    """Restarts that are the fault's own."""
    words = [step["docker"] for step in scenario.parts("fault") if step.get("docker", [""])[0] == "restart"]
    return {name.removeprefix("@id@-"): 1 for _, *names in words for name in names}


def roots(world):
    """The containers and disks that the wanted component stands for."""
    component = world.filled(world.scenario.part("expect")["component"])
    names = component if isinstance(component, list) else [component]
    known = {"database": "postgres", "cache": "redis" if "redis" in world.scenario.raw else "cache", "data-disk": "data"}
    short = [name.removeprefix(f"container:{world.tag}-") for name in names]
    return {known.get(name, name) for name in short}
