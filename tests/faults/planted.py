"""The bugs that `mutants` plants, as `planted.txt` lists them.

Lives here: reading that list. May not live here: building and trying them.
"""

import dataclasses
import pathlib
import re

LIST = pathlib.Path(__file__).with_name("planted.txt")


@dataclasses.dataclass(frozen=True)
class Bug:
    """`changes` are (file, text, what takes its place); `tried_by` the parts that should catch it, as words."""

    name: str
    tried_by: tuple
    changes: tuple


CHANGE = re.compile(r"in (\S+)\n<<<<\n(.*?)====\n(.*?)>>>>\n", re.DOTALL)


def planted():
    _, *texts = re.split(r"^# ", LIST.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [_bug(text) for text in texts]


def _bug(text):
    name, by, changes = text.split("\n", 2)
    tried_by = tuple(tuple(trial.split()) for trial in by.removeprefix("by ").split(", "))
    found = tuple(match.groups() for match in CHANGE.finditer(changes))
    if not by.startswith("by ") or not found or CHANGE.sub("", changes).strip():
        raise ValueError(f"{LIST.name}: `{name}` cannot be read")
    return Bug(name, tried_by, found)
