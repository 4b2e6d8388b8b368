"""What the containers share: named layers, errors that name them, one forward for all."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minifw._engine.composition import required
from minifw._engine.lines import listed
from minifw._engine.sharing import adding, check_dtypes, check_layers, shared_later
from minifw._tools.changes import CHANGES
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter

__all__ = ["Container"]

ONE = Layer.output_names  # what a layer has that says nothing else


class Container(Layer):
    """A layer made of layers, which are its members "0", "1" and so on.

    A subclass calls `begin` in its ``forward``, then asks its layers, and calls `end`; and
    `check_forward` before it goes back through them, in reverse. All layers that run in one
    forward get one mark, handed down to containers inside. So a ``backward`` notices that a
    layer has run another forward since: its gradient would be of no function. Where `ask` goes
    back through the layers, a parameter that several of them share gets the sum of its
    gradients; a subclass whose ``backward`` is so says `adds_shared`.
    """

    _saved_mark: object = None  # of the latest forward
    _saved_whole = True  # False during the latest forward, or if it failed
    _saved_changes = -1  # CHANGES.count when `_saved_shared` was found
    _saved_shared: tuple[list[Parameter], ...] = ()  # of each layer: what a later one has, too
    _saved_adds = False  # whether there is any

    def __init__(self, *layers: Layer) -> None:
        self._hold(layers)

    def _hold(self, layers: tuple[Layer, ...]) -> None:
        """Take these layers, or raise if they do not go together."""
        self._check_layers(layers)
        self._layers = layers

    def _check_layers(self, layers: tuple[Layer, ...]) -> None:
        owner = type(self).__name__
        check_layers(owner, layers)
        check_dtypes(owner, [(f"layer {i}", layer) for i, layer in enumerate(layers)])
        self._check_single(layers, layers)

    @property
    def _whole_inputs(self) -> tuple[bool, ...]:
        """Whether the input holds whole numbers: it goes to all layers, or to the first."""
        return (any(layer._whole_inputs[0] for layer in self.layers),)

    def _check_single(self, layers: tuple[Layer, ...], inner: tuple[Layer, ...]) -> None:
        """Raise unless all layers need one input, and those of `inner` give one output."""
        for index, layer in enumerate(layers):
            what = f"takes several inputs, {listed(layer.input_names)}"
            if (required(layer) or 0) <= 1:
                what = f"gives several outputs, {listed(layer.output_names)}"
                if len(layer.output_names) == 1 or layer not in inner:
                    continue
            raise ValueError(
                f"{type(self).__name__}: {self._place(index)}, {layer!r}, {what}; use a Graph, "
                "which names what each layer takes and gives"
            )

    def __getitem__(self, index: Any) -> Any:  # for a layer's own attributes
        return self.layers[index]

    def __setitem__(self, index: Any, layer: Layer) -> None:
        before, layers = self.layers, list(self.layers)
        layers[index] = layer
        try:
            self._hold(tuple(layers))
        except Exception:
            self._hold(before)
            raise
        self._arguments = self.layers, self._arguments[1]  # which the repr and a file show
        vars(self).update(_saved=None, _saved_mark=None, _saved_whole=False)  # of other layers

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in order."""
        return self._layers

    def begin(self) -> None:
        """Begin a forward: take its mark from the container around, or make one."""
        own = vars(self)  # written past __setattr__, because every forward does it
        own["_saved_mark"] = own.pop("_saved_around", None) or object()

    def end(self, *saved: Any) -> None:
        """Save what backward needs, and note that all layers have run."""
        own = vars(self)
        own["_saved"] = saved or (own["_saved_mark"],)  # a new tuple each time: `is` compares it
        own["_saved_whole"] = True

    def ask(self, index: int, method: str, *given: Any, count: int = 1) -> Any:
        """Return what `method` of layer `index` returns; note on its errors where it stands.

        `count` is how many gradients a backward has to return.
        """
        layer = self.layers[index]
        try:
            if method == "forward":
                return self._forward(layer, *given)
            call = getattr(layer, method)
            if self._saved_adds and method.startswith("backward"):
                with adding(self._saved_shared[index]):
                    result = call(*given)
            else:
                result = call(*given)
            if (type(result) is not np.ndarray or count > 1) and method == "backward":
                layer.returned(method, result, count)
        except Exception as error:
            error.add_note(f"in {self._place(index)}, {layer!r}, of {type(self).__name__}")
            raise
        return result

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
        y: Any = layer.forward(*given)
        names = layer.output_names
        if names is not ONE or type(y) is not np.ndarray:  # a call less for nearly all
            y = layer.returned("forward", y, len(names))
        # The mark, and what was saved under it: after another forward the two differ.
        inner["_saved_stamp"] = mark, layer._saved
        # Until `end`: this layer has saved the new forward, the next ones the one before.
        own["_saved_whole"], own["_saved"] = False, None
        return y

    def _once(self) -> Iterable[Layer]:
        """Return the layers that run once in a forward."""
        return self.layers

    def check_forward(self) -> None:
        """Raise unless the layers are at one forward, and find out which share parameters."""
        name = f"{type(self).__name__}.backward"
        if not self._saved_whole:
            why = "the latest forward failed" if self._saved_mark else "a layer was replaced since"
            raise RuntimeError(
                f"{name} needs a whole forward before it: {why}; call forward first"
            )
        marks: dict[object, Layer] = {}
        for layer in self._once():
            if layer._saved is not None:
                mark, saved = layer._saved_stamp
                # A layer that ran since, outside this container, counts under None.
                marks.setdefault(mark if saved is layer._saved else None, layer)
        if len(marks) > 1:
            one, other, *_ = marks.values()
            raise RuntimeError(
                f"{name} needs one forward of all its layers, but {one!r} and {other!r} ran in "
                "different ones; call forward first"
            )
        if self._saved_changes != CHANGES.count:
            self._find_shared()

    def _find_shared(self) -> None:
        check_layers(type(self).__name__, self.layers)  # one may have been replaced
        self._note_shared()

    def _note_shared(self) -> None:
        own = vars(self)
        own["_saved_shared"], own["_saved_changes"] = shared_later(self.layers), CHANGES.count
        own["_saved_adds"] = any(own["_saved_shared"])

    def _states(self, kept: Any) -> list[Any]:
        """Return a state for each layer, None at the start, or raise unless there are so many."""
        states = [None] * len(self) if kept is None else list(kept)
        if len(states) != len(self):
            raise ValueError(f"{self!r}.step expects a state of {len(self)} layers, its own")
        return states

    def _place(self, index: int) -> str:
        return f"layer {index}"

    def _members(self) -> Iterator[tuple[str, Parameter | Layer]]:
        for index, layer in enumerate(vars(self).get("_layers", ())):
            yield str(index), layer
        yield from super()._members()  # what a subclass holds besides; the same is listed once

    def _is_plain(self, kind: "type[Container]") -> bool:
        """Return whether the passes are those of `kind`, so it may be taken apart."""
        passes = ("forward", "backward", "backward_parameters")
        return all(getattr(type(self), name) is getattr(kind, name) for name in passes)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:  # for a layer's own attributes, as of `model[0]`
        return iter(self.layers)
