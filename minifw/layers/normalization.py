"""Normalisations: the numbers of a group are brought to one mean and one spread.

The groups differ, and the arithmetic does not. Each layer lays its groups out as the rows of a
matrix, (groups, n):

    BatchNorm    a channel, over the batch and all places of the images (batchnorm.py)
    LayerNorm    an example, or one time of a sequence, over its features
    RMSNorm      the same, by its size alone and not by its mean
    GroupNorm    some channels of an example, over all places
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minifw._tools.arrays import constant, row_means
from minifw._tools.checks import check_cotangent, check_numbers, of_channels
from minifw._tools.loading import claim
from minifw._tools.numbers import check_dtype, check_flag, check_normal, check_positive, check_size
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.typing import Array, DType, Formulas, Shape

__all__ = ["GroupNorm", "LayerNorm", "RMSNorm"]


class _Normalization(Layer):
    """What the three have in common: y = w z + b, and dx from dz = w dy."""

    eps = Option(check_positive)
    weight: Parameter | None = None
    bias: Parameter | None = None
    _dtype: DType

    _centred: ClassVar[bool] = True  # whether z has the mean 0; only then is there a b
    _axes: ClassVar[str]  # of `_by_weight`: "w" is the one of w and b

    def __init__(self, shape: Shape, eps: float, affine: bool, dtype: object) -> None:
        owner = type(self).__name__
        self._dtype = check_dtype(owner, dtype)
        self.eps = eps
        if check_flag(owner, "affine", affine):
            claim(owner, shape)
            self.weight = Parameter(np.ones(shape, self._dtype))
            self.bias = Parameter(np.zeros(shape, self._dtype)) if self._centred else None

    def _check_fits(self, name: str, value: float) -> None:
        if name == "eps":
            check_normal(type(self).__name__, name, value, self._dtype)

    @abstractmethod
    def _check(self, x: Array) -> None:
        """Raise unless the layer accepts x."""

    @abstractmethod
    def _rows(self, x: Array) -> Array:
        """Return x as (groups, n)."""

    def _shaped(self, rows: Array, shape: Shape) -> Array:
        """Return what `_rows` laid out in the shape of x."""
        return rows.reshape(shape)

    def forward(self, x: Array) -> Array:
        """Return y = w z + b."""
        self._check(x)
        z, r = self._normalized(x)
        self.save(self._shaped(z, x.shape), r)
        return self._shaped(self._affine(z, self.bias), x.shape)

    def backward(self, dy: Array) -> Array:
        """Return dx = r (dz - mean(dz) - z mean(dz z)), and set the gradients of w and b."""
        self.backward_parameters(dy)
        z, r = self.saved()
        dz = self._affine(self._rows(dy), None)  # (groups, n)
        z = self._rows(z)
        dx = z * _mean_of_product(dz, z)  # (groups, n)
        np.subtract(dz, dx, dx)
        if self._centred:
            dx -= row_means(dz)
        dx *= r
        return self._shaped(dx, dy.shape)

    def backward_parameters(self, dy: Array) -> None:
        """Set dw = sum(dy z) and db = sum(dy), over all numbers that share the w and the b."""
        z, _ = self.saved()
        check_cotangent(self, dy, z.shape, z.dtype)
        rows, axes = self._rows(dy), self._axes  # (groups, n)
        if self.weight is not None:
            own = (self._by_weight(rows), self._by_weight(self._rows(z)))
            dw = np.einsum(f"{axes},{axes}->w", *own)
            self.weight.grad[...] = dw.reshape(self.weight.shape)
        if self.bias is not None:
            self.bias.grad[...] = self._sums(rows).reshape(self.bias.shape)

    def _normalized(self, x: Array) -> tuple[Array, Array]:
        """Return z, (groups, n), and the r that it was multiplied by, (groups, 1)."""
        rows = self._rows(x)  # (groups, n)
        eps: Any = self.eps
        with np.errstate(over="ignore", invalid="ignore"):  # fixed below, or due to x itself
            z, var = self._deviations(rows)
            if np.isfinite(var).all():
                unit = constant(1.0, x.dtype)
            else:
                # In units of a power of two near the largest number no digit is lost and no
                # square overflows; what eps is in their squares is next to 0.
                _, exponent = np.frexp(np.abs(rows).max(axis=1, keepdims=True))  # (groups, 1)
                unit = np.ldexp(np.ones_like(var), np.where(np.isfinite(var), 0, exponent - 1))
                z, var = self._deviations(rows / unit)
                eps = eps / unit / unit  # (groups, 1)
            r: Array = 1 / np.sqrt(var + eps)  # (groups, 1)
            z = np.multiply(z, r, out=z if self._centred else None)  # else it is x itself
            return z, r / unit

    def _deviations(self, rows: Array) -> tuple[Array, Array]:
        """Return c, each row less its mean if that is taken away, and mean(c^2), (groups, 1).

        The first number of the row is taken away before the mean is taken. So a common offset
        costs no digit, and equal numbers give exactly 0, where their computed mean may differ
        from them.
        """
        if self._centred:
            rows = rows - rows[:, :1]  # (groups, n)
            rows -= row_means(rows)
        return rows, _mean_of_product(rows, rows)

    def _affine(self, rows: Array, bias: Parameter | None) -> Array:
        """Return rows * w + b, as far as there are these."""
        if self.weight is None:
            return rows
        beside = (1, -1) if self._axes == "nw" else (-1, 1)
        y = self._by_weight(rows) * self.weight.value.reshape(beside)
        if bias is not None:
            y += bias.value.reshape(beside)
        return y.reshape(rows.shape)

    def _by_weight(self, rows: Array) -> Array:
        """Return a view of (groups, n) that has an axis of w."""
        return rows

    def _sums(self, rows: Array) -> Array:
        """Return the sums over all numbers that share a b, by a product."""
        own = rows.T if self._axes == "nw" else rows
        sums: Array = own.dot(np.ones_like(own[0]))
        return sums


def _mean_of_product(a: Array, b: Array) -> Array:
    """Return the mean of a b in each row, (groups, 1), without an array for the products."""
    mean: Array = np.einsum("ij,ij->i", a, b)[:, np.newaxis] / a.shape[1]
    return mean


def _sizes(owner: str, name: str, shape: int | Sequence[int]) -> Shape:
    """Return `shape` as a tuple, or raise unless it is of sizes, at least one."""
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        return (check_size(owner, name, shape),)
    if not shape:
        raise ValueError(f"{owner} expects {name} to have at least one axis, got ()")
    return tuple(check_size(owner, name, size) for size in shape)


class _OverFeatures(_Normalization):
    """A group is an example, or one time of a sequence, over the last axes of x."""

    normalized_shape: Option[Shape] = Option(_sizes, fixed=True)
    _axes = "nw"

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: object = np.float64,
    ) -> None:
        self.normalized_shape = _sizes(type(self).__name__, "normalized_shape", normalized_shape)
        super().__init__(self.normalized_shape, eps, affine, dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`, or raise unless it ends in `normalized_shape`."""
        if input_shape[-len(self.normalized_shape) :] != self.normalized_shape:
            raise ValueError(
                f"{self!r} expects examples whose last axes are {self.normalized_shape}, got the "
                f"shape {input_shape}"
            )
        return input_shape

    def _check(self, x: Array) -> None:
        check_numbers(self, x, self._dtype)
        if x.shape[1:][-len(self.normalized_shape) :] != self.normalized_shape:
            end = ", ".join(str(size) for size in self.normalized_shape)
            hint = "; one example is a batch of one: x[np.newaxis]"
            raise ValueError(
                f"{self!r} expects x of shape (batch, ..., {end}), got {x.shape}"
                f"{hint if x.shape == self.normalized_shape else ''}"
            )

    def _rows(self, x: Array) -> Array:
        return x.reshape(-1, math.prod(self.normalized_shape))


class LayerNorm(_OverFeatures):
    """Each example gets mean 0 and variance 1 over its features: y = w z + b.

    With m and v the mean and the variance of the n numbers of one group, which is an example, or
    one time of a sequence,

        z = (x - m) r,    r = 1 / sqrt(v + eps),    v = mean((x - m)^2).

    The derivative is as in `BatchNorm` in train mode, with the features in place of the batch;
    with dz = w dy, and means over the n numbers of a group,

        dx = r (dz - mean(dz) - z mean(dz z)),

    and dw = sum(dy z), db = sum(dy) over the groups. Train and eval mode are the same.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes of x, over which is normalised: the features.
    eps : float, default 1e-5
        Above 0. PyTorch's default.
    affine : bool, default True
        Whether there are w, which starts at 1, and b, which starts at 0. PyTorch says
        ``elementwise_affine``.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    normalized_shape : tuple of int
    eps : float
    weight, bias : Parameter of shape `normalized_shape`, or None

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, ..., *normalized_shape) in the layer's dtype.

    Notes
    -----
    Right for all finite numbers: where a variance is too large for the dtype, x is taken in
    other units first, which changes neither z nor, divided by them, r.

    References
    ----------
    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016, equation 4.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import LayerNorm
    >>> layer = LayerNorm(3)
    >>> layer.forward(np.array([[1.0, 2.0, 3.0], [1e200, 2e200, 3e200]])).round(4)
    array([[-1.2247,  0.    ,  1.2247],
           [-1.2247,  0.    ,  1.2247]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": (
            "{weight} * z + {bias}, z = ({x} - mean) / sqrt(var + eps)",
            "({x} - mean) / sqrt(var + eps)",
        ),
        "dx": (
            "(g - mean(g) - z * mean(g * z)) / sqrt(var + eps), g = {dy} * {weight}",
            "({dy} - mean({dy}) - {y} * mean({dy} * {y})) / sqrt(var + eps)",
        ),
        "weight": "sums of {dy} * z",
        "bias": "sums of {dy}",
    }


class RMSNorm(_OverFeatures):
    """Each example is divided by its root mean square over its features: y = w z.

    `LayerNorm` without the mean, and without a bias. With s the mean of the squares of the n
    numbers of one group, which is an example, or one time of a sequence,

        z = x r,    r = 1 / sqrt(s + eps),    s = mean(x^2).

    ds/dx = 2 x / n, so with dz = w dy, and means over the n numbers of a group,

        dx = r (dz - z mean(dz z)),

    and dw = sum(dy z) over the groups. Train and eval mode are the same.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes of x, over which is normalised: the features.
    eps : float, default None
        Above 0. None is the machine epsilon of the dtype, 2.2e-16 or 1.2e-7, as in PyTorch. (The
        paper has none; LLaMA takes 1e-6.)
    affine : bool, default True
        Whether there is w, which starts at 1. PyTorch says ``elementwise_affine``.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    normalized_shape : tuple of int
    eps : float
    weight : Parameter of shape `normalized_shape`, or None

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, ..., *normalized_shape) in the layer's dtype.

    Notes
    -----
    Right for all finite numbers, as `LayerNorm`.

    References
    ----------
    B. Zhang and R. Sennrich, "Root mean square layer normalization", NeurIPS 2019, equation 4.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import RMSNorm
    >>> layer = RMSNorm(2)
    >>> layer.forward(np.array([[3.0, 4.0], [3e200, 4e200]])).round(4)  # by 5 / sqrt(2)
    array([[0.8485, 1.1314],
           [0.8485, 1.1314]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": (
            "{weight} * z, z = {x} / sqrt(mean({x}^2) + eps)",
            "{x} / sqrt(mean({x}^2) + eps)",
        ),
        "dx": (
            "(g - z * mean(g * z)) / sqrt(mean({x}^2) + eps), g = {dy} * {weight}",
            "({dy} - {y} * mean({dy} * {y})) / sqrt(mean({x}^2) + eps)",
        ),
        "weight": "sums of {dy} * z",
    }
    _centred = False

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        eps: float | None = None,
        affine: bool = True,
        dtype: object = np.float64,
    ) -> None:
        smallest = float(np.finfo(check_dtype("RMSNorm", dtype)).eps)
        eps = smallest if eps is None else eps
        super().__init__(normalized_shape, eps=eps, affine=affine, dtype=dtype)


class GroupNorm(_Normalization):
    """Each group of channels of an example gets mean 0 and variance 1: y = w z + b.

    With m and v the mean and the variance of the n numbers of one group, which are some
    channels of one example at all places,

        z = (x - m) r,    r = 1 / sqrt(v + eps),    v = mean((x - m)^2).

    The derivative is as in `LayerNorm`, with w and b of a channel; with dz = w dy, and means
    over the n numbers of a group,

        dx = r (dz - mean(dz) - z mean(dz z)),

    and dw = sum(dy z), db = sum(dy) over examples and places. No example depends on another
    one, and train and eval mode are the same.

    Parameters
    ----------
    num_groups : int
        The number of groups, which divides `num_channels`.
    num_channels : int
        The number of channels, axis 1 of x.
    eps : float, default 1e-5
        Above 0. PyTorch's default.
    affine : bool, default True
        Whether there are w, which starts at 1, and b, which starts at 0.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    num_groups, num_channels : int
    eps : float
    weight, bias : Parameter of shape (num_channels,), or None

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, num_channels, ...) in the layer's dtype.

    Notes
    -----
    Names and defaults are as in PyTorch's ``GroupNorm``. PyTorch's ``InstanceNorm2d`` with
    ``affine=True`` is GroupNorm(channels, channels); of one group it is `LayerNorm` over all
    axes, except for the shapes of w and b. Sequences (batch, time, features) have their channels
    last, where this layer does not look. Right for all finite numbers, as `LayerNorm`.

    References
    ----------
    Y. Wu and K. He, "Group normalization", ECCV 2018, equations 1 to 7.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import GroupNorm
    >>> layer = GroupNorm(2, 4)
    >>> layer.forward(np.array([[1.0, 3.0, 10.0, 70.0]])).round(4)
    array([[-1.,  1., -1.,  1.]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = LayerNorm.formulas
    num_groups = Option(check_size, fixed=True)
    num_channels = Option(check_size, fixed=True)
    _axes = "bwn"

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: object = np.float64,
    ) -> None:
        self.num_groups, self.num_channels = num_groups, num_channels
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm expects num_groups to divide num_channels, got {num_groups} and "
                f"{num_channels}"
            )
        super().__init__((num_channels,), eps, affine, dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`, or raise unless it begins with `num_channels`."""
        if input_shape[:1] != (self.num_channels,):
            raise ValueError(
                f"{self!r} expects examples of shape ({self.num_channels}, ...), got {input_shape}"
            )
        return input_shape

    def _check(self, x: Array) -> None:
        check_numbers(self, x, self._dtype)
        if x.shape[1:2] != (self.num_channels,):
            raise ValueError(
                f"{self!r} expects x of shape (batch, {self.num_channels}, ...), got "
                f"{of_channels(x, self.num_channels)}"
            )

    def _rows(self, x: Array) -> Array:
        return x.reshape(len(x) * self.num_groups, -1)

    def _by_weight(self, rows: Array) -> Array:
        places = rows.shape[1] * self.num_groups // self.num_channels
        return rows.reshape(-1, self.num_channels, places)

    def _sums(self, rows: Array) -> Array:
        sums: Array = np.einsum("bwn->w", self._by_weight(rows))
        return sums
