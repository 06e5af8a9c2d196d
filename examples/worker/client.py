"""A worker that asks an API over and over. The sample target of healer.toml beside it."""

import asyncio
import logging
import os
import sys
import urllib.request

CONCURRENT_REQUESTS = 4

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
log = logging.getLogger("worker")


async def fetch(url):
    try:
        with await asyncio.to_thread(urllib.request.urlopen, url, timeout=10) as answer:
            log.info("%s %d", url, answer.status)
    except OSError as error:  # an HTTP status of 400 and above, too
        log.error("request failed: %s", error)


async def work(url):
    while True:
        await asyncio.gather(*(fetch(url) for _ in range(CONCURRENT_REQUESTS)))
        # Requests must not come too fast: the API limits them.
        await asyncio.sleep(0.8)


if __name__ == "__main__":
    asyncio.run(work(os.environ["API_URL"]))
