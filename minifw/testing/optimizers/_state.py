"""Verdicts on an optimizer: its state, copies of it, and their dtypes."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minifw.core.parameter import Parameter
from minifw.optimizers import SGD, Optimizer
from minifw.testing._equal import alike, looks_like_float32
from minifw.testing._report import Failure
from minifw.testing.optimizers._subject import (
    FEW,
    OptimizerSubject,
    Pair,
    copied,
    moved,
    values_of,
    walk,
)
from minifw.typing import Array

FLOAT32_ROUNDING = 1e-3  # of float32 against float64 after a few steps

# -- state -----------------------------------------------------------------------------


def resumes(s: OptimizerSubject) -> None:
    """Go on from a state in a new optimizer, and in a used one."""
    for steps, used in ((1, False), (FEW, False), (FEW, True)):
        gradients = s.gradients(steps + FEW)
        parameters, optimizer = s.built()
        before = _additions(optimizer)
        middle = walk(parameters, optimizer, gradients[:steps])
        state, after = copy.deepcopy(optimizer.state_dict()), _additions(optimizer)
        lost = [n for n in sorted(after.keys() - state) if not alike(before.get(n), after[n])]
        reason = _aliased(optimizer)
        if lost and not reason:
            reason = (
                f"{', '.join(lost)} is not in state_dict, as a public attribute would be, and "
            )
        expected = walk(parameters, optimizer, gradients[steps:])

        twins, twin = s.built()
        walk(twins, twin, s.gradients(FEW if used else 0, draw=3))
        for parameter, value in zip(twins, middle.values(), strict=True):
            parameter.value = value
        twin.load_state_dict(state)
        if twin.steps != steps:
            raise Failure(f"resumed from state_dict, steps is {twin.steps} and not {steps}")
        if moved(expected, walk(twins, twin, gradients[steps:])):
            where = ", though a new optimizer does not" if used else ""
            raise Failure(f"{reason}resumed from state_dict it takes another way{where}")


def _arrays(held: Any, name: str = "") -> Iterator[tuple[str, Array]]:
    """Yield the arrays in the attributes of an optimizer, and in lists and dicts there."""
    for key, value in held.items() if isinstance(held, dict) else enumerate(held):
        if isinstance(value, np.ndarray):
            yield name or str(key), value
        elif isinstance(value, dict | list | tuple):
            yield from _arrays(value, name or str(key))


def _aliased(optimizer: Optimizer) -> str:
    """Name state that is the very memory of the values or the gradients."""
    vectors = {"values": optimizer._vector.values, "grads": optimizer._vector.grads}
    for name, state in _arrays(vars(optimizer)):
        for vector, array in vectors.items():
            if np.shares_memory(state, array):
                return (
                    f"the attribute {name} is the array {vector} itself, and changes with it: "
                    f"keep a copy, self.{name}[...] = {vector}; "
                )
    return ""


def _additions(optimizer: Optimizer) -> dict[str, Any]:
    """Return copies of the attributes that only this kind of optimizer has, private ones too."""
    plain = vars(SGD([Parameter(np.zeros(1))], lr=1.0))
    return {name: copied(value) for name, value in vars(optimizer).items() if name not in plain}


def state_is_a_copy(s: OptimizerSubject) -> None:
    pair, twin = s.built(), s.built()
    walk(*pair, s.gradients(FEW))
    state = pair[1].state_dict()
    kept = copy.deepcopy(state)
    walk(*pair, s.gradients(FEW))
    changed = [name for name in kept if not alike(kept[name], state[name])]
    if changed:
        raise Failure(f"state_dict is no copy: later steps change {', '.join(changed)} in it")
    twin[1].load_state_dict(state)
    walk(*twin, s.gradients(FEW))
    if not alike(kept, state):
        raise Failure("load_state_dict copies nothing: later steps change what it was given")


# -- copies and dtypes -----------------------------------------------------------------


def continues(what: str, duplicate: Callable[[Any], Pair], s: OptimizerSubject) -> None:
    """Copy parameters and optimizer together, and let both go on: twin first."""
    gradients = s.gradients(2 * FEW)
    pair = s.built()
    middle = walk(*pair, gradients[:FEW])
    found = walk(*duplicate(pair), gradients[FEW:])
    if moved(middle, values_of(pair[0])):
        raise Failure(f"{what} moves the parameters of the original")
    if not moved(found, middle):
        raise Failure(f"{what} does not move its own parameters: it holds arrays of another's")
    if moved(found, walk(*pair, gradients[FEW:])):
        raise Failure(f"{what} takes another way than the original")


def state_dtype(s: OptimizerSubject) -> None:
    """Find state in float32 beside parameters in float64."""
    pair = s.built()
    walk(*pair, s.gradients(FEW))
    for name, state in _arrays(vars(pair[1])):
        if state.dtype in (np.float32, np.float16):
            raise Failure(
                f"the attribute {name} is {state.dtype} beside float64 parameters, and has fewer "
                "digits: self.zeros() has their dtype"
            )


def in_float32(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    for parameter in parameters:
        parameter.value = np.zeros(parameter.shape)  # so that the values are the steps
    if all(map(looks_like_float32, walk(parameters, optimizer, s.gradients(1)).values())):
        raise Failure("the step of float64 parameters went through float32: it has 7 digits")
    expected = walk(*s.built(), s.gradients(FEW))
    found = walk(*s.built(np.float32), s.gradients(FEW))
    if elsewhere := moved(expected, found, FLOAT32_ROUNDING):
        raise Failure(f"in float32, {elsewhere} goes elsewhere than in float64")
