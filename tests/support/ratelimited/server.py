#!/usr/bin/python3
"""A small HTTP server that limits its clients' rate, for tests: `server.py INTERVAL [--always STATUS] [--port PORT]`.

A request is answered 429 when it came less than INTERVAL seconds after the previous one from the same address, whatever
that one was answered; else 200. With --always STATUS every request is answered so: nothing that the client does helps.
Listens on 127.0.0.1, by default on a free port, and prints `listening on PORT` as its first line. GET /stats tells what
was answered so far and is not limited. It ends with its standard input, so that it never outlives the test that holds
the pipe, unless --detached is given.
"""

import argparse
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Limiter:
    """Spacing of requests per client, and the counts of answers."""

    def __init__(self, interval, always):
        self.interval = interval
        self.always = always
        self.last = {}
        self.counts = {}
        self.lock = threading.Lock()

    def answer(self, client, now):
        with self.lock:
            previous = self.last.get(client)
            self.last[client] = now
            close = previous is not None and now - previous < self.interval
            status = self.always or (429 if close else 200)
            self.counts[status] = self.counts.get(status, 0) + 1
            return status

    def stats(self):
        with self.lock:
            return {str(status): count for status, count in sorted(self.counts.items())}


def handler(limiter):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/stats":
                return self.reply(200, json.dumps(limiter.stats()))
            status = limiter.answer(self.client_address[0], time.monotonic())
            self.reply(status, "ok\n" if status == 200 else "slow down\n")

        do_POST = do_GET

        def reply(self, status, text):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("interval", type=float, help="seconds that must lie between two requests")
    parser.add_argument("--always", type=int, help="answer every request with this status")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--detached", action="store_true", help="do not end with the standard input")
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", options.port), handler(Limiter(options.interval, options.always)))
    server.daemon_threads = True
    print(f"listening on {server.server_address[1]}", flush=True)
    if not options.detached:
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
