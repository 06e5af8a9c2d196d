"""Opens an index and ends when it is not sound."""

import sys
import time

import program

log = program.log("index")
while True:
    time.sleep(1.5)
    if "sound" not in open("/srv/index.dat").read():
        log.critical("index.dat is corrupt: giving up")
        sys.exit(1)
    log.info("index is open")
