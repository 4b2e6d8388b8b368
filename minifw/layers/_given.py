"""What a layer with inputs that may be left out returns from ``backward``."""

from typing import Any

from minifw.typing import Array

__all__ = ["for_given"]


def for_given(given: tuple[object, ...], *gradients: Array | None) -> Array | Any:
    """Return a gradient for each input up to the last that ``forward`` was given.

    `given` are the inputs, or whatever is None where they were. There a gradient is None; of
    the first input alone it is the array.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw.layers._given import for_given
    >>> dx, dh = np.zeros(1), np.ones(1)
    >>> for_given((True, None, True), dx, None, dh), for_given((True, None, None), dx, None, dh)
    ((array([0.]), None, array([1.])), array([0.]))
    """
    count = len(given)
    while given[count - 1] is None:
        count -= 1
    if count == 1:
        return gradients[0]
    pairs = zip(gradients[:count], given, strict=False)
    return tuple(gradient if one is not None else None for gradient, one in pairs)
