"""healer from outside: its configuration, its passes, and what it leaves on record.

Lives here: commands, exit codes, `--json`, `events.jsonl`. May not live here: what ought to be in them.
"""

import dataclasses
import datetime
import json
import os
import subprocess
import time

LONGEST_PASS = 60
# What a pass is given that had to be killed.
HUNG = -9


@dataclasses.dataclass
class Pass:
    started: float
    ended: float
    code: int
    data: dict
    said: str
    # When the trigger had been met before it began.
    in_time: bool = False

    @property
    def diagnoses(self):
        return self.data.get("diagnoses") or []

    @property
    def roots(self):
        return [one for one in self.diagnoses if not one.get("symptom_of")]

    @property
    def fix(self):
        return self.data.get("fix")


class Product:
    """One configuration and state directory of a world's own."""

    def __init__(self, binary, directory, configuration):
        self.binary, self.state = binary, directory / "state"
        self.configuration = directory / "healer.toml"
        self.configuration.write_text(configuration)
        self.passes = []

    def run(self, *arguments):
        argv = [self.binary, "--config", self.configuration, "--state-dir", self.state, "--no-input", *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEALER_TEST")}
        return subprocess.run(argv, capture_output=True, text=True, timeout=LONGEST_PASS, env=environment, check=False)

    def heal(self):
        started = time.time()
        try:
            ran = self.run("--json", "heal")
        except subprocess.TimeoutExpired as error:
            said = f"hung for {LONGEST_PASS} s: {(error.stderr or b'').decode()[-300:]}"
            self.passes.append(Pass(started, time.time(), HUNG, {"error": said}, said))
            return self.passes[-1]
        try:
            answer = json.loads(ran.stdout)
        except ValueError:
            answer = {"status": "error", "message": ran.stdout[-500:]}
        data = answer.get("data") or {"error": answer.get("message")}
        self.passes.append(Pass(started, time.time(), ran.returncode, data, ran.stderr))
        return self.passes[-1]

    def events(self, kind=None):
        try:
            lines = (self.state / "events.jsonl").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        read = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in read if kind in (None, event["kind"])]

    def wait_for_event(self, kind, ending):
        """True once there is one more than now, of any pass; false when the scenario ends before."""
        known = len(self.events(kind))
        while len(self.events(kind)) == known:
            if ending.wait(0.05):
                return False
        return True

    def records(self):
        try:
            lines = (self.state / "fix_knowledge_base.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [record for record in map(json.loads, lines) if record.get("kind") is None]


def moment(event):
    return datetime.datetime.fromisoformat(event["t"].replace("Z", "+00:00")[:26].rstrip("+:") + "+00:00").timestamp()
