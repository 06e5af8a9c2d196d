#!/usr/bin/python3
"""A monitoring plugin: how full the disk of a directory is."""

import os
import sys

known = os.statvfs(sys.argv[1])
used = 100 - 100 * known.f_bavail / known.f_blocks
status = 2 if used >= 95 else 1 if used >= 80 else 0
print(f"DISK {['OK', 'WARNING', 'CRITICAL'][status]} - {used:.1f} % used | used={used:.1f}%;80;95")
sys.exit(status)
