"""A file is replaced whole or not at all."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from minifw._tools.checks import describe

_UNTOUCHED = "nothing was changed: a file that was there before is untouched"


def path_of(owner: str, path: object) -> str:
    """Return the path as a string, or raise a TypeError for `owner`."""
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if isinstance(name, str):
        return name
    raise TypeError(f"{owner} expects a path as str or os.PathLike, got {describe(path)}")


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """Yield a file to write into, which takes the place of `path` when all has gone well.

    It is written under another name in the same folder, forced onto the disk
    and then renamed, which the operating system does in one step; so a reader of `path`, also
    after a crash or a power cut, finds all of the old file or all of the new one. When anything
    fails, a KeyboardInterrupt too, the other file is removed. (Only a process that is killed
    leaves it; its name ends in ``.tmp``.) A link is followed, and the permissions of an old file
    are kept.

    Raises
    ------
    OSError
        If it cannot be written, with the path and the reason; the old file is untouched.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    other = os.path.join(folder, f".{name[:64]}.{os.urandom(8).hex()}.tmp")  # noqa: PTH118
    try:
        # 0o666 less the umask, as open() does; O_EXCL so that no file of another is taken
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(other, flags, 0o666), "wb") as file:
            with suppress(OSError):  # no old file, or one of another owner
                os.chmod(other, stat.S_IMODE(os.stat(target).st_mode))  # noqa: PTH101, PTH116
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(other, target)  # noqa: PTH105
    except BaseException as error:
        with suppress(OSError):
            os.unlink(other)  # noqa: PTH108
        if isinstance(error, OSError):
            raise _named(error, path, _UNTOUCHED) from error
        raise
    _settle(folder, path)


def _settle(folder: str, path: str) -> None:
    """Force the new name itself onto the disk, where the system can do that for a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders; a folder may be writable and not readable
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems know no such call
            note = "the new file is in place, but may not outlast a power cut"
            raise _named(error, path, note) from error
    finally:
        os.close(descriptor)


def _named(error: OSError, path: str, note: str) -> OSError:
    """Return an error of the same errno, and so of the same class, that tells of `path`."""
    reason = f"{error.strerror or error}; {note}"
    return OSError(error.errno, reason, path) if error.errno else OSError(f"{reason}: {path!r}")
