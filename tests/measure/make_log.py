#!/usr/bin/python3 -B
"""Writes a log: `make_log.py FILE BYTES EVENTS_PER_10K [LINES...]`. The same arguments give the same bytes.

Lines of services with other numbers each time, and among them so many error events for each 10,000 lines: answers 4xx and 5xx,
rate limits, database errors, tracebacks of Python. LINES are logs whose lines are used instead of those here, NAME_2k.log as
LogHub publishes them for example. Prints how many events there are, as JSON. Knows nothing of any pattern.
"""

import json
import random
import sys

LINES = [
    b'10.2.14.90 - - [02/Jan/2025:03:04:05 +0000] "GET /v1/items/48213?page=2 HTTP/1.1" 200 5316 "-" "curl/8.5.0"',
    b'10.2.14.91 - alice [02/Jan/2025:03:04:05 +0000] "POST /v1/orders HTTP/1.1" 201 87 "https://shop.internal/" "Mozilla/5.0"',
    b"2025-01-02 03:04:05,123 INFO worker.pipeline job 48213 done in 1532 ms, 12 items",
    b"2025-01-02 03:04:05,123 DEBUG worker.client connection 7 to 10.0.3.17:5432 reused after 42 s",
    b"2025-01-02T03:04:05.123456Z INFO app::sync: batch 48213 written rows=500 took=12ms",
    b"Jan  2 03:04:05 host-3 sshd[24213]: Accepted publickey for deploy from 10.1.0.7 port 51122 ssh2",
    b"Jan  2 03:04:05 host-3 systemd[1]: Started session-4821.scope - Session 4821 of User deploy.",
    b"Jan  2 03:04:05 host-3 kernel: [ 48213.123456] eth0: link up, 1000 Mbps, full duplex",
    b'{"level":"info","time":"2025-01-02T03:04:05Z","msg":"cache hit","key":"user:48213","size":532,"took_us":48}',
    b"1:M 02 Jan 2025 03:04:05.123 * 100 changes in 300 seconds. Saving...",
    b"2025-01-02 03:04:05.123 UTC [24213] LOG:  checkpoint complete: wrote 1532 buffers (9.4%); write=153.2 s, sync=0.01 s",
    b"web-1  | INFO:     10.2.14.90:51122 - \"GET /health HTTP/1.1\" 200 OK",
    b"[2025-01-02 03:04:05 +0000] [24213] [INFO] Booting worker with pid: 24213",
    b"2025/01/02 03:04:05 [notice] 31#31: signal process started, generation 48213",
]
HOSTS = ["api.example.com", "db-primary", "payments.internal", "cache-2"]
PARTS = ["worker", "views", "tasks", "client", "db", "sync", "pipeline", "retry"]
ERRORS = [
    "ValueError: invalid literal for int() with base 10: '%x'",
    "KeyError: 'user_%d'",
    "sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint \"ix_%d\"",
    "django.db.utils.OperationalError: could not connect to server: Connection refused (10.0.0.%d)",
    "TimeoutError: timed out after %ds",
    "app.errors.RetryableException: job %d gave up",
]


class Writer:
    def __init__(self, rng):
        self.rng = rng
        self.events = 0

    def stamp(self):
        n = self.rng.randrange
        return f"2025-{1 + n(12):02}-{1 + n(28):02} {n(24):02}:{n(60):02}:{n(60):02},{n(1000):03}"

    def error(self):
        return self.rng.choice(ERRORS) % self.rng.randrange(100_000)

    def traceback(self):
        lines = ["Traceback (most recent call last):"]
        for _ in range(2 + self.rng.randrange(8)):
            name, line = self.rng.choice(PARTS), self.rng.randrange(900)
            lines += [f'  File "/app/{name}.py", line {line}, in {self.rng.choice(PARTS)}', f"    {name}.run(item, id={line})"]
        return lines + [self.error()]

    def event(self):
        self.events += 1
        kind, host, number = self.rng.randrange(100), self.rng.choice(HOSTS), self.rng.randrange(10**6)
        if kind < 20:
            code = self.rng.choice([429, 500, 502, 503, 504])
            side = "Client" if code == 429 else "Server"
            return [f"{self.stamp()} ERROR app.client request failed: {code} {side} Error: x for url: https://{host}/v1/{number}"]
        if kind < 35:
            return [f'{self.stamp()} WARNING httpx HTTP Request: POST https://{host}/v1 "HTTP/1.1 429 Too Many Requests" req={number:012x}']
        if kind < 45:
            return [f"{self.stamp()} ERROR db DatabaseError: {number} (server closed the connection)"]
        if kind < 55:
            return [f"{self.stamp()} ERROR llm Groq API error status=500 id={number}"]
        if kind < 65:
            return [f"{self.stamp()} ERROR {self.rng.choice(PARTS)} {self.error()}"]
        first = self.traceback()
        if kind < 70:
            first += ["", "During handling of the above exception, another exception occurred:", "", *self.traceback()]
        return first


def main():
    path, size, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    lines = [line for name in sys.argv[4:] for line in open(name, "rb").read().splitlines() if line] or LINES
    writer = Writer(random.Random(1))
    rng = writer.rng
    # Other digits, as many of them: a translation of bytes is fast.
    tables = [bytes(range(48)) + bytes(rng.sample(range(48, 58), 10)) + bytes(range(58, 256)) for _ in range(512)]
    written = 0
    with open(path, "wb", buffering=1 << 20) as file:
        while written < size:
            if rng.random() * 10_000 < rate:
                text = "\n".join(writer.event()).encode() + b"\n"
            else:
                text = rng.choice(lines).translate(rng.choice(tables)) + b"\n"
            written += file.write(text)
    print(json.dumps({"events": writer.events}))


if __name__ == "__main__":
    main()
