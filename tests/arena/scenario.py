"""What a scenario's folder says: `scenario.toml`, `healer.toml`, and `files/` that its programs read.

Lives here: reading and checking it. May not live here: what is made of it. `@word@` in any text is filled in by the world.
"""

import dataclasses
import pathlib
import re
import tomllib

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "scenarios"
# Each with what it may hold; a key that is not here is a mistake in the scenario.
KEYS = {
    "": "about needs process container postgres redis disk ready fault trigger mended expect leave peers timing",
    "process": "name argv",
    "container": "name argv options health port user stop_signal depends peers",
    "postgres": "settings setup name",
    "redis": "settings name",
    "disk": "name megabytes",
    "fault": "http docker sql redis write replace program after when wait background user sessions fill",
    "expect": "issue_type component also fixes hold wait recovered alerts calm never passes seconds",
    "leave": "restarts files settings limits",
    "timing": "before after",
    "peers": "root",
}

class Unsound(Exception):
    """The scenario itself is wrong."""


@dataclasses.dataclass
class Scenario:
    name: str
    raw: dict
    folder: pathlib.Path

    @property
    def about(self):
        return self.raw["about"]

    def part(self, name):
        return self.raw.get(name, {})

    def parts(self, name):
        return self.raw.get(name, [])

    @property
    def is_quiet(self):
        """Nothing is wrong, and nothing may be diagnosed that asks for a human."""
        return "issue_type" not in self.part("expect")

    @property
    def fixes(self):
        """(fix type, outcome) of each fix that is wanted, in order."""
        return [tuple(pair) for pair in self.part("expect").get("fixes", [])]

    @property
    def configuration(self):
        """Its own, after those sections of `common.toml` that it does not write itself."""
        own = (self.folder / "healer.toml").read_text()
        common = re.split(r"(?m)^(?=\[)", (HERE / "common.toml").read_text())
        return "\n".join([part for part in common if part.split("\n")[0] not in own.splitlines()] + [own])


def names():
    return sorted(path.parent.name for path in FOLDER.glob("*/scenario.toml"))


def read(name):
    folder = FOLDER / name
    with open(folder / "scenario.toml", "rb") as file:
        raw = tomllib.load(file)
    check(name, "", raw)
    for section in KEYS:
        tables = raw.get(section, []) if section else []
        for table in tables if isinstance(tables, list) else [tables]:
            check(name, section, table)
    if "about" not in raw or "expect" not in raw:
        raise Unsound(f"{name}: `about` and `[expect]` are required")
    return Scenario(name, raw, folder)


def check(name, section, table):
    unknown = set(table) - set(KEYS[section].split())
    if unknown:
        raise Unsound(f"{name}: unknown in [{section}]: {', '.join(sorted(unknown))}")
