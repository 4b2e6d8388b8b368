"""Where the batches come from: arrays that are cut by rows, or an iterable of batches."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw._engine.reasons import axis_fix
from minifw._tools.checks import describe, weigh
from minifw._tools.rows import Fields, Rows, Several, as_array, cast, cut, evenly, shape_text
from minifw.typing import DType

SAMPLE = 16  # rows that a checksum looks at: data that were made in another way differ in all
# As many bytes of shuffled rows are gathered at once: in one call, and still in the cache
# when their batch is due.
BLOCK_BYTES = 2**16

Batch: TypeAlias = tuple[Any, Any, Any]
"""x, target, and the weights of the examples or None; tuples of several."""


class Cuts(NamedTuple):
    """How rows are cut into batches."""

    size: int  # the rows of a batch; of a table alone, as all of it
    drop_last: bool = False  # whether a last batch of fewer rows is left out
    least: int = 1  # a last batch of fewer rows joins the one before


class Pass(NamedTuple):
    """A pass through the data, or what is left of one."""

    cuts: Cuts
    order: npt.NDArray[np.intp] | None = None  # of the rows, if it is another than theirs
    start: int = 0  # the number of the first batch
    passed: Callable[[Batch], None] | None = None  # gets the one before, of an iterable


def checksum(data: Any) -> int:
    """Return a checksum of an array, or of all arrays in a tuple; of None, too."""
    if isinstance(data, tuple):
        return zlib.crc32(repr([checksum(one) for one in data]).encode())
    return 0 if data is None else zlib.crc32(np.ascontiguousarray(data).ravel().view("u1").data)


class Casting(NamedTuple):
    """What the data are cast to, the dtype of the model; and which arrays there may be."""

    dtype: DType | None
    x: Fields
    y: Fields
    weight: Fields


class Table(Several):
    """x, y and the weights, side by side."""

    one_shot = False
    stream = None

    def __init__(self, owner: str, x: Any, y: Any, weight: Any, casting: Casting) -> None:
        dtype, *fields = casting
        given = zip((x, y, weight), fields, strict=True)
        super().__init__(owner, "data", [one.rows(owner, data, dtype) for data, one in given])
        self.rows = len(self)
        y = self.columns[1]
        for part, kept in zip(getattr(y, "columns", (y,)), casting.y.kept, strict=False):
            if kept and isinstance(part, Rows) and part.dtype == bool and len(part.shape) == 1:
                raise TypeError(
                    f"{owner} expects {part.name} to hold labels, which are whole numbers, got "
                    f"truth values; use np.asarray({part.name.rpartition(' ')[2]}, int)"
                )
        for part in getattr(self.columns[2], "parts", ()):
            if part.in_memory:  # else the batches are looked at, one by one
                weigh(owner, part.take(slice(None)), part.name)

    def facts(self) -> dict[str, Any]:
        """Return what has to be equal on all ranks of a job."""
        shapes = {part.name: f"{part.dtype} {shape_text(part.shape)}" for part in self.parts}
        return {"x": None, "y": None, "sample_weight": None, **shapes}

    def checksum(self) -> str:
        """Return a checksum of some of the rows."""
        return f"{checksum(self.take(evenly(self.rows, SAMPLE))):08x}"

    def count(self, cuts: Cuts) -> int:
        """Return how many batches a pass has."""
        whole, rest = divmod(self.rows, cuts.size)
        alone = rest < cuts.least and whole  # the rest is too short to be a batch
        return whole if cuts.drop_last or alone or not rest else whole + 1

    def batches(self, left: Pass) -> Iterator[Batch]:
        """Yield the batches of a pass."""
        cuts, order, start, _ = left
        size = cuts.size
        last = self.count(cuts) * size  # from here on there is no batch, but rows of the last
        end = last if cuts.drop_last else self.rows
        if not all(part.in_memory for part in self.parts):
            per_block = size  # a file is read a batch at a time
        elif order is None:
            per_block = last  # all at once: rows that follow each other are views
        else:
            per_block = self._block(size)
        done = start * size
        for block in range(done - done % per_block, last, per_block):
            stop = end if block + per_block >= last else block + per_block
            rows = slice(block, stop) if order is None else order[block:stop]
            x, y, weight = self.take(rows)
            plain = type(x) is type(y) is np.ndarray and weight is None
            for begin in range(max(done - block, 0), min(per_block, last - block), size):
                part = slice(begin, stop - block if block + begin + size >= last else begin + size)
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
        self.owner, self._batches, self._casting = owner, batches, casting
        self.one_shot = iter(batches) is batches
        self._given = 0  # in all passes
        # What may draw its batches at random: no list does.
        self.stream = None if isinstance(batches, list | tuple) else batches

    def facts(self) -> dict[str, Any]:
        """Return what has to be equal on all ranks of a job: how many batches, if it is known."""
        return {"x": f"an iterable of {self.count(Cuts(1)) or 'some'} batches"}

    def checksum(self) -> None:
        """Return nothing: its batches may differ from pass to pass."""

    def count(self, cuts: Cuts) -> int | None:
        """Return how many batches a pass has, if the iterable says so."""
        del cuts
        return len(self._batches) if isinstance(self._batches, Sized) else None

    def batches(self, left: Pass) -> Iterator[Batch]:
        """Yield the batches of a pass, as they come."""
        _, _, start, passed = left
        index = -1
        for index, batch in enumerate(self._batches):
            self._given += 1
            if index >= start:
                yield self._checked(batch, index)
            elif index == start - 1 and passed is not None:
                passed(self._checked(batch, index))
        if index < 0:
            raise ValueError(
                f"{self.owner} expects at least one batch, but the iterable gave none"
                f"{f' after the first {self._given}' * (self._given > 0)}; a generator can be run "
                "through only once"
            )

    def _checked(self, batch: Any, index: int) -> Batch:
        several = isinstance(batch, tuple | list)
        if not several or len(batch) not in (2, 3):
            got = f"a {type(batch).__name__} of {len(batch)}" if several else describe(batch)
            raise TypeError(
                f"{self.owner} expects every batch to be a pair (x, y) or a triple (x, y, "
                f"weight), got {got} as batch {index + 1}"
            )
        dtype, *fields = self._casting
        found: list[tuple[str, int]] = []

        def checked(name: str, data: Any, kept: str) -> Any:
            array = as_array(self.owner, name, data)
            if not array.ndim or array.dtype.kind not in "fiub":
                raise TypeError(
                    f"{self.owner} expects {name} of every batch to hold real numbers, got "
                    f"{describe(array)} in batch {index + 1}"
                )
            found.append((name, len(array)))
            return cast(array, dtype, kept)

        # Not as a Table, which costs a fifth of a small step, and refuses a batch of no rows.
        triple = zip(fields, (*batch, None), strict=False)
        x, y, weight = [one.each(self.owner, data, checked) for one, data in triple]
        for name, length in found:
            if length != found[0][1]:
                raise ValueError(
                    f"{self.owner} expects one row of {name} for each row of {found[0][0]}, got "
                    f"{length} and {found[0][1]} in batch {index + 1}"
                )
        return x, y, weight


Source: TypeAlias = Table | Stream


def source(owner: str, x: Any, y: Any, weight: Any, casting: Casting) -> Source:
    """Return the batches of the arguments of ``fit`` and ``evaluate``."""
    # Of pandas, polars and SciPy, too.
    table = isinstance(x, np.ndarray | dict) or hasattr(x, "to_numpy") or hasattr(x, "tocsr")
    table = table or (isinstance(x, tuple) and len(casting.x.names) > 1)
    if y is not None or (table and casting.y.names[0][-1] == "?"):  # no target is needed
        return Table(owner, x, y, weight, casting)
    if table or not isinstance(x, Iterable):
        fix = f"; call it: {x.__name__}()" if hasattr(x, "__name__") else ""
        raise TypeError(
            f"{owner} expects x and y, or an iterable of batches (x, y) alone, got "
            f"{describe(x)} without y{fix}"
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
        raise TypeError(
            f"{owner} expects data (x, y), got {validation!r}; split the data first, with "
            "minifw.datasets.split"
        )
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
                    f"got {shape_text(part.shape)}{axis_fix(part.name, part.shape, like)}"
                )
    return held
