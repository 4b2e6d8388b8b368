"""The lines of a Graph: what each takes and makes, read off what the user wrote, or refused."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from minifw._engine.composition import Line, required
from minifw._engine.members import is_layer
from minifw._tools.checks import describe


def listed(names: Sequence[str]) -> str:
    """Return names as a message shows them."""
    return f"({', '.join(names)})"


def checked_inputs(inputs: tuple[Any, ...], lines: Mapping[str, Any]) -> tuple[str, ...]:
    for name in inputs:
        if not isinstance(name, str):
            fix = f"; give the layer a name: Graph(..., h={name!r})" if is_layer(name) else ""
            raise TypeError(f"Graph expects names of inputs, got {describe(name)}{fix}")
    if not inputs:
        raise ValueError('Graph expects the name of at least one input, got none; Graph("x", ...)')
    if not lines:
        raise ValueError("Graph expects at least one line, such as h=Dense(2, 3), got none")
    for name, count in Counter([*inputs, *lines]).items():
        if not name.isidentifier():
            raise ValueError(f"Graph expects names to be identifiers, got {name!r}")
        if count > 1:
            raise ValueError(f"Graph expects every name once, got {name!r} twice")
    return inputs


def checked_lines(
    inputs: tuple[str, ...],
    names: tuple[str, ...],
    layers: tuple[Any, ...],
    takes: tuple[tuple[Any, ...] | None, ...],
) -> list[Line]:
    """Return the lines, or raise unless each takes values above, and as many as its layer."""
    lines: list[Line] = []
    several: dict[str, tuple[str, ...]] = {}  # of each layer of several outputs, their values
    values, above = list(inputs), inputs[0] if len(inputs) == 1 else None
    for name, layer, given in zip(names, layers, takes, strict=True):
        place = f"line {name}"
        if not is_layer(layer):
            fix = f"; write {layer.__name__}(...)" if isinstance(layer, type) else ""
            raise TypeError(f"Graph: {place} expects a layer, got {describe(layer)}{fix}")
        if given is None and above is None:
            raise ValueError(
                f"Graph: {place} is the first, and the inputs are {listed(inputs)}; say which of "
                f'them it takes: {name}=({layer!r}, "{inputs[0]}")'
            )
        wanted = _placed(place, layer, (above,) if given is None else given)
        for value in wanted:
            if value in several:
                raise ValueError(
                    f"Graph: {place} takes {value}, which is several values; take one of "
                    f"{listed(several[value])}"
                )
            if value is not None and value not in values:
                raise ValueError(
                    f"Graph: {place} takes {value!r}, which is not above it; there are "
                    f"{listed(values)}"
                )
        makes: tuple[str, ...] = (name,)
        if len(layer.output_names) > 1:
            makes = several[name] = tuple(f"{name}.{one}" for one in layer.output_names)
        lines.append(Line(place, layer, wanted, makes))
        values += makes
        above = name
    return lines


def _placed(place: str, layer: Any, given: tuple[Any, ...]) -> tuple[str | None, ...]:
    """Return what a layer takes in the order of its inputs; "mask=keep" says which input."""
    names = [name.rstrip("?*") for name in layer.input_names]
    many, least = layer.input_names[-1:] and layer.input_names[-1][-1] == "*", required(layer)
    found: dict[int, str | None] = {}
    for index, value in enumerate(given):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"Graph: {place} expects names of values, got {describe(value)}")
        name, equals, taken = (value or "").partition("=")
        if equals and name not in names:
            raise ValueError(
                f"Graph: {place}, {layer!r}, has no input {name!r}; it has {listed(names)}"
            )
        at = names.index(name) if equals else index
        if at in found:
            raise ValueError(f"Graph: {place}, {layer!r}, gets its input {names[at]} twice")
        found[at] = taken if equals else value
    count = max(found, default=-1) + 1
    missing = [names[i] for i in range(least or 0) if found.get(i) is None]
    if missing or not count or (count > len(names) and not many):
        raise ValueError(
            f"Graph: {place}, {layer!r}, takes {listed(layer.input_names)}, got "
            f"{listed([str(value) for value in given])}"
        )
    return tuple(found.get(index) for index in range(count))


def checked_outputs(inputs: tuple[str, ...], lines: list[Line], outputs: Any) -> tuple[str, ...]:
    """Return the names of the outputs, or raise unless they are values, and all are of use."""
    made = [name for line in lines for name in line.makes]
    gives = lines[-1].makes if outputs is None else outputs
    gives = (gives,) if isinstance(gives, str) else tuple(gives)
    if not gives:
        raise ValueError("Graph expects at least one name in outputs, got none")
    for name in gives:
        if name not in made:
            raise ValueError(
                f"Graph: outputs has {name!r}, which no line makes; there are {listed(made)}"
            )
        if gives.count(name) > 1:
            raise ValueError(f"Graph: outputs has {name!r} twice")
    taken = {name for line in lines for name in line.takes} | set(gives)
    for name in inputs:
        if name not in taken:
            raise ValueError(f"Graph: no line takes the input {name}")
    for line in lines:
        if taken.isdisjoint(line.makes):
            raise ValueError(
                f"Graph: no line takes what {line.place} makes, and it is not an output; leave it "
                "out, or name it in outputs"
            )
    return gives
