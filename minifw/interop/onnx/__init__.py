"""ONNX: models as graphs that other runtimes execute, and such graphs as models.

It needs the extra ``minifw[onnx]``.
"""

from minifw.interop.onnx._export import IR_VERSION, OPSET, export
from minifw.interop.onnx._graph import Exporter, Graph, register
from minifw.interop.onnx._import import import_
from minifw.interop.onnx._skl2onnx import register_skl2onnx

__all__ = [
    "IR_VERSION",
    "OPSET",
    "Exporter",
    "Graph",
    "export",
    "import_",
    "register",
    "register_skl2onnx",
]
