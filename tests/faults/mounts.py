"""File systems of a case's own: an image on a loop device, mounted, cut off, filled. Nothing of any one fault.

`Apart` is a scene whose targets, or state, or both, are on such a file system; everything else (log, configuration,
service) stays where it is, so that a fault of that file system is none of theirs.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

import filesystem
from scene import Scene, copy

MEBIBYTE = 1 << 20
# name: file system, options of its mount, megabytes of its image, arguments to make it.
KINDS = {
    "ext4": ("ext4", "", 32, ["-q", "-m", "0"]),
    "ext4-lazy": ("ext4", "noauto_da_alloc,commit=300", 32, ["-q", "-m", "0"]),
    "xfs": ("xfs", "", 300, ["-q"]),
    "ext4-small": ("ext4", "", 4, ["-q", "-m", "0", "-b", "1024", "-N", "256"]),
}
# XFS_IOC_GOINGDOWN, which ext4 and others understand as well; 2: nothing that is in memory goes to the disk any more.
GOING_DOWN = 0x8004587D
NO_LOG_FLUSH = 2


def missing(names):
    """Why file systems of these kinds cannot be made and mounted here; None when they can."""
    for name in names:
        with tempfile.TemporaryDirectory(prefix="healer-mount.") as directory:
            try:
                with Mounted(pathlib.Path(directory), name):
                    pass
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", None) or b""
                return f"no {KINDS[name][0]} on a loop device: {error} {said.decode(errors='replace').strip()}"
    return None


class Mounted:
    """An image of its own, mounted at `at`; a context manager. The image is in memory where there is room for that."""

    def __init__(self, directory, name):
        self.kind, self.options, self.megabytes, self.arguments = KINDS[name]
        self.at = directory / "disk"
        memory = pathlib.Path("/dev/shm")
        self._images = tempfile.mkdtemp(prefix="healer-image.", dir=memory if os.access(memory, os.W_OK) else directory)
        self.image = pathlib.Path(self._images) / "image"

    def __enter__(self):
        try:
            seclude()
            self.at.mkdir(exist_ok=True)
            with open(self.image, "wb") as image:
                image.truncate(self.megabytes * MEBIBYTE)
            output(["mkfs." + self.kind, *self.arguments, self.image])
            self.mount()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.CalledProcessError, FileNotFoundError):
            self.unmount()
        shutil.rmtree(self._images, ignore_errors=True)

    def mount(self):
        output(["mount", "-o", ",".join(filter(None, ["loop", self.options])), self.image, self.at])

    def unmount(self):
        output(["umount", self.at])

    def remount(self, options):
        output(["mount", "-o", f"remount,{options}", self.at])

    def sync(self):
        """Everything of this file system is on its disk."""
        directory = os.open(self.at, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(directory) != 0:
                raise OSError(ctypes.get_errno(), "syncfs")
        finally:
            os.close(directory)

    def cut_off(self):
        """From now on nothing comes to the disk any more."""
        directory = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, GOING_DOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(directory)

    def start_again(self):
        self.unmount()
        self.mount()

    def damage(self):
        """What the checker of this file system finds wrong; the file system is not mounted meanwhile."""
        self.unmount()
        argv = ["xfs_repair", "-n", self.image] if self.kind == "xfs" else ["e2fsck", "-f", "-n", self.image]
        ran = subprocess.run(argv, capture_output=True, text=True)
        self.mount()
        return None if ran.returncode == 0 else ran.stdout + ran.stderr

    def free_blocks(self):
        return os.statvfs(self.at).f_bavail

    def fill(self, left):
        """Takes all blocks but so many; `empty` gives them back."""
        filler = os.open(self.at / "filler", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            size = os.statvfs(self.at).f_frsize
            taken = 0
            # The map of the file's blocks takes some as well.
            for step in (64, 8, 1):
                while self.free_blocks() - left >= step:
                    os.posix_fallocate(filler, taken, step * size)
                    taken += step * size
        except OSError as error:
            if error.errno != 28 or self.free_blocks() > left:
                raise
        finally:
            os.close(filler)

    def empty(self):
        (self.at / "filler").unlink(missing_ok=True)
        self.sync()


_secluded = False


def seclude():
    """A mount namespace of this process's own: a container that is started elsewhere meanwhile would copy a mount, and
    a file system that is mounted somewhere is never made anew."""
    global _secluded
    clone_newns = 0x20000
    if not _secluded:
        if ctypes.CDLL(None, use_errno=True).unshare(clone_newns) != 0:
            raise OSError(ctypes.get_errno(), "cannot have a mount namespace of its own")
        output(["mount", "--make-rprivate", "/"])
        _secluded = True


def output(argv):
    subprocess.run([str(a) for a in argv], check=True, capture_output=True)


class Apart(Scene):
    """A scene with these of its directories (`srv`, `state`) on a file system of their own."""

    def __init__(self, root, kind, binary, mounted, names):
        super().__init__(root, kind, binary)
        self.mounted, self.names = mounted, names

    def build(self):
        super().build()
        self.mounted.sync()

    def remove(self):
        super().remove()
        for name in self.names:
            if (self.mounted.at / name).exists():
                shutil.rmtree(self.mounted.at / name)
        self.root.mkdir(parents=True)
        for name in self.names:
            (self.mounted.at / name).mkdir()
            (self.root / name).symlink_to(self.mounted.at / name)

    def configure(self, **changes):
        super().configure(**changes)
        path = self.root / "healer.toml"
        path.write_text(path.read_text().replace('files = ["', f'files = ["{self.mounted.at}/srv/**", "'))

    def save(self):
        super().save()
        for name in self.names:
            copy(self.mounted.at / name, self.saved / f"apart-{name}")

    def restore(self):
        super().restore()
        for name in self.names:
            filesystem.remove(self.root / f"apart-{name}")
            shutil.rmtree(self.mounted.at / name)
            copy(self.saved / f"apart-{name}", self.mounted.at / name)
        self.mounted.sync()
        self._note_contents()
