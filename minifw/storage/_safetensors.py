"""The same contents as a `.safetensors` file, which many other programs read."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from minifw._tools.extras import needs
from minifw.errors import FileFormatError
from minifw.storage._archive import check_storable, reading, regular
from minifw.storage._atomic import replacing
from minifw.storage._text import TEXT, head_of, head_text

_HEADER = 4 * TEXT  # bytes of its own JSON header, which holds ours and the tensors' names

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
    safetensors = package()
    check_header(path)
    faults, opening = safetensors.SafetensorError, safetensors.safe_open
    with reading(path, faults), opening(path, framework="numpy") as opened:
        metadata = opened.metadata() or {}
        if "minifw" not in metadata:
            raise FileFormatError(
                "it holds weights and no description of a model; put them into a model of "
                "your own with minifw.interop.safetensors.load_into(model, path)"
            )
        text = metadata["minifw"]
        meta = head_of("its description", kind, text.encode("utf-8", "replace"))
        # copies, because a tensor may be a view of the file
        tensors = {name: np.array(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
        if metadata.get("minifw_crc32") != _checksum(text, tensors):
            raise ValueError("its checksum differs")
    return meta, tensors


def storable(arrays: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return arrays in rows (C order); raise if the format lacks the dtype or the name of one."""
    if "__metadata__" in arrays:
        raise ValueError(
            "save: an entry cannot be called '__metadata__', which safetensors keeps for itself; "
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
        raise FileFormatError(f"{path} cannot be read: it has no header of a safetensors file")


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
