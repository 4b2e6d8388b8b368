"""Plain values as JSON text and back, exactly.

JSON knows neither NaN nor tuples. They are written as an object with one key
that begins with a dollar sign: ``{"$float": "nan"}``, ``{"$tuple": [1, 2]}``. A
dict that has such a key itself is ``{"$dict": [[key, value], ...]}``. Floats are
written with as many digits as tell them apart (Python's ``repr``), integers with
all of theirs.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from minifw._tools.checks import check_is, describe
from minifw.errors import FileFormatError

VERSION = 2  # the newest of files; 2 has ties and Graphs, which an older minifw cannot read
TEXT = 2**22  # bytes of JSON: enough for any architecture; parsed, it takes 25 times as much

_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_text(owner: str, value: object) -> str:
    """Return `value` as JSON; raise a TypeError for `owner` if there is no exact form for it.

    Parameters
    ----------
    owner : str
        Whose value it is, for the message.
    value : None, bool, int, float, str, or a list, tuple or dict (with str as keys) of such
        They come back as what they were: a tuple as a tuple, NaN as NaN.
    """
    try:
        return json.dumps(_tagged(owner, value), separators=(",", ":"))
    except RecursionError:
        raise ValueError(f"{owner} is nested too deeply, or holds itself") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise ValueError(f"{owner} cannot be written as JSON: {error}") from error


def from_text(owner: str, text: bytes) -> Any:
    """Return the value of JSON text that `to_text` wrote; raise a FileFormatError for `owner`."""
    try:
        return json.loads(
            text.decode("ascii"), object_pairs_hook=_untagged, parse_constant=_refused
        )
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise FileFormatError(f"{owner} is not JSON as minifw writes it: {error}") from error


def head_text(kind: str, meta: Mapping[str, Any], version: int = 1) -> str:
    """Return the JSON that says what a file is, and holds the plain values."""
    text = to_text("meta", {"minifw": kind, "version": version, "meta": dict(meta)})
    if len(text) > TEXT:  # it is ASCII: a character is a byte
        raise ValueError(
            f"meta takes {len(text)} bytes as JSON, more than {TEXT}; put long lists into arrays"
        )
    return text


def head_of(owner: str, kind: str, text: bytes) -> dict[str, Any]:
    """Return the plain values of that JSON; raise if the file is of another kind."""
    if len(text) > TEXT:
        raise FileFormatError(f"{owner} has {len(text)} bytes, more than {TEXT}")
    match from_text(owner, text):
        case {"minifw": str(found), "version": int(version), "meta": dict(meta)} if version > 0:
            if version > VERSION:
                raise FileFormatError(
                    f"its format is version {version}, and this minifw reads up to {VERSION}; "
                    "use a newer minifw"
                )
            if found != kind:
                raise FileFormatError(f"it holds a {found[:40]}, and a {kind} is expected")
            return meta
    raise FileFormatError(f"{owner} does not say what the file is")


def _tagged(owner: str, value: object) -> Any:
    if isinstance(value, list | tuple):
        items = [_tagged(owner, item) for item in value]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping):
        for key in value:
            check_is(owner, "str as keys", key, str)
        tagged = {str(key): _tagged(owner, item) for key, item in value.items()}
        own = any(key.startswith("$") for key in tagged)
        return {"$dict": list(tagged.items())} if own else tagged
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(float(value))}
    if value is None or isinstance(value, bool):
        return value
    for plain in (int, float, str):  # NumPy's float64 is a float
        if isinstance(value, plain):
            return plain(value)
    raise TypeError(
        f"{owner} expects None, bool, int, float, str, list, tuple or dict, got {describe(value)}"
    )


def _untagged(pairs: list[tuple[str, Any]]) -> Any:
    """Return what a JSON object stands for."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    if not any(key.startswith("$") for key in found):
        return found
    match pairs:
        case [("$float", str(name))] if name in _FLOATS:
            return _FLOATS[name]
        case [("$tuple", list(items))]:
            return tuple(items)
        case [("$dict", list(items))]:
            made = dict(items) if all(isinstance(item, list) for item in items) else {}
            if len(made) == len(items) and all(isinstance(key, str) for key in made):
                return made
    raise ValueError(f"unknown tag {next(iter(found))[:20]!r}")


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} stands there bare")
