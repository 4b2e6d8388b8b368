"""Normalisations: the numbers of a group are brought to one mean and one spread.

The groups differ, and the arithmetic does not. Each layer lays its groups out as the rows of a
matrix, and the functions at the end of this file do the rest:

    BatchNorm    a channel, over the batch and all places of the images
    LayerNorm    an example, or one time of a sequence, over its features
    RMSNorm      the same, by its size alone and not by its mean
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from minifw._tools.checks import (
    check_cotangent,
    check_dtype,
    check_flag,
    check_numbers,
    check_size,
    fraction,
    normal_number,
    positive_number,
)
from minifw._tools.loading import claim
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.typing import Array, DType, Formulas, Shape

__all__ = ["BatchNorm", "LayerNorm", "RMSNorm"]


class BatchNorm(Layer):
    """Each channel gets mean 0 and variance 1 over the batch: y = w z + b.

    In train mode, with m and v the mean and the variance of the n numbers that a channel has in
    the batch (one for each example, or one for each place of each image),

        z = (x - m) r,    r = 1 / sqrt(v + eps),    v = mean((x - m)^2).

    m and v depend on x as well. dm/dx = 1/n and dv/dx = 2 (x - m) / n give, by the chain rule
    with dz = w dy, what is left of dz when its parts along 1 and along z are taken out:

        dx = r (dz - mean(dz) - z mean(dz z)),    dw = sum(dy z),    db = sum(dy).

    In eval mode m and v are the running statistics, which are constants: dx = r dz.

    Parameters
    ----------
    num_features : int
        The number of channels: of features, for rows; of planes, for images.
    eps : float, default 1e-5
        Above 0. PyTorch's default, and that of the paper's authors' own code.
    momentum : float, default 0.1
        The weight of the latest batch in the running statistics, from 0 to 1. PyTorch's
        convention and default; Keras' momentum is 1 - this. PyTorch's None, the mean over all
        batches, is not offered, and so there is no ``num_batches_tracked``.
    affine : bool, default True
        Whether there are w, which starts at 1, and b, which starts at 0.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    weight, bias : Parameter of shape (num_features,), or None
    running_mean, running_var : array of shape (num_features,)
        Buffers: part of ``state_dict``, not trained. They start at 0 and 1. Each forward in
        train mode sets running = (1 - momentum) running + momentum batch, the variance of the
        batch being the unbiased one, sum((x - m)^2) / (n - 1), though v above is not. A batch
        with a NaN or an infinity leaves them as they were.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, num_features) or (batch, num_features, height,
        width) in the layer's dtype.
    ValueError
        By ``forward`` in train mode: if a channel has one number only, whose variance is 0
        whatever it is; or if a variance is too large for the dtype (numbers near 1e154, in
        float32 1e19).

    Notes
    -----
    One class for PyTorch's ``BatchNorm2d``, and for its ``BatchNorm1d`` of (N, C); state dicts of
    both load after ``num_batches_tracked`` is dropped. A batch of (N, C, L), which
    ``BatchNorm1d`` takes as well, is refused; as (N, C, 1, L), that is ``x[:, :, np.newaxis]``, it
    gives the same numbers. In eval mode a batch may be of one example.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", ICML 2015; algorithm 1, and the gradients of section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import BatchNorm
    >>> layer = BatchNorm(2)
    >>> x = np.array([[1.0, 1000.0], [3.0, 5000.0]])
    >>> layer.forward(x).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> layer.running_mean, layer.running_var  # 0 and 1, a tenth of the way
    (array([2.e-01, 3.e+02]), array([1.100000e+00, 8.000009e+05]))
    >>> layer.forward(x[:1])
    Traceback (most recent call last):
        ...
    ValueError: BatchNorm(2) expects more than one number per channel in train mode, got x of \
shape (1, 2); take a larger batch, or call eval()
    """

    formulas: ClassVar[Formulas] = {
        "y": (
            "{weight} * z + {bias}, z = ({x} - mean) / sqrt(var + eps)",
            "({x} - mean) / sqrt(var + eps)",
        ),
        "y in eval mode": (
            "{weight} * z + {bias}, z = ({x} - running_mean) / sqrt(running_var + eps)",
            "({x} - running_mean) / sqrt(running_var + eps)",
        ),
        "dx in eval mode": (
            "{dy} * {weight} / sqrt(running_var + eps)",
            "{dy} / sqrt(running_var + eps)",
        ),
        "weight": "sums of {dy} * z",
        "bias": "sums of {dy}",
    }

    buffers = ("running_mean", "running_var")

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        dtype: object = np.float64,
    ) -> None:
        self.num_features = check_size("BatchNorm", "num_features", num_features)
        self.momentum = fraction("BatchNorm", "momentum", momentum)
        numbers = check_dtype("BatchNorm", dtype)
        self._eps = _epsilon("BatchNorm", eps, numbers)
        with_affine = check_flag("BatchNorm", "affine", affine)
        shape = (self.num_features,)
        claim("BatchNorm", shape)
        self.weight = Parameter(np.ones(shape, numbers)) if with_affine else None
        self.bias = Parameter(np.zeros(shape, numbers)) if with_affine else None
        self.running_mean: Array = np.zeros(shape, numbers)
        self.running_var: Array = np.ones(shape, numbers)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`, or raise unless it is that of a row or of an image."""
        if len(input_shape) not in (1, 3) or input_shape[0] != self.num_features:
            c = self.num_features
            raise ValueError(
                f"{self!r} expects examples of shape ({c},) or ({c}, height, width), got "
                f"{input_shape}"
            )
        return input_shape

    def forward(self, x: Array) -> Array:
        """Return y = w z + b, and in train mode move the running statistics."""
        self._check(x)
        rows = _by_channel(x)  # (channels, n)
        with np.errstate(over="ignore", invalid="ignore"):  # _track finds what comes of it
            if self.training:
                n = rows.shape[1]
                z = _centred(rows)  # (channels, n)
                var = _mean_of_product(z, z)  # (channels, 1)
                self._track(x, rows[:, :1] - z[:, :1], var * (n / (n - 1)))
            else:
                z = rows - self.running_mean[:, np.newaxis]  # (channels, n)
                var = self.running_var[:, np.newaxis]
            r = 1 / np.sqrt(var + self._eps)  # (channels, 1)
            z *= r
        self.save(_by_batch(z, x.shape), r, np.array(self.training))
        return _by_batch(_affine(z, *self._columns()), x.shape)  # the shape of x

    def backward(self, dy: Array) -> Array:
        """Return dx, and set the gradients of weight and bias."""
        self.backward_parameters(dy)
        z, r, of_batch = self.saved()
        dz = _affine(_by_channel(dy), self._columns()[0], None)  # (channels, n)
        if of_batch:
            dz = _projected(dz, _by_channel(z), centred=True)
        return _by_batch(dz * r, dy.shape)  # the shape of x

    def backward_parameters(self, dy: Array) -> None:
        """Set dw = sum(dy z) and db = sum(dy), over all but the channels."""
        z, _, _ = self.saved()
        check_cotangent(self, dy, z.shape, z.dtype)
        if self.weight is not None and self.bias is not None:
            rows = _by_channel(dy)  # (channels, n)
            self.weight.grad[...] = np.einsum("ij,ij->i", rows, _by_channel(z))
            self.bias.grad[...] = rows.sum(axis=1)

    def _columns(self) -> tuple[Array | None, Array | None]:
        """Return w and b as they stand beside the channels, (channels, 1)."""
        if self.weight is None or self.bias is None:
            return None, None
        return self.weight.value[:, np.newaxis], self.bias.value[:, np.newaxis]

    def _track(self, x: Array, mean: Array, var: Array) -> None:
        """Move the running statistics towards those of the batch x, each (channels, 1)."""
        if not np.isfinite(var).all():
            if np.isfinite(x).all():
                channel = int(np.argmin(np.isfinite(var)))
                raise ValueError(
                    f"{self!r} expects numbers whose variance {x.dtype} can hold, got up to "
                    f"{np.abs(x).max():.1e} in x, with too large a one in channel {channel}; "
                    "scale the data"
                )
            return
        self.running_mean *= 1 - self.momentum
        self.running_mean += self.momentum * mean[:, 0]
        self.running_var *= 1 - self.momentum
        self.running_var += self.momentum * var[:, 0]

    def _check(self, x: Array) -> None:
        check_numbers(self, x, self.running_mean.dtype)
        c = self.num_features
        if x.ndim not in (2, 4) or x.shape[1] != c:
            raise ValueError(
                f"{self!r} expects x of shape (batch, {c}) or (batch, {c}, height, width), got "
                f"{x.shape}"
            )
        if self.training and x.size == c:
            raise ValueError(
                f"{self!r} expects more than one number per channel in train mode, got x of shape "
                f"{x.shape}; take a larger batch, or call eval()"
            )


class LayerNorm(Layer):
    """Each example gets mean 0 and variance 1 over its features: y = w z + b.

    With m and v the mean and the variance of the n numbers of one group, which is an example, or
    one time of a sequence,

        z = (x - m) r,    r = 1 / sqrt(v + eps),    v = mean((x - m)^2).

    The derivative is that of `BatchNorm` in train mode, with the features in the place of the
    batch; with dz = w dy, and means over the n numbers of a group,

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

    formulas: ClassVar[Formulas] = {
        "y": (
            "{weight} * z + {bias}, z = ({x} - mean) / sqrt(var + eps)",
            "({x} - mean) / sqrt(var + eps)",
        ),
        "weight": "sums of {dy} * z",
        "bias": "sums of {dy}",
    }

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: object = np.float64,
    ) -> None:
        self.normalized_shape = _sizes("LayerNorm", normalized_shape)
        numbers = check_dtype("LayerNorm", dtype)
        self._eps = _epsilon("LayerNorm", eps, numbers)
        with_affine = check_flag("LayerNorm", "affine", affine)
        if with_affine:
            claim("LayerNorm", self.normalized_shape)
        self.weight = Parameter(np.ones(self.normalized_shape, numbers)) if with_affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape, numbers)) if with_affine else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`, or raise unless it ends in `normalized_shape`."""
        _check_example(self, self.normalized_shape, input_shape)
        return input_shape

    def forward(self, x: Array) -> Array:
        """Return y = w z + b."""
        _check_batch(self, self.normalized_shape, x, self._eps.dtype)
        rows = _by_feature(x, self.normalized_shape)  # (groups, n)
        z, r = _normalised(rows, self._eps, centred=True)  # (groups, n), (groups, 1)
        self.save(z.reshape(x.shape), r)
        return _affine(z, _flat(self.weight), _flat(self.bias)).reshape(x.shape)

    def backward(self, dy: Array) -> Array:
        """Return dx, and set the gradients of weight and bias."""
        self.backward_parameters(dy)
        z, r = self.saved()
        dz = _affine(_by_feature(dy, self.normalized_shape), _flat(self.weight), None)
        dx = _projected(dz, _by_feature(z, self.normalized_shape), centred=True)  # (groups, n)
        dx *= r
        return dx.reshape(dy.shape)  # the shape of x

    def backward_parameters(self, dy: Array) -> None:
        """Set dw = sum(dy z) and db = sum(dy), over the groups."""
        z, _ = self.saved()
        check_cotangent(self, dy, z.shape, z.dtype)
        if self.weight is not None and self.bias is not None:
            rows = _by_feature(dy, self.normalized_shape)  # (groups, n)
            products = np.einsum("ij,ij->j", rows, _by_feature(z, self.normalized_shape))  # (n,)
            self.weight.grad[...] = products.reshape(self.normalized_shape)
            self.bias.grad[...] = rows.sum(axis=0).reshape(self.normalized_shape)


class RMSNorm(Layer):
    """Each example is divided by its root mean square over its features: y = w z.

    `LayerNorm` without the mean, and without a bias. With s the mean of the squares of the n
    numbers of one group, which is an example, or one time of a sequence,

        z = x r,    r = 1 / sqrt(s + eps),    s = mean(x^2).

    ds/dx = 2 x / n, so that with dz = w dy, and means over the n numbers of a group,

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

    formulas: ClassVar[Formulas] = {
        "y": (
            "{weight} * z, z = {x} / sqrt(mean({x}^2) + eps)",
            "{x} / sqrt(mean({x}^2) + eps)",
        ),
        "weight": "sums of {dy} * z",
    }

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        eps: float | None = None,
        affine: bool = True,
        dtype: object = np.float64,
    ) -> None:
        self.normalized_shape = _sizes("RMSNorm", normalized_shape)
        numbers = check_dtype("RMSNorm", dtype)
        smallest = float(np.finfo(numbers).eps)
        self._eps = _epsilon("RMSNorm", smallest if eps is None else eps, numbers)
        with_affine = check_flag("RMSNorm", "affine", affine)
        if with_affine:
            claim("RMSNorm", self.normalized_shape)
        self.weight = Parameter(np.ones(self.normalized_shape, numbers)) if with_affine else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`, or raise unless it ends in `normalized_shape`."""
        _check_example(self, self.normalized_shape, input_shape)
        return input_shape

    def forward(self, x: Array) -> Array:
        """Return y = w z."""
        _check_batch(self, self.normalized_shape, x, self._eps.dtype)
        rows = _by_feature(x, self.normalized_shape)  # (groups, n)
        z, r = _normalised(rows, self._eps, centred=False)  # (groups, n), (groups, 1)
        self.save(z.reshape(x.shape), r)
        return _affine(z, _flat(self.weight), None).reshape(x.shape)

    def backward(self, dy: Array) -> Array:
        """Return dx, and set the gradient of weight."""
        self.backward_parameters(dy)
        z, r = self.saved()
        dz = _affine(_by_feature(dy, self.normalized_shape), _flat(self.weight), None)
        dx = _projected(dz, _by_feature(z, self.normalized_shape), centred=False)  # (groups, n)
        dx *= r
        return dx.reshape(dy.shape)  # the shape of x

    def backward_parameters(self, dy: Array) -> None:
        """Set dw = sum(dy z), over the groups."""
        z, _ = self.saved()
        check_cotangent(self, dy, z.shape, z.dtype)
        if self.weight is not None:
            rows = _by_feature(dy, self.normalized_shape)  # (groups, n)
            products = np.einsum("ij,ij->j", rows, _by_feature(z, self.normalized_shape))  # (n,)
            self.weight.grad[...] = products.reshape(self.normalized_shape)


# -- the arithmetic, row by row ----------------------------------------------------------


def _centred(rows: Array) -> Array:
    """Return each row less its mean.

    The first number of the row is taken away before the mean is taken. So a common offset costs no
    digit, and equal numbers give exactly 0, where their computed mean may differ from them.
    """
    centred = rows - rows[:, :1]  # (rows, n)
    centred -= centred.mean(axis=1, keepdims=True)
    return centred


def _mean_of_product(a: Array, b: Array) -> Array:
    """Return the mean of a b in each row, (rows, 1), without an array for the products."""
    mean: Array = np.einsum("ij,ij->i", a, b)[:, np.newaxis] / a.shape[1]
    return mean


def _normalised(rows: Array, eps: Array, *, centred: bool) -> tuple[Array, Array]:
    """Return z = c r and r = 1 / sqrt(mean(c^2) + eps), c being the rows, or those centred."""
    with np.errstate(over="ignore", invalid="ignore"):  # mended below, or due to x itself
        z = _centred(rows) if centred else rows  # (rows, n)
        square = _mean_of_product(z, z)  # (rows, 1)
        if np.isfinite(square).all():
            r = 1 / np.sqrt(square + eps)  # (rows, 1)
            return z * r, r
        # Too large to be squared. In units of a power of two near the largest number no digit is
        # lost and no square overflows; what eps is in their squares is next to 0.
        _, exponent = np.frexp(np.abs(rows).max(axis=1, keepdims=True))  # (rows, 1)
        unit = np.ldexp(np.ones_like(square), np.where(np.isfinite(square), 0, exponent - 1))
        rows = rows / unit  # (rows, n)
        z = _centred(rows) if centred else rows
        r = 1 / np.sqrt(_mean_of_product(z, z) + eps / unit / unit)  # (rows, 1)
        return z * r, r / unit


def _projected(dz: Array, z: Array, *, centred: bool) -> Array:
    """Return dz less its parts along z and, if x was centred, along 1: dx / r."""
    rest = z * _mean_of_product(dz, z)  # (rows, n)
    np.subtract(dz, rest, rest)
    if centred:
        rest -= dz.mean(axis=1, keepdims=True)
    return rest


def _affine(rows: Array, weight: Array | None, bias: Array | None) -> Array:
    """Return rows * weight + bias, as far as there are these."""
    if weight is None:
        return rows
    y: Array = rows * weight  # (rows, n)
    if bias is not None:
        y += bias
    return y


# -- groups as rows, and back ------------------------------------------------------------


def _by_channel(x: Array) -> Array:
    """Return (batch, channels, ...) as (channels, n)."""
    return x.swapaxes(0, 1).reshape(x.shape[1], -1)


def _by_batch(rows: Array, shape: Shape) -> Array:
    """Return (channels, n) in `shape`, (batch, channels, ...): what _by_channel undoes."""
    return rows.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)


def _by_feature(x: Array, normalized_shape: Shape) -> Array:
    """Return (batch, ..., *normalized_shape) as (groups, n)."""
    return x.reshape(-1, math.prod(normalized_shape))


def _flat(parameter: Parameter | None) -> Array | None:
    return None if parameter is None else parameter.value.reshape(-1)


# -- checks ------------------------------------------------------------------------------


def _epsilon(owner: str, eps: float, dtype: DType) -> Array:
    """Return `eps` in the layer's dtype, without axes, or raise unless it is above 0 there."""
    number = positive_number(owner, "eps", eps)
    return np.array(normal_number(owner, "eps", number, dtype), dtype)


def _sizes(owner: str, shape: int | Sequence[int]) -> Shape:
    """Return `normalized_shape` as a tuple, or raise unless it is of sizes, at least one."""
    if isinstance(shape, Sequence) and not isinstance(shape, str):
        sizes = tuple(check_size(owner, "normalized_shape", size) for size in shape)
        if not sizes:
            raise ValueError(f"{owner} expects normalized_shape to have at least one axis, got ()")
        return sizes
    return (check_size(owner, "normalized_shape", shape),)


def _check_example(owner: Layer, normalized_shape: Shape, shape: Shape) -> None:
    if shape[-len(normalized_shape) :] != normalized_shape:
        raise ValueError(
            f"{owner!r} expects examples whose last axes are {normalized_shape}, got the shape "
            f"{shape}"
        )


def _check_batch(owner: Layer, normalized_shape: Shape, x: Array, dtype: DType) -> None:
    check_numbers(owner, x, dtype)
    if x.shape[1:][-len(normalized_shape) :] != normalized_shape:
        end = ", ".join(str(size) for size in normalized_shape)
        hint = "; one example is a batch of one: x[np.newaxis]"
        raise ValueError(
            f"{owner!r} expects x of shape (batch, ..., {end}), got {x.shape}"
            f"{hint if x.shape == normalized_shape else ''}"
        )
