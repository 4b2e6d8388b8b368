"""Shapes followed through layers that are put together, before any data come."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from minifw.typing import Shape

# Lengths of time that are tried where a layer takes sequences, each with the next longer one:
# few enough steps for learned positions, enough for a convolution, and some between.
TIMES = (1, 16, 128, 1024)

Shapes: TypeAlias = list[Shape]
"""The shape of a value: of an example, or of sequences of two lengths."""


class Line(NamedTuple):
    """A layer of a container, the values that it takes, and the values that it makes."""

    place: str  # such as "layer 0"
    layer: Any
    takes: tuple[str | None, ...]  # None for an input that is left out
    makes: tuple[str, ...]


class _Value(NamedTuple):
    shapes: Shapes
    giver: str  # who gives it, for the message
    assumed: frozenset[str]  # the values whose kind was assumed on the way to it


class _MisfitError(Exception):
    """A layer cannot take what it gets, which rests on what was assumed.

    `hopeless` says that it would take no sequence either, `left` how many layers follow.
    """

    def __init__(
        self, error: ValueError, assumed: frozenset[str], hopeless: bool, left: int = 0
    ) -> None:
        super().__init__(error)
        self.error, self.assumed, self.hopeless, self.left = error, assumed, hopeless, left


def required(layer: Any) -> int | None:
    """Return how many inputs a layer needs; None if it takes any number."""
    names = layer.input_names
    return None if any(name[-1] == "*" for name in names) else sum(n[-1] != "?" for n in names)


def whole_numbers(lines: Sequence[Line], names: Sequence[str]) -> tuple[bool, ...]:
    """Return of each of these values whether a line takes it as whole numbers."""
    whole = set[str | None]()
    for line in lines:
        asked = line.layer._whole_inputs  # of any number of inputs the last one is repeated
        whole.update(n for i, n in enumerate(line.takes) if asked[min(i, len(asked) - 1)])
    return tuple([name in whole for name in names])


def check_shapes(owner: str, lines: Sequence[Line]) -> None:
    """Raise unless shapes fit, followed from wherever a layer says which one it accepts.

    Where a layer takes several kinds of examples, one of them has to go through.
    """
    try:
        _follow(owner, lines, {})
    except _MisfitError as misfit:
        raise misfit.error from misfit.error.__cause__


def fits_one(layer: Any) -> None:
    """Raise the error of ``layer.output_shape`` unless it takes a kind that the layer names."""
    errors = []
    for shapes in _kinds(layer):
        try:
            layer.output_shape(shapes[-1])
        except (TypeError, ValueError) as error:
            errors.append(error)
        else:
            return
    if errors:  # one of the layer itself says more than one of a layer inside, which is noted
        raise min(errors, key=lambda error: len(getattr(error, "__notes__", ())))


def _kinds(layer: Any) -> Iterator[Shapes]:
    """Yield the shapes of the kinds of examples that a layer names."""
    shape = layer.input_shape
    if shape is not None:
        yield [shape]
        if layer.takes_sequences:
            yield from ([(time, *shape), (time + 1, *shape)] for time in TIMES)


def _follow(owner: str, lines: Sequence[Line], known: dict[str, _Value]) -> None:
    for number, line in enumerate(lines):
        needed = [name for name in line.takes[: required(line.layer)] if name is not None]
        unknown = [name for name in needed if name not in known]
        if len(unknown) == len(needed) == 1 and line.layer.input_shape is not None:
            return _assume(owner, lines[number:], known, unknown[0])
        if not unknown:
            try:
                known = {**known, **_made(owner, line, [known[name] for name in needed])}
            except _MisfitError as misfit:
                misfit.left = len(lines) - number
                raise
    return None


def _assume(owner: str, lines: Sequence[Line], known: dict[str, _Value], name: str) -> None:
    """Follow the shapes of each kind of example that the first of these layers takes."""
    misfits: list[_MisfitError] = []
    for shapes in _kinds(lines[0].layer):
        value = _Value(shapes, "its own input_shape says,", frozenset({name}))
        try:
            return _follow(owner, lines, {**known, name: value})
        except _MisfitError as misfit:
            misfits.append(misfit)
            if name not in misfit.assumed or misfits[0].hopeless:
                break
    best = min(misfits, key=lambda misfit: misfit.left)  # which came furthest
    raise _MisfitError(best.error, best.assumed - {name}, best.hopeless, best.left) from None


def _made(owner: str, line: Line, given: Sequence[_Value]) -> dict[str, _Value]:
    """Return what a line makes of these values, as far as it is clear."""
    layer, assumed = line.layer, frozenset[str]().union(*(value.assumed for value in given))
    who = f"{owner}: {line.place}, {layer!r},"
    before = " and ".join(f"{value.giver} {value.shapes[0]}" for value in given)
    made = []
    for one in range(max(len(value.shapes) for value in given)):
        shapes = [value.shapes[min(one, len(value.shapes) - 1)] for value in given]
        wanted, inner = layer.input_shape, shapes[0][1:] if layer.takes_sequences else None
        if wanted is not None and wanted not in (shapes[0], inner):
            error = ValueError(f"{who} expects examples of shape {wanted}, but {before}")
            # A sequence that is flattened has as many features as its steps have together.
            width = math.prod(shapes[0])
            raise _MisfitError(error, assumed, not width or math.prod(wanted) % width != 0)
        try:
            made.append(layer.output_shape(*shapes))
        except Exception as cause:
            error = ValueError(f"{who} cannot take what {before}: {cause}")
            error.__cause__ = cause
            raise _MisfitError(error, assumed, hopeless=False) from cause
    values = {}
    count = len(line.makes)
    if count > 1 and any(type(shape) is not tuple or len(shape) != count for shape in made):
        error = ValueError(f"{who} must return {count} shapes by output_shape, got {made[0]}")
        raise _MisfitError(error, assumed, hopeless=True)
    for index, name in enumerate(line.makes):
        first, *_, last = found = [s[index] if count > 1 else s for s in made] * 2
        # The length of time shows in the first axis alone, or not at all; else it is unclear.
        if first == last or (len(first) > 1 and first[1:] == last[1:]):
            shapes = found[:1] if first == last else found[:2]
            values[name] = _Value(shapes, f"{line.place}, {layer!r}, gives", assumed)
    return values
