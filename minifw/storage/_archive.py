"""Arrays and plain values in one file: a `.npz` that is read without trust.

The file is a zip archive without compression: one `.npy` file for each array, as
`numpy.load` reads them, and `minifw.json` with the rest. `zipfile` reads it, but no member
before a check that the file is laid out as `write_archive` does it: the members back to back
from the first byte on, then the directory, then the end. Hence no two members overlap, and
none is larger than the file: an array is read from its place, without `zipfile`, which would
copy it twice. Headers of arrays are compared with the one form that is
written, never evaluated, and hold no size that is believed.
"""

import errno
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader, FileIO
from typing import Any
from urllib.parse import quote, unquote
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from minifw._tools.checks import check_is, describe
from minifw.errors import FileFormatError
from minifw.storage._atomic import path_of, replacing
from minifw.storage._text import head_of, head_text

_JSON = "minifw.json"
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
    """Reads no more at once than a directory may take, which `zipfile` reads at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY:
            raise FileFormatError(f"a part of it has {size} bytes, more than {_DIRECTORY}")
        return super().read(size)


class _Writer(ZipFile):
    def __del__(self) -> None:
        """Leave it as it is after a failure: to write its end would need a file that is open."""


def write_archive(
    path: str | os.PathLike[str],
    kind: str,
    meta: Mapping[str, Any],
    arrays: Mapping[str, Any],
    version: int = 1,
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
    version : int, default 1
        The oldest that can say what is in the file.

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
    text = head_text(kind, meta, version)
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
    check_is(f"arrays[{name!r}]", "an array", array, np.ndarray | np.generic)
    array = np.asarray(array)
    dtype = array.dtype
    if not (dtype.kind in _KINDS and dtype.itemsize and dtype == np.dtype(dtype.str)):
        raise TypeError(
            f"arrays[{name!r}] has dtype {dtype}, which cannot be stored; "
            "convert it to numbers, booleans, dates or strings of a fixed length"
        )
    return np.ascontiguousarray(array, dtype.newbyteorder("<")).reshape(array.shape)


def read_archive(
    path: str | os.PathLike[str], kind: str
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return the plain values and the arrays of a file that `write_archive` wrote.

    The arrays are new, writable, in rows (C order) and in the byte order of this machine.
    Reading runs nothing that stands in the file, and takes no more memory than its size and 25
    times the size of the plain values.

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
            if _JSON not in members:
                raise FileFormatError(
                    f"it holds no {_JSON}, so minifw did not write it; put its arrays into a "
                    "model of your own with model.load_state_dict(numpy.load(path))"
                )
            meta = head_of(_JSON, kind, archive.read(members.pop(_JSON)))
            return meta, {_name_of(name): _array(file, info) for name, info in members.items()}


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
    """Raise unless `path` is a file; opening a pipe would never end."""
    mode = os.stat(path).st_mode  # noqa: PTH116
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(f"{path!r} is not a file")


def _check_end(file: BufferedReader) -> None:
    """Raise unless the last bytes are the end of an archive: nothing comes after it."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - 22))
    if file.read(4) != b"PK\5\6":
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
        # Flags and method at 6, checksum at 14, lengths of what follows at 26.
        head = file.read(30)
        name, extra = (int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
        same = head[6:10] + head[14:18] == bytes(4) + info.CRC.to_bytes(4, "little")
        # Extra fields are there for numbers that 32 bits do not hold.
        more = extra not in (0, 20) or len(info.extra) > 28 or info.comment
        if info.header_offset != position or not same or more:
            raise FileFormatError(f"{info.filename[:80]} is not where and what its directory says")
        position += 30 + name + extra + info.file_size
    if position != archive.start_dir:
        raise FileFormatError("its directory does not follow its members")
    return members


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


def _array(file: BufferedReader, info: ZipInfo) -> np.ndarray[Any, Any]:
    """Return the array of a `.npy` file; its shape is held against the bytes that are there."""
    file.seek(info.header_offset + 26)
    file.seek(sum(np.frombuffer(file.read(4), "<u2").tolist()), os.SEEK_CUR)  # name, extra fields
    head = file.read(10)
    length = int.from_bytes(head[8:], "little")
    head += file.read(length)
    found = _NPY_HEADER.fullmatch(head.decode("latin-1"))
    if found is None or length > _HEADER:
        raise FileFormatError(f"{info.filename} has no header of a plain array")
    data, checksum = np.empty(info.file_size - len(head), np.uint8), zlib.crc32(head)
    for at in range(0, data.size, _BLOCK):  # which is in the cache for its checksum
        block = data[at : at + _BLOCK].data
        file.readinto(block)  # if it is cut off meanwhile, the checksum differs
        checksum = zlib.crc32(block, checksum)
    if checksum != info.CRC:
        raise BadZipFile(f"Bad CRC-32 for file {info.filename!r}")
    dtype = dtype_of(found["descr"])
    array = data.view(dtype).reshape([int(axis) for axis in re.findall("[0-9]+", found["shape"])])
    return array.astype(dtype.newbyteorder("="), copy=False)
