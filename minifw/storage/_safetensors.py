"""The same contents as a `.safetensors` file, which many other programs read."""

import json
import math
import os
import re
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from minifw._tools.extras import needs
from minifw.errors import FileFormatError
from minifw.storage._archive import check_storable, reading, regular
from minifw.storage._atomic import replacing
from minifw.storage._text import TEXT, head_of, head_text

_HEADER = 4 * TEXT  # bytes of its own JSON header, which holds ours and the tensors' names

_METADATA = "__metadata__"  # the one name that the format keeps for itself
_PLAIN = re.compile(r"\w[\w.-]*\.safetensors")  # of the files that an index may name

_DTYPES = frozenset(map(np.dtype, "?bBhHiIqQefd"))  # all integers, and floats of 2, 4 and 8 bytes


def write_tensors(
    path: str, kind: str, meta: Mapping[str, Any], arrays: Mapping[str, Any], version: int = 1
) -> None:
    """Write what `write_archive` does, in the other format.

    Raises
    ------
    TypeError
        If an array has a dtype that the format lacks; ".npz" has all.
    ValueError
        If an array has the one name that the format keeps for itself.
    """
    numpy_format = package().numpy
    tensors, text = storable(arrays), head_text(kind, meta, version)
    metadata = {"minifw": text, "minifw_crc32": _checksum(text, tensors)}
    data = numpy_format.save(tensors, metadata)
    with replacing(path) as file:
        file.write(data)


def read_tensors(path: str, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return what `read_archive` does, and raise as it does."""
    with ExitStack() as stack:
        file = Tensors(path, stack)
        with reading(path):
            if "minifw" not in file.metadata:
                raise FileFormatError(
                    "it holds weights and no description of a model; put them into a model of "
                    "your own with minifw.interop.safetensors.load_into(model, path)"
                )
            text = file.metadata["minifw"]
            meta = head_of("its description", kind, text.encode("utf-8", "replace"))
            tensors = {name: file.read(name) for name in file.heads}
            if file.metadata.get("minifw_crc32") != _checksum(text, tensors):
                raise ValueError("its checksum differs")
    return meta, tensors


class Tensors:
    """The tensors of a file, or of all files that an index lists, which are read one by one.

    Attributes
    ----------
    heads : dict {str: (shape, dtype)}
        Of each tensor, the dtype by its name in the format.
    metadata : dict {str: str}
    """

    def __init__(self, path: str, stack: ExitStack) -> None:
        safetensors = package()
        self.heads: dict[str, tuple[tuple[int, ...], str]] = {}
        self.metadata: dict[str, str] = {}
        self._fault = safetensors.SafetensorError
        self._places: dict[str, tuple[Any, str]] = {}
        self._starts: dict[str, dict[str, int]] = {}  # of the tensors of a file, in bytes
        for place in _listed(path) if path.endswith(".json") else [path]:
            check_header(place)
            with reading(place, self._fault):
                file = stack.enter_context(safetensors.safe_open(place, framework="numpy"))
                self.metadata |= file.metadata() or {}
                for name in file.keys():  # noqa: SIM118 - it is not a dict
                    if name in self.heads:
                        raise FileFormatError(f"{name[:200]} is in another file of the index, too")
                    head = file.get_slice(name)
                    self.heads[name] = tuple(head.get_shape()), str(head.get_dtype())
                    self._places[name] = file, place

    def read(self, name: str) -> np.ndarray[Any, Any]:
        """Return a tensor in an array of its own; bfloat16, which NumPy lacks, as float32."""
        (file, place), (shape, code) = self._places[name], self.heads[name]
        with reading(place, self._fault):
            if code != "BF16":
                return np.array(file.get_tensor(name))  # a copy of a view of the file
            starts = self._starts.get(place) or self._starts.setdefault(place, _starts(place))
            half = np.fromfile(place, "<u2", math.prod(shape), offset=starts[name])
            return (half.astype("<u4") << 16).view("<f4").reshape(shape)


def _starts(path: str) -> dict[str, int]:
    """Return where the bytes of each tensor begin, in a file whose header was found right."""
    with open(path, "rb") as file:  # noqa: PTH123
        size = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(size))
    return {name: 8 + size + head[name]["data_offsets"][0] for name in head.keys() - {_METADATA}}


def _listed(path: str) -> list[str]:
    """Return the files that an index lists, by plain names only: they lie in its own folder."""
    regular(path)
    with reading(path), open(path, "rb") as file:  # noqa: PTH123
        text = file.read(TEXT + 1)
        match json.loads(text) if len(text) <= TEXT else None:
            case {"weight_map": dict(places)} if all(map(_PLAIN.fullmatch, places.values())):
                folder = os.path.dirname(path)  # noqa: PTH120
                return [os.path.join(folder, place) for place in sorted({*places.values()})]  # noqa: PTH118
        raise FileFormatError(
            "it is not an index of .safetensors files in its folder, by plain names"
        )


def storable(arrays: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return arrays in rows (C order); raise if the format lacks the dtype or the name of one."""
    if _METADATA in arrays:
        raise ValueError(
            f"save: an entry cannot be called {_METADATA!r}, which safetensors keeps for itself; "
            "give it another name"
        )
    tensors = {name: check_storable(name, array) for name, array in arrays.items()}
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise TypeError(
                f"save: {name} has dtype {tensor.dtype}, which safetensors lacks; save as .npz"
            )
    return tensors


def check_header(path: str) -> None:
    """Raise unless `path` is a file that says its header is of a size to be parsed."""
    regular(path)
    with open(path, "rb") as file:  # noqa: PTH123
        header = int.from_bytes(file.read(8), "little")
    if header > _HEADER:
        raise FileFormatError(
            f"{path} cannot be read: it has no header of a safetensors file; in PyTorch "
            "safetensors.torch.save_file(module.state_dict(), path) writes one"
        )


def _checksum(text: str, tensors: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Return a checksum of everything; the format has none."""
    crc = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = check_storable(name, tensors[name])
        crc = zlib.crc32(f"{name} {tensor.dtype.str} {tensor.shape}".encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"


def package() -> Any:
    """Return the package safetensors, or raise an ImportError that names the extra."""
    with needs("a .safetensors file", "safetensors", "safetensors"):
        import safetensors.numpy  # noqa: PLC0415 - optional
    return safetensors
