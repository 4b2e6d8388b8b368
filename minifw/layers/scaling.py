"""Layers that scale: features by learned factors, units by the width, gradients alone."""

import math
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minifw._tools.arrays import sum_rows
from minifw._tools.checks import SMALLEST_DTYPE, check_array, check_cotangent, check_rows
from minifw._tools.numbers import check_non_negative, finite_in_both
from minifw._tools.options import Option
from minifw.core.layer import Identity, Layer
from minifw.initializers import Normal
from minifw.layers.activations import _filled
from minifw.layers.dense import Dense
from minifw.typing import RNG, Array, Formulas, Init, Shape

__all__ = ["GradientReversal", "NTKDense", "Rescaling", "Scale", "StopGradient"]


class Scale(Layer):
    """y = x w, with a learned factor w for each feature.

    Of sequences, (batch, time, features), every step is scaled alike. Then

        dx = dy w,    dw = sums of dy x over the batch, and over time.

    Before the first `Dense` of a table it learns which columns count. At the end of a
    branch, as in ``Residual(Sequential(..., Scale(n, 1e-4)))``, it lets the branch in slowly.

    Parameters
    ----------
    features : int
        The length of the last axis of x.
    init : float, default 1.0
        What every w starts at. Touvron et al. take 0.1 down to 1e-6, the less the deeper
        the network.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    weight : Parameter of shape (features,)
        The factors w.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, features) or (batch, time, features) in the
        layer's dtype.

    References
    ----------
    H. Touvron, M. Cord, A. Sablayrolles, G. Synnaeve and H. Jégou, "Going deeper with
    Image Transformers", ICCV 2021, section 2 (LayerScale).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Scale
    >>> layer = Scale(2)
    >>> layer.weight.value = [0.5, 10.0]
    >>> layer.forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[ 0.5, 20. ],
           [ 1.5, 40. ]])
    >>> layer.backward(np.ones((2, 2)))
    array([[ 0.5, 10. ],
           [ 0.5, 10. ]])
    >>> layer.weight.grad
    array([4., 6.])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    takes_sequences: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} * {weight}",
        "dx": "{dy} * {weight}",
        "weight": "column sums of {dy} * {x}",
    }

    def __init__(self, features: int, init: float = 1.0, *, dtype: object = np.float64) -> None:
        self.weight = _filled("Scale", "features", features, init, dtype)

    @property
    def features(self) -> int:
        """The length of the last axis of x."""
        return self.weight.size

    @property
    def input_shape(self) -> Shape:
        """(features,)."""
        return (self.features,)

    def forward(self, x: Array) -> Array:
        """Return y = x w."""
        check_rows(self, x, self.features, self.weight.dtype)
        self.save(x)
        return x * self.weight.value

    def backward(self, dy: Array) -> Array:
        """Return dx = dy w, and set dw."""
        self.backward_parameters(dy)
        return dy * self.weight.value

    def backward_parameters(self, dy: Array) -> None:
        """Set dw to the sums of dy x."""
        (x,) = self.saved()
        check_cotangent(self, dy, x.shape, x.dtype)
        share = dy * x  # (batch, ..., features)
        sum_rows(share.reshape(-1, self.features), self.weight.grad)


def _fixed(owner: str, name: str, value: npt.ArrayLike) -> Array | float:
    """Return a float, or a float64 array, or raise unless all is finite in both dtypes."""
    array = np.array(value, np.float64)
    largest = float(np.finfo(SMALLEST_DTYPE).max)
    if not (np.abs(array) <= largest).all():  # of NaN it is False
        raise ValueError(f"{owner} expects {name} to be finite in float32, got {value!r}")
    return array if array.ndim else float(array)


class Rescaling(Layer):
    """y = s x + o, with a scale s and an offset o that are given and not learned.

    dx = s dy. It puts a change of units into the model: pixels from 0 to 255 become numbers
    from -1 to 1, a table's columns what the network was trained with.

    Parameters
    ----------
    scale : float or array, default 1.0
        The factor s: a number for all, or an array that is broadcast to the shape of one example.
    offset : float or array, default 0.0
        What is added, o, likewise.

    Attributes
    ----------
    scale, offset : float or array

    Raises
    ------
    ValueError
        If a number is not finite in float32. By ``forward``, if the arrays do not broadcast to the
        shape of an example.
    TypeError
        By ``forward``, unless x holds float64 or float32 numbers.

    Notes
    -----
    Keras' ``Rescaling``. `Standardize` measures its numbers, and `Scale` learns them.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Rescaling
    >>> layer = Rescaling(1 / 127.5, -1.0)
    >>> layer.forward(np.array([[0.0, 127.5, 255.0]]))
    array([[-1.,  0.,  1.]])
    >>> layer.backward(np.array([[127.5, 0.0, 0.0]]))
    array([[1., 0., 0.]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    takes_sequences: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "{x} * scale + offset", "dx": "{dy} * scale"}
    scale: Option[Any] = Option(_fixed, fixed=True)
    offset: Option[Any] = Option(_fixed, fixed=True)

    def __init__(self, scale: npt.ArrayLike = 1.0, offset: npt.ArrayLike = 0.0) -> None:
        self.scale = scale
        self.offset = offset

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of x, or raise if the arrays do not broadcast to it."""
        arrays = [getattr(one, "shape", ()) for one in (self.scale, self.offset)]
        with suppress(ValueError):
            if np.broadcast_shapes(input_shape, *arrays) == input_shape:
                return input_shape
        raise ValueError(
            f"{type(self).__name__} of a scale of shape {arrays[0]} and an offset of shape "
            f"{arrays[1]} cannot take examples of shape {input_shape}"
        )

    def forward(self, x: Array) -> Array:
        """Return y = s x + o."""
        check_array(self, "x", x)
        self.output_shape(x.shape[1:])
        self.save(x)  # for its shape and dtype
        y: Array = np.multiply(x, self.scale, dtype=x.dtype)  # the shape of x
        y += self.offset
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = s dy."""
        (x,) = self.saved()
        check_cotangent(self, dy, x.shape, x.dtype)
        dx: Array = np.multiply(dy, self.scale, dtype=x.dtype)  # the shape of x
        return dx


class NTKDense(Dense):
    """`Dense` in the NTK form: y = c x W' + b, with c = 1 / sqrt(in_features).

    W is drawn with a standard deviation of 1 whatever the width; c takes the width away. So one
    learning rate serves layers of all widths. With Adam, whose steps do not depend on the size
    of the gradient, it is `Dense` with the learning rate c lr for the weight. Then

        dW = c dy' x,    db = column sums of dy,    dx = c dy W.

    Parameters
    ----------
    in_features, out_features : int
        The widths of x and y.
    bias : bool, default True
        Whether there is a b; it starts at 0.
    init : callable, default ``Normal(1.0)``
        Makes the weight: called with its shape and a generator.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.
    rng : numpy.random.Generator, int or None, default None
        The source of the weight, or its seed; None takes fresh entropy.

    Attributes
    ----------
    weight : Parameter of shape (out_features, in_features)
    bias : Parameter of shape (out_features,), or None

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, in_features) or (batch, time, in_features) in
        the layer's dtype.

    References
    ----------
    A. Jacot, F. Gabriel and C. Hongler, "Neural Tangent Kernel: Convergence and Generalization
    in Neural Networks", NeurIPS 2018, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import NTKDense
    >>> layer = NTKDense(4, 1, rng=0)
    >>> layer.weight.value = [[1.0, 1.0, 1.0, 1.0]]
    >>> layer.forward(np.array([[1.0, 2.0, 3.0, 4.0]]))  # c = 1/2
    array([[5.]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": (
            "{x} {weight}' / sqrt({in_features}) + {bias}",
            "{x} {weight}' / sqrt({in_features})",
        ),
        "dx": "{dy} {weight} / sqrt({in_features})",
        "weight": "{dy}' {x} / sqrt({in_features})",
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
        start = Normal(1.0) if init is None else init
        super().__init__(in_features, out_features, bias=bias, init=start, dtype=dtype, rng=rng)

    @property
    def scale(self) -> float:
        """c, 1 / sqrt(in_features)."""
        return 1 / math.sqrt(self.in_features)

    def forward(self, x: Array) -> Array:
        """Return y = (c x) W' + b."""
        check_rows(self, x, self.in_features, self.weight.dtype)
        return super().forward(x * self.scale)  # which saves c x, so dW has its c

    def backward(self, dy: Array) -> Array:
        """Return dx = c dy W, and set dW and db."""
        return super().backward(dy) * self.scale


class StopGradient(Identity):
    """y = x, but dx = 0: what comes before does not learn from what comes after.

    It counts as a constant, as in a target that the model makes itself. PyTorch's ``detach``
    is the same.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import StopGradient
    >>> layer = StopGradient()
    >>> layer.forward(np.array([[1.0, 2.0]]))
    array([[1., 2.]])
    >>> layer.backward(np.array([[3.0, 4.0]]))
    array([[0., 0.]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "{x}", "dx": "0"}
    declared: ClassVar[dict[str, str]] = {"dx": "the gradient is stopped: x counts as a constant"}

    def backward(self, dy: Array) -> Array:
        """Return zeros."""
        dx = super().backward(dy)
        dx[...] = 0
        return dx


class GradientReversal(Identity):
    """y = x, but dx = -weight dy: what comes before learns to make worse what comes after.

    Between a body and a head that tells where an example comes from, the body learns what
    does not tell it, while the head learns to. With weight 0 it is a `StopGradient`.

    Parameters
    ----------
    weight : float, default 1.0
        The strength of the reversal. It may be assigned at any time: the paper raises it
        from 0 to 1 in training.

    References
    ----------
    Y. Ganin and V. Lempitsky, "Unsupervised Domain Adaptation by Backpropagation",
    ICML 2015, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import GradientReversal
    >>> layer = GradientReversal(0.5)
    >>> layer.forward(np.array([[1.0, 2.0]]))
    array([[1., 2.]])
    >>> layer.backward(np.array([[3.0, 4.0]]))
    array([[-1.5, -2. ]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "{x}", "dx": "-{weight} * {dy}"}
    declared: ClassVar[dict[str, str]] = {"dx": "the gradient is reversed"}

    weight = Option(finite_in_both(check_non_negative))

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def backward(self, dy: Array) -> Array:
        """Return -weight dy."""
        dx = super().backward(dy)
        dx *= -self.weight
        return dx
