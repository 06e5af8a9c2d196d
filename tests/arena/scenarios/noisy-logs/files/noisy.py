"""Logs much, and nothing that is wrong."""

import itertools
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import program

LINES = """\
INFO noisy batch {n} done: 0 errors, 0 warnings
INFO noisy error_rate=0 errors=0 timeout_ms=5000 retries=0
127.0.0.1 - - [25/Nov/2026:10:00:00 +0000] "GET /health HTTP/1.1" 200 2 "-" "ErrorMonitor/{n}.0 (429 Too Many Requests)"
127.0.0.1 - - [25/Nov/2026:10:00:00 +0000] "GET /errors/500?message=Connection+refused HTTP/1.1" 200 512 "-" "curl/7.88"
127.0.0.1 - - [25/Nov/2026:10:00:00 +0000] "GET /item/{n} HTTP/1.1" 404 9 "-" "Traceback (most recent call last): Error"
DEBUG noisy set timeout to 5 s, connect_timeout=30
INFO noisy ErrorHandler registered for 429 and 503
INFO noisy no errors found in 429 files, failed=0
INFO noisy memory usage: 512 MB, out of 1024 MB
{{"level":"info","msg":"request ok","status":200,"error":null,"errors":[],"path":"/timeout","agent":"HTTP 503"}}
INFO noisy GET /work -> 200 in {n} ms
INFO noisy retry policy: 3 attempts on status 500, 502, 503
INFO noisy exception handling test passed, {n} assertions
WARN noisy cache is 80 % full
""".splitlines()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


program.log("noisy")
threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever, daemon=True).start()
for n in itertools.count(1):
    for line in LINES:
        stamp = "" if line[0] in "1{" else time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime())
        print(stamp + line.format(n=n), flush=True)
    time.sleep(0.25)
