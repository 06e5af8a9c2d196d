"""An API with a pool of connections; every request to /work holds one for a while."""

import queue
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pgwire
import program

log = program.log("api")
settings = dict(re.findall(r'^(?:export )?(\w+)="?([^"\n]*)"?$', open("/srv/api.env").read(), re.M))
size, timeout = int(settings["POOL_SIZE"]), float(settings["POOL_TIMEOUT"])
pool = queue.Queue()
for _ in range(size):
    pool.put(pgwire.Connection(int(sys.argv[2]), user="app"))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status = self.work() if self.path == "/work" else 200
        self.send_response(status)
        self.end_headers()

    def work(self):
        try:
            connection = pool.get(timeout=timeout)
        except queue.Empty:
            log.error("QueuePool limit of size %d overflow 0 reached, connection timed out, timeout %.2f", size, timeout)
            return 500
        connection.query("select pg_sleep(0.4)")
        pool.put(connection)
        log.info("worked")
        return 200

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
