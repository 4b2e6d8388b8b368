"""Checks of layers that go together: one dtype, and a right use of shared parameters."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias, TypeVar

import numpy as np

from minifw._engine.listening import listening
from minifw._engine.members import is_layer
from minifw._engine.protocols import AnyLayer
from minifw._tools.checks import describe

LayerMemory: TypeAlias = list[tuple[Any, dict[str, Any]]]
"""What a forward saved in each layer."""

_T = TypeVar("_T")


def holds_foreign(model: AnyLayer) -> bool:
    """Return whether layers lie in a layer that does not see that one of them runs twice."""
    return any(
        layer.named_layers()
        and not (hasattr(layer, "check_forward") and says(layer, "adds_shared", "forward"))
        for _, layer in model._all_layers()
    )


def says(layer: AnyLayer, name: str, *methods: str) -> bool:
    """Return whether a layer says `name` of these methods: they are not newer."""
    for kind in type(layer).__mro__:
        if name in vars(kind):
            return bool(vars(kind)[name])
        if not vars(kind).keys().isdisjoint(methods):
            return False
    return False


def counted(model: AnyLayer, run: Callable[[], _T]) -> tuple[_T, list[Any]]:
    """Return what `run` returns, and the layers of `model` that ran twice and saved once.

    A forward whose memory was taken may be followed by another one.
    """
    uses: Counter[int] = Counter()
    lost: set[int] = set()

    def note(_: str, layer: Any, method: str, call: Callable[..., Any], *xs: Any) -> Any:
        if method == "memory":
            for _, one in layer._all_layers():
                uses[id(one)] = 0
        else:
            uses[id(layer)] += 1
            if uses[id(layer)] > 1:
                lost.add(id(layer))
        return call(*xs)

    layers = model._all_layers()
    with listening(layers, ("forward", "memory"), note, counts=False):
        result = run()
    return result, [one for _, one in layers if id(one) in lost and one._saved is not None]


def check_shared(model: AnyLayer, used_twice: list[Any]) -> None:
    """Raise if a layer ran twice before this backward, or if nobody adds up a shared gradient."""
    if used_twice:
        raise RuntimeError(
            f"{used_twice[0]!r} ran two forwards before one backward, and saves one forward at a "
            "time; make a second layer for the second use, or keep its memory() of each forward "
            "and recall() it before that one's backward"
        )
    for path, container in model._all_layers():
        if not says(container, "adds_shared", "backward", "backward_parameters"):
            _check_owners(path, container)


def _check_owners(path: str, container: AnyLayer) -> None:
    """Raise if two members of a container that does not add share a parameter.

    A list of parameters is not a second member, but another attribute is.
    """
    owners: dict[int, tuple[str, Any]] = {}
    for name, member in container._members():
        inside = [(name, member)]
        if is_layer(member):
            inside = [(f"{name}.{inner}", p) for inner, p in member.named_parameters()]
        for place, parameter in inside:
            first, owner = owners.setdefault(id(parameter), (place, member))
            again = member is parameter and place != first and "." not in first + place
            if (owner is not member or again) and not parameter.frozen:
                raise ValueError(
                    f"{first} and {place} are the same {parameter!r}, and {container!r}"
                    f"{path and ', '}{path}{path and ','} does not say that its backward adds up "
                    "their gradients; use Sequential or Graph, or add them (backward_adding) and "
                    "say adds_shared = True"
                )


def shared_later(layers: Sequence[Any]) -> list[list[Any]]:
    """Return, for each layer, its parameters that also lie in a later one.

    A backward that goes through the layers in reverse has set their gradients already.
    """
    seen: set[int] = set()
    shared: list[list[Any]] = []
    for layer in reversed(layers):
        own = layer.parameters()
        shared.insert(0, [parameter for parameter in own if id(parameter) in seen])
        seen.update(map(id, own))
    return shared


@contextmanager
def adding(parameters: Iterable[Any]) -> Iterator[None]:
    """Within, let a backward overwrite these gradients; add what they were before."""
    kept = [(parameter, parameter.grad.copy()) for parameter in parameters]
    yield
    for parameter, grad in kept:
        np.add(parameter.grad, grad, parameter.grad)


def check_layer(container: str, layer: Any) -> None:
    """Raise unless `layer`, the one that `container` takes, is a layer."""
    if not is_layer(layer):
        hint = _hint(layer, f"{container}(Sequential(*layers))")
        raise TypeError(f"{container} expects a layer, got {layer!r}{hint}")


def check_layers(container: str, layers: tuple[Any, ...]) -> None:
    """Raise unless `layers` are layers, at least one, and share no layer."""
    if not layers:
        raise ValueError(f"{container} expects at least one layer, got none")
    seen: dict[int, str] = {}  # the name of every layer by its identity
    for index, layer in enumerate(layers):
        if not is_layer(layer):
            hint = _hint(layer, f"{container}(*layers)")
            raise TypeError(f"{container} expects layers, got {layer!r} at index {index}{hint}")
        inside = [(f"{index}.{name}", one) for name, one in layer.named_layers()]
        for name, one in [(str(index), layer), *inside]:
            if id(one) in seen:
                raise ValueError(
                    f"{container}: {seen[id(one)]} and {name} are the same {one!r}; a layer saves "
                    "one forward at a time; use a Graph, which runs one layer at several lines, "
                    "or make a second one"
                )
            seen[id(one)] = name


def check_returned(layer: Any, method: str, result: Any, count: int) -> Any:
    """Return what a layer's method returned, or raise unless it is so many arrays."""
    wanted = "an array" if count == 1 else f"a tuple of {count} arrays"
    kinds: Any = np.ndarray
    if method == "backward" and count > 1:
        wanted += ", one for each argument that forward was given"
        kinds = (np.ndarray, type(None))
    several = count > 1 and type(result) is tuple and len(result) == count
    if several and all(isinstance(one, kinds) for one in result):
        return result
    got = describe(result) if isinstance(result, np.ndarray) else repr(result)
    raise TypeError(f"{layer!r}.{method} must return {wanted}, it returned {got}")


def check_dtypes(container: str, layers: Iterable[tuple[str, Any]]) -> None:
    """Raise unless all layers that have parameters have them in one dtype; each has a name."""
    found: tuple[str, Any, Any] | None = None
    for place, layer in layers:
        for _, parameter in layer.named_parameters()[:1]:
            if found and found[2].dtype != parameter.dtype:
                raise TypeError(
                    f"{container}: {found[0]}, {found[1]!r}, computes in {found[2].dtype}, "
                    f"but {place}, {layer!r}, in {parameter.dtype}; give both one dtype"
                )
            found = place, layer, parameter


def _hint(value: object, unpacked: str) -> str:
    if isinstance(value, type):
        return f"; write {value.__name__}(...)"
    if isinstance(value, list | tuple):
        return f"; write {unpacked}"
    return ""


def refuse_mixture(parts: Sequence[Any], saved: Sequence[Any]) -> NoReturn:
    """Raise the error of a backward after another forward of some layer, or of the loss."""
    moved = [part for part, kept in zip(parts, saved, strict=True) if part._saved is not kept]
    part = min(moved, key=lambda part: len(getattr(part, "layers", ())))  # the innermost
    inside = is_layer(part) and part is not parts[0]
    raise RuntimeError(
        f"Objective.backward differentiates Objective.forward, but {part!r}"
        f"{', which is in the model,' if inside else ''} ran another forward since; do that "
        "after backward"
    )
