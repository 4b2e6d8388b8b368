"""Arrays and plain values in one file: a `.npz` that is read as if it came from an enemy.

The file is a zip archive without compression: one `.npy` file for each array, as
`numpy.load` reads them, and `minifw.json` with the rest. `zipfile` reads it, but no member
before a check that the file is laid out as `write_archive` does it: the members back to back
from the first byte on, then the directory, then the end. Hence no two members overlap, and
none is larger than the file. Headers of arrays are compared with the one form that is
written, never evaluated, and hold no size that is believed.
"""

import errno
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader, FileIO
from typing import Any
from urllib.parse import quote, unquote
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from minifw._tools.checks import describe
from minifw.errors import FileFormatError
from minifw.storage._atomic import path_of, replacing
from minifw.storage._text import from_text, to_text

__all__ = [
    "TEXT",
    "check_head",
    "check_storable",
    "dtype_of",
    "head_text",
    "read_archive",
    "reading",
    "regular",
    "write_archive",
]

VERSION = 1  # of the format; raised when an older minifw could not read what a newer one writes

_JSON = "minifw.json"
TEXT = 2**22  # bytes of JSON: enough for any architecture; parsed, it takes 25 times as much
_LONGEST_NAME = 1000  # characters of an array's name
_HEADER = 10_000  # bytes of a .npy header: NumPy's own limit for files that are not trusted
_DIRECTORY = 2**24  # bytes of a zip's directory: more than 100,000 members
_BLOCK = 2**18  # bytes of an array that are read at once
_KINDS = frozenset("?biufcmMSUV")  # of dtypes: plain bytes, no Python objects

_CODE = r"[<>|][biufcmMSUV][0-9]{1,9}(?:\[[0-9]{0,9}[A-Za-z]{1,2}\])?"  # of a dtype
_SHAPE = r"(?:(?:0|[1-9][0-9]{0,18})(?:, ?|(?=\))))*"
_NPY_HEADER = re.compile(  # of format 1.0, the only one that plain arrays need
    rf"\x93NUMPY\x01\x00[\x00-\xff]{{2}}\{{'descr': '(?P<descr>{_CODE})', "
    rf"'fortran_order': False, 'shape': \((?P<shape>{_SHAPE})\), \}} *\n"
)

# What zipfile, NumPy and Python raise for contents that they do not expect.
_FAULTS: tuple[type[Exception], ...] = (
    BadZipFile, EOFError, KeyError, NotImplementedError, OSError, OverflowError, RecursionError,
    TypeError, ValueError, Warning,
)  # fmt: skip


class _Reader(BufferedReader):
    """Reads no more at once than a directory may take, of which `zipfile` reads all at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY:
            raise FileFormatError(f"its directory has {size} bytes, more than {_DIRECTORY}")
        return super().read(size)


class _Writer(ZipFile):
    """Is left as it is after a failure: the end of the archive needs a file that is open."""

    def __del__(self) -> None:
        pass


def write_archive(
    path: str | os.PathLike[str], kind: str, meta: Mapping[str, Any], arrays: Mapping[str, Any]
) -> None:
    """Write plain values and arrays into one file, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        An old file there is replaced once the new one is complete.
    kind : str
        What the file is, such as "model"; `read_archive` has to be asked for the same.
    meta : mapping of str to plain values
        None, bool, int, float, str, and lists, tuples and dicts of these. All come back
        exactly: a tuple as a tuple, NaN as NaN, an integer with all digits.
    arrays : mapping of str to array
        Of any shape, and any dtype without Python objects or fields.

    Raises
    ------
    TypeError
        If a value or an array has no exact form in the file; nothing is written.
    ValueError
        If the plain values take more than 4 MiB of JSON; nothing is written.
    OSError
        If the file cannot be written, with the path and the reason; an old file is untouched.
    """
    path = path_of("write_archive", path)
    text = head_text(kind, meta)
    plain = {name: check_storable(name, array) for name, array in arrays.items()}
    with replacing(path) as file:
        archive = _Writer(file, "w")  # without compression; not in a `with`: see _Writer
        archive.writestr(ZipInfo(_JSON), text)
        for name, array in plain.items():
            info = ZipInfo(_member_of(name))  # of 1980: the same contents make the same bytes
            info.file_size = array.nbytes
            head = np.lib.format.header_data_from_array_1_0(array)
            with archive.open(info, "w") as member:
                np.lib.format.write_array_header_1_0(member, head)
                member.write(array.reshape(-1).view(np.uint8).data)
        archive.close()


def check_storable(name: object, array: object) -> np.ndarray[Any, Any]:
    """Return an array in rows (C order) and little-endian; raise unless its bytes say it all."""
    if not isinstance(name, str) or len(_member_of(name)) > _LONGEST_NAME:
        raise TypeError(
            f"arrays expects names of at most {_LONGEST_NAME} characters, got {describe(name)}"
        )
    if not isinstance(array, np.ndarray | np.generic):
        raise TypeError(f"arrays[{name!r}] expects an array, got {describe(array)}")
    array = np.asarray(array)
    dtype = array.dtype
    if not (dtype.kind in _KINDS and dtype.itemsize and dtype == np.dtype(dtype.str)):
        raise TypeError(
            f"arrays[{name!r}] has dtype {dtype}, which cannot be stored; "
            "convert it to numbers, booleans, dates or strings of a fixed length"
        )
    shape = array.shape
    return np.ascontiguousarray(array, dtype.newbyteorder("<")).reshape(shape)


def read_archive(
    path: str | os.PathLike[str], kind: str
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return the plain values and the arrays of a file that `write_archive` wrote.

    The arrays are new, writable, in rows (C order) and in the byte order of this machine.
    Reading runs nothing that stands in the file, and takes no more memory than its size
    and 25 times that of the plain values.

    Raises
    ------
    FileFormatError
        If the file is damaged, cut off, of another kind or from a newer minifw, or
        if anything in it is not as `write_archive` writes it.
    FileNotFoundError, OSError
        If there is no file, or it cannot be read.
    """
    path = path_of("read_archive", path)
    regular(path)
    with _Reader(FileIO(path)) as file, reading(path):
        _check_end(file)
        with ZipFile(file) as archive:
            members = _members(file, archive)
            text = members.pop(_JSON, None)
            if text is None:
                raise FileFormatError(f"it holds no {_JSON}, so minifw did not write it")
            if text.file_size > TEXT:
                raise FileFormatError(f"{_JSON} has {text.file_size} bytes, more than {TEXT}")
            meta = check_head(kind, from_text(_JSON, archive.read(text)))
            return meta, {_name_of(name): _array(archive, members[name]) for name in members}


@contextmanager
def reading(path: str, *faults: type[Exception], step: str = "read") -> Iterator[None]:
    """Raise a FileFormatError that names the path for what is found within to be wrong."""
    try:
        yield
    except FileFormatError as error:
        raise FileFormatError(f"{path} cannot be {step}: {error}") from error
    except _FAULTS + faults as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault; EINVAL is a place in front of the file
        raise FileFormatError(f"{path} cannot be {step}: it is damaged ({error})") from error


def regular(path: str) -> None:
    """Raise unless `path` is a file; opening a pipe would wait for ever."""
    mode = os.stat(path).st_mode  # noqa: PTH116
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(f"{path!r} is not a file")


def _check_end(file: BufferedReader) -> None:
    """Raise unless the last bytes are the end of an archive, without a comment."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 22))
    end = file.read()
    if size < 98 or end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":  # 98: the end of a large archive
        raise FileFormatError("it does not end as a zip archive does")


def _members(file: BufferedReader, archive: ZipFile) -> dict[str, ZipInfo]:
    """Return the members by their names; raise unless each begins where the one before ends."""
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    members = {info.orig_filename: info for info in infos}
    if len(members) != len(infos):
        raise FileFormatError("its directory lists a member twice")
    position = 0
    for info in infos:
        if info.compress_type or info.flag_bits or info.compress_size != info.file_size:
            raise FileFormatError("a member is compressed or encrypted, which minifw never writes")
        file.seek(position)
        head = file.read(30)  # the member's own: 4 signature, 2, 2 flags, 2 method, 4, 4 CRC, ...
        name, extra = (int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
        same = head[6:10] + head[14:18] == bytes(4) + info.CRC.to_bytes(4, "little")
        if info.header_offset != position or extra not in (0, 20) or len(info.extra) > 28:
            raise FileFormatError("its members do not follow each other")
        if not same:
            raise FileFormatError(f"{info.filename[:80]} is not what its directory says")
        position += 30 + name + extra + info.file_size
    if position != archive.start_dir:
        raise FileFormatError("its directory does not follow its members")
    return members


def head_text(kind: str, meta: Mapping[str, Any]) -> str:
    """Return the JSON that says what a file is, and holds the plain values."""
    text = to_text("meta", {"minifw": kind, "version": VERSION, "meta": dict(meta)})
    if len(text) > TEXT:  # it is ASCII: a character is a byte
        raise ValueError(
            f"meta takes {len(text)} bytes as JSON, more than {TEXT}; put long lists into arrays"
        )
    return text


def check_head(kind: str, head: Any) -> dict[str, Any]:
    """Return the plain values from what the JSON says; raise if the file is of another kind."""
    match head:
        case {"minifw": str(found), "version": int(version), "meta": dict(meta)} if version > 0:
            if version > VERSION:
                raise FileFormatError(
                    f"its format is version {version}, and this minifw reads up to {VERSION}; "
                    "use a newer minifw"
                )
            if found != kind:
                raise FileFormatError(f"it holds a {found[:40]}, and a {kind} is expected")
            return meta
    raise FileFormatError(f"{_JSON} does not say what the file is")


def _member_of(name: str) -> str:
    """Return the name of the file for an array: no slash, no other sign of a path."""
    return f"{quote(name, safe='')}.npy"


def _name_of(member: str) -> str:
    name = unquote(member.removesuffix(".npy"), errors="strict")
    if len(member) > _LONGEST_NAME or _member_of(name) != member:
        raise FileFormatError(f"{member[:80]!r} is no name that minifw gives to an array")
    return name


def dtype_of(code: str) -> np.dtype[Any]:
    """Return the dtype of a code such as "<f8"; raise if it is one of objects or fields."""
    if re.fullmatch(_CODE, code) is None:
        raise FileFormatError(f"{code[:40]!r} is no dtype of a plain array")
    return np.dtype(code)


def _array(archive: ZipFile, info: ZipInfo) -> np.ndarray[Any, Any]:
    """Return the array of a `.npy` file, once its header has been held against its size."""
    with archive.open(info) as member:
        start = member.read(10)
        length = int.from_bytes(start[8:], "little")
        found = _NPY_HEADER.fullmatch(
            (start + member.read(min(length, _HEADER))).decode("latin-1")
        )
        if found is None:
            raise FileFormatError(f"{info.filename} has no header of a plain array")
        dtype = dtype_of(found["descr"])
        shape = [int(axis) for axis in re.findall("[0-9]+", found["shape"])]
        here = info.file_size - 10 - length
        if not dtype.itemsize or math.prod(shape) * dtype.itemsize != here:
            raise FileFormatError(
                f"{info.filename} has {here} bytes, which is no array of shape {shape[:9]} and "
                f"{dtype}"
            )
        data = np.empty(here, np.uint8)
        for at in range(0, here, _BLOCK):  # the last one holds the checksum against all
            data[at : at + _BLOCK] = np.frombuffer(member.read(_BLOCK), np.uint8)
    return data.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
