"""The fully connected layer."""

import math
from typing import ClassVar

import numpy as np

from minifw._tools.arrays import add_row, sum_rows
from minifw._tools.checks import check_cotangent, check_rows
from minifw._tools.loading import make_weight
from minifw._tools.numbers import check_dtype, check_flag, check_size
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.initializers import GlorotUniform
from minifw.typing import RNG, Array, Formulas, Init, Shape

__all__ = ["Dense"]


class Dense(Layer):
    """Every output is a weighted sum of all inputs plus a bias: y = x W' + b.

    Given dy = dL/dy, with one example per row (the notes' 1/m is in dy: the loss divides),

        dW = dy' x,    db = column sums of dy,    dx = dy W.

    Of sequences, (batch, time, in_features), every step is a row: it is the same at each
    step, and gives (batch, time, out_features).

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
        By ``forward``, unless x is (batch, in_features) or (batch, time, in_features) in
        the layer's dtype.

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

    linear: ClassVar[bool] = True
    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    takes_sequences: ClassVar[bool] = True
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
        shape = (
            check_size("Dense", "out_features", out_features),
            check_size("Dense", "in_features", in_features),
        )
        numbers = check_dtype("Dense", dtype)
        start = GlorotUniform() if init is None else init
        self.weight = Parameter(make_weight("Dense", start, shape, numbers, rng))
        with_bias = check_flag("Dense", "bias", bias)
        self.bias = Parameter(np.zeros(shape[0], numbers)) if with_bias else None

    @property
    def in_features(self) -> int:
        """The width of x."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """The width of y."""
        return self.weight.shape[0]

    @property
    def input_shape(self) -> Shape:
        """(in_features,)."""
        return (self.in_features,)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (out_features,) for (in_features,), (time, out_features) of a sequence."""
        if len(input_shape) in (1, 2) and input_shape[-1] == self.in_features:
            return (*input_shape[:-1], self.out_features)
        fix = "; put Flatten() before it" if math.prod(input_shape) == self.in_features else ""
        raise ValueError(
            f"{self!r} expects examples of shape {self.input_shape} or "
            f"(time, {self.in_features}), got {input_shape}{fix}"
        )

    # Products and sums run by columns, as in the notes: W X with an example per column. BLAS
    # and NumPy then work along the axis that lies contiguous in memory; see docs/architecture.md.
    # Steps of sequences run by rows, as attention and norms read them: a GPT takes 0.93 so.

    def forward(self, x: Array) -> Array:
        """Return y = x W' + b."""
        weight = self.weight.value  # (out, in)
        rows = check_rows(self, x, weight.shape[1], weight.dtype)  # x, or all its steps
        self.save(x)
        # (batch, out), or (batch * time, out)
        y: Array = weight.dot(rows.T).T if rows is x else rows.dot(weight.T)
        if self.bias is not None:
            add_row(y, self.bias.value)  # y += b
        return y if rows is x else y.reshape(*x.shape[:2], -1)

    def backward(self, dy: Array) -> Array:
        """Return dx = dy W, and set the gradients of weight and bias."""
        self.backward_parameters(dy)
        if dy.ndim == 3:
            rows: Array = dy.reshape(-1, dy.shape[2]).dot(self.weight.value)  # (batch * time, in)
            return rows.reshape(*dy.shape[:2], -1)
        dx: Array = self.weight.value.T.dot(dy.T).T  # (batch, in)
        return dx

    def backward_parameters(self, dy: Array) -> None:
        """Set dW = dy' x and db = the column sums of dy."""
        (x,) = self.saved()
        if x.ndim == 3:
            check_cotangent(self, dy, (*x.shape[:2], self.out_features), x.dtype)
            x, dy = (steps.reshape(-1, steps.shape[2]) for steps in (x, dy))  # (batch * time, ...)
        check_cotangent(self, dy, (len(x), len(self.weight.value)), x.dtype)
        dy.T.dot(x, self.weight.grad)  # (out, in)
        if self.bias is not None:
            sum_rows(dy, self.bias.grad)  # (out,)
