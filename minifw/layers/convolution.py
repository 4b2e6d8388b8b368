"""The convolutional layer."""

from collections.abc import Iterator
from typing import ClassVar, TypeAlias

import numpy as np

from minifw._tools.checks import check_cotangent, check_images
from minifw._tools.loading import make_weight
from minifw._tools.numbers import check_dtype, check_flag, check_size
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.initializers import GlorotUniform
from minifw.layers._windows import Pair, Windows, batch_last, pair, taps
from minifw.typing import RNG, Array, Formulas, Init, Shape

__all__ = ["Conv2D"]

# Numbers of a block of columns. A smaller one stays in the processor's cache while it is
# copied, multiplied and added back; a larger one costs fewer calls of BLAS, each of which
# waits for its threads. Both matter around here: docs/benchmarks.md has the figures.
BLOCK = 2**19

_Place: TypeAlias = tuple[slice, slice, slice]
"""Where a block of y lies: examples, all channels, rows."""


def _padding(owner: str, name: str, padding: int | Pair | str) -> Pair | str:
    if not isinstance(padding, str):
        return pair(owner, name, padding, least=0)
    if padding != "same":
        raise ValueError(f'{owner} expects {name} to be numbers or "same", got {padding!r}')
    return padding


class Conv2D(Layer):
    """Every output pixel is a weighted sum over a window of the input, plus a bias.

    For output channel o at row r and column c, over all input channels i of its
    group and all positions (u, v) of the kernel, with stride s and dilation d,

        y[o, r, c] = b[o] + sum over i, u, v of W[o, i, u, v] x[i, s r + d u, s c + d v],

    where x has its padding around it. (Mathematics calls that correlation: the
    kernel is not flipped.) With all windows side by side as the columns of a
    matrix X, a row for each (i, u, v), a column for each output pixel of each
    example, and y and dy likewise as matrices of a row for each output channel, it
    is a product, and so is its derivative, as in `Dense`:

        Y = W X + b,    dW = dY X',    db = sum of the columns of dY,    dX = W' dY.

    A pixel x stands in X once for each window that it is in, so dx is the sum of
    the elements of dX that are its copies. Pixels in no window (where the stride
    leaves rows over, or the dilation skips some) get 0.

    Parameters
    ----------
    in_channels, out_channels : int
        The channels of x and y.
    kernel_size : int or (int, int)
        The height and width of the kernel.
    stride : int or (int, int), default 1
        The steps from window to window, down and across.
    padding : int, (int, int) or "same", default 0
        The rows and columns of zeros added on each side. "same" adds d (k - 1) in
        all, so that y is as large as x; an odd one goes below and to the right.
        It needs stride 1.
    dilation : int or (int, int), default 1
        The steps from pixel to pixel within a window.
    groups : int, default 1
        Channels are split into so many groups, which do not see each other; it
        divides both numbers of channels. groups = in_channels is the depthwise
        convolution.
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
    weight : Parameter of shape (out_channels, in_channels / groups, kh, kw)
        The layout of PyTorch's ``Conv2d.weight``.
    bias : Parameter of shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, in_channels, height, width) in the
        layer's dtype and the kernel fits into the padded image.

    Notes
    -----
    Names, defaults, layouts and "same" are those of PyTorch's ``Conv2d``, but
    for the start: PyTorch draws weight and bias uniformly up to
    1 / sqrt(fan_in), by ``kaiming_uniform(a=sqrt(5))``; here the weight starts
    as that of `Dense`, and the bias at 0. Of n pixels along an axis it makes
    floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.

    Memory: besides y and dx, the layer allocates the padded x, which it keeps
    for ``backward`` (x itself if there is no padding and its examples lie last in
    memory, as in what this layer and a pooling return), a padded dx, and X. X is
    as large as kh kw images, so it is never there as a whole: it is made, used
    and forgotten in blocks of some rows of all examples, or of one row of some, of
    at most 2**19 numbers (one row of one example, if that is more); backward makes
    it again, which is quicker than to fetch it from memory, and writes dX over it.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to
    document recognition", Proceedings of the IEEE, 1998, section II; Chellapilla,
    Puri and Simard, "High performance convolutional neural networks for document
    processing", 2006, section 3.1 (as a matrix product); Dumoulin and Visin, "A
    guide to convolution arithmetic for deep learning", 2016 (the shapes).

    Examples
    --------
    A kernel that finds vertical edges:

    >>> import numpy as np
    >>> from minifw import Conv2D
    >>> layer = Conv2D(1, 1, (1, 2), rng=0)
    >>> layer.weight.value = [[[[-1.0, 1.0]]]]
    >>> layer.forward(np.array([[[[0.0, 0.0, 5.0, 5.0], [0.0, 3.0, 3.0, 3.0]]]]))
    array([[[[0., 5., 0.],
             [3., 0., 0.]]]])
    """

    formulas: ClassVar[Formulas] = {
        "y": ("conv({x}, {weight}) + {bias}", "conv({x}, {weight})"),
        "dx": "transposed conv({dy}, {weight})",
        "weight": "sums of windows of {x} times {dy}",
        "bias": "sums of {dy} over examples and places",
    }

    kernel_size: Option[Pair] = Option(pair, fixed=True)
    stride: Option[Pair] = Option(pair, fixed=True)
    padding: Option[Pair | str] = Option(_padding, fixed=True)
    dilation: Option[Pair] = Option(pair, fixed=True)
    groups = Option(check_size, fixed=True)

    def __init__(  # noqa: PLR0917 - the order of PyTorch's Conv2d
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        *,
        bias: bool = True,
        init: Init | None = None,
        dtype: object = np.float64,
        rng: RNG = None,
    ) -> None:
        inputs = check_size("Conv2D", "in_channels", in_channels)
        outputs = check_size("Conv2D", "out_channels", out_channels)
        self.kernel_size = pair("Conv2D", "kernel_size", kernel_size)
        self.stride = pair("Conv2D", "stride", stride)
        self.dilation = pair("Conv2D", "dilation", dilation)
        self.padding = _padding("Conv2D", "padding", padding)
        self.groups = groups
        if inputs % self.groups or outputs % self.groups:
            raise ValueError(
                f"Conv2D expects groups to divide in_channels and out_channels, got {groups} for "
                f"{in_channels} and {out_channels}"
            )
        self._windows = Windows(self.kernel_size, self.stride, self._around(), self.dilation)
        shape = (outputs, inputs // self.groups, *self.kernel_size)
        numbers = check_dtype("Conv2D", dtype)
        start = GlorotUniform() if init is None else init
        self.weight = Parameter(make_weight("Conv2D", start, shape, numbers, rng))
        with_bias = check_flag("Conv2D", "bias", bias)
        self.bias = Parameter(np.zeros(outputs, numbers)) if with_bias else None

    def _around(self) -> tuple[Pair, Pair]:
        """Return what the padding adds before and after the rows, and the columns."""
        if isinstance(self.padding, str):
            if self.stride != (1, 1):
                raise ValueError(f'Conv2D expects stride 1 with padding="same", got {self.stride}')
            sizes = zip(self.kernel_size, self.dilation, strict=True)
            rows, columns = (d * (k - 1) for k, d in sizes)
            return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
        rows, columns = self.padding
        return (rows, rows), (columns, columns)

    @property
    def in_channels(self) -> int:
        """The channels of x."""
        return self.weight.shape[1] * self.groups

    @property
    def out_channels(self) -> int:
        """The channels of y."""
        return self.weight.shape[0]

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (out_channels, rows, columns)."""
        if len(input_shape) != 3 or input_shape[0] != self.in_channels:
            raise ValueError(
                f"{self!r} expects examples of shape ({self.in_channels}, height, width), "
                f"got {input_shape}"
            )
        return (self.out_channels, *self._windows.output_size(self, input_shape))

    # Overflow is no news here, as in Dense, whose np.dot says nothing of it either: an
    # infinite number goes on, and is found at the loss.

    @np.errstate(over="ignore", invalid="ignore")
    def forward(self, x: Array) -> Array:
        """Return Y = W X + b, block by block."""
        check_images(self, x, self.in_channels, self.weight.dtype)
        size = self._windows.output_size(self, x.shape)
        image = batch_last(self._windows.padded(x))  # (batch, in, padded height, padded width)
        self.save(image)
        weight = self._by_group(self.weight.value)  # (groups, out / groups, depth)
        memory = np.empty((self.out_channels, *size, len(x)), x.dtype)
        y = memory.transpose(3, 0, 1, 2)  # (batch, out, rows, columns)
        for place, columns in self._blocks(image):
            block = y[place].transpose(1, 2, 3, 0)  # (out, rows, columns, examples)
            product = (weight @ columns).reshape(block.shape)
            if self.bias is None:
                block[...] = product
            else:
                np.add(product, self.bias.value[:, None, None, None], out=block)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx, the sums of dX = W' dY, and set the gradients of weight and bias."""
        (image,) = self.saved()
        dimage = np.zeros_like(image)  # (batch, in, padded height, padded width)
        self._backward(dy, dimage)
        return self._windows.cropped(dimage)

    def backward_parameters(self, dy: Array) -> None:
        """Set dW = dY X' and db = dY 1."""
        self._backward(dy, None)

    @np.errstate(over="ignore", invalid="ignore")
    def _backward(self, dy: Array, dimage: Array | None) -> None:
        """Set the gradients, and add those of the padded x to `dimage`, if it is wanted."""
        (image,) = self.saved()
        shape = (len(image), self.out_channels, *self._windows.view(image).shape[4:])
        check_cotangent(self, dy, shape, image.dtype)
        dy = batch_last(dy)
        weight = self._by_group(self.weight.value)  # (groups, out / groups, depth)
        dweight = self._by_group(self.weight.grad)  # (groups, out / groups, depth)
        dweight[...] = 0
        for place, columns in self._blocks(image):
            dpixels = dy[place].transpose(1, 2, 3, 0)  # (out, rows, columns, examples)
            dblock = self._by_group(dpixels)  # (groups, out / groups, pixels)
            dweight += dblock @ columns.swapaxes(1, 2)
            if dimage is not None:
                dcolumns = np.matmul(weight.swapaxes(1, 2), dblock, out=columns)  # X is used up
                self._add(dcolumns, dimage, place)
        if self.bias is not None:
            np.sum(dy, axis=(0, 2, 3), out=self.bias.grad)

    def _by_group(self, array: Array) -> Array:
        """Return (out, ...) as (groups, out / groups, all the rest)."""
        return array.reshape(self.groups, len(array) // self.groups, -1)

    def _blocks(self, image: Array) -> Iterator[tuple[_Place, Array]]:
        """Yield blocks of X, (groups, depth, pixels), with the place of their pixels in y.

        All lie in the same memory: each is overwritten by the next.
        """
        windows = self._windows.view(image)  # (batch, in, kh, kw, rows, columns)
        batch, height = len(windows), windows.shape[4]
        row = windows[0, ..., 0, :].size  # the numbers that one output row needs
        examples = min(batch, max(1, BLOCK // row))
        rows = min(height, max(1, BLOCK // (row * examples)))
        memory = np.empty(examples * rows * row, image.dtype)
        for n in range(0, batch, examples):
            for r in range(0, height, rows):
                place = (slice(n, n + examples), slice(None), slice(r, r + rows))
                part = windows[place[0], ..., place[2], :].transpose(1, 2, 3, 4, 5, 0)
                block = memory[: part.size].reshape(part.shape)
                block[...] = part
                yield place, block.reshape(self.groups, -1, part[0, 0, 0].size)

    def _add(self, dcolumns: Array, dimage: Array, place: _Place) -> None:
        """Add the elements of dX to the pixels that they are copies of."""
        dwindows = self._windows.view(dimage)[place[0], ..., place[2], :]
        batch, channels, kh, kw, rows, columns = dwindows.shape
        parts = dcolumns.reshape(channels, kh, kw, rows, columns, batch).transpose(
            5, 0, 1, 2, 3, 4
        )
        for tap, part in zip(taps(dwindows), taps(parts), strict=True):
            np.add(tap, part, out=tap)
