"""The layers: every one has its forward and its backward side by side."""

from minifw._core.layer import Layer
from minifw.layers._activations import Sigmoid, Tanh
from minifw.layers._dense import Dense
from minifw.layers._sequential import Sequential

__all__ = ["Dense", "Layer", "Sequential", "Sigmoid", "Tanh"]
