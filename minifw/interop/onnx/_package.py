"""The package onnx, imported when a graph is written or read."""

from typing import Any

from minifw._tools.extras import needs

__all__ = ["package"]


def package(owner: str) -> Any:
    """Return the module onnx with what is used of it, or raise for `owner` if it is missing."""
    with needs(owner, "onnx", "onnx"):
        import onnx  # noqa: PLC0415 - optional
        import onnx.checker  # noqa: PLC0415 - optional
        import onnx.helper  # noqa: PLC0415 - optional
        import onnx.numpy_helper  # noqa: PLC0415 - optional
    return onnx
