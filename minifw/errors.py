"""The two exceptions and the three warnings that are minifw's own.

Everything else is a built-in: ValueError for shapes and values, TypeError for
types and dtypes, RuntimeError for the order of calls.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "FileFormatError",
    "NonFiniteError",
    "SaturationWarning",
    "StaleArrayWarning",
    "TrainingWarning",
]


class FileFormatError(ValueError):
    """A file is not what it should be: damaged, cut off, of another kind, or made to do harm.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from minifw import FileFormatError, load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.npz")
    ...     _ = path.write_bytes(b"no model")
    ...     try:
    ...         load(path)
    ...     except FileFormatError:
    ...         print("it is no model")
    it is no model
    """


class NonFiniteError(FloatingPointError, ValueError):
    """A loss, a gradient or a prediction is NaN or infinite; the message says where.

    It is a ValueError, as every bad value is, and a FloatingPointError, as
    NumPy raises under ``np.errstate(all="raise")``.

    Attributes
    ----------
    rows : array of int, or None
        The rows of the batch in the data, where a `Trainer` raised it; the first row that is
        not finite, where `predict` or a `Predictor` did.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, MSELoss, NonFiniteError, Objective
    >>> objective = Objective(Dense(1, 1), MSELoss())
    >>> try:
    ...     objective.forward(np.array([[np.nan]]), np.array([[0.0]]))
    ... except NonFiniteError as error:
    ...     print(str(error).split(",")[0])
    the loss is not finite at step 0: the input x holds 1 NaN or infinite of 1 values
    """

    rows: "npt.NDArray[np.intp] | None" = None


class SaturationWarning(RuntimeWarning):
    """A probability rounded to 0 or 1 hides the gradient of a wrong prediction.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from minifw import BCELoss, SaturationWarning
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     loss = BCELoss()(np.array([[1.0]]), np.array([[0.0]]))
    >>> caught[0].category is SaturationWarning
    True
    """


class StaleArrayWarning(UserWarning):
    """An array taken from a parameter no longer follows that parameter.

    Examples
    --------
    >>> import warnings
    >>> from minifw import SGD, Dense, StaleArrayWarning
    >>> layer = Dense(2, 1)
    >>> weight = layer.weight.value
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     optimizer = SGD(layer.parameters(), lr=0.1)  # moves the parameters
    >>> caught[0].category is StaleArrayWarning, weight is layer.weight.value
    (True, False)
    """


class TrainingWarning(UserWarning):
    """Something keeps the network from learning, or may.

    Examples
    --------
    >>> import warnings
    >>> from minifw import TrainingWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", TrainingWarning)  # a training in here ends at once
    """
