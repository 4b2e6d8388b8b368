"""A trainable array, and the memory that trainable arrays share.

Every parameter is a view into a `Memory`: one 1-D array of values and one of
gradients. A new parameter has a memory to itself. An optimizer moves its
parameters into one memory, back to back, so that an update, a norm or a clip is
a few NumPy calls on two vectors, whatever the number of layers.
"""

import math
import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from minifw._core.arrays import finite_vector
from minifw._core.checks import DTYPES, describe
from minifw._core.errors import StaleArrayWarning
from minifw._core.typing import Array, DType, Shape

__all__ = [
    "Author",
    "Gradients",
    "Memory",
    "Parameter",
    "ParameterVector",
    "check_parameters",
    "gradient_vectors",
    "why_not_finite",
]


class Author(Protocol):
    """Who wrote gradients, and can say where a bad one arose."""

    def explain_gradient(self) -> str | None:
        """Return where, or None if it cannot be found."""


class Memory:
    """One vector of values and one of gradients, in which parameters live."""

    __slots__ = ("author", "grads", "intact", "shared", "values")

    def __init__(self, size: int, dtype: DType) -> None:
        self.values: Array = np.zeros(size, dtype)
        self.grads: Array = np.zeros(size, dtype)
        self.intact = True  # until a parameter moves out
        self.shared = False  # until a ParameterVector looks at it
        self.author: Author | None = None  # of the gradients, until the next step


class Parameter:
    """A trainable array with its gradient.

    Parameters
    ----------
    value : array_like of float32 or float64
        The initial value; it is copied.

    Notes
    -----
    `value` and `grad` are arrays of one shape and dtype: read them, write into
    them (``p.value[...] = 0``), or assign to them, which copies in after a
    check of the shape. They are views, and building an optimizer moves them:
    take ``p.value`` anew rather than keep the array. Copies and pickles are
    independent of the original.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Parameter
    >>> p = Parameter(np.ones(3))
    >>> p.value = [1.0, 2.0, 3.0]
    >>> p.value, p.grad
    (array([1., 2., 3.]), array([0., 0., 0.]))
    >>> p.value = np.zeros((3, 1))
    Traceback (most recent call last):
        ...
    ValueError: Parameter.value has shape (3,), got an array of shape (3, 1)
    """

    __slots__ = ("__weakref__", "_memory", "_start", "grad", "value")

    _memory: Memory
    _start: int
    if TYPE_CHECKING:  # read as an array, assigned from what makes one

        @property
        def value(self) -> Array: ...
        @value.setter
        def value(self, new: npt.ArrayLike) -> None: ...
        @property
        def grad(self) -> Array: ...
        @grad.setter
        def grad(self, new: npt.ArrayLike) -> None: ...

    def __init__(self, value: npt.ArrayLike) -> None:
        array = np.asarray(value)
        if array.dtype not in DTYPES:
            raise TypeError(
                f"Parameter expects float64 or float32 numbers, got {describe(array)}; "
                "use np.asarray(value, dtype=np.float64)"
            )
        self._live_in(Memory(array.size, array.dtype), 0, array.shape)
        self.value = array

    def __setattr__(self, name: str, new: npt.ArrayLike) -> None:
        """Copy in what is assigned to `value` or `grad`; reading them costs nothing extra."""
        if name not in ("value", "grad"):
            raise AttributeError(f"Parameter has no attribute {name!r} to assign to")
        _copy_in(f"Parameter.{name}", getattr(self, name), new)

    def _live_in(self, memory: Memory, start: int, shape: Shape) -> None:
        """Make this parameter a view of `memory` from `start` on."""
        stop = start + math.prod(shape)
        place = object.__setattr__
        place(self, "_memory", memory)
        place(self, "_start", start)
        place(self, "value", memory.values[start:stop].reshape(shape))
        place(self, "grad", memory.grads[start:stop].reshape(shape))

    @property
    def shape(self) -> Shape:
        """The shape of `value` and `grad`."""
        shape: Shape = self.value.shape
        return shape

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.value.size

    @property
    def dtype(self) -> DType:
        """The dtype of `value` and `grad`."""
        return self.value.dtype

    def __array__(self, *_: object, **__: object) -> Array:
        raise TypeError("a Parameter is not an array; use its .value")

    def __array_ufunc__(self, *_: object, **__: object) -> Array:
        raise TypeError("a Parameter is not an array; use its .value")

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.value.copy(), self.grad.copy())

    def __deepcopy__(self, memo: dict[int, Any]) -> "Parameter":
        memo[id(self)] = twin = _restore(self.value, self.grad)
        return twin

    def __copy__(self) -> "Parameter":
        return _restore(self.value, self.grad)


def _restore(value: Array, grad: Array) -> Parameter:
    parameter = Parameter(value)
    parameter.grad = grad
    return parameter


def _copy_in(name: str, old: Array, new: npt.ArrayLike) -> None:
    array = np.asarray(new)
    if not np.can_cast(array.dtype, old.dtype, "same_kind"):
        raise TypeError(f"{name} holds {old.dtype} numbers, got {describe(array)}")
    if array.shape != old.shape:
        raise ValueError(f"{name} has shape {old.shape}, got an array of shape {array.shape}")
    old[...] = array


class ParameterVector:
    """Parameters that live back to back: one vector of values, one of gradients.

    Parameters
    ----------
    owner : str
        Who wants them so, for the messages.
    parameters : iterable of Parameter
        At least one, all of one dtype, none twice.

    Attributes
    ----------
    values, grads : array of shape (number of elements,)
        Every ``p.value`` and ``p.grad`` is a view of these.
    memory : Memory
        Where they live. While ``memory.intact`` holds, nothing has moved: one
        attribute to look at, whatever the number of parameters.

    Notes
    -----
    Parameters that already lie side by side in this order, be it as a part of
    a longer memory, stay where they are: two optimizers then share them.
    Otherwise all move into a memory of their own, and whoever else held a
    vector over them finds it no longer intact.
    """

    def __init__(self, owner: str, parameters: Iterable[Parameter]) -> None:
        self.owner = owner
        self.parameters = check_parameters(owner, parameters)
        if not self._side_by_side():
            self._move_together()
        self._look()

    def _side_by_side(self) -> bool:
        first = self.parameters[0]
        memory, start = first._memory, first._start
        for parameter in self.parameters:
            if parameter._memory is not memory or parameter._start != start:
                return False
            start += parameter.size
        return True

    def _move_together(self) -> None:
        memory = Memory(sum(p.size for p in self.parameters), self.parameters[0].dtype)
        start, left = 0, []
        for parameter in self.parameters:
            left += _move(parameter, memory, start)
            start += parameter.size
        held = [array for array in (ref() for ref in left) if array is not None]
        for array in held:
            array.flags.writeable = False  # to write into it is an error from now on
        if held:
            warnings.warn(
                f"{self.owner} moved its parameters into one vector: an array taken from .value "
                "or .grad before no longer follows, and is read-only; take it again",
                StaleArrayWarning,
                stacklevel=5,  # the line that builds the optimizer
            )

    def _look(self) -> Memory:
        first, last = self.parameters[0], self.parameters[-1]
        self.memory = first._memory
        self.memory.shared = True
        self.values = self.memory.values[first._start : last._start + last.size]
        self.grads = self.memory.grads[first._start : last._start + last.size]
        return self.memory

    def follow(self) -> Memory:
        """Find the parameters again after some left the memory that they lived in.

        Raises
        ------
        RuntimeError
            If another optimizer took some of them into a vector of its own.
        """
        if not self._side_by_side():
            raise RuntimeError(
                f"{self.owner} can no longer step: another optimizer, built later over some of "
                "its parameters, moved them; build this one anew after that one, "
                "or give each optimizer parameters of its own"
            )
        return self._look()

    def __reduce__(self) -> tuple[Any, ...]:
        return ParameterVector, (self.owner, self.parameters)


class Gradients:
    """The gradients of some parameters, on their way from an Objective to the optimizers.

    Whoever steps looks at all gradients at once, so they are not looked at
    twice: the author of the gradients is left with them, to be asked where a bad
    one arose. Gradients that no optimizer steps are looked at here.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._parameters = tuple(parameters)
        self._memories: tuple[Memory, ...] = ()
        self._own: tuple[Parameter, ...] = self._parameters  # those that no optimizer steps

    def hand_over(self, author: "Author") -> bool:
        """Leave the author with the gradients; return whether those of no optimizer are finite."""
        changed = bool(self._own)  # an optimizer may have taken them since
        for memory in self._memories:
            memory.author = author
            changed = changed or not memory.intact
        if not changed:
            return True
        self._look()
        for memory in self._memories:
            memory.author = author
        return all(finite_vector(p.grad.ravel()) for p in self._own)

    def _look(self) -> None:
        shared = [p._memory for p in self._parameters if p._memory.shared]
        self._memories = tuple({id(memory): memory for memory in shared}.values())
        self._own = tuple(p for p in self._parameters if not p._memory.shared)

    def __reduce__(self) -> tuple[Any, ...]:
        return Gradients, (self._parameters,)


def check_parameters(owner: str, parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """Return the parameters, or raise unless they are some, of one dtype, and none twice."""
    one_thing = isinstance(parameters, Mapping) or hasattr(parameters, "parameters")
    if one_thing or not isinstance(parameters, Iterable):
        raise TypeError(
            f"{owner} expects parameters, got {describe(parameters)}{_fix(parameters)}"
        )
    found = tuple(parameters)
    for parameter in found:
        if not isinstance(parameter, Parameter):
            raise TypeError(
                f"{owner} expects parameters, got {describe(parameter)}{_fix(parameter)}"
            )
    if not found:
        raise ValueError(f"{owner} expects at least one parameter, got none")
    if len({id(p) for p in found}) < len(found):
        raise ValueError(f"{owner} expects every parameter once, got one of them twice")
    dtypes = {str(p.dtype) for p in found}
    if len(dtypes) > 1:
        raise TypeError(
            f"{owner} expects parameters of one dtype, got {' and '.join(sorted(dtypes))}; "
            "build the layers with the same dtype, or an optimizer for each"
        )
    return found


def gradient_vectors(parameters: Iterable[Parameter]) -> list[Array]:
    """Return the gradients as few vectors as possible: one, where an optimizer packed them."""
    vectors: list[Array] = []
    memory, start, stop = None, 0, 0
    for parameter in parameters:
        if vectors and parameter._memory is memory and parameter._start == stop:
            vectors.pop()
        else:
            memory, start = parameter._memory, parameter._start
        stop = parameter._start + parameter.size
        vectors.append(parameter._memory.grads[start:stop])
    return vectors


def why_not_finite(
    parameters: Iterable[Parameter], author: Author | None = None, when: str = ""
) -> str | None:
    """Return which gradient is not finite, and what its author says of it; None if all are."""
    for index, parameter in enumerate(parameters):
        bad = int(np.sum(~np.isfinite(parameter.grad)))
        if bad:
            author = author or parameter._memory.author
            where = author.explain_gradient() if author is not None else None
            return (
                f"the gradient of parameter {index}, of shape {parameter.shape}, is not finite "
                f"in {bad} of {parameter.size} elements{when}{f': {where}' if where else ''}"
            )
    return None


def _fix(wrong: object) -> str:
    """Return how to mend what was passed in the place of parameters."""
    if isinstance(wrong, Parameter):
        return " alone; put it in a list"
    if hasattr(wrong, "parameters"):
        return "; pass its .parameters()"
    if callable(wrong):
        return "; call it: model.parameters()"
    return "; pass model.parameters()"


def _move(parameter: Parameter, memory: Memory, start: int) -> list["weakref.ref[Array]"]:
    """Move a parameter; return weak references to the arrays it left, to see who holds them.

    A view of a view refers to the array at the root, so in a memory that the
    parameter still had to itself the root tells of views as well.
    """
    old, value, grad = parameter._memory, parameter.value, parameter.grad
    left = [weakref.ref(value), weakref.ref(grad)]
    if not old.shared:
        left += [weakref.ref(old.values), weakref.ref(old.grads)]
    parameter._live_in(memory, start, value.shape)
    parameter.value[...] = value
    parameter.grad[...] = grad
    old.intact = False
    return left
