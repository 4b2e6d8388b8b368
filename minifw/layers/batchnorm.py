"""Batch normalisation: the one layer where the examples of a batch depend on each other."""

from typing import ClassVar

import numpy as np

from minifw._tools.checks import check_cotangent, check_numbers, of_channels
from minifw._tools.loading import claim
from minifw._tools.numbers import check_fraction, check_size
from minifw._tools.options import Option
from minifw.layers._windows import batch_last
from minifw.layers.normalization import LayerNorm, _Normalization
from minifw.typing import Array, Formulas, Shape

__all__ = ["BatchNorm"]


class BatchNorm(_Normalization):
    """Each channel gets mean 0 and variance 1 over the batch: y = w z + b.

    In train mode, with m and v the mean and the variance of the n numbers that a channel has in
    the batch (one for each example, or one for each place of each image),

        z = (x - m) r,    r = 1 / sqrt(v + eps),    v = mean((x - m)^2).

    m and v depend on x as well. dm/dx = 1/n and dv/dx = 2 (x - m) / n give, by the chain rule
    what is left of dy when its parts along 1 and along z are taken out, times w:

        dx = r w (dy - mean(dy) - z mean(dy z)),    dw = sum(dy z),    db = sum(dy).

    In eval mode m and v are the running statistics, which are constants: dx = r w dy.

    Parameters
    ----------
    num_features : int
        The number of channels: of features, for rows; of planes, for images.
    eps : float, default 1e-5
        Above 0. The default of PyTorch and of the paper's authors' own code.
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
    num_features : int
    eps, momentum : float
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

    least_rows: ClassVar[int] = 2
    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        **LayerNorm.formulas,
        "y in eval mode": (
            "{weight} * z + {bias}, z = ({x} - running_mean) / sqrt(running_var + eps)",
            "({x} - running_mean) / sqrt(running_var + eps)",
        ),
        "dx in eval mode": (
            "{dy} * {weight} / sqrt(running_var + eps)",
            "{dy} / sqrt(running_var + eps)",
        ),
    }

    buffers = ("running_mean", "running_var")
    momentum = Option(check_fraction)
    _axes = "wn"
    _saved_constant = False  # whether mean and variance did not depend on x: in eval mode

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        dtype: object = np.float64,
    ) -> None:
        shape = (check_size("BatchNorm", "num_features", num_features),)
        self.momentum = momentum
        super().__init__(shape, eps, affine, dtype)
        if not affine:
            claim("BatchNorm", shape)
        self.running_mean: Array = np.zeros(shape, self._dtype)
        self.running_var: Array = np.ones(shape, self._dtype)

    @property
    def num_features(self) -> int:
        """The number of channels."""
        return self.running_mean.size

    def check_buffer(self, name: str, value: Array) -> None:
        """Raise if a variance is below 0, whose root would be NaN."""
        if name == "running_var" and (value < 0).any():
            raise ValueError(f"{self!r} expects running_var to be at least 0, got {value.min()}")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`, or raise unless it is the shape of a row or of an image."""
        if len(input_shape) not in (1, 3) or input_shape[0] != self.num_features:
            c = self.num_features
            raise ValueError(
                f"{self!r} expects examples of shape ({c},) or ({c}, height, width), got "
                f"{input_shape}"
            )
        return input_shape

    def _rows(self, x: Array) -> Array:
        # Images with their examples last, as `Conv2D` makes and takes them.
        x = batch_last(x) if x.ndim == 4 else x
        return x.transpose(*range(1, x.ndim), 0).reshape(x.shape[1], -1)

    def _shaped(self, rows: Array, shape: Shape) -> Array:
        return rows.reshape(*shape[1:], shape[0]).transpose(-1, *range(len(shape) - 1))

    def backward(self, dy: Array) -> Array:
        """Return dx = r w (dy - mean(dy) - z mean(dy z)), and set the gradients of w and b."""
        z, r = self.saved()
        check_cotangent(self, dy, z.shape, z.dtype)
        rows, z = self._rows(dy), self._rows(z)  # (channels, n)
        db, dw = self._sums(rows), np.einsum("wn,wn->w", rows, z)  # (channels,)
        if self.weight is not None and self.bias is not None:
            r = r * self.weight.value[:, np.newaxis]  # (channels, 1)
            self.weight.grad[...], self.bias.grad[...] = dw, db
        if self._saved_constant:
            return self._shaped(rows * r, dy.shape)
        dx = z * (dw[:, np.newaxis] / rows.shape[1])  # (channels, n)
        np.subtract(rows, dx, dx)
        dx -= db[:, np.newaxis] / rows.shape[1]
        dx *= r
        return self._shaped(dx, dy.shape)

    def _normalized(self, x: Array) -> tuple[Array, Array]:
        """Return z and r, and in train mode move the running statistics."""
        rows = self._rows(x)  # (channels, n)
        with np.errstate(over="ignore", invalid="ignore"):  # _track finds what comes of it
            if self.training:
                n = rows.shape[1]
                z, var = self._deviations(rows)  # (channels, n), (channels, 1)
                self._track(x, rows[:, :1] - z[:, :1], var * (n / (n - 1)))
            else:
                z = rows - self.running_mean[:, np.newaxis]  # (channels, n)
                var = self.running_var[:, np.newaxis]
            r = 1 / np.sqrt(var + self.eps)  # (channels, 1)
            z *= r
        self._saved_constant = not self.training
        return z, r

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
        for running, latest in ((self.running_mean, mean), (self.running_var, var)):
            np.multiply(running, 1 - self.momentum, running)
            np.add(running, self.momentum * latest[:, 0], running)

    def _check(self, x: Array) -> None:
        check_numbers(self, x, self.running_mean.dtype)
        c = self.num_features
        if x.ndim not in (2, 4) or x.shape[1] != c:
            raise ValueError(
                f"{self!r} expects x of shape (batch, {c}) or (batch, {c}, height, width), got "
                f"{of_channels(x, c)}"
            )
        if self.training and x.size == c:
            raise ValueError(
                f"{self!r} expects more than one number per channel in train mode, got x of shape "
                f"{x.shape}; take a larger batch, or call eval()"
            )
