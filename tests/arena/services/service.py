#!/usr/bin/python3
"""A small HTTP service that can be made to fail in earnest: `service.py NAME PORT`.

GET /health and GET /work answer 200, unless something is wrong; GET /stats tells the counts and is never wrong. POST
/control?KEY=VALUE brings a fault, which lives in this process's memory: a restart is rid of it.

  status=503      every answer has this status          fail=2        as many answers to /health are 503, then no more
  delay=1.2       seconds before an answer              interval=0.1  429 to whoever comes sooner than this after the last
  hang=1          no answer at all, ever                slots=4       503 to more than so many /work at a time
  spin=1          a thread that uses a processor        allocate=40   megabytes of memory, touched
  crash=3         ends with this code
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

import pgwire
import program


class State:
    def __init__(self, options):
        self.options = options
        self.faults = dict(pair.split("=") for pair in options.fault)
        self.lock = threading.Lock()
        self.last = 0.0
        self.busy = 0
        self.counts = {}
        self.hoard = []

    def fault(self, name):
        return float(self.faults.get(name, 0))

    def control(self, pairs):
        for name, value in pairs:
            self.faults[name] = value
            if name == "crash":
                os._exit(int(value))
            if name == "spin":
                threading.Thread(target=spin, daemon=True).start()
            if name == "allocate":
                for _ in range(int(value)):
                    self.hoard.append(bytearray(os.urandom(1024) * 1024))
                    time.sleep(0.01)

    def answer(self, path):
        """Status and text."""
        if self.fault("hang"):
            time.sleep(3600)
        time.sleep(self.fault("delay"))
        now = time.monotonic()
        with self.lock:
            close, self.last = now - self.last < self.fault("interval"), now
            if path == "/health" and self.fault("fail") >= 1:
                self.faults["fail"] = self.fault("fail") - 1
                return 503, "not ready"
        if close:
            return 429, "Too Many Requests"
        if status := int(self.fault("status")):
            return status, "failing"
        if self.options.database:
            return self.ask_database()
        if self.options.upstream:
            return self.ask_upstream()
        return 200, "ok"

    def ask_upstream(self):
        try:
            status, _ = program.get(self.options.upstream, timeout=2)
        except OSError as error:
            logger.error("cannot reach %s: %s", self.options.upstream, error.strerror or error)
            return 502, "no upstream"
        return (200, "ok") if status == 200 else (502, "upstream fails")

    def ask_database(self):
        try:
            pgwire.ask(self.options.database, "select 1", user=self.options.user, timeout=2)
            return 200, "ok"
        except (OSError, pgwire.Error) as error:
            logger.error("OperationalError: cannot use the database on port %d: %s", self.options.database, error)
            return 500, "no database"

    def work(self):
        """As many at a time as there are slots, and a moment each."""
        with self.lock:
            slots = self.fault("slots")
            if slots and self.busy >= slots:
                return 503, "all slots are busy"
            self.busy += 1
        try:
            return self.answer("/work")
        finally:
            with self.lock:
                self.busy -= 1

    def count(self, status):
        with self.lock:
            self.counts[str(status)] = self.counts.get(str(status), 0) + 1


def spin():
    while True:
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urlsplit(self.path).path
        if path == "/stats":
            return self.reply(200, json.dumps(state.counts))
        if path == "/search":
            # As careless programs do: whatever was asked for, line breaks and all.
            logger.info("search for %s", unquote(urlsplit(self.path).query))
        status, text = state.work() if path == "/work" else state.answer(path)
        state.count(status)
        if state.options.access_log:
            print(self.access_line(status), flush=True)
        elif status >= 500:
            logger.error("GET %s -> HTTP %d: %s", path, status, text)
        return self.reply(status, text)

    def do_POST(self):
        self.reply(200, "ok")
        self.wfile.flush()
        state.control(parse_qsl(urlsplit(self.path).query))

    def access_line(self, status):
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        agent = self.headers.get("User-Agent", "-")
        return f'127.0.0.1 - - [{stamp}] "{self.requestline}" {status} 2 "-" "{agent}"'

    def reply(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """A client that went away is no error of ours."""


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("port", type=int)
    parser.add_argument("--start-delay", type=float, default=0, metavar="S", help="seconds before it listens")
    parser.add_argument("--exit-after", type=float, default=0, metavar="S", help="ends with code 1 after so many seconds")
    parser.add_argument("--database", type=int, metavar="PORT", help="every answer needs this PostgreSQL")
    parser.add_argument("--upstream", metavar="URL", help="every answer needs an answer from there")
    parser.add_argument("--user", default="app", help="of the database")
    parser.add_argument("--access-log", action="store_true", help="log every request as web servers do")
    parser.add_argument("--fault", action="append", default=[], metavar="KEY=VALUE", help="from the start")
    return parser.parse_args()


if __name__ == "__main__":
    options = parse()
    logger = program.log(options.name)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    state = State(options)
    logger.info("starting")
    time.sleep(options.start_delay)
    if options.exit_after:
        threading.Timer(options.exit_after, lambda: (logger.critical("cannot go on: corrupt index"), os._exit(1))).start()
    server = Server(("127.0.0.1", options.port), Handler)
    logger.info("listening on %d", options.port)
    sys.stdout.flush()
    server.serve_forever()
