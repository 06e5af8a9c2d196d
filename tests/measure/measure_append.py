"""Measures that a pass reads each new byte once, however large the log is: CPU of a pass over 1 MB of new lines at the end of a log
of 10 GB, against one of 10 MB. The large one is a hole but for its first and its last lines: what is not read costs no disk.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from runner import interleaved, median_cpu, ms, run

HERE = pathlib.Path(__file__).resolve().parent
SIZES = {"10 MB": 10_000_000, "10 GB": 10_000_000_000}
# At first sight of a log its last 16 MiB are read: what is written after it is all that is new.
WRITTEN = 5_000_000
NEW = 1_000_000
EVENTS_PER_10K_LINES = 30
ROUNDS = 15
CONFIG = """state_dir = "{directory}/state"
[checks.host]
enabled = false
[checks.docker]
enabled = false
[logs.files.app]
path = "{directory}/app.log"
"""


def measure(table, binary):
    with tempfile.TemporaryDirectory(prefix="measure.") as directory:
        directory = pathlib.Path(directory)
        new = directory / "new.log"
        write(new, NEW)
        passes = {name: grown(directory / str(size), size, binary, new) for name, size in SIZES.items()}
        costs = interleaved(ROUNDS, passes)
    small, large = (median_cpu(costs[name]) for name in SIZES)
    table.at_most("a pass over 1 MB of new lines, CPU: log of 10 GB / of 10 MB", large / small, 1.1, "x", f"{ms(large)} / {ms(small)}")


def write(path, size):
    command = [sys.executable, str(HERE / "make_log.py"), str(path), str(size), str(EVENTS_PER_10K_LINES)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def grown(directory, size, binary, new):
    """A pass over what it appends to a log of that size, which earlier passes have read."""
    directory.mkdir()
    log, config = directory / "app.log", directory / "healer.toml"
    config.write_text(CONFIG.format(directory=directory))
    write(log, WRITTEN)
    with open(log, "r+b") as file:
        start = file.read()
        file.truncate(size - len(start))
        file.seek(0, 2)
        file.write(b"\n" + start)
    command = [str(binary), "--config", str(config), "heal"]
    run(command, {}, expect=(0, 10))

    def appended(_):
        with open(log, "ab") as file, open(new, "rb") as lines:
            shutil.copyfileobj(lines, file)
        return run(command, {}, expect=(0, 10))

    return appended
