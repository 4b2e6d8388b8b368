"""The contract of a layer: two methods to write, and all that the base class adds."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from minifw._engine.members import members, note_assigned, walk
from minifw._engine.prediction import ROWS, evaluating, predict, probed_shape
from minifw._engine.sharing import LayerMemory, adding, check_returned
from minifw._engine.state import Loaded, aliases, astype, load_arrays, merged, named_arrays
from minifw._engine.steps import place_by_place, step
from minifw._engine.summary import Summary, summary
from minifw._tools.arguments import KeepsArguments, argument_names
from minifw._tools.cache import SavesForBackward
from minifw._tools.checks import check_array, check_cotangent, describe
from minifw._tools.numbers import check_flag
from minifw.core.parameter import Parameter
from minifw.typing import Array, Formulas, Shape

__all__ = ["Identity", "Layer"]


class Layer(KeepsArguments, SavesForBackward):
    """A differentiable function y = f(x; parameters): a subclass writes two methods.

    ``forward(x)`` returns y and saves what ``backward`` needs; ``backward(dy)``
    takes dL/dy, returns dL/dx, and overwrites the ``grad`` of each parameter.
    Nothing accumulates. A layer writes only into arrays that it made in this call and into its own
    gradients. ``super().__init__()`` is not needed.

    A layer of several inputs has an argument of ``forward`` for each; one with the
    default None may be left out. ``backward`` then returns a tuple, with a gradient for
    each argument that ``forward`` was given: None where there is no derivative, as for
    a mask, or where None was given. With several outputs, named in `output_names`,
    ``forward`` returns a tuple, and ``backward`` gets one dy for each.

    Parameters and nested layers are found in attributes, and in lists, tuples
    and dicts there. They are made in the constructor, or in the first forward. A
    layer saves one forward at a time, in attributes whose names begin with
    ``_saved``; copies are made without them. To use a layer several times in one forward, keep a
    `memory` of each use, and recall it before that use's backward.

    Attributes
    ----------
    training : bool
        Set by `train` and `eval`. A layer reads it if its modes differ.
    input_names, output_names : tuple of str
        The names of inputs are read off the signature of ``forward``: "mask?" may be left
        out, "xs*" is any number. The names of outputs are a class attribute, ("y",) by default.
    takes_sequences : class attribute, a bool
        Whether an example may also have an axis of time before what `input_shape` says.
    least_rows : class attribute, an int, default 1
        How many rows a batch of a training needs; 2 of `BatchNorm`. `Trainer` makes no smaller
        last batch.
    stepwise : class attribute, a bool, default False
        Whether `step` advances by one place of time. It says that ``forward`` works place by
        place, so what it gives for one place depends on no other. A subclass with another
        ``forward`` does not inherit it.
    adds_shared : class attribute, a bool
        Whether ``backward`` adds up the gradients of a parameter that several layers in here
        share, as the backward of minifw's own containers does. A subclass with another
        ``backward`` does not inherit it.
    buffers : class attribute, a tuple of str
        The names of attributes that hold arrays which belong to the state but
        are not trained, such as running means. `state_dict` has them, and
        `load_state_dict` copies into them. A layer may write into them.
    takes_whole_numbers : class attribute, a bool, or a tuple of names of inputs
        Whether x, or which inputs, hold whole numbers, such as the rows of a table. `predict`
        and `Trainer` then leave those as they are; else they cast x to the model's dtype.
    replayable : class attribute, a bool, default False
        A promise: ``forward`` and ``backward`` read x, dy, parameters, buffers, options and what
        was saved, and nothing else; they make NumPy calls on these, assign no attribute, and
        draw by ``self.rng.random(out=...)`` alone. The calls of a small step are then recorded
        and made again, which is faster. They must not read a value by ``np.asarray``, which no
        recording sees; it does see ``if (x > 3).any()``. A subclass does not inherit it.
    saturation : class attribute, a tuple (low, high) or None
        The outputs at which an activation lets no gradient through, such as (0, 1) of
        `Sigmoid`; high is infinite where there is one such side, as (0, inf) of `ReLU`.
        `Watch` reads it.
    probabilities : class attribute, a bool
        Whether the outputs are probabilities, as of `Sigmoid` and `Softmax`.
    linear : class attribute, a bool
        Whether y is a weighted sum of x, plus a constant, as of `Dense`. A row of its matrix is
        a unit.
    formulas : class attribute, a dict {str: str}, optional
        What `trace` writes beside the values: "y" and "dx", and the gradient of
        each parameter by its name. In braces stand x, y and dy, which become Z1
        or dA1, the names of parameters, and attributes that are numbers:
        ``formulas = {"y": "tanh({x})", "dx": "{dy} * (1 - {y}^2)"}``. A tuple lists
        alternatives: the first one whose names all exist is used. A formula of eval mode has its
        own key, as "y in eval mode". A subclass with another ``forward`` or ``backward`` does not
        inherit it.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Layer, Parameter
    >>> class Scale(Layer):
    ...     '''y = x * scale, one factor per feature.'''
    ...     def __init__(self, features):
    ...         self.scale = Parameter(np.ones(features))
    ...     def forward(self, x):
    ...         self.save(x)
    ...         return x * self.scale.value
    ...     def backward(self, dy):
    ...         (x,) = self.saved()
    ...         self.scale.grad[...] = (dy * x).sum(axis=0)
    ...         return dy * self.scale.value
    >>> layer = Scale(3)
    >>> layer, layer.output_shape((3,)), layer.named_parameters()
    (Scale(3), (3,), [('scale', Parameter(shape=(3,), dtype=float64))])
    """

    training: bool = True
    frozen: bool = False
    output_names: ClassVar[tuple[str, ...]] = ("y",)
    takes_sequences: ClassVar[bool] = False
    stepwise: ClassVar[bool] = False
    adds_shared: ClassVar[bool] = False
    buffers: ClassVar[tuple[str, ...]] = ()
    least_rows: ClassVar[int] = 1
    takes_whole_numbers: ClassVar[bool | tuple[str, ...]] = False
    replayable: ClassVar[bool] = False
    saturation: ClassVar[tuple[float, float] | None] = None
    probabilities: ClassVar[bool] = False
    linear: ClassVar[bool] = False
    formulas: ClassVar[Formulas] = MappingProxyType({})

    # -- what an author writes ---------------------------------------------------

    @abstractmethod
    def forward(self, *xs: Any, **named: Any) -> Array | tuple[Array, ...]:
        """Return y = f(x), and save what ``backward`` needs."""

    @abstractmethod
    def backward(self, *dys: Any, **named: Any) -> Array | tuple[Array | None, ...]:
        """Return dL/dx from dy = dL/dy, and overwrite the gradients of the parameters."""

    def backward_parameters(self, *dys: Any, **named: Any) -> None:
        """Overwrite the gradients of the parameters as ``backward`` does, without dL/dx.

        It is called where dL/dx is not needed, as in the first layer. The default calls
        ``backward``; an override saves time.
        """
        self.backward(*dys, **named)

    @property
    def input_shape(self) -> Shape | None:
        """The shape of one example, if this layer accepts only one; else None."""
        return None

    def output_shape(self, *shapes: Any, **named: Any) -> Any:
        """Return the shape of one output example, given the shape of an example of each input.

        None of them counts the batch axis. Inputs that may be left out are left out; of several
        outputs a tuple of shapes is returned. The default asks a copy of the layer, in
        eval mode, with a batch of one example of zeros, or of ones if it refuses zeros.
        """
        return probed_shape(self, *shapes, **named)

    def split_last(self, output: int = 0) -> "tuple[Layer | None, Layer]":  # noqa: ARG002
        """Return the part before the last layer of an output, or None, and that layer.

        A container that ends in one layer overrides it, so an `Objective`
        can join a final activation with its loss.
        """
        return None, self

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs."""
        return argument_names(type(self).forward)

    @property
    def _whole_inputs(self) -> tuple[bool, ...]:
        """Whether each input holds whole numbers; by default, all of them if any layer's do."""
        takes, names = self.takes_whole_numbers, self.input_names
        if isinstance(takes, tuple):
            return tuple([name.rstrip("?*") in takes for name in names])
        inside = (layer.takes_whole_numbers is True for _, layer in self.named_layers())
        return (takes or any(inside),) * len(names)

    # -- what is inside ----------------------------------------------------------

    def named_layers(self) -> list[tuple[str, "Layer"]]:
        """Return all layers inside this one, nested ones too, as ("0", layer) and so on."""
        return [(name, member) for name, member in self._walk() if isinstance(member, Layer)]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """Return all parameters, nested ones too, as ("0.weight", parameter) and so on.

        In definition order; one that is reached in two ways is listed once. Frozen ones
        are among them.
        """
        return [(name, member) for name, member in self._walk() if isinstance(member, Parameter)]

    def parameters(self) -> list[Parameter]:
        """Return all parameters that are trained, nested ones too, in definition order."""
        return [p for _, p in self.named_parameters() if not p.frozen]

    def count_params(self) -> int:
        """Return how many numbers the parameters have, frozen ones too; buffers are none.

        For trained parameters alone use ``sum(p.size for p in model.parameters())``.

        Examples
        --------
        >>> from minifw import Dense, Sequential, Tanh
        >>> Sequential(Dense(2, 4), Tanh(), Dense(4, 1)).count_params()
        17
        """
        return sum(parameter.size for _, parameter in self.named_parameters())

    def named_buffers(self) -> list[tuple[str, Array]]:
        """Return the arrays named in `buffers`, of nested layers too, by name."""
        return [
            (f"{name}.{buffer}" if name else buffer, getattr(layer, buffer))
            for name, layer in self._all_layers()
            for buffer in layer.buffers
        ]

    def _all_layers(self) -> list[tuple[str, "Layer"]]:
        """Return this layer, whose name is "", and all inside it."""
        return [("", self), *self.named_layers()]

    def _members(self) -> Iterator[tuple[str, "Parameter | Layer"]]:
        """Yield what this layer holds itself, attribute by attribute as they were set."""
        return members(self)

    def _walk(self) -> list[tuple[str, "Parameter | Layer"]]:
        """Return what this layer holds and, after each layer, what that one holds; each once."""
        return walk(self)

    if not TYPE_CHECKING:  # to mypy, a class that has it would take any attribute

        def __setattr__(self, name: str, value: object) -> None:
            held = vars(self).get(name)
            if isinstance(held, Parameter) and not (value is None or isinstance(value, Parameter)):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a Parameter, got {describe(value)} in its "
                    f"place; assign to its value: layer.{name}.value = ..."
                )
            super().__setattr__(name, value)
            note_assigned(self, name, held, value)

        def __delattr__(self, name: str) -> None:
            held = vars(self).get(name)
            super().__delattr__(name)
            note_assigned(self, name, held, None)

    # -- use ---------------------------------------------------------------------

    def __call__(self, *xs: Any) -> Array:  # a tuple of several outputs, which unpacks as well
        """Return ``forward(*xs)``."""
        y: Array = self.returned("forward", self.forward(*xs), len(self.output_names))
        return y

    def returned(self, method: str, result: Any, count: int = 1) -> Any:
        """Return `result`, or raise unless this layer's `method` returned so many arrays."""
        if count == 1 and isinstance(result, np.ndarray):
            return result
        return check_returned(self, method, result, count)

    def step(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        """Return the output at one more place of time, and the state to continue from.

        Parameters
        ----------
        x : array of shape (batch, ...)
            One place of a sequence, without the axis of time; with several inputs a tuple. An
            input that is not a sequence of such places, as a memory, is given as it is each time.
        state : what the step before returned, or None at the start
            The step uses it up. `copy.deepcopy` branches it.

        Returns
        -------
        y : array, or a tuple of several outputs
            What ``forward``, in eval mode, gives at this place for the sequence so far.
        state : object or None

        Raises
        ------
        TypeError
            If the layer is not `stepwise`, or did not make the state.
        RuntimeError
            If the state was used up by an earlier step.

        Notes
        -----
        It runs in eval mode and saves nothing. An author overrides it for a layer that keeps
        something from place to place. `Predictor.step` keeps the state for you.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import GRU
        >>> layer, x = GRU(2, 3, rng=0), np.ones((1, 4, 2))
        >>> state = None
        >>> for place in range(4):
        ...     y, state = layer.step(x[:, place], state)
        >>> np.allclose(y, layer.forward(x)[:, -1])
        True
        """
        return step(self, x, state)

    _step = place_by_place  # returns y, and what to keep
    _flow: Any = ()  # the lines of a container in which layers take what others make

    def train(self, mode: bool = True) -> Self:
        """Put this layer and all inside it into train mode (or eval mode); return it.

        What is frozen stays in eval mode.
        """
        for _, layer in self._all_layers():
            layer.training = mode and not layer.frozen
        return self

    def eval(self) -> Self:
        """Put this layer and all inside it into eval mode; return it."""
        return self.train(False)

    def freeze(self, mode: bool = True) -> Self:
        """Exclude this layer and all inside it from training; return it.

        Its parameters are not among `parameters`, and it stays in eval mode, so a
        `BatchNorm` keeps its means. ``freeze(False)`` undoes it; `train` then gives back
        the mode. Build the optimizer afterwards, each time. Files do not hold it.

        Examples
        --------
        >>> from minifw import Dense, Sequential, Tanh
        >>> model = Sequential(Dense(2, 4), Tanh(), Dense(4, 1))
        >>> body = model[0].freeze()
        >>> len(model.parameters()), len(model.named_parameters())
        (2, 4)
        """
        for _, layer in self._all_layers():
            layer.frozen = check_flag(type(self).__name__, "freeze", mode)
            layer.training = layer.training and not mode
        for _, parameter in self.named_parameters():
            parameter.frozen = mode
        return self

    def astype(self, dtype: npt.DTypeLike) -> Self:
        """Return a copy of this layer and all inside it that computes in another dtype.

        Parameters
        ----------
        dtype : float64 or float32

        Raises
        ------
        TypeError
            If it is another dtype.
        ValueError
            If a number is too large for it.

        Notes
        -----
        As with NumPy's ``astype``, the original stays as it is, and so do an optimizer, a
        `Trainer` and a `Predictor` that were built for it: build new ones for the copy. The copy
        has the modes, the frozen parameters and the ties of the original, and generators in
        the same states; its gradients are 0. Cast are parameters, arrays of floating-point
        numbers in attributes, such as buffers, and the arguments that the repr and a file
        show. In an author's layer that is an argument called ``dtype``.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import Dense, Sequential, Tanh
        >>> model = Sequential(Dense(2, 4, rng=0), Tanh())
        >>> small = model.astype(np.float32)
        >>> small, small(np.ones((1, 2), np.float32)).dtype, model[0].weight.dtype
        (Sequential(Dense(2, 4, rng=0, dtype=float32), Tanh()), dtype('float32'), dtype('float64'))
        """
        return astype(self, dtype)

    def memory(self) -> LayerMemory:
        """Return what the latest forward saved in this layer and all inside it.

        The arrays are not copied. With `recall` and `backward_adding` it is for a loop that
        uses a layer several times in one forward.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import Dense
        >>> layer = Dense(1, 1, rng=0)
        >>> memories = []
        >>> for x in (np.array([[1.0]]), np.array([[10.0]])):
        ...     y = layer.forward(x)
        ...     memories.append(layer.memory())
        >>> layer.weight.grad[...] = 0.0
        >>> for memory in memories:
        ...     layer.recall(memory)
        ...     dx = layer.backward_adding(np.array([[1.0]]))
        >>> layer.weight.grad
        array([[11.]])
        """
        return [(layer, layer._all_saved()) for _, layer in self._all_layers()]

    def recall(self, memory: LayerMemory) -> None:
        """Put back what `memory` returned.

        Raises
        ------
        ValueError
            If it is of another layer.
        """
        layers = [layer for _, layer in self._all_layers()]
        if [id(layer) for layer, _ in memory] != [id(layer) for layer in layers]:
            raise ValueError(f"{self!r}.recall expects what its own memory() returned")
        for layer, saved in memory:
            layer._put_back(saved)

    def backward_adding(self, *dys: Any) -> Any:
        """Do what ``backward`` does, but add to the gradients of the parameters."""
        with adding(self.parameters()):
            return self.backward(*dys)

    def evaluating(self) -> AbstractContextManager[object]:
        """Put all layers into eval mode; afterwards give back modes, and what they had saved.

        `predict` does it for you; use it for a forward that you call between a forward and its
        backward. Meanwhile other threads may predict, and copies that they make have the modes
        from before.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import Dropout
        >>> layer = Dropout(0.5, rng=0)
        >>> with layer.evaluating():
        ...     print(layer(np.ones(3)))
        [1. 1. 1.]
        >>> layer.training
        True
        """
        return evaluating(self)

    def predict(self, x: Any, *, batch_size: int = ROWS, allow_nan: bool = False) -> Any:
        """Return the outputs for all rows of `x`, in eval mode, a batch at a time.

        Parameters
        ----------
        x : array of shape (examples, ...)
            It is cast to the dtype of the parameters; one that is mapped from a file is
            read batch by batch. With several inputs, it is a tuple of arrays, or a dict by name,
            and truth values in it, such as masks, stay what they are.
        batch_size : int, default 256
            How many rows go through the layer at once.
        allow_nan : bool, default False
            Whether outputs may be NaN or infinite.

        Returns
        -------
        array of shape (examples, ...), or a tuple of several outputs

        Raises
        ------
        TypeError, ValueError
            If `x` holds no real numbers, or no rows, or not of this layer's shape.
        NonFiniteError
            If an output is NaN or infinite; it names the first such row, and whether that
            row of `x` is finite.

        Notes
        -----
        The layer keeps its mode, and what it saved for ``backward``. Threads
        that predict take turns, and none may train meanwhile; a `Predictor` is faster. Even
        under ``np.errstate(all="raise")`` an underflow raises nothing here: the result is 0.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import Dense, Dropout, Sequential
        >>> model = Sequential(Dense(1, 1), Dropout(0.5))
        >>> model[0].weight.value = [[2.0]]
        >>> model.predict([[1], [2], [3]]), model.training
        (array([[2.],
               [4.],
               [6.]]), True)
        """
        return predict(self, x, batch_size, allow_nan)

    def summary(self, input_shape: Any = None, *, depth: int | None = None) -> Summary:
        """Return the layers in here, with output shapes, parameters and bytes; print it.

        `input_shape` is the shape of one example, without the batch, if the layer does not state
        it; `depth` is how many levels of layers are shown. See `minifw.summary`.
        """
        return summary(self, input_shape, depth=depth)

    # -- state -------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of every parameter's value and of every buffer, by name."""
        return {name: array.copy() for name, array in self._state().items()}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike], strict: bool = True) -> Loaded:
        """Copy the values of `state` into the parameters and buffers.

        Parameters
        ----------
        state : dict {str: array}
            As `state_dict` returns it.
        strict : bool, default True
            Whether `state` must have all names and no others. If not, parameters without a value
            keep theirs, and values without a place are ignored.

        Returns
        -------
        Loaded
            Two lists of names, as in PyTorch: `missing_keys` and `unexpected_keys`.

        Raises
        ------
        ValueError
            If a name is missing or unexpected, or a shape differs; all faults are named,
            and nothing is changed. If two names of a tied parameter have different values.
        TypeError
            If a value does not hold real numbers; nothing is changed.
        """
        own, owner = self._state(), f"{type(self).__name__}.load_state_dict"
        if isinstance(state, Mapping) and not own.keys() >= state.keys():
            state = merged(owner, aliases(self, own), state)
        return load_arrays(owner, own, state, self._check_buffers, strict=strict)

    def check_buffer(self, name: str, value: Array) -> None:
        """Raise if a buffer may not hold such numbers; asked before anything is loaded."""

    def _check_buffers(self, new: Mapping[str, Array]) -> None:
        for name, layer in self._all_layers():
            for buffer in layer.buffers:
                if (full := f"{name}.{buffer}".removeprefix(".")) in new:
                    layer.check_buffer(buffer, new[full])

    def _state(self) -> dict[str, Array]:
        """Return the arrays themselves."""
        return named_arrays(self)


class Identity(Layer):
    """y = x: a branch without a layer, or what remains of a model whose activation was joined.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Identity
    >>> Identity().forward(np.array([[1.0, 2.0]]))
    array([[1., 2.]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "{x}", "dx": "{dy}"}

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        return input_shape

    def forward(self, x: Array) -> Array:
        """Return a copy of x."""
        check_array(self, "x", x)
        self.save(x)
        return x.copy("K")

    def backward(self, dy: Array) -> Array:
        """Return a copy of dy."""
        (x,) = self.saved()
        check_cotangent(self, dy, x.shape, x.dtype)
        return dy.copy("K")
