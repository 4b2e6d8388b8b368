"""The chain of layers."""

from collections.abc import Iterator
from typing import Any, NoReturn, overload

from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.layers.container import add_place, check_dtypes, check_layers
from minifw.typing import Array, Shape

__all__ = ["Sequential"]

_PASSES = ("forward", "backward", "backward_parameters")


class Sequential(Layer):
    """Layers one after the other: the output of each is the input of the next.

    backward is the chain rule: dL/dy goes through the layers in reverse.

    Parameters
    ----------
    *layers : Layer
        At least one, none twice: a layer saves one forward at a time. A
        Sequential is a layer and may stand among them.

    Raises
    ------
    ValueError
        If neighbours do not fit, naming both with their shapes, or if a layer
        comes twice.
    TypeError
        If something is not a layer, or if neighbours differ in dtype.

    Notes
    -----
    ``model[0]`` is a layer, ``model[1:3]`` a Sequential of the same layers;
    ``len`` and iteration work as for a tuple, which ``model.layers`` is. An
    exception inside a layer carries a note with the layer's index.

    Examples
    --------
    >>> from minifw import Dense, Sequential, Sigmoid, Tanh
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    >>> model[2], len(model), model.output_shape((2,))
    (Dense(4, 1, rng=4), 4, (1,))
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> Sequential(Dense(2, 4), Tanh(), Dense(3, 1))
    Traceback (most recent call last):
        ...
    ValueError: Sequential: layer 2, Dense(3, 1), expects examples of shape (3,), but layer 1, \
Tanh(), gives (4,)
    """

    def __init__(self, *layers: Layer) -> None:
        self._layers = layers
        self._backward_order: tuple[tuple[Layer, ...], Layer] | None = None
        check_layers("Sequential", layers)
        check_dtypes("Sequential", layers)
        self._input_shape = _check_shapes(layers)
        self._failed = False  # whether the latest forward stopped halfway

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in order."""
        return self._layers

    @property
    def input_shape(self) -> Shape | None:
        """What the first layer accepts, if it says so."""
        return self._input_shape

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of one output example, given the shape of one input example."""
        for layer in self._layers:
            try:
                input_shape = layer.output_shape(input_shape)
            except Exception as error:
                self._add_place(error, layer)
                raise
        return input_shape

    def forward(self, x: Array) -> Array:
        """Return the output of the last layer."""
        layer = self._layers[0]
        try:
            for layer in self._layers:
                x = layer.forward(x)
                if x is None:
                    layer.returned("forward", x)
        except Exception as error:
            self._failed = self._failed or layer is not self._layers[0]
            self._add_place(error, layer)
            raise
        self._failed = False
        return x

    def backward(self, dy: Array) -> Array:
        """Return dL/dx, and set the gradients of all parameters."""
        if self._failed:
            self._refuse_mixture()
        layer = self._layers[-1]
        try:
            for layer in reversed(self._layers):
                dy = layer.backward(dy)
                if dy is None:
                    layer.returned("backward", dy)
        except Exception as error:
            self._add_place(error, layer)
            raise
        return dy

    def backward_parameters(self, dy: Array) -> None:
        """Set the gradients; stop at the first layer that has any, without its dL/dx."""
        if self._failed:
            self._refuse_mixture()
        if self._backward_order is None:
            self._backward_order = self._find_backward_order()
        later, layer = self._backward_order
        first = layer
        try:
            for layer in later:
                dy = layer.backward(dy)
                if dy is None:
                    layer.returned("backward", dy)
            layer = first
            first.backward_parameters(dy)
        except Exception as error:
            self._add_place(error, layer)
            raise

    def _refuse_mixture(self) -> NoReturn:
        raise RuntimeError(
            "Sequential.backward needs a whole forward before it: the latest one failed, and its "
            "layers are at different inputs; call forward first"
        )

    def _find_backward_order(self) -> tuple[tuple[Layer, ...], Layer]:
        """Return the layers that need a whole backward, last first, and the first trained one.

        Asked at the first backward, for a layer may make its parameters in forward.
        """
        trained = (index for index, layer in enumerate(self._layers) if layer.parameters())
        first = next(trained, len(self._layers) - 1)
        return self._layers[:first:-1], self._layers[first]

    def _add_place(self, error: Exception, layer: Layer) -> None:
        index = next(i for i, one in enumerate(self._layers) if one is layer)
        add_place(error, f"layer {index}", layer, "Sequential")

    def split_last(self) -> tuple[Layer | None, Layer]:
        """Return all but the last layer, or None, and the last, be it inside a Sequential.

        A subclass that does something else in its forward or backward is not taken apart.
        """
        own = type(self)
        if any(getattr(own, name) is not getattr(Sequential, name) for name in _PASSES):
            return None, self
        head = self._layers[:-1]
        before, last = self._layers[-1].split_last()
        if before is not None:
            head = (*head, before)
        return (Sequential(*head) if head else None), last

    def _members(self) -> Iterator[tuple[str, Parameter | Layer]]:
        for index, layer in enumerate(self._layers):
            yield str(index), layer
        yield from super()._members()  # what a subclass holds besides; the same is listed once

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers)

    @overload
    def __getitem__(self, index: int) -> Any: ...  # for a layer's own attributes
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(*self._layers[index])
        return self._layers[index]


def _check_shapes(layers: tuple[Layer, ...]) -> Shape | None:
    """Follow the shape of an example from the first layer that names one; return the first's."""
    shape: Shape | None = None
    for index, layer in enumerate(layers):
        wanted = layer.input_shape
        if shape is None:
            shape = wanted
        if shape is None:
            continue
        before = f"layer {index - 1}, {layers[index - 1]!r}, gives {shape}"
        if index == 0:
            before = f"its own input_shape says, {shape}"
        if wanted is not None and wanted != shape:
            raise ValueError(
                f"Sequential: layer {index}, {layer!r}, expects examples of shape {wanted}, "
                f"but {before}"
            )
        try:
            shape = layer.output_shape(shape)
        except Exception as error:
            raise ValueError(
                f"Sequential: layer {index}, {layer!r}, cannot take what {before}: {error}"
            ) from error
    return layers[0].input_shape
