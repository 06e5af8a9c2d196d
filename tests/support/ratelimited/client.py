"""The worker that tests heal: asks a server over and over and logs what came back. `python3 client.py URL`."""

import asyncio
import logging
import os
import signal
import sys
import urllib.error
import urllib.request

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
log = logging.getLogger("worker")


def request(url):
    """The status of one request."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.reason
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, error.reason


async def work(url):
    number = 0
    while True:
        number += 1
        try:
            status, reason = await asyncio.to_thread(request, url)
            if status == 200:
                log.info("request %d done", number)
            else:
                log.error("request failed: %d Client Error: %s for url: %s", status, reason, url)
        except OSError as error:
            log.error("request failed: %s for url: %s", error, url)
        # Requests must not come too fast: the server limits them.
        await asyncio.sleep(0.8)


if __name__ == "__main__":
    # As a container's first process it has no default action for the signal that asks it to stop.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    asyncio.run(work(sys.argv[1]))
