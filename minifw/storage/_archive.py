"""Arrays and plain values in one file: a `.npz` that is read as if it came from an enemy.

The file is a zip archive without compression: one `.npy` file for each array, as
`numpy.load` reads them, and `minifw.json` with the rest. It is read by a parser that
accepts what `write_archive` writes, and nothing else of what the two formats allow:
nothing is evaluated, unpacked or allocated before its size has been held against the
size of the file.
"""

import errno
import math
import os
import re
import stat
from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO
from urllib.parse import quote, unquote
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from minifw._tools.checks import describe
from minifw.errors import FileFormatError
from minifw.storage._atomic import path_of, replacing
from minifw.storage._text import from_text, to_text
from minifw.storage._zip import Member, members_of, read_member

__all__ = [
    "TEXT",
    "check_head",
    "check_storable",
    "dtype_of",
    "head_text",
    "read_archive",
    "regular",
    "write_archive",
]

VERSION = 1  # of the format; raised when an older minifw could not read what a newer one writes

_JSON = "minifw.json"
TEXT = 2**22  # bytes of JSON: enough for any architecture; parsed, it takes 25 times as much
_LONGEST_NAME = 1000  # characters of an array's name
_HEADER = 10_000  # bytes of a .npy header: NumPy's own limit for files that are not trusted
_AXES = 64  # of an array: NumPy's limit
_KINDS = frozenset("?biufcmMSUV")  # of dtypes: plain bytes, no Python objects

_CODE = r"[<>|][biufcmMSUV][0-9]{1,9}(?:\[[0-9]{0,9}[A-Za-z]{1,2}\])?"  # of a dtype
_NPY_HEADER = re.compile(
    rf"\{{'descr': '(?P<descr>{_CODE})', "
    r"'fortran_order': False, 'shape': \((?P<shape>(?:[0-9]{1,19}(?:, ?|(?=\))))*)\), \} *\n"
)


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
    members: list[tuple[str, bytes, Any]] = [(_JSON, head_text(kind, meta).encode(), b"")]
    for name, array in arrays.items():
        plain = check_storable(name, array)
        members.append((_member_of(name), _npy_header(plain), plain))
    with replacing(path) as file, ZipFile(file, "w", ZIP_STORED) as archive:
        for name, head, data in members:
            info = ZipInfo(name)  # of 1980: the same contents make the same bytes
            info.file_size = len(head) + getattr(data, "nbytes", 0)
            with archive.open(info, "w") as member:
                member.write(head)
                if isinstance(data, np.ndarray):
                    member.write(data.reshape(-1).view(np.uint8).data)


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
    with open(path, "rb") as file:  # noqa: PTH123
        try:
            return _read(kind, file)
        except FileFormatError as error:
            raise FileFormatError(f"{path} cannot be read: {error}") from error
        except (ValueError, TypeError, OverflowError, Warning) as error:  # NumPy finds fault
            raise FileFormatError(f"{path} cannot be read: it is damaged ({error})") from error


def regular(path: str) -> None:
    """Raise unless `path` is a file; opening a pipe would wait for ever."""
    mode = os.stat(path).st_mode  # noqa: PTH116
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(f"{path!r} is not a file")


def _read(kind: str, file: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    meta: dict[str, Any] | None = None
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for member, start in members_of(file):
        if member.name == _JSON:
            if member.size > TEXT:
                raise FileFormatError(f"{_JSON} has {member.size} bytes, more than {TEXT}")
            text = read_member(file, member, start).tobytes()
            meta = check_head(kind, from_text(_JSON, text))
        else:
            arrays[_name_of(member)] = _array(file, member, start)
    if meta is None:
        raise FileFormatError(f"it holds no {_JSON}, so minifw did not write it")
    return meta, arrays


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


def _name_of(member: Member) -> str:
    stem = member.name.removesuffix(".npy")
    name = unquote(stem, errors="strict")
    if len(member.name) > _LONGEST_NAME or _member_of(name) != member.name:
        raise FileFormatError(f"{member.name[:80]!r} is no name that minifw gives to an array")
    return name


def dtype_of(code: str) -> np.dtype[Any]:
    """Return the dtype of a code such as "<f8"; raise if it is one of objects or fields."""
    if re.fullmatch(_CODE, code) is None:
        raise FileFormatError(f"{code[:40]!r} is no dtype of a plain array")
    return np.dtype(code)


def _npy_header(array: np.ndarray[Any, Any]) -> bytes:
    text = BytesIO()
    np.lib.format.write_array_header_1_0(text, np.lib.format.header_data_from_array_1_0(array))
    return text.getvalue()


def _array(file: BinaryIO, member: Member, start: int) -> np.ndarray[Any, Any]:
    """Return the array of a `.npy` file of format 1.0, the only one that plain arrays need."""
    file.seek(start)
    head = file.read(min(_HEADER, member.size))
    magic, length = head[:8], int.from_bytes(head[8:10], "little")
    found = _NPY_HEADER.fullmatch(head[10 : 10 + length].decode("latin-1"))
    if magic != b"\x93NUMPY\1\0" or found is None:
        raise FileFormatError(f"{member.name} has no header of a plain array")
    dtype = dtype_of(found["descr"])
    shape = tuple(int(axis) for axis in found["shape"].replace(" ", "").split(",") if axis)
    here = member.size - 10 - length
    if len(shape) > _AXES or not dtype.itemsize or math.prod(shape) * dtype.itemsize != here:
        raise FileFormatError(
            f"{member.name} has {here} bytes, which is no array of shape {shape[:9]} and {dtype}"
        )
    data = read_member(file, member, start, 10 + length)
    array = data.view(dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)
