"""Layers and parameters that are used twice, which only a container that adds may have."""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from minifw._engine.listening import listening
from minifw._engine.protocols import AnyLayer

__all__ = ["check_unshared", "counted", "holds_foreign"]

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
