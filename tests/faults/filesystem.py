"""A model of a file system: what a recorded run did to it.

Lives here: trees, and reading strace's record into operations on them. What a power cut may leave of these operations
is `crashes`'s. Nothing of healer.
"""

import dataclasses
import hashlib
import os
import re
import shutil
import stat

CALLS = (
    "open openat openat2 creat write pwrite64 writev pwritev pwritev2 lseek ftruncate truncate fallocate fsync"
    " fdatasync sync syncfs sync_file_range rename renameat renameat2 unlink unlinkat rmdir mkdir mkdirat chmod fchmod"
    " fchmodat chown lchown fchown fchownat setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr link"
    " linkat symlink symlinkat mknod mknodat copy_file_range sendfile splice"
).split()


def recording(path):
    """Wrapper: every call of every thread and child that may change a file system, strings whole and in hex."""
    return ["strace", "-f", "-qq", "-y", "-xx", "-s", "8388608", "-e", "trace=" + ",".join(CALLS), "-o", path]


# The tree


@dataclasses.dataclass
class Node:
    """A file (`data`), a link (`data` is where to) or a directory (`names`)."""

    kind: str
    mode: int
    owner: tuple = (0, 0)
    data: bytes = b""
    names: dict = dataclasses.field(default_factory=dict)
    attributes: dict = dataclasses.field(default_factory=dict)

    def copy(self):
        return dataclasses.replace(self, names=dict(self.names), attributes=dict(self.attributes))


class Tree:
    """Directories below one root, by the number of their node; node 0 is the root."""

    def __init__(self, nodes):
        self.nodes = nodes

    @staticmethod
    def read(root, tops):
        """What is on the disk under these names of `root`."""
        tree = Tree({0: Node("dir", 0o755)})
        for top in tops:
            if os.path.lexists(root / top):
                tree.nodes[0].names[top] = tree._read(root / top)
        return tree

    def _read(self, path):
        number, info = len(self.nodes), path.lstat()
        kinds = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
        node = Node(kinds[stat.S_IFMT(info.st_mode)], stat.S_IMODE(info.st_mode), (info.st_uid, info.st_gid))
        self.nodes[number] = node
        if node.kind == "link":
            node.data = os.fsencode(os.readlink(path))
            return number
        node.attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)}
        if node.kind == "file":
            node.data = path.read_bytes()
        else:
            node.names = {entry.name: self._read(entry) for entry in sorted(path.iterdir())}
        return number

    def write(self, root):
        """Makes it on the disk, where nothing of it is yet."""
        for name, number in self.nodes[0].names.items():
            self._write(root / name, self.nodes[number])

    def _write(self, path, node):
        if node.kind == "link":
            path.symlink_to(os.fsdecode(node.data))
            return
        if node.kind == "dir":
            path.mkdir()
            for name, number in node.names.items():
                self._write(path / name, self.nodes[number])
        else:
            path.write_bytes(node.data)
        if os.geteuid() == 0:
            os.chown(path, *node.owner)
        for name, value in node.attributes.items():
            os.setxattr(path, name, value)
        os.chmod(path, node.mode)

    def find(self, path):
        """The number of the node at this path, which is a tuple of names; None when there is none."""
        number = 0
        for name in path:
            number = self.nodes[number].names.get(name) if number is not None else None
        return number

    def copy(self):
        return Tree({number: node.copy() for number, node in self.nodes.items()})

    def digest(self):
        return hashlib.sha256(repr(self.flat()).encode()).digest()

    def flat(self, number=0, path=""):
        """(path, everything of the node) of all that can be reached."""
        node = self.nodes[number]
        found = [(path, node.kind, node.mode, node.owner, node.data, tuple(sorted(node.attributes.items())))]
        for name, inner in sorted(node.names.items()):
            found += self.flat(inner, f"{path}/{name}")
        return found


# Operations


@dataclasses.dataclass(frozen=True)
class Operation:
    """One step. `what` is names, content, attribute, sync, or event (what a power cut does not undo); `node` is the one
    that has to be synced for it; `change` is what it does to that node."""

    what: str
    node: int
    change: tuple
    # For reports: the call, with the paths that were meant.
    text: str

    def apply(self, tree, variant="kept"):
        node = tree.nodes[self.node]
        if self.what == "names":
            for name, number in self.change:
                node.names.pop(name, None) if number is None else node.names.__setitem__(name, number)
        elif self.what == "content":
            node.data = changed(node.data, self.change, variant)
        elif self.what == "attribute":
            self._set_attribute(node)

    def _set_attribute(self, node):
        name, value = self.change
        if name == "mode":
            node.mode = value
        elif name == "owner":
            node.owner = value
            # The kernel does so, whoever asks.
            node.mode &= ~(0o4000 | (0o2000 if node.mode & 0o010 else 0))
        elif value is None:
            node.attributes.pop(name, None)
        else:
            node.attributes[name] = value


def changed(data, change, variant):
    """Content after a write at a place or a truncation, as whole as it came to the disk."""
    at, new = change
    if new is None:
        return data[:at].ljust(at, b"\0")
    if variant == "half":
        new = new[: len(new) // 2]
    elif variant == "zeros":
        new = bytes(len(new))
    return data[:at].ljust(at, b"\0") + new + data[at + len(new) :]


class Unknown(Exception):
    """The run did something that the model does not know: it must learn it first."""


class Recorder:
    """Reads one record of strace after the other; `tree` is what is there when all of it was done."""

    def __init__(self, root, tops, events=(), goes_on=None):
        """`events` are files elsewhere below the root that are renamed into their place when something happens.
        `goes_on` is a (record, point): a process was killed there, what is read now came after it."""
        self.root, self.tops, self.events = root, tops, events
        if goes_on:
            record, point = goes_on
            self.start, self.operations = record.start.copy(), list(record.operations[:point])
            self.tree = record.live(point)
        else:
            self.start, self.operations = Tree.read(root, tops), []
            self.tree = self.start.copy()
        self._position, self._beside = {}, {}
        self._umask = os.umask(0)
        os.umask(self._umask)

    def read(self, text):
        waiting = {}
        for line in text.splitlines():
            pid, _, call = line.partition(" ")
            call = call.strip()
            if call.endswith("<unfinished ...>"):
                waiting[pid] = call.removesuffix("<unfinished ...>")
                continue
            if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", call):
                call = waiting.pop(pid, "") + resumed.group(1)
            match = re.match(r"(\w+)\((.*)\)\s+= (\d+)(?:<([^>]*)>)?(?:\(deleted\))?$", call)
            if match:
                name, arguments, result, path = match.groups()
                self._call(name, [unhex(a) for a in split(arguments)], int(result), unhex(path or ""))

    def _call(self, name, arguments, result, path):
        handler = getattr(self, f"_{name}", None)
        touched = [a for a in [*arguments, path] if self._inside(a) is not None]
        if handler:
            handler(arguments, result, path)
        elif touched:
            raise Unknown(f"{name} of {touched}")

    def _inside(self, text):
        """The path below the root, as a tuple, of a descriptor or a path; None when it is elsewhere."""
        match = re.match(r"[\w-]+<(.*)>$", text, re.S)
        path = match.group(1) if match else text.strip('"')
        prefix = f"{self.root}/"
        if not path.startswith(prefix):
            return None
        parts = tuple(path.removeprefix(prefix).split("/"))
        return parts if parts[0] in self.tops else None

    def _at(self, directory, name):
        """The directory's node and the name, of a path that may be relative to a descriptor."""
        name = name.strip('"')
        if not name.startswith("/"):
            base = re.match(r"[\w-]+<(.*)>$", directory, re.S)
            name = f"{base.group(1) if base else ''}/{name}"
        parts = self._inside(os.path.normpath(name))
        if parts is None:
            return None
        parent = self.tree.find(parts[:-1])
        if parent is None:
            raise Unknown(f"a path whose directory is not there: {name}")
        return parent, parts[-1]

    def _do(self, what, node, change, text):
        operation = Operation(what, node, change, text)
        operation.apply(self.tree)
        self.operations.append(operation)

    def _add(self, place, node, text):
        number = len(self.tree.nodes)
        # It is in every state from the start; only its name is not.
        self.tree.nodes[number] = node
        self.start.nodes[number] = node.copy()
        self._do("names", place[0], ((place[1], number),), text)
        return number

    # Names

    def _openat(self, arguments, result, path):
        flags, parts = arguments[2].split("|"), self._inside(path)
        if parts is None or not {"O_CREAT", "O_TRUNC", "O_WRONLY", "O_RDWR"} & set(flags):
            return
        number, place = self.tree.find(parts), (self.tree.find(parts[:-1]), parts[-1])
        if "O_CREAT" in flags and number is None:
            mode = int(arguments[3], 8) & ~self._umask
            node = Node("file", mode, (os.geteuid(), os.getegid()))
            number = self._add(place, node, f"create {shown(parts)}")
        elif "O_TRUNC" in flags and self.tree.nodes[number].data:
            self._do("content", number, (0, None), f"truncate {shown(parts)}")
        self._position[result] = None if "O_APPEND" in flags else 0

    def _mkdir(self, arguments, result, path):
        self._mkdirat(["", *arguments], result, path)

    def _mkdirat(self, arguments, _result, _path):
        place = self._at(arguments[0], arguments[1])
        if place:
            mode = int(arguments[2], 8) & ~self._umask
            self._add(place, Node("dir", mode, (os.geteuid(), os.getegid())), f"mkdir {place[1]}")

    def _unlink(self, arguments, result, path):
        self._unlinkat(["", *arguments], result, path)

    _rmdir = _unlink

    def _unlinkat(self, arguments, _result, _path):
        place = self._at(arguments[0], arguments[1])
        if place:
            self._do("names", place[0], ((place[1], None),), f"remove {place[1]}")

    def _rename(self, arguments, result, path):
        self._renameat2(["", arguments[0], "", arguments[1], "0"], result, path)

    def _renameat(self, arguments, result, path):
        self._renameat2([*arguments, "0"], result, path)

    def _renameat2(self, arguments, _result, _path):
        for event in self.events:
            if arguments[3].strip('"') == str(self.root / event):
                written = self._beside.pop(arguments[1].strip('"'), "")
                self.operations.append(Operation("event", 0, (event, written), f"event {event}"))
        source, target = self._at(*arguments[0:2]), self._at(*arguments[2:4])
        if source is None and target is None:
            return
        if source is None or target is None or source[0] != target[0]:
            raise Unknown(f"a rename from one directory into another: {arguments}")
        names = self.tree.nodes[source[0]].names
        exchange = "RENAME_EXCHANGE" in arguments[4]
        other = names[target[1]] if exchange else None
        change = ((target[1], names[source[1]]), (source[1], other))
        self._do("names", source[0], change, f"{'exchange' if exchange else 'rename'} {source[1]} {target[1]}")

    # Content

    def _write(self, arguments, result, _path):
        parts = self._inside(arguments[0])
        if parts is None:
            path = re.match(r"\d+<(.*)>$", arguments[0], re.S)
            if path and path.group(1).startswith(f"{self.root}/"):
                self._beside[path.group(1)] = self._beside.get(path.group(1), "") + arguments[1].strip('"')
            return
        number, descriptor = self.tree.find(parts), int(arguments[0].split("<")[0])
        data = arguments[1].strip('"').encode("latin-1")[:result]
        position = self._position.get(descriptor)
        at = len(self.tree.nodes[number].data) if position is None else position
        if position is not None:
            self._position[descriptor] += len(data)
        self._do("content", number, (at, data), f"write {len(data)} to {shown(parts)}")

    def _lseek(self, arguments, result, _path):
        descriptor = int(arguments[0].split("<")[0])
        if self._inside(arguments[0]) and self._position.get(descriptor) is not None:
            self._position[descriptor] = result

    def _ftruncate(self, arguments, _result, _path):
        parts = self._inside(arguments[0])
        if parts:
            self._do("content", self.tree.find(parts), (int(arguments[1]), None), f"truncate {shown(parts)}")

    def _copy_file_range(self, arguments, _result, _path):
        if self._inside(arguments[2]):
            raise Unknown("content copied by the kernel")

    # Attributes

    def _fchmod(self, arguments, _result, _path):
        self._attribute(arguments[0], "mode", lambda: int(arguments[1], 8))

    def _fchown(self, arguments, _result, _path):
        self._attribute(arguments[0], "owner", lambda: (int(arguments[1]), int(arguments[2])))

    def _fsetxattr(self, arguments, _result, _path):
        value = lambda: arguments[2].strip('"').encode("latin-1")
        self._attribute(arguments[0], arguments[1].strip('"'), value)

    def _fremovexattr(self, arguments, _result, _path):
        self._attribute(arguments[0], arguments[1].strip('"'), lambda: None)

    def _attribute(self, descriptor, name, value):
        parts = self._inside(descriptor)
        if parts:
            self._do("attribute", self.tree.find(parts), (name, value()), f"set {name} of {shown(parts)}")

    # Syncs

    def _fsync(self, arguments, _result, _path):
        parts = self._inside(arguments[0])
        number = self.tree.find(parts) if parts else None
        if number is None:
            # The root's own names: the state directory itself.
            match = re.match(r"\d+<(.*)>$", arguments[0])
            if not match or match.group(1) != str(self.root):
                return
            number, parts = 0, ("the root",)
        self._do("sync", number, ("names", "content", "attribute"), f"fsync {shown(parts)}")

    def _fdatasync(self, arguments, _result, _path):
        parts = self._inside(arguments[0])
        if parts and (number := self.tree.find(parts)) is not None:
            self._do("sync", number, ("names", "content"), f"fdatasync {shown(parts)}")

    def _sync(self, _arguments, _result, _path):
        raise Unknown("sync of everything")

    _syncfs = _sync


def remove(path):
    """Whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def shown(parts):
    return "/".join(parts)


def unhex(text):
    r"""strace's `\x41` as the byte that it is, as a character below 256; but paths are text."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m.group(1), 16)), text)


def split(arguments):
    """The arguments of a call as strace shows them; strings hold no comma, being in hex."""
    return [argument.strip() for argument in arguments.split(",")]
