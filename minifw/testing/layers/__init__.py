"""The questions to a layer."""

from minifw.testing.layers._check import check_layer

__all__ = ["check_layer"]
