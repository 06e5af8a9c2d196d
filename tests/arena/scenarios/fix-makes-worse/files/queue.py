"""Works off jobs with a few threads; what is refused takes no time, so more threads are refused more often."""

import re
import sys
import threading
import time

import program

log = program.log("queue")
workers = int(re.search(r"workers: (\d+)", open("/srv/queue.yaml").read()).group(1))


def work(number):
    while True:
        status, _ = program.get(sys.argv[1])
        if status == 200:
            log.info("worker %d: job done", number)
        else:
            log.error("worker %d: job timed out in the queue (HTTP %d)", number, status)
        time.sleep(0.2)


for number in range(workers):
    threading.Thread(target=work, args=(number,), daemon=True).start()
threading.Event().wait()
