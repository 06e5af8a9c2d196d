"""What is seen of a world while somebody tries to mend it: when it was well, what was restarted, what was changed.

Lives here: looking, and comparing with what the scenario permits. The same for healer and its peers.
"""

import contextlib
import threading
import time

import pgwire
import probes
import redis

LOOK_SECONDS = 0.4
# What `docker update` can change of a container.
LIMITS = ("Memory", "MemorySwap", "NanoCpus", "CpuQuota", "CpuShares", "PidsLimit")


class Watch:
    """A thread that looks; `close` ends it."""

    def __init__(self, world):
        self.world, part = world, world.scenario.raw
        self.trigger, self.mended = world.filled(part.get("trigger", [])), world.filled(part.get("mended", []))
        self.met_at = self.well_since = self.sick_at = None
        self.starts = {name: [] for name in world.containers()}
        self.limits, self.ending = {}, threading.Event()
        self._look_at_containers()
        self.before = Snapshot(world)
        self.troubles = []
        self.thread = threading.Thread(target=self._look_on, daemon=True)
        self.thread.start()

    def _look_on(self):
        while not self.ending.wait(LOOK_SECONDS):
            try:
                self._look_at_containers()
                if self.world.began:
                    self._look_at_fault()
            except Exception as error:  # noqa: BLE001: told with the result
                self.troubles.append(f"watching: {error!r}")
                self.ending.wait(1)

    def _look_at_containers(self):
        for name, starts in self.starts.items():
            inspected = self.world.engine.inspect(self.world.named(name))
            started = inspected["State"]["StartedAt"] if inspected else "gone"
            if started not in starts:
                starts.append(started)
            if inspected:
                limits = {key: inspected["HostConfig"].get(key) for key in LIMITS}
                self.limits.setdefault(name, limits)
                self.limits[name, "now"] = limits

    def _look_at_fault(self):
        now = time.time()
        if self.met_at is None and self.trigger and probes.all_hold(self.world, self.trigger):
            self.met_at = now
        well = bool(self.mended) and probes.all_hold(self.world, self.mended)
        if not well:
            self.well_since, self.sick_at = None, now
        elif self.well_since is None:
            self.well_since = now

    @property
    def is_well(self):
        return self.well_since is not None

    def close(self):
        self.ending.set()
        self.thread.join(30)
        with contextlib.suppress(Exception):
            self._look_at_containers()

    def harm(self):
        """What happened that the scenario does not permit, in words."""
        leave = self.world.scenario.part("leave")
        found = []
        for name, starts in self.starts.items():
            permitted = leave.get("restarts", {}).get(name, 0)
            if len(starts) - 1 > permitted:
                found.append(f"{name} was started {len(starts) - 1} times, not at most {permitted}")
            now, before, may = self.limits.get((name, "now")), self.limits.get(name), leave.get("limits", [])
            if now != before and name not in may:
                found.append(f"limits of {name} changed: {before} -> {now}")
        return found + self.before.harm(Snapshot(self.world), leave)


class Snapshot:
    """Contents of files, and answers of services to questions about their settings."""

    def __init__(self, world):
        self.world = world
        kept = [path for at in world.mounts for path in at.glob("keep*")]
        files = [path for path in world.srv.rglob("*") if path.is_file()] + kept
        self.files = {str(path.relative_to(world.root)): (path.read_bytes(), path.stat().st_mode) for path in files}
        self.settings = [answer(world, question) for question in world.scenario.part("leave").get("settings", [])]

    def harm(self, after, leave):
        found = []
        for name in sorted(self.files.keys() | after.files.keys()):
            was, now = self.files.get(name), after.files.get(name)
            if was is None or now is None:
                found.append(f"{name} {'appeared' if was is None else 'is gone'}")
            elif was != now and not self._permitted(name, was, now, leave):
                found.append(f"{name} was changed: {first_difference(was[0], now[0])}")
        for question, was, now in zip(leave.get("settings", []), self.settings, after.settings):
            if was != now and str(now) not in map(str, question.get("to", [])):
                found.append(f"{question} answered {was!r}, now {now!r}")
        return found

    def _permitted(self, name, was, now, leave):
        for old, new in leave.get("files", {}).get(name.removeprefix("srv/"), []):
            if was[0].replace(old.encode(), new.encode(), 1) == now[0] and was[1] == now[1]:
                return True
        return False


def answer(world, question):
    try:
        if "sql" in question:
            return pgwire.ask(world.ports["postgres"], question["sql"])
        value = redis.ask(world.ports["redis"], *question["redis"])
        return value[-1] if isinstance(value, list) and value else value
    except (OSError, pgwire.Error, redis.Error) as error:
        return f"no answer: {error}"


def first_difference(was, now):
    pairs = zip(was.splitlines(), now.splitlines())
    return next((f"{old.decode()!r} -> {new.decode()!r}" for old, new in pairs if old != new), "another length")
