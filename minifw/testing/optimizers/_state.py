"""Verdicts on an optimizer: its state, copies of it, and their dtypes."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minifw.core.parameter import Parameter
from minifw.optimizers import SGD, Optimizer
from minifw.testing._equal import differing, looks_like_float32
from minifw.testing._questions import pickled
from minifw.testing._report import Failure
from minifw.testing.optimizers._steps import copied
from minifw.testing.optimizers._subject import FEW, OptimizerSubject, Trial, moved
from minifw.typing import Array

FLOAT32_ROUNDING = 1e-3  # of float32 against float64 after a few steps

# -- state -----------------------------------------------------------------------------


def resumes(s: OptimizerSubject) -> None:
    """Go on from a state in a new optimizer, and in a used one."""
    for steps, used in ((1, 0), (FEW, 0), (FEW, FEW)):
        trial, twin, gradients = s.built(), s.built(), s.gradients(steps + FEW)
        before = _additions(trial.optimizer)
        middle = trial.walk(gradients[:steps])
        state, after = copy.deepcopy(trial.optimizer.state_dict()), _additions(trial.optimizer)
        lost = ", ".join(sorted(differing(before, after) - state.keys()))
        reason = f"{lost} is not in state_dict, as a public attribute is; " if lost else ""
        reason = _aliased(trial.optimizer) or reason
        expected = trial.walk(gradients[steps:])

        twin.walk(s.gradients(used, draw=3))
        for parameter, value in zip(twin.parameters, middle.values(), strict=True):
            parameter.value = value
        twin.optimizer.load_state_dict(state)
        if twin.optimizer.steps != steps:
            raise Failure(f"resumed from state_dict, steps is {twin.optimizer.steps}, not {steps}")
        if moved(expected, twin.walk(gradients[steps:])):
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
    for name, state in _arrays(vars(optimizer)):
        for vector in ("values", "grads"):
            if np.shares_memory(state, getattr(optimizer._vector, vector)):
                return f"the attribute {name} is the array {vector} itself: keep a copy; "
    return ""


def _additions(optimizer: Optimizer) -> dict[str, Any]:
    """Return copies of the attributes that only this kind of optimizer has, private ones too."""
    plain = vars(SGD([Parameter(np.zeros(1))], lr=1.0))
    return copied({name: value for name, value in vars(optimizer).items() if name not in plain})


def state_is_a_copy(s: OptimizerSubject) -> None:
    trial, twin = s.built(), s.built()
    trial.walk(s.gradients(FEW))
    state = trial.optimizer.state_dict()
    kept = copy.deepcopy(state)
    trial.walk(s.gradients(FEW))
    if changed := sorted(differing(kept, state)):
        raise Failure(f"state_dict is not a copy: later steps change {', '.join(changed)} in it")
    twin.optimizer.load_state_dict(state)
    twin.walk(s.gradients(FEW))
    if differing(kept, state):
        raise Failure("load_state_dict copies nothing: later steps change what it was given")


# -- copies and dtypes -----------------------------------------------------------------


def continues(duplicate: Callable[[Trial], Trial], s: OptimizerSubject) -> None:
    """Copy parameters and optimizer together, and let both continue: twin first."""
    trial, gradients, what = s.built(), s.gradients(2 * FEW), f"a {duplicate.__name__}"
    middle = trial.walk(gradients[:FEW])
    found = duplicate(trial).walk(gradients[FEW:])
    if moved(middle, trial.values()):
        raise Failure(f"{what} moves the parameters of the original")
    if not moved(found, middle):
        raise Failure(f"{what} does not move its own parameters: it holds arrays of another's")
    if moved(found, trial.walk(gradients[FEW:])):
        raise Failure(f"{what} takes another way than the original")


def pickle(trial: Trial) -> Any:
    """Return what comes out of a pickle of parameters and optimizer together."""
    return pickled(trial, trial.optimizer)


def state_dtype(s: OptimizerSubject) -> None:
    """Find state in float32 beside parameters in float64."""
    trial = s.built()
    trial.walk(s.gradients(FEW))
    for name, state in _arrays(vars(trial.optimizer)):
        if state.dtype in (np.float32, np.float16):
            raise Failure(
                f"the attribute {name} is {state.dtype} beside float64 parameters: make it with "
                "self.zeros(), which has their dtype"
            )


def in_float32(s: OptimizerSubject) -> None:
    trial = s.built()
    for parameter in trial.parameters:
        parameter.value = np.zeros(parameter.shape)  # so that the values are the steps
    if all(map(looks_like_float32, trial.walk(s.gradients(1)).values())):
        raise Failure("the step of float64 parameters went through float32: it has 7 digits")
    expected, found = (s.built(kind).walk(s.gradients(FEW)) for kind in (np.float64, np.float32))
    if elsewhere := moved(expected, found, FLOAT32_ROUNDING):
        raise Failure(f"in float32, {elsewhere} goes elsewhere than in float64")
