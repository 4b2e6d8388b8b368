"""Long vectors in blocks that stay in the processor's cache from one operation to the next."""

from collections.abc import Iterator
from typing import Any

from minifw.typing import Array

__all__ = ["BLOCK", "blocks"]

# An update is some ten operations on five vectors. Done one after the other on vectors longer than
# the cache, each operation fetches them from memory anew; done block by block, the first one does.
# tests/benchmarks/adam_blocks.py: of 16,384 to 65,536 elements the largest was quickest, since a
# call costs the same for any length.
BLOCK = 65_536


def blocks(scratch: tuple[Array, ...], *vectors: Array | None) -> Iterator[tuple[Any, ...]]:
    """Yield the vectors piece by piece, each time with as much of the scratch arrays before them.

    A vector that is None stays None in every piece. The pieces are views.
    """
    length = scratch[0].size
    size = next(vector.size for vector in vectors if vector is not None)
    if size <= length:
        yield *scratch, *vectors
        return
    for start in range(0, size, length):
        stop = min(start + length, size)
        pieces = [None if vector is None else vector[start:stop] for vector in vectors]
        yield *(s[: stop - start] for s in scratch), *pieces
