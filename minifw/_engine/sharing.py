"""Layers that go together: of one dtype, and none used twice, nor a parameter of theirs."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from minifw._engine.listening import listening
from minifw._engine.members import is_layer
from minifw._engine.protocols import AnyLayer

__all__ = [
    "check_dtypes",
    "check_layer",
    "check_layers",
    "check_unshared",
    "counted",
    "holds_foreign",
    "refuse_mixture",
]

_T = TypeVar("_T")


def holds_foreign(model: AnyLayer) -> bool:
    """Return whether layers lie in a layer that does not see by itself that one runs twice."""
    return any(
        layer.named_layers() and not hasattr(layer, "check_forward")
        for _, layer in model._all_layers()
    )


def counted(model: AnyLayer, run: Callable[[], _T]) -> tuple[_T, list[Any]]:
    """Return what `run` returns, and the layers of `model` that ran twice and saved once."""
    uses: Counter[int] = Counter()

    def note(_: str, layer: Any, __: str, call: Callable[..., Any], *xs: Any) -> Any:
        uses[id(layer)] += 1
        return call(*xs)

    layers = model._all_layers()
    with listening(layers, ("forward",), note):
        result = run()
    return result, [one for _, one in layers if uses[id(one)] > 1 and one._saved is not None]


def check_unshared(model: AnyLayer, used_twice: list[Any]) -> None:
    """Raise if a layer ran twice before this backward, or a parameter belongs to two layers."""
    if used_twice:
        raise RuntimeError(
            f"{used_twice[0]!r} ran two forwards before one backward, and saves one forward at a "
            "time; make a second layer for the second use"
        )
    owners: dict[int, tuple[str, AnyLayer]] = {}
    for path, layer in model._all_layers():
        for name, member in layer._members():
            place = f"{path}.{name}".removeprefix(".")
            first, owner = owners.setdefault(id(member), (place, layer))
            if owner is not layer and hasattr(member, "_memory"):
                raise RuntimeError(
                    f"{first} and {place} are the same {member!r}; backward overwrites a "
                    "gradient, so give each layer a parameter of its own"
                )


def check_layer(container: str, layer: Any) -> None:
    """Raise unless `layer`, the one that `container` takes, is a layer."""
    if not is_layer(layer):
        hint = _hint(layer, f"{container}(Sequential(*layers))")
        raise TypeError(f"{container} expects a layer, got {layer!r}{hint}")


def check_layers(container: str, layers: tuple[Any, ...]) -> None:
    """Raise unless `layers` are layers, at least one, and share no layer and no parameter."""
    if not layers:
        raise ValueError(f"{container} expects at least one layer, got none")
    seen: dict[int, str] = {}  # the name of every layer and parameter by its identity
    for index, layer in enumerate(layers):
        if not is_layer(layer):
            hint = _hint(layer, f"{container}(*layers)")
            raise TypeError(f"{container} expects layers, got {layer!r} at index {index}{hint}")
        for name, found in _named(str(index), layer):
            if id(found) in seen:
                why = "backward overwrites a gradient, so give each layer a parameter of its own"
                if is_layer(found):
                    why = "a layer saves one forward at a time, so make a second one"
                raise ValueError(
                    f"{container}: {seen[id(found)]} and {name} are the same {found!r}; {why}"
                )
            seen[id(found)] = name


def check_dtypes(container: str, layers: tuple[Any, ...]) -> None:
    """Raise unless all layers that have parameters have them in one dtype."""
    found: tuple[int, Any, Any] | None = None
    for index, layer in enumerate(layers):
        for parameter in layer.parameters()[:1]:
            if found and found[2].dtype != parameter.dtype:
                raise TypeError(
                    f"{container}: layer {found[0]}, {found[1]!r}, computes in {found[2].dtype}, "
                    f"but layer {index}, {layer!r}, in {parameter.dtype}; give both one dtype"
                )
            found = index, layer, parameter


def _named(name: str, layer: Any) -> list[tuple[str, Any]]:
    """Return a layer and all that is inside it, with the names that a container gives them."""
    found: list[tuple[str, Any]] = [(name, layer)]
    found += [(f"{name}.{inner}", one) for inner, one in layer.named_layers()]
    found += [(f"{name}.{inner}", one) for inner, one in layer.named_parameters()]
    return found


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
