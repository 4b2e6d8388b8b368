"""Step by step: a layer advances by one place of time, from what it kept of those before."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import Any, NoReturn

import numpy as np

from minifw._engine.prediction import evaluating
from minifw._engine.protocols import AnyLayer
from minifw._engine.sharing import says
from minifw._tools.locks import EVALUATIONS


class State:
    """What a layer kept of the places so far: the step that takes it uses it up.

    A copy, by `copy.deepcopy`, continues independently.
    """

    __slots__ = ("_kept", "_owner")

    def __init__(self, layer: AnyLayer, kept: Any) -> None:
        self._owner, self._kept = type(layer).__name__, kept

    def __repr__(self) -> str:
        return f"<state of {self._owner}{', used up' if self._kept is None else ''}>"


class _Inside(local):
    """Whether a step runs in this thread, whose layers are in eval mode, and what it took."""

    def __init__(self) -> None:
        self.step, self.taken = False, list[State]()


_INSIDE = _Inside()


def step(layer: AnyLayer, x: Any, state: Any) -> tuple[Any, Any]:
    """Return the output of a layer at one more place, and its new state.

    The states that it was given, and all inside, are used up if the whole step succeeds.
    """
    if not says(layer, "stepwise", "forward"):
        refuse(
            layer,
            "it does not say stepwise = True of this forward, so an output may depend on "
            "other places; call forward with all places at once",
        )
    kept = None if state is None else _kept(layer, state)
    if not _INSIDE.step:
        with EVALUATIONS.lock, evaluating(layer), stepping():
            return step(layer, x, state)
    y, new = layer._step(x, kept)
    if state is not None:
        _INSIDE.taken.append(state)
    return y, None if new is None else State(layer, new)


@contextmanager
def stepping() -> Iterator[None]:
    """Within, layers are known to be in eval mode, and what they save may be overwritten.

    What is raised within leaves all states as they were.
    """
    outer = _INSIDE.step, _INSIDE.taken  # of a step that runs another model inside
    _INSIDE.step, _INSIDE.taken = True, []
    try:
        with np.errstate(under="ignore"):  # what underflows is 0 to all digits
            yield
        for state in _INSIDE.taken:
            state._kept = None
    finally:
        _INSIDE.step, _INSIDE.taken = outer


def place_by_place(layer: Any, x: Any, kept: Any) -> tuple[Any, Any]:
    """Return what forward gives for one place; nothing is kept."""
    return (layer.forward(*x) if isinstance(x, tuple) else layer.forward(x)), kept


def refuse(layer: object, why: str) -> NoReturn:
    """Raise the error of a layer that cannot advance by one place."""
    raise TypeError(f"{layer!r}.step cannot go on by one place of time: {why}")


def refuse_axis(layer: object, axis: int | None, ndim: int = 2) -> None:
    """Raise unless an axis is the last: another one may be the time, which a step has not.

    By default it is the first after the batch of what has four axes, three of them at a step.
    """
    if axis not in (None, -1) or (axis is None and ndim == 3):
        refuse(layer, f"axis={axis} counts the axis of time; use axis=-1")


def _kept(layer: AnyLayer, state: Any) -> Any:
    """Return what lies in a state, or raise unless this layer may continue from it."""
    owner = type(layer).__name__
    if not isinstance(state, State) or state._owner != owner:
        raise TypeError(
            f"{layer!r}.step expects the state that its own step returned, or None at the start, "
            f"got {state!r}"
        )
    if state._kept is None:
        raise RuntimeError(
            f"{layer!r}.step was given a state that an earlier step has used up; go on from the "
            "one which that step returned, and branch by copy.deepcopy(state) before a step"
        )
    return state._kept
