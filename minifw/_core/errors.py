"""The two exceptions and the two warnings that are minifw's own.

Everything else is a built-in: ValueError for shapes and values, TypeError for
types and dtypes, RuntimeError for the order of calls.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FileFormatError", "NonFiniteError", "SaturationWarning", "StaleArrayWarning"]


class FileFormatError(ValueError):
    """A file is not what it should be: damaged, cut off, of another kind, or made to do harm."""


class NonFiniteError(FloatingPointError, ValueError):
    """A loss or a gradient is NaN or infinite; the message says where it arose.

    It is a ValueError, as every bad value is, and a FloatingPointError, as
    NumPy raises under ``np.errstate(all="raise")``.

    Attributes
    ----------
    rows : array of int, or None
        The rows of the batch in the data, where a `Trainer` raised it.
    """

    rows: "npt.NDArray[np.intp] | None" = None


class SaturationWarning(RuntimeWarning):
    """A probability rounded to 0 or 1 hides the gradient of a wrong prediction."""


class StaleArrayWarning(UserWarning):
    """An array taken from a parameter no longer follows that parameter."""
