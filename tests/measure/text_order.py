#!/usr/bin/env python3
"""Makes src/text_order.ld: which functions a pass runs, for the linker to lay them side by side (see src/build.rs).

    tests/support/with-services tests/measure/text_order.py

Needs qemu-x86_64 (Debian: qemu-user), which tells each function that it runs, and nm. Builds with the release profile. To
be run again when figures of a pass have grown: a list that is out of date costs memory, nothing else.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import measure_pass

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
OUTPUT = REPOSITORY / "src/text_order.ld"
SCRIPT = """\
/* Functions that a pass runs, in the order in which it first does, made by tests/measure/text_order.py; a hint for the
   linker, read by src/build.rs. With all of them .text.pass has {size:,} bytes. */
SECTIONS
{{
  .text.pass :
  {{
{names}  }}
}}
INSERT BEFORE .text;
"""
# Seconds after which a container is old enough for the list to prove that it is the same.
LEAST_AGE = 20
# A part of the tree of names goes in whole when at least so much of it is run, or no more bytes than these are not.
DENSE = 0.9
SLACK = 400
NEVER = float("inf")


def build():
    """The release binary with its symbols: their names must be those of every other release build."""
    command = ["cargo", "rustc", "--release", "--locked", "--bin", "healer", "--target-dir", "target/text-order",
               "--", "-C", "strip=none"]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    return REPOSITORY / "target/text-order/release/healer"


def sizes(binary):
    """The functions of a binary: symbol, bytes."""
    lines = subprocess.run(["nm", "--print-size", binary], check=True, stdout=subprocess.PIPE, text=True).stdout
    fields = (line.split() for line in lines.splitlines())
    return {field[3]: int(field[1], 16) for field in fields if len(field) == 4 and field[2] in "tT"}


def functions_run(binary):
    """Every function that runs in passes that find nothing, then in one that finds errors, then in what looks at them: name,
    and its place in the order in which each first ran."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/", "TZ": "UTC", "NO_COLOR": "1"}
    found = {}
    with tempfile.TemporaryDirectory(prefix="text-order.") as directory, measure_pass.http_server() as url:
        place = measure_pass.Place(directory, url)
        log = pathlib.Path(directory) / "blocks"

        def run(*args):
            command = ["qemu-x86_64", "-d", "in_asm", "-D", str(log), *healer(*args)]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
            for symbol in re.findall(r"^IN: (\S+)", log.read_text(errors="replace"), re.MULTILINE):
                found.setdefault(symbol, len(found))

        try:
            place.grow(3)
            healer = place.healer(binary, 3)
            subprocess.run(healer("heal"), env=environment, stdout=subprocess.DEVNULL, check=False)
            time.sleep(LEAST_AGE)
            run("heal")
            run("heal")
            place.docker("exec", place.names[0], "sh", "-c", "echo 'ERROR: 429 Client Error: Too Many Requests' >/proc/1/fd/1")
            for command in ("heal", "check", "status", "--version"):
                run(command)
        finally:
            place.remove()
    return found


def parts(symbol):
    """The path of a Rust name (legacy mangling), with the lengths that are written before each of its parts."""
    path, rest = [], symbol.removeprefix("_ZN")
    while match := re.match(r"\d+", rest):
        end = match.end() + int(match.group())
        path.append(rest[:end])
        rest = rest[end:]
    return tuple(path[:-1])


class Node:
    """A part of the tree of names: what of it is run, and what there is, in bytes; and when it first ran."""

    def __init__(self):
        self.children, self.symbols, self.run, self.all, self.first = {}, [], 0, 0, NEVER

    def add(self, path, symbol, size, place):
        self.all += size
        self.run += size if place < NEVER else 0
        self.first = min(self.first, place)
        if path:
            self.children.setdefault(path[0], Node()).add(path[1:], symbol, size, place)
        else:
            self.symbols.append((symbol, size, place))

    def patterns(self, prefix):
        """Patterns of symbols, each with its place. They end before the hash, which changes with every version of a compiler,
        but where other instances of the same name would come in by the dozen."""
        if self.first == NEVER:
            return
        if prefix != "_ZN" and is_dense(self.run, self.all):
            yield self.first, prefix + ("*" if self.children else "17h*")
            return
        ran = [(symbol, size, place) for symbol, size, place in self.symbols if place < NEVER]
        if ran and is_dense(sum(size for _, size, _ in ran), sum(size for _, size, _ in self.symbols)):
            yield min(place for _, _, place in ran), prefix + "17h*"
        else:
            yield from ((place, re.sub(r"(17h[0-9a-f]{16}E).*", r"\1*", symbol)) for symbol, _, place in ran)
        for part, child in self.children.items():
            yield from child.patterns(prefix + part)


def is_dense(run, there):
    return run >= DENSE * there or there - run <= SLACK


def patterns(functions, found):
    root, others = Node(), []
    for symbol, size in functions.items():
        if symbol.startswith("_ZN"):
            root.add(parts(symbol), symbol, size, found.get(symbol, NEVER))
        elif symbol in found:
            # The standard library's names: a crate's own hash is in their midst.
            name = re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", symbol.split(".llvm.")[0])
            others.append((found[symbol], name + ("*" if symbol.startswith("_R") else "")))
    return list(dict.fromkeys(name for _, name in sorted([*others, *root.patterns("_ZN")])))


def main():
    if shutil.which("qemu-x86_64") is None or not os.environ.get("HEALER_TEST_IMAGE"):
        sys.exit("needs qemu-x86_64 (Debian: qemu-user), and services: tests/support/with-services " + sys.argv[0])
    binary = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else build()
    functions, found = sizes(binary), functions_run(binary)
    named = patterns(functions, found)
    matched = re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in named))
    size = sum(size for symbol, size in functions.items() if matched.fullmatch(symbol))
    OUTPUT.write_text(SCRIPT.format(size=size, names="".join(f"    *(.text.{name})\n" for name in named)))
    known = [size for symbol, size in functions.items() if symbol in found]
    print(f"{len(known)} of {len(functions)} functions are run, {sum(known) / 1e6:.1f} of {sum(functions.values()) / 1e6:.1f} MB; "
          f"{len(named)} patterns take {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
