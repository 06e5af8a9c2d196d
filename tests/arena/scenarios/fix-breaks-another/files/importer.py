"""Does the jobs that come, each on one of its sessions; a job that waits too long is dropped."""

import configparser
import queue
import sys
import threading
import time

import pgwire
import program

log = program.log("importer")
settings = configparser.ConfigParser()
settings.read("/srv/importer.ini")
jobs, rate = queue.Queue(), 4.0


def work(connection):
    global rate
    while True:
        came = jobs.get()
        if time.monotonic() - came > 1:
            log.error("a job waited too long for a session")
            continue
        try:
            rate = float(connection.query("select jobs_a_second from demand, pg_sleep(0.5)")[0][0])
            log.info("job done")
        except (OSError, pgwire.Error) as error:
            log.warning("session lost: %s", error)
            return


def sessions():
    """As many as are wanted, and may be had."""
    for _ in range(settings.getint("database", "sessions")):
        while True:
            try:
                threading.Thread(target=work, args=(pgwire.Connection(int(sys.argv[1]), user="app"),), daemon=True).start()
                break
            except (OSError, pgwire.Error) as error:
                log.warning("no more sessions for now: %s", error)
                time.sleep(0.2)


threading.Thread(target=sessions, daemon=True).start()
while True:
    jobs.put(time.monotonic())
    time.sleep(1 / rate)
