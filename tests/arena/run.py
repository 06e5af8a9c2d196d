#!/usr/bin/python3
"""The arena: real faults on real services, and what is made of them.

NAME is a scenario (a folder of tests/arena/scenarios); --all plays every one, no name six short ones. Each is played by
healer, with --peers also by Monit and by a loop that restarts what is unhealthy or has exited. Prints a table and ends
with 1 when healer was wrong in one of them. Needs a Docker engine and an image (HEALER_TEST_DOCKER, HEALER_TEST_IMAGE, as
tests/support/with-services sets them); starts everything else itself and stops just that. The binary is the one that
HEALER_BIN names, else a debug build.

columns: detected (within one pass of the trigger being met), cause (the right one, and no other beside it), action (the
right fix with the right end, or the right hold), harm (what was done that should not have been), seconds from the trigger
to the diagnosis, and seconds from the fault until the world was well again.
"""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "services")]

import judge
import peers
import play
import quiet
import scenario as scenarios
import world
from engine import Engine

REPOSITORY = HERE.parents[1]
SAMPLE = ("rate-limited", "batch-too-large", "container-exited", "storm", "fix-makes-worse", "human-edit")


def main():
    arguments = parse()
    if why := missing(arguments):
        return skipped(why, "the arena")
    chosen = arguments.names or (scenarios.names() if arguments.all else SAMPLE)
    read = [scenarios.read(name) for name in chosen]
    binary = find_binary()
    engine = Engine()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="healer-arena-template."))
    try:
        directory.chmod(0o755)
        template = world.make_template(directory)
        if arguments.quiet_passes:
            return quiet.passes(arguments.quiet_passes, binary, engine, template)
        rows = play_all(read, binary, engine, template, arguments)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print_table(rows)
    wrong = [row for row in rows if row.player == "healer" and not row.is_right]
    return 1 if wrong else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every scenario")
    parser.add_argument("--peers", action="store_true", help="the same faults for Monit and an autoheal loop as well")
    parser.add_argument("--quiet-passes", type=int, metavar="N", help="instead: N passes over healthy services with noisy logs")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="scenarios at a time (4)")
    parser.add_argument("--keep", action="store_true", help="leave the state and the passes of what went wrong")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    known = scenarios.names()
    for name in arguments.names:
        if name not in known:
            parser.error(f"there is no scenario {name}: {', '.join(known)}")
    if arguments.list:
        for name in known:
            print(f"{name:<28} {scenarios.read(name).about}")
        sys.exit(0)
    return arguments


def missing(arguments):
    if os.geteuid() != 0:
        return "services of its own need root"
    for name in ("HEALER_TEST_DOCKER", "HEALER_TEST_IMAGE"):
        if not os.environ.get(name):
            return f"{name} is not set (tests/support/with-services starts an engine)"
    for program in ("docker", "redis-server", "setpriv", *(["monit"] if arguments.peers else [])):
        if not shutil.which(program):
            return f"{program} is not installed"
    try:
        world.postgres_programs()
    except world.NotReady as error:
        return str(error)
    return None


def skipped(why, what):
    """The same words, list and rule as in the tests' support."""
    line = f"skipped: {what}: {why}"
    print(line, file=sys.stderr)
    if path := os.environ.get("HEALER_TEST_SKIPS"):
        with open(path, "a", encoding="utf-8") as skips:
            skips.write(line + "\n")
    return 1 if os.environ.get("HEALER_TEST_REQUIRE_ALL") == "1" else 0


def find_binary():
    """HEALER_BIN, or a debug binary built now."""
    if given := os.environ.get("HEALER_BIN"):
        return pathlib.Path(given).resolve(strict=True)
    subprocess.run(["cargo", "build", "--locked", "--quiet"], cwd=REPOSITORY, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return (REPOSITORY / target / "debug" / "healer").resolve(strict=True)


def play_all(read, binary, engine, template, arguments):
    rows = []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        tried = []
        for number, one in enumerate(read):
            tag = f"arena{os.getpid()}-{number}"
            tried.append(pool.submit(guarded, "healer", one, play.play, one, binary, engine, tag, template, arguments.keep))
            for peer in peers.PEERS if arguments.peers else ():
                tried.append(pool.submit(guarded, peer, one, peers.play, one, peer, engine, f"{tag}{peer}", template))
        for future in concurrent.futures.as_completed(tried):
            row, passes = future.result()
            rows.append(row)
            told(row, passes)
    players = ["healer", *peers.PEERS]
    order = [one.name for one in read]
    return sorted(rows, key=lambda row: (order.index(row.scenario), players.index(row.player)))


def guarded(player, one, play_it, *arguments):
    """A row and the passes, whatever happens: a scenario that could not be played is not right."""
    try:
        played = play_it(*arguments)
        return played if isinstance(played, tuple) else (played, [])
    except Exception as error:  # noqa: BLE001
        where = "" if isinstance(error, world.NotReady) else traceback.format_exc()
        return judge.Row(one.name, player, action=False, notes=[f"not played: {error!r} {where}"]), []


def told(row, passes):
    print(f"   {'right' if row.is_right else 'WRONG'}  {row.player:<9} {row.scenario}", flush=True)
    if row.is_right:
        return
    for line in row.harm + row.notes:
        print(f"            {line}")
    for one in passes:
        said = [f"{d['issue_type']}@{d['trigger']['component']}{'~' if d['symptom_of'] else ''}:{d['hold'] or d['decision']}"
                for d in one.diagnoses]
        fix = f" fix {one.fix['plan']['fix_type']} {one.fix['outcome']}: {one.fix.get('why')}" if one.fix else ""
        error = f" recovered {one.data['recovered']}" if one.data.get("recovered") else one.data.get("error") or ""
        at = time.strftime("%X", time.localtime(one.started))
        print(f"            {at} exit {one.code} {'; '.join(said)}{fix}{error}", flush=True)


def word(value):
    return {True: "yes", False: "NO", None: "-"}[value]


def print_table(rows):
    print(f"\n{'':<28} {'':<9} {'detected':>9} {'cause':>6} {'action':>7} {'harm':>5} {'detect':>8} {'repair':>8}")
    for row in rows:
        times = [f"{t:7.1f}s" if t is not None else f"{'-':>8}" for t in (row.detect_seconds, row.repair_seconds)]
        print(f"{row.scenario:<28} {row.player:<9} {word(row.detected):>9} {word(row.cause):>6} {word(row.action):>7}"
              f" {len(row.harm):>5} {times[0]} {times[1]}")
    for player in dict.fromkeys(row.player for row in rows):
        own = [row for row in rows if row.player == player]
        sums = {c: f"{sum(getattr(r, c) is True for r in own)}/{sum(getattr(r, c) is not None for r in own)}"
                for c in ("detected", "cause", "action")}
        harmed = sum(bool(row.harm) for row in own)
        print(f"{'all':<28} {player:<9} {sums['detected']:>9} {sums['cause']:>6} {sums['action']:>7} {harmed:>5}")


if __name__ == "__main__":
    sys.exit(main())
