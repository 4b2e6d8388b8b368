"""A trainable array with its gradient."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minifw._engine.packing import Memory, Place
from minifw._tools.changes import CHANGES
from minifw._tools.checks import DTYPES, describe
from minifw._tools.numbers import check_flag
from minifw.typing import Array, DType, Shape

__all__ = ["Parameter"]


class Parameter:
    """A trainable array with its gradient.

    Parameters
    ----------
    value : array_like of float32 or float64
        The initial value; it is copied.

    Attributes
    ----------
    frozen : bool
        Whether it is left as it is in training; see `Layer.freeze`.

    Notes
    -----
    `value` and `grad` are arrays of one shape and dtype: read them, write into
    them (``p.value[...] = 0``), or assign to them, which copies in after a
    check of the shape. They are views, and building an optimizer moves them:
    take ``p.value`` again rather than keep the array. Copies and pickles are
    independent of the original. A layer whose Parameter is replaced by another one, or
    frozen, needs a new optimizer: older ones raise at their next step.

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

    if not TYPE_CHECKING:  # pyright takes a name in the slots for the plain property of it
        __slots__ = ("__weakref__", "_memory", "_places", "_start", "frozen", "grad", "value")

    _memory: Memory
    _start: int
    _places: frozenset[Place]  # the attributes of layers that hold it
    frozen: bool
    if TYPE_CHECKING:  # read as an array, assigned from what makes one

        @property
        def value(self) -> Array:
            """The numbers."""

        @value.setter
        def value(self, new: npt.ArrayLike) -> None: ...
        @property
        def grad(self) -> Array:
            """The derivative of the loss with respect to them."""

        @grad.setter
        def grad(self, new: npt.ArrayLike) -> None: ...

    def __init__(self, value: npt.ArrayLike) -> None:
        array = np.asarray(value)
        if array.dtype not in DTYPES:
            raise TypeError(
                f"Parameter expects float64 or float32 numbers, got {describe(array)}; "
                "use np.asarray(value, dtype=np.float64)"
            )
        object.__setattr__(self, "frozen", False)
        self._note_places(frozenset())
        self._place_in(Memory.of(array), 0, array.shape)

    def _place_in(self, memory: Memory, start: int, shape: Shape) -> None:
        """Make `value` and `grad` views of `memory`, from `start` on."""
        stop = start + math.prod(shape)
        put = object.__setattr__
        put(self, "_memory", memory)
        put(self, "_start", start)
        put(self, "value", memory.values[start:stop].reshape(shape))
        put(self, "grad", memory.grads[start:stop].reshape(shape))
        CHANGES.count += 1  # a recorded step that kept the old arrays sees it here

    def _note_places(self, places: frozenset[Place]) -> None:
        object.__setattr__(self, "_places", places)

    def __setattr__(self, name: str, new: Any) -> None:
        """Copy what is assigned into `value` or `grad`, after a check."""
        if name == "frozen":
            object.__setattr__(self, name, check_flag("Parameter", name, new))
            self._memory.moved += 1  # an optimizer that was built before looks, and raises
            CHANGES.count += 1
            return
        if name not in ("value", "grad"):
            raise AttributeError(f"Parameter has no attribute {name!r} to assign to")
        old, array = getattr(self, name), np.asarray(new)
        if not np.can_cast(array.dtype, old.dtype, "same_kind"):
            raise TypeError(f"Parameter.{name} holds {old.dtype} numbers, got {describe(array)}")
        if array.shape != old.shape:
            raise ValueError(
                f"Parameter.{name} has shape {old.shape}, got an array of shape {array.shape}"
            )
        old[...] = array
        if name == "grad":
            self._memory.signed = 0  # not written by an Objective's backward; `step` asks

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

    __array_ufunc__ = __array__

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"

    def __copy__(self) -> "Parameter":
        twin = Parameter.__new__(Parameter)
        twin.__setstate__(self.__getstate__())
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> "Parameter":
        memo[id(self)] = twin = self.__copy__()
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle is made of, by every protocol and by skops."""
        return {"value": self.value, "grad": self.grad, "frozen": self.frozen}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["value"])  # type: ignore[misc] # with a memory of its own
        self.grad, self.frozen = state["grad"], state["frozen"]
