"""The Docker engine: its API over its socket for looking, its command line for acting."""

import http.client
import json
import os
import pathlib
import socket
import subprocess
from urllib.parse import quote


class Failed(Exception):
    """What was asked of the engine, and what it said."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    def __init__(self):
        self.url = os.environ["HEALER_TEST_DOCKER"]
        self.image = os.environ["HEALER_TEST_IMAGE"]

    def get(self, path):
        connection = _Connection(self.url.removeprefix("unix://"))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status == 404:
            return None
        if answer.status >= 300:
            raise Failed(f"GET {path}: {answer.status} {body[:200]!r}")
        return json.loads(body)

    def inspect(self, name):
        """None when there is no such container."""
        return self.get(f"/containers/{quote(name)}/json")

    def named(self, prefix):
        """Every container whose name begins so, as the engine's list has it, by name."""
        filters = quote(json.dumps({"name": [f"^/{prefix}"]}))
        return {entry["Names"][0].lstrip("/"): entry for entry in self.get(f"/containers/json?all=1&filters={filters}")}

    def command(self, *arguments):
        return ["docker", "--host", self.url, *arguments]

    def cli(self, *arguments):
        ran = subprocess.run(self.command(*arguments), capture_output=True, text=True)
        if ran.returncode != 0:
            raise Failed(f"docker {' '.join(arguments)}: {ran.stderr.strip()}")
        return ran.stdout.strip()

    def log_path(self, name):
        return pathlib.Path(self.inspect(name)["LogPath"])


def state_of(inspected):
    """`running`, `exited`, `restarting`, ..., and where there is a health check `starting`, `healthy`, `unhealthy`."""
    if inspected is None:
        return "absent", None
    state = inspected["State"]
    return state["Status"], (state.get("Health") or {}).get("Status")
