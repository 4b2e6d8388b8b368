"""Where the members of an uncompressed zip archive lie, read without trust.

`zipfile` is made to open whatever anyone wrote; this accepts one layout, the one that
`zipfile` writes without compression: the members back to back from the first byte on,
then the directory, then the end, and not a byte elsewhere. Hence no two members can
overlap, none can be larger than the file, and nothing is hidden between them.
"""

import struct
import zlib
from typing import BinaryIO, NamedTuple

import numpy as np

from minifw.errors import FileFormatError

__all__ = ["Bytes", "Member", "members_of", "read_member"]

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

_DIRECTORY = 2**24  # bytes that the directory may take: more than 100,000 members

# The records of the format (PKWARE's APPNOTE.TXT, 4.3), as `struct` reads them.
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL = 0xFFFFFFFF  # where 32 bits do not suffice: the number is in the extra field
_FULL_COUNT = 0xFFFF


class Member(NamedTuple):
    """One file in the archive."""

    name: str
    offset: int  # of its header
    size: int
    crc: int


def members_of(file: BinaryIO) -> list[tuple[Member, int]]:
    """Return the members in their order, each with where its data start.

    Raises
    ------
    FileFormatError
        If the file is not laid out as described above.
    """
    file_size = file.seek(0, 2)
    start, stop, count = _directory(file, file_size)
    if stop - start > _DIRECTORY:
        raise FileFormatError(f"its directory has {stop - start} bytes, more than {_DIRECTORY}")
    members = sorted(_entries(_take(file, start, stop - start)), key=lambda m: m.offset)
    if len(members) != count or len({member.name for member in members}) != count:
        raise FileFormatError("its directory lists a member twice, or not all of them")
    found, position = [], 0
    for member in members:
        if member.offset != position:
            raise FileFormatError("its members do not follow each other")
        data = _after_local_header(file, member, start)
        found.append((member, data))
        position = data + member.size
    if position != start:
        raise FileFormatError("its directory does not follow its members")
    return found


def read_member(file: BinaryIO, member: Member, start: int, skip: int = 0) -> Bytes:
    """Return the bytes of a member from `skip` on, after a check of all of them.

    The size was held against that of the file, so as much memory is taken as there are bytes.
    """
    file.seek(start)
    crc = zlib.crc32(file.read(skip))
    data = np.empty(member.size - skip, np.uint8)
    if data.size and file.readinto(data.data) != data.size:  # type: ignore[attr-defined]
        raise FileFormatError(f"{member.name} is cut off")
    if zlib.crc32(data.data, crc) != member.crc:
        raise FileFormatError(f"{member.name} is damaged: its checksum differs")
    return data


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Return where the directory starts and stops, and how many members it lists."""
    end = size - _END.size
    mark, disk, first_disk, here, count, length, start, comment = _END.unpack(
        _take(file, end, _END.size)
    )
    if mark != b"PK\5\6" or disk or first_disk or comment or here != count:
        raise FileFormatError("it does not end as a zip archive does")
    if _FULL in (length, start) or count == _FULL_COUNT:
        here, count, length, start, end = _directory64(file, end)
        if here != count:
            raise FileFormatError("it is a part of a zip archive")
    if start + length != end:
        raise FileFormatError("its directory is not where it should be")
    return start, end, count


def _directory64(file: BinaryIO, end: int) -> tuple[int, int, int, int, int]:
    """Return the same numbers, and where they stand, of an archive of more than 2 GiB."""
    mark, disk, place, disks = _LOCATOR.unpack(_take(file, end - _LOCATOR.size, _LOCATOR.size))
    if mark != b"PK\6\7" or disk or disks != 1 or place != end - _LOCATOR.size - _END64.size:
        raise FileFormatError("it does not end as a large zip archive does")
    mark, length, _, _, disk, first_disk, *numbers = _END64.unpack(_take(file, place, _END64.size))
    if mark != b"PK\6\6" or length != _END64.size - 12 or disk or first_disk:
        raise FileFormatError("it does not end as a large zip archive does")
    here, count, size, start = numbers
    return here, count, size, start, place


def _entries(directory: bytes) -> list[Member]:
    found, at = [], 0
    while at < len(directory):
        if at + _ENTRY.size > len(directory):
            raise FileFormatError("its directory is cut off")
        (
            mark, _, _, flags, method, _, _, crc, packed, size,
            name_length, extra_length, comment, disk, _, _, offset,
        ) = _ENTRY.unpack_from(directory, at)  # fmt: skip
        if mark != b"PK\1\2" or comment or disk:
            raise FileFormatError("its directory is damaged")
        at += _ENTRY.size
        name = directory[at : at + name_length]
        at += name_length
        extra = directory[at : at + extra_length]
        at += extra_length
        if len(name) != name_length or len(extra) != extra_length:
            raise FileFormatError("its directory is cut off")
        size, packed, offset = _widened(extra, (size, packed, offset))
        if flags or method or packed != size:
            raise FileFormatError("a member is compressed or encrypted, which minifw never writes")
        if not name.isascii():
            raise FileFormatError("a member has a name that minifw never writes")
        found.append(Member(name.decode("ascii"), offset, size, crc))
    return found


def _widened(extra: bytes, numbers: tuple[int, ...]) -> list[int]:
    """Return the numbers, with those that stand in the extra field in place of `_FULL`."""
    missing = numbers.count(_FULL)
    wanted = struct.pack("<2H", 1, 8 * missing) if missing else b""
    if extra[:4] != wanted or len(extra) != len(wanted) + 8 * missing:
        raise FileFormatError("its directory is damaged")
    wide = iter(struct.unpack(f"<{missing}Q", extra[4:]) if missing else ())
    return [next(wide) if number == _FULL else number for number in numbers]


def _after_local_header(file: BinaryIO, member: Member, limit: int) -> int:
    """Return where the data of a member start; raise unless they lie before `limit`."""
    mark, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(
        _take(file, member.offset, _LOCAL.size)
    )
    rest = _take(file, member.offset + _LOCAL.size, name_length + extra_length)
    size, packed = _widened(rest[name_length:], (size, packed))
    same = (rest[:name_length], crc, size, packed) == (
        member.name.encode("ascii"), member.crc, member.size, member.size,
    )  # fmt: skip
    start: int = member.offset + _LOCAL.size + name_length + extra_length
    if mark != b"PK\3\4" or flags or method or not same or start + member.size > limit:
        raise FileFormatError(f"{member.name[:80]} is not what its directory says")
    return start


def _take(file: BinaryIO, start: int, size: int) -> bytes:
    """Return `size` bytes, which must be there; nothing is allocated for those that are not."""
    if start < 0 or size < 0:
        raise FileFormatError("it is cut off, or no file of minifw")
    file.seek(start)
    data = file.read(size)
    if len(data) != size:
        raise FileFormatError("it is cut off, or no file of minifw")
    return data
