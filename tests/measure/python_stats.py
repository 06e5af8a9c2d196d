#!/usr/bin/python3
"""What `healer stats` is measured against: a plain json loop over the knowledge base, `python_stats.py FILE`."""

import collections
import json
import sys


def main():
    total, successes, skipped = collections.Counter(), collections.Counter(), 0
    with open(sys.argv[1], encoding="utf-8") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                skipped += 1
                continue
            if record.get("result_status") in ("unproven", "recovered", "conflict"):
                continue
            total[record["fix_type"]] += 1
            successes[record["fix_type"]] += bool(record["success"])
    for fix_type, count in sorted(total.items()):
        print(f"{fix_type}: {successes[fix_type]}/{count}")
    print(f"skipped: {skipped}")


if __name__ == "__main__":
    main()
