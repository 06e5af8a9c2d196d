"""Stores rows in batches; every row is priced by the database."""

import sys
import time

import pgwire
import program

log = program.log("worker")
settings = program.settings("/srv/worker.toml")
timeout = settings["database"]["statement_timeout_ms"]
connection = pgwire.Connection(int(sys.argv[1]), user="app", options=f"-c statement_timeout={timeout}", timeout=30)
size = settings["import"]["batch_size"]
BATCH = """insert into items
           select n, n + length(pg_sleep((select seconds from pace))::text) from generate_series(1, {}) n"""
while True:
    try:
        connection.query(BATCH.format(size))
        connection.query("truncate items")
        log.info("stored %d rows", size)
    except pgwire.Error as error:
        log.error("batch of %d rows failed: %s", size, error)
    time.sleep(0.1)
