"""Notes something on its disk again and again; `keep.db` is what must never be lost."""

import os
import time

import program

log = program.log("journal")
if not os.path.exists("/data/keep.db"):
    with open("/data/keep.db", "wb") as file:
        file.write(os.urandom(500_000))
while True:
    try:
        with open("/data/note", "wb") as file:
            file.write(b"n" * 300_000)
        log.info("noted")
    except OSError as error:
        log.error("cannot note: %s", error)
    time.sleep(0.5)
