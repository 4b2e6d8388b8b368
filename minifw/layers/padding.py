"""A border around images."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from minifw._tools.checks import check_cotangent, check_images
from minifw._tools.numbers import check_finite_number, check_size, finite_in_both
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.layers._windows import Windows, check_image_shape
from minifw.typing import Array, Formulas, Shape

__all__ = ["Pad2D"]

Sides: TypeAlias = tuple[int, int, int, int]
"""Left, right, top, bottom."""

# What NumPy and ONNX call them.
MODES: dict[str, Any] = {
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def _sides(owner: str, name: str, padding: int | Sides) -> Sides:
    if not isinstance(padding, tuple | list):
        return (check_size(owner, name, padding, 0),) * 4
    if len(padding) != 4:
        raise ValueError(f"{owner} expects {name} to be one number or four, got {padding!r}")
    left, right, top, bottom = (check_size(owner, name, side, 0) for side in padding)
    return left, right, top, bottom


def _mode(owner: str, name: str, mode: str) -> str:
    if mode not in tuple(MODES):
        raise ValueError(f"{owner} expects {name} to be one of {[*MODES]}, got {mode!r}")
    return mode


class Pad2D(Layer):
    """Images get a border: of one value, or of copies of their pixels.

    With p pixels more on the left, pixel c of a row of n is, along each axis,

        constant     x[c - p] inside, else the value
        reflect      the border is a mirror image, without the pixel at the edge: 2 1 | 0 1 2
        replicate    the border repeats the edge: 0 0 | 0 1 2
        circular     the border is the other end: 1 2 | 0 1 2

    A pixel x gets the sum of dy over itself and its copies.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        The pixels added on each side: left, right, top, bottom.
    mode : "constant" (default), "reflect", "replicate" or "circular"
        What is added.
    value : float, default 0
        What "constant" adds.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, channels, height, width), larger than the border
        on each side for "reflect", and at least as large for "circular".

    Notes
    -----
    The order of the sides, and the modes, are as in PyTorch's ``functional.pad``; one
    class for its ``ZeroPad2d``, ``ConstantPad2d``, ``ReflectionPad2d``, ``ReplicationPad2d``
    and ``CircularPad2d``. A negative padding, which cuts off there, is refused.

    References
    ----------
    G. Liu et al., "Partial convolution based padding", 2018, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Pad2D
    >>> layer = Pad2D((1, 2, 0, 0), "reflect")
    >>> layer.forward(np.array([[[[1.0, 2.0, 3.0]]]]))
    array([[[[2., 1., 2., 3., 2., 1.]]]])
    >>> layer.backward(np.array([[[[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]]]))
    array([[[[2., 3., 1.]]]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} with a border",
        "dx": "{dy} without the border, and what it copied",
    }
    padding: Option[Sides] = Option(_sides, fixed=True)
    mode = Option(_mode)
    value = Option(finite_in_both(check_finite_number))

    def __init__(
        self,
        padding: int | Sides,
        mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
        value: float = 0.0,
    ) -> None:
        self.padding = padding  # type: ignore[assignment]  # four are made of one
        self.mode, self.value = mode, value

    @property
    def _windows(self) -> Windows:
        left, right, top, bottom = self.padding
        return Windows((1, 1), (1, 1), ((top, bottom), (left, right)))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (channels, height, width) with the border."""
        check_image_shape(self, input_shape)
        channels, height, width = input_shape
        rows, columns = map(max, self._windows.padding)
        spare = min(height - rows, width - columns)  # beyond the border
        if spare < {"reflect": 1, "circular": 0}.get(self.mode, spare):
            raise ValueError(
                f"{self!r} expects images that have the pixels of which their border is made, "
                f"got {height} x {width} pixels"
            )
        return (channels, *self._windows.padded_size(height, width))

    def forward(self, x: Array) -> Array:
        """Return x with a border."""
        check_images(self, x)
        self.output_shape(x.shape[1:])
        self.save(x)  # for its shape and dtype
        y = self._windows.padded(x, self.value)  # (batch, channels, padded height, padded width)
        y = x.copy("K") if y is x else y
        for border, source in self._copies(y):
            border[...] = source
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx: dy without the border, which is added to what it copied."""
        (x,) = self.saved()
        check_cotangent(self, dy, (len(x), *self.output_shape(x.shape[1:])), x.dtype)
        dimage = dy.copy("K")  # (batch, channels, padded height, padded width)
        for border, source in self._copies(dimage):  # rows and columns in either order
            np.add(source, border, out=source)
        return self._windows.cropped(dimage)

    def _copies(self, image: Array) -> Iterator[tuple[Array, Array]]:
        """Yield each row of the border with the row it copies, and then the columns, whole."""
        if self.mode == "constant":
            return
        for axis, (before, after) in zip((2, 3), self._windows.padding, strict=True):
            lines = image.swapaxes(0, axis)
            inside = np.arange(before, len(lines) - after)
            sources = np.pad(inside, (before, after), MODES[self.mode]).tolist()
            for place in (*range(before), *range(len(lines) - after, len(lines))):
                yield lines[place], lines[sources[place]]
