#!/usr/bin/python3 -B
"""Measures the release binary against its targets: `tests/measure/run.py [pass] [version] [stats] [groups] [scan] [append] [serve]`, all without a name.

Prints ratios from interleaved runs on this machine, each with its target; asserts nothing, since absolute times are the
machine's. `pass` needs the services of tests/run (HEALER_TEST_*): `tests/support/with-services tests/measure/run.py pass`.
`groups` needs labelled logs, whose directory HEALER_LOGHUB names; without it, it is left out.
`scan` wants ripgrep, `serve` wrk. HEALER_BIN names another binary than target/release/healer, which is built first.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import measure_append
import measure_groups
import measure_pass
import measure_scan
import measure_serve
from runner import Table, interleaved, median_cpu, median_wall, ms, peak_memory, run

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
RECORDS = 1_000_000


def release_binary():
    if "HEALER_BIN" in os.environ:
        return pathlib.Path(os.environ["HEALER_BIN"]).resolve()
    subprocess.run(["cargo", "build", "--release", "--locked", "--offline", "--quiet"], cwd=REPOSITORY, check=True)
    return REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "release/healer"


def measure_version(table, binary):
    costs = [run([str(binary), "--version"], {}) for _ in range(50)]
    walls = sorted(cost.wall for cost in costs)
    table.at_most("--version: median wall of 50", walls[25] * 1000, 5, " ms", f"min {ms(walls[0])}")


def measure_stats(table, binary):
    with tempfile.TemporaryDirectory(prefix="measure.") as directory:
        records = pathlib.Path(directory) / "fix_knowledge_base.jsonl"
        subprocess.run([sys.executable, str(HERE / "make_records.py"), str(RECORDS), str(records)], check=True)
        config = pathlib.Path(directory) / "healer.toml"
        config.write_text(f'state_dir = "{directory}"\n')
        healer = [str(binary), "--config", str(config), "--json", "stats"]
        check_stats(healer)
        python = ["/usr/bin/python3", str(HERE / "python_stats.py"), str(records)]
        costs = interleaved(5, {"healer": lambda _: run(healer, {}), "python": lambda _: run(python, {})})
        wall, python_wall = median_wall(costs["healer"]), median_wall(costs["python"])
        what = f"stats, {RECORDS:,} records: "
        table.at_most(what + "wall / Python json loop", wall / python_wall, 1 / 5, "x", f"{ms(wall)} / {ms(python_wall)}")
        cpu, python_cpu = median_cpu(costs["healer"]), median_cpu(costs["python"])
        table.plain(what + "CPU / Python json loop", f"{cpu / python_cpu:.3g}x ({ms(cpu)} / {ms(python_cpu)})")
        table.at_most(what + "peak memory", peak_memory(healer, {}), 16, " MB")


def check_stats(healer):
    """What is measured must be the real work: every record read, none skipped as damaged."""
    data = json.loads(subprocess.run(healer, env={}, check=True, stdout=subprocess.PIPE).stdout)["data"]
    if data["total_fixes"] < RECORDS * 0.8 or data.get("skipped"):
        sys.exit(f"healer stats did not read all {RECORDS} records: {data}")


def measure_groups_of(table, _):
    if "HEALER_LOGHUB" in os.environ:
        measure_groups.measure(table, os.environ["HEALER_LOGHUB"])
    else:
        table.plain("groups", "left out: HEALER_LOGHUB names no labelled logs")


PARTS = {"version": measure_version, "stats": measure_stats, "pass": measure_pass.measure, "groups": measure_groups_of,
         "scan": measure_scan.measure, "append": measure_append.measure, "serve": measure_serve.measure}


def main():
    names = sys.argv[1:] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"no such measurement: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    binary = release_binary()
    table = Table()
    table.head()
    for name in names:
        PARTS[name](table, binary)
    print(f"missed: {len(table.missed)}")


if __name__ == "__main__":
    main()
