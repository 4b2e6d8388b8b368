"""Containers in which data go two ways and more: around a layer, or through several at once.

They prove that a container is a layer like any other: they use what every
author of a layer may use, and nothing else of `Layer`.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import ClassVar, TypeVar

import numpy as np

from minifw._tools.checks import check_array, check_cotangent
from minifw.core.layer import Layer
from minifw.layers.container import add_place, check_dtypes, check_layer, check_layers
from minifw.typing import Array, Formulas, Shape

__all__ = ["Concat", "Residual"]

Answer = TypeVar("Answer")


class Residual(Layer):
    """The input is added to what a layer makes of it: y = x + f(x), f being the layer.

    The gradient comes back both ways,

        dx = dy + f'(x)' dy,

    the second term being what the layer's own ``backward`` returns. By the
    first it reaches all that lies below undiminished, however deep a network of
    such layers is.

    Parameters
    ----------
    layer : Layer
        It keeps the shape, (batch, ...), and the dtype. To go around several
        layers, give a `Sequential` of them.

    Attributes
    ----------
    layer : Layer
        As given. Its parameters are called "layer.weight" and so on.

    Raises
    ------
    ValueError
        If the layer changes the shape: at once where it says which shape it
        accepts, else by ``forward``. Nothing is ever broadcast.
    TypeError
        If it is not a layer; by ``forward``, if it changes the dtype.

    Notes
    -----
    An exception inside the layer carries a note that says so.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image
    recognition", CVPR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, Residual, Tanh
    >>> layer = Residual(Tanh())
    >>> layer.forward(np.array([[-100.0, 0.0, 100.0]]))
    array([[-101.,    0.,  101.]])
    >>> layer.backward(np.array([[1.0, 1.0, 1.0]]))  # the slope of tanh, and 1
    array([[1., 2., 1.]])
    >>> Residual(Dense(3, 1))
    Traceback (most recent call last):
        ...
    ValueError: Residual expects a layer that keeps the shape of its input, but Dense(3, 1) makes \
(1,) of (3,)
    """

    formulas: ClassVar[Formulas] = {"y": "{x} + {inner}", "dx": "{dy} + {inner_dx}"}

    def __init__(self, layer: Layer) -> None:
        check_layer("Residual", layer)
        self.layer = layer
        if layer.input_shape is not None:
            self.output_shape(layer.input_shape)

    @property
    def input_shape(self) -> Shape | None:
        """What the layer accepts, if it says so."""
        return self.layer.input_shape

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`, or raise if the layer makes another of it."""
        given = self._ask(lambda layer: layer.output_shape(input_shape))
        if given != input_shape:
            raise ValueError(
                "Residual expects a layer that keeps the shape of its input, but "
                f"{self.layer!r} makes {given} of {input_shape}"
            )
        return given

    def forward(self, x: Array) -> Array:
        """Return y = x + f(x)."""
        check_array(self, "x", x)
        inner = self._ask(lambda layer: layer(x))  # the shape of x
        self.save()  # the layer has left the forward before, and this one may yet fail
        self._check_kept("forward", inner, "x", x)
        self.save(x)
        y: Array = x + inner  # the shape of x
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy + f'(x)' dy, and set the gradients of the layer's parameters."""
        self._check_dy(dy)
        inner = self._ask(lambda layer: layer.returned("backward", layer.backward(dy)))
        self._check_kept("backward", inner, "dy", dy)
        dx: Array = dy + inner  # the shape of x
        return dx

    def backward_parameters(self, dy: Array) -> None:
        """Set the gradients of the layer's parameters, without its dL/dx."""
        self._check_dy(dy)
        self._ask(lambda layer: layer.backward_parameters(dy))

    def _ask(self, question: Callable[[Layer], Answer]) -> Answer:
        try:
            return question(self.layer)
        except Exception as error:
            add_place(error, "the layer", self.layer, "Residual")
            raise

    def _check_dy(self, dy: Array) -> None:
        x = _latest(self)
        check_cotangent(self, dy, x.shape, x.dtype)

    def _check_kept(self, method: str, result: Array, name: str, given: Array) -> None:
        """Raise unless the two can be added as they are."""
        if result.shape == given.shape and result.dtype == given.dtype:
            return
        wanted = f"Residual expects {self.layer!r}.{method} to keep the"
        if result.shape != given.shape:
            raise ValueError(
                f"{wanted} shape of {name}, {given.shape}, it returned {result.shape}"
            )
        raise TypeError(f"{wanted} dtype of {name}, {given.dtype}, it returned {result.dtype}")


class Concat(Layer):
    """Branches side by side: each layer gets x, and their outputs are joined.

    With f_0, f_1, ... being the layers,

        y = [f_0(x), f_1(x), ...],

    joined along the last axis, the features. dy is cut where y was joined, and
    x, on which every branch depends, gets the sum of what they return:

        dx = f_0'(x)' dy_0 + f_1'(x)' dy_1 + ...

    Parameters
    ----------
    *layers : Layer
        At least one, none twice: a layer saves one forward at a time. Outputs
        are (batch, ..., features), and differ in nothing but their features.

    Attributes
    ----------
    layers : tuple of Layer
        The branches. They are attributes as well, by the names "0", "1" and so
        on, so that parameters are called "0.weight" as in a `Sequential`.

    Raises
    ------
    ValueError
        If branches expect different inputs, or give outputs that do not join:
        at once where one says which shape it accepts, else by ``forward``,
        naming both with their shapes; and if a layer comes twice.
    TypeError
        If something is not a layer, or if branches differ in dtype.

    Notes
    -----
    An exception inside a branch carries a note with its index.

    References
    ----------
    C. Szegedy et al., "Going deeper with convolutions", CVPR 2015: the modules
    called inception.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Concat, Dense, Sigmoid, Tanh
    >>> layer = Concat(Tanh(), Sigmoid())
    >>> layer.forward(np.array([[0.0, 100.0]]))
    array([[0. , 1. , 0.5, 1. ]])
    >>> layer.backward(np.array([[1.0, 1.0, 1.0, 1.0]]))  # both slopes: 1 + 1/4, and 0
    array([[1.25, 0.  ]])
    >>> branches = Concat(Dense(2, 3), Tanh())
    >>> branches.output_shape((2,)), [name for name, _ in branches.named_parameters()]
    ((5,), ['0.weight', '0.bias'])
    >>> Concat(Dense(2, 3), Dense(4, 3))
    Traceback (most recent call last):
        ...
    ValueError: Concat: layer 0, Dense(2, 3), expects examples of shape (2,), but layer 1, \
Dense(4, 3), expects examples of shape (4,); every branch gets the same x
    """

    formulas: ClassVar[Formulas] = {"y": "[{inner}]", "dx": "{inner_dx}"}

    def __init__(self, *layers: Layer) -> None:
        check_layers("Concat", layers)
        check_dtypes("Concat", layers)
        self._names = tuple(str(index) for index in range(len(layers)))
        for name, layer in zip(self._names, layers, strict=True):
            setattr(self, name, layer)
        self._widths: tuple[int, ...] = ()  # of the outputs of the latest forward
        shapes = [layer.input_shape for layer in layers]
        self._check_equal("expects examples of shape", shapes, "every branch gets the same x")
        if self.input_shape is not None:
            self.output_shape(self.input_shape)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The branches."""
        return tuple([getattr(self, name) for name in self._names])

    @property
    def input_shape(self) -> Shape | None:
        """What the branches accept, if one says so."""
        shapes = (layer.input_shape for layer in self.layers)
        return next((shape for shape in shapes if shape is not None), None)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of one output example: the branches' features add up."""
        shapes = self._ask(lambda _, layer: layer.output_shape(input_shape))
        self._check_joinable(shapes, axes=1)
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def forward(self, x: Array) -> Array:
        """Return the outputs of all branches, joined along the last axis."""
        outputs = self._ask(lambda _, layer: self._run(layer, x))  # each (batch, ..., features)
        self._check_joinable([output.shape for output in outputs], axes=2)
        self._check_dtypes("y", outputs)
        y = np.concatenate(outputs, axis=-1)  # (batch, ..., sum of the features)
        self._widths = tuple([output.shape[-1] for output in outputs])
        self.save(y)
        return y

    def _run(self, layer: Layer, x: Array) -> Array:
        y = layer(x)
        self.save()  # this branch has left the forward before, and the next may yet fail
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx, the sum over the branches, and set the gradients of their parameters."""
        parts = self._cut(dy)
        dxs = self._ask(lambda i, layer: layer.returned("backward", layer.backward(parts[i])))
        self._check_equal("returns dx of shape", [dx.shape for dx in dxs], "x has one shape")
        self._check_dtypes("dx", dxs)
        total = dxs[0].copy(order="K")  # the shape of x; never dy itself, whatever a branch does
        for dx in dxs[1:]:
            total += dx
        return total

    def backward_parameters(self, dy: Array) -> None:
        """Set the gradients of the branches' parameters, without any branch's dL/dx."""
        parts = self._cut(dy)
        self._ask(lambda i, layer: layer.backward_parameters(parts[i]))

    def _cut(self, dy: Array) -> list[Array]:
        """Return what of dy belongs to each branch, (batch, ..., features)."""
        y = _latest(self)
        check_cotangent(self, dy, y.shape, y.dtype)
        stops = accumulate(self._widths)
        return [dy[..., n - width : n] for n, width in zip(stops, self._widths, strict=True)]

    def _ask(self, question: Callable[[int, Layer], Answer]) -> list[Answer]:
        """Return what each branch answers, in turn."""
        answers = []
        for index, layer in enumerate(self.layers):
            try:
                answers.append(question(index, layer))
            except Exception as error:
                add_place(error, f"layer {index}", layer, "Concat")
                raise
        return answers

    def _check_joinable(self, shapes: list[Shape], axes: int) -> None:
        """Raise unless all have `axes` entries or more, and differ in the last alone."""
        for index, shape in enumerate(shapes):
            if len(shape) < axes:
                raise ValueError(
                    f"Concat: layer {index}, {self.layers[index]!r}, gives the shape {shape}, "
                    "without an axis of features to join along"
                )
            if shape[:-1] != shapes[0][:-1]:
                why = "only the last axis, along which they are joined, may differ"
                raise ValueError(self._difference("gives the shape", shapes, 0, index, why))

    def _check_dtypes(self, name: str, arrays: list[Array]) -> None:
        dtypes = [array.dtype for array in arrays]
        self._check_equal(f"returns {name} in", dtypes, "give both one dtype", TypeError)

    def _check_equal(
        self, says: str, things: Sequence[object], why: str, kind: type[Exception] = ValueError
    ) -> None:
        """Raise unless all branches say the same thing, or nothing (None)."""
        first = next((i for i, thing in enumerate(things) if thing is not None), 0)
        for index, thing in enumerate(things):
            if thing is not None and thing != things[first]:
                raise kind(self._difference(says, things, first, index, why))

    def _difference(
        self, says: str, things: Sequence[object], one: int, other: int, why: str
    ) -> str:
        layers = self.layers
        return (
            f"Concat: layer {one}, {layers[one]!r}, {says} {things[one]}, but "
            f"layer {other}, {layers[other]!r}, {says} {things[other]}; {why}"
        )


def _latest(container: Layer) -> Array:
    """Return what the latest forward saved, or raise if it failed halfway.

    The layers inside may then be at different inputs, and a gradient put together
    from them would be that of no function.
    """
    saved = container.saved()
    if not saved:
        raise RuntimeError(f"{container!r}: the latest forward failed; call forward first")
    return saved[0]
