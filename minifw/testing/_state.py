"""What a layer holds beside its parameters, and what a forward may change of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minifw._tools.generators import AnyGenerator, find_generators, load_state, state_of
from minifw.core.layer import Layer
from minifw.testing._equal import alike, differing
from minifw.testing._report import Failure

UNLIKELY = 1_690_428_537  # a seed that nobody sets
NUMBERS = np.ndarray | np.generic | float | int


def every_layer(layer: Layer) -> list[Layer]:
    """Return a layer and all inside it."""
    return [one for _, one in layer._all_layers()]


def changed(layer: Layer, other: Layer, *, kinds: Any = object) -> list[str]:
    """Return the attributes, of nested layers too, in which two layers differ."""
    pairs = zip(layer._all_layers(), every_layer(other), strict=True)
    return sorted(
        f"{name}.{attribute}".lstrip(".")
        for (name, one), twin in pairs
        for attribute in differing(one, twin)
        if isinstance(vars(one).get(attribute), kinds) and not attribute.startswith("_saved")
    )


def random_sources(thing: object) -> list[AnyGenerator]:
    """Return the random generators inside a layer, an optimizer or another object."""
    return list(find_generators({"": thing}).values())


@contextmanager
def drawing_by_itself(method: str) -> Iterator[None]:
    """Within, find a draw from NumPy's global generator, which `quiet` restores, or a seed."""
    np.random.seed(UNLIKELY)  # noqa: NPY002
    before = np.random.get_state()  # noqa: NPY002
    yield
    if not alike(before, np.random.get_state()):  # noqa: NPY002
        raise Failure(
            f"{method} draws from NumPy's global generator, np.random, or seeds it, which belongs "
            "to the whole program: make self.rng = np.random.default_rng(rng) in __init__, and "
            "draw from that"
        )


def generator_states(layer: Layer) -> list[Any]:
    """Return the state of every random generator inside the layer."""
    return [state_of(source) for source in random_sources(layer)]


def undoing(
    layer: Layer, into: Layer | None = None, *, numbers: bool = True
) -> Callable[[], None]:
    """Return a function that undoes what later forwards change, but for what they save.

    That is the generators, the buffers, and numbers such as a temperature. It gives all to another
    layer if that is given.
    """
    held = layer if into is None else into
    states = list(zip(random_sources(held), generator_states(layer), strict=True))
    buffers = [buffer.copy() for _, buffer in layer.named_buffers()]
    kinds = int, float, np.number  # but for flags
    plain = [
        {k: v for k, v in vars(one).items() if isinstance(v, kinds) and not isinstance(v, bool)}
        for one in (every_layer(layer) if numbers else ())
    ]
    kept = list(zip(map(vars, every_layer(held)), plain, strict=numbers))

    def undo() -> None:  # looked up once: it runs before each of thousands of forwards
        for source, state in states:
            load_state(source, state)
        named = held.named_buffers() if buffers else ()  # a forward may put another array there
        for (_, buffer), value in zip(named, buffers, strict=True):
            buffer[...] = value
        for attributes, before in kept:
            attributes.update(before)

    return undo
