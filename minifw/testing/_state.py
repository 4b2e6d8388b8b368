"""What a layer holds beside its parameters, and what a forward may change of it."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minifw._tools.generators import AnyGenerator, find_generators, load_state, state_of
from minifw.core.layer import Layer
from minifw.testing._equal import differing
from minifw.typing import Array

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
    """Return the random generators inside a thing, be it a layer or an optimizer."""
    return list(find_generators({"": thing}).values())


def generator_states(layer: Layer) -> list[Any]:
    """Return the state of every random generator inside the layer."""
    return [state_of(source) for source in random_sources(layer)]


HiddenState: TypeAlias = tuple[list[Any], list[Array], list[dict[str, Any]]]
"""What a forward may change: generators, buffers, and numbers such as a temperature."""


def hidden_state(layer: Layer) -> HiddenState:
    """Return a copy of what a forward may change, but for what it saves."""
    buffers = [buffer.copy() for _, buffer in layer.named_buffers()]
    plain = int, float, np.number  # but for flags
    numbers = [
        {k: v for k, v in vars(one).items() if isinstance(v, plain) and not isinstance(v, bool)}
        for one in every_layer(layer)
    ]
    return generator_states(layer), buffers, numbers


def put_back(layer: Layer, state: HiddenState, *, numbers: bool = True) -> None:
    """Undo what forwards have changed."""
    generators, buffers, kept = state
    for source, random in zip(random_sources(layer), generators, strict=True):
        load_state(source, random)
    for (_, buffer), value in zip(layer.named_buffers(), buffers, strict=True):
        buffer[...] = value
    for one, plain in zip(every_layer(layer), kept if numbers else (), strict=numbers):
        vars(one).update(plain)


def undoing(layer: Layer) -> Callable[[], None]:
    """Return a function that undoes what later forwards change, as `put_back` does, but faster."""
    sources = [(source, state_of(source)) for source in random_sources(layer)]
    buffers = [(buffer, buffer.copy()) for _, buffer in layer.named_buffers()]
    _, __, numbers = hidden_state(layer)
    held = list(zip(map(vars, every_layer(layer)), numbers, strict=True))

    def undo() -> None:
        for source, state in sources:
            load_state(source, state)
        for buffer, value in buffers:
            buffer[...] = value
        for attributes, plain in held:
            attributes.update(plain)

    return undo
