"""Keeps as many values of 100 kB in Redis as its settings say, read again every round."""

import sys
import time

import program
import redis

log = program.log("writer")
connection = redis.Connection(int(sys.argv[1]))
while True:
    failed = 0
    keys = program.settings("/srv/writer.toml")["keys"]
    for number in range(keys):
        try:
            connection.ask("SET", f"key:{number}", "x" * 100_000)
        except redis.Error as error:
            failed += 1
            if failed == 1:
                log.error("cannot write key:%d: %s", number, error)
    log.info("%d of %d keys written", keys - failed, keys)
    time.sleep(0.5)
