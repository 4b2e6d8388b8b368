"""The verdicts on a layer's constructor arguments: kept, shown, and used."""

import copy
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from minifw._core.layer import Layer
from minifw._core.typing import Array
from minifw.testing._layer_situation import INPUT
from minifw.testing._layer_subject import LayerCheck, LayerSubject
from minifw.testing._report import Failure, NotApplicable

__all__ = ["ARGUMENT_CHECKS"]

SEEDS = (1, 2)  # for an argument named rng
LARGER = 10.0  # times the input: a bound is felt only by what reaches it


def _rebuilt(s: LayerSubject) -> None:
    args, kwargs = s.layer._arguments
    twin = type(s.layer)(*copy.deepcopy(args), **copy.deepcopy(kwargs))
    if repr(twin) != repr(s.layer):
        raise Failure(f"rebuilt from its arguments it is {twin!r}, not {s.layer!r}")
    mine = {name: p.shape for name, p in s.layer.named_parameters()}
    other = {name: p.shape for name, p in twin.named_parameters()}
    if other and mine != other:  # or else they are made in forward
        raise Failure(f"rebuilt from its arguments it has the parameters {other}, not {mine}")


def _used(s: LayerSubject) -> None:
    """Change one argument at a time; something about the layer must change."""
    given = _bound(s.layer)
    ignored = []
    for name, value in given.items():
        changes = list(_other_values(name, value))
        if changes and not any(_makes_a_difference(s, given, name, new) for new in changes):
            ignored.append(f"{name}={value!r}")
    if ignored:
        raise Failure(
            f"the argument {' and '.join(ignored)} is ignored: with another value the layer is "
            "the same"
        )


def _bound(layer: Layer) -> dict[str, Any]:
    """Return the constructor's arguments by name, defaults included."""
    args, kwargs = layer._arguments
    try:
        signature = inspect.signature(type(layer))
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        raise NotApplicable("the constructor's signature is not to be had") from None
    bound.apply_defaults()
    kinds = {name: p.kind for name, p in signature.parameters.items()}
    if any(
        kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        for kind in kinds.values()
    ):
        raise NotApplicable("the constructor takes any number of arguments")
    if not bound.arguments:
        raise NotApplicable("there are none")
    return dict(bound.arguments)


def _other_values(name: str, value: Any) -> Iterator[Any]:
    """Yield other values that an argument could have; none for what is not understood."""
    if name == "rng":
        yield from SEEDS
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
        yield value + 2
    elif isinstance(value, float):
        yield value * 0.75 if value else 0.25
        yield value * 1.5 + 0.1
    elif isinstance(value, type) and issubclass(value, np.floating):
        yield np.float32 if value is np.float64 else np.float64
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield value * 0.75 + 0.1


def _makes_a_difference(s: LayerSubject, given: dict[str, Any], name: str, new: Any) -> bool:
    seeded = {"rng": SEEDS[0]} if "rng" in given else {}
    old_arguments = {**given, **seeded}
    if name == "rng":
        old_arguments["rng"] = SEEDS[0]
        if new == SEEDS[0]:
            return False
    x = s.input(dtype=s.dtype.type)
    for batch in (x, x * LARGER) if s.differentiable and s.any_sign else (x,):
        try:
            before = _behaviour(s, _make(s.layer, old_arguments), batch)
        except Exception as error:  # noqa: BLE001 - rebuilding is another verdict
            raise NotApplicable(f"it cannot be rebuilt: {error}") from None
        try:
            after = _behaviour(s, _make(s.layer, {**old_arguments, name: new}), batch)
        except Exception:  # noqa: BLE001 - a refusal is a use
            return True
        if not _equal(before, after):
            return True
    return False


def _make(layer: Layer, arguments: dict[str, Any]) -> Layer:
    """Call the constructor, positional-only arguments by position."""
    parameters = inspect.signature(type(layer)).parameters
    arguments = copy.deepcopy(arguments)
    positional = [
        arguments.pop(name)
        for name, p in parameters.items()
        if p.kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    return type(layer)(*positional, **arguments)


def _behaviour(s: LayerSubject, layer: Layer, x: Array) -> dict[str, Any]:
    """Return all that can be seen of a layer: what it starts as, and what it does."""
    seen: dict[str, Any] = {f"start of {n}": p.value.copy() for n, p in layer.named_parameters()}
    for training in (True, False):  # the second shows what the first has left behind
        layer.train(training)
        y = layer.forward(x)
        dx = layer.backward(s.cotangent(y))
        seen.update({f"y, {training}": y, f"{INPUT}, {training}": dx})
        for name, parameter in layer.named_parameters():
            seen[f"d{name}, {training}"] = parameter.grad.copy()
    return seen


def _equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    def same(a: Array, b: Array) -> bool:
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)

    return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)


ARGUMENT_CHECKS: tuple[LayerCheck, ...] = (
    ("rebuilt from its arguments", _rebuilt),
    ("uses every argument", _used),
)
