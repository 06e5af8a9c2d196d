#!/usr/bin/python3
"""Writes a knowledge base of many records: `make_records.py COUNT FILE`. The same arguments give the same bytes."""

import json
import random
import sys
import zlib

FIXES = [("rate_limiting", "increase_delay"), ("database_connection", "raise_pool_size"), ("api_timeout", "raise_timeout"),
         ("container_crash", "restart_container"), ("resource_overload", "lower_concurrency")]
RESULTS = [("healed", "success", True)] * 8 + [("rolled_back", "failure", False)] * 2 + [("unproven", "not_enough", False)]


def record(number, rng):
    issue_type, fix_type = FIXES[rng.randrange(len(FIXES))]
    result, validation, success = RESULTS[rng.randrange(len(RESULTS))]
    minutes = number * 5
    day = minutes // 1440
    stamp = f"{2016 + day // 336:04}-{day // 28 % 12 + 1:02}-{day % 28 + 1:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:00Z"
    return {
        "timestamp": stamp,
        "issue_type": issue_type,
        "fix_type": fix_type,
        "original_confidence": float(rng.randrange(70, 99)),
        "result_status": result,
        "validation_status": validation,
        "success": success,
        "error_count_after": rng.randrange(3),
        "v": 1,
        "id": f"fix_{number:08}",
        "rule": f"rule-{rng.randrange(12)}",
        "target": f"/srv/shop/worker-{rng.randrange(40)}/client.py",
        "confidence": rng.randrange(85, 100),
        "error_count_before": rng.randrange(5, 500),
        "backup_id": f"backup_{stamp[:10].replace('-', '')}_{stamp[11:19].replace(':', '')}",
        "duration_ms": rng.randrange(120_000, 240_000),
    }


def line(fields):
    """As healer writes it: `crc` last, over the same JSON without it."""
    text = json.dumps(fields, separators=(",", ":"))
    return f'{text[:-1]},"crc":"{zlib.crc32(text.encode()):08x}"}}\n'


def main():
    count, path = int(sys.argv[1]), sys.argv[2]
    rng = random.Random(1)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(line(record(number, rng)) for number in range(count))


if __name__ == "__main__":
    main()
