#!/usr/bin/python3
"""Removes what has been sent from a spool."""

import pathlib
import sys

for path in pathlib.Path(sys.argv[1]).glob("*.done"):
    path.unlink()
