"""Containers in which data go two ways and more: around a layer, or through several at once.

They prove that a container is a layer like any other: they use what every
author of a layer may use, and nothing else of `Layer`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minifw._engine.composition import fits_one
from minifw._engine.sharing import check_layer
from minifw._engine.steps import refuse_axis
from minifw._tools.checks import check_array, check_cotangent
from minifw._tools.numbers import check_axis
from minifw.core.layer import Layer
from minifw.layers.container import Container
from minifw.layers.joining import cut, feature_axis, joined_shape
from minifw.typing import Array, Formulas, Shape

__all__ = ["Concat", "Residual"]


class Residual(Container):
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

    adds_shared: ClassVar[bool] = True
    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True

    def __init__(self, layer: Layer) -> None:
        self._hold((layer,))

    def _hold(self, layers: tuple[Layer, ...]) -> None:
        check_layer("Residual", layers[0])
        self._check_single(layers, layers)
        (self.layer,) = layers
        fits_one(self)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layer alone."""
        return (self.layer,)

    @property
    def input_shape(self) -> Shape | None:
        """What the layer accepts, if it says so."""
        return self.layer.input_shape

    @property
    def takes_sequences(self) -> bool:  # type: ignore[override]
        """Whether the layer does."""
        return self.layer.takes_sequences

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`, or raise if the layer makes another of it."""
        given: Shape = self.ask(0, "output_shape", input_shape)
        if given != input_shape:
            raise ValueError(
                "Residual expects a layer that keeps the shape of its input, but "
                f"{self.layer!r} makes {given} of {input_shape}"
            )
        return given

    def forward(self, x: Array) -> Array:
        """Return y = x + f(x)."""
        check_array(self, "x", x)
        self.begin()
        inner = self.ask(0, "forward", x)  # the shape of x
        y = self._added(x, inner)
        self.end(x)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy + f'(x)' dy, and set the gradients of the layer's parameters."""
        self._check_dy(dy)
        inner = self.ask(0, "backward", dy)
        self._check_kept("backward", inner, "dy", dy)
        dx: Array = dy + inner  # the shape of x
        return dx

    def backward_parameters(self, dy: Array) -> None:
        """Set the gradients of the layer's parameters, without its dL/dx."""
        self._check_dy(dy)
        self.ask(0, "backward_parameters", dy)

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        """Return y, and what the layer keeps."""
        inner, state = self.ask(0, "step", x, kept)
        return self._added(x, inner), state

    def _added(self, x: Array, inner: Array) -> Array:
        self._check_kept("forward", inner, "x", x)
        y: Array = x + inner  # the shape of x
        return y

    def _place(self, index: int) -> str:  # noqa: ARG002 - there is but one
        return "the layer"

    def _check_dy(self, dy: Array) -> None:
        self.check_forward()
        (x,) = self.saved()
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


class Concat(Container):
    """Branches side by side: each layer gets x, and their outputs are joined.

    With f_0, f_1, ... being the layers,

        y = [f_0(x), f_1(x), ...],

    joined along the features. dy is cut where y was joined, and x, on which every
    branch depends, gets the sum of what they return:

        dx = f_0'(x)' dy_0 + f_1'(x)' dy_1 + ...

    Parameters
    ----------
    *layers : Layer
        At least one, none twice: a layer saves one forward at a time. Outputs
        differ in nothing but their features.
    axis : int, optional
        The axis of the features, counted with the batch. By default it is 1, the
        channels, of images, which have four axes, and else the last.

    Attributes
    ----------
    layers : tuple of Layer
        The branches. Parameters are called "0.weight" as in a `Sequential`, and
        ``concat[0] = layer`` replaces a branch.

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

    adds_shared: ClassVar[bool] = True
    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True

    _saved_widths: tuple[int, ...] = ()  # of the outputs of the latest forward

    def __init__(self, *layers: Layer, axis: int | None = None) -> None:
        self.axis = None if axis is None else check_axis("Concat", "axis", axis)
        super().__init__(*layers)

    def _hold(self, layers: tuple[Layer, ...]) -> None:
        super()._hold(layers)
        shapes = [layer.input_shape for layer in layers]
        self._check_equal("expects examples of shape", shapes, "every branch gets the same x")
        fits_one(self)

    @property
    def input_shape(self) -> Shape | None:
        """What the branches accept, if one says so."""
        shapes = (layer.input_shape for layer in self.layers)
        return next((shape for shape in shapes if shape is not None), None)

    @property
    def takes_sequences(self) -> bool:  # type: ignore[override]
        """Whether a branch does."""
        return any(layer.takes_sequences for layer in self.layers)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of one output example: the branches' features add up."""
        return self._joined(self._each("output_shape", [input_shape] * len(self)))

    def forward(self, x: Array) -> Array:
        """Return the outputs of all branches, joined along the features."""
        self.begin()
        y = self._side_by_side(self._each("forward", [x] * len(self)))
        self.end(y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx, the sum over the branches, and set the gradients of their parameters."""
        dxs = self._each("backward", self._cut(dy))
        self._check_equal("returns dx of shape", [dx.shape for dx in dxs], "x has one shape")
        self._check_dtypes("dx", dxs)
        total: Array = dxs[0].copy(order="K")  # the shape of x; never dy itself
        for dx in dxs[1:]:
            total += dx
        return total

    def backward_parameters(self, dy: Array) -> None:
        """Set the gradients of the branches' parameters, without any branch's dL/dx."""
        self._each("backward_parameters", self._cut(dy))

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        """Return y, and what each branch keeps."""
        refuse_axis(self, self.axis, x.ndim)
        pairs = [self.ask(i, "step", x, state) for i, state in enumerate(self._states(kept))]
        return self._side_by_side([y for y, _ in pairs]), [state for _, state in pairs]

    def _side_by_side(self, outputs: list[Array]) -> Array:
        """Return what the branches gave, (batch, ..., features, ...) each, as one array."""
        self._joined([output.shape for output in outputs], batch=1)
        axis = feature_axis(self.axis, outputs[0].ndim)
        self._check_dtypes("y", outputs)
        vars(self)["_saved_widths"] = tuple([output.shape[axis] for output in outputs])
        return np.concatenate(outputs, axis=axis)

    def _each(self, method: str, given: Sequence[Any]) -> list[Any]:
        """Return what each branch returns; a backward goes through them in reverse."""
        pairs = list(enumerate(given))
        if not method.startswith("backward"):
            return [self.ask(index, method, value) for index, value in pairs]
        return [self.ask(index, method, value) for index, value in pairs[::-1]][::-1]

    def _cut(self, dy: Array) -> list[Array]:
        """Return what of dy belongs to each branch, (batch, ..., features, ...)."""
        self.check_forward()
        (y,) = self.saved()
        check_cotangent(self, dy, y.shape, y.dtype)
        return cut(dy, self._saved_widths, self.axis)

    def _joined(self, shapes: Sequence[Shape], batch: int = 0) -> Shape:
        """Return the shape of joined outputs, or raise unless they go together."""
        givers = [f"layer {i}, {layer!r}, gives" for i, layer in enumerate(self.layers)]
        return joined_shape("Concat", givers, self.axis, shapes, batch)

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
