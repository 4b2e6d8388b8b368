"""A table of vectors, looked up by whole numbers."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minifw._tools.arrays import count_up
from minifw._tools.checks import check_cotangent, check_whole
from minifw._tools.loading import make_weight
from minifw._tools.numbers import check_dtype, check_size
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.initializers import Normal
from minifw.typing import RNG, Array, Formulas, Init, Shape

__all__ = ["Embedding"]

START_STD = 1.0  # of the weights: PyTorch's N(0, 1)


class Embedding(Layer):
    """Every whole number k of x is replaced by row k of a table: y[..., :] = W[x[...], :].

    It is the product of a one-hot vector with W, without the zeros. Given
    dy = dL/dy, a row of W gathers what comes from all places that looked it up,

        dW[k] = sum of dy[p] over the places p with x[p] = k,

    and a row that none did gets 0. As a function of whole numbers y has no
    derivative; ``backward`` returns zeros for dx.

    Parameters
    ----------
    num_embeddings : int
        The number of rows: x holds whole numbers from 0 to num_embeddings - 1.
    embedding_dim : int
        The length of each vector.
    padding_idx : int, optional
        A number that stands for "nothing here". Its row starts at 0, and its
        gradient is always 0, so training leaves it as it is. A negative one
        counts from the end.
    init : callable, default `Normal(1.0)`
        Makes the weight: called with its shape and a generator. The default is
        PyTorch's.
    dtype : float64 (default) or float32
        What the layer holds and computes in.
    rng : numpy.random.Generator, int or None, default None
        The source of the weight, or its seed; None takes fresh entropy.

    Attributes
    ----------
    weight : Parameter of shape (num_embeddings, embedding_dim)
        W, in the layout of PyTorch's ``Embedding.weight``.

    Raises
    ------
    TypeError
        By ``forward``, unless x is an array of an integer dtype. True and False
        are no numbers of rows, and neither is 1.0.
    ValueError
        By ``forward``, if x is empty, or holds a number that is below 0 or above
        the last row, naming the place.

    Notes
    -----
    x is (batch, ...), of any shape, and y is (batch, ..., embedding_dim). Whole
    numbers are a model's input, or come out of `Columns`. Which shape it gets is
    known from x alone: neighbours in a `Sequential` that do not fit are found
    by ``output_shape`` and ``forward``.

    A padding row that is not 0, say one that was loaded, is used as it is, as
    in PyTorch; its gradient is 0 by definition. To `minifw.testing.check_layer`,
    which compares with differences, that is a fault, if x holds padding_idx.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Embedding
    >>> layer = Embedding(3, 2, padding_idx=0)
    >>> layer.weight.value = [[0.0, 0.0], [1.0, 10.0], [2.0, 20.0]]
    >>> layer.forward(np.array([[2, 1, 2, 0]]))
    array([[[ 2., 20.],
            [ 1., 10.],
            [ 2., 20.],
            [ 0.,  0.]]])
    >>> layer.backward(np.ones((1, 4, 2)))
    array([[0., 0., 0., 0.]])
    >>> layer.weight.grad  # row 2 was looked up twice; row 0 is the padding
    array([[0., 0.],
           [1., 1.],
           [2., 2.]])
    >>> layer.forward(np.array([[2, 3]]))
    Traceback (most recent call last):
        ...
    ValueError: Embedding(3, 2, padding_idx=0) expects whole numbers from 0 to 2 in x, got 3 at \
index (0, 1)
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    takes_whole_numbers: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "the rows {x} of {weight}",
        "dx": "0",
        "weight": "sums of {dy} for each row",
    }

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        init: Init | None = None,
        dtype: object = np.float64,
        rng: RNG = None,
    ) -> None:
        rows = check_size("Embedding", "num_embeddings", num_embeddings)
        shape = (rows, check_size("Embedding", "embedding_dim", embedding_dim))
        self._padding_idx = _padding(padding_idx, rows)
        start = Normal(START_STD) if init is None else init
        weight = make_weight("Embedding", start, shape, check_dtype("Embedding", dtype), rng)
        self.weight = Parameter(weight)
        if self.padding_idx is not None:
            self.weight.value[self.padding_idx] = 0

    @property
    def num_embeddings(self) -> int:
        """The number of rows."""
        return self.weight.shape[0]

    @property
    def embedding_dim(self) -> int:
        """The length of each row."""
        return self.weight.shape[1]

    @property
    def padding_idx(self) -> int | None:
        """The row that stands for "nothing here", counted from the start."""
        return self._padding_idx

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (..., embedding_dim) for the shape (...) of one example."""
        return (*input_shape, self.embedding_dim)

    def forward(self, x: npt.NDArray[Any]) -> Array:
        """Return the rows of W that x names."""
        rows = self._checked(x)  # (batch, ...)
        self.save(rows)
        y: Array = self.weight.value.take(rows, axis=0)  # (batch, ..., embedding_dim)
        return y

    def backward(self, dy: Array) -> Array:
        """Return zeros of the shape of x, and set the gradient of weight."""
        self.backward_parameters(dy)
        return np.zeros_like(dy, shape=dy.shape[:-1])  # (batch, ...)

    def backward_parameters(self, dy: Array) -> None:
        """Set dW: row k gathers the rows of dy that came from row k."""
        rows: npt.NDArray[Any] = self.saved()[0]  # (batch, ...)
        width, grad = self.embedding_dim, self.weight.grad
        check_cotangent(self, dy, (*rows.shape, width), grad.dtype)
        grad[...] = 0
        # np.add.at adds single numbers three to four times faster than rows.
        at = rows.reshape(-1, 1) * width + count_up(width)  # (numbers in x, embedding_dim)
        np.add.at(grad.reshape(-1), at.reshape(-1), dy.reshape(-1))
        if self.padding_idx is not None:
            grad[self.padding_idx] = 0

    def _checked(self, x: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Return a copy of x as NumPy's own type of index, or raise unless it names rows."""
        check_whole(self, x)
        if x.min() < 0 or x.max() >= self.num_embeddings:
            outside = (x < 0) | (x >= self.num_embeddings)  # (batch, ...)
            place = tuple(int(i) for i in np.argwhere(outside)[0])
            raise ValueError(
                f"{self!r} expects whole numbers from 0 to {self.num_embeddings - 1} in x, got "
                f"{x[place]} at index {place}"
            )
        return x.astype(np.intp)


def _padding(index: int | None, rows: int) -> int | None:
    """Return padding_idx, counted from the start, or raise unless it names a row."""
    if index is None:
        return None
    row = check_size("Embedding", "padding_idx", index, least=-rows)
    if row >= rows:
        raise ValueError(f"Embedding expects padding_idx to be below {rows}, got {index!r}")
    return row % rows
