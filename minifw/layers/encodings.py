"""Numbers of a table as vectors, which a network reads more easily than the numbers."""

import math
from typing import ClassVar

import numpy as np

from minifw._tools.checks import check_cotangent
from minifw._tools.loading import make_weight
from minifw._tools.numbers import check_dtype, check_size
from minifw.core.parameter import Parameter
from minifw.initializers import Normal
from minifw.layers.tables import _Fitted, _OfColumns
from minifw.typing import RNG, Array, Formulas, Shape

__all__ = ["PeriodicEncoding", "PiecewiseLinearEncoding"]


class PiecewiseLinearEncoding(_Fitted):
    """Each number x becomes a vector: how far it has come through each bin of its column.

    The bins lie between quantiles b_0 < b_1 < ... of the training rows. For bin t,

        y_t = (x - b_t) / (b_(t+1) - b_t)  within 0 and 1:

    0 below the bin, 1 above it. The first bin has no lower bound, and the last one no upper
    bound, so no two numbers look alike. With the bins that x is in or beyond at an end,

        dx = sum of dy_t / (b_(t+1) - b_t)  over the bins where y_t moves with x.

    A linear layer behind it, after `Flatten`, is a piecewise linear function of each column.

    Parameters
    ----------
    features : int
        The number of columns.
    bins : int, default 48
        How many for each column. Where quantiles are equal, the last bins are empty: y is 0.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    features, bins : int
    edges : array of shape (features, bins + 1)
        A buffer: the quantiles, each once, the last one repeated; NaN before `adapt`.

    Raises
    ------
    RuntimeError
        By ``forward`` before `adapt`.
    TypeError, ValueError
        By ``forward``, unless x is (batch, features) in the layer's dtype.

    References
    ----------
    Y. Gorishniy, I. Rubachev and A. Babenko, "On Embeddings for Numerical Features in Tabular
    Deep Learning", NeurIPS 2022, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import PiecewiseLinearEncoding
    >>> layer = PiecewiseLinearEncoding(1, bins=2)
    >>> _ = layer.adapt(np.array([[0.0], [1.0], [5.0]]))
    >>> layer.edges
    array([[0., 1., 5.]])
    >>> layer.forward(np.array([[0.5], [3.0], [9.0]]))
    array([[[0.5, 0. ]],
    <BLANKLINE>
           [[1. , 0.5]],
    <BLANKLINE>
           [[1. , 2. ]]])
    """

    replayable: ClassVar[bool] = True
    buffers = ("edges",)
    formulas: ClassVar[Formulas] = {
        "y": "({x} - left edges) / widths, within 0 and 1 between the end bins",
        "dx": "sums of {dy} / widths over the bins that move",
    }

    def __init__(self, features: int, bins: int = 48, *, dtype: object = np.float64) -> None:
        self._bins = check_size("PiecewiseLinearEncoding", "bins", bins)
        super().__init__(features, dtype)
        self.edges = self._unknown(self._bins + 1)

    @property
    def bins(self) -> int:
        """How many bins each column has."""
        return self._bins

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (features, bins)."""
        return (*super().output_shape(input_shape), self.bins)

    def _measure(self, column: Array) -> tuple[Array]:
        """Return the quantiles, each once, in the layer's dtype."""
        quantiles = np.quantile(column, np.linspace(0, 1, self.bins + 1)).astype(self._dtype)
        edges = np.unique(quantiles)
        # Those so close that 1 / width overflows count as one.
        edges = edges[np.diff(edges, append=np.inf) > np.finfo(self._dtype).tiny]
        return (np.pad(edges, (0, quantiles.size - edges.size), mode="edge"),)

    def slopes(self) -> tuple[Array, Array, Array]:
        """Return 1 / width of each bin, and the bounds of its y: each (features, bins)."""
        width = self.edges[:, 1:] - self.edges[:, :-1]
        used = width > 0
        none = np.zeros_like(used)
        first = np.concatenate([used[:, :1], none[:, 1:]], axis=1)
        last = used & ~np.concatenate([used[:, 1:], none[:, :1]], axis=1)
        zero, infinity = np.zeros_like(width), np.full_like(width, np.inf)
        slope = 1 / np.where(used, width, infinity)
        return slope, np.where(first, -infinity, zero), np.where(last, infinity, used + zero)

    def forward(self, x: Array) -> Array:
        """Return the part of each bin that x has come through."""
        self._check(x, self.edges)
        slope, floor, roof = self.slopes()
        y = (x[:, :, np.newaxis] - self.edges[:, :-1]) * slope  # (batch, features, bins)
        moves = (y >= floor) & (y < roof)
        self.save(moves, slope)
        return np.clip(y, floor, roof)

    def backward(self, dy: Array) -> Array:
        """Return the sums of dy / width over the bins where y moves with x."""
        moves, slope = self.saved()
        check_cotangent(self, dy, moves.shape, slope.dtype)
        dx: Array = np.einsum("nft,nft,ft->nf", dy, moves, slope)  # (batch, features)
        return dx


class PeriodicEncoding(_OfColumns):
    """Each number x becomes waves of it: y = (cos v, sin v), v = 2 pi w x, w learned.

    w is (features, frequencies). With dv = sin-part of dy * cos v - cos-part of dy * sin v,

        dw = 2 pi sum of dv x over the batch,    dx = 2 pi sum of dv w over the frequencies.

    Small changes of x, which a `Dense` passes on as small, become large ones in high
    frequencies. Behind it, a `Dense` of (features, 2 * frequencies) works on each column alone.

    Parameters
    ----------
    features : int
        The number of columns, standardised.
    frequencies : int, default 48
        How many waves each column has.
    scale : float, default 0.01
        The standard deviation of the w that are drawn. It decides: try 0.01 to 10.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.
    rng : numpy.random.Generator, int or None, default None
        The source of the weight, or its seed; None takes fresh entropy.

    Attributes
    ----------
    features, frequencies : int
    weight : Parameter of shape (features, frequencies)
        The frequencies w.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, features) in the layer's dtype.

    References
    ----------
    Y. Gorishniy, I. Rubachev and A. Babenko, "On Embeddings for Numerical Features in Tabular
    Deep Learning", NeurIPS 2022, section 3.3.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, Flatten, PeriodicEncoding, ReLU, Sequential
    >>> layer = PeriodicEncoding(1, frequencies=1, rng=0)
    >>> layer.weight.value = [[0.25]]
    >>> layer.forward(np.array([[0.0], [1.0]])).round(3)
    array([[[1., 0.]],
    <BLANKLINE>
           [[0., 1.]]])
    >>> Sequential(PeriodicEncoding(3), Dense(96, 8), ReLU(), Flatten()).output_shape((3,))
    (24,)
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "cos v and sin v, v = 2 pi {x} {weight}",
        "dx": "2 pi sums of dv * {weight} over the frequencies",
        "weight": "2 pi sums of dv * {x} over the batch",
    }

    def __init__(
        self,
        features: int,
        frequencies: int = 48,
        scale: float = 0.01,
        *,
        dtype: object = np.float64,
        rng: RNG = None,
    ) -> None:
        owner = "PeriodicEncoding"
        shape = tuple(
            check_size(owner, name, size)
            for name, size in (("features", features), ("frequencies", frequencies))
        )
        kind = check_dtype(owner, dtype)
        self.weight = Parameter(make_weight(owner, Normal(scale), shape, kind, rng))

    @property
    def features(self) -> int:
        """The number of columns."""
        return self.weight.shape[0]

    @property
    def frequencies(self) -> int:
        """How many waves each column has."""
        return self.weight.shape[1]

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (features, 2 * frequencies)."""
        return (*super().output_shape(input_shape), 2 * self.frequencies)

    def forward(self, x: Array) -> Array:
        """Return y = (cos v, sin v)."""
        self._check_table(x, self.weight.dtype)
        v = x[:, :, np.newaxis] * (2 * math.pi * self.weight.value)  # (batch, features, k)
        waves = np.cos(v), np.sin(v)
        self.save(x, *waves)
        return np.concatenate(waves, axis=2)  # (batch, features, 2 k)

    def backward(self, dy: Array) -> Array:
        """Return dx = 2 pi sum of dv w, and set dw."""
        dv = self._waves(dy)
        w = 2 * math.pi * self.weight.value
        dx: Array = np.einsum("nfk,fk->nf", dv, w)  # (batch, features)
        return dx

    def backward_parameters(self, dy: Array) -> None:
        """Set dw = 2 pi sum of dv x."""
        self._waves(dy)

    def _waves(self, dy: Array) -> Array:
        """Return dv, (batch, features, k), and set dw."""
        x, cos, sin = self.saved()
        check_cotangent(self, dy, (*x.shape, 2 * self.frequencies), x.dtype)
        dcos, dsin = dy[..., : self.frequencies], dy[..., self.frequencies :]
        dv: Array = dsin * cos - dcos * sin  # (batch, features, k)
        self.weight.grad[...] = 2 * math.pi * np.einsum("nfk,nf->fk", dv, x)
        return dv
