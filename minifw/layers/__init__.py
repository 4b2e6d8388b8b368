"""The layers: every one has its forward and its backward side by side."""

from minifw._core.layer import Layer
from minifw.layers._activations import Sigmoid, Tanh
from minifw.layers._branches import Concat, Residual
from minifw.layers._dense import Dense
from minifw.layers._sequential import Sequential

__all__ = ["Concat", "Dense", "Layer", "Residual", "Sequential", "Sigmoid", "Tanh"]
