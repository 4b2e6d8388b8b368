"""Layers that come first in a network of a table: `adapt` fits them to its training rows.

What they measure there are buffers. They travel in the model's file, in ONNX and in C, so a
prediction takes the table as it comes. Nothing of it is trained.
"""

import sys
from abc import abstractmethod
from contextlib import suppress
from typing import Any, ClassVar, Self

import numpy as np

from minifw._engine.listening import listening
from minifw._tools.checks import check_cotangent, check_is, check_rows
from minifw._tools.loading import claim
from minifw._tools.numbers import check_dtype, check_flag, check_size
from minifw._tools.options import Option
from minifw._tools.rows import Rows
from minifw._tools.values import refuse_first
from minifw.core.layer import Layer
from minifw.typing import Array, DType, Formulas, Shape

__all__ = ["Impute", "RobustScale", "Standardize", "adapt"]

REACH = 3.0  # what a robustly scaled number stays below
FAR = 1e9  # beyond, it is 3 in float64; the square of this is finite in float32


def adapt(model: Layer, x: Any) -> None:
    """Fit every layer of a model that has `adapt` to what it gets of the training rows.

    One forward in eval mode, of all rows at once, up to the last such layer: each is adapted to
    its input, and then gives its output to the next. A model without one is left as it is.

    Parameters
    ----------
    model : Layer
        A container, or a layer.
    x : array or table of shape (rows, features), or several for a model of several inputs

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, Impute, RobustScale, Sequential, adapt
    >>> model = Sequential(Impute(1), RobustScale(1), Dense(1, 1, rng=0))
    >>> adapt(model, np.array([[1.0], [np.nan], [2.0], [7.0]]))
    >>> model[0].fill, model[1].center, model[1].factor
    (array([2.]), array([2.]), array([0.66666667]))
    """
    check_is("adapt", "model to be a layer", model, Layer)
    layers = [("", model), *model.named_layers()]
    fitted = [(name, layer) for name, layer in layers if hasattr(layer, "adapt")]
    if not fitted:
        return
    left = {id(layer) for _, layer in fitted}

    def first(_: str, layer: Any, __: str, call: Any, *xs: Array) -> Any:
        layer.adapt(*xs)
        left.discard(id(layer))
        if not left:  # what comes behind would only take memory for all rows at once
            raise _AllAdaptedError
        return call(*xs)

    with suppress(_AllAdaptedError), listening(fitted, ["forward"], first):
        model.predict(x, batch_size=sys.maxsize, allow_nan=True)


class _AllAdaptedError(Exception):
    """Ends the forward of `adapt`."""


class _OfColumns(Layer):
    """A layer that takes tables, (batch, features), and no sequences."""

    @property
    @abstractmethod
    def features(self) -> int:
        """The number of columns."""

    @property
    def input_shape(self) -> Shape:
        """(features,)."""
        return (self.features,)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of y, (features,), or raise unless x has it too."""
        if input_shape != self.input_shape:
            raise ValueError(
                f"{self!r} expects examples of shape {self.input_shape}, got {input_shape}"
            )
        return input_shape

    def _check_table(self, x: Array, dtype: DType) -> None:
        check_rows(self, x, self.features, dtype)
        if x.ndim > 2:
            raise ValueError(f"{self!r} expects x of shape (batch, features), got {x.shape}")


class _Fitted(_OfColumns):
    """A layer whose buffers, one row for each feature, are NaN until `adapt` measures them."""

    def __init__(self, features: int, dtype: object) -> None:
        owner = type(self).__name__
        self._features = check_size(owner, "features", features)
        self._dtype = check_dtype(owner, dtype)

    def _unknown(self, *shape: int) -> Array:
        """Return a buffer, (features, ...), that was not measured yet."""
        shape = (self._features, *shape)
        claim(type(self).__name__, shape)
        return np.full(shape, np.nan, self._dtype)

    @property
    def features(self) -> int:
        """The number of columns."""
        return self._features

    def adapt(self, x: Any) -> Self:
        """Measure the columns of the training rows; gaps (NaN) are left out.

        A column of gaps alone is measured as one of zeros.

        Parameters
        ----------
        x : array or table of shape (rows, features)

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If x is no such table, or a number is infinite.
        """
        wide = np.dtype(np.float64)  # for both dtypes
        rows = Rows(f"{self!r}.adapt", "x", x, wide).take(slice(None))
        rows = check_rows(self, rows, self.features, wide)
        infinite, known = np.isinf(rows), ~np.isnan(rows)
        if infinite.any():
            refuse_first(f"{self!r}.adapt", "x to be finite", rows, ~infinite)
        known[0] |= ~known.any(axis=0)
        pairs = zip(np.nan_to_num(rows).T, known.T, strict=True)
        measured = [self._measure(column[places]) for column, places in pairs]
        for (_, buffer), values in zip(
            self.named_buffers(), zip(*measured, strict=True), strict=True
        ):
            buffer[...] = values
        return self

    @abstractmethod
    def _measure(self, column: Array) -> tuple[Any, ...]:
        """Return what each buffer holds of a column, of which these are the numbers."""

    def _inverse(self, *spreads: float) -> float:
        """Return 1 / spread, of the first of which that does not overflow; else 0."""
        least = np.finfo(self._dtype).tiny
        return next((1 / float(spread) for spread in spreads if spread > least), 0.0)

    def _check(self, x: Array, buffer: Array) -> None:
        self._check_table(x, self._dtype)
        if np.isnan(buffer).any():
            raise RuntimeError(
                f"{self!r}: forward needs the training rows first; call its adapt(x), or "
                "minifw.adapt(model, x)"
            )


class Standardize(_Fitted):
    """y = (x - m) / s, with the mean m and the standard deviation s of the training rows.

    s is the root of the mean of the squares, as in scikit-learn's ``StandardScaler``. A column
    of one number alone tells nothing; its y is 0, whatever x is later. dx = dy / s.

    Parameters
    ----------
    features : int
        The number of columns.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    center, factor : array of shape (features,)
        Buffers: m and 1 / s; NaN before `adapt`.

    Raises
    ------
    RuntimeError
        By ``forward`` before `adapt`.
    TypeError, ValueError
        By ``forward``, unless x is (batch, features) in the layer's dtype.

    See Also
    --------
    RobustScale : Does not let a few large numbers decide.
    minifw.adapt : Adapts all layers of a model.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Standardize
    >>> layer = Standardize(2).adapt(np.array([[1.0, 100.0], [3.0, 500.0]]))
    >>> layer.forward(np.array([[2.0, 700.0]]))
    array([[0., 2.]])
    """

    replayable: ClassVar[bool] = True
    buffers = ("center", "factor")
    formulas: ClassVar[Formulas] = {"y": "({x} - center) * factor", "dx": "{dy} * factor"}

    def __init__(self, features: int, *, dtype: object = np.float64) -> None:
        super().__init__(features, dtype)
        self.center, self.factor = self._unknown(), self._unknown()

    def _measure(self, column: Array) -> tuple[float, float]:
        """Return m and 1 / s."""
        # The mean of a number alone can be rounded, and then differs from it.
        return float(column.mean()), self._inverse(column.std() if np.ptp(column) else 0.0)

    def forward(self, x: Array) -> Array:
        """Return y = (x - m) / s."""
        self._check(x, self.center)
        self.save(x)  # for its shape
        y: Array = (x - self.center) * self.factor  # (batch, features)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy / s."""
        (x,) = self.saved()
        check_cotangent(self, dy, x.shape, x.dtype)
        dx: Array = dy * self.factor  # (batch, features)
        return dx


class RobustScale(_Fitted):
    """y = s / sqrt(1 + (s/3)^2) of s = (x - m) / q: m the median, q the interquartile range.

    Half of the training rows have an s within 1 of each other. Small s stay as they are; large
    ones are bent, so y stays within -3 and 3: no cell, however far out, moves the network
    by more than that. With h = sqrt(1 + (s/3)^2),

        dx = dy / (q h^3).

    A column with q = 0, whose middle half is one number, is divided by half of its range
    instead, and a column of one number alone gives 0.

    Parameters
    ----------
    features : int
        The number of columns.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    center, factor : array of shape (features,)
        Buffers: m and 1 / q; NaN before `adapt`.

    Raises
    ------
    RuntimeError
        By ``forward`` before `adapt`.
    TypeError, ValueError
        By ``forward``, unless x is (batch, features) in the layer's dtype.

    References
    ----------
    D. Holzmueller, L. Grinsztajn and I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs
    and Boosted Trees on Tabular Data", NeurIPS 2024, section 3 (robust scaling, smooth
    clipping).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import RobustScale
    >>> layer = RobustScale(1).adapt(np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]))
    >>> layer.forward(np.array([[2.0], [4.0], [1000.0]])).round(3)
    array([[0.   ],
           [0.949],
           [3.   ]])
    """

    replayable: ClassVar[bool] = True
    buffers = ("center", "factor")
    formulas: ClassVar[Formulas] = {
        "y": "s / sqrt(1 + (s/3)^2), s = ({x} - center) * factor",
        "dx": "{dy} * factor / sqrt(1 + (s/3)^2)^3",
    }

    def __init__(self, features: int, *, dtype: object = np.float64) -> None:
        super().__init__(features, dtype)
        self.center, self.factor = self._unknown(), self._unknown()

    def _measure(self, column: Array) -> tuple[float, float]:
        """Return m and 1 / q."""
        least, low, median, high, most = np.quantile(column, (0, 0.25, 0.5, 0.75, 1))
        return median, self._inverse(high - low, (most - least) / 2)

    def forward(self, x: Array) -> Array:
        """Return y = s / h."""
        self._check(x, self.center)
        with np.errstate(over="ignore"):  # what is beyond the largest float is far out
            s = (x - self.center) * self.factor  # (batch, features), as all arrays here
        s = np.clip(s, -FAR, FAR)
        h = np.hypot(1, s / REACH)
        self.save(h)
        y: Array = s / h
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy / (q h^3)."""
        (h,) = self.saved()
        check_cotangent(self, dy, h.shape, h.dtype)
        dx: Array = dy * self.factor / h / h / h  # h^3 can overflow
        return dx


class Impute(_Fitted):
    """y is x with the gaps (NaN) filled by the median of the training rows, and marked on demand.

    dx is dy where x had a number, and 0 in the gaps.

    Parameters
    ----------
    features : int
        The number of columns.
    add_indicator : bool, default False
        Whether a column follows for each column, 1 where it had a gap, else 0. The network can
        then tell a median from a gap.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    fill : array of shape (features,)
        A buffer: the medians; NaN before `adapt`.

    Raises
    ------
    RuntimeError
        By ``forward`` before `adapt`.
    TypeError, ValueError
        By ``forward``, unless x is (batch, features) in the layer's dtype.

    Notes
    -----
    scikit-learn's ``SimpleImputer(strategy="median")``; that one marks only the columns that
    had gaps in the training rows.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Impute
    >>> layer = Impute(2, add_indicator=True).adapt(np.array([[1.0, 5.0], [3.0, np.nan]]))
    >>> layer.forward(np.array([[np.nan, 7.0]]))
    array([[2., 7., 1., 0.]])
    """

    replayable: ClassVar[bool] = True
    buffers = ("fill",)
    formulas: ClassVar[Formulas] = {"y": "{x}, the gaps filled", "dx": "{dy}, 0 in the gaps"}
    add_indicator = Option(check_flag, fixed=True)

    def __init__(
        self, features: int, add_indicator: bool = False, *, dtype: object = np.float64
    ) -> None:
        super().__init__(features, dtype)
        self.fill = self._unknown()
        self.add_indicator = add_indicator

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (features,), with marks (2 * features,)."""
        (features,) = super().output_shape(input_shape)
        return (features * (2 if self.add_indicator else 1),)

    def _measure(self, column: Array) -> tuple[float]:
        """Return the median."""
        return (float(np.median(column)),)

    def forward(self, x: Array) -> Array:
        """Return x with its gaps filled, and the marks."""
        self._check(x, self.fill)
        gaps = np.isnan(x)  # (batch, features)
        self.save(gaps)
        y = np.where(gaps, self.fill, x)  # (batch, features)
        return np.concatenate([y, gaps.astype(x.dtype)], axis=1) if self.add_indicator else y

    def backward(self, dy: Array) -> Array:
        """Return dy where x had a number, else 0."""
        (gaps,) = self.saved()
        check_cotangent(self, dy, (len(gaps), *self.output_shape(self.input_shape)), self._dtype)
        return np.where(gaps, 0, dy[:, : self.features])  # (batch, features)
