"""Measures reading logs: CPU of `diagnose --log` against `rg -c` with the same five patterns, exact counts, peak memory.

HEALER_SCAN_LINES names logs whose lines are used instead of invented ones (a glob, such as '/data/loghub/*/*_2k.log').
HEALER_SCAN_GENERATOR names another program that writes the logs, called as make_log.py is: FILE BYTES EVENTS_PER_10K_LINES.
HEALER_SCAN_MB is their size, 400 without it. `rg --no-mmap` copies what it reads, as healer does: it tells the speed of the
machine's memory apart.
"""

import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from runner import interleaved, median_cpu, ms, peak_memory, run

HERE = pathlib.Path(__file__).resolve().parent
MEGABYTES = int(os.environ.get("HEALER_SCAN_MB", "400"))
ROUNDS = 7
PATTERNS = [
    "(429|500|502|503|504) (Client|Server) Error",
    "(Traceback|Exception|Error):",
    "(DatabaseError|OperationalError|IntegrityError)",
    "429.*Too Many Requests",
    "Groq API error",
]
# Events per 10,000 lines: at most so many times the CPU of rg, with the five patterns and with all built-in signatures.
TARGETS = {30: (0.80, 1.60), 1000: (1.4, 2.8)}


def measure(table, binary):
    rg = shutil.which("rg")
    if rg is None:
        table.plain("scan", "left out: ripgrep is not installed")
        return
    with tempfile.TemporaryDirectory(prefix="measure.") as directory:
        directory = pathlib.Path(directory)
        five, builtin = directory / "five.toml", directory / "builtin.toml"
        five.write_text("[signatures]\nbuiltin = false\n" + "".join(signature(n, p) for n, p in enumerate(PATTERNS)))
        builtin.write_text("")
        for rate, targets in TARGETS.items():
            measure_rate(table, rg, [str(binary), "--json", "diagnose"], directory, rate, (five, builtin), targets)


def signature(number, pattern):
    return f'[[signature]]\nname = "p{number}"\ncategory = "c"\nseverity = "error"\npattern = \'{pattern}\'\n'


def measure_rate(table, rg, healer, directory, rate, configs, targets):
    log = directory / f"{rate}.log"
    generator = os.environ.get("HEALER_SCAN_GENERATOR", str(HERE / "make_log.py"))
    lines = sorted(glob.glob(os.environ.get("HEALER_SCAN_LINES", "")))
    write = [sys.executable, generator, str(log), str(MEGABYTES * 1_000_000), str(rate), *lines]
    subprocess.run(write, check=True, stdout=subprocess.DEVNULL)
    program, *rest = healer
    commands = {name: [program, "--config", str(config), *rest, "--log", str(log)] for name, config in zip(("five", "all"), configs)}
    check_counts(rg, commands["five"], log)
    commands["rg"] = [rg, "-c", "-j1", *(word for pattern in PATTERNS for word in ("-e", pattern)), str(log)]
    commands["copying rg"] = [*commands["rg"], "--no-mmap"]
    runs = {name: lambda _, argv=argv: run(argv, {}, expect=(0, 1)) for name, argv in commands.items()}
    costs = interleaved(ROUNDS, runs)
    cpu = {name: median_cpu(cost) for name, cost in costs.items()}
    what = f"scan, {MEGABYTES} MB, {rate:,} events per 10,000 lines: "
    for name, label, target in (("five", "five patterns", targets[0]), ("all", "all built-in signatures", targets[1])):
        table.at_most(f"{what}{label}, CPU / rg", cpu[name] / cpu["rg"], target, "x", f"{ms(cpu[name])} / {ms(cpu['rg'])}")
        table.at_most(f"{what}{label}, peak memory", peak_memory(commands[name], {}), 24, " MB")
    copying = cpu["copying rg"]
    table.plain(f"{what}five patterns, CPU / rg --no-mmap", f"{cpu['five'] / copying:.3g}x ({ms(copying)})")
    log.unlink()


def check_counts(rg, command, log):
    """What is measured must be the real work: each count is that of rg."""
    found = json.loads(subprocess.run(command, env={}, check=True, stdout=subprocess.PIPE).stdout)["data"]["by_signature"]
    for number, pattern in enumerate(PATTERNS):
        counted = int(subprocess.run([rg, "-c", pattern, str(log)], stdout=subprocess.PIPE, text=True).stdout or 0)
        if found.get(f"p{number}", 0) != counted:
            sys.exit(f"healer counted {found.get(f'p{number}', 0)} lines with {pattern!r}, rg {counted}")
