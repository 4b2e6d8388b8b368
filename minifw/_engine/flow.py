"""Which layer takes what another one makes, in containers that have lines."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from minifw._engine.composition import Line

Link: TypeAlias = tuple[str, Any]
"""A layer with its name."""


def neighbours(model: Any) -> Iterator[tuple[str, Any, Any, bool]]:
    """Yield each layer that takes what another one makes, in one container or at the ends of two.

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
                    place, layer = unrolled(_path(name, line), line.layer)[0]
                    yield place, unrolled("", makers[value])[-1][1], layer, taken[value] == 1


def chains(layers: Sequence[Link]) -> Iterator[list[Link]]:
    """Yield each row of layers that take what the one before makes, if it is in no longer one."""
    seen = set[str]()
    for name, layer in layers:  # a container comes before what is in it
        found = unrolled(name, layer)
        if len(found) > 1 and found[0][0] not in seen:
            yield found
        seen.update(place for place, _ in found)


def unrolled(name: str, layer: Any) -> list[Link]:
    """Return the layers of a chain, and of the chains in it; of anything else, itself."""
    lines: Sequence[Line] = layer._flow
    if not lines or any(two.takes != one.makes for one, two in pairwise(lines)):
        return [(name, layer)]
    return [link for line in lines for link in unrolled(_path(name, line), line.layer)]


def entrance(layer: Any) -> Any:
    """Return the layer that takes the input first."""
    while layer._flow:
        layer = layer._flow[0].layer
    return layer


def _path(name: str, line: Line) -> str:
    return f"{name}.{line.place.rpartition(' ')[2]}".lstrip(".")  # of "layer 0", or "line h"
