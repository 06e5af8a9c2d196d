"""Asks one address for ever."""

import asyncio
import sys

import program

log = program.log("worker")


async def work(url):
    number = 0
    while True:
        number += 1
        status, _ = await asyncio.to_thread(program.get, url)
        if status == 429:
            log.error("request %d failed: 429 Client Error: Too Many Requests for url: %s", number, url)
        else:
            log.info("request %d answered %d", number, status)
        # Requests must not come too fast.
        await asyncio.sleep(0.08)


asyncio.run(work(sys.argv[1]))
