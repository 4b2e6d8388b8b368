"""Layers over the steps of a sequence: their places and order, which count, and their mean."""

from abc import abstractmethod
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import (
    DTYPES,
    check_array,
    check_cotangent,
    check_feature_axis,
    check_mask,
    check_place,
    check_plain,
    check_sequence_shape,
    check_sequences,
    check_whole,
)
from minifw._tools.loading import make_weight
from minifw._tools.numbers import check_axis, check_dtype, check_positive, check_size
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.initializers import Normal
from minifw.layers._given import for_given
from minifw.typing import RNG, Array, DType, Formulas, Init, Shape

__all__ = ["Flip", "Mask", "MeanOverTime", "Positions", "SinusoidalPositions"]

START_STD = 0.02  # of the weights of Positions: GPT-2's


class _AddsPlaces(Layer):
    """y_t = x_t + P[t], a vector for each place; dx = dy."""

    stepwise: ClassVar[bool] = True
    features: Any  # the width of x

    @abstractmethod
    def _places(self, start: int, stop: int, dtype: DType) -> Array:
        """Return P of these places, (stop - start, features); raise if there are not so many."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (time, features), as it is given."""
        check_sequence_shape(self, input_shape, self.features)
        self._places(input_shape[0] - 1, input_shape[0], DTYPES[0])
        return input_shape

    def forward(self, x: Array) -> Array:
        """Return x + P, place by place."""
        _, time = check_sequences(self, x, self.features, self._dtype(x))
        self.save(x)
        y: Array = x + self._places(0, time, x.dtype)  # (batch, time, features)
        return y

    def backward(self, dy: Array) -> Array:
        """Return a copy of dy, and set the gradient of a weight."""
        self.backward_parameters(dy)
        return dy.copy("K")

    def backward_parameters(self, dy: Array) -> None:
        """Set dW, if there is a weight."""
        (x,) = self.saved()
        check_cotangent(self, dy, x.shape, x.dtype)

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        """Return x + P[n] at place n, which is kept as a count."""
        check_place(self, x, self.features, self._dtype(x))
        place = kept or 0
        return x + self._places(place, place + 1, x.dtype), place + 1

    def _dtype(self, x: Array) -> DType:
        """Return the dtype that x must have."""
        check_array(self, "x", x)
        return x.dtype


class Positions(_AddsPlaces):
    """A vector is learned for each place in a sequence, and added there: y_t = x_t + W[t].

    Attention sees a set of steps; this tells it their order. With dy = dL/dy,

        dx = dy,    dW[t] = sum of dy_t over the batch, 0 for places beyond the sequence.

    Parameters
    ----------
    length : int
        The number of places: the longest sequence that it takes.
    features : int
        The width of x.
    init : callable, default `Normal(0.02)`
        Makes the weight: called with its shape and a generator.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.
    rng : numpy.random.Generator, int or None, default None
        The source of the weight, or its seed; None takes fresh entropy.

    Attributes
    ----------
    weight : Parameter of shape (length, features)
        W, in the layout of a PyTorch ``Embedding`` of the places.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, time, features) in the layer's dtype, with time
        at most `length`.

    References
    ----------
    J. Gehring et al., "Convolutional sequence to sequence learning", ICML 2017, section 3.1;
    the start is from A. Radford et al., "Language models are unsupervised multitask
    learners", 2019 (GPT-2).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Positions
    >>> layer = Positions(3, 1)
    >>> layer.weight.value = [[0.1], [0.2], [0.3]]
    >>> layer.forward(np.array([[[1.0], [1.0]]]))
    array([[[1.1],
            [1.2]]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} + {weight} at each step",
        "dx": "{dy}",
        "weight": "sums of {dy} over the batch",
    }

    def __init__(
        self,
        length: int,
        features: int,
        *,
        init: Init | None = None,
        dtype: object = np.float64,
        rng: RNG = None,
    ) -> None:
        rows = check_size("Positions", "length", length)
        shape = (rows, check_size("Positions", "features", features))
        start = Normal(START_STD) if init is None else init
        numbers = check_dtype("Positions", dtype)
        self.weight = Parameter(make_weight("Positions", start, shape, numbers, rng))

    @property
    def length(self) -> int:
        """The number of places."""
        return self.weight.shape[0]

    @property
    def features(self) -> int:
        """The width of x."""
        return self.weight.shape[1]

    def backward_parameters(self, dy: Array) -> None:
        """Set dW: the sums of dy over the batch, and 0 beyond the sequence."""
        super().backward_parameters(dy)
        grad, time = self.weight.grad, dy.shape[1]
        dy.sum(axis=0, out=grad[:time])  # (time, features)
        grad[time:] = 0

    def _places(self, start: int, stop: int, dtype: DType) -> Array:  # noqa: ARG002
        if stop > self.length:
            raise ValueError(
                f"{self!r} expects at most {self.length} steps, got {stop}; make it longer, or "
                "cut the sequences"
            )
        return self.weight.value[start:stop]

    def _dtype(self, x: Array) -> DType:  # noqa: ARG002
        return self.weight.dtype


class SinusoidalPositions(_AddsPlaces):
    """A fixed vector is added at each place, of sines and cosines: y_t = x_t + P[t].

    With F features, at the places t = 0, 1, ..., and for i = 0, 1, ... below F / 2,

        P[t, 2i] = sin(t w_i),    P[t, 2i + 1] = cos(t w_i),    w_i = base^(-2i / F),

    so dx = dy. P[t + s] is a rotation of the pairs of P[t] that depends on s alone, which
    tells a head how far apart two places are. Nothing is learned, and any length is taken.

    Parameters
    ----------
    features : int
        The width of x.
    base : float, default 10000.0
        Above 0. The longest wavelength is nearly 2 pi base.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, time, features).

    Notes
    -----
    The paper multiplies the vectors of words by sqrt(features) before, as they start small.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SinusoidalPositions
    >>> SinusoidalPositions(2).forward(np.zeros((1, 3, 2))).round(2)
    array([[[ 0.  ,  1.  ],
            [ 0.84,  0.54],
            [ 0.91, -0.42]]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "{x} + sines and cosines of each step", "dx": "{dy}"}
    features = Option(check_size, fixed=True)
    base = Option(check_positive, fixed=True)

    def __init__(self, features: int, base: float = 10000.0) -> None:
        self.features = features
        self.base = base

    def _places(self, start: int, stop: int, dtype: DType) -> Array:
        longer = 1 << (stop - 1).bit_length()  # so that steps one by one need few tables
        return _sines(longer, self.features, self.base, dtype)[start:stop]


@lru_cache(16)  # one per model: it depends on shapes alone, so a recording may keep it
def _sines(length: int, features: int, base: float, dtype: DType) -> Array:
    """Return P, (length, features), read-only."""
    pairs = np.arange(features) // 2  # (features,): i
    angles = np.arange(length)[:, np.newaxis] * base ** (-2.0 * pairs / features)
    waves = np.sin(angles), np.cos(angles)
    places = np.where(np.arange(features) % 2, waves[1], waves[0]).astype(dtype)
    places.flags.writeable = False
    return places


class MeanOverTime(Layer):
    """y is the mean over the steps that count: (batch, time, features) gives (batch, features).

    With m_t = 1 at a step that counts, else 0, and n = sum of m_t,

        y = sum over t of x_t m_t / n,    so    dx_t = dy m_t / n.

    A row without any step that counts gives 0.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, time, features), and the mask, which may be left
        out, is (batch, time), True where a step counts.

    Notes
    -----
    ``forward(x, mask)``. Keras' ``GlobalAveragePooling1D``, whose mean of a row that is masked
    whole is NaN. It divides before it adds, so no sum overflows where the mean does not.

    References
    ----------
    M. Iyyer et al., "Deep unordered composition rivals syntactic methods for text
    classification", ACL 2015, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import MeanOverTime
    >>> layer = MeanOverTime()
    >>> layer.forward(np.array([[[1.0], [3.0], [8.0]]]), np.array([[True, True, False]]))
    array([[2.]])
    >>> dx, _ = layer.backward(np.array([[1.0]]))
    >>> dx
    array([[[0.5],
            [0.5],
            [0. ]]])
    """

    takes_whole_numbers: ClassVar[tuple[str, ...]] = ("mask",)
    formulas: ClassVar[Formulas] = {
        "y": "the mean of {x} over the steps that count",
        "dx": "{dy} in equal parts to each step that counts",
    }
    _saved_given: tuple[object, ...]  # True for x, and what the latest forward was given besides

    def output_shape(self, input_shape: Shape, *_: Shape) -> Shape:
        """Return (features,) for (time, features)."""
        check_sequence_shape(self, input_shape)
        return input_shape[1:]

    def forward(self, x: Array, mask: npt.NDArray[Any] | None = None) -> Array:
        """Return the mean over the steps that count, (batch, features)."""
        check_array(self, "x", x)
        batch, time = check_sequences(self, x, x.shape[-1], x.dtype)
        counts = np.ones((1, time), bool) if mask is None else check_mask(self, mask, batch, time)
        shares = counts.astype(x.dtype)  # (batch, time), or (1, time)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
        self.save(x, shares)
        vars(self)["_saved_given"] = (True, mask)
        y: Array = (x * shares[:, :, np.newaxis]).sum(axis=1)
        return y

    def backward(self, dy: Array) -> Array | Any:
        """Return dx = dy / n at the steps that count; if there was a mask (dx, None)."""
        x, shares = self.saved()
        check_cotangent(self, dy, (len(x), x.shape[2]), x.dtype)
        dx = dy[:, np.newaxis] * shares[:, :, np.newaxis]  # (batch, time, features)
        return for_given(self._saved_given, dx, None)


class Mask(Layer):
    """Says which steps count: y is True where the whole number x is not the padding.

    It has no derivative; ``backward`` returns 0.

    Parameters
    ----------
    padding : int, default 0
        The number that sequences are filled up with.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is an array of an integer dtype.

    Notes
    -----
    Keras' ``compute_mask`` of an ``Embedding(mask_zero=True)``, as a layer of its own: in a
    `Graph` a mask is a value like any other.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Mask
    >>> Mask(padding=0).forward(np.array([[3, 1, 0], [2, 0, 0]]))
    array([[ True,  True, False],
           [ True, False, False]])
    """

    stepwise: ClassVar[bool] = True
    takes_whole_numbers: ClassVar[bool] = True
    padding = Option(partial(check_size, least=-(2**63)))

    def __init__(self, padding: int = 0) -> None:
        self.padding = padding

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        return input_shape

    def forward(self, x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:  # type: ignore[override]
        """Return whether each number is another than the padding."""
        check_whole(self, x)
        self.save(x)
        y: npt.NDArray[np.bool_] = x != self.padding  # the shape of x
        return y

    def backward(self, dy: Array) -> Array:  # noqa: ARG002
        """Return 0: there is no derivative."""
        (x,) = self.saved()
        return np.zeros(x.shape)


class Flip(Layer):
    """y is x turned around along an axis, by default time: the last step comes first.

    It moves numbers and mixes none, so its derivative turns them back:

        y_t = x_(T - 1 - t),    dx_t = dy_(T - 1 - t).

    Before and after an `LSTM` it makes one that reads from the end. Masks and whole numbers are
    turned around, too; they have no derivative, and ``backward`` returns 0.

    Parameters
    ----------
    axis : int, default 1
        The axis, counted with the batch, which it cannot be.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x holds float64 or float32 numbers, whole numbers or truth values,
        and has that axis.

    Notes
    -----
    PyTorch's ``flip`` and Keras' ``go_backwards=True``. y and dx are copies, never views. What
    `step` would need are later places, so it refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Flip
    >>> layer = Flip()
    >>> layer.forward(np.array([[1.0, 2.0, 3.0]]))
    array([[3., 2., 1.]])
    >>> layer.backward(np.array([[10.0, 20.0, 30.0]]))
    array([[30., 20., 10.]])
    >>> layer.forward(np.array([[True, True, False]]))
    array([[False,  True,  True]])
    """

    replayable: ClassVar[bool] = True
    takes_whole_numbers: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "{x} turned around", "dx": "{dy} turned around"}
    axis = Option(check_axis, fixed=True)

    def __init__(self, axis: int = 1) -> None:
        self.axis = axis

    def forward(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return x turned around."""
        whole = isinstance(x, np.ndarray) and x.dtype.kind in "biu"
        (check_plain if whole else check_array)(self, "x", x)
        check_feature_axis(self, x, self.axis)
        self.save(x)
        return np.flip(x, self.axis).copy("K")  # the shape of x

    def backward(self, dy: Array) -> Array:
        """Return dy turned around; 0 of masks and whole numbers."""
        (x,) = self.saved()
        if x.dtype.kind != "f":
            return np.zeros(x.shape)
        check_cotangent(self, dy, x.shape, x.dtype)
        return np.flip(dy, self.axis).copy("K")  # the shape of x
