"""The convolutional layers, of images and of sequences."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from types import EllipsisType
from typing import Any, ClassVar, TypeAlias

import numpy as np

from minifw._engine.steps import refuse
from minifw._tools.checks import (
    check_cotangent,
    check_images,
    check_place,
    check_sequence_shape,
    check_sequences,
)
from minifw._tools.loading import make_weight
from minifw._tools.numbers import check_dtype, check_flag, check_size
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.initializers import GlorotUniform
from minifw.layers._windows import Pair, Windows, batch_last, check_image_shape, pair, taps
from minifw.typing import RNG, Array, Formulas, Init, Shape

__all__ = ["Conv1D", "Conv2D"]

# Numbers of a block of columns. A smaller one stays in the processor's cache while it is
# copied, multiplied and added back; a larger one costs fewer calls of BLAS, each of which
# waits for its threads. Both matter around here: docs/benchmarks.md has the figures.
BLOCK = 2**19

RUN = 256  # numbers: a call in np.einsum takes 0.2 us, and 0.1 ns a number; a product 0.6

_Place: TypeAlias = "tuple[EllipsisType, slice, slice]"
"""Where a block of y lies: all examples and channels, rows, columns."""


def _padding(
    owner: str, name: str, padding: int | Pair | str, words: Sequence[str] = ("same",)
) -> Pair | str:
    if not isinstance(padding, str):
        return pair(owner, name, padding, least=0)
    if padding not in words:
        known = " or ".join(f'"{word}"' for word in words)
        raise ValueError(f"{owner} expects {name} to be numbers or {known}, got {padding!r}")
    return padding


class _Convolution(Layer):
    """What convolutions have in common: products of windows and weight, and their derivatives.

    The windows lie on an image, with its padding, and give pixels. x is the image and y the
    pixels, or the other way round if it is transposed. A sequence is an image of one column.
    """

    groups = Option(check_size, fixed=True)
    kernel_size: Any  # options of a subclass, of one axis or two
    stride: Any
    padding: Any
    dilation: Any
    _saved_shape: Shape  # of the latest y
    linear: ClassVar[bool] = True
    _axes: ClassVar[int] = 2  # of the kernel
    _transposed: ClassVar[bool] = False

    def __init__(  # noqa: PLR0917 - the order of PyTorch's Conv1d and Conv2d
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
        owner = type(self).__name__
        inputs = check_size(owner, "in_channels", in_channels)
        outputs = check_size(owner, "out_channels", out_channels)
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.padding, self.groups = padding, groups
        if inputs % self.groups or outputs % self.groups:
            raise ValueError(
                f"{owner} expects groups to divide in_channels and out_channels, got {groups} for "
                f"{inputs} and {outputs}"
            )
        steps = (self.kernel_size, self.stride, self.dilation)
        kernel, strides, apart = map(self._rows_and_columns, steps)
        if self.padding == "same" and strides != (1, 1):
            raise ValueError(f'{owner} expects stride 1 with padding="same", got {max(strides)}')
        if isinstance(self.padding, str):
            rows, columns = (d * (k - 1) for k, d in zip(kernel, apart, strict=True))
            before = (rows, columns) if padding == "causal" else (rows // 2, columns // 2)
            sides = (before[0], rows - before[0]), (before[1], columns - before[1])
        else:
            sides = self._sides(self.padding)
        self._windows = Windows(kernel, strides, sides, apart)
        pixels, image = (inputs, outputs) if self._transposed else (outputs, inputs)
        shape = (pixels, image // self.groups, *kernel[: self._axes])
        numbers = check_dtype(owner, dtype)
        start = GlorotUniform() if init is None else init
        self.weight = Parameter(make_weight(owner, start, shape, numbers, rng))
        with_bias = check_flag(owner, "bias", bias)
        self.bias = Parameter(np.zeros(outputs, numbers)) if with_bias else None

    def _rows_and_columns(self, of_kernel: Any) -> Pair:
        """Return an option, of what axes the kernel has, as one of an image."""
        both: Pair = of_kernel
        return both

    def _sides(self, padding: Any) -> tuple[Pair, Pair]:
        """Return what is added before and after rows, and columns."""
        rows, columns = padding
        return (rows, rows), (columns, columns)

    @property
    def in_channels(self) -> int:
        """The channels of x."""
        return self._channels[not self._transposed]

    @property
    def out_channels(self) -> int:
        """The channels of y."""
        return self._channels[self._transposed]

    @property
    def _channels(self) -> Pair:
        """Those of the pixels and of the image."""
        return self.weight.shape[0], self.weight.shape[1] * self.groups

    # Overflow is not news here, as in Dense, whose np.dot says nothing of it either: an
    # infinite number continues, and is found at the loss.

    @np.errstate(over="ignore", invalid="ignore")
    def _pixels(self, image: Array, kernel: Array, bias: Parameter | None = None) -> Array:
        """Return Y = W X + b, block by block; image and pixels have the examples last."""
        size = self._windows.view(image).shape[4:]
        memory = np.empty_like(image, order="C", shape=(len(kernel), *size, len(image)))
        pixels = memory.transpose(3, 0, 1, 2)  # (batch, out, rows, columns)
        if self._by_runs(size[1] * len(image)):
            own = kernel.reshape(len(kernel), *self._windows.kernel)  # (channels, kh, kw)
            runs = self._windows.runs(image)  # (channels, kh, kw, rows, run)
            np.einsum("cij,cijrp->crp", own, runs, out=memory.reshape(*memory.shape[:2], -1))
            if bias is not None:
                memory += bias.value[:, None, None, None]
            return pixels
        weight = self._by_group(kernel)  # (groups, out / groups, depth)
        for place, columns in self._blocks(image):
            block = pixels[place].transpose(1, 2, 3, 0)  # (out, rows, columns, examples)
            sums = (weight @ columns).reshape(block.shape)
            if bias is None:
                block[...] = sums
            else:
                np.add(sums, bias.value[:, None, None, None], out=block)
        return pixels

    @np.errstate(over="ignore", invalid="ignore")
    def _learn(self, pixels: Array, image: Array) -> None:
        """Set dW = dY X'."""
        batch, channels, rows, columns = pixels.shape
        if self._by_runs(columns * batch):
            dy = pixels.transpose(1, 2, 3, 0).reshape(channels, 1, 1, rows, -1)
            products = np.vecdot(dy, self._windows.runs(image))  # (channels, kh, kw, rows)
            np.sum(products.reshape(*self.weight.shape, -1), axis=-1, out=self.weight.grad)
            return
        dweight = self._by_group(self.weight.grad)  # (groups, out / groups, depth)
        dweight[...] = 0
        for place, columns in self._blocks(image):
            block = self._by_group(pixels[place].transpose(1, 2, 3, 0))  # (groups, ..., pixels)
            dweight += block @ columns.swapaxes(1, 2)

    @np.errstate(over="ignore", invalid="ignore")
    def _image(self, pixels: Array, size: Pair) -> Array:
        """Return the sums of dX = W' dY in an image of this size, without its padding.

        With stride 1 they are a convolution, too: of dY with zeros around it, by the kernel back
        to front. To copy numbers into its X takes a third of the time that adding up dX takes:
        32 channels in 4 groups, 3 x 3 on 32 x 32 pixels, 9 ms in place of 19; 16 to 32, 5 x 5,
        22 in place of 32. With over twice as many outputs as inputs that X is too large.
        """
        rows, columns = self._windows.span(*pixels.shape[2:])
        weight = self._by_group(self.weight.value)  # (groups, out / groups, depth)
        outputs, inputs = self._channels
        if self._windows.stride == (1, 1) and size == (rows, columns) and outputs <= 2 * inputs:
            kernel = weight.reshape(*weight.shape[:2], -1, *self._windows.kernel)
            mirrored = kernel[..., ::-1, ::-1].swapaxes(1, 2)  # (groups, in / groups, out / ...)
            kernel = mirrored.reshape(inputs, -1, *self._windows.kernel)
            return self._pixels(self._windows.around(pixels), kernel)
        memory = np.zeros_like(pixels, order="C", shape=(inputs, *size, len(pixels)))
        dimage = memory.transpose(3, 0, 1, 2)  # (batch, in, padded height, padded width)
        reached = dimage[:, :, :rows, :columns]
        for place, dcolumns in self._blocks(reached, read=False):
            block = self._by_group(pixels[place].transpose(1, 2, 3, 0))  # (groups, ..., pixels)
            np.matmul(weight.swapaxes(1, 2), block, out=dcolumns)
            self._add(dcolumns, reached, place)
        return self._windows.cropped(dimage)

    def _by_runs(self, length: int) -> bool:
        """Return whether each channel makes one channel, and its runs are long.

        Sums of products, run by run, then need no X: forward and backward of 64 channels of
        16 x 16 pixels and 64 examples take 8 ms in place of 61. Of one example of 32 x 32 pixels,
        whose runs are 32 numbers, they would take 4.2 ms in place of 1.7.
        """
        own = self._channels == (self.groups, self.groups)
        return own and self._windows.stride[1] == 1 and length >= RUN

    def _by_group(self, array: Array) -> Array:
        """Return (out, ...) as (groups, out / groups, all the rest)."""
        return array.reshape(self.groups, len(array) // self.groups, -1)

    def _blocks(self, image: Array, *, read: bool = True) -> Iterator[tuple[_Place, Array]]:
        """Yield blocks of X, (groups, depth, pixels), with the place of their pixels.

        All lie in the same memory: each is overwritten by the next. Unread they are but room.
        """
        windows = self._windows.view(image)  # (batch, in, kh, kw, rows, columns)
        height, width = windows.shape[4:]
        pixel = windows[..., 0, 0].size  # the numbers that one output pixel of all examples needs
        columns = min(width, max(1, BLOCK // pixel))
        rows = min(height, max(1, BLOCK // (pixel * width)))
        memory = np.empty_like(image, shape=pixel * columns * rows)
        for r, c in product(range(0, height, rows), range(0, width, columns)):
            place = np.s_[..., r : r + rows, c : c + columns]
            part = windows[place].transpose(1, 2, 3, 4, 5, 0)
            block = memory[: part.size].reshape(part.shape)
            if read:
                block[...] = part
            yield place, block.reshape(self.groups, -1, part[0, 0, 0].size)

    def _add(self, dcolumns: Array, dimage: Array, place: _Place) -> None:
        """Add the elements of dX to the pixels that they are copies of."""
        dwindows = self._windows.view(dimage)[place]
        batch, channels, kh, kw, rows, columns = dwindows.shape
        parts = dcolumns.reshape(channels, kh, kw, rows, columns, batch).transpose(
            5, 0, 1, 2, 3, 4
        )
        for tap, part in zip(taps(dwindows), taps(parts), strict=True):
            np.add(tap, part, out=tap)

    # From here on: of images to pixels, and not transposed.

    def _check(self, x: Array) -> None:
        check_images(self, x, self.in_channels, self.weight.dtype)
        self._windows.output_size(self, x.shape)

    def _images(self, x: Array) -> Array:
        """Return x or dy as (batch, channels, height, width)."""
        return x

    def _shaped(self, images: Array) -> Array:
        """Return such images as y or dx."""
        return images

    def forward(self, x: Array) -> Array:
        """Return Y = W X + b, block by block."""
        self._check(x)
        image = batch_last(self._images(x))  # (batch, in, height, width)
        self.save(image)
        y = self._shaped(self._pixels(self._windows.padded(image), self.weight.value, self.bias))
        vars(self)["_saved_shape"] = y.shape
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx, the sums of dX = W' dY, and set the gradients of weight and bias."""
        (image,) = self.saved()
        size = self._windows.padded_size(*image.shape[2:])
        return self._shaped(self._image(self._set(dy), size))

    def backward_parameters(self, dy: Array) -> None:
        """Set dW = dY X' and db = dY 1."""
        self._set(dy)

    def _set(self, dy: Array) -> Array:
        """Set the gradients, and return dy as pixels."""
        (image,) = self.saved()
        check_cotangent(self, dy, self._saved_shape, image.dtype)
        pixels = batch_last(self._images(dy))  # (batch, out, rows, columns)
        self._learn(pixels, self._windows.padded(image))
        if self.bias is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                np.sum(pixels, axis=(0, 2, 3), out=self.bias.grad)
        return pixels


class Conv2D(_Convolution):
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
        all, so y is as large as x; an odd one goes below and to the right.
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
    Names, defaults, layouts and "same" are as in PyTorch's ``Conv2d``, except for the start:
    PyTorch draws weight and bias uniformly up to 1 / sqrt(fan_in), by
    ``kaiming_uniform(a=sqrt(5))``; here the weight starts as in `Dense`, and the bias at 0.
    Of n pixels along an axis it makes
    floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.

    Memory: besides y and dx, the layer keeps x with its examples last in memory for
    ``backward`` (x itself if they lie so, as in what this layer and a pooling return). For
    a while it allocates a padded x, in backward dy with zeros around it, or a padded dx
    where a stride or many filters ask for it, and X. X is as large as kh kw images, so it
    is never there as a whole: it is made, used and forgotten in blocks of some rows of all
    examples, or of a part of one row, of at most 2**19 numbers (one pixel of all examples,
    if that is more); backward makes it again, which is faster than to fetch it from memory.

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

    replayable: ClassVar[bool] = True
    kernel_size = Option(pair, fixed=True)
    stride = Option(pair, fixed=True)
    padding = Option(_padding, fixed=True)
    dilation = Option(pair, fixed=True)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (out_channels, rows, columns)."""
        check_image_shape(self, input_shape, self.in_channels)
        return (self.out_channels, *self._windows.output_size(self, input_shape))


class Conv1D(_Convolution):
    """Every output step is a weighted sum over a window of the steps, plus a bias.

    `Conv2D` of an image of one column, for sequences (batch, time, features). For output
    channel o at step t, over all input channels i of its group and all positions u of the
    kernel, with stride s and dilation d,

        y[t, o] = b[o] + sum over i, u of W[o, i, u] x[s t + d u, i],

    where x has its padding around it. It is a product of matrices, and so are its
    derivatives: `Conv2D` says which.

    Parameters
    ----------
    in_channels, out_channels : int
        The features of x and y.
    kernel_size : int
        The steps of a window.
    stride : int, default 1
        The steps from window to window.
    padding : int, (int, int), "same" or "causal", default 0
        The steps of zeros before and after; one number is for both. With n = d (k - 1),
        "same" adds n in all, so y is as long as x; an odd one goes after, and it needs
        stride 1. "causal" adds n before, so no step sees a later one.
    dilation : int, default 1
        The steps from place to place within a window.
    groups : int, default 1
        Channels are split into so many groups, which do not see each other; it
        divides both numbers of channels.
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
    weight : Parameter of shape (out_channels, in_channels / groups, kernel_size)
        The layout of PyTorch's ``Conv1d.weight``.
    bias : Parameter of shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, time, in_channels) in the layer's dtype and
        a window fits into the padded sequence.

    Notes
    -----
    Names, defaults and weights are as in PyTorch's ``Conv1d``, except for the start, as in
    `Conv2D`, and the features, which PyTorch has before the time. "causal" is Keras'; a pair for
    the padding is neither's.

    References
    ----------
    A. Waibel et al., "Phoneme recognition using time-delay neural networks", IEEE
    Transactions on Acoustics, Speech, and Signal Processing, 1989; A. van den Oord et al.,
    "WaveNet: a generative model for raw audio", 2016, section 2.1 (causal, dilated).

    Examples
    --------
    Each step plus a tenth of the one before:

    >>> import numpy as np
    >>> from minifw import Conv1D
    >>> layer = Conv1D(1, 1, 2, padding="causal")
    >>> layer.weight.value = [[[0.1, 1.0]]]
    >>> layer.forward(np.array([[[1.0], [2.0], [3.0]]]))
    array([[[1. ],
            [2.1],
            [3.2]]])
    """

    formulas: ClassVar[Formulas] = Conv2D.formulas
    replayable: ClassVar[bool] = True
    kernel_size = Option(check_size, fixed=True)
    stride = Option(check_size, fixed=True)
    padding = Option(partial(_padding, words=("same", "causal")), fixed=True)
    dilation = Option(check_size, fixed=True)
    _axes = 1
    stepwise: ClassVar[bool] = True

    def _rows_and_columns(self, of_kernel: Any) -> Pair:
        return of_kernel, 1

    def _sides(self, padding: Any) -> tuple[Pair, Pair]:
        return padding, (0, 0)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (steps, out_channels)."""
        check_sequence_shape(self, input_shape, self.in_channels)
        return (self._steps(input_shape[0]), self.out_channels)

    def _check(self, x: Array) -> None:
        _, time = check_sequences(self, x, self.in_channels, self.weight.dtype)
        self._steps(time)

    def _steps(self, time: int) -> int:
        """Return how many windows there are, or raise if there is none."""
        least = self._windows.extent[0] - sum(self._windows.padding[0])
        if time < least:
            raise ValueError(
                f"{self!r} expects at least {least} steps, which its kernel fits into, got {time}"
            )
        windows: int = (time - least) // self.stride + 1
        return windows

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        """Return y at one more place, from the places that its window reaches back to."""
        if self.padding != "causal" or self.stride != 1:
            refuse(self, 'a window may see later places; say padding="causal" and stride=1')
        batch = check_place(self, x, self.in_channels, self.weight.dtype)
        reach = self._windows.extent[0] - 1
        before = np.zeros((batch, reach, self.in_channels), x.dtype) if kept is None else kept
        if before.shape != (batch, reach, self.in_channels) or before.dtype != x.dtype:
            raise ValueError(
                f"{self!r}.step expects as many rows as at the places before, and its own state"
            )
        window = np.concatenate([before, x[:, np.newaxis]], axis=1)  # (batch, reach + 1, in)
        image = batch_last(self._images(window))  # (batch, in, reach + 1, 1)
        y = self._shaped(self._pixels(image, self.weight.value, self.bias))
        return y[:, 0], window[:, 1:]

    def _images(self, x: Array) -> Array:
        return x.swapaxes(1, 2)[..., np.newaxis]  # (batch, channels, time, 1)

    def _shaped(self, images: Array) -> Array:
        return images[..., 0].swapaxes(1, 2)  # (batch, time, channels)
