"""What `healer serve` bears: requests per second, event streams, slow peers, memory over a million requests.

Lives here: starting the server, the load, the figures. Everything stays on loopback, bounded in count and time.
"""

import http.client
import json
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORDS = 100_000
CONFIGURATION = """state_dir = "{dir}/state"
[checks.docker]
enabled = false
[checks.host]
enabled = false
[checks.command.ok]
command = ["/bin/true"]
"""


class Server:
    """A server of its own over a state directory with history."""

    def __init__(self, healer, directory):
        self.healer, self.directory = healer, Path(directory)
        (self.directory / "state").mkdir()
        self.config = self.directory / "healer.toml"
        self.config.write_text(CONFIGURATION.format(dir=directory))
        records = self.directory / "state/fix_knowledge_base.jsonl"
        subprocess.run([sys.executable, HERE / "make_records.py", str(RECORDS), str(records)], check=True)
        self.heal()
        self.process = subprocess.Popen(
            [healer, "-c", self.config, "serve", "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True
        )
        self.port = int(re.search(r":(\d+)/", self.process.stderr.readline())[1])

    def heal(self):
        subprocess.run([self.healer, "-c", self.config, "-q", "heal"], check=True, stdout=subprocess.DEVNULL)

    def get(self, path, timeout=10):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def memory_mb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def wrk(server, seconds):
    url = f"http://127.0.0.1:{server.port}/api/monitoring/stats"
    done = subprocess.run(
        ["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", url], check=True, capture_output=True, text=True
    ).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    requests = int(re.search(r"(\d+) requests in", done)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done)
    return requests, rate, float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]], int(bad[1]) if bad else 0


def requests_per_second(table, server):
    status, body = server.get("/api/monitoring/stats")
    assert status == 200 and json.loads(body)["data"]["total_fixes"] == RECORDS
    before = server.memory_mb()
    requests, rate, p99, bad = wrk(server, 10)
    what = f"serve: stats of {RECORDS:,} records, 64 connections: "
    assert bad == 0
    table.at_least(what + "requests", rate, 20_000, "/s")
    table.at_most(what + "p99", p99, 10, " ms")
    at, total = server.memory_mb(), requests
    while total < 1_000_000:
        more, _, _, bad = wrk(server, 5)
        total += more
        assert bad == 0
    table.plain("serve: memory before and after requests",
                f"{before:.1f} MB, {at:.1f} MB after {requests:,}, {server.memory_mb():.1f} MB after {total:,}")


def event_streams(table, server, count=200):
    before = server.memory_mb()
    streams = []
    for _ in range(count):
        stream = socket.create_connection(("127.0.0.1", server.port), 10)
        stream.sendall(b"GET /api/monitoring/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        streams.append(stream)
    for stream in streams:
        read_until(stream, b"retry:")
    server.heal()
    for stream in streams:
        read_until(stream, b"event: pass_ended")
    table.at_most(f"serve: memory with {count} event streams", server.memory_mb(), 40, " MB", f"{before:.1f} MB before")
    for stream in streams:
        stream.close()


def read_until(stream, wanted):
    seen = b""
    while wanted not in seen:
        part = stream.recv(65536)
        assert part, seen
        seen += part


def slow_peers(table, server, count=10_000):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    slow, longest, asked = [], 0.0, 0
    ended = threading.Event()

    def attack():
        for number in range(count):
            peer = socket.socket()
            peer.settimeout(5)
            try:
                peer.bind(("127.0.0.2", 0))
                peer.connect(("127.0.0.1", server.port))
                peer.send(b"GET / HTTP/1.1\r\nHost: loc")
            except OSError:
                pass
            slow.append(peer)
        ended.set()

    thread = threading.Thread(target=attack)
    thread.start()
    after = 0
    while after < 20:
        after += ended.is_set()
        begin = time.monotonic()
        status, _ = server.get("/api/monitoring/stats")
        longest = max(longest, time.monotonic() - begin)
        asked += 1
        assert status == 200
        time.sleep(0.02)
    thread.join()
    what = f"serve: slowest of {asked:,} answers beside {count:,} slow connections of another peer"
    table.at_most(what, longest * 1000, 1000, " ms", f"{server.memory_mb():.1f} MB")
    for peer in slow:
        peer.close()


def measure(table, binary):
    with tempfile.TemporaryDirectory(prefix="measure.") as directory:
        server = Server(str(binary), directory)
        try:
            requests_per_second(table, server)
            event_streams(table, server)
            slow_peers(table, server)
        finally:
            server.stop()
