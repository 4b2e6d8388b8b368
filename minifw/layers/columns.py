"""Some columns of a table."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import check_array, check_cotangent
from minifw._tools.numbers import check_flag, check_size
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.typing import Array, Formulas, Shape

__all__ = ["Columns"]


def _numbers(owner: str, name: str, columns: tuple[int, ...]) -> tuple[int, ...]:
    if not columns:
        raise ValueError(f"{owner} expects the number of at least one column, got none")
    return tuple(check_size(owner, name, column, least=0) for column in columns)


class Columns(Layer):
    """y holds some columns of a table x, in the order in which they are named.

    Column k of dx is the sum of those columns of dy that it went to, 0 if there is none.

    Parameters
    ----------
    *columns : int
        Their numbers, from 0.
    whole : bool, default False
        Whether the columns hold whole numbers, such as the numbers of categories. y is then
        of an integer dtype, for an `Embedding`: (batch, columns), of one column (batch,). As
        a function of whole numbers y has no derivative: dx is 0.

    Attributes
    ----------
    columns : tuple of int

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, features), in float64 or float32, and has all
        these columns; if `whole`, also unless they hold whole numbers, naming the first that
        is none.

    Notes
    -----
    scikit-learn's ``ColumnTransformer``, inside the model.

    References
    ----------
    C. Guo and F. Berkhahn, "Entity embeddings of categorical variables", 2016, for its use.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Columns, Embedding, Sequential
    >>> table = np.array([[0.0, 2.5, 7.0], [3.0, 1.5, 8.0]])
    >>> Columns(1, 2).forward(table)
    array([[2.5, 7. ],
           [1.5, 8. ]])
    >>> Columns(0, whole=True).forward(table)
    array([0, 3])
    >>> Sequential(Columns(0, whole=True), Embedding(4, 5)).output_shape((3,))
    (5,)
    >>> Columns(1, whole=True).forward(table)
    Traceback (most recent call last):
        ...
    ValueError: Columns(1, whole=True) expects whole numbers, got 2.5 in row 0, column 1
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "some columns of {x}",
        "dx": "{dy} in these columns, else 0",
    }
    columns: Option[tuple[int, ...]] = Option(_numbers, fixed=True)
    whole = Option(check_flag, fixed=True)

    def __init__(self, *columns: int, whole: bool = False) -> None:
        self.columns = columns
        self.whole = whole

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (columns,); of one that is whole ()."""
        if len(input_shape) != 1 or input_shape[0] <= max(self.columns):
            raise ValueError(
                f"{self!r} expects examples of shape (features,), at least "
                f"{max(self.columns) + 1}, got {input_shape}"
            )
        count = len(self.columns)
        return () if self.whole and count == 1 else (count,)

    def forward(self, x: Array) -> npt.NDArray[Any]:
        """Return the columns."""
        check_array(self, "x", x)
        shape = self.output_shape(x.shape[1:])
        self.save(x)  # for its shape and dtype
        y = x[:, self.columns]  # (batch, columns)
        return self._as_whole(y).reshape(len(x), *shape) if self.whole else y

    def backward(self, dy: Array) -> Array:
        """Return dx: dy in these columns, else 0; of whole numbers 0."""
        (x,) = self.saved()
        dx = np.zeros_like(x)
        if not self.whole:
            check_cotangent(self, dy, (len(x), len(self.columns)), x.dtype)
            for place, column in enumerate(self.columns):
                dx[:, column] += dy[:, place]
        return dx

    def _as_whole(self, y: Array) -> npt.NDArray[np.intp]:
        """Return the numbers in an integer dtype, or raise unless they are whole."""
        with np.errstate(invalid="ignore"):  # NaN and infinity are none, which is found below
            whole = y.astype(np.intp)
        if (whole != y).any():
            row, place = np.argwhere(whole != y)[0]
            raise ValueError(
                f"{self!r} expects whole numbers, got {y[row, place]} in row {row}, column "
                f"{self.columns[place]}"
            )
        return whole
