"""Pooling: every window of an image is reduced to one number, channel by channel; and back up."""

import math
from functools import lru_cache, partial, reduce
from typing import ClassVar

import numpy as np

from minifw._tools.checks import check_cotangent, check_images
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.layers._windows import Pair, Windows, check_image_shape, pair
from minifw.typing import Array, Formulas, Shape

__all__ = ["AvgPool2D", "GlobalAvgPool2D", "MaxPool2D", "UpSample2D"]

BLOCK = 2**17  # numbers of an image that `MaxPool2D` goes back through at a time


@lru_cache
def _windows(kernel: Pair, stride: Pair, padding: Pair) -> Windows:
    rows, columns = padding
    return Windows(kernel, stride, ((rows, rows), (columns, columns)))


class _Pool2D(Layer):
    """What the layers have in common that reduce windows: their arguments and shapes."""

    kernel_size: Option[Pair] = Option(pair, fixed=True)
    stride: Option[Pair] = Option(pair, fixed=True)
    padding: Option[Pair] = Option(partial(pair, least=0), fixed=True)

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
    ) -> None:
        owner = type(self).__name__
        self.kernel_size = kh, kw = pair(owner, "kernel_size", kernel_size)
        self.stride = (kh, kw) if stride is None else pair(owner, "stride", stride)
        self.padding = ph, pw = pair(owner, "padding", padding, least=0)
        if 2 * ph > kh or 2 * pw > kw:  # as PyTorch: no window may see padding alone
            raise ValueError(
                f"{owner} expects padding of at most half the kernel, got {self.padding} for a "
                f"kernel of {kh} x {kw}"
            )

    @property
    def _windows(self) -> Windows:
        return _windows(self.kernel_size, self.stride, self.padding)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (channels, windows down, windows across)."""
        check_image_shape(self, input_shape)
        return (input_shape[0], *self._windows.output_size(self, input_shape))

    def _reduced(self, two_to_one: np.ufunc, image: Array) -> Array:
        """Return what a kernel sees, made one number: first its rows, then what they gave."""
        rows = self._along(two_to_one, image, 3)  # (batch, channels, padded height, across)
        return self._along(two_to_one, rows, 2)  # (batch, channels, down, across)

    def _along(self, two_to_one: np.ufunc, image: Array, axis: int) -> Array:
        first, *rest = self._windows.along(image, axis)
        return reduce(two_to_one, rest, first) if rest else first.copy()


class MaxPool2D(_Pool2D):
    """y is the largest x of each window.

    dy goes to the x that was the largest, and to no other: the maximum changes
    as that one does. Of several that are equal the first takes it, row by row. A NaN
    is larger than all, and of several the last takes it; the padding takes none. An
    x in several windows, if stride < kernel_size, gets the sum; an x in none, in
    the rows and columns that the stride leaves over, gets 0.

    Parameters
    ----------
    kernel_size : int or (int, int)
        The height and width of a window.
    stride : int or (int, int), default kernel_size
        The steps from window to window.
    padding : int or (int, int), default 0
        The rows and columns added on each side. They hold minus infinity, which
        is never the largest; at most half the kernel.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, channels, height, width) and a window
        fits into the padded image.

    Notes
    -----
    Names, defaults, the limit on the padding, and which of equals and of NaNs counts
    are as in PyTorch's ``MaxPool2d``. Of n pixels along an axis it makes
    floor((n + 2 padding - kernel_size) / stride) + 1.

    The largest of a window is the largest of its rows' largest, and the first row that has
    it, with the first column there, is where it stands. So a window costs kh + kw steps
    each way and not kh kw. For ``backward`` the layer keeps x (padded, a copy) and y, and goes
    through a few channels at a time, whose rows' largest then stay in the cache. Where y has a
    NaN or an infinity, it sorts x first, and takes the places in this order for numbers.

    References
    ----------
    Zhou and Chellappa, "Computation of optical flow using a neural network",
    ICNN 1988; Ranzato, Huang, Boureau and LeCun, "Unsupervised learning of
    invariant feature hierarchies with applications to object recognition",
    CVPR 2007, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import MaxPool2D
    >>> layer = MaxPool2D(2)
    >>> x = np.array([[[[1.0, 5.0, 2.0, 2.0], [3.0, 4.0, 2.0, 1.0]]]])
    >>> layer.forward(x)
    array([[[[5., 2.]]]])
    >>> layer.backward(np.array([[[[10.0, 20.0]]]]))
    array([[[[ 0., 10., 20.,  0.],
             [ 0.,  0.,  0.,  0.]]]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "the largest in each window of {x}",
        "dx": "{dy} where {x} was the largest, else 0",
    }

    def forward(self, x: Array) -> Array:
        """Return the largest of each window."""
        check_images(self, x)
        self._windows.output_size(self, x.shape)
        image = self._windows.padded(x, -np.inf)  # (batch, channels, padded height, padded width)
        y = self._reduced(np.maximum, image)
        self.save(image, y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx: dy where x was the first that is y, added up over the windows."""
        image, y = self.saved()
        check_cotangent(self, dy, y.shape, y.dtype)
        if not np.isfinite(y).all():
            image = self._ranks(image)  # (batch, channels, padded height, padded width)
            y = self._reduced(np.maximum, image)
        dimage = np.zeros_like(image, dy.dtype)
        few = max(1, BLOCK * image.shape[1] // image.size)
        for start in range(0, image.shape[1], few):
            own = np.s_[:, start : start + few]
            rows = self._along(np.maximum, image[own], 3)  # (batch, few, padded height, across)
            drows = np.zeros_like(rows, dy.dtype)
            self._to_largest(dy[own], rows, y[own], 2, drows)
            self._to_largest(drows, image[own], rows, 3, dimage[own])
        return self._windows.cropped(dimage)

    def _ranks(self, image: Array) -> Array:
        """Return numbers in the order of these, the padding below all: no two are equal."""
        x = self._windows.cropped(image).ravel()
        places = np.arange(x.size)
        ranks = np.empty(x.size)
        ranks[np.lexsort((np.where(np.isnan(x), places, -places), x))] = places
        return self._windows.padded(ranks.reshape(self._windows.cropped(image).shape), -1.0)

    def _to_largest(self, dy: Array, image: Array, y: Array, axis: int, dimage: Array) -> None:
        """Add dy, in zeros, to the first pixel along the axis that is y."""
        waiting = np.full_like(y, True, bool)  # the windows whose largest has not come yet
        apart = self.stride[axis - 2] >= self.kernel_size[axis - 2]  # no pixel is in two windows
        along = self._windows.along
        for tap, dtap in zip(along(image, axis), along(dimage, axis), strict=True):
            largest = tap == y  # the shape of y
            largest &= waiting
            waiting ^= largest
            if apart:
                np.multiply(dy, largest, out=dtap)
            else:
                np.add(dtap, dy * largest, out=dtap)


class AvgPool2D(_Pool2D):
    """y is the mean of each window: the sum of its kh kw numbers times 1 / (kh kw).

    So every x of a window gets dy / (kh kw). An x in several windows gets the
    sum; an x in none, in the rows and columns that the stride leaves over, gets 0.

    Parameters
    ----------
    kernel_size : int or (int, int)
        The height and width of a window.
    stride : int or (int, int), default kernel_size
        The steps from window to window.
    padding : int or (int, int), default 0
        The rows and columns of zeros added on each side; at most half the kernel.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, channels, height, width) and a window
        fits into the padded image.

    Notes
    -----
    Names and defaults are as in PyTorch's ``AvgPool2d``, and so is this: the
    zeros of the padding count, the divisor is kh kw also at the border
    (``count_include_pad=True``). Keras divides there by the number of real
    pixels.

    It divides before it adds, so no sum overflows where the mean does not.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to
    document recognition", Proceedings of the IEEE, 1998, section II (there with
    a learned scale and bias).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import AvgPool2D
    >>> AvgPool2D(2).forward(np.array([[[[1.0, 5.0, 2.0, 2.0], [3.0, 3.0, 3.0, 1.0]]]]))
    array([[[[3., 2.]]]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "the mean of each window of {x}",
        "dx": "{dy} in equal parts to each window",
    }

    def forward(self, x: Array) -> Array:
        """Return the mean of each window."""
        check_images(self, x)
        self._windows.output_size(self, x.shape)
        share = self._windows.padded(x * self._share)  # (batch, channels, padded h, padded w)
        y = self._reduced(np.add, share)
        self.save(x)  # for its shape and dtype
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx: dy / (kh kw), added up over the windows."""
        (x,) = self.saved()
        check_cotangent(self, dy, (len(x), *self.output_shape(x.shape[1:])), x.dtype)
        height, width = self._windows.padded_size(*x.shape[2:])
        share = dy * self._share  # (batch, channels, down, across)
        drows = self._to_all(share, height, axis=2)  # (batch, channels, padded h, across)
        dimage = self._to_all(drows, width, axis=3)  # (batch, channels, padded h, padded w)
        return self._windows.cropped(dimage)

    def _to_all(self, dy: Array, size: int, axis: int) -> Array:
        """Return dy at every one of `size` pixels along the axis, added up over the windows."""
        shape = (*dy.shape[:axis], size, *dy.shape[axis + 1 :])
        dimage = np.zeros_like(dy, shape=shape)
        for dtap in self._windows.along(dimage, axis):
            np.add(dtap, dy, out=dtap)
        return dimage

    @property
    def _share(self) -> float:
        return 1 / math.prod(self.kernel_size)


class GlobalAvgPool2D(Layer):
    """y is the mean of each channel over all its pixels: (batch, channels), for a `Dense`.

    With P = height * width pixels y = sum of x / P, so dx = dy / P at every pixel.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, channels, height, width).

    Notes
    -----
    The name and the shape are Keras'; PyTorch's
    ``AdaptiveAvgPool2d(1)`` keeps two axes of length 1.

    References
    ----------
    Lin, Chen and Yan, "Network in network", ICLR 2014, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import GlobalAvgPool2D
    >>> layer = GlobalAvgPool2D()
    >>> layer.forward(np.array([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 8.0]]]]))
    array([[3., 2.]])
    >>> layer.backward(np.array([[4.0, 8.0]]))
    array([[[[1., 1.],
             [1., 1.]],
    <BLANKLINE>
            [[2., 2.],
             [2., 2.]]]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "the mean of each channel of {x}",
        "dx": "{dy} in equal parts to each channel",
    }

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (channels,)."""
        check_image_shape(self, input_shape)
        return input_shape[:1]

    def forward(self, x: Array) -> Array:
        """Return the mean of each channel."""
        check_images(self, x)
        self.save(x)  # for its shape and dtype
        share = x * (1 / math.prod(x.shape[2:]))  # (batch, channels, height, width), see AvgPool2D
        y: Array = share.sum(axis=(2, 3))  # (batch, channels)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy / P at every pixel."""
        (x,) = self.saved()
        check_cotangent(self, dy, x.shape[:2], x.dtype)
        share = dy * (1 / math.prod(x.shape[2:]))  # (batch, channels)
        dx = np.empty_like(x)
        dx[...] = share[:, :, np.newaxis, np.newaxis]
        return dx


class UpSample2D(Layer):
    """Every pixel becomes a block of fh x fw that are all the same: its nearest.

        y[r, c] = x[r // fh, c // fw],    dx[i, j] = sum of dy over the block of x[i, j].

    Parameters
    ----------
    factor : int or (int, int)
        How many times as high and as wide y is.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, channels, height, width).

    Notes
    -----
    PyTorch's ``Upsample(scale_factor=..., mode="nearest")``, Keras' ``UpSampling2D``. The
    way up in a U-Net: an `AvgPool2D` after it gives x back.

    References
    ----------
    A. Odena, V. Dumoulin and C. Olah, "Deconvolution and checkerboard artifacts", Distill,
    2016; O. Ronneberger, P. Fischer and T. Brox, "U-Net", MICCAI 2015, for its place.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import UpSample2D
    >>> layer = UpSample2D((1, 2))
    >>> layer.forward(np.array([[[[1.0, 2.0]]]]))
    array([[[[1., 1., 2., 2.]]]])
    >>> layer.backward(np.array([[[[1.0, 2.0, 3.0, 4.0]]]]))
    array([[[[3., 7.]]]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "each pixel of {x} as a block",
        "dx": "sums of {dy} over each block",
    }
    factor: Option[Pair] = Option(pair, fixed=True)

    def __init__(self, factor: int | Pair) -> None:
        self.factor = factor  # type: ignore[assignment]  # a pair is made of it

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (channels, fh height, fw width)."""
        check_image_shape(self, input_shape)
        (channels, height, width), (down, across) = input_shape, self.factor
        return channels, height * down, width * across

    def forward(self, x: Array) -> Array:
        """Return every pixel as a block."""
        check_images(self, x)
        self.save(x)  # for its shape and dtype
        down, across = self.factor
        return x.repeat(down, axis=2).repeat(across, axis=3)  # (batch, channels, fh h, fw w)

    def backward(self, dy: Array) -> Array:
        """Return dx: the sums of dy over each block."""
        (x,) = self.saved()
        check_cotangent(self, dy, (len(x), *self.output_shape(x.shape[1:])), x.dtype)
        (*outer, height, width), (down, across) = x.shape, self.factor
        blocks = dy.reshape(*outer, height, down, width, across)
        dx: Array = blocks.sum(axis=(3, 5))  # (batch, channels, height, width)
        return dx
