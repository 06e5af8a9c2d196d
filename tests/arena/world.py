"""The world of one scenario: services that are started, the fault that is brought, what is seen from outside.

Everything is in one temporary directory and under names that no other scenario uses; `close` stops just that.
"""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pgwire
import probes
import program
import redis

SERVICES = pathlib.Path(__file__).parent / "services"
PYTHON = "/usr/bin/python3"
READY_SECONDS = 40
# Of a container's log, so that a chatty one fills no disk.
LOG_OPTIONS = ["--log-driver", "json-file", "--log-opt", "max-size=20m"]
HOST_PROGRAMS = ["--volume=/usr:/usr:ro", "--volume=/lib:/lib:ro", "--volume=/lib64:/lib64:ro"]


class NotReady(Exception):
    """The world did not come up, or the fault did not show: says nothing about who was to mend it."""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class World:
    def __init__(self, scenario, engine, tag, template):
        """`tag` begins the names of its containers; `template` is a PostgreSQL data directory to copy."""
        self.scenario, self.engine, self.tag, self.template = scenario, engine, tag, template
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="healer-arena."))
        self.root.chmod(0o755)
        self.srv = self.root / "srv"
        self.ports, self.processes, self.open, self.mounts = {}, {}, [], []
        self.logs, self.cpu = probes.Logs(self), probes.Cpu(engine)
        self.began = 0.0
        self.ending = threading.Event()
        self.faults, self.brought = None, threading.Event()
        self.trouble = []

    # Texts

    def filled(self, value):
        """The same value with every @word@ in it filled in."""
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        if isinstance(value, dict):
            return {name: self.filled(item) for name, item in value.items()}
        return re.sub(r"@([a-z_.]+)@", lambda match: self._word(match.group(1)), value) if isinstance(value, str) else value

    def _word(self, word):
        if word.startswith("port."):
            return str(self.port(word.removeprefix("port.")))
        if word in ("postgres", "redis"):
            scheme = {"postgres": "postgres://healer@127.0.0.1:{}/postgres", "redis": "redis://127.0.0.1:{}/0"}
            return scheme[word].format(self.port(word))
        known = {"id": self.tag, "root": self.root, "srv": self.srv, "docker": self.engine.url, "services": SERVICES}
        return str(known[word])

    def port(self, name):
        return self.ports.setdefault(name, free_port())

    def named(self, name):
        return f"{self.tag}-{name}"

    def containers(self):
        """The short names of all containers of this world."""
        names = [table["name"] for table in self.scenario.parts("container")]
        return names + [name for name in ("postgres", "redis") if name in self.scenario.raw]

    def log_of(self, name):
        if name in self.processes:
            return self.root / f"{name}.log", False
        return self.engine.log_path(self.named(name)), True

    # Start

    def start(self):
        self.srv.mkdir()
        if (self.scenario.folder / "files").is_dir():
            shutil.copytree(self.scenario.folder / "files", self.srv, dirs_exist_ok=True)
        for path in self.srv.rglob("*"):
            if path.is_file():
                path.write_text(self.filled(path.read_text()))
                # No human has touched it lately.
                os.utime(path, (time.time() - 86_400,) * 2)
        for table in self.scenario.parts("disk"):
            self._mount(table)
        if "postgres" in self.scenario.raw:
            self._start_postgres(self.scenario.raw["postgres"])
        if "redis" in self.scenario.raw:
            self._start_redis(self.scenario.raw["redis"])
        for table in self.filled(self.scenario.parts("process")):
            self.spawn(table["name"], table["argv"])
        for table in self.filled(self.scenario.parts("container")):
            self._run(table["name"], table["argv"], table.get("options", []))
        self.wait_for(self.filled(self.scenario.parts("ready")), "the services to be ready")

    def _mount(self, table):
        at = self.root / table["name"]
        at.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={table['megabytes']}m", "arena", at], check=True)
        self.mounts.append(at)

    def _run(self, name, argv, options=()):
        mounts = [f"--volume={SERVICES}:/arena:ro", f"--volume={self.srv}:/srv:ro", *HOST_PROGRAMS]
        settings = ["--network=host", "--env=PYTHONPATH=/arena", "--env=PYTHONDONTWRITEBYTECODE=1", "--env=TZ=UTC"]
        if argv[0].endswith(".py"):
            argv = [PYTHON, *argv]
        self.engine.cli("run", "--detach", "--name", self.named(name), *LOG_OPTIONS, *mounts, *settings, *options,
                        self.engine.image, *argv)

    def _start_postgres(self, table):
        data, user = self.root / "pgdata", pwd.getpwnam("postgres")
        shutil.copytree(self.template, data)
        for path in [data, *data.rglob("*")]:
            os.chown(path, user.pw_uid, user.pw_gid)
        settings = {"listen_addresses": "127.0.0.1", "port": self.port("postgres"), "unix_socket_directories": "/tmp",
                    "shared_buffers": "16MB", "fsync": "off", "max_connections": 40} | table.get("settings", {})
        argv = [f"{postgres_programs()}/postgres", "-D", "/data"]
        argv += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # SIGTERM would wait for every session to end.
        self._run("postgres", argv, [f"--user={user.pw_uid}:{user.pw_gid}", f"--volume={data}:/data", "--stop-signal=SIGINT"])
        self.wait_for([{"sql": "select 1", "is": 1}], "PostgreSQL")
        for statement in ["create role app login", "grant all on schema public to app", *table.get("setup", [])]:
            pgwire.ask(self.ports["postgres"], statement)

    def _start_redis(self, table):
        settings = {"bind": "127.0.0.1", "port": self.port("redis"), "save": "", "appendonly": "no"} | table.get("settings", {})
        self._run("redis", ["/usr/bin/redis-server", *(w for n, v in settings.items() for w in (f"--{n}", str(v)))])
        self.wait_for([{"redis": ["PING"], "is": "PONG"}], "Redis")

    def spawn(self, name, argv):
        """A plain process, with its output in NAME.log."""
        if argv[0].endswith(".py"):
            argv = [PYTHON, *argv]
        with open(self.root / f"{name}.log", "ab") as log:
            environment = os.environ | {"PYTHONPATH": str(SERVICES), "PYTHONDONTWRITEBYTECODE": "1"}
            self.processes[name] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root,
                                                    env=environment, start_new_session=True)

    def wait_for(self, conditions, what, seconds=READY_SECONDS):
        deadline = time.monotonic() + seconds
        while not probes.all_hold(self, conditions):
            if time.monotonic() > deadline:
                raise NotReady(f"waited {seconds} s for {what}: {conditions}")
            time.sleep(0.1)

    # The fault

    def bring_fault(self, events):
        """Begins it, and does what is to be done at once before it returns; `events` waits for an event of the healer
        that plays here."""
        self.began = time.time()
        self.faults = threading.Thread(target=self._bring, args=(events,), daemon=True)
        self.faults.start()
        self.brought.wait(READY_SECONDS)

    def _bring(self, events):
        start = time.monotonic()
        try:
            for step in self.filled(self.scenario.parts("fault")):
                if "after" in step or "when" in step:
                    self.brought.set()
                while time.monotonic() < start + step.get("after", 0):
                    if self.ending.wait(0.05):
                        return
                if "when" in step and not events(step["when"], self.ending):
                    continue
                self._do(step)
        except Exception as error:  # noqa: BLE001: told with the result, whatever it was
            self.trouble.append(f"the fault could not be brought: {error!r}")
        finally:
            self.brought.set()

    def _do(self, step):
        if "http" in step:
            with contextlib.suppress(ConnectionError, OSError):
                program.get(step["http"], method="POST")
        if "docker" in step:
            self.engine.cli(*step["docker"])
        if "sql" in step:
            pgwire.ask(self.ports["postgres"], step["sql"], user=step.get("user", "healer"))
        if "redis" in step:
            redis.ask(self.ports["redis"], *step["redis"])
        if "write" in step:
            old, new = step["replace"]
            self.change_as_human(step["write"], old, new)
        if "program" in step:
            self.spawn(f"fault{len(self.processes)}", step["program"])
        if "sessions" in step:
            for _ in range(step["sessions"]):
                session = pgwire.Connection(self.ports["postgres"], user="app")
                session.query("begin")
                session.query("select 1")
                self.open.append(session)
        if "fill" in step:
            name, megabytes = step["fill"]
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * (megabytes << 20))

    def change_as_human(self, name, old, new):
        """As an editor does: in one write, with a new time of change."""
        path = self.srv / name
        text = path.read_text()
        if old not in text:
            raise NotReady(f"{name} does not hold {old!r}")
        path.write_text(text.replace(old, new))

    # The end

    def close(self, keep=False):
        """Stops and removes it all; `keep` leaves the files."""
        self.ending.set()
        if self.faults:
            self.faults.join(20)
        for session in self.open:
            session.close()
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for name in self.engine.named(f"{self.tag}-"):
            with contextlib.suppress(Exception):
                self.engine.cli("rm", "--force", name)
        for at in self.mounts:
            subprocess.run(["umount", "--lazy", at], check=False)
        if keep:
            print(f"   {self.scenario.name}: kept {self.root}", flush=True)
        else:
            shutil.rmtree(self.root, ignore_errors=True)


def postgres_programs():
    """Of the newest version that is installed."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if not found:
        raise NotReady("PostgreSQL is not installed")
    return found[-1]


def make_template(directory):
    """An empty cluster that trusts whoever connects from this host."""
    directory = pathlib.Path(directory)
    user = pwd.getpwnam("postgres")
    os.chown(directory, user.pw_uid, user.pw_gid)
    argv = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
            str(postgres_programs() / "initdb"), "-D", str(directory / "db"), "-U", "healer", "--auth=trust",
            "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run(argv, check=True, cwd="/", stdout=subprocess.DEVNULL)
    return directory / "db"
