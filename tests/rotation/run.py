#!/usr/bin/python3
"""Rotation: every line of a log is counted exactly once, or lies inside a reported gap, however the log is rotated and
however often a pass is killed.

PART is one of
  files    a file, its writer and its rotator, in every way of rotating
  docker   the json-file driver of a real engine with max-size and max-file; needs HEALER_TEST_DOCKER, as
           tests/support/with-services sets it
or both when none is named. --short (the default) takes less than a minute, --all at least 100,000 lines of each way. The
binary is the one that HEALER_BIN names, else a debug build, for --all a release build. Ends with 1 when a law was broken,
and says how to repeat that one case.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import engine
import files

PARTS = {"files": files, "docker": engine}
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def main():
    arguments = parse()
    binary = find_binary("release" if arguments.all else "debug")
    failures = 0
    table = []
    for name in arguments.parts or PARTS:
        part = PARTS[name]
        if why := getattr(part, "missing", lambda: None)():
            failures += skipped(why, f"rotation, {name}")
            continue
        rows, broken = try_part(name, part, binary, arguments)
        table += rows
        failures += broken
    print_table(table)
    return 1 if failures else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="a sample (the default)")
    length.add_argument("--all", action="store_true", help="everything")
    parser.add_argument("--only", metavar="CASE", help="the cases whose name begins so, as a failure names it")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other random cases")
    held_up = "hold up calls of the passes, and of the engine, with strace (slower)"
    parser.add_argument("--delays", action="store_true", help=held_up)
    parser.add_argument("--keep", action="store_true", help="leave the files of a case that fails")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="cases at a time (2)")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            parser.error(f"there is no part {part}: {', '.join(PARTS)}")
    return arguments


def skipped(why, what):
    """The same words, list and rule as in the tests' support."""
    line = f"skipped: {what}: {why}"
    print(line, file=sys.stderr)
    if path := os.environ.get("HEALER_TEST_SKIPS"):
        with open(path, "a", encoding="utf-8") as skips:
            skips.write(line + "\n")
    return 1 if os.environ.get("HEALER_TEST_REQUIRE_ALL") == "1" else 0


def find_binary(profile):
    """HEALER_BIN, or a binary of this profile built now."""
    if given := os.environ.get("HEALER_BIN"):
        return pathlib.Path(given).resolve(strict=True)
    flags = ["--release"] if profile == "release" else []
    subprocess.run(["cargo", "build", "--locked", "--quiet", *flags], cwd=REPOSITORY, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return (REPOSITORY / target / profile / "healer").resolve(strict=True)


def try_part(name, part, binary, options):
    """A row of the table for each way, and how many cases failed."""
    cases = part.cases(options)
    if options.only:
        cases = [case for case in cases if case.startswith(options.only)] or [options.only]
    sums = collections.defaultdict(collections.Counter)
    held_up = getattr(part, "held_up", lambda options: contextlib.nullcontext())
    with held_up(options), concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        tried = {pool.submit(timed, part, binary, case, options): case for case in cases}
        for future in concurrent.futures.as_completed(tried):
            case = tried[future]
            broken, note = future.result()
            sums[case.split(":")[0]].update(note | {"cases": 1, "failures": bool(broken)})
            if broken:
                show_failure(name, case, broken, options)
    rows = [(f"{name} {way}", sums[way]) for way in sums]
    return rows, sum(row["failures"] for _, row in rows)


def timed(part, binary, case, options):
    start = time.monotonic()
    broken, note = part.try_case(binary, case, options)
    return broken, note | {"seconds": time.monotonic() - start}


def show_failure(part, case, broken, options):
    print(f"!! {part} {case}: a law was broken", flush=True)
    for why in broken:
        print("   " + why.replace("\n", "\n   "))
    length = ("--all " if options.all else "") + ("--delays " if options.delays else "")
    print(f"   repeat it with: tests/rotation/run.py {length}{part} --only '{case}'", flush=True)


COLUMNS = ("cases", "failures", "lines", "passes", "killed", "rotations", "lost", "gaps", "seconds")


def print_table(table):
    print(f"{'':<34}" + "".join(f" {column:>9}" for column in COLUMNS))
    for name, row in table:
        print(f"{name:<34}" + "".join(f" {row[column]:>9.0f}" if column in row else f" {'':>9}" for column in COLUMNS))


if __name__ == "__main__":
    sys.exit(main())
