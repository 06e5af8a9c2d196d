"""A service that answers only with sound settings, and says what is not sound."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import program

log = program.log("cache")
ttl = json.load(open("/srv/cache.json"))["cache"]["ttl_seconds"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if ttl > 0 else 500)
        self.end_headers()

    def log_message(self, *_):
        pass


threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever, daemon=True).start()
while True:
    if ttl > 0:
        log.info("entries live for %d s", ttl)
    else:
        log.error("ConfigError: cache.ttl_seconds must be at least 1, not %d", ttl)
    time.sleep(0.5)
