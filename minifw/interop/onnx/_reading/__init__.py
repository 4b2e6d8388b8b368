"""A graph of another program, read as layers: a file for each kind of operator."""

from minifw.interop.onnx._reading import (  # noqa: F401 - they register what they read
    arithmetic,
    formulas,
    images,
    normalization,
    recurrent,
    shape,
)
from minifw.interop.onnx._reading.graph import read_graph

__all__ = ["read_graph"]
