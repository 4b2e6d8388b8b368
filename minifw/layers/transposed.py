"""The convolution back to front, which makes images larger."""

from functools import partial
from typing import ClassVar

import numpy as np

from minifw._tools.checks import check_cotangent, check_images
from minifw._tools.options import Option
from minifw.layers._windows import Pair, batch_last, check_image_shape, pair
from minifw.layers.convolution import _Convolution
from minifw.typing import RNG, Array, Formulas, Init, Shape

__all__ = ["Conv2DTranspose"]


class Conv2DTranspose(_Convolution):
    """Every input pixel adds a kernel, times its number, to a window of the output, plus a bias.

    `Conv2D` back to front: its dx is this y. With stride s and dilation d, for output
    channel o, over all input channels i of its group,

        y[o, s r + d u, s c + d v] = b[o] + sum of x[i, r, c] W[i, o, u, v]

    over all (i, r, c, u, v) that meet there; ``padding`` is then cut off on each side.
    With X of the windows of y, as in `Conv2D`, and the same for dy,

        X = W' x,    dx = W dX,    dW = x dX',    db = sum of dy over examples and places.

    Parameters
    ----------
    in_channels, out_channels : int
        The channels of x and y.
    kernel_size : int or (int, int)
        The height and width of the kernel.
    stride : int or (int, int), default 1
        The steps of y from window to window, down and across: so many times as large is y.
    padding : int or (int, int), default 0
        The rows and columns that are cut off on each side.
    output_padding : int or (int, int), default 0
        The rows and columns that y has more, below and to the right: of several sizes whose
        convolution gives x, it chooses one. Below stride or dilation.
    dilation : int or (int, int), default 1
        The steps from pixel to pixel within a window.
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
    weight : Parameter of shape (in_channels, out_channels / groups, kh, kw)
        The layout of PyTorch's ``ConvTranspose2d.weight``.
    bias : Parameter of shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, in_channels, height, width) in the
        layer's dtype, and large enough that the padding leaves something.

    Notes
    -----
    Names and defaults are as in PyTorch's ``ConvTranspose2d``, except for the start, as in
    `Conv2D`, and ``dilation`` and ``groups``, which are given by name: PyTorch has them in another
    order than in its ``Conv2d``. Of n pixels along an axis it makes stride (n - 1) - 2 padding +
    dilation (kernel - 1) + output_padding + 1.

    Where the kernel is not a multiple of the stride, pixels of y are in unequally many windows:
    a checkerboard. `UpSample2D` and a `Conv2D` have none.

    References
    ----------
    M. D. Zeiler, D. Krishnan, G. W. Taylor and R. Fergus, "Deconvolutional networks", CVPR
    2010; Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016,
    chapter 4; A. Odena, V. Dumoulin and C. Olah, "Deconvolution and checkerboard artifacts",
    Distill, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Conv2DTranspose
    >>> layer = Conv2DTranspose(1, 1, (1, 2), stride=(1, 2))
    >>> layer.weight.value = [[[[1.0, 0.5]]]]
    >>> layer.forward(np.array([[[[2.0, 4.0]]]]))
    array([[[[2., 1., 4., 2.]]]])
    """

    formulas: ClassVar[Formulas] = {
        "y": ("transposed conv({x}, {weight}) + {bias}", "transposed conv({x}, {weight})"),
        "dx": "conv({dy}, {weight})",
        "weight": "sums of {x} times windows of {dy}",
        "bias": "sums of {dy} over examples and places",
    }
    kernel_size = Option(pair, fixed=True)
    stride = Option(pair, fixed=True)
    padding = Option(partial(pair, least=0), fixed=True)
    output_padding = Option(partial(pair, least=0), fixed=True)
    dilation = Option(pair, fixed=True)
    _transposed = True

    def __init__(  # noqa: PLR0917 - the order of PyTorch's ConvTranspose2d
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        *,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        init: Init | None = None,
        dtype: object = np.float64,
        rng: RNG = None,
    ) -> None:
        self.output_padding = output_padding  # type: ignore[assignment]  # a pair is made of it
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias=bias,
            init=init,
            dtype=dtype,
            rng=rng,
        )
        steps = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(more >= max(stride, apart) for more, stride, apart in steps):
            raise ValueError(
                "Conv2DTranspose expects output_padding below the stride or the dilation, got "
                f"{self.output_padding} with {self.stride} and {self.dilation}"
            )

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (out_channels, rows, columns)."""
        check_image_shape(self, input_shape, self.in_channels)
        options = (self.stride, self._windows.extent, self.output_padding, self.padding)
        sides = zip(input_shape[1:], *options, strict=True)
        size = [s * (n - 1) + extent + more - 2 * p for n, s, extent, more, p in sides]
        if min(size) < 1:
            raise ValueError(
                f"{self!r} expects images of which its padding leaves something, got "
                f"{input_shape[1]} x {input_shape[2]} pixels"
            )
        return (self.out_channels, *size)

    @np.errstate(over="ignore", invalid="ignore")
    def forward(self, x: Array) -> Array:
        """Return y, the sums of X = W' x, plus b, without the padding."""
        check_images(self, x, self.in_channels, self.weight.dtype)
        _, *size = self.output_shape(x.shape[1:])
        pixels = batch_last(x)  # the shape of x
        self.save(pixels)
        y = self._image(pixels, self._windows.padded_size(*size))
        if self.bias is not None:
            y += self.bias.value[:, None, None]
        vars(self)["_saved_shape"] = y.shape
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = W dX, and set the gradients of weight and bias."""
        return self._pixels(self._set(dy), self.weight.value)

    @np.errstate(over="ignore", invalid="ignore")
    def _set(self, dy: Array) -> Array:
        """Set dW = x dX' and db, the sums of dy; return the dy of all windows."""
        (pixels,) = self.saved()
        check_cotangent(self, dy, self._saved_shape, pixels.dtype)
        rows, columns = self._windows.span(*pixels.shape[2:])
        image = batch_last(self._windows.padded(dy))[:, :, :rows, :columns]
        self._learn(pixels, image)
        if self.bias is not None:
            np.sum(dy, axis=(0, 2, 3), out=self.bias.grad)
        return image
