#!/usr/bin/python3
"""Asks one address with a few threads, for ever: `load.py URL [THREADS [PAUSE]]`; --agent is its user agent."""

import argparse
import threading
import time
import urllib.error
import urllib.request

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("url")
parser.add_argument("threads", type=int, nargs="?", default=1)
parser.add_argument("pause", type=float, nargs="?", default=0.2)
parser.add_argument("--agent", default="load")
options = parser.parse_args()


def ask():
    request = urllib.request.Request(options.url, headers={"User-Agent": options.agent})
    while True:
        try:
            urllib.request.urlopen(request, timeout=10).read()
        except OSError:
            pass
        time.sleep(options.pause)


for _ in range(options.threads):
    threading.Thread(target=ask, daemon=True).start()
threading.Event().wait()
