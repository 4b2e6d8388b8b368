"""Which layer takes what another one makes, in containers that have lines."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from minifw._engine.composition import Line

Link: TypeAlias = tuple[str, Any]
"""A layer with its name."""


def neighbours(model: Any) -> Iterator[tuple[str, Any, Any, bool]]:
    """Yield each layer that takes what another one of its container makes.

    That is: its place, that other one, itself, and whether nobody else takes this value.
    """
    for name, container in model._all_layers():
        lines: Sequence[Line] = container._flow
        if not lines:
            continue
        makers = {value: line.layer for line in lines for value in line.makes}
        taken = Counter(value for line in lines for value in line.takes)
        taken.update(container.output_names)
        for line in lines:
            for value in line.takes:
                if value in makers:
                    yield _path(name, line), makers[value], line.layer, taken[value] == 1


def chains(layers: Sequence[Link]) -> Iterator[list[Link]]:
    """Yield the layers of each container in which each takes what the one before makes."""
    for name, container in layers:
        lines: Sequence[Line] = container._flow
        if lines and all(two.takes == one.makes for one, two in pairwise(lines)):
            yield [(_path(name, line), line.layer) for line in lines]


def entrance(layer: Any) -> Any:
    """Return the layer that takes the input first."""
    while layer._flow:
        layer = layer._flow[0].layer
    return layer


def _path(name: str, line: Line) -> str:
    return f"{name}.{line.place.rpartition(' ')[2]}".lstrip(".")  # of "layer 0", or "line h"
