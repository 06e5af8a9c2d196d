"""A service that answers only with sound settings, and says what is not sound."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import program

log = program.log("cache")
eviction = json.load(open("/srv/cache.json"))["cache"]["eviction"]
sound = eviction in ("lru", "lfu")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if sound else 500)
        self.end_headers()

    def log_message(self, *_):
        pass


threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever, daemon=True).start()
while True:
    if sound:
        log.info("evicts by %s", eviction)
    else:
        log.error("ConfigError: cache.eviction must be lru or lfu, not %s", eviction)
    time.sleep(0.5)
