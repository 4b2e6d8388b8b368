"""The chain of layers."""

from typing import Any, ClassVar, overload

from minifw._engine.composition import Line, check_shapes
from minifw.core.layer import Layer
from minifw.layers.container import Container
from minifw.typing import Array, Shape

__all__ = ["Sequential"]


class Sequential(Container):
    """Layers one after the other: the output of each is the input of the next.

    backward is the chain rule: dL/dy goes through the layers in reverse.

    Parameters
    ----------
    *layers : Layer
        At least one, none twice: a layer saves one forward at a time. A
        Sequential is a layer and may stand among them. The last one alone may have
        several outputs; for other forms there is `Graph`.

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

    adds_shared: ClassVar[bool] = True
    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True

    def _hold(self, layers: tuple[Layer, ...]) -> None:
        super()._hold(layers)
        check_shapes("Sequential", _chain(layers))

    @property
    def _flow(self) -> list[Line]:
        return _chain(self.layers) if self._is_plain(Sequential) else []

    def _check_single(self, layers: tuple[Layer, ...], inner: tuple[Layer, ...]) -> None:
        super()._check_single(layers, inner[:-1])

    @property
    def output_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the last layer."""
        return self.layers[-1].output_names

    @property
    def _whole_inputs(self) -> tuple[bool, ...]:
        return self.layers[0]._whole_inputs[:1]

    @property
    def takes_sequences(self) -> bool:  # type: ignore[override]
        """Whether the first layer does."""
        return self.layers[0].takes_sequences

    @property
    def input_shape(self) -> Shape | None:
        """What the first layer accepts, if it says so."""
        return self.layers[0].input_shape

    def output_shape(self, input_shape: Shape) -> Any:
        """Return the shape of one output example, given the shape of one input example."""
        for index in range(len(self)):
            input_shape = self.ask(index, "output_shape", input_shape)
        return input_shape

    def forward(self, x: Array) -> Array:  # a tuple of several outputs, which unpacks as well
        """Return the output of the last layer."""
        self.begin()
        for index in range(len(self)):
            x = self.ask(index, "forward", x)
        self.end()
        return x

    def backward(self, *dys: Any, **_: Any) -> Array:
        """Return dL/dx, and set the gradients of all parameters."""
        self.check_forward()
        for index in reversed(range(len(self))):
            dys = (self.ask(index, "backward", *dys),)  # one, whatever the last layer was given
        dx: Array = dys[0]
        return dx

    def backward_parameters(self, *dys: Any, **_: Any) -> None:
        """Set the gradients; stop at the first layer that is trained, without its dL/dx."""
        self.check_forward()
        last = len(self) - 1
        first = next((i for i, layer in enumerate(self) if layer.parameters()), last)
        for index in range(last, first, -1):
            dys = (self.ask(index, "backward", *dys),)
        self.ask(first, "backward_parameters", *dys)

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        """Return y, and what each layer keeps."""
        states = self._states(kept)
        for index in range(len(self)):
            x, states[index] = self.ask(index, "step", x, states[index])
        return x, states

    def split_last(self, output: int = 0) -> tuple[Layer | None, Layer]:
        """Return all but the last layer, or None, and the last, also inside a Sequential.

        A subclass that does something else in its forward or backward is not taken apart.
        """
        if not self._is_plain(Sequential):
            return None, self
        *rest, end = self.layers
        before, last = end.split_last(output) if output else end.split_last()
        if before is not None:
            rest.append(before)
        return (Sequential(*rest) if rest else None), last

    @overload
    def __getitem__(self, index: int) -> Any: ...  # for a layer's own attributes
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> Any:
        layers = self.layers[index]
        return Sequential(*layers) if isinstance(layers, tuple) else layers


def _chain(layers: tuple[Layer, ...]) -> list[Line]:
    return [
        Line(f"layer {index}", layer, (str(index),), (str(index + 1),))
        for index, layer in enumerate(layers)
    ]
