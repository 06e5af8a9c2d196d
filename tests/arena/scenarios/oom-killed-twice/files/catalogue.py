"""Holds a catalogue in memory, as large as its settings say, and reads them again every second."""

import os
import time

import program

log = program.log("catalogue")
held = []
while True:
    wanted = program.settings("/srv/catalogue.toml")["megabytes"]
    while len(held) < wanted:
        held.append(bytearray(os.urandom(1024) * 1024))
        time.sleep(0.02)
    log.info("holds %d MB", len(held))
    time.sleep(1)
