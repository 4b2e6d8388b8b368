"""Where the batches come from: arrays that are cut by rows, or an iterable of batches."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import describe
from minifw._tools.rows import Rows, as_array, cast
from minifw.typing import Array, DType, Shape, Target

__all__ = ["Batch", "Casting", "Source", "Stream", "Table", "held_out", "shape_text", "source"]

# As many bytes of shuffled rows are gathered at once: in one call, and still in the cache
# when their batch is due.
BLOCK_BYTES = 2**16

Batch: TypeAlias = tuple[Array, Target, Array | None]
"""x, target, and the weights of the examples or None."""


class Casting(NamedTuple):
    """What the data are cast to: the dtype of the model; whether whole numbers are meant."""

    dtype: DType | None
    whole_x: bool
    labels: bool


class Table:
    """Arrays of one length, side by side."""

    one_shot = False

    def __init__(self, owner: str, x: Any, y: Any, weight: Any, casting: Casting) -> None:
        dtype = casting.dtype
        self.x = Rows(owner, "x", x, dtype, whole=casting.whole_x)
        self.y = Rows(owner, "y", y, dtype, whole=casting.labels)
        columns = [self.x, self.y]
        if weight is not None:
            columns.append(Rows(owner, "sample_weight", weight, dtype))
            if len(columns[2].shape) != 1:
                raise ValueError(
                    f"{owner} expects sample_weight to be one number for each example, of shape "
                    f"({len(self.x)},), got {columns[2].shape}; use sample_weight.ravel()"
                )
        for name, column in zip(("y", "sample_weight"), columns[1:], strict=False):
            if len(column) != len(self.x):
                raise ValueError(
                    f"{owner} expects one row of {name} for each row of x, got {len(column)} and "
                    f"{len(self.x)}{_transposed(column, self.x)}"
                )
        self._columns = columns
        self.rows = len(self.x)

    def facts(self) -> dict[str, Any]:
        """Return what has to be equal on all ranks of a job."""
        named = zip(("x", "y", "sample_weight"), self._columns, strict=False)
        shapes = {name: f"{column.dtype} {shape_text(column.shape)}" for name, column in named}
        return {"x": None, "y": None, "sample_weight": None, **shapes}

    def count(self, batch_size: int) -> int | None:
        """Return how many batches an epoch has."""
        return -(-self.rows // batch_size)

    def batches(
        self, batch_size: int, order: npt.NDArray[np.intp] | None = None, start: int = 0
    ) -> Iterator[Batch]:
        """Yield the batches from number `start` on; `order` is that of the rows."""
        if not all(column.in_memory for column in self._columns):
            per_block = batch_size  # a file is read a batch at a time
        elif order is None:
            # All at once: rows that follow each other are views.
            per_block = -(-self.rows // batch_size) * batch_size
        else:
            per_block = self._block(batch_size)
        first = start * batch_size
        for block in range(first - first % per_block, self.rows, per_block):
            stop = min(block + per_block, self.rows)
            rows = slice(block, stop) if order is None else order[block:stop]
            taken: list[Any] = [column.take(rows) for column in self._columns]
            x, y, weight = (*taken, None)[:3]
            for begin in range(max(first - block, 0), stop - block, batch_size):
                part = slice(begin, begin + batch_size)
                yield x[part], y[part], None if weight is None else weight[part]

    def _block(self, batch_size: int) -> int:
        """Return the rows of a block: whole batches, of some `BLOCK_BYTES`."""
        row = self.x.take(slice(0, 1)).nbytes
        return max(1, BLOCK_BYTES // max(1, row * batch_size)) * batch_size


class Stream:
    """An iterable of batches, each a pair (x, y) or a triple (x, y, weight)."""

    rows = None

    def __init__(self, owner: str, batches: Iterable[Any], casting: Casting) -> None:
        self._owner, self._batches, self._casting = owner, batches, casting
        self.one_shot = iter(batches) is batches

    def facts(self) -> dict[str, Any]:
        """Return what has to be equal on all ranks of a job: how many batches, if it is known."""
        return {"x": f"an iterable of {self.count(1) or 'some'} batches"}

    def count(self, batch_size: int) -> int | None:
        """Return how many batches an epoch has, if the iterable says so."""
        del batch_size
        return len(self._batches) if isinstance(self._batches, Sized) else None

    def batches(
        self, batch_size: int, order: npt.NDArray[np.intp] | None = None, start: int = 0
    ) -> Iterator[Batch]:
        """Yield the batches from number `start` on, as they come."""
        del batch_size, order
        index = -1
        for index, batch in enumerate(self._batches):
            if index >= start:
                yield self._checked(batch, index)
        if index < 0:
            raise ValueError(
                f"{self._owner} expects at least one batch, but the iterable gave none; a "
                "generator can be run through only once"
            )

    def _checked(self, batch: Any, index: int) -> Batch:
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise TypeError(
                f"{self._owner} expects every batch to be a pair (x, y) or a triple (x, y, "
                f"weight), got {_contents(batch)} as batch {index + 1}"
            )
        dtype, whole_x, labels = self._casting
        x, y = as_array(self._owner, "x", batch[0]), as_array(self._owner, "y", batch[1])
        weight = None
        if len(batch) == 3 and batch[2] is not None:
            weight = as_array(self._owner, "weight", batch[2])
        for name, array in (("x", x), ("y", y), ("weight", weight)):
            if array is not None and (not array.ndim or array.dtype.kind not in "fiub"):
                raise TypeError(
                    f"{self._owner} expects {name} of every batch to hold real numbers, got "
                    f"{describe(array)} in batch {index + 1}"
                )
            if array is not None and len(array) != len(x):
                raise ValueError(
                    f"{self._owner} expects one row of {name} for each row of x, got {len(array)} "
                    f"and {len(x)} in batch {index + 1}"
                )
        return (
            cast(x, dtype, whole=whole_x),
            cast(y, dtype, whole=labels),
            None if weight is None else cast(weight, dtype),
        )


Source: TypeAlias = Table | Stream


def source(owner: str, x: Any, y: Any, weight: Any, casting: Casting) -> Source:
    """Return the batches of the arguments of ``fit`` and ``evaluate``."""
    if y is not None:
        return Table(owner, x, y, weight, casting)
    if isinstance(x, np.ndarray) or not isinstance(x, Iterable):
        raise TypeError(
            f"{owner} expects x and y, or an iterable of batches (x, y) alone, got "
            f"{describe(x)} without y"
        )
    if weight is not None:
        raise TypeError(
            f"{owner} takes sample_weight with arrays; an iterable yields it in its batches, as "
            "(x, y, weight)"
        )
    return Stream(owner, x, casting)


def held_out(
    owner: str, validation: Any, casting: Casting, train: Source, epochs: int
) -> Source | None:
    """Return the batches of ``fit(validation=...)``, or raise unless they are like `train`."""
    if validation is None:
        return None
    owner = f"{owner}(validation=...)"
    if isinstance(validation, int | float):
        raise TypeError(f"{owner} expects data (x, y), got {validation!r}; split the data first")
    pair = isinstance(validation, tuple) and len(validation) in (2, 3)
    x, y, *weight = validation if pair else (validation, None)
    held = source(owner, x, y, weight[0] if weight else None, casting)
    if held.one_shot and epochs > 1:
        raise ValueError(
            f"{owner} expects batches that it can go through after every epoch, got "
            f"{describe(x)}, which gives them once"
        )
    if isinstance(held, Table) and isinstance(train, Table):
        for name, mine, like in (("x", held.x, train.x), ("y", held.y, train.y)):
            if mine.shape[1:] != like.shape[1:]:
                raise ValueError(
                    f"{owner} expects {name} of shape {shape_text(like.shape)}, as in training, "
                    f"got {mine.shape}"
                )
    return held


def shape_text(shape: Shape) -> str:
    """Return a shape whose first axis is the examples, such as "(examples, 3)"."""
    return f"({', '.join(['examples', *map(str, shape[1:])])}{',' if len(shape) == 1 else ''})"


def _transposed(column: Rows, x: Rows) -> str:
    """Return the fix where there is one example per column."""
    if len(x.shape) == 2 and x.shape[1] in (len(column), *column.shape[1:2]):
        return "; one example per row: x.T" + (", y.T" if len(column.shape) == 2 else "")
    return ""


def _contents(batch: Any) -> str:
    if isinstance(batch, tuple | list):
        return f"a {type(batch).__name__} of {len(batch)}"
    return describe(batch)
