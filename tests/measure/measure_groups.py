#!/usr/bin/python3 -B
"""Measures grouping on labelled logs: `tests/measure/measure_groups.py DIRECTORY`.

DIRECTORY holds a folder NAME for each set, with NAME_2k.log and NAME_2k.log_structured.csv as LogHub publishes them. Prints for
the messages and for the whole lines of each set GA (share of the lines whose group holds just the lines of one true group) and FGA
(F1 over groups of the same), then the lines that a CPU second groups, against Drain3 where tests/measure/venv has installed
it. HEALER_GROUP_LINES names another binary than target/release/examples/group_lines, which is built first.
"""

import collections
import csv
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
from random import Random

from runner import Table, interleaved, median_cpu, run

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
PYTHON = REPOSITORY / "target/measure-venv/bin/python3"
TARGETS = {"messages": (0.85, 0.85), "whole lines": (0.70, 0.75)}
ROUNDS = 5
# So often the sets are repeated for the two, each time with other digits, so that each runs for a while.
REPEATED, DRAIN_REPEATED = 60, 4
# Drain3 as its manual sets it up: with the masks of its example, and bare.
DRAIN = """
import sys
from drain3 import TemplateMiner
from drain3.masking import MaskingInstruction
from drain3.template_miner_config import TemplateMinerConfig
config = TemplateMinerConfig()
edge = r"((?<=[^A-Za-z0-9])|^)({})((?=[^A-Za-z0-9])|$)"
masks = [("ID", r"([0-9a-f]{2,}:){3,}([0-9a-f]{2,})"), ("IP", r"\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}"),
         ("SEQ", r"([0-9a-f]{6,} ?){3,}"), ("SEQ", r"([0-9A-F]{4} ?){4,}"), ("HEX", r"0x[a-f0-9A-F]+"), ("NUM", r"[\\-\\+]?\\d+")]
if sys.argv[2] == "masks":
    config.masking_instructions = [MaskingInstruction(edge.format(pattern), name) for name, pattern in masks]
miner = TemplateMiner(config=config)
for line in open(sys.argv[1], encoding="utf-8"):
    miner.add_log_message(line.rstrip("\\n"))
"""


def binary():
    if "HEALER_GROUP_LINES" in os.environ:
        return pathlib.Path(os.environ["HEALER_GROUP_LINES"]).resolve()
    build = ["cargo", "build", "--release", "--locked", "--offline", "--quiet", "--example", "group_lines"]
    subprocess.run(build, cwd=REPOSITORY, check=True)
    return REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "release/examples/group_lines"


def load(folder, whole):
    """Lines of a set and the true group of each."""
    csv.field_size_limit(1 << 24)
    with open(folder / f"{folder.name}_2k.log_structured.csv", newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    truth = [row["EventId"] for row in rows]
    if not whole:
        return [row["Content"].replace("\n", " ") for row in rows], truth
    text = (folder / f"{folder.name}_2k.log").read_bytes().decode("utf-8", "replace")
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip("\r")]
    if len(lines) != len(truth):
        sys.exit(f"{folder.name}: {len(lines)} lines, but {len(truth)} labels")
    return lines, truth


def grouped(program, lines):
    out = subprocess.run([program], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True, check=True).stdout
    found = [line.split("\t", 1)[0] for line in out.splitlines()]
    if len(found) != len(lines):
        sys.exit(f"{program}: {len(lines)} lines in, {len(found)} out")
    return found


def score(truth, found):
    true_groups, groups = collections.defaultdict(list), collections.defaultdict(list)
    for place, (true, group) in enumerate(zip(truth, found)):
        true_groups[true].append(place)
        groups[group].append(place)
    exact = {tuple(places) for places in true_groups.values()}
    right = [places for places in groups.values() if tuple(places) in exact]
    precision, recall = len(right) / len(groups), len(right) / len(true_groups)
    fga = 2 * precision * recall / (precision + recall) if right else 0.0
    return sum(map(len, right)) / len(truth), fga, f"{len(groups)} groups of {len(true_groups)}"


def measure_scores(table, program, folders):
    for what, targets in TARGETS.items():
        scores = []
        for folder in folders:
            lines, truth = load(folder, what == "whole lines")
            ga, fga, groups = score(truth, grouped(program, lines))
            scores.append((ga, fga))
            table.plain(f"groups, {what} of {folder.name}", f"GA {ga:.3f}  FGA {fga:.3f}  {groups}")
        for name, column, target in zip(("GA", "FGA"), zip(*scores), targets):
            table.at_least(f"groups, {what}: mean {name}", statistics.mean(column), target)


def write_varied(path, lines, times):
    """Writes the lines so many times, each time with other digits: numbers are seldom seen twice."""
    random = Random(times)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(times):
            for line in lines:
                file.write(re.sub(r"\d", lambda _: random.choice("0123456789"), line) + "\n")


def measure_speed(table, program, folders):
    lines = [line for folder in folders for line in load(folder, False)[0]]
    with tempfile.TemporaryDirectory(prefix="measure.") as directory:
        many, few = (str(pathlib.Path(directory) / name) for name in ("many.log", "few.log"))
        write_varied(many, lines, REPEATED)
        write_varied(few, lines, DRAIN_REPEATED)
        runs = {"healer": lambda _: run(["/bin/sh", "-c", 'exec "$0" <"$1"', str(program), many], {})}
        if PYTHON.exists() and subprocess.run([PYTHON, "-c", "import drain3"], check=False).returncode == 0:
            runs["import"] = lambda _: run([str(PYTHON), "-c", "import drain3.template_miner"], {})
            runs["masks"] = lambda _: run([str(PYTHON), "-c", DRAIN, few, "masks"], {})
            runs["bare"] = lambda _: run([str(PYTHON), "-c", DRAIN, few, "bare"], {})
        costs = interleaved(ROUNDS, runs)
    speed = len(lines) * REPEATED / median_cpu(costs["healer"])
    table.plain("groups: lines in a CPU second, reading and writing included", f"{speed:,.0f}")
    if "masks" not in costs:
        table.plain("groups: against Drain3", "left out: tests/measure/venv has not installed it")
        return
    drain = {
        kind: len(lines) * DRAIN_REPEATED / (median_cpu(costs[kind]) - median_cpu(costs["import"])) for kind in ("masks", "bare")
    }
    what = "groups: lines in a CPU second / Drain3 "
    table.at_least(what + "with its example's masks", speed / drain["masks"], 100, "x", f"{drain['masks']:,.0f}")
    table.plain(what + "without masks", f"{speed / drain['bare']:.3g}x ({drain['bare']:,.0f})")


def measure(table, directory):
    folders = sorted(path for path in pathlib.Path(directory).iterdir() if path.is_dir())
    if not folders:
        sys.exit(f"no labelled sets in {directory}")
    program = binary()
    measure_scores(table, program, folders)
    measure_speed(table, program, folders)


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    table = Table()
    table.head()
    measure(table, sys.argv[1])
    print(f"missed: {len(table.missed)}")


if __name__ == "__main__":
    main()
