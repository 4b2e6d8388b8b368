"""The fully connected layer."""

from typing import ClassVar

import numpy as np

from minifw._tools.arrays import ones
from minifw._tools.checks import (
    check_cotangent,
    check_dtype,
    check_flag,
    check_rows,
    check_size,
)
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.initializers import GlorotUniform
from minifw.layers._weights import drawn
from minifw.typing import RNG, Array, Formulas, Init, Shape

__all__ = ["Dense"]


class Dense(Layer):
    """Every output is a weighted sum of all inputs plus a bias: y = x W' + b.

    Given dy = dL/dy, with one example per row,

        dW = dy' x,    db = sum of the rows of dy,    dx = dy W.

    Parameters
    ----------
    in_features, out_features : int
        The widths of x and y.
    bias : bool, default True
        Whether there is a b; it starts at 0.
    init : callable, default `GlorotUniform()`
        Makes the weight: called with its shape and a generator.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.
    rng : numpy.random.Generator, int or None, default None
        The source of the weight, or its seed; None takes fresh entropy.

    Attributes
    ----------
    weight : Parameter of shape (out_features, in_features)
        The notes' W, and the layout of PyTorch's ``Linear.weight``.
    bias : Parameter of shape (out_features,), or None

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, in_features) in the layer's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense
    >>> layer = Dense(2, 1, rng=0)
    >>> layer.weight.value = [[1.0, 10.0]]
    >>> layer.bias.value = [100.0]
    >>> layer.forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[121.],
           [143.]])
    """

    formulas: ClassVar[Formulas] = {
        "y": ("{x} {weight}' + {bias}", "{x} {weight}'"),
        "dx": "{dy} {weight}",
        "weight": "{dy}' {x}",
        "bias": "column sums of {dy}",
    }

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        init: Init | None = None,
        dtype: object = np.float64,
        rng: RNG = None,
    ) -> None:
        self.in_features = check_size("Dense", "in_features", in_features)
        self.out_features = check_size("Dense", "out_features", out_features)
        shape = (self.out_features, self.in_features)
        numbers = check_dtype("Dense", dtype)
        start = GlorotUniform() if init is None else init
        self.weight = Parameter(drawn("Dense", start, shape, numbers, rng))
        with_bias = check_flag("Dense", "bias", bias)
        self.bias = Parameter(np.zeros(self.out_features, numbers)) if with_bias else None
        # NumPy adds an array without axes several times faster than one of shape (1, 1).
        self._column: Shape = (self.out_features, 1) if self.out_features > 1 else ()

    @property
    def input_shape(self) -> Shape:
        """(in_features,)."""
        return (self.in_features,)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (out_features,)."""
        if input_shape != self.input_shape:
            raise ValueError(
                f"{self!r} expects examples of shape {self.input_shape}, got {input_shape}"
            )
        return (self.out_features,)

    def forward(self, x: Array) -> Array:
        """Return y = x W' + b."""
        weight = self.weight.value  # (out, in)
        check_rows(self, x, self.in_features, weight.dtype)
        self.save(x)
        # The notes' form, W X + b with an example per column. The matrices are in the order in
        # which OpenBLAS multiplies small ones fastest, and NumPy's inner loops run along the
        # axis that lies contiguous in memory: for long batches of few features, the batch.
        columns: Array = weight.dot(x.T)  # (out, batch)
        if self.bias is not None:
            columns += self.bias.value.reshape(self._column)
        return columns.T  # (batch, out)

    def backward(self, dy: Array) -> Array:
        """Return dx = dy W, and set the gradients of weight and bias."""
        self.backward_parameters(dy)
        weight = self.weight.value  # (out, in)
        columns: Array = weight.T.dot(dy.T)  # (in, batch), stored as in forward
        return columns.T  # (batch, in)

    def backward_parameters(self, dy: Array) -> None:
        """Set dW = dy' x and db = dy' 1."""
        (x,) = self.saved()
        batch = len(x)
        check_cotangent(self, dy, (batch, self.out_features), x.dtype)
        dy.T.dot(x, self.weight.grad)  # (out, in)
        if self.bias is not None:
            # A product with ones: of a few features many times faster than a sum.
            dy.T.dot(ones(batch, x.dtype), self.bias.grad)  # (out,)
