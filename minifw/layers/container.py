"""What the containers share: numbered layers, errors that name them, one forward for all."""

from collections.abc import Iterator
from typing import Any

from minifw._engine.sharing import check_dtypes, check_layers
from minifw._tools.changes import CHANGES
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.typing import Array

__all__ = ["Container"]


class Container(Layer):
    """A layer made of layers, which are its members "0", "1" and so on.

    A subclass calls `begin` in its ``forward``, then asks its layers, and calls `end`; and
    `check_forward` before it goes back through them. All layers that run in one forward get
    one mark, handed down to containers inside. So a ``backward`` notices that a layer has
    run another forward since: its gradient would be that of no function.
    """

    _saved_mark: object = None  # of the latest forward
    _saved_whole = True  # whether that did not stop between two layers
    _saved_changes = -1  # the count of changes when no parameter was found to be shared

    def __init__(self, *layers: Layer) -> None:
        self._hold(layers)

    def _hold(self, layers: tuple[Layer, ...]) -> None:
        """Take these layers, or raise if they do not go together."""
        check_layers(type(self).__name__, layers)
        check_dtypes(type(self).__name__, layers)
        self._layers = layers

    def __setitem__(self, index: int, layer: Layer) -> None:
        before, layers = self._layers, list(self._layers)
        layers[index] = layer
        try:
            self._hold(tuple(layers))
        except Exception:
            self._layers = before
            raise
        self._arguments = self._layers, self._arguments[1]  # which the repr and a file show

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in order."""
        return self._layers

    def begin(self) -> None:
        """Begin a forward: take its mark from the container around, or make one."""
        own = vars(self)
        own["_saved_mark"] = own.pop("_saved_around", None) or object()

    def end(self, *arrays: Array) -> None:
        """Save what backward needs, and note that all layers have run."""
        own = vars(self)
        own["_saved"] = arrays or (own["_saved_mark"],)  # a new one, so that it is noticed
        own["_saved_whole"] = True

    def ask(self, index: int, method: str, *given: Any) -> Any:
        """Return what `method` of layer `index` returns; note on its errors where it stands."""
        layer = self.layers[index]
        try:
            if method == "forward":
                return self._forward(layer, *given)
            result = getattr(layer, method)(*given)
            return layer.returned(method, result) if method == "backward" else result
        except Exception as error:
            error.add_note(f"in {self._place(index)}, {layer!r}, of {type(self).__name__}")
            raise

    def _forward(self, layer: Layer, *given: Any) -> Any:
        own, inner = vars(self), vars(layer)
        mark = own["_saved_mark"]
        if isinstance(layer, Container):
            inner["_saved_around"] = mark
        if layer._saved_stamp[0] is mark:
            raise RuntimeError(
                f"{layer!r} runs twice in one forward, and saves one forward at a time; make a "
                "second layer for the second use"
            )
        y = layer.returned("forward", layer.forward(*given))
        inner["_saved_stamp"] = mark, layer._saved
        # This layer is at another input, until the others are.
        own["_saved_whole"], own["_saved"] = False, None
        return y

    def check_forward(self) -> None:
        """Raise unless the layers are at one forward, and no two share a parameter."""
        name = f"{type(self).__name__}.backward"
        if not self._saved_whole:
            raise RuntimeError(
                f"{name} needs a whole forward before it: the latest forward failed; call "
                "forward first"
            )
        marks: dict[object, Layer] = {}
        for layer in self.layers:
            if layer._saved is not None:
                mark, saved = layer._saved_stamp
                marks.setdefault(mark if saved is layer._saved else None, layer)
        if len(marks) > 1:
            one, other, *_ = marks.values()
            raise RuntimeError(
                f"{name} needs one forward of all its layers, but {one!r} and {other!r} ran in "
                "different ones; call forward first"
            )
        if self._saved_changes != CHANGES.count:
            check_layers(type(self).__name__, self.layers)  # weights may have been tied
            vars(self)["_saved_changes"] = CHANGES.count

    def _place(self, index: int) -> str:
        return f"layer {index}"

    def _members(self) -> Iterator[tuple[str, Parameter | Layer]]:
        for index, layer in enumerate(vars(self).get("_layers", ())):
            yield str(index), layer
        yield from super()._members()  # what a subclass holds besides; the same is listed once

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)
