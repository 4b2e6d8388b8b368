"""The one way to watch layers: wrap their methods for a while."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from minifw._engine.protocols import AnyLayer
from minifw.typing import Array

Around: TypeAlias = Callable[..., Any]
"""Called as ``around(name, layer, method, call, *xs)``: ``call(*xs)`` is the method itself."""


@contextmanager
def listening(
    layers: Iterable[tuple[str, AnyLayer]],
    methods: Iterable[str],
    around: Around,
    *,
    counts: bool = True,
) -> Iterator[None]:
    """Within, let `around` be called in place of these methods of these named layers.

    It calls the method, returns the result for the caller, and sees all that goes in and out.
    Where it `counts` as a change of the layers, nothing that was recorded is used meanwhile; a
    listener of every step that does not saves all containers from looking through their layers.
    """
    assign, delete = (setattr, delattr) if counts else (object.__setattr__, object.__delattr__)
    replaced: list[tuple[AnyLayer, str, Any]] = []
    try:
        for name, layer in layers:
            for method in methods:
                replaced.append((layer, method, vars(layer).get(method)))  # a user's patch
                assign(layer, method, _wrapped(around, name, layer, method))
        yield
    finally:
        for layer, method, before in reversed(replaced):
            if before is not None:
                assign(layer, method, before)
            elif method in vars(layer):
                delete(layer, method)


def inner_outputs(model: AnyLayer, x: Any) -> list[tuple[str, Any, Array]]:
    """Return what the activations inside a copy of the model give, each with its name.

    The last one of each output is left out: it may well saturate.
    """
    twin: Any = copy.deepcopy(model)
    ends = [twin.split_last(i) if i else twin.split_last() for i in range(len(twin.output_names))]
    inner = [
        (name, layer)
        for name, layer in twin.named_layers()
        if layer.saturation is not None and all(layer is not last for _, last in ends)
    ]
    found: list[tuple[str, Any, Array]] = []

    def note(name: str, layer: Any, _: str, call: Callable[..., Any], *xs: Array) -> Array:
        y: Array = call(*xs)
        found.append((name, layer, y))
        return y

    with listening(inner, ["forward"], note):
        twin.predict(x, allow_nan=True)
    return found


def _wrapped(around: Around, name: str, layer: AnyLayer, method: str) -> Callable[..., Any]:
    """Return what stands for the method meanwhile; in a copy, too, it calls this layer's."""
    call = getattr(layer, method)

    def wrapped(*xs: Any) -> Any:
        return around(name, layer, method, call, *xs)

    return wrapped
