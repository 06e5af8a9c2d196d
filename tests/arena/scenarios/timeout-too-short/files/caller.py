"""Asks one address for ever, and waits for an answer as long as its settings say."""

import re
import sys
import time

import program

log = program.log("caller")
timeout = float(re.search(r"timeout: ([\d.]+)", open("/srv/settings.yaml").read()).group(1))
while True:
    try:
        status, _ = program.get(sys.argv[1], timeout=timeout)
        log.info("answered %d", status)
    except TimeoutError:
        log.error("request timed out after %.1f s: %s", timeout, sys.argv[1])
    time.sleep(0.1)
