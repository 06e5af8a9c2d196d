"""What the arena's programs share: their log, their settings, and asking another service."""

import json
import logging
import os
import signal
import sys
import time
import tomllib
import urllib.error
import urllib.request


class Lines(logging.Formatter):
    """`2026-11-25T10:00:00Z ERROR worker text`, or the same as one JSON object."""

    def __init__(self, as_json):
        super().__init__()
        self.as_json = as_json

    def format(self, record):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        text = record.getMessage()
        if self.as_json:
            return json.dumps({"ts": stamp, "level": record.levelname.lower(), "logger": record.name, "message": text})
        return f"{stamp} {record.levelname} {record.name} {text}"


def log(name, as_json=False):
    # As a container's first process it has no default action for the signal that asks it to stop.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Lines(as_json))
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return logger


def settings(path):
    """Read again where somebody is just writing it."""
    while not (read := _read(path)):
        time.sleep(0.05)
    return read


def _read(path):
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except tomllib.TOMLDecodeError:
        return None


def get(url, timeout=5, method="GET"):
    """Status and text; an answer of any status is one, no answer is an OSError."""
    request = urllib.request.Request(url, method=method, data=b"" if method == "POST" else None)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except urllib.error.URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason)) from None
