"""Parameters packed into one vector, so an update is a few NumPy calls.

Every parameter is a view into a `Memory`: a 1-D array of values and one of
gradients. A new parameter has a memory to itself. An optimizer packs its
parameters into one, back to back, so a step, a norm or a clip is a few NumPy
calls on two vectors, whatever the number of layers.
"""

import itertools
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np

from minifw._engine.protocols import AnyParameter
from minifw._tools.arrays import finite_vector
from minifw._tools.checks import describe
from minifw._tools.loading import is_blank
from minifw._tools.numbers import check_positive
from minifw._tools.warn import warn_user
from minifw.errors import NonFiniteError, StaleArrayWarning
from minifw.typing import Array, DType

_SAMPLE = 64  # the last so many numbers of a gradient, by which it is recognised
_SIGNINGS = itertools.count(1)  # each backward of an Objective has a number


class Place(NamedTuple):
    """An attribute of a layer, and whether a parameter is there, or is gone from there."""

    name: str
    layer: int
    there: bool


class Author(Protocol):
    """Who wrote gradients, and can say where a bad one arose."""

    def explain_gradient(self) -> str | None:
        """Return where, or None if it cannot be found."""


class Reader(Protocol):
    """Holds the arrays of a memory to use them again, as a recording does."""

    def let_go(self) -> None:
        """Hold them no more."""


class Memory:
    """One vector of values and one of gradients, in which parameters live."""

    __slots__ = ("author", "grads", "moved", "packed", "readers", "signed", "values")

    def __init__(self, size: int, dtype: DType) -> None:
        self.values: Array = np.zeros(size, dtype)
        self.grads: Array = np.zeros(size, dtype)
        self.moved = 0  # how often a parameter left it, or a layer
        self.packed = False  # whether a FlatParameters looks at it
        self.author: Author | None = None  # of the gradients, until the next step
        self.readers: weakref.WeakSet[Reader] | None = None  # while it is not packed
        self.signed = 0  # the number of the backward that wrote them; 0 if none is known

    def note_reader(self, reader: Reader) -> None:
        """Note who holds its arrays, and lets go of them when the parameter moves."""
        if not self.packed:  # a view of a packed one is asked for directly
            self.readers = self.readers or weakref.WeakSet()
            self.readers.add(reader)

    @classmethod
    def of(cls, array: Array) -> "Memory":
        """Return one with a copy of the values; zeros take no memory until one is written."""
        memory = cls(array.size, array.dtype)
        if not is_blank(array):
            memory.values.reshape(array.shape)[...] = array
        return memory


class FlatParameters:
    """Parameters that live back to back: one vector of values, one of gradients.

    Parameters
    ----------
    owner : str
        Who wants them so, for the messages.
    parameters : tuple of Parameter
        At least one, all of one dtype, none twice.

    Attributes
    ----------
    values, grads : array of shape (number of elements,)
        Every ``p.value`` and ``p.grad`` is a view of these.
    memory : Memory
        Where they live.
    stepped : tuple of int, bytes
        Which backward of an `Objective` had signed the gradient of the latest step, and what
        ``sample()`` was then: gradients that are written by hand have other bits.
    moved : int
        While ``memory.moved`` is this, all is as it was: one number to look at, whatever
        the number of parameters. Otherwise `refresh` finds them again, or raises.

    Notes
    -----
    Parameters that already lie side by side in this order, also as a part of a longer memory, stay
    where they are: two optimizers then share them. Otherwise all move into their own memory, and
    another holder of a vector over them finds that they have moved.
    """

    def __init__(self, owner: str, parameters: tuple[Any, ...]) -> None:
        self.owner = owner
        self.parameters = parameters
        self._places: list[frozenset[Place]] = [p._places for p in parameters]
        if not self._side_by_side():
            self._move_together()
        self._bind()

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
        stale = [array for array in (ref() for ref in left) if array is not None]
        for array in stale:
            array.flags.writeable = False  # to write into it is an error from now on
        if stale:
            warn_user(
                f"{self.owner} moved its parameters into one vector: an array taken from .value "
                "or .grad before no longer follows, and is read-only; take it again",
                StaleArrayWarning,
            )

    def _bind(self) -> Memory:
        first, last = self.parameters[0], self.parameters[-1]
        memory: Memory = first._memory
        memory.packed = True
        self.memory, self.moved = memory, memory.moved
        self.values = memory.values[first._start : last._start + last.size]
        self.grads = memory.grads[first._start : last._start + last.size]
        self.sample = self.grads[-_SAMPLE:].tobytes  # bound once: it is called in every step
        self.stepped = 0, b""
        return memory

    def refresh(self) -> Memory:
        """Find the parameters again after some left the memory that they lived in.

        Raises
        ------
        RuntimeError
            If another optimizer took some of them into a vector of its own, or one was
            frozen, or replaced in its layer.
        """
        for parameter, before in zip(self.parameters, self._places, strict=True):
            if parameter.frozen:
                raise RuntimeError(
                    f"{self.owner} can no longer step: a parameter of shape {parameter.shape} was "
                    f"frozen after {self.owner} was built; build it again, with model.parameters()"
                )
            changed: frozenset[Place] = before ^ parameter._places
            lost = [place.name for place in changed if place.there is (place in before)]
            if lost:
                raise RuntimeError(
                    f"{self.owner} can no longer step: {min(lost)} was replaced or removed after "
                    f"{self.owner} was built; build it again, with model.parameters()"
                )
        if not self._side_by_side():
            raise RuntimeError(
                f"{self.owner} can no longer step: another optimizer, built later over some of "
                "its parameters, moved them; build this one again after that one, "
                "or give each optimizer parameters of its own"
            )
        return self._bind()

    def __reduce__(self) -> tuple[Any, ...]:
        return FlatParameters, (self.owner, self.parameters)

    def refuse(self, steps: int, author: Author | None) -> NoReturn:
        """Raise the error of gradients that an update cannot take, and say where they arose."""
        when = f" at step {steps}"
        why = why_not_finite(self.parameters, author, when)
        if why is None:
            largest = float(np.abs(self.grads).max())
            why = (
                f"the square of the largest gradient, {largest:g}, may overflow "
                f"{self.grads.dtype}{when}; scale the loss, or clip the gradients first"
            )
        raise NonFiniteError(f"{self.owner}: {why}; nothing was changed")

    def warn_twice(self) -> None:
        """Warn that the step before took the same gradients."""
        warn_user(
            f"{self.owner} stepped twice on the gradient of one backward; call "
            "objective.backward() before each step"
        )


class Gradients:
    """The gradients of some parameters, on their way from an Objective to the optimizers.

    An optimizer looks at all gradients at once, so they are not looked at twice: the author of the
    gradients is left with them, to be asked where a bad one arose. Gradients that no optimizer
    steps are looked at here.
    """

    def __init__(self, parameters: Iterable[AnyParameter]) -> None:
        self._parameters = tuple(parameters)
        self._memories: tuple[tuple[Memory, int], ...] = ()  # each with what `moved` was
        self._own: tuple[AnyParameter, ...] = self._parameters  # parameters without an optimizer

    def sign(self, author: Author) -> bool:
        """Leave the author with the gradients; return whether the unstepped ones are finite."""
        number, changed = next(_SIGNINGS), bool(self._own)  # an optimizer may have taken them
        for memory, moved in self._memories:
            memory.author, memory.signed = author, number
            changed = changed or memory.moved != moved
        if not changed:
            return True
        self._look()
        for memory, _ in self._memories:
            memory.author, memory.signed = author, number
        return all(finite_vector(p.grad.ravel()) for p in self._own)

    def _look(self) -> None:
        packed = {id(p._memory): p._memory for p in self._parameters if p._memory.packed}
        self._memories = tuple((memory, memory.moved) for memory in packed.values())
        self._own = tuple(p for p in self._parameters if not p._memory.packed)

    def __reduce__(self) -> tuple[Any, ...]:
        return Gradients, (self._parameters,)


def note_replaced(
    layer: object, name: str, old: Iterable[AnyParameter], new: Iterable[AnyParameter]
) -> None:
    """Note which parameters left an attribute of a layer, and which came.

    The optimizer that packed them sees it at its next look: their memory counts as moved. One that
    left without having been noted, as in a copy of a layer, is noted as gone.
    """
    place = f"{type(layer).__name__}.{name.lstrip('_')}", id(layer)
    here, gone = Place(*place, True), Place(*place, False)
    left, came = {id(p): p for p in old}, {id(p): p for p in new}
    for parameter in [p for key, p in left.items() if key not in came]:
        places = parameter._places
        parameter._note_places(places - {here} if here in places else places | {gone})
        parameter._memory.moved += 1
    for parameter in came.values():
        parameter._note_places(parameter._places - {gone} | {here})


def gradient_vectors(parameters: Iterable[AnyParameter]) -> list[Array]:
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
    parameters: Iterable[AnyParameter], author: Author | None = None, when: str = ""
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


def _move(parameter: AnyParameter, memory: Memory, start: int) -> list["weakref.ref[Array]"]:
    """Move a parameter; return weak references to the arrays it left, to see who holds them.

    NumPy makes a view of a view refer to the array that owns the numbers, so where
    the parameter was alone that array is asked, too: it knows of transposes and rows.
    """
    old, value, grad = parameter._memory, parameter.value, parameter.grad
    for reader in list(old.readers or ()):
        reader.let_go()
    left = [weakref.ref(value), weakref.ref(grad)]
    if not old.packed:
        left += [weakref.ref(old.values), weakref.ref(old.grads)]
    parameter._place_in(memory, start, value.shape)
    parameter.value[...] = value
    parameter.grad[...] = grad
    old.moved += 1
    return left


def check_groups(
    owner: str, parameters: Iterable[Any], lr: float
) -> tuple[tuple[Any, ...], Array | None]:
    """Return the parameters of all groups, and a vector of their own learning rates over `lr`.

    None in its place where there are no groups.
    """
    groups = list(parameters) if isinstance(parameters, list | tuple) else []
    if not any(isinstance(group, Mapping) for group in groups):
        return _trained(owner, check_parameters(owner, parameters)), None
    found, factors = list[Any](), list[Array]()
    for group in groups:
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(
                f'{owner} expects groups of parameters, such as {{"params": ..., "lr": 0.1}}, got '
                f"{group!r}"
            )
        unknown = sorted(map(str, group.keys() - {"params", "lr"}))
        if unknown:
            raise ValueError(
                f"{owner} expects a group to say params and lr, got {', '.join(unknown)}; "
                "no_decay says which do not decay, and another optimizer has other options"
            )
        given = group["params"]
        own = check_parameters(owner, [given] if hasattr(given, "_memory") else given)
        rate = check_positive(owner, "lr of a group", group.get("lr", lr))
        found += own
        factors += [np.full(p.size, rate / lr, p.dtype) for p in own]
    return _trained(owner, check_parameters(owner, found)), np.concatenate(factors)


def _trained(owner: str, parameters: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the parameters, or raise if one is frozen."""
    for index, parameter in enumerate(parameters):
        if parameter.frozen:
            raise ValueError(
                f"{owner} expects parameters that are trained, parameter {index}, of shape "
                f"{parameter.shape}, is frozen; pass model.parameters(), which leaves it out"
            )
    return parameters


def check_parameters(owner: str, parameters: Iterable[Any]) -> tuple[Any, ...]:
    """Return the parameters, or raise unless they are some, of one dtype, and none twice."""
    one_thing = isinstance(parameters, Mapping) or hasattr(parameters, "parameters")
    if one_thing or not isinstance(parameters, Iterable):
        raise TypeError(
            f"{owner} expects parameters, got {describe(parameters)}{_fix(parameters)}"
        )
    found = tuple(parameters)
    for parameter in found:
        if not hasattr(parameter, "_memory"):
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


def _fix(wrong: object) -> str:
    """Return how to mend what was passed in place of parameters."""
    if hasattr(wrong, "_memory"):
        return " alone; put it in a list"
    if hasattr(wrong, "parameters"):
        return "; pass its .parameters()"
    if callable(wrong):
        return "; call it: model.parameters()"
    return "; pass model.parameters()"


def decay_mask(owner: str, parameters: Iterable[Any], no_decay: Iterable[Any]) -> Array | None:
    """Return a vector of 1 where `parameters` decay and 0 where not; None if all do."""
    if not isinstance(no_decay, Iterable) or hasattr(no_decay, "parameters"):
        hint = "; put it in a list" if hasattr(no_decay, "_memory") else ""
        raise TypeError(
            f"{owner} expects no_decay to be parameters, got {describe(no_decay)}{hint}"
        )
    left_out = list(no_decay)
    for item in left_out:
        if not hasattr(item, "_memory"):
            raise TypeError(f"{owner} expects no_decay to be parameters, got {describe(item)}")
    found = tuple(parameters)
    ids = {id(item) for item in left_out}
    if not ids <= {id(parameter) for parameter in found}:
        raise ValueError(f"{owner} expects no_decay to be among its parameters, one is not")
    if not ids:
        return None
    parts = [np.full(p.size, 0.0 if id(p) in ids else 1.0, p.dtype) for p in found]
    return np.concatenate(parts)
