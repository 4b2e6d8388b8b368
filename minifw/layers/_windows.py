"""The windows that a kernel visits on a batch of images, as one strided view.

Convolution and pooling read through it, and their backward adds through it. What they make
lies in memory with the examples last, (channels, height, width, batch), as a batch of `Dense`
lies by columns: the same pixel of all examples is one run, and a row of a small image with all
examples a long one, where the row alone would be copied a few numbers at a time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minifw._tools.numbers import check_size
from minifw.typing import Array, Shape

__all__ = ["Pair", "Windows", "batch_last", "check_image_shape", "pair", "single", "taps"]

LINES = 8  # of a cache, which hold numbers that lie a power of two apart: 8 in most processors

Pair: TypeAlias = tuple[int, int]
"""Of rows and columns, in this order: a height and a width."""


def pair(owner: str, name: str, value: int | Pair, least: int = 1) -> Pair:
    """Return (value, value) for one number, or the two that were given."""
    if not isinstance(value, tuple | list):
        both = check_size(owner, name, value, least)
        return both, both
    if len(value) != 2:
        raise ValueError(f"{owner} expects {name} to be one number or two, got {value!r}")
    rows, columns = value
    return check_size(owner, name, rows, least), check_size(owner, name, columns, least)


def single(value: Any) -> Any:
    """Return one number for several that are equal, as 3 for (3, 3); else what was given."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def check_image_shape(owner: object, shape: Shape, channels: int | None = None) -> None:
    """Raise unless examples of this shape are (channels, height, width)."""
    if len(shape) != 3 or channels not in (None, shape[0]):
        wanted = "channels" if channels is None else channels
        raise ValueError(
            f"{owner!r} expects examples of shape ({wanted}, height, width), got {shape}"
        )


class Windows(NamedTuple):
    """Where the windows of a kernel lie.

    Along an axis of n pixels there are

        floor((n + before + after - dilation (kernel - 1) - 1) / stride) + 1.

    Attributes
    ----------
    kernel, stride, dilation : Pair
    padding : pair of Pair
        The pixels added before and after the rows, and before and after the columns.
    """

    kernel: Pair
    stride: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair = (1, 1)

    @property
    def extent(self) -> Pair:
        """The height and width that one window spans."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    def span(self, down: int, across: int) -> Pair:
        """Return the height and width that so many windows span."""
        (eh, ew), (sh, sw) = self.extent, self.stride
        return sh * (down - 1) + eh, sw * (across - 1) + ew

    def padded_size(self, height: int, width: int) -> Pair:
        """Return the size of an image with its padding."""
        rows, columns = self.padding
        return height + sum(rows), width + sum(columns)

    def output_size(self, owner: object, image: Shape) -> Pair:
        """Return how many windows fit into (..., height, width), down and across."""
        (eh, ew), (sh, sw) = self.extent, self.stride
        height, width = self.padded_size(*image[-2:])
        if eh > height or ew > width:
            raise ValueError(
                f"{owner!r} expects images that its kernel fits into, got {image[-2]} x "
                f"{image[-1]} pixels: the kernel spans {eh} x {ew}, larger than the padded "
                f"image of {height} x {width}"
            )
        return (height - eh) // sh + 1, (width - ew) // sw + 1

    def padded(self, x: Array, fill: float = 0.0) -> Array:
        """Return x with `fill` around it; x itself if there is no padding."""
        if self.padding == ((0, 0), (0, 0)):
            return x
        batch, channels, *size = x.shape
        shape = (channels, *self.padded_size(*size), batch)
        memory = np.full_like(x, fill, order="C", shape=shape)
        image = memory.transpose(3, 0, 1, 2)  # (batch, channels, padded height, padded width)
        _copy(x, self.cropped(image))
        return image

    def cropped(self, image: Array) -> Array:
        """Return a view of what lies inside the padding."""
        (top, bottom), (left, right) = self.padding
        height, width = image.shape[2:]
        return image[:, :, top : height - bottom, left : width - right]

    def around(self, pixels: Array) -> Array:
        """Return the pixels, which windows of stride 1 gave, with so many zeros around.

        A window at each place of it holds what the windows gave that one pixel of the image is
        in, and zeros where no window is: of the pixels that are no padding, in their order.
        """
        rows, columns = ((e - 1, e - 1) for e in self.extent)
        return self.cropped(self._replace(padding=(rows, columns)).padded(pixels))

    def view(self, image: Array) -> Array:
        """Return the windows as a view, (batch, channels, kh, kw, windows down, and across).

        Pixels in several windows are there several times. One [:, :, i, j] has
        each pixel once, and may be added to.
        """
        (sh, sw), (dh, dw) = self.stride, self.dilation
        every = sliding_window_view(image, self.extent, axis=(2, 3), writeable=True)
        chosen: Array = every[:, :, ::sh, ::sw, ::dh, ::dw]
        return chosen.transpose(0, 1, 4, 5, 2, 3)

    def runs(self, image: Array) -> Array:
        """Return the windows as a view, (channels, kh, kw, windows down, run), of stride 1 across.

        A run is what one place of the kernel sees in a row of all examples.
        """
        (eh, ew), (dh, dw), sh = self.extent, self.dilation, self.stride[0]
        batch, channels, height, width = image.shape
        rows = image.transpose(1, 2, 3, 0).reshape(channels, height, width * batch)
        every = sliding_window_view(rows, (eh, (width - ew + 1) * batch), axis=(1, 2))
        return every[:, ::sh, :: dw * batch, ::dh].transpose(0, 3, 2, 1, 4)

    def along(self, image: Array, axis: int) -> Iterator[Array]:
        """Yield what each row (axis 2) or each column (axis 3) of the kernel sees, as views.

        What may be done row by row and then column by column needs kh + kw steps in place
        of kh kw, and the numbers of a step lie closer together.
        """
        kernel, stride, dilation, extent = (
            both[axis - 2] for both in (self.kernel, self.stride, self.dilation, self.extent)
        )
        last = image.shape[axis] - extent
        for start in range(0, kernel * dilation, dilation):
            places = [slice(None)] * image.ndim
            places[axis] = slice(start, start + last + 1, stride)
            yield image[tuple(places)]


def batch_last(image: Array) -> Array:
    """Return the image with the examples last in memory; itself if they are."""
    laid_out = image.transpose(1, 2, 3, 0)
    if laid_out.flags.c_contiguous:
        return image
    memory = np.empty_like(image, order="C", shape=laid_out.shape)
    copied = memory.transpose(3, 0, 1, 2)
    _copy(image, copied)
    return copied


def _copy(images: Array, to: Array) -> None:
    """Copy images to where the examples lie last; those in C order a few at a time.

    A pixel of all of them often falls on the same lines of the cache: 64 images of 64 channels
    of 16 x 16 pixels take 1.6 ms in place of 4.1.
    """
    batch = len(images)
    few = batch if images.strides[0] <= images.strides[-1] else LINES
    for start in range(0, batch, few):
        to[start : start + few] = images[start : start + few]


def taps(windows: Array) -> Iterator[Array]:
    """Yield what each position of the kernel sees, row by row: (batch, channels, down, across)."""
    for i in range(windows.shape[2]):
        for j in range(windows.shape[3]):
            yield windows[:, :, i, j]
