"""Where the batches come from: arrays that are cut by rows, or an iterable of batches."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import describe
from minifw._tools.rows import Fields, Several, as_array, cast, cut
from minifw.typing import DType, Shape

# As many bytes of shuffled rows are gathered at once: in one call, and still in the cache
# when their batch is due.
BLOCK_BYTES = 2**16

Batch: TypeAlias = tuple[Any, Any, Any]
"""x, target, and the weights of the examples or None; tuples of several."""


class Casting(NamedTuple):
    """What the data are cast to, the dtype of the model; and which arrays there may be."""

    dtype: DType | None
    x: Fields
    y: Fields
    weight: Fields


class Table(Several):
    """x, y and the weights, side by side."""

    one_shot = False

    def __init__(self, owner: str, x: Any, y: Any, weight: Any, casting: Casting) -> None:
        dtype, *fields = casting
        given = zip((x, y, weight), fields, strict=True)
        super().__init__(owner, "data", [one.rows(owner, data, dtype) for data, one in given])
        self.rows = len(self)

    def facts(self) -> dict[str, Any]:
        """Return what has to be equal on all ranks of a job."""
        shapes = {part.name: f"{part.dtype} {shape_text(part.shape)}" for part in self.parts}
        return {"x": None, "y": None, "sample_weight": None, **shapes}

    def count(self, batch_size: int) -> int | None:
        """Return how many batches an epoch has."""
        return -(-self.rows // batch_size)

    def batches(
        self, batch_size: int, order: npt.NDArray[np.intp] | None = None, start: int = 0
    ) -> Iterator[Batch]:
        """Yield the batches from number `start` on; `order` is that of the rows."""
        if not all(part.in_memory for part in self.parts):
            per_block = batch_size  # a file is read a batch at a time
        elif order is None:
            # All at once: rows that follow each other are views.
            per_block = -(-self.rows // batch_size) * batch_size
        else:
            per_block = self._block(batch_size)
        done = start * batch_size
        for block in range(done - done % per_block, self.rows, per_block):
            stop = min(block + per_block, self.rows)
            rows = slice(block, stop) if order is None else order[block:stop]
            x, y, weight = self.take(rows)
            plain = type(x) is type(y) is np.ndarray and weight is None
            for begin in range(max(done - block, 0), stop - block, batch_size):
                part = slice(begin, begin + batch_size)
                # To call `cut` is a hundredth of a small step.
                yield (x[part], y[part], None) if plain else cut((x, y, weight), part)

    def _block(self, batch_size: int) -> int:
        """Return the rows of a block: whole batches, of some `BLOCK_BYTES`."""
        row = sum(part.take(slice(0, 1)).nbytes for part in self.parts)
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
        several = isinstance(batch, tuple | list)
        if not several or len(batch) not in (2, 3):
            got = f"a {type(batch).__name__} of {len(batch)}" if several else describe(batch)
            raise TypeError(
                f"{self._owner} expects every batch to be a pair (x, y) or a triple (x, y, "
                f"weight), got {got} as batch {index + 1}"
            )
        dtype, *fields = self._casting
        found: list[tuple[str, int]] = []

        def checked(name: str, data: Any, kept: str) -> Any:
            array = as_array(self._owner, name, data)
            if not array.ndim or array.dtype.kind not in "fiub":
                raise TypeError(
                    f"{self._owner} expects {name} of every batch to hold real numbers, got "
                    f"{describe(array)} in batch {index + 1}"
                )
            found.append((name, len(array)))
            return cast(array, dtype, kept)

        # Not as a Table, which costs a fifth of a small step, and refuses a batch of no rows.
        triple = zip(fields, (*batch, None), strict=False)
        x, y, weight = [one.each(self._owner, data, checked) for one, data in triple]
        for name, length in found:
            if length != found[0][1]:
                raise ValueError(
                    f"{self._owner} expects one row of {name} for each row of {found[0][0]}, got "
                    f"{length} and {found[0][1]} in batch {index + 1}"
                )
        return x, y, weight


Source: TypeAlias = Table | Stream


def source(owner: str, x: Any, y: Any, weight: Any, casting: Casting) -> Source:
    """Return the batches of the arguments of ``fit`` and ``evaluate``."""
    table = isinstance(x, np.ndarray | dict) or (isinstance(x, tuple) and len(casting.x.names) > 1)
    if y is not None or (table and casting.y.names[0][-1] == "?"):  # no target is needed
        return Table(owner, x, y, weight, casting)
    if table or not isinstance(x, Iterable):
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
        shapes = {part.name: part.shape for part in train.parts}
        for part in held.parts:
            like = shapes.get(part.name, part.shape)
            if part.shape[1:] != like[1:]:
                raise ValueError(
                    f"{owner} expects {part.name} of shape {shape_text(like)}, as in training, "
                    f"got {part.shape}"
                )
    return held


def shape_text(shape: Shape) -> str:
    """Return a shape whose first axis is the examples, such as "(examples, 3)"."""
    return f"({', '.join(['examples', *map(str, shape[1:])])}{',' if len(shape) == 1 else ''})"
