#!/usr/bin/python3
"""A container's health check: ends with 0 when the address answers 200 within a second."""

import sys
import urllib.request

try:
    sys.exit(urllib.request.urlopen(sys.argv[1], timeout=1).status != 200)
except OSError as error:
    print(error)
    sys.exit(1)
