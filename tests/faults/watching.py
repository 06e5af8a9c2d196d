"""System calls that Python does not offer: inotify, and exchanging two names in one step. Nothing of healer."""

import ctypes
import os
import select
import struct

_libc = ctypes.CDLL(None, use_errno=True)

# A name is created, moved here or away, or deleted.
NAMES_CHANGED = 0x100 | 0x40 | 0x80 | 0x200
# Whatever changes a directory or what is in it: modified, attributes, closed after writing, moved, created, deleted.
ANY_CHANGE = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200

AT_FDCWD = -100
RENAME_EXCHANGE = 2


def _checked(result):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def exchange(one, other):
    """Exchanges two names in one step."""
    names = (os.fsencode(one), os.fsencode(other))
    _checked(_libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE))


class Watch:
    """Watches directories for changes; a context manager."""

    def __init__(self, *directories, events=ANY_CHANGE):
        nonblocking = os.O_NONBLOCK | os.O_CLOEXEC
        self._fd = _checked(_libc.inotify_init1(nonblocking))
        for directory in directories:
            _checked(_libc.inotify_add_watch(self._fd, os.fsencode(directory), events))

    def wait(self, seconds):
        """The names that were changed, as soon as there is one; empty when none was in this time."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return []
        data, names, at = os.read(self._fd, 65536), [], 0
        while at < len(data):
            _, _, _, length = struct.unpack_from("iIII", data, at)
            name = data[at + 16 : at + 16 + length].rstrip(b"\0")
            names.append(os.fsdecode(name))
            at += 16 + length
        return names

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._fd)
