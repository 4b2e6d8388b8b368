"""PyTorch, in code: the module of a network with its weights, its source, and the way back."""

from minifw.interop.torch._reading import from_torch
from minifw.interop.torch._source import to_torch, torch_source
from minifw.interop.torch._twins import register

__all__ = ["from_torch", "register", "to_torch", "torch_source"]
