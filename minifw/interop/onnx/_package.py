"""The package onnx, imported when a graph is written or read."""

from typing import Any

__all__ = ["package"]


def package(owner: str) -> Any:
    """Return the module onnx with what is used of it, or raise for `owner` if it is missing."""
    try:
        import onnx  # noqa: PLC0415 - optional
        import onnx.checker  # noqa: PLC0415 - optional
        import onnx.helper  # noqa: PLC0415 - optional
        import onnx.numpy_helper  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ImportError(
            f"{owner} needs onnx; install the extra minifw[onnx]: "
            "python -m pip install 'minifw[onnx]'"
        ) from error
    return onnx
